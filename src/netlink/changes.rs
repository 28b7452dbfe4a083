//! Waits for changes of the host: rules of nftables, interfaces, and their addresses.

use std::io::ErrorKind;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use netlink_sys::Socket;
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::message::open;

/// `NFNLGRP_NFTABLES` (include/uapi/linux/netfilter/nfnetlink.h)
const RULES: u32 = 7;
/// `RTNLGRP_LINK`, `RTNLGRP_IPV4_IFADDR` and `RTNLGRP_IPV6_IFADDR` (include/uapi/linux/rtnetlink.h). A new address makes a route.
const INTERFACES: [u32; 3] = [1, 5, 9];

/// Sockets that receive a message for each change in this namespace.
#[derive(Debug)]
pub struct HostChanges([Socket; 2]);

impl HostChanges {
    /// Subscribes to the changes.
    /// Errors: the kernel refuses.
    pub fn subscribe() -> Result<Self> {
        let rules = open(NETLINK_NETFILTER)?;
        rules.add_membership(RULES).context("cannot subscribe to the changes of nftables")?;
        let interfaces = open(NETLINK_ROUTE)?;
        for group in INTERFACES {
            interfaces.add_membership(group).context("cannot subscribe to the changes of interfaces")?;
        }
        for socket in [&rules, &interfaces] {
            socket.set_non_blocking(true).context("cannot set up a netlink socket")?;
        }
        Ok(Self([rules, interfaces]))
    }

    /// Waits for a change.
    /// Errors: the sockets cannot be polled.
    pub fn wait(&self) -> Result<()> {
        let mut ready = self.0.each_ref().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        match poll(&mut ready, PollTimeout::NONE) {
            Err(Errno::EINTR) => Ok(()),
            polled => polled.map(drop).context("cannot wait for changes of the host"),
        }
    }

    /// Discards the changes up to now.
    /// Errors: a socket cannot be read.
    pub fn discard(&self) -> Result<()> {
        self.0.iter().try_for_each(discard)
    }
}

fn discard(socket: &Socket) -> Result<()> {
    loop {
        match socket.recv_from_full() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            // The socket is full (netlink(7)).
            Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {}
            received => drop(received.context("cannot receive the changes of the host")?),
        }
    }
}
