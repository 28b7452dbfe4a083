//! How the host resolves names, as far as it goes round a network namespace: a resolv.conf that is replaced at run time, and
//! daemons that are asked by sockets of the file system.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::name::NsName;
use crate::paths::Paths;

/// nscd, which libc asks before it looks at nsswitch.conf (`_PATH_NSCDSOCKET` in glibc's nscd/nscd-client.h).
pub const NSCD: &str = "/run/nscd";
/// systemd-resolved: the socket of nss-resolve(8), and the files that /etc/resolv.conf may be a link to.
pub const RESOLVED: &str = "/run/systemd/resolve";
/// What in there is asked.
pub const SOCKETS: [&str; 2] = ["/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve"];

/// The file that says which resolver is asked, in `/etc` and in `/etc/netns/NAME`.
pub const FILE: &str = "resolv.conf";
/// See [`FILE`].
pub const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Whether a namespace has a resolv.conf of its own.
#[must_use]
pub fn has_own(paths: &Paths, name: &NsName) -> bool {
    paths.files(name).join("resolv.conf").exists()
}

/// The directories to hide from a process in a namespace, so that it asks nobody but the namespace's resolver. None where
/// the namespace has no such file of its own, now or as soon as an instance is up that writes it (`expected`): then the
/// host's is meant.
#[must_use]
pub fn resolver_directories(paths: &Paths, name: &NsName, expected: bool) -> Vec<PathBuf> {
    let has = |file: &str| expected || paths.files(name).join(file).exists();
    let mut directories = Vec::new();
    if has("resolv.conf") {
        directories.push(RESOLVED.into());
        directories.extend(Mutable::of(paths).directory());
    }
    if ["resolv.conf", "nsswitch.conf", "hosts"].into_iter().any(has) {
        directories.push(NSCD.into());
    }
    directories.sort();
    directories.dedup();
    directories
}

/// How the host's /etc/resolv.conf may change under a mount that covers it. The kernel takes such a mount away, in every
/// other mount namespace, when the file that it is on is renamed over or removed (`detach_mounts` in fs/namespace.c).
#[derive(Debug, PartialEq, Eq)]
pub enum Mutable {
    /// It is a link to a file in a directory that can be covered as a whole, so that nobody else gets at what is below.
    Within(PathBuf),
    /// It is a file, or a link to one among others: a mount on it lasts as long as nobody replaces it.
    File(PathBuf),
    /// There is none.
    Missing,
}

impl Mutable {
    /// How it is on this machine.
    #[must_use]
    pub fn of(paths: &Paths) -> Self {
        let link = paths.root.join(&RESOLV_CONF[1..]);
        let Ok(file) = target(&link) else { return Self::Missing };
        match file.parent() {
            Some(directory) if link.is_symlink() && is_apart(directory) => Self::Within(directory.to_owned()),
            _ => Self::File(file),
        }
    }

    /// Warns that a process gets the host's resolver when a program on the host replaces the file.
    #[must_use]
    pub fn warning(&self, process: &str) -> Option<String> {
        match self {
            Self::Missing => None,
            Self::Within(directory) => Some(format!(
                "/etc/resolv.conf is a link: what replaces files in {} leaves {process} its resolver, but when the link itself is \
                 replaced, it gets the host's until it is restarted; `netnsctl check` finds out",
                directory.display()
            )),
            Self::File(file) => Some(format!(
                "when a program on the host replaces {file}, {process} gets that resolver until it is restarted; `netnsctl check` \
                 finds out; to be safe, keep the file in a directory of its own, and make /etc/resolv.conf a link to it, \
                 as in `mkdir /etc/resolver && mv /etc/resolv.conf /etc/resolver/ && ln -s resolver/resolv.conf /etc/`",
                file = file.display()
            )),
        }
    }

    /// What to cover.
    #[must_use]
    pub fn directory(self) -> Option<PathBuf> {
        if let Self::Within(directory) = self { Some(directory) } else { None }
    }
}

/// What a path stands for, where its last part need not be there.
/// Errors: the directory is not there either.
pub fn target(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize().or_else(|error| {
        let link = path.parent().unwrap_or(path).join(path.read_link()?);
        match (link.parent(), link.file_name()) {
            (Some(directory), Some(name)) if !link.is_symlink() => Ok(directory.canonicalize()?.join(name)),
            _ => Err(error),
        }
    })
}

/// Whether nothing but resolving is in a directory: it is a daemon's below /run, or has but one file.
fn is_apart(directory: &Path) -> bool {
    let below_run = directory.starts_with("/run") && directory != Path::new("/run");
    below_run || fs::read_dir(directory).is_ok_and(|entries| entries.count() == 1)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_into_a_directory_of_its_own_can_be_covered_and_a_file_in_etc_cannot() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::under(root.path());
        assert_eq!(Mutable::of(&paths), Mutable::Missing);
        let etc = root.path().join("etc");
        fs::create_dir_all(etc.join("resolver")).unwrap();
        fs::write(etc.join("resolver/resolv.conf"), "").unwrap();
        symlink("resolver/resolv.conf", etc.join("resolv.conf")).unwrap();
        let directory = etc.join("resolver").canonicalize().unwrap();
        assert_eq!(Mutable::of(&paths), Mutable::Within(directory.clone()));

        fs::write(etc.join("resolver/other"), "").unwrap();
        assert_eq!(Mutable::of(&paths), Mutable::File(directory.join("resolv.conf")));
        fs::remove_file(etc.join("resolv.conf")).unwrap();
        fs::write(etc.join("resolv.conf"), "").unwrap();
        assert!(matches!(Mutable::of(&paths), Mutable::File(_)));
    }

    #[test]
    fn the_doors_are_hidden_where_the_namespace_has_files_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::under(root.path());
        let name: NsName = "a".parse().unwrap();
        assert_eq!(resolver_directories(&paths, &name, false), Vec::<PathBuf>::new());
        assert_eq!(resolver_directories(&paths, &name, true), [PathBuf::from(NSCD), RESOLVED.into()]);
        fs::create_dir_all(paths.files(&name)).unwrap();
        fs::write(paths.files(&name).join("hosts"), "").unwrap();
        assert_eq!(resolver_directories(&paths, &name, false), [PathBuf::from(NSCD)]);
        fs::write(paths.files(&name).join("resolv.conf"), "").unwrap();
        assert_eq!(resolver_directories(&paths, &name, false), [PathBuf::from(NSCD), RESOLVED.into()]);
    }
}
