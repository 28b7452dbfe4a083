//! Checks which users can write the files that are run as root: the layers of an instance, and all directories on the paths to
//! them.
//!
//! Trusted users are root and the user who runs this program. If all files are below a root directory other than `/`, its owner
//! is trusted too. A file that any other user can write may contain commands of that user. These objects are checked, for each
//! path and for the targets of its symbolic links:
//!
//! - A file: its owner can change it at any time, and can allow other users to change it.
//! - A directory: a user who can write to it can replace a checked file, or create a missing one. The sticky bit (`/tmp`) only
//!   prevents the replacement, so it makes no difference here.
//! - A symbolic link: only its owner is checked, because the owner has chosen the target. The mode of a link has no meaning.
//!
//! Directories above the root are only checked if a link leads to them: the user who chooses a root trusts its path.

mod acl;
mod overflow;

use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use nix::sys::stat::{major, minor};
use nix::unistd::geteuid;

use crate::print;

/// The variable that allows unsafe files, if its value is 1.
pub const ALLOW: &str = "NETNS_ALLOW_UNSAFE_FILES";

/// The number of links that the kernel follows in a path (`MAXSYMLINKS` in include/linux/namei.h).
const MAX_LINKS: usize = 40;

/// A file or directory that an untrusted user can write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsafe {
    /// The file or directory.
    pub path: PathBuf,
    /// The reason, with the user or group.
    pub why: String,
    /// The next step for the user, for the end of a message.
    pub advice: String,
}

impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path.display(), self.why, self.advice)
    }
}

/// The error for unsafe files, which are not run.
#[derive(Debug)]
pub struct Refused(Vec<Unsafe>);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refusing to run files that other users can write:")?;
        for file in &self.0 {
            write!(f, "\n  {file}")?;
        }
        write!(
            f,
            "\n  Check the contents before you fix this. {ALLOW}=1 in the environment allows such files."
        )
    }
}

impl std::error::Error for Refused {}

/// Checks files before they are run. If unsafe files are allowed, a warning is printed for each.
/// Errors: an untrusted user can write a file or a directory ([`Refused`]). The message lists all of them, each with a fix.
pub fn require<File: AsRef<Path>>(root: &Path, files: impl IntoIterator<Item = File>) -> Result<()> {
    let found = check(root, files);
    if found.is_empty() {
        return Ok(());
    }
    if allowed() {
        for file in found {
            print::warn(&format!("{file} (used anyway, because {ALLOW}=1 is set)"));
        }
        return Ok(());
    }
    Err(Refused(found).into())
}

/// Whether the environment allows unsafe files.
#[must_use]
pub fn allowed() -> bool {
    std::env::var_os(ALLOW).is_some_and(|value| value == "1")
}

/// Finds unsafe files, and unsafe directories on the paths to them. A file can be missing.
pub fn check<File: AsRef<Path>>(root: &Path, files: impl IntoIterator<Item = File>) -> Vec<Unsafe> {
    let mut checker = Checker::of(root);
    for file in files {
        checker.walk(file.as_ref());
    }
    checker.found
}

struct Checker<'a> {
    root: &'a Path,
    /// The owner of a root other than `/`.
    owner: Option<u32>,
    /// The checked files and directories, without links.
    checked: BTreeSet<PathBuf>,
    found: Vec<Unsafe>,
}

impl<'a> Checker<'a> {
    fn of(root: &'a Path) -> Self {
        let owner =
            if root == Path::new("/") { None } else { fs::metadata(root).ok().map(|found| found.uid()) };
        Self { root, owner, checked: BTreeSet::new(), found: Vec::new() }
    }

    /// Resolves a path like the kernel (path_resolution(7)), and checks each directory, link and file on it.
    fn walk(&mut self, file: &Path) {
        let (mut path, mut rest) = match file.strip_prefix(self.root) {
            Ok(below) => (self.root.to_owned(), components(below)),
            Err(_) => (PathBuf::from("/"), components(file)),
        };
        if path == Path::new("/") {
            self.visit(&path);
        }
        let mut links = 0;
        while let Some(component) = rest.pop_front() {
            if component == ".." {
                path.pop();
                continue;
            }
            path.push(component);
            let target = match self.visit(&path) {
                Visited::Checked => continue,
                Visited::Missing => break,
                Visited::Link(target) => target,
            };
            links += 1;
            if links > MAX_LINKS {
                break; // the kernel stops here, too
            }
            path.pop();
            if target.is_absolute() {
                path = PathBuf::from("/");
                self.visit(&path);
            }
            for component in components(&target).into_iter().rev() {
                rest.push_front(component);
            }
        }
        // The text of a link in /proc is not the path of its target, so the target cannot be checked.
        if links > 0 && path.symlink_metadata().is_err() && file.exists() {
            self.add(file, "the target of this link cannot be checked".to_owned(), &["rm", "--"]);
        }
    }

    fn visit(&mut self, path: &Path) -> Visited {
        if self.checked.contains(path) {
            return Visited::Checked;
        }
        let is_above_root = path != self.root && self.root.starts_with(path);
        let found = match path.symlink_metadata() {
            Ok(found) => found,
            Err(error) => {
                // If this user has no permission, bash cannot read the file.
                if ![ErrorKind::NotFound, ErrorKind::PermissionDenied, ErrorKind::NotADirectory]
                    .contains(&error.kind())
                {
                    self.add(path, format!("it cannot be checked ({error})"), &["ls", "-ld"]);
                }
                return Visited::Missing;
            }
        };
        let is_other_root = path == self.root && path != Path::new("/");
        if !is_above_root && !is_other_root {
            self.inspect(path, &found);
        }
        if found.is_symlink() {
            return fs::read_link(path).map_or(Visited::Missing, Visited::Link);
        }
        self.checked.insert(path.to_owned());
        Visited::Checked
    }

    /// Checks the owner, the mode and the access control list of a file or directory.
    fn inspect(&mut self, path: &Path, found: &Metadata) {
        // A link to /dev/null is a usual way to mask a file. Any user can write to /dev/null, but its contents do not change.
        if found.file_type().is_char_device() && (major(found.rdev()), minor(found.rdev())) == (1, 3) {
            return;
        }
        if !self.trusts(found.uid()) {
            let why = format!("it belongs to the user {}", user(found.uid()));
            self.add(
                path,
                why,
                if found.is_symlink() { &["chown", "-h", "root"] } else { &["chown", "root"] },
            );
        }
        if found.is_symlink() {
            return;
        }
        let action = if found.is_dir() { "create files in it" } else { "write it" };
        if found.mode() & 0o002 != 0 {
            let mut advice = fix(path, &["chmod", "o-w"]);
            // All users share /tmp and other sticky directories.
            if found.is_dir() && found.mode() & 0o1000 != 0 {
                advice += ", or move the file to another directory if other users need this one";
            }
            self.push(path, format!("any user can {action}"), advice);
        }
        // With an access control list, the group bits are its mask (acl(5)). Without the bit, the list allows no user to write.
        if found.mode() & 0o020 == 0 {
            return;
        }
        match acl::writers(path) {
            Some(entries) => self.inspect_acl(path, found, entries, action),
            None if self.trusts_group(found.gid()) => {}
            None => {
                self.add(path, format!("the group {} can {action}", group(found.gid())), &["chmod", "g-w"]);
            }
        }
    }

    /// Checks the writers in an access control list.
    fn inspect_acl(&mut self, path: &Path, found: &Metadata, entries: Vec<acl::Writer>, action: &str) {
        for entry in entries {
            let (trusted, writer, acl_entry) = match entry {
                acl::Writer::User(uid) => {
                    (self.trusts(uid), format!("the user {}", user(uid)), format!("u:{uid}"))
                }
                acl::Writer::Group(gid) => {
                    (self.trusts_group(gid), format!("the group {}", group(gid)), format!("g:{gid}"))
                }
                acl::Writer::OwningGroup => {
                    let gid = found.gid();
                    (self.trusts_group(gid), format!("the group {}", group(gid)), "g".to_owned())
                }
            };
            if !trusted {
                let fix = if acl_entry == "g" {
                    vec!["setfacl", "-m", "g::r-X"]
                } else {
                    vec!["setfacl", "-x", &acl_entry]
                };
                self.add(path, format!("{writer} can {action}, by an access control list"), &fix);
            }
        }
    }

    fn trusts(&self, uid: u32) -> bool {
        uid == 0 || self.owner == Some(uid) || uid == geteuid().as_raw() || overflow::is_unmapped(uid)
    }

    /// Trusts the group of root, and the private group of each trusted user. A private group has the same number as its user
    /// (`USERGROUPS_ENAB` in login.defs(5)).
    fn trusts_group(&self, gid: u32) -> bool {
        gid == 0 || self.owner == Some(gid) || gid == geteuid().as_raw()
    }

    /// Adds a finding that a command fixes.
    fn add(&mut self, path: &Path, why: String, command: &[&str]) {
        self.push(path, why, fix(path, command));
    }

    fn push(&mut self, path: &Path, why: String, advice: String) {
        let file = Unsafe { path: path.to_owned(), why, advice };
        if !self.found.contains(&file) {
            self.found.push(file);
        }
    }
}

/// The advice to run a command on a file.
fn fix(path: &Path, command: &[&str]) -> String {
    let name = path.to_string_lossy();
    format!("fix: `{}`", shell_words::join(command.iter().copied().chain([&*name])))
}

/// The result for one component of a path.
enum Visited {
    /// A file or a directory, which was checked.
    Checked,
    /// A file that does not exist or that this user cannot access.
    Missing,
    /// A symbolic link, with its target.
    Link(PathBuf),
}

/// The components of a path: names and `..`.
fn components(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsStr::new("..").to_owned()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// The name of a user for a message, from `/etc/passwd`. Nss is not used, because it can query the network.
fn user(uid: u32) -> String {
    name_and_id("/etc/passwd", uid)
}

/// The name of a group for a message.
fn group(gid: u32) -> String {
    name_and_id("/etc/group", gid)
}

fn name_and_id(file: &str, number: u32) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let name = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number.to_string()).then_some(name)
    });
    name.map_or(number.to_string(), |name| format!("{name} ({number})"))
}

#[cfg(test)]
mod tests;
