//! The documentation of a plugin for users: its description and settings from its comments, and its hooks.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::name::{NsType, Phase, Side};

/// The documentation of a plugin.
#[derive(Debug, Default, Serialize)]
pub struct PluginHeader {
    /// The rest of the comment line that begins with the type: `# veth: a pair of …`.
    pub description: String,
    /// The hooks whose functions are defined in the file, each in the form `up outside`.
    pub hooks: Vec<String>,
    /// The list after a comment line that begins with `Settings`.
    pub settings: Vec<Setting>,
}

/// A variable that a plugin reads.
#[derive(Debug, Serialize)]
pub struct Setting {
    /// The name of the variable.
    pub name: String,
    /// The first line of the description.
    pub description: String,
}

impl PluginHeader {
    /// Reads the documentation of a plugin. The plugin is not run.
    /// Errors: the file cannot be read.
    pub fn of(path: &Path, nstype: &NsType) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("cannot read plugin {}", path.display()))?;
        Ok(Self::read(&String::from_utf8_lossy(&text), nstype))
    }

    /// Reads the documentation in the text of a plugin.
    #[must_use]
    pub fn read(text: &str, nstype: &NsType) -> Self {
        let head = format!("{nstype}:");
        let mut comments = text.lines().map(|line| line.strip_prefix('#').map(str::trim));
        let description = comments.find_map(|comment| comment?.strip_prefix(&head));
        let all = text.lines().map(|line| line.strip_prefix('#').map(str::trim));
        let list =
            all.skip_while(|comment| !comment.is_some_and(|text| text.starts_with("Settings"))).skip(1);
        Self {
            description: description.unwrap_or_default().trim().to_owned(),
            hooks: hooks(text, nstype),
            settings: list.map_while(|comment| comment).filter_map(setting).collect(),
        }
    }
}

/// Parses a line of the list of settings: a name in capitals, then its description. `None` for other lines: further lines of a
/// description are not read.
fn setting(line: &str) -> Option<Setting> {
    let (name, description) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let is_name = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    is_name.then(|| Setting { name: name.to_owned(), description: description.trim().to_owned() })
}

/// The hooks whose functions are defined at the beginning of a line, in the order of the text.
fn hooks(text: &str, nstype: &NsType) -> Vec<String> {
    let mut all = Vec::new();
    for phase in [Phase::Up, Phase::Down] {
        for side in [Side::Outside, Side::Inside] {
            all.push((format!("configure_{nstype}_{phase}_{side}"), format!("{phase} {side}")));
        }
    }
    let defined = |line: &str| {
        let line = line.trim_start().trim_start_matches("function ").trim_start();
        all.iter().find_map(|(function, hook)| {
            let rest = line.strip_prefix(function.as_str())?.trim_start();
            (rest.starts_with("()") || rest.starts_with('{')).then(|| hook.clone())
        })
    };
    text.lines().filter_map(defined).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_the_description_the_settings_and_the_hooks() {
        let text = "# shellcheck shell=bash\n# t: a thing\n#\n# Settings (in t.conf):\n#   T_A  the first,\n#        and more of it\n#\n\
                    #   T_B\n\n# NO  setting\nconfigure_t_up_inside() { :; }\nfunction configure_t_down_outside {\n:\n}\nconfigure_t_up_insidex() { :; }\n";
        let header = PluginHeader::read(text, &"t".parse().unwrap());
        assert_eq!(header.description, "a thing");
        let settings: Vec<(&str, &str)> = header
            .settings
            .iter()
            .map(|setting| (setting.name.as_str(), setting.description.as_str()))
            .collect();
        assert_eq!(settings, [("T_A", "the first,"), ("T_B", "")]);
        assert_eq!(header.hooks, ["up inside", "down outside"]);
    }
}
