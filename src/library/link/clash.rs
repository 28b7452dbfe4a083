//! Refuses names and addresses that another instance or interface has, before anything is made.

use anyhow::{Result, bail};

use super::super::Call;
use super::super::record::Record;
use super::LinkRecord;
use super::ports;
use super::settings::invalid;
use crate::config::remembered;
use crate::netlink::{self, RouteKey};
use crate::print;

/// Checks that the routes of an interface replace no route over another interface. On the host this is an error; in the namespace, where
/// the last type with a gateway has always won, it is a warning.
/// Errors: such a route exists, or the kernel cannot be queried.
pub(super) fn check_routes(call: &Call, link: &LinkRecord, keys: &[RouteKey]) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let _there = link.place.enter(call)?;
    let own = netlink::link_named(&link.end.ifname)?.map_or(0, |found| found.index);
    let Some((key, index)) = netlink::conflicting_route(own, keys)? else { return Ok(()) };
    let other = netlink::links()?.into_iter().find(|other| other.index == index);
    let other = other.map_or_else(|| index.to_string(), |other| other.name);
    let route = format!("route '{}' over interface '{other}' {}", key.destination, link.place);
    if link.place.is_inside() {
        print::warn(&format!("{} replaces the {route}", link.describe()));
        return Ok(());
    }
    let setting = link.end.setting("ROUTES");
    Err(invalid(
        setting,
        format!("the {route} exists; give the new one another metric, such as 'metric 2048'"),
    ))
}

/// Checks what differs from the `earlier` settings of an interface, with which a restart would fail: its bridge, and its routes.
/// Errors: the bridge does not exist, or another interface has one of the routes.
pub(super) fn check_changed(
    call: &Call,
    link: &LinkRecord,
    earlier: Option<&LinkRecord>,
    keys: &[RouteKey],
) -> Result<()> {
    // The bridge of an instance that is down may appear with one that it requires.
    if let Some(bridge) = &link.end.bridge
        && earlier.is_some_and(|earlier| earlier.end.bridge.as_ref() != Some(bridge))
    {
        let _there = link.place.enter(call)?;
        ports::bridge_named(link, bridge)?;
    }
    let is_same = |earlier: &LinkRecord| earlier.end.routes == link.end.routes;
    if link.place.is_inside() || earlier.is_some_and(is_same) {
        return Ok(());
    }
    // The routes of an interface that was renamed are its own.
    let is_in_place = earlier.map_or(Ok(true), |earlier| earlier.is_in_place(call))?;
    if is_in_place { check_routes(call, link, keys) } else { Ok(()) }
}

/// Checks that no other instance has the name or the ports of a new interface, that no other interface of the namespace has its addresses, and that
/// its bridge exists.
/// Errors: one of these.
pub(super) fn check(call: &Call, link: &LinkRecord) -> Result<()> {
    for instance in remembered::all(call.paths)? {
        if instance == call.instance {
            continue;
        }
        let Ok(record) = Record::read(call.paths, &instance) else { continue };
        if let Some(other) = record
            .links()
            .find(|other| other.place.is_same(&link.place) && other.end.ifname == link.end.ifname)
        {
            bail!(
                "{} belongs to {instance}; change {} of one of the two",
                other.describe(),
                link.end.setting("IFNAME")
            );
        }
    }
    ports::check(call, link)?;
    let _there = link.place.enter(call)?;
    if let Some(bridge) = &link.end.bridge {
        ports::bridge_named(link, bridge)?;
    }
    // On the host, several interfaces can share an address on purpose (unnumbered interfaces).
    if link.end.addresses.is_empty() || !link.place.is_inside() {
        return Ok(());
    }
    let addresses: Vec<String> = link.end.first_addresses().iter().map(ToString::to_string).collect();
    for other in netlink::links()?.iter().filter(|other| other.name != link.end.ifname) {
        let is_own = |found: &&String| {
            found.split('/').next().is_some_and(|one| addresses.iter().any(|own| own == one))
        };
        if let Some(found) = other.addresses.iter().find(is_own) {
            let address = found.split('/').next().unwrap_or_default();
            let message = format!(
                "the interface '{}' {} has the address '{address}' already; fix: remove it with `{} address delete {found} dev {}`, or set another one",
                other.name,
                link.place,
                link.place.ip(),
                other.name
            );
            return Err(invalid(link.end.setting("IFADDR"), message));
        }
    }
    Ok(())
}
