//! The name of a unit that can be attached.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};

use crate::name::{UNIT_NAME_MAX, unit};

/// The kind of a unit that can be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// A service, or a name without a suffix.
    Service,
    /// A socket. It listens in its own network namespace, not in the namespace of the service.
    Socket,
}

/// The name of a service or socket, with its suffix. The template `x@.service` means all its instances.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceUnit(String);

impl ServiceUnit {
    /// The kind of the unit.
    #[must_use]
    pub fn kind(&self) -> UnitKind {
        if self.0.ends_with(".socket") { UnitKind::Socket } else { UnitKind::Service }
    }

    /// Whether the unit is a template.
    #[must_use]
    pub fn is_template(&self) -> bool {
        // unit_name_to_type() splits at the first `@`: `a@b@.service` is the instance `b@` of `a@.service`.
        self.0.split_once('@').is_some_and(|(_, rest)| [".service", ".socket"].contains(&rest))
    }

    /// The template of an instance.
    #[must_use]
    pub fn template(&self) -> Option<String> {
        let (stem, rest) = self.0.split_once('@')?;
        let (_, suffix) = rest.rsplit_once('.')?;
        Some(format!("{stem}@.{suffix}"))
    }

    /// Replaces an alias by the real name, `id`.
    /// Errors: the real unit is not a service or socket, or is a unit of systemd-netns.
    pub fn with_real_name(&self, id: &str) -> Result<Self> {
        let own: Self = id.parse()?;
        match own.template() {
            Some(template) if self.is_template() => template.parse(),
            _ => Ok(own),
        }
    }

    /// The socket of the same name, which may start this service. A template can have a socket with Accept=yes: it starts an
    /// instance for each connection.
    #[must_use]
    pub fn socket(&self) -> Option<String> {
        let stem = self.0.strip_suffix(".service")?;
        Some(format!("{}.socket", if self.is_template() { stem.trim_end_matches('@') } else { stem }))
    }

    /// The name to query the settings from systemd. For a template this is a made-up instance.
    #[must_use]
    pub fn sample(&self) -> String {
        if self.is_template() { self.0.replace("@.", "@netnsctl.") } else { self.0.clone() }
    }

    /// Returns the template if `id` is a made-up instance from `sample`. Returns other names unchanged.
    #[must_use]
    pub fn template_of_sample(id: &str) -> String {
        id.replace("@netnsctl.", "@.")
    }

    /// The pattern to query the running units from systemd. For a template the pattern matches all instances.
    #[must_use]
    pub fn pattern(&self) -> String {
        if self.is_template() { self.0.replace("@.", "@*.") } else { self.0.clone() }
    }
}

impl FromStr for ServiceUnit {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        // Other suffixes belong to the name: `a.b` means `a.b.service`.
        const OTHER_SUFFIXES: [&str; 9] =
            [".target", ".device", ".mount", ".automount", ".swap", ".timer", ".path", ".slice", ".scope"];
        let name = if [".service", ".socket"].iter().any(|suffix| text.ends_with(suffix)) {
            text.to_owned()
        } else if OTHER_SUFFIXES.iter().any(|suffix| text.ends_with(suffix)) {
            bail!("invalid unit {text:?}: expected a service or a socket")
        } else {
            format!("{text}.service")
        };
        // unit_name_is_valid() in systemd's src/basic/unit-name.c.
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
        ensure!(
            name.len() <= UNIT_NAME_MAX && name.bytes().all(allowed) && !name.starts_with(['.', '@']),
            "invalid unit name {text:?}: use letters, digits and `:-_.\\@`"
        );
        ensure!(!unit::is_ours(&name), "invalid unit `{name}`: a unit of systemd-netns cannot be attached");
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
        for (text, name) in [
            ("nginx", "nginx.service"),
            ("org.example.it", "org.example.it.service"),
            ("a@b", "a@b.service"),
            ("a@", "a@.service"),
            ("cups.socket", "cups.socket"),
            (r"a\x2db", r"a\x2db.service"),
        ] {
            assert_eq!(text.parse::<ServiceUnit>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn other_unit_types_invalid_names_and_own_units_are_refused() {
        for text in
            ["a.timer", "a.mount", "", "../a", "a b", "é", "@a", "netns-veth@a", "netns_name@a.service"]
        {
            assert!(text.parse::<ServiceUnit>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_template_is_queried_as_an_instance() {
        let unit: ServiceUnit = "a@.service".parse().unwrap();
        assert_eq!((unit.sample().as_str(), unit.pattern().as_str()), ("a@netnsctl.service", "a@*.service"));
        let unit: ServiceUnit = "a@b.service".parse().unwrap();
        assert_eq!((unit.sample().as_str(), unit.pattern().as_str()), ("a@b.service", "a@b.service"));
        for instance in ["a@b@.service", "a@.b.service"] {
            let unit: ServiceUnit = instance.parse().unwrap();
            assert_eq!(
                (unit.sample(), unit.template().unwrap().as_str()),
                (instance.to_owned(), "a@.service")
            );
        }
    }

    #[test]
    fn an_alias_of_a_template_is_replaced_by_the_template_not_by_the_queried_instance() {
        for (called, id, name) in [
            ("alias@", "a@netnsctl.service", "a@.service"),
            ("alias@b", "a@b.service", "a@b.service"),
            ("alias", "a.service", "a.service"),
            ("alias", "a@b.service", "a@b.service"),
        ] {
            assert_eq!(called.parse::<ServiceUnit>().unwrap().with_real_name(id).unwrap().as_ref(), name);
        }
        assert!("alias".parse::<ServiceUnit>().unwrap().with_real_name("netns-lo@a.service").is_err());
    }
}
