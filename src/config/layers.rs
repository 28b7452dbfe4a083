//! The layers of an instance: plugin, `default.conf`, `TYPE.conf`, `TYPE-NAME.conf`. This is the one place that spells their order.
//!
//! In a hook, the names of the last two are put together by the wrapper, as a plugin may change `NSTYPE`, or `TYPE.conf` `NSNAME`, and
//! whether they have to exist is for `NO_CONFIG_REQUIRED` to say, which any file may set. What is certain without bash is told here.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use nix::unistd::{AccessFlags, access};
use serde::Serialize;

use super::declaration::Declaration;
use super::parse::{assignments, definitions};
use super::plugin;
use crate::name::{Instance, NsType};
use crate::paths::Paths;

/// The longest file that is looked into, in bytes.
const LONGEST: u64 = 1 << 18;

/// What a file is for an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// `TYPE.sh`
    Plugin,
    /// `default.conf`
    Default,
    /// `TYPE.conf`
    Type,
    /// `TYPE-NAME.conf`
    Instance,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plugin => "plugin",
            Self::Default => "default",
            Self::Type => "type",
            Self::Instance => "instance",
        })
    }
}

/// One of the files that bash reads for an instance.
#[derive(Clone, Debug)]
pub struct Layer {
    /// What it is for.
    pub role: Role,
    /// Where it is, or would be.
    pub path: PathBuf,
    /// What is in it.
    pub content: Content,
}

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// There is no such file.
    Missing,
    /// This.
    Text(Arc<str>),
    /// It is for bash to read: no regular file, not readable, not UTF-8, or longer than files of people are.
    ForBash,
}

impl Layer {
    fn of(role: Role, path: PathBuf) -> Self {
        let content = match text_of(&path) {
            Ok(None) => Content::Missing,
            Ok(Some(text)) => Content::Text(text.into()),
            Err(_) => Content::ForBash,
        };
        Self { role, path, content }
    }

    /// Its text; empty for one that is missing, `None` for one that bash has to read.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Missing => Some(""),
            Content::Text(text) => Some(text),
            Content::ForBash => None,
        }
    }

    /// Whether there is anything at its path.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.content != Content::Missing
    }

    /// Whether bash defines functions and sets variables when it reads the file, and does nothing else.
    #[must_use]
    pub fn only_defines(&self) -> bool {
        self.variables().is_some()
    }

    /// The variables that it sets when bash reads it, with their values as they are written, if it is certain that it does nothing but
    /// that and define functions. A plugin has to declare it, too.
    fn variables(&self) -> Option<Vec<(&str, &str)>> {
        let text = self.text()?;
        if self.role == Role::Plugin && Declaration::read(text).only_definitions {
            definitions(text)
        } else {
            assignments(text)
        }
    }

    /// Whether there is a file that bash can read, and whether it is a regular one.
    /// Errors: there is something else, or it cannot be read.
    pub fn is_usable(&self) -> Result<Option<bool>> {
        match self.content {
            Content::Missing => return Ok(None),
            Content::Text(_) => return Ok(Some(true)),
            Content::ForBash => {}
        }
        let path = &self.path;
        let found = match fs::metadata(path) {
            Ok(found) if found.is_dir() => bail!("{} is a directory, not a file", path.display()),
            Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
                bail!("{} is a symbolic link to nothing", path.display())
            }
            found => found.with_context(|| format!("cannot look at {}", path.display()))?,
        };
        access(path, AccessFlags::R_OK).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Some(found.is_file()))
    }
}

/// The text of a regular file, `None` where there is nothing. A FIFO is left for bash to read.
fn text_of(path: &Path) -> io::Result<Option<String>> {
    let file = match OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => return Ok(None),
        opened => opened?,
    };
    let found = file.metadata()?;
    if !found.is_file() || found.len() > LONGEST {
        return Err(ErrorKind::InvalidInput.into());
    }
    // By `take`, as a file by itself would be asked for its length twice more.
    let mut text = String::with_capacity(usize::try_from(found.len()).unwrap_or(0) + 1);
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// What is read for an instance, in the order in which bash reads it.
#[derive(Clone, Debug)]
pub struct Layers([Layer; 4]);

/// How far it is known without bash whether the layers define a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defined {
    /// They do not.
    No,
    /// The plugin does.
    Yes,
    /// It is for bash to say.
    Unknown,
}

impl Layers {
    /// Finds and reads the layers of an instance.
    /// Errors: no usable plugin.
    pub fn of(paths: &Paths, instance: &Instance) -> Result<Self> {
        Ok(Self::with(of_type(paths, &instance.nstype)?, paths, instance))
    }

    fn with([plugin, default, of_type]: [Layer; 3], paths: &Paths, instance: &Instance) -> Self {
        Self([plugin, default, of_type, Layer::of(Role::Instance, paths.conf_of(instance))])
    }

    /// All four, also those that are missing.
    pub fn all(&self) -> impl Iterator<Item = &Layer> {
        self.0.iter()
    }

    /// Those that are there.
    pub fn present(&self) -> impl Iterator<Item = &Layer> {
        self.all().filter(|layer| layer.exists())
    }

    /// The one of that role.
    #[must_use]
    pub fn get(&self, role: Role) -> &Layer {
        &self.0[role as usize]
    }

    /// The texts of all of them; `None` where bash has to read one.
    #[must_use]
    pub fn texts(&self) -> Option<Vec<&str>> {
        self.all().map(Layer::text).collect()
    }

    /// Whether a text that is known has this in it.
    #[must_use]
    pub fn mention(&self, word: &str) -> bool {
        self.all().filter_map(Layer::text).any(|text| text.contains(word))
    }

    /// What is read for the instance, for [`crate::trust`]: the directory in which files are looked for, and those that are there.
    #[must_use]
    pub fn paths_to_check(&self, paths: &Paths) -> Vec<PathBuf> {
        [paths.conf.clone()].into_iter().chain(self.present().map(|layer| layer.path.clone())).collect()
    }

    /// What the plugin declares.
    #[must_use]
    pub fn declaration(&self, paths: &Paths, nstype: &NsType) -> Declaration {
        let text = self.get(Role::Plugin).text();
        text.map_or_else(|| Declaration::of(paths, nstype), Declaration::read)
    }

    /// Whether there has to be a `TYPE.conf` or `TYPE-NAME.conf`, as far as it is known without bash: the last line that sets
    /// `NO_CONFIG_REQUIRED` sets it to something.
    #[must_use]
    pub fn require_conf(&self) -> bool {
        let lines = self.all().filter_map(Layer::text).flat_map(str::lines).map(str::trim_start);
        let value = lines.filter_map(|line| line.strip_prefix("NO_CONFIG_REQUIRED=")).last();
        let value = value.map(|value| value.split(['#', ';']).next().unwrap_or_default().trim());
        value.is_none_or(|value| value.contains('$') || ["", "''", "\"\""].contains(&value))
    }

    /// The variables that all layers set when bash reads them, where it is certain that they do nothing else, and that bash itself and
    /// the host are not affected.
    #[must_use]
    pub fn settings(&self) -> Option<Vec<(&str, &str)>> {
        let affects = |name: &str| {
            !name.contains('_')
                || ["BASH", "LC_", "POSIXLY_", "__netns_"].iter().any(|start| name.starts_with(start))
        };
        let set: Vec<Vec<(&str, &str)>> = self.all().map(Layer::variables).collect::<Option<_>>()?;
        let set = set.concat();
        (!environment_affects() && !set.iter().any(|(name, _)| affects(name))).then_some(set)
    }

    /// Whether a hook is defined, if that is certain without bash. `Unknown` also where a `.conf` is needed and missing.
    #[must_use]
    pub fn define(&self, function: &str) -> Defined {
        let is_configured = [Role::Type, Role::Instance].iter().any(|role| self.get(*role).exists());
        if self.settings().is_none() || !is_configured && self.require_conf() {
            return Defined::Unknown;
        }
        let head = format!("{function}() {{");
        let plugin = self.get(Role::Plugin).text().unwrap_or_default();
        if !plugin.contains(function) {
            Defined::No
        } else if plugin.lines().any(|line| line.starts_with(&head)) {
            Defined::Yes
        } else {
            Defined::Unknown
        }
    }
}

/// Whether the environment brings functions, or a variable that the host looks at.
fn environment_affects() -> bool {
    env::vars_os()
        .any(|(name, _)| name == "NO_CONFIG_REQUIRED" || name.as_encoded_bytes().starts_with(b"BASH_FUNC_"))
}

/// The layers that all instances of a type have in common.
fn of_type(paths: &Paths, nstype: &NsType) -> Result<[Layer; 3]> {
    Ok([
        Layer::of(Role::Plugin, plugin::find(paths, nstype)?),
        Layer::of(Role::Default, paths.default_conf()),
        Layer::of(Role::Type, paths.conf_of_type(nstype)),
    ])
}

/// Reads the layers of many instances: what those of a type have in common is read once.
#[derive(Debug)]
pub struct LayerReader<'a> {
    paths: &'a Paths,
    types: Mutex<BTreeMap<NsType, [Layer; 3]>>,
}

impl<'a> LayerReader<'a> {
    /// Has read nothing yet.
    #[must_use]
    pub fn new(paths: &'a Paths) -> Self {
        Self { paths, types: Mutex::default() }
    }

    /// The layers of an instance.
    /// Errors: as for [`Layers::of`].
    pub fn read(&self, instance: &Instance) -> Result<Layers> {
        let known = || self.types.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().get(&instance.nstype).cloned();
        let of_type = match found {
            Some(found) => found,
            None => known()
                .entry(instance.nstype.clone())
                .or_insert(of_type(self.paths, &instance.nstype)?)
                .clone(),
        };
        Ok(Layers::with(of_type, self.paths, instance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLUGIN: &str = "# t: x\n# Contains: only definitions\n\nconfigure_t_up_inside() {\n  :\n}\n";

    fn layers(texts: [&str; 4]) -> Layers {
        let layer = |(role, text): (Role, &str)| Layer {
            role,
            path: PathBuf::new(),
            content: if text == "-" { Content::Missing } else { Content::Text(text.into()) },
        };
        let roles = [Role::Plugin, Role::Default, Role::Type, Role::Instance];
        let all: Vec<Layer> = roles.into_iter().zip(texts).map(layer).collect();
        Layers(all.try_into().unwrap())
    }

    #[test]
    fn a_hook_is_known_where_the_plugin_has_only_definitions_and_the_confs_only_values() {
        let layers = layers([PLUGIN, "H_A=1", "-", "T_A=$H_A"]);
        assert_eq!(layers.define("configure_t_up_inside"), Defined::Yes);
        assert_eq!(layers.define("configure_t_up_outside"), Defined::No);
        assert_eq!(layers.settings().unwrap(), [("H_A", "1"), ("T_A", "$H_A")]);
    }

    #[test]
    fn what_bash_or_the_host_looks_at_is_for_bash_and_so_is_a_function_in_a_conf() {
        for texts in [
            [PLUGIN, "-", "NSNAME=b", "-"],
            [PLUGIN, "-", "BASH_ENV=b", "-"],
            [PLUGIN, "-", "LC_ALL=C", "-"],
            [PLUGIN, "-", "POSIXLY_CORRECT=y", "-"],
            [PLUGIN, "-", "PATH=/bin", "-"],
            [PLUGIN, "-", "-", "__netns_done=y"],
            [PLUGIN, "-", "-", "configure_t_up_outside() { :; }"],
            [PLUGIN, "-", "-", "source lib.sh"],
            ["configure_t_up_inside() {\n  :\n}\n", "-", "-", "T_A=1"],
        ] {
            assert_eq!(layers(texts).define("configure_t_up_outside"), Defined::Unknown, "{texts:?}");
        }
    }

    #[test]
    fn a_function_that_is_only_mentioned_or_defined_in_another_way_is_for_bash() {
        for text in ["# see f_x\n", "f_x ()\n{\n:\n}\n", "function f_x {\n:\n}\n", "  f_x() {\n:\n}\n"] {
            let plugin = format!("# Contains: only definitions\n\n{text}");
            assert_eq!(layers([&plugin, "-", "-", ""]).define("f_x"), Defined::Unknown, "{text}");
        }
    }

    #[test]
    fn without_a_conf_it_depends_on_what_the_plugin_wants() {
        for (wish, defined) in [
            ("", Defined::Unknown),
            ("NO_CONFIG_REQUIRED=yes\n", Defined::No),
            ("NO_CONFIG_REQUIRED=\n", Defined::Unknown),
            ("NO_CONFIG_REQUIRED=$A_B\n", Defined::Unknown),
            ("NO_CONFIG_REQUIRED=yes\nNO_CONFIG_REQUIRED=\n", Defined::Unknown),
        ] {
            let plugin = format!("{PLUGIN}{wish}");
            assert_eq!(layers([&plugin, "-", "-", "-"]).define("configure_t_down_inside"), defined, "{wish}");
        }
    }
}
