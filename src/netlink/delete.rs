//! Deletes an interface.

use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result};
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, poll};
use nix::unistd::{ForkResult, fork};

use super::message::{for_each_answer, open};
use super::rtnetlink::{acknowledged, decode, request};

/// `RTNLGRP_LINK` (include/uapi/linux/rtnetlink.h).
const LINK_EVENTS: u32 = 1;

/// Milliseconds until the child process counts as killed. Then this process deletes the interface itself.
const CHILD_TIMEOUT: u16 = 5000;

/// Deletes an interface. Returns when the kernel has released it.
/// Errors: the kernel refuses.
pub fn delete_link(index: u32) -> Result<()> {
    request(deletion(index)).map(drop)
}

/// Deletes an interface. Returns when the interface has disappeared, and its name can be used again.
///
/// The kernel answers about 20 ms later: it waits until no CPU uses the interface (`netdev_run_todo` in net/core/dev.c). This has no effect
/// that another program sees, so a child process waits for it.
/// Errors: the kernel refuses.
pub fn delete_link_early(index: u32) -> Result<()> {
    let requests = open(NETLINK_ROUTE)?;
    let events = open(NETLINK_ROUTE)?;
    events.add_membership(LINK_EVENTS).context("cannot subscribe to the events of interfaces")?;
    events.set_non_blocking(true).context("cannot set up a netlink socket")?;
    send_in_child(&requests, &acknowledged(deletion(index)))?;
    loop {
        let mut readable =
            [requests.as_fd(), events.as_fd()].map(|socket| PollFd::new(socket, PollFlags::POLLIN));
        let polled = poll(&mut readable, CHILD_TIMEOUT);
        // A signal ends this process later, after the removal.
        if polled == Err(Errno::EINTR) {
            continue;
        }
        if polled.context("cannot wait for the kernel")? == 0 {
            return delete_link(index);
        }
        if readable[0].any() == Some(true) {
            let (answer, _) =
                requests.recv_from_full().context("cannot receive a netlink answer of the kernel")?;
            return for_each_answer(&answer, |_| ()).map(drop);
        }
        while let Ok((event, _)) = events.recv_from_full() {
            let mut is_gone = false;
            for_each_answer(&event, |event| is_gone |= is_deletion(event, index))?;
            if is_gone {
                return Ok(());
            }
        }
    }
}

fn deletion(index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    RouteNetlinkMessage::DelLink(message)
}

/// Whether an event reports that the interface was deleted. An event of a bridge (`AF_BRIDGE`) reports only that a port has left it.
fn is_deletion(event: &[u8], index: u32) -> bool {
    matches!(
        decode(event),
        Some(RouteNetlinkMessage::DelLink(link))
            if link.header.index == index && link.header.interface_family == AddressFamily::Unspec
    )
}

/// Sends a message in a child process, which has no other file open: a pipe or a lock of this process must not wait for it.
fn send_in_child(socket: &Socket, message: &[u8]) -> Result<()> {
    let kernel = SocketAddr::new(0, 0);
    let descriptor = u32::try_from(socket.as_raw_fd()).context("invalid descriptor")?;
    #[allow(unsafe_code)] // the child makes only system calls (signal-safety(7))
    unsafe {
        if let ForkResult::Child = fork().context("cannot start a process")? {
            libc::close_range(descriptor + 1, u32::MAX, 0);
            libc::close_range(0, descriptor - 1, 0);
            _ = socket.send_to(message, &kernel, 0);
            libc::_exit(0)
        }
    }
    Ok(())
}
