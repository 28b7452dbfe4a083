//! What a plugin says of itself in its comments: its description, its settings, its hooks.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::name::NsType;

/// What a plugin says of itself in its comments.
#[derive(Debug, Default, Serialize)]
pub struct About {
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

/// Reads what a plugin says of itself. It is not run.
///
/// # Errors
/// The file cannot be read.
pub fn about(path: &Path, nstype: &NsType) -> Result<About> {
    let text = fs::read(path).with_context(|| format!("cannot read plugin {}", path.display()))?;
    Ok(describe(&String::from_utf8_lossy(&text), nstype))
}

fn describe(text: &str, nstype: &NsType) -> About {
    let mut about = About::default();
    let mut in_settings = false;
    for line in text.lines() {
        let comment = line.strip_prefix('#');
        if let Some(rest) = comment.and_then(|comment| comment.trim().strip_prefix(&format!("{nstype}:"))) {
            if about.description.is_empty() {
                rest.trim().clone_into(&mut about.description);
            }
        } else if comment.is_some_and(|comment| comment.trim_start().starts_with("Settings")) {
            in_settings = true;
        } else if let (true, Some(comment)) = (in_settings, comment) {
            let (name, description) =
                comment.trim().split_once(char::is_whitespace).unwrap_or((comment.trim(), ""));
            if !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
            {
                about
                    .settings
                    .push(Setting { name: name.to_owned(), description: description.trim().to_owned() });
            }
        } else {
            in_settings = false;
        }
        for phase in ["up", "down"] {
            for side in ["outside", "inside"] {
                let function = format!("configure_{nstype}_{phase}_{side}");
                let line = line.trim_start().trim_start_matches("function ").trim_start();
                if line.strip_prefix(&function).is_some_and(|rest| {
                    rest.trim_start().starts_with("()") || rest.trim_start().starts_with('{')
                }) {
                    about.hooks.push(format!("{phase} {side}"));
                }
            }
        }
    }
    about
}
