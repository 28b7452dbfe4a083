//! The unit files of the types: plans the changes, and applies them. Each type has a unit pair, `netns-TYPE@.service` and
//! `netns_outside-TYPE@.service`: exact copies of the template units.

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

/// A template unit that was read.
#[derive(Debug)]
pub struct Template {
    half: &'static str,
    content: Vec<u8>,
    modified: SystemTime,
    /// The time of the installation, in seconds and nanoseconds.
    installed: (i64, i64),
}

/// Reads the two templates.
/// Errors: a template is missing, because the installation is incomplete; or a template cannot be read.
pub fn templates(paths: &Paths) -> Result<Vec<Template>> {
    unit::TYPE_PREFIXES.iter().map(|half| template(paths, half)).collect()
}

fn template(paths: &Paths, half: &'static str) -> Result<Template> {
    let file = unit::template(half);
    let found = paths.templates.iter().map(|directory| directory.join(&file)).find(|path| path.is_file());
    let path = found.with_context(|| {
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

/// The kind of change of a unit file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The file does not exist.
    Create,
    /// The contents differ.
    Update,
    /// The file is a symbolic link, and a copy replaces it.
    ReplaceLink,
    /// The type has no plugin any more, or the instance has no requirements any more.
    Remove,
    /// The file is up to date, a mask, or an administrator's file in place of a drop-in.
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
    pub content: Option<FileContent<'a>>,
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
pub enum FileContent<'a> {
    /// The contents of a template.
    Template(&'a Template),
    /// The text of a drop-in. The directory is created and removed with the file.
    DropIn(String),
}

/// The planned changes, sorted by path, and the changes that are not possible.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// The changes.
    pub changes: Vec<Change<'a>>,
    /// A message for each change that is not possible.
    pub problems: Vec<String>,
}

/// The entries in the directory of the units, sorted.
/// Errors: the directory cannot be read.
pub fn present(paths: &Paths) -> Result<Vec<DirEntry>> {
    file::entries(&paths.units)
}

/// Plans the unit files. Each type in `types` gets a unit pair, and the unit pairs of other types are removed. `present` are
/// the existing files. `reasons_to_keep` returns the reasons why the units of a type must not be removed.
#[must_use]
pub fn plan<'a>(
    paths: &Paths,
    present: &[DirEntry],
    types: &BTreeSet<NsType>,
    templates: &'a [Template],
    reasons_to_keep: impl Fn(&str) -> Vec<String>,
) -> Plan<'a> {
    let mut plan = Plan::default();
    for template in templates {
        for nstype in types {
            let name = unit::of_type(template.half, nstype);
            let path = paths.units.join(&name);
            let exists = present.binary_search_by(|entry| entry.file_name().cmp(name.as_ref())).is_ok();
            let action = if exists { action(&path, template) } else { Ok(Action::Create) };
            match action {
                Ok(action) => {
                    plan.changes.push(Change {
                        action,
                        path,
                        content: Some(FileContent::Template(template)),
                    });
                }
                Err(error) => plan.problems.push(format!("{error:#}")),
            }
        }
    }
    let types: BTreeSet<&str> = types.iter().map(AsRef::as_ref).collect();
    for (path, nstype) in copies_of_other_types(paths, present, &types) {
        let reasons = reasons_to_keep(&nstype);
        if reasons.is_empty() {
            plan.changes.push(Change { action: Action::Remove, path, content: None });
        } else {
            let message = |reason| format!("{} is not removed: {reason}", path.display());
            plan.problems.extend(reasons.into_iter().map(message));
        }
    }
    plan.sort();
    plan
}

impl Plan<'_> {
    /// The changes without those of the kind [`Action::Keep`].
    pub fn pending(&self) -> impl Iterator<Item = &Change<'_>> + Clone {
        self.changes.iter().filter(|change| change.action != Action::Keep)
    }

    /// Whether the units of a type are removed.
    #[must_use]
    pub fn removes(&self, nstype: &str) -> bool {
        self.changes.iter().any(|change| {
            let name = change.path.file_name().and_then(|name| name.to_str());
            change.action == Action::Remove && name.and_then(type_of_unit_file) == Some(nstype)
        })
    }

    /// Whether all files are up to date.
    #[must_use]
    pub fn is_up_to_date(&self) -> bool {
        self.pending().next().is_none()
    }

    fn sort(&mut self) {
        self.changes.sort_by(|one, other| one.path.as_os_str().cmp(other.path.as_os_str()));
    }
}

/// The action for the unit file of a type, if the file exists.
/// Errors: the file cannot be read, is not a regular file, or is foreign.
fn action(path: &Path, template: &Template) -> Result<Action> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(Action::Create) };
    if found.is_symlink() {
        return Ok(if leads_to_null(path) { Action::Keep } else { Action::ReplaceLink });
    }
    anyhow::ensure!(
        found.is_file(),
        "{} is not a regular file; remove it, then run this command again",
        path.display()
    );
    // A copy has the modification time of its template. If time and length are equal, the copy was not edited. The template may
    // have been replaced since, with the same time and length. The installation changes the inode of the template, so the copy
    // must be newer than this change.
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

/// Whether a unit file is a link to `/dev/null`, which masks the unit (systemctl(1), "mask").
#[must_use]
pub fn leads_to_null(path: &Path) -> bool {
    fs::canonicalize(path).is_ok_and(|target| target == Path::new("/dev/null"))
}

/// The unit files that are copies of a template, with their types. The template can be one of this program or of the original
/// bash scripts. Copies for a type in `types` are left out.
fn copies_of_other_types(
    paths: &Paths,
    present: &[DirEntry],
    types: &BTreeSet<&str>,
) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in present {
        let Some(nstype) = entry.file_name().to_str().and_then(type_of_unit_file) else { continue };
        if types.contains(nstype) {
            continue;
        }
        // A regular file or a link to a template can be a copy. A mask, another link, a directory or a FIFO cannot.
        let is_template = || {
            let target = fs::canonicalize(entry.path()).ok();
            paths.templates.iter().any(|directory| {
                target
                    .as_ref()
                    .is_some_and(|target| target.parent() == fs::canonicalize(directory).ok().as_deref())
            })
        };
        if (entry.file_type().is_file() || entry.path_is_symlink() && is_template())
            && fs::read(entry.path()).is_ok_and(|content| is_copy(&content))
        {
            found.push((entry.path().to_owned(), nstype.to_owned()));
        }
    }
    found
}

fn type_of_unit_file(name: &str) -> Option<&str> {
    let nstype = name.ends_with("@.service").then(|| unit::type_part(name))??;
    // With a hyphen, %j would be only a part of the type. No version of netns-update has created such a copy.
    (!nstype.contains('-')).then_some(nstype)
}

/// Whether a unit is a copy of a template. Only such a unit runs netnsinit with the type from the name of the unit (`%j`,
/// `%J`).
fn is_copy(content: &[u8]) -> bool {
    // All versions of the templates run such a command, and have nothing else in common. No administrator's unit contains it.
    let text = String::from_utf8_lossy(content);
    text.lines().filter_map(|line| line.trim().strip_prefix("ExecStart=")).any(|command| {
        let command = command.trim_start_matches(['-', '@', ':', '+', '!']);
        let arguments = shell_words::split(command).unwrap_or_default();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        matches!(arguments.as_slice(), [program, "%j" | "%J", "%i" | "%I", .., "up", "inside" | "outside"]
            if Path::new(program).file_name().is_some_and(|name| name == "netnsinit"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_recognized_by_their_command() {
        for copy in [
            "[Service]\nExecStart=netnsinit \"%j\" \"%i\" up inside\n",
            "ExecStart=/usr/sbin/netnsinit %J %I up outside",
            "  ExecStart=-netnsinit \"%J\" \"%I\" extra up inside\n",
        ] {
            assert!(is_copy(copy.as_bytes()), "{copy}");
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
    fn only_templates_of_types_have_a_type() {
        assert_eq!(type_of_unit_file("netns-veth@.service"), Some("veth"));
        assert_eq!(type_of_unit_file("netns_outside-a.b@.service"), Some("a.b"));
        for other in ["netns@.service", "netns-veth@x.service", "netns_name@.service", "netns-veth.service"] {
            assert_eq!(type_of_unit_file(other), None, "{other}");
        }
    }
}
