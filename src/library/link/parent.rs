//! The parent interface: what it allows for the interfaces on it.

use anyhow::Result;

use super::super::record::Record;
use super::LinkRecord;
use super::end::LinkSettings;
use super::settings::{Parent, invalid};
use super::site::LinkSite;
use crate::config::remembered;
use crate::name::Instance;
use crate::netlink::{self, Link};
use crate::paths::Paths;

/// The kind whose mode is a property of the parent.
pub(super) const IPVLAN: &str = "ipvlan";

/// The largest MTU of an interface of a kind, which is also the default of a new one. `None`: the parent does not limit it.
pub(super) fn largest_mtu(kind: &str, parent: &Link, is_ipv6: bool) -> Option<u32> {
    // The headers of VXLAN, with UDP, IP and Ethernet (`VXLAN_HEADROOM` in include/net/vxlan.h).
    let headers = match (kind, is_ipv6) {
        ("macvlan" | IPVLAN | "vlan", _) => 0,
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

/// Checks that the other ipvlan interfaces on a parent have the same mode: the kernel would change that of all
/// (`ipvlan_set_port_mode` in drivers/net/ipvlan/ipvlan_main.c).
/// Errors: one has another mode.
pub(super) fn check_mode(
    paths: &Paths,
    own: &Instance,
    setting: String,
    mode: &str,
    parent: &Parent,
) -> Result<()> {
    for instance in remembered::all(paths)?.into_iter().filter(|instance| instance != own) {
        // Each instance reports its own damaged record.
        let Ok(record) = Record::read(paths, &instance) else { continue };
        let is_on_parent = |link: &&LinkRecord| {
            link.kind == IPVLAN && link.parent.as_ref().is_some_and(|other| other.is_same(parent))
        };
        for link in record.links().filter(is_on_parent) {
            let Some(other) = link.mode().filter(|other| *other != mode) else { continue };
            let message = format!(
                "'{mode}' differs from the mode '{other}' of {} of {instance}, but all interfaces on the parent '{}' have one mode; \
                 fix: set '{other}', or first take the other one down with `netnsctl down {instance}`",
                link.describe(),
                parent.ifname
            );
            return Err(invalid(setting, message));
        }
    }
    Ok(())
}

/// Checks that the parent of an interface exists, if that is another one than `earlier`: a restart would wait for it in vain, and end the
/// instance. One that is only missing for a moment has not changed.
/// Errors: it does not exist.
pub(super) fn check_changed(
    earlier: Option<&LinkRecord>,
    parent: &Parent,
    found: Option<&Link>,
) -> Result<()> {
    let is_same = |earlier: &LinkRecord| earlier.parent.as_ref().is_some_and(|one| one.is_same(parent));
    if found.is_some() || earlier.is_none_or(is_same) {
        return Ok(());
    }
    Err(invalid(parent.setting.clone(), missing(&parent.ifname, &parent.place())))
}

/// The message about a parent that does not exist.
pub fn missing(ifname: &str, place: &LinkSite) -> String {
    format!("interface '{ifname}' does not exist {place}; hint: `{} link` lists the interfaces", place.ip())
}

impl Parent {
    /// Its namespace.
    pub(super) fn place(&self) -> LinkSite {
        self.namespace.clone().map_or(LinkSite::Host, LinkSite::Namespace)
    }

    /// Moves this thread from the host to the place of the parent, and calls `look` with the parent, if that exists.
    /// Errors: the place cannot be entered, or those of `look`.
    pub(super) fn look(&self, paths: &Paths, look: impl FnOnce(Option<&Link>) -> Result<()>) -> Result<()> {
        let place = self.place();
        if !paths.is_live() || !place.exists(paths) {
            return Ok(());
        }
        let _there = place.enter_from_host(paths)?;
        look(netlink::link_named(&self.ifname)?.as_ref())
    }
}

impl LinkRecord {
    /// The mode of an ipvlan interface.
    pub(super) fn mode(&self) -> Option<&str> {
        let mode = self.words.windows(2).find(|pair| pair[0] == "mode" && self.kind == IPVLAN)?;
        Some(&mode[1])
    }

    /// The largest MTU on a parent.
    pub(super) fn largest_mtu(&self, parent: &Link) -> Option<u32> {
        // A tunnel has addresses among the words of its kind.
        let is_ipv6 = self.words.iter().any(|word| word.contains(':'));
        largest_mtu(&self.kind, parent, is_ipv6)
    }
}
