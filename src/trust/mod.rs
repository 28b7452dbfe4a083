//! Who can write what is run as root: the layers of an instance, and every directory on the way to one.
//!
//! Trusted are root, the user who runs this program, and where all is taken from below a directory other than `/`, the owner of
//! that. Whatever anybody else can write may have been written by them. What is looked at, each where it is and where a
//! symbolic link leads to:
//!
//! - A file: its owner can change it at any time, and give others the right to.
//! - A directory: who can write in it puts another file in the place of the one that was looked at, or one where there was none.
//!   The sticky bit (`/tmp`) prevents the first alone, so it changes nothing here.
//! - A symbolic link: its owner, as whoever could make it chose where it leads. Its mode means nothing.
//!
//! What lies above the root is not looked at, unless a link leads there: whoever names a root trusts in it.

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

/// The variable that allows all this, if it is 1.
pub const ALLOW: &str = "NETNS_ALLOW_UNSAFE_FILES";

/// As many links in a row as the kernel follows (`MAXSYMLINKS` in include/linux/namei.h).
const MOST_LINKS: usize = 40;

/// A file or directory that anybody else can write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsafe {
    /// The file or directory.
    pub path: PathBuf,
    /// Who can.
    pub why: String,
    /// The command that mends it.
    pub mend: String,
}

impl fmt::Display for Unsafe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; mend it by `{}`", self.path.display(), self.why, self.mend)
    }
}

/// Why nothing is run.
#[derive(Debug)]
pub struct Refused(Vec<Unsafe>);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing is run, as others could have written what would be:")?;
        for one in &self.0 {
            write!(f, "\n  {one}")?;
        }
        write!(f, "\n  Look at what it holds before you mend it. {ALLOW}=1 in the environment allows it.")
    }
}

impl std::error::Error for Refused {}

/// Makes sure that nobody else can write these files, before they are run. Where that is allowed nevertheless, it is warned of.
/// Errors: names each file and directory that somebody else can write, and what mends it.
pub fn require<File: AsRef<Path>>(root: &Path, files: impl IntoIterator<Item = File>) -> Result<()> {
    let found = judge(root, files);
    if found.is_empty() {
        return Ok(());
    }
    if allowed() {
        for one in found {
            print::warn(&format!("{one} (it is run nevertheless, as {ALLOW}=1 says)"));
        }
        return Ok(());
    }
    Err(Refused(found).into())
}

/// Whether such files are run nevertheless.
#[must_use]
pub fn allowed() -> bool {
    std::env::var_os(ALLOW).is_some_and(|value| value == "1")
}

/// Looks at files and all directories on the way to them; a file need not be there.
pub fn judge<File: AsRef<Path>>(root: &Path, files: impl IntoIterator<Item = File>) -> Vec<Unsafe> {
    let mut judge = Judge::of(root);
    for file in files {
        judge.walk(file.as_ref());
    }
    judge.found
}

struct Judge<'a> {
    root: &'a Path,
    /// The owner of a root other than `/`.
    owner: Option<u32>,
    /// What was looked at, but for links.
    seen: BTreeSet<PathBuf>,
    found: Vec<Unsafe>,
}

impl<'a> Judge<'a> {
    fn of(root: &'a Path) -> Self {
        let owner =
            if root == Path::new("/") { None } else { fs::metadata(root).ok().map(|found| found.uid()) };
        Self { root, owner, seen: BTreeSet::new(), found: Vec::new() }
    }

    /// Goes the way that the kernel goes, link by link (path_resolution(7)), and looks at each thing on it.
    fn walk(&mut self, file: &Path) {
        let (mut path, mut rest) = match file.strip_prefix(self.root) {
            Ok(below) => (self.root.to_owned(), parts(below)),
            Err(_) => (PathBuf::from("/"), parts(file)),
        };
        if path == Path::new("/") {
            self.visit(&path);
        }
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            if part == ".." {
                path.pop();
                continue;
            }
            path.push(part);
            let target = match self.visit(&path) {
                Visited::Plain => continue,
                Visited::Nothing => break,
                Visited::Link(target) => target,
            };
            links += 1;
            if links > MOST_LINKS {
                break; // nor does the kernel go on
            }
            path.pop();
            if target.is_absolute() {
                path = PathBuf::from("/");
                self.visit(&path);
            }
            for part in parts(&target).into_iter().rev() {
                rest.push_front(part);
            }
        }
        // Links of /proc do not lead where they say: that cannot be looked at.
        if links > 0 && path.symlink_metadata().is_err() && file.exists() {
            self.add(file, "it cannot be told where this link leads".to_owned(), &["rm", "--"]);
        }
    }

    fn visit(&mut self, path: &Path) -> Visited {
        if self.seen.contains(path) {
            return Visited::Plain;
        }
        let above = path != self.root && self.root.starts_with(path);
        let found = match path.symlink_metadata() {
            Ok(found) => found,
            Err(error) => {
                // What this user may not look at, bash may not read.
                if ![ErrorKind::NotFound, ErrorKind::PermissionDenied, ErrorKind::NotADirectory]
                    .contains(&error.kind())
                {
                    self.add(path, format!("it cannot be looked at ({error})"), &["ls", "-ld"]);
                }
                return Visited::Nothing;
            }
        };
        let named_root = path == self.root && path != Path::new("/");
        if !above && !named_root {
            self.look(path, &found);
        }
        if found.is_symlink() {
            return fs::read_link(path).map_or(Visited::Nothing, Visited::Link);
        }
        self.seen.insert(path.to_owned());
        Visited::Plain
    }

    fn look(&mut self, path: &Path, found: &Metadata) {
        // Everybody may write to /dev/null, and nobody reads it there: a usual way to mask a file.
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
        let what = if found.is_dir() { "put files into it" } else { "write it" };
        if found.mode() & 0o002 != 0 {
            self.add(path, format!("everybody can {what}"), &["chmod", "o-w"]);
        }
        // Where there is an access control list, these bits are its mask (acl(5)): without them, it lets nobody write.
        if found.mode() & 0o020 == 0 {
            return;
        }
        match acl::writers(path) {
            Some(entries) => self.look_at_list(path, found, entries, what),
            None if self.trusts_group(found.gid()) => {}
            None => self.add(path, format!("the group {} can {what}", group(found.gid())), &["chmod", "g-w"]),
        }
    }

    /// Looks at an access control list.
    fn look_at_list(&mut self, path: &Path, found: &Metadata, entries: Vec<acl::Writer>, what: &str) {
        for entry in entries {
            let (trusted, who, word) = match entry {
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
                let mend =
                    if word == "g" { vec!["setfacl", "-m", "g::r-X"] } else { vec!["setfacl", "-x", &word] };
                self.add(path, format!("{who} can {what}, by an access control list"), &mend);
            }
        }
    }

    fn trusts(&self, uid: u32) -> bool {
        uid == 0 || self.owner == Some(uid) || uid == geteuid().as_raw() || overflow::is_nobody_here(uid)
    }

    /// The group of root, and the one that a user has alone, which has the user's number (`USERGROUPS_ENAB` in login.defs(5)).
    fn trusts_group(&self, gid: u32) -> bool {
        gid == 0 || self.owner == Some(gid) || gid == geteuid().as_raw()
    }

    fn add(&mut self, path: &Path, why: String, command: &[&str]) {
        let name = path.to_string_lossy();
        let mend = shell_words::join(command.iter().copied().chain([&*name]));
        let one = Unsafe { path: path.to_owned(), why, mend };
        if !self.found.contains(&one) {
            self.found.push(one);
        }
    }
}

enum Visited {
    /// A file or a directory.
    Plain,
    /// Nothing, as far as this user can see.
    Nothing,
    /// A symbolic link to there.
    Link(PathBuf),
}

/// The names that a path consists of, and `..`.
fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsStr::new("..").to_owned()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// A user as people know it. Not by nss, which may ask the network: by `/etc/passwd` alone.
fn user(uid: u32) -> String {
    named("/etc/passwd", uid)
}

fn group(gid: u32) -> String {
    named("/etc/group", gid)
}

fn named(file: &str, number: u32) -> String {
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
