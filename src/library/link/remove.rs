//! Removes an interface, or undoes the steps of a failed hook.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;

use super::super::record::Object;
use super::super::{Call, daemon};
use super::site::LinkSite;
use super::tun::Tun;
use super::{LinkRecord, ports, rehearse};
use crate::config::declaration::{Declaration, LinkPlace};
use crate::config::remembered;
use crate::name::Instance;
use crate::netlink::{self, KernelError};
use crate::paths::Paths;
use crate::print;

impl LinkRecord {
    /// Undoes what the failed hook of `call` has done. Returns whether the interface stays.
    /// Errors: the kernel refuses.
    pub(in super::super) fn undo(&mut self, call: &Call) -> Result<bool> {
        let _there = self.place.enter(call)?;
        if self.made_by.as_deref() == Some(call.hook.as_str()) {
            self.remove_socket()?;
            if self.moved.is_none() && self.find_to_remove()?.is_some() {
                call.trace(&format!("{} link delete dev {}", self.place.ip(), self.end.ifname));
            }
            return self.remove_here().map(|()| false);
        }
        let Some(mut found) = self.find_to_remove()? else { return Ok(false) };
        netlink::read_addresses(&mut found)?;
        self.release_ports(found.index)?;
        for remote in &self.end.remotes {
            _ = netlink::delete_flood_address(found.index, *remote); // it may not have been added
        }
        netlink::set_up(found.index, false)
            .with_context(|| format!("cannot set {} down", self.describe()))?;
        let added = rehearse::rehearse(&self.end, &[])?.addresses;
        for address in added.iter().filter(|address| found.addresses.contains(address)) {
            match netlink::delete_address(found.index, address.parse()?) {
                // The kernel removes IPv6 addresses when the interface goes down.
                Err(error) if KernelError::is(&error, Errno::EADDRNOTAVAIL) => {}
                removed => removed.with_context(|| {
                    format!("cannot remove the address '{address}' of {}", self.describe())
                })?,
            }
        }
        (self.configured, self.configured_by) = (None, None);
        Ok(true)
    }

    /// Deletes the interface, if it exists.
    /// Errors: the kernel refuses.
    pub(in super::super) fn remove(&self, paths: &Paths, lost: bool) -> Result<()> {
        self.remove_socket()?;
        if lost && self.place.is_inside() {
            // The kernel has removed it, and the name belongs to a foreign namespace.
            return self.restore_after_deletion();
        }
        if !self.place.exists(paths) {
            if self.moved.is_some() {
                return self.restore_after_deletion();
            }
            print::say(&format!("{}: the kernel has removed it with its namespace", self.describe()));
            return Ok(());
        }
        let _there = self.place.enter_from_host(paths)?;
        self.remove_here()
    }

    /// Deletes the interface in the namespace of this thread, if it exists, or gives it back to the host.
    /// Errors: the kernel refuses.
    pub(in super::super) fn remove_here(&self) -> Result<()> {
        match (self.find_to_remove()?, &self.moved) {
            (Some(found), _) => delete(self, &found),
            (None, Some(moved)) => self.give_back_missing(moved),
            (None, None) => Ok(()),
        }
    }

    /// The interface to remove. One end of a pair is removed with the other one, so another query for a renamed end is not needed.
    fn find_to_remove(&self) -> Result<Option<netlink::Link>> {
        if self.peer.is_some() { self.find() } else { self.find_under_any_name() }
    }

    /// Removes the control socket of its program, which has ended.
    fn remove_socket(&self) -> Result<()> {
        self.tun.as_ref().map_or(Ok(()), Tun::remove_socket)
    }

    /// Releases the ports. The kernel does this too, but may set them down.
    fn release_ports(&self, index: u32) -> Result<()> {
        self.end.ports.iter().try_for_each(|port| ports::release(port, index))
    }
}

/// `link_delete`: removes an interface of the instance before it goes down, with the other end of a pair. Arguments: PREFIX SUFFIX.
/// Errors: the kernel refuses.
pub fn remove(call: &Call, arguments: &[&str]) -> Result<()> {
    let [prefix, suffix] = arguments else { bail!("link_delete: expected PREFIX [SUFFIX]") };
    let label = format!("{prefix}{suffix}");
    let Some(link) = call.record()?.links().find(|link| link.label == label).cloned() else {
        return Ok(());
    };
    if let Some(tun) = &link.tun {
        daemon::stop(call, &[&tun.daemon_name(&link)])?;
        tun.remove_socket()?;
    }
    let mut record = call.record()?;
    {
        let _there = link.place.enter(call)?;
        if let Some(found) = link.find_to_remove()? {
            call.trace(&format!("{} link delete dev {}", link.place.ip(), found.name));
        }
        link.remove_here()?;
    }
    record.retain(
        |object| !matches!(object, Object::Link(one) if one.has_label_of(&link) || one.is_peer_of(&link)),
    );
    record.save(call.paths)
}

/// Deletes an interface, or gives it back to the host. The kernel may have removed it in the meantime, with the namespace of its peer.
pub(super) fn delete(link: &LinkRecord, found: &netlink::Link) -> Result<()> {
    let index = found.index;
    link.release_ports(index)?;
    if let Some(moved) = &link.moved {
        return link.give_back(moved, found);
    }
    // A process that waits in a namespace would count as a user of it.
    let deleted = if link.place == LinkSite::Host {
        netlink::delete_link_early(index)
    } else {
        netlink::delete_link(index)
    };
    match deleted {
        Err(error) if KernelError::is(&error, Errno::ENODEV) => Ok(()),
        deleted => deleted.with_context(|| format!("cannot delete {}", link.describe())),
    }
}

/// Deletes the interfaces of an instance that an older version of its plugin has created. That version has remembered their names, and
/// the plugin declares their kind.
/// Errors: the kernel refuses.
pub fn remove_older(paths: &Paths, instance: &Instance, lost: bool) -> Result<()> {
    let Declaration { kind: Some(kind), links, .. } = Declaration::of(paths, &instance.nstype) else {
        return Ok(());
    };
    for declared in links {
        let Some(ifname) = remembered::value(paths, instance, &declared.ifname)? else { continue };
        let place = match &declared.place {
            LinkPlace::Inside => LinkSite::Inside(instance.name.clone()),
            LinkPlace::Outside(setting) => {
                let name = setting
                    .as_ref()
                    .map(|setting| remembered::value(paths, instance, setting))
                    .transpose()?;
                match name.flatten().filter(|name| !name.is_empty()) {
                    Some(name) => LinkSite::Namespace(name.parse()?),
                    None => LinkSite::Host,
                }
            }
        };
        if lost && place.is_inside() || !place.exists(paths) {
            continue;
        }
        let _there = place.enter_from_host(paths)?;
        if let Some(found) = netlink::link_named(&ifname)?.filter(|found| found.kind == kind) {
            netlink::delete_link(found.index)
                .with_context(|| format!("cannot delete interface '{ifname}' {place}"))?;
        }
    }
    Ok(())
}
