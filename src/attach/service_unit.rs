//! The name of a unit that can be put into a namespace.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};

use crate::name::{UNIT_NAME_MAX, unit};

/// What can be put into a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// A service; a name without a suffix is one's.
    Service,
    /// A socket: it listens where its own unit says.
    Socket,
}

/// The name of a service or socket, with its suffix; `x@.service` is a template, which stands for all its instances.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceUnit(String);

impl ServiceUnit {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> UnitKind {
        if self.0.ends_with(".socket") { UnitKind::Socket } else { UnitKind::Service }
    }

    /// Whether it is a template.
    #[must_use]
    pub fn is_template(&self) -> bool {
        // unit_name_to_type(): by the first one; `a@b@.service` is an instance `b@` of `a@.service`.
        self.0.split_once('@').is_some_and(|(_, rest)| [".service", ".socket"].contains(&rest))
    }

    /// The template that it is an instance of.
    #[must_use]
    pub fn template(&self) -> Option<String> {
        let (stem, rest) = self.0.split_once('@')?;
        let (_, suffix) = rest.rsplit_once('.')?;
        Some(format!("{stem}@.{suffix}"))
    }

    /// The same kind of unit by its own name, where this one was called by an alias and systemd says that its sample is `id`.
    /// Errors: that is nothing to put into a namespace.
    pub fn known_as(&self, id: &str) -> Result<Self> {
        let own: Self = id.parse()?;
        match own.template() {
            Some(template) if self.is_template() => template.parse(),
            _ => Ok(own),
        }
    }

    /// The socket that is asked for what it starts by a service, if any could be: that of the same name. For a template it is one
    /// with Accept=yes, which starts an instance for each connection.
    #[must_use]
    pub fn socket(&self) -> Option<String> {
        let stem = self.0.strip_suffix(".service")?;
        Some(format!("{}.socket", if self.is_template() { stem.trim_end_matches('@') } else { stem }))
    }

    /// What to ask systemd for what its files say: a template is asked as an instance that nobody has.
    #[must_use]
    pub fn sample(&self) -> String {
        if self.is_template() { self.0.replace("@.", "@netnsctl.") } else { self.0.clone() }
    }

    /// The template that a sample stands for; any other name is itself.
    #[must_use]
    pub fn template_of_sample(id: &str) -> String {
        id.replace("@netnsctl.", "@.")
    }

    /// What to ask systemd for those of its kind that run: a template's are all its instances.
    #[must_use]
    pub fn running(&self) -> String {
        if self.is_template() { self.0.replace("@.", "@*.") } else { self.0.clone() }
    }
}

impl FromStr for ServiceUnit {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        // What systemd takes for a suffix: `a.b` alone is a service `a.b.service`.
        const OTHERS: [&str; 9] =
            [".target", ".device", ".mount", ".automount", ".swap", ".timer", ".path", ".slice", ".scope"];
        let name = if [".service", ".socket"].iter().any(|suffix| word.ends_with(suffix)) {
            word.to_owned()
        } else if OTHERS.iter().any(|suffix| word.ends_with(suffix)) {
            bail!("{word:?} is neither a service nor a socket, and has no process to put into a namespace")
        } else {
            format!("{word}.service")
        };
        // unit_name_is_valid() in systemd's src/basic/unit-name.c.
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        ensure!(
            name.len() <= UNIT_NAME_MAX && name.bytes().all(allowed) && !name.starts_with(['.', '@']),
            "{word:?} is no name of a unit: use letters, digits and `:-_.\\@`"
        );
        ensure!(!unit::is_ours(&name), "`{name}` sets up a namespace: it cannot be put into one");
        Ok(Self(name))
    }
}

impl AsRef<str> for ServiceUnit {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_without_suffix_is_a_service() {
        for (word, name) in [
            ("nginx", "nginx.service"),
            ("org.example.it", "org.example.it.service"),
            ("a@b", "a@b.service"),
            ("a@", "a@.service"),
            ("cups.socket", "cups.socket"),
            (r"a\x2db", r"a\x2db.service"),
        ] {
            assert_eq!(word.parse::<ServiceUnit>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn what_has_no_process_or_is_no_name_or_is_ours_is_refused() {
        for word in
            ["a.timer", "a.mount", "", "../a", "a b", "é", "@a", "netns-veth@a", "netns_name@a.service"]
        {
            assert!(word.parse::<ServiceUnit>().is_err(), "{word:?}");
        }
    }

    #[test]
    fn a_template_is_asked_as_an_instance() {
        let unit: ServiceUnit = "a@.service".parse().unwrap();
        assert_eq!((unit.sample().as_str(), unit.running().as_str()), ("a@netnsctl.service", "a@*.service"));
        let unit: ServiceUnit = "a@b.service".parse().unwrap();
        assert_eq!((unit.sample().as_str(), unit.running().as_str()), ("a@b.service", "a@b.service"));
        for instance in ["a@b@.service", "a@.b.service"] {
            let unit: ServiceUnit = instance.parse().unwrap();
            assert_eq!(
                (unit.sample(), unit.template().unwrap().as_str()),
                (instance.to_owned(), "a@.service")
            );
        }
    }

    #[test]
    fn a_template_that_is_called_by_an_alias_is_meant_itself_not_the_instance_that_was_asked() {
        for (called, id, meant) in [
            ("alias@", "a@netnsctl.service", "a@.service"),
            ("alias@b", "a@b.service", "a@b.service"),
            ("alias", "a.service", "a.service"),
            ("alias", "a@b.service", "a@b.service"),
        ] {
            assert_eq!(called.parse::<ServiceUnit>().unwrap().known_as(id).unwrap().as_ref(), meant);
        }
        assert!("alias".parse::<ServiceUnit>().unwrap().known_as("netns-lo@a.service").is_err());
    }
}
