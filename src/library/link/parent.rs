//! The parent interface: what it allows for the interfaces on it.

use anyhow::Result;

use super::LinkRecord;
use super::end::LinkSettings;
use super::settings::{Parent, invalid};
use super::site::LinkSite;
use crate::netlink::{self, Link};
use crate::paths::Paths;

/// The largest MTU of an interface of a kind, which is also the default of a new one. `None`: the parent does not limit it.
pub(super) fn largest_mtu(kind: &str, parent: &Link, is_ipv6: bool) -> Option<u32> {
    // The headers of VXLAN, with UDP, IP and Ethernet (`VXLAN_HEADROOM` in include/net/vxlan.h).
    let headers = match (kind, is_ipv6) {
        ("macvlan" | "ipvlan" | "vlan", _) => 0,
        ("vxlan", false) => 50,
        ("vxlan", true) => 70,
        _ => return None,
    };
    Some(parent.mtu.saturating_sub(headers))
}

/// Checks that the packets of an interface fit into those of its parent.
/// Errors: they do not.
pub(super) fn check_mtu(end: &LinkSettings, parent: &Link, largest: Option<u32>) -> Result<()> {
    let (Some(mtu), Some(largest)) = (end.mtu, largest) else { return Ok(()) };
    if mtu <= largest {
        return Ok(());
    }
    let message = format!(
        "'{mtu}' is too large: the parent '{}' has the MTU {}, so at most {largest} is possible; fix: set a smaller value, or raise the MTU of the parent",
        parent.name, parent.mtu
    );
    Err(invalid(end.setting("MTU"), message))
}

impl Parent {
    /// Its namespace.
    pub(super) fn place(&self) -> LinkSite {
        self.namespace.clone().map_or(LinkSite::Host, LinkSite::Namespace)
    }

    /// Moves this thread from the host to the parent, and calls `look`, if the parent exists.
    /// Errors: the place cannot be entered, or those of `look`.
    pub(super) fn look(&self, paths: &Paths, look: impl FnOnce(&Link) -> Result<()>) -> Result<()> {
        let place = self.place();
        if !paths.is_live() || !place.exists(paths) {
            return Ok(());
        }
        let _there = place.enter_from_host(paths)?;
        netlink::link_named(&self.ifname)?.map_or(Ok(()), |found| look(&found))
    }
}

impl LinkRecord {
    /// The largest MTU on a parent.
    pub(super) fn largest_mtu(&self, parent: &Link) -> Option<u32> {
        // A tunnel has addresses among the words of its kind.
        let is_ipv6 = self.words.iter().any(|word| word.contains(':'));
        largest_mtu(&self.kind, parent, is_ipv6)
    }
}
