//! The identity of a namespace. Device and inode are unique among the existing namespaces. The kernel's cookie is unique since
//! boot.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, socket};
use serde::{Deserialize, Serialize};

use super::{current, enter_file};
use crate::name::NsName;
use crate::paths::Paths;

/// Identifies a namespace among the existing ones, by the device and inode of its file (namespaces(7)). After its deletion, a
/// new namespace can get the same inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl Id {
    /// Reads the ID from a file such as `/proc/PID/ns/net`.
    /// Errors: the file cannot be read.
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|found| Self { device: found.dev(), inode: found.ino() })
    }
}

/// Identifies a namespace among all namespaces since boot. Ownership records and state files contain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    device: u64,
    inode: u64,
    /// `None` on old kernels, and in records of older versions. Then only the ID is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cookie: Option<u64>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.device, self.inode)?;
        self.cookie.map_or(Ok(()), |cookie| write!(f, ":{cookie}"))
    }
}

impl FromStr for Identity {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers: Result<Vec<u64>, _> = text.split(':').map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[device, inode]) => Ok(Self { device, inode, cookie: None }),
            Ok(&[device, inode, cookie]) => Ok(Self { device, inode, cookie: Some(cookie) }),
            _ => Err(anyhow!("`{}` is not the identity of a namespace", text.escape_debug())),
        }
    }
}

impl Identity {
    /// Reads the identity of the namespace of this thread.
    /// Errors: the ID or the cookie cannot be read.
    pub fn of_current() -> Result<Self> {
        let Id { device, inode } = current()?;
        Ok(Self { device, inode, cookie: current_cookie()? })
    }

    /// Reads the identity of a named namespace. This thread enters it for a moment.
    /// Errors: the namespace does not exist, or entering it is not permitted.
    pub fn of_name(paths: &Paths, name: &NsName) -> Result<Self> {
        let _inside = super::enter(paths, name)?;
        Self::of_current()
    }

    /// Whether this thread is in the namespace.
    /// Errors: the ID or the cookie cannot be read.
    pub fn is_current(&self) -> Result<bool> {
        Ok(self.has(current()?) && self.has_cookie(current_cookie)?)
    }

    /// Whether this namespace has the name.
    /// Errors: the ID or the cookie of the named namespace cannot be read.
    pub fn has_name(&self, paths: &Paths, name: &NsName) -> Result<bool> {
        let path = paths.namespace(name);
        let what = || format!("cannot read {}", path.display());
        match Id::of(&path) {
            Ok(found) if self.has(found) => {}
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).with_context(what),
            _ => return Ok(false),
        }
        // The IDs are equal. This thread enters the namespace to read the cookie. Without the privilege, the IDs must suffice.
        self.has_cookie(|| {
            let file = File::open(&path).with_context(what)?;
            match enter_file(&file) {
                Ok(_inside) => current_cookie(),
                Err(error) if error.downcast_ref() == Some(&Errno::EPERM) => Ok(None),
                Err(error) => Err(error).with_context(what),
            }
        })
    }

    fn has(&self, id: Id) -> bool {
        (self.device, self.inode) == (id.device, id.inode)
    }

    /// Whether the cookie of a namespace with the same ID is also the same. `true` if one of the two cookies is unknown.
    fn has_cookie(&self, found: impl FnOnce() -> Result<Option<u64>>) -> Result<bool> {
        let Some(recorded) = self.cookie else { return Ok(true) };
        Ok(found()?.is_none_or(|found| found == recorded))
    }
}

/// Reads the cookie of the namespace of this thread: a number that the kernel increments for each namespace (`setup_net` in
/// net/core/net_namespace.c). A socket option returns the cookie (`sk_getsockopt` in net/core/sock.c).
fn current_cookie() -> Result<Option<u64>> {
    let what = "cannot read the cookie of the current namespace";
    let socket = match socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None) {
        // RestrictAddressFamilies= in a drop-in forbids Unix sockets.
        Err(Errno::EAFNOSUPPORT) => return Ok(None),
        socket => socket.context(what)?,
    };
    match getsockopt(&socket, option::NetnsCookie) {
        // Linux before 5.14.
        Err(Errno::ENOPROTOOPT) => Ok(None),
        cookie => cookie.map(Some).context(what),
    }
}

/// A socket option that nix does not define.
#[allow(unsafe_code)] // getsockopt(2), as nix itself calls it for its own options
mod option {
    use nix::{getsockopt_impl, libc, sockopt_impl};

    sockopt_impl!(
        /// The cookie of the network namespace of a socket.
        NetnsCookie,
        GetOnly,
        libc::SOL_SOCKET,
        libc::SO_NETNS_COOKIE,
        u64
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_record_is_read_as_it_was_written(device: u64, inode: u64, cookie: Option<u64>) {
            let identity = Identity { device, inode, cookie };
            prop_assert_eq!(identity.to_string().parse::<Identity>().unwrap(), identity);
            let json = serde_json::to_string(&identity).unwrap();
            prop_assert_eq!(serde_json::from_str::<Identity>(&json).unwrap(), identity);
        }
    }

    #[test]
    fn a_damaged_record_is_an_error() {
        for text in ["", ":", "4", "4:", "4:1:", "4:1:2:3", "4:1\n", "4:-1", "a:b"] {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_record_without_a_cookie_is_compared_by_the_id() {
        let own = Identity::of_current().unwrap();
        assert!(own.is_current().unwrap());
        assert!(Identity { cookie: None, ..own }.is_current().unwrap());
        assert!(!Identity { inode: own.inode + 1, ..own }.is_current().unwrap());
        assert!(
            own.cookie
                .is_none_or(|cookie| { !Identity { cookie: Some(cookie + 1), ..own }.is_current().unwrap() })
        );
    }
}
