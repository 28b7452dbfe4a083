//! The ports of an interface, such as a bridge: other interfaces of the same place. A port that appears later joins when the
//! library configures it.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::super::Call;
use super::super::record::Record;
use super::LinkRecord;
use super::settings::invalid;
use crate::config::remembered;
use crate::netlink::{self, Link, LinkChange};
use crate::print;

/// The interface that a new interface is a port of, by its own setting or as one of the ports of another interface.
/// Errors: the bridge does not exist, or a record cannot be listed.
pub(super) fn controller(call: &Call, link: &LinkRecord) -> Result<Option<Link>> {
    if let Some(bridge) = &link.end.bridge {
        return bridge_named(link, bridge).map(Some);
    }
    for (_, owner) in owners(call, link, &link.end.ifname)? {
        if let Some(found) = owner.find()? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The bridge of a setting, in the namespace of this thread.
/// Errors: it does not exist, or is not a bridge.
pub(super) fn bridge_named(link: &LinkRecord, bridge: &str) -> Result<Link> {
    let found = netlink::link_named(bridge)?;
    let wrong = |message| invalid(link.end.setting("BRIDGE"), message);
    let found = found.ok_or_else(|| wrong(format!("the bridge '{bridge}' does not exist {}", link.place)))?;
    ensure!(found.kind == "bridge", wrong(format!("'{bridge}' {} is not a bridge", link.place)));
    Ok(found)
}

/// The recorded interfaces at the place of `link` that have a port of this name, with their instances.
fn owners(call: &Call, link: &LinkRecord, port: &str) -> Result<Vec<(String, LinkRecord)>> {
    let mut owners = Vec::new();
    for instance in remembered::all(call.paths)? {
        // Each instance reports its own damaged record.
        let Ok(record) = Record::read(call.paths, &instance) else { continue };
        let has_port = |one: &&LinkRecord| {
            one.place.is_same(&link.place) && one.end.ports.iter().any(|known| known == port)
        };
        owners.extend(record.links().filter(has_port).map(|one| (instance.to_string(), one.clone())));
    }
    Ok(owners)
}

/// The recorded interfaces at the place of `link` that are ports of it by their own setting. A bridge that was created again
/// needs them.
fn plugged(call: &Call, link: &LinkRecord) -> Result<Vec<String>> {
    let mut plugged = Vec::new();
    for instance in remembered::all(call.paths)? {
        let Ok(record) = Record::read(call.paths, &instance) else { continue };
        let is_plugged = |one: &&LinkRecord| {
            one.place.is_same(&link.place) && one.end.bridge.as_ref() == Some(&link.end.ifname)
        };
        plugged.extend(record.links().filter(is_plugged).map(|one| one.end.ifname.clone()));
    }
    Ok(plugged)
}

/// Checks that no other interface has the ports of `link`.
/// Errors: one has.
pub(super) fn check(call: &Call, link: &LinkRecord) -> Result<()> {
    for port in &link.end.ports {
        let own = call.instance.to_string();
        if let Some((instance, owner)) =
            owners(call, link, port)?.into_iter().find(|(other, _)| *other != own)
        {
            let message = format!("'{port}' is a port of {} of {instance}", owner.describe());
            return Err(invalid(link.end.setting("PORTS"), message));
        }
    }
    Ok(())
}

/// Makes the interfaces of the setting ports of a link with this index, sets them up, and releases the `earlier` ones. Returns the
/// ports that exist. Works in the namespace of this thread.
/// Errors: the kernel refuses.
pub(super) fn set(call: &Call, link: &LinkRecord, index: u32, earlier: &[String]) -> Result<Vec<String>> {
    let words = |port: &str, words: &str| format!("{} link set dev {port} {words}", link.place.ip());
    let stale: Vec<&String> = earlier.iter().filter(|port| !link.end.ports.contains(port)).collect();
    for port in stale {
        call.trace(&words(port, "nomaster"));
        release(port, index)?;
    }
    let mut present = Vec::new();
    for port in link.end.ports.iter().chain(&plugged(call, link)?) {
        let Some(found) = netlink::link_named(port)? else {
            print::say(&format!(
                "'{port}' does not exist yet: it becomes a port of {} later",
                link.describe()
            ));
            continue;
        };
        if found.controller != Some(index) {
            call.trace(&words(port, &format!("master {}", link.end.ifname)));
            join(&found, index).map_err(|error| {
                invalid(
                    link.end.setting("PORTS"),
                    format!("cannot make '{port}' a port of {}: {error:#}", link.describe()),
                )
            })?;
        }
        if !found.up {
            call.trace(&words(port, "up"));
            netlink::set_up(found.index, true).with_context(|| format!("cannot set the port '{port}' up"))?;
        }
        present.push(port.clone());
    }
    Ok(present)
}

/// Releases a port, if it is one of the interface with the index `of`.
/// Errors: the kernel refuses.
pub(super) fn release(port: &str, of: u32) -> Result<()> {
    let found = netlink::link_named(port)?.filter(|found| found.controller == Some(of));
    let released = found.map_or(Ok(()), |found| join(&found, 0));
    released.with_context(|| format!("cannot release the port '{port}'"))
}

/// Makes an interface a port of the one with the index `to`, or of none for 0. It keeps its addresses and routes: for some kinds, the
/// kernel sets a port down (`keep_addr_on_down` in ip-sysctl.rst), and others accept only a port that is down.
pub(super) fn join(port: &Link, to: u32) -> Result<()> {
    let kept = format!("/proc/sys/net/ipv6/conf/{}/keep_addr_on_down", port.name);
    // The file does not exist if IPv6 is disabled.
    let before = fs::read_to_string(&kept).ok();
    if before.is_some() {
        _ = fs::write(&kept, "1");
    }
    let routes = netlink::own_routes(port.index)?;
    let change = LinkChange { controller: Some(to), ..LinkChange::default() };
    let mut joined = netlink::change_link(port.index, &change);
    if joined.is_err() && port.up {
        netlink::set_up(port.index, false)?;
        joined = netlink::change_link(port.index, &change);
    }
    if port.up {
        netlink::set_up(port.index, true)?;
    }
    if let Some(before) = before {
        _ = fs::write(&kept, before);
    }
    let present: Vec<String> = netlink::own_routes(port.index)?.into_iter().map(|route| route.text).collect();
    for route in routes.iter().filter(|route| !present.contains(&route.text)) {
        netlink::add_route(route).with_context(|| format!("cannot keep the route '{}'", route.text))?;
    }
    joined
}

/// Returns a line for each interface that is not a port of `link`, which was found in the namespace of this thread.
/// Errors: the kernel cannot be queried.
pub(super) fn drift(link: &LinkRecord, found: &Link, joined: &[String]) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for port in &link.end.ports {
        let of = format!("'{port}' of '{}'", found.name);
        lines.push(match netlink::link_named(port)? {
            Some(port) if port.controller != Some(found.index) => {
                format!("interface '{}' is not a port of '{}'", port.name, found.name)
            }
            Some(port) if !port.up => format!("the port {of} is not up"),
            None if joined.contains(port) => format!("the port {of} is missing"),
            Some(_) | None => continue,
        });
    }
    Ok(lines)
}
