//! Messages of netlink(7) as bytes. Sends a query, and splits the reply into answers and their attributes.

use std::fmt;

use anyhow::{Context, Result};
use netlink_packet_core::{NLMSG_DONE, NLMSG_ERROR, NlasIterator};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

use crate::print::escape;

/// The length of `struct nlmsghdr`.
pub(super) const HEADER: usize = 16;

/// `NLMSGERR_ATTR_MSG` (include/uapi/linux/netlink.h).
const ERROR_TEXT: u16 = 1;

/// Opens a netlink socket for a protocol, such as `NETLINK_ROUTE`.
pub(super) fn open(protocol: isize) -> Result<Socket> {
    let mut socket = Socket::new(protocol).context("cannot open a netlink socket")?;
    socket.bind_auto().context("cannot bind a netlink socket")?;
    // Errors have the reason as text, and no copy of the query. Kernels before 4.12 have no such texts.
    _ = socket.set_ext_ack(true).and_then(|()| socket.set_cap_ack(true));
    Ok(socket)
}

/// Sends a query, and calls `on_answer` with each complete answer.
pub(super) fn query(protocol: isize, query: &[u8], mut on_answer: impl FnMut(&[u8])) -> Result<()> {
    let socket = open(protocol)?;
    socket.send_to(query, &SocketAddr::new(0, 0), 0).context("cannot send a netlink query to the kernel")?;
    loop {
        let (bytes, _) = socket.recv_from_full().context("cannot receive a netlink answer of the kernel")?;
        if for_each_answer(&bytes, &mut on_answer)? {
            return Ok(());
        }
    }
}

/// Calls `on_answer` with each answer in a datagram of the kernel. Returns whether the reply is complete.
/// Errors: the kernel has sent an error.
pub fn for_each_answer(bytes: &[u8], mut on_answer: impl FnMut(&[u8])) -> Result<bool> {
    let mut rest = bytes;
    while let Some(message) = first_message(rest) {
        match kind(message) {
            Some(NLMSG_DONE) => return Ok(true),
            Some(NLMSG_ERROR) => return check_error(message).map(|()| true),
            _ => on_answer(message),
        }
        // NLMSG_ALIGN
        rest = rest.get(message.len().next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// The first message in the bytes; `None` if it is truncated.
fn first_message(bytes: &[u8]) -> Option<&[u8]> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    bytes.get(..length).filter(|message| message.len() >= HEADER)
}

/// `nlmsg_type`
pub(super) fn kind(message: &[u8]) -> Option<u16> {
    message.get(4..)?.first_chunk().map(|kind| u16::from_ne_bytes(*kind))
}

/// Reads `struct nlmsgerr`: a negative errno, or 0 for success. The attributes of the error are behind the header of the query.
fn check_error(message: &[u8]) -> Result<()> {
    let code = message.get(HEADER..).and_then(|rest| rest.first_chunk());
    let errno = match code.map_or(0, |code| i32::from_ne_bytes(*code)) {
        0 => return Ok(()),
        code => Errno::from_raw(code.wrapping_neg()),
    };
    let reason = message.get(HEADER + 4 + HEADER..).and_then(|rest| Attributes(rest).text(ERROR_TEXT));
    Err(KernelError { errno, reason }.into())
}

/// The kernel refuses a query or a change.
#[derive(Debug)]
pub struct KernelError {
    /// The error.
    pub errno: Errno,
    reason: Option<String>,
}

impl KernelError {
    /// Whether an error is this error of the kernel.
    #[must_use]
    pub fn is(error: &anyhow::Error, errno: Errno) -> bool {
        error.downcast_ref::<Self>().is_some_and(|refused| refused.errno == errno)
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the kernel refuses: ")?;
        match &self.reason {
            Some(reason) => f.write_str(reason.trim_end_matches('.')),
            None => f.write_str(self.errno.desc()),
        }
    }
}

impl std::error::Error for KernelError {}

/// A sequence of attributes (`struct nlattr`). If a kind occurs more than once, the first attribute is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Attributes<'a> {
    /// The value of an attribute, by its kind.
    pub(super) fn value(self, kind: u16) -> Option<&'a [u8]> {
        let found = NlasIterator::new(self.0).flatten().find(|attribute| attribute.kind() == kind)?;
        let end = usize::from(found.length());
        found.into_inner().get(4..end)
    }

    /// The value as text, without the NUL at its end.
    pub(super) fn text(self, kind: u16) -> Option<String> {
        self.value(kind).map(|value| escape::text(value).trim_end_matches('\0').to_owned())
    }

    /// The value as a number in network byte order, which nf_tables uses for all numbers.
    pub(super) fn number(self, kind: u16) -> Option<u32> {
        self.value(kind)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// The value as a 64-bit number in network byte order.
    pub(super) fn long(self, kind: u16) -> Option<u64> {
        self.value(kind)?.try_into().ok().map(u64::from_be_bytes)
    }

    /// The attributes that are nested in an attribute.
    pub(super) fn nested(self, kind: u16) -> Option<Self> {
        self.value(kind).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_by_kind_with_any_flags_unless_they_are_truncated() {
        // A text, a number with the flag for network byte order, and a nested attribute.
        let bytes = b"\x07\0\x01\0lo\0\0\x08\0\x02\x40\0\0\x01\x02\x0c\0\x03\x80\x08\0\x01\0\0\0\0\x07";
        let all = Attributes(bytes);
        assert_eq!((all.text(1).as_deref(), all.number(2), all.long(2)), (Some("lo"), Some(258), None));
        assert_eq!(all.nested(3).and_then(|nested| nested.number(1)), Some(7));
        assert_eq!(all.value(4), None);
        assert_eq!(Attributes(&bytes[..bytes.len() - 1]).value(3), None);
    }
}
