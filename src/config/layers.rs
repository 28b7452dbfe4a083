//! The layers of an instance: plugin, `default.conf`, `TYPE.conf`, `TYPE-NAME.conf`. Their order is defined only here.
//!
//! This file answers questions that do not need bash. In a hook, the wrapper builds the names of the last two layers, because a
//! plugin can change `NSTYPE`, and `TYPE.conf` can change `NSNAME`. At least one of these two files must exist, unless a layer
//! sets `NO_CONFIG_REQUIRED`.

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

/// The maximum size of a file that is parsed, in bytes.
const MAX_FILE_SIZE: u64 = 1 << 18;

/// The role of a file for an instance.
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

/// A file that bash sources for an instance.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The role of the file.
    pub role: Role,
    /// The path, also if the file is missing.
    pub path: PathBuf,
    /// The contents of the file.
    pub content: Content,
}

/// The contents of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The file does not exist.
    Missing,
    /// The text of the file.
    Text(Arc<str>),
    /// Only bash can read the file: it is not a regular file, not readable, not UTF-8, or very long.
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

    /// The text of the file; empty if it is missing, `None` if only bash can read it.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Missing => Some(""),
            Content::Text(text) => Some(text),
            Content::ForBash => None,
        }
    }

    /// Whether the file exists, with any file type.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.content != Content::Missing
    }

    /// Whether the file only defines functions and sets variables.
    #[must_use]
    pub fn only_defines(&self) -> bool {
        self.variables().is_some()
    }

    /// The variables that the file sets, with their unexpanded values. `None` unless the file only sets variables and defines
    /// functions. A plugin must also declare `Contains: only definitions`.
    fn variables(&self) -> Option<Vec<(&str, &str)>> {
        let text = self.text()?;
        if self.role == Role::Plugin && Declaration::read(text).only_definitions {
            definitions(text)
        } else {
            assignments(text)
        }
    }

    /// Whether the file is a regular file; `None` if it is missing.
    /// Errors: the file is a directory or a dangling symbolic link, or cannot be read.
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
                bail!("{} is a dangling symbolic link", path.display())
            }
            found => found.with_context(|| format!("cannot read {}", path.display()))?,
        };
        access(path, AccessFlags::R_OK).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Some(found.is_file()))
    }
}

/// Reads the text of a regular file; `None` if it does not exist. A FIFO is not read.
fn text_of(path: &Path) -> io::Result<Option<String>> {
    let file = match OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && !path.is_symlink() => return Ok(None),
        opened => opened?,
    };
    let found = file.metadata()?;
    if !found.is_file() || found.len() > MAX_FILE_SIZE {
        return Err(ErrorKind::InvalidInput.into());
    }
    // `take` saves two system calls: `read_to_string` of a `File` queries its size and offset.
    let mut text = String::with_capacity(usize::try_from(found.len()).unwrap_or(0) + 1);
    file.take(MAX_FILE_SIZE).read_to_string(&mut text)?;
    Ok(Some(text))
}

/// The layers of an instance, in the order in which bash sources them.
#[derive(Clone, Debug)]
pub struct Layers([Layer; 4]);

/// Whether the layers define a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defined {
    /// No layer defines the function.
    No,
    /// The plugin defines the function.
    Yes,
    /// Only bash can find out.
    Unknown,
}

impl Layers {
    /// Finds and reads the layers of an instance.
    /// Errors: no usable plugin; see [`plugin::find`].
    pub fn of(paths: &Paths, instance: &Instance) -> Result<Self> {
        Ok(Self::with(of_type(paths, &instance.nstype)?, paths, instance))
    }

    fn with([plugin, default, of_type]: [Layer; 3], paths: &Paths, instance: &Instance) -> Self {
        Self([plugin, default, of_type, Layer::of(Role::Instance, paths.conf_of(instance))])
    }

    /// All four layers, including missing files.
    pub fn all(&self) -> impl Iterator<Item = &Layer> {
        self.0.iter()
    }

    /// The layers whose files exist.
    pub fn present(&self) -> impl Iterator<Item = &Layer> {
        self.all().filter(|layer| layer.exists())
    }

    /// The layer with a role.
    #[must_use]
    pub fn get(&self, role: Role) -> &Layer {
        &self.0[role as usize]
    }

    /// The place where a setting is set last, as far as the texts show: `FILE:LINE`.
    #[must_use]
    pub fn place_of(&self, setting: &str) -> Option<String> {
        let sets = |line: &str| {
            let rest = line.trim_start().strip_prefix(setting);
            rest.is_some_and(|rest| rest.starts_with('=') || rest.starts_with("+="))
        };
        self.last_place(sets)
    }

    /// The place of the last line that contains `text` and is not a comment: `FILE:LINE`.
    #[must_use]
    pub fn place_of_text(&self, text: &str) -> Option<String> {
        self.last_place(|line| !line.trim_start().starts_with('#') && line.contains(text))
    }

    fn last_place(&self, is_wanted: impl Fn(&str) -> bool) -> Option<String> {
        let place = |layer: &Layer| {
            let line = layer.text()?.lines().enumerate().filter(|(_, line)| is_wanted(line)).last()?.0 + 1;
            Some(format!("{}:{line}", layer.path.display()))
        };
        self.0.iter().rev().find_map(place)
    }

    /// The texts of all layers; `None` if only bash can read one of them.
    #[must_use]
    pub fn texts(&self) -> Option<Vec<&str>> {
        self.all().map(Layer::text).collect()
    }

    /// Whether the text of a layer contains `name`. Layers that only bash can read are ignored.
    #[must_use]
    pub fn mention(&self, name: &str) -> bool {
        self.all().filter_map(Layer::text).any(|text| text.contains(name))
    }

    /// The paths that [`crate::trust`] has to check: the administrator's directory, and the existing files.
    #[must_use]
    pub fn paths_to_check(&self, paths: &Paths) -> Vec<PathBuf> {
        [paths.conf.clone()].into_iter().chain(self.present().map(|layer| layer.path.clone())).collect()
    }

    /// The declarations of the plugin.
    #[must_use]
    pub fn declaration(&self, paths: &Paths, nstype: &NsType) -> Declaration {
        let text = self.get(Role::Plugin).text();
        text.map_or_else(|| Declaration::of(paths, nstype), Declaration::read)
    }

    /// Whether `TYPE.conf` or `TYPE-NAME.conf` exists.
    #[must_use]
    pub fn are_configured(&self) -> bool {
        [Role::Type, Role::Instance].iter().any(|role| self.get(*role).exists())
    }

    /// Whether `TYPE.conf` or `TYPE-NAME.conf` must exist, as far as this is known without bash. They are optional only if the
    /// last line that sets `NO_CONFIG_REQUIRED` has a constant value that is not empty.
    #[must_use]
    pub fn require_conf(&self) -> bool {
        let lines = self.all().filter_map(Layer::text).flat_map(str::lines).map(str::trim_start);
        let value = lines.filter_map(|line| line.strip_prefix("NO_CONFIG_REQUIRED=")).last();
        let value = value.map(|value| value.split(['#', ';']).next().unwrap_or_default().trim());
        value.is_none_or(|value| value.contains('$') || ["", "''", "\"\""].contains(&value))
    }

    /// The variables that the layers set. `None` if a layer could do more than set variables and define functions, or if a
    /// variable could affect bash or systemd-netns.
    #[must_use]
    pub fn settings(&self) -> Option<Vec<(&str, &str)>> {
        let affects = |name: &str| {
            !name.contains('_')
                || ["BASH", "LC_", "POSIXLY_", "__netns_"].iter().any(|prefix| name.starts_with(prefix))
        };
        let set: Vec<Vec<(&str, &str)>> = self.all().map(Layer::variables).collect::<Option<_>>()?;
        let set = set.concat();
        (!environment_affects() && !set.iter().any(|(name, _)| affects(name))).then_some(set)
    }

    /// Whether the layers define a hook function. The result is `Unknown` also if a required `.conf` file is missing.
    #[must_use]
    pub fn define(&self, function: &str) -> Defined {
        if self.settings().is_none() || !self.are_configured() && self.require_conf() {
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

/// Whether the environment has exported bash functions, or the variable `NO_CONFIG_REQUIRED`.
fn environment_affects() -> bool {
    env::vars_os()
        .any(|(name, _)| name == "NO_CONFIG_REQUIRED" || name.as_encoded_bytes().starts_with(b"BASH_FUNC_"))
}

/// Reads the layers that are common to all instances of a type.
fn of_type(paths: &Paths, nstype: &NsType) -> Result<[Layer; 3]> {
    Ok([
        Layer::of(Role::Plugin, plugin::find(paths, nstype)?),
        Layer::of(Role::Default, paths.default_conf()),
        Layer::of(Role::Type, paths.conf_of_type(nstype)),
    ])
}

/// Reads the layers of many instances. The common layers of a type are read once.
#[derive(Debug)]
pub struct LayerReader<'a> {
    paths: &'a Paths,
    types: Mutex<BTreeMap<NsType, [Layer; 3]>>,
}

impl<'a> LayerReader<'a> {
    /// Creates a reader with an empty cache.
    #[must_use]
    pub fn new(paths: &'a Paths) -> Self {
        Self { paths, types: Mutex::default() }
    }

    /// Reads the layers of an instance.
    /// Errors: as for [`Layers::of`].
    pub fn read(&self, instance: &Instance) -> Result<Layers> {
        let cache = || self.types.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = cache().get(&instance.nstype).cloned();
        let of_type = match cached {
            Some(cached) => cached,
            None => cache()
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
    fn hooks_are_known_if_the_layers_only_define_functions_and_set_variables() {
        let layers = layers([PLUGIN, "H_A=1", "-", "T_A=$H_A"]);
        assert_eq!(layers.define("configure_t_up_inside"), Defined::Yes);
        assert_eq!(layers.define("configure_t_up_outside"), Defined::No);
        assert_eq!(layers.settings().unwrap(), [("H_A", "1"), ("T_A", "$H_A")]);
    }

    #[test]
    fn only_bash_reads_layers_with_commands_or_with_variables_that_affect_bash_or_the_host() {
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
    fn a_function_in_another_notation_or_in_a_comment_is_unknown() {
        for text in ["# see f_x\n", "f_x ()\n{\n:\n}\n", "function f_x {\n:\n}\n", "  f_x() {\n:\n}\n"] {
            let plugin = format!("# Contains: only definitions\n\n{text}");
            assert_eq!(layers([&plugin, "-", "-", ""]).define("f_x"), Defined::Unknown, "{text}");
        }
    }

    #[test]
    fn without_a_conf_a_hook_is_known_only_if_the_plugin_requires_no_conf() {
        for (setting, defined) in [
            ("", Defined::Unknown),
            ("NO_CONFIG_REQUIRED=yes\n", Defined::No),
            ("NO_CONFIG_REQUIRED=\n", Defined::Unknown),
            ("NO_CONFIG_REQUIRED=$A_B\n", Defined::Unknown),
            ("NO_CONFIG_REQUIRED=yes\nNO_CONFIG_REQUIRED=\n", Defined::Unknown),
        ] {
            let plugin = format!("{PLUGIN}{setting}");
            assert_eq!(
                layers([&plugin, "-", "-", "-"]).define("configure_t_down_inside"),
                defined,
                "{setting}"
            );
        }
    }
}
