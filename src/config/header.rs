//! What a plugin says of itself for people, in its comments: its description, its settings, its hooks.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::name::{NsType, Phase, Side};

/// What a plugin says of itself.
#[derive(Debug, Default, Serialize)]
pub struct PluginHeader {
    /// The rest of the comment line that begins with the type: `# veth: a pair of …`.
    pub description: String,
    /// The hooks that are written out in the file, as `up outside`.
    pub hooks: Vec<String>,
    /// What is listed after a comment line that begins with `Settings`.
    pub settings: Vec<Setting>,
}

/// A variable that a plugin reads.
#[derive(Debug, Serialize)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
}

impl PluginHeader {
    /// Reads what a plugin says of itself. It is not run.
    /// Errors: the file cannot be read.
    pub fn of(path: &Path, nstype: &NsType) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("cannot read plugin {}", path.display()))?;
        Ok(Self::read(&String::from_utf8_lossy(&text), nstype))
    }

    /// The same, from the text of the plugin.
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

/// A line of the list of settings: the name in capitals, then what it is for. Other lines go on with the one above them.
fn setting(line: &str) -> Option<Setting> {
    let (name, description) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let is_name = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    is_name.then(|| Setting { name: name.to_owned(), description: description.trim().to_owned() })
}

/// The hooks whose functions begin on a line of the text, in its order.
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
    fn description_settings_and_hooks_are_read() {
        let text = "# shellcheck shell=bash\n# t: a thing\n#\n# Settings (in t.conf):\n#   T_A  the first,\n#        and more of it\n#\n\
                    #   T_B\n\n# NO  setting\nconfigure_t_up_inside() { :; }\nfunction configure_t_down_outside {\n:\n}\nconfigure_t_up_insidex() { :; }\n";
        let about = PluginHeader::read(text, &"t".parse().unwrap());
        assert_eq!(about.description, "a thing");
        let settings: Vec<(&str, &str)> =
            about.settings.iter().map(|one| (one.name.as_str(), one.description.as_str())).collect();
        assert_eq!(settings, [("T_A", "the first,"), ("T_B", "")]);
        assert_eq!(about.hooks, ["up inside", "down outside"]);
    }
}
