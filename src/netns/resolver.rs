//! The parts of the host's name resolution that a network namespace does not separate: a resolv.conf that is replaced at run time,
//! and daemons with sockets in the file system.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::name::NsName;
use crate::paths::Paths;

/// nscd. libc queries it before it reads nsswitch.conf (`_PATH_NSCDSOCKET` in glibc's nscd/nscd-client.h).
pub const NSCD: &str = "/run/nscd";
/// The directory of systemd-resolved: the socket of nss-resolve(8), and the possible targets of /etc/resolv.conf.
pub const RESOLVED: &str = "/run/systemd/resolve";
/// The sockets in these directories.
pub const SOCKETS: [&str; 2] = ["/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve"];

/// The name of the file with the name servers, in `/etc` and in `/etc/netns/NAME`.
pub const FILE_NAME: &str = "resolv.conf";
/// The path of the file on the host.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Whether a namespace has its own resolv.conf.
#[must_use]
pub fn has_own(paths: &Paths, name: &NsName) -> bool {
    paths.files(name).join("resolv.conf").exists()
}

/// The directories to hide from a process in a namespace, so that only the resolver of the namespace is used. With
/// `expected`, the files of the namespace count as present, because an instance writes them when it comes up.
#[must_use]
pub fn resolver_directories(paths: &Paths, name: &NsName, expected: bool) -> Vec<PathBuf> {
    // Without own files, the host's resolvers are used on purpose.
    let has = |file: &str| expected || paths.files(name).join(file).exists();
    let mut directories = Vec::new();
    if has("resolv.conf") {
        directories.push(RESOLVED.into());
        directories.extend(ResolvConf::of(paths).directory());
    }
    if ["resolv.conf", "nsswitch.conf", "hosts"].into_iter().any(has) {
        directories.push(NSCD.into());
    }
    directories.sort();
    directories.dedup();
    directories
}

/// The host's /etc/resolv.conf. When the host removes or replaces the file under a mount, the kernel removes the mount in all other
/// mount namespaces (`detach_mounts` in fs/namespace.c).
#[derive(Debug, PartialEq, Eq)]
pub enum ResolvConf {
    /// A link into a separate directory. The whole directory can be hidden, so that changes in it have no effect.
    InDirectory(PathBuf),
    /// A file, or a link into a shared directory: a mount on it disappears when the file is replaced.
    File(PathBuf),
    /// The file does not exist.
    Missing,
}

impl ResolvConf {
    /// Reads the state of this machine.
    #[must_use]
    pub fn of(paths: &Paths) -> Self {
        let link = paths.root.join(&RESOLV_CONF[1..]);
        let Ok(file) = resolve(&link) else { return Self::Missing };
        match file.parent() {
            Some(directory) if link.is_symlink() && is_dedicated(directory) => {
                Self::InDirectory(directory.to_owned())
            }
            _ => Self::File(file),
        }
    }

    /// The warning about a process that gets the host's resolver when a program on the host replaces the file.
    #[must_use]
    pub fn warning(&self, process: &str) -> Option<String> {
        match self {
            Self::Missing => None,
            Self::InDirectory(directory) => Some(format!(
                "/etc/resolv.conf is a link: if a program replaces files in {}, {process} keeps its resolver; if a program replaces the \
                 link itself, {process} gets the host's resolver until its next restart, and `netnsctl check` reports this",
                directory.display()
            )),
            Self::File(file) => Some(format!(
                "if a program on the host replaces {file}, {process} gets the host's resolver until its next restart, and \
                 `netnsctl check` reports this; to prevent it, use a link into a separate directory: \
                 `mkdir /etc/resolver && mv /etc/resolv.conf /etc/resolver/ && ln -s resolver/resolv.conf /etc/`",
                file = file.display()
            )),
        }
    }

    /// The directory to hide.
    #[must_use]
    pub fn directory(self) -> Option<PathBuf> {
        if let Self::InDirectory(directory) = self { Some(directory) } else { None }
    }
}

/// Resolves a path. The target of a link need not exist.
/// Errors: the directory of the target does not exist, or the target is a link itself.
pub fn resolve(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize().or_else(|error| {
        let link = path.parent().unwrap_or(path).join(path.read_link()?);
        match (link.parent(), link.file_name()) {
            (Some(directory), Some(name)) if !link.is_symlink() => Ok(directory.canonicalize()?.join(name)),
            _ => Err(error),
        }
    })
}

/// Whether a directory is only for name resolution: it is below /run, or has only one file.
fn is_dedicated(directory: &Path) -> bool {
    let below_run = directory.starts_with("/run") && directory != Path::new("/run");
    below_run || fs::read_dir(directory).is_ok_and(|entries| entries.count() == 1)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_into_a_separate_directory_can_be_hidden_and_a_file_in_etc_cannot() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::under(root.path());
        assert_eq!(ResolvConf::of(&paths), ResolvConf::Missing);
        let etc = root.path().join("etc");
        fs::create_dir_all(etc.join("resolver")).unwrap();
        fs::write(etc.join("resolver/resolv.conf"), "").unwrap();
        symlink("resolver/resolv.conf", etc.join("resolv.conf")).unwrap();
        let directory = etc.join("resolver").canonicalize().unwrap();
        assert_eq!(ResolvConf::of(&paths), ResolvConf::InDirectory(directory.clone()));

        fs::write(etc.join("resolver/other"), "").unwrap();
        assert_eq!(ResolvConf::of(&paths), ResolvConf::File(directory.join("resolv.conf")));
        fs::remove_file(etc.join("resolv.conf")).unwrap();
        fs::write(etc.join("resolv.conf"), "").unwrap();
        assert!(matches!(ResolvConf::of(&paths), ResolvConf::File(_)));
    }

    #[test]
    fn the_resolvers_are_hidden_if_the_namespace_has_its_own_files() {
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
