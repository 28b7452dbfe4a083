//! The systemd units of every type: the plan of changes, and its application.
//!
//! Each type has a pair of copies of the template units, `netns-TYPE@.service` and `netns_outside-TYPE@.service`, byte-identical to the
//! template: `%j` in them is TYPE. An instance with requirements also has a drop-in.

mod apply;
pub mod dropins;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use walkdir::DirEntry;

pub use apply::{Applied, lock};

use crate::name::{NsType, unit};
use crate::paths::Paths;
use crate::sys::file;

/// The contents of a template unit.
#[derive(Debug)]
pub struct Template {
    half: &'static str,
    content: Vec<u8>,
    modified: SystemTime,
    /// The time of its installation, in seconds and nanoseconds.
    installed: (i64, i64),
}

/// Reads the two templates.
/// Errors: a template is missing: the program is not installed completely.
pub fn templates(paths: &Paths) -> Result<Vec<Template>> {
    unit::TYPE_PREFIXES.iter().map(|half| template(paths, half)).collect()
}

fn template(paths: &Paths, half: &'static str) -> Result<Template> {
    let file = unit::template(half);
    let place = paths.templates.iter().map(|place| place.join(&file)).find(|path| path.is_file());
    let path = place.with_context(|| {
        let [.., standard, _] = &paths.templates;
        format!("cannot find template unit {}: install systemd-netns again", standard.join(&file).display())
    })?;
    let read = || -> std::io::Result<Template> {
        let found = fs::metadata(&path)?;
        let installed = (found.ctime(), found.ctime_nsec());
        Ok(Template { half, content: fs::read(&path)?, modified: found.modified()?, installed })
    };
    read().with_context(|| format!("cannot read template unit {}", path.display()))
}

/// The change of a unit file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The file does not exist.
    Create,
    /// The contents differ.
    Update,
    /// A copy replaces a symbolic link.
    ReplaceLink,
    /// The type was deleted, or the instance has no requirements.
    Remove,
    /// The file is up to date, masked, or foreign in place of a drop-in.
    Keep,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "Creating",
            Self::Update => "Updating",
            Self::ReplaceLink => "Replacing symbolic link",
            Self::Remove => "Removing",
            Self::Keep => "Keeping",
        })
    }
}

/// One unit file and its change.
#[derive(Debug)]
pub struct Change<'a> {
    /// The kind of change.
    pub action: Action,
    /// The path of the file.
    pub path: PathBuf,
    /// The new contents; `None` if nothing is written.
    pub text: Option<Text<'a>>,
}

impl Change<'_> {
    /// Whether the file is a drop-in, not a unit.
    #[must_use]
    pub fn is_dropin(&self) -> bool {
        self.path.parent().is_some_and(|directory| directory.extension().is_some_and(|end| end == "d"))
    }
}

/// The new contents of a file.
#[derive(Debug)]
pub enum Text<'a> {
    /// The contents of a template.
    Template(&'a Template),
    /// This text. Its directory is created and removed with the file.
    DropIn(String),
}

/// All changes, sorted by name, and the obstacles.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// The changes.
    pub changes: Vec<Change<'a>>,
    /// A line for each change that is not possible.
    pub complaints: Vec<String>,
}

/// The entries in the directory of the units, sorted.
/// Errors: the directory cannot be read.
pub fn present(paths: &Paths) -> Result<Vec<DirEntry>> {
    file::entries(&paths.units)
}

/// Plans the changes for `types`; other types lose their units. `present` are the entries of the directory. `needs` returns
/// reasons to keep the units of a type.
#[must_use]
pub fn plan<'a>(
    paths: &Paths,
    present: &[DirEntry],
    types: &BTreeSet<NsType>,
    templates: &'a [Template],
    needs: impl Fn(&str) -> Vec<String>,
) -> Plan<'a> {
    let mut plan = Plan::default();
    for template in templates {
        for nstype in types {
            let name = unit::of_type(template.half, nstype);
            let path = paths.units.join(&name);
            let is_there = present.binary_search_by(|entry| entry.file_name().cmp(name.as_ref())).is_ok();
            let action = if is_there { wanted(&path, template) } else { Ok(Action::Create) };
            match action {
                Ok(action) => {
                    plan.changes.push(Change { action, path, text: Some(Text::Template(template)) });
                }
                Err(error) => plan.complaints.push(format!("{error:#}")),
            }
        }
    }
    let words: BTreeSet<&str> = types.iter().map(AsRef::as_ref).collect();
    for (path, word) in ours(paths, present, &words) {
        let reasons = needs(&word);
        if reasons.is_empty() {
            plan.changes.push(Change { action: Action::Remove, path, text: None });
        } else {
            let line = |reason| format!("{} is not removed: {reason}", path.display());
            plan.complaints.extend(reasons.into_iter().map(line));
        }
    }
    plan.sort();
    plan
}

impl Plan<'_> {
    /// The changes, without the files that are kept.
    pub fn to_do(&self) -> impl Iterator<Item = &Change<'_>> + Clone {
        self.changes.iter().filter(|change| change.action != Action::Keep)
    }

    /// Whether there are no changes.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.to_do().next().is_none()
    }

    fn sort(&mut self) {
        self.changes.sort_by(|one, other| one.path.as_os_str().cmp(other.path.as_os_str()));
    }
}

/// The action for an existing unit file that is wanted.
fn wanted(path: &Path, template: &Template) -> Result<Action> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(Action::Create) };
    if found.is_symlink() {
        let masked = fs::canonicalize(path).is_ok_and(|target| target == Path::new("/dev/null"));
        return Ok(if masked { Action::Keep } else { Action::ReplaceLink });
    }
    anyhow::ensure!(
        found.is_file(),
        "{} is not a regular file; remove it, then run this command again",
        path.display()
    );
    // A copy has the time of its template. If time and length are equal, the copy was not edited. If it was also written after the template
    // was installed (the time of the last inode change), it is a copy of this template.
    let written = (found.ctime(), found.ctime_nsec());
    if found.len() == template.content.len() as u64
        && found.modified().ok() == Some(template.modified)
        && written > template.installed
    {
        return Ok(Action::Keep);
    }
    let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    // An empty file is a mask too (systemd.unit(5)).
    if content.is_empty() || content == template.content {
        return Ok(Action::Keep);
    }
    anyhow::ensure!(
        is_copy(&content),
        "{} is a foreign unit, not a copy of a template; remove or rename it, then run this command again",
        path.display()
    );
    Ok(Action::Update)
}

/// Every unit file that is a copy of a template, ours or of the bash scripts, with its type, except for `types`.
fn ours(paths: &Paths, present: &[DirEntry], types: &BTreeSet<&str>) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in present {
        let Some(word) = entry.file_name().to_str().and_then(type_of_unit_file) else { continue };
        if types.contains(word) {
            continue;
        }
        // A mask, a link to another file, a directory or a FIFO is not a copy.
        let is_template = || {
            let target = fs::canonicalize(entry.path()).ok();
            paths.templates.iter().any(|place| {
                target
                    .as_ref()
                    .is_some_and(|target| target.parent() == fs::canonicalize(place).ok().as_deref())
            })
        };
        if (entry.file_type().is_file() || entry.path_is_symlink() && is_template())
            && fs::read(entry.path()).is_ok_and(|content| is_copy(&content))
        {
            found.push((entry.path().to_owned(), word.to_owned()));
        }
    }
    found
}

fn type_of_unit_file(name: &str) -> Option<&str> {
    let word = name.ends_with("@.service").then(|| unit::type_part(name))??;
    // With a hyphen, %j would be only a part of the type: no version of netns-update has created such a copy.
    (!word.contains('-')).then_some(word)
}

/// Whether a unit runs netnsinit for the type in its own name (`%j`, `%J`). Only this is the same in all versions of the templates.
fn is_copy(content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content);
    text.lines().filter_map(|line| line.trim().strip_prefix("ExecStart=")).any(|command| {
        let command = command.trim_start_matches(['-', '@', ':', '+', '!']);
        let words = shell_words::split(command).unwrap_or_default();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        matches!(words.as_slice(), [program, "%j" | "%J", "%i" | "%I", .., "up", "inside" | "outside"]
            if Path::new(program).file_name().is_some_and(|name| name == "netnsinit"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_known_by_the_command_that_they_run() {
        for ours in [
            "[Service]\nExecStart=netnsinit \"%j\" \"%i\" up inside\n",
            "ExecStart=/usr/sbin/netnsinit %J %I up outside",
            "  ExecStart=-netnsinit \"%J\" \"%I\" extra up inside\n",
        ] {
            assert!(is_copy(ours.as_bytes()), "{ours}");
        }
        for foreign in [
            "",
            "ExecStart=netnsinit foo %i up inside",
            "ExecStart=/usr/bin/sleep infinity",
            "# ExecStart=netnsinit %j %i up inside",
            "ExecStart=notnetnsinit %j %i up inside",
            "ExecStop=netnsinit %j %i down inside",
        ] {
            assert!(!is_copy(foreign.as_bytes()), "{foreign}");
        }
    }

    #[test]
    fn only_template_units_with_a_type_have_a_type() {
        assert_eq!(type_of_unit_file("netns-veth@.service"), Some("veth"));
        assert_eq!(type_of_unit_file("netns_outside-a.b@.service"), Some("a.b"));
        for other in ["netns@.service", "netns-veth@x.service", "netns_name@.service", "netns-veth.service"] {
            assert_eq!(type_of_unit_file(other), None, "{other}");
        }
    }
}
