//! Which namespace it is: device and inode tell it from all others that are there now, the kernel's cookie from all that
//! have ever been.

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

use super::{enter_file, own};
use crate::name::NsName;
use crate::paths::Paths;

/// Tells namespaces apart that are there at the same time, by the device and inode of their files (namespaces(7)). Once one
/// is gone, a new one may get its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id {
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

impl Id {
    /// The one that a file stands for, such as `/proc/PID/ns/net`.
    /// Errors: it cannot be looked at.
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|found| Self { device: found.dev(), inode: found.ino() })
    }
}

/// Tells a namespace from all others since boot: what is noted of it, to know it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    device: u64,
    inode: u64,
    /// `None` where the kernel has none, and in what earlier versions have noted: then the rest has to do.
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
            _ => Err(anyhow!("`{}` does not say which namespace", text.escape_debug())),
        }
    }
}

impl Identity {
    /// That of the namespace that this thread is in.
    /// Errors: it cannot be told.
    pub fn of_own() -> Result<Self> {
        let Id { device, inode } = own()?;
        Ok(Self { device, inode, cookie: own_cookie()? })
    }

    /// That of a named namespace, which this thread enters for that.
    /// Errors: there is none of that name, or entering it is not permitted.
    pub fn of_name(paths: &Paths, name: &NsName) -> Result<Self> {
        let _inside = super::enter(paths, name)?;
        Self::of_own()
    }

    /// Whether this thread is in it.
    /// Errors: it cannot be told.
    pub fn is_own(&self) -> Result<bool> {
        Ok(self.has(own()?) && self.has_cookie(own_cookie)?)
    }

    /// Whether a name stands for it. Only where device and inode agree the namespace is entered, to ask for its cookie; who may
    /// not do so has to go by those.
    /// Errors: what is there cannot be looked at.
    pub fn has_name(&self, paths: &Paths, name: &NsName) -> Result<bool> {
        let path = paths.namespace(name);
        let what = || format!("cannot look at {}", path.display());
        match Id::of(&path) {
            Ok(found) if self.has(found) => {}
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).with_context(what),
            _ => return Ok(false),
        }
        self.has_cookie(|| {
            let file = File::open(&path).with_context(what)?;
            match enter_file(&file) {
                Ok(_inside) => own_cookie(),
                Err(error) if error.downcast_ref() == Some(&Errno::EPERM) => Ok(None),
                Err(error) => Err(error).with_context(what),
            }
        })
    }

    fn has(&self, id: Id) -> bool {
        (self.device, self.inode) == (id.device, id.inode)
    }

    /// Whether a namespace of the same device and inode has its cookie too, as far as both are known.
    fn has_cookie(&self, found: impl FnOnce() -> Result<Option<u64>>) -> Result<bool> {
        let Some(noted) = self.cookie else { return Ok(true) };
        Ok(found()?.is_none_or(|found| found == noted))
    }
}

/// The cookie of the namespace that this thread is in: a number that the kernel counts up with each namespace (`setup_net`
/// in net/core/net_namespace.c), and tells by any socket in it (`sk_getsockopt` in net/core/sock.c).
fn own_cookie() -> Result<Option<u64>> {
    let what = "cannot tell the cookie of the current namespace";
    let socket = match socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None) {
        // RestrictAddressFamilies= of a drop-in.
        Err(Errno::EAFNOSUPPORT) => return Ok(None),
        socket => socket.context(what)?,
    };
    match getsockopt(&socket, option::NetnsCookie) {
        // Linux before 5.14.
        Err(Errno::ENOPROTOOPT) => Ok(None),
        cookie => cookie.map(Some).context(what),
    }
}

/// What nix has no name for.
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
        fn what_is_noted_of_a_namespace_is_read_again(device: u64, inode: u64, cookie: Option<u64>) {
            let identity = Identity { device, inode, cookie };
            prop_assert_eq!(identity.to_string().parse::<Identity>().unwrap(), identity);
            let json = serde_json::to_string(&identity).unwrap();
            prop_assert_eq!(serde_json::from_str::<Identity>(&json).unwrap(), identity);
        }
    }

    #[test]
    fn a_note_that_is_damaged_is_of_no_namespace() {
        for text in ["", ":", "4", "4:", "4:1:", "4:1:2:3", "4:1\n", "4:-1", "a:b"] {
            assert!(text.parse::<Identity>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_was_noted_without_a_cookie_is_compared_by_the_rest() {
        let own = Identity::of_own().unwrap();
        assert!(own.is_own().unwrap());
        assert!(Identity { cookie: None, ..own }.is_own().unwrap());
        assert!(!Identity { inode: own.inode + 1, ..own }.is_own().unwrap());
        assert!(
            own.cookie
                .is_none_or(|cookie| { !Identity { cookie: Some(cookie + 1), ..own }.is_own().unwrap() })
        );
    }
}
