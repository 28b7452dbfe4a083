//! Gives an interface the properties of its settings.

use std::net::IpAddr;

use anyhow::{Context, Result};
use ipnet::IpNet;

use super::super::Call;
use super::super::sysctl::{Key, Value};
use super::add::text_of_mac;
use super::end::{LinkSettings, network};
use super::rehearse::{Meaning, ip_words};
use super::settings::invalid;
use super::{Configured, LinkRecord, ports, wait};
use crate::name::address;
use crate::netlink::{self, FloodEntry, LinkChange};

/// Applies the settings of an interface, removes what only the `earlier` settings contain, and sets it up.
/// Errors: the kernel refuses.
pub(super) fn apply(
    call: &Call,
    link: &mut LinkRecord,
    earlier: &LinkSettings,
    gateways: &[IpAddr],
    meaning: &Meaning,
) -> Result<()> {
    let mtu = mtu(call, link, earlier)?;
    let _there = link.place.enter(call)?;
    let found = link.find_with_addresses()?.with_context(|| format!("{} does not exist", link.describe()))?;
    let before = link.configured.clone().unwrap_or_default();
    let sysctls = set_sysctls(call, link, earlier, &before.sysctls)?;
    set_properties(call, link, &found, earlier, mtu)?;
    set_remotes(call, link, found.index, earlier)?;
    set_addresses(call, link, &found, &before, meaning)?;
    if !found.up {
        trace(call, link, &format!("link set dev {} up", link.end.ifname));
        netlink::set_up(found.index, true).with_context(|| format!("cannot set {} up", link.describe()))?;
    }
    let ports = ports::set(call, link, found.index, &earlier.ports)?;
    if !ports.is_empty() {
        // A new port may have changed the MTU.
        let found = link.find()?.with_context(|| format!("{} was deleted", link.describe()))?;
        set_properties(call, link, &found, earlier, mtu)?;
    }
    set_routes(call, link, found.index, &before, gateways, meaning)?;
    let after = link.find_with_addresses()?.with_context(|| format!("{} was deleted", link.describe()))?;
    let addresses =
        after.addresses.into_iter().filter(|address| meaning.addresses.contains(address)).collect();
    let routes = if link.end.routes.is_empty() && gateways.is_empty() {
        Vec::new()
    } else {
        netlink::own_routes(found.index)?.into_iter().map(|route| route.text).collect()
    };
    let ignores_routers = ignores_routers(&link.end.ifname);
    link.configured =
        Some(Configured { index: found.index, addresses, routes, ignores_routers, ports, sysctls });
    Ok(())
}

fn trace(call: &Call, link: &LinkRecord, words: &str) {
    call.trace(&format!("{} {words}", link.place.ip()));
}

/// Sets the sysctls of an interface, and returns them. One that is not set any more gets the value of a new interface.
///
/// A pair without a bridge has only two ends, and both addresses are known. So duplicate address detection would only delay the use
/// of IPv6 addresses (`accept_dad`, and `ndisc` in the kernel's ip-sysctl.rst).
fn set_sysctls(
    call: &Call,
    link: &LinkRecord,
    earlier: &LinkSettings,
    before: &[(Key, Value)],
) -> Result<Vec<(Key, Value)>> {
    let ifname = &link.end.ifname;
    if link.kind == "veth" && !link.bridged {
        // The file does not exist if IPv6 is disabled. With a read-only /proc/sys, the addresses are usable later.
        _ = Key::of_interface("ipv6", "conf", ifname, "accept_dad").write(&mut Value::new("0"));
    }
    for sysctl in earlier.sysctls.iter().filter(|old| !link.end.sysctls.iter().any(|new| new.is_same(old))) {
        if let Some(value) = sysctl.key("default").read()? {
            sysctl.key(ifname).write(&mut Value::new(&value))?;
        }
    }
    let mut sysctls: Vec<(Key, Value)> = Vec::new();
    for sysctl in &link.end.sysctls {
        let key = sysctl.key(ifname);
        let known = before.iter().find(|(known, _)| *known == key).map(|(_, value)| value);
        let value = Value::new(&sysctl.value).known_by(known);
        sysctls.retain(|(earlier, _)| *earlier != key); // the last one wins, as in sysctl.d(5)
        sysctls.push((key, value));
    }
    write_sysctls(call, link, &mut sysctls)?;
    Ok(sysctls)
}

/// Writes sysctls of an interface.
fn write_sysctls(call: &Call, link: &LinkRecord, sysctls: &mut [(Key, Value)]) -> Result<()> {
    for (key, value) in sysctls {
        if !key.has(value)? {
            call.trace(&key.command(value));
        }
        key.write(value).map_err(|error| {
            let message =
                format!("cannot set '{key}' of {} to '{}': {error:#}", link.describe(), value.wanted);
            invalid(link.end.setting("SYSCTLS"), message)
        })?;
    }
    Ok(())
}

/// Sets the sysctls of an interface again that the kernel has reset: it does that with `ipv6.mtu` when the interface gets a carrier
/// (addrconf_notify in net/ipv6/addrconf.c).
pub(super) fn repeat_sysctls(call: &Call, link: &LinkRecord) -> Result<()> {
    let Some(configured) = link.configured.as_ref().filter(|one| !one.sysctls.is_empty()) else {
        return Ok(());
    };
    // As for the wait: an inside hook may not be allowed to enter the host.
    let Ok(_there) = link.place.enter(call) else { return Ok(()) };
    wait::until_carrier_is_processed(link)?;
    write_sysctls(call, link, &mut configured.sysctls.clone())
}

/// The MTU that the interface must have. Without a setting, it stays; if the setting was removed, it is the default again. Both ends of a
/// pair keep theirs: a plugin may compute it only in the hook on the host.
fn mtu(call: &Call, link: &LinkRecord, earlier: &LinkSettings) -> Result<Option<u32>> {
    let is_removed = link.end.mtu.is_none() && earlier.mtu.is_some() && link.configured.is_some();
    if is_removed && link.peer.is_none() { link.default_mtu(call) } else { Ok(link.end.mtu) }
}

fn set_properties(
    call: &Call,
    link: &LinkRecord,
    found: &netlink::Link,
    earlier: &LinkSettings,
    mtu: Option<u32>,
) -> Result<()> {
    let end = &link.end;
    // The value of a setting that is not set any more. A moved interface gets the one of the host again.
    let moved = link.moved.as_ref();
    let host_mac = moved.filter(|_| earlier.mac.is_some()).and_then(|moved| address::mac(&moved.mac).ok());
    let mut change = LinkChange::default();
    if let Some(mac) = end.mac.or(host_mac).filter(|mac| text_of_mac(*mac) != found.mac) {
        trace(call, link, &format!("link set dev {} address {}", end.ifname, text_of_mac(mac)));
        change.mac = Some(mac);
    }
    // A later port of a bridge does not change an MTU that was set after the creation.
    if let Some(mtu) = mtu.filter(|mtu| *mtu != found.mtu || link.configured.is_none()) {
        trace(call, link, &format!("link set dev {} mtu {mtu}", end.ifname));
        change.mtu = Some(mtu);
    }
    let group = link.group().or(earlier.group.map(|_| moved.map_or(0, |moved| moved.group)));
    if let Some(group) = group.filter(|group| *group != found.group) {
        trace(call, link, &format!("link set dev {} group {group}", end.ifname));
        change.group = Some(group);
    }
    let other_alias = moved.map_or("", |moved| &moved.alias);
    let alias = end.alias.as_deref().or(earlier.alias.as_ref().map(|_| other_alias));
    if let Some(alias) = alias.filter(|alias| *alias != found.alias.as_deref().unwrap_or_default()) {
        trace(call, link, &format!("link set dev {} alias '{alias}'", end.ifname));
        change.alias = Some(alias);
    }
    if change != LinkChange::default() {
        netlink::change_link(found.index, &change)
            .with_context(|| format!("cannot change {}", link.describe()))?;
    }
    set_controller(call, link, found, earlier)
}

/// Makes the interface a port, or releases it if only the `earlier` settings have a bridge.
fn set_controller(
    call: &Call,
    link: &LinkRecord,
    found: &netlink::Link,
    earlier: &LinkSettings,
) -> Result<()> {
    let ifname = &link.end.ifname;
    let (to, words) = match ports::controller(call, link)? {
        Some(controller) if found.controller == Some(controller.index) => return Ok(()),
        Some(controller) => (controller.index, format!("master {}", controller.name)),
        None if earlier.bridge.is_some() && found.controller.is_some() => (0, "nomaster".to_owned()),
        None => return Ok(()),
    };
    trace(call, link, &format!("link set dev {ifname} {words}"));
    ports::join(found, to).with_context(|| format!("cannot change {}", link.describe()))
}

/// Adds the remotes of the setting, and removes all others: a tunnel must not send to another machine. Without a receiver, only the
/// `earlier` ones.
fn set_remotes(call: &Call, link: &LinkRecord, index: u32, earlier: &LinkSettings) -> Result<()> {
    let receivers = link.receivers();
    if receivers.is_empty() && earlier.remotes.is_empty() {
        return Ok(());
    }
    let (present, others): (Vec<_>, Vec<_>) = netlink::flood_entries(index)?
        .into_iter()
        .partition(|entry| entry.is_of_tunnel() && receivers.contains(&entry.address));
    let words = |verb: &str, remote: &IpAddr| {
        format!("bridge fdb {verb} 00:00:00:00:00:00 dev {} dst {remote}", link.end.ifname)
    };
    let is_stale = |entry: &&FloodEntry| !receivers.is_empty() || earlier.remotes.contains(&entry.address);
    for entry in others.iter().filter(is_stale) {
        call.trace(&words("delete", &entry.address));
        netlink::delete_flood_entry(index, entry).with_context(|| {
            format!("cannot remove the remote '{}' of {}", entry.address, link.describe())
        })?;
    }
    let is_present = |remote: &&IpAddr| present.iter().any(|entry| entry.address == **remote);
    for remote in link.end.remotes.iter().filter(|remote| !is_present(remote)) {
        call.trace(&words("append", remote));
        netlink::add_flood_address(index, *remote).map_err(|error| {
            invalid(
                link.end.setting("REMOTES"),
                format!("cannot add '{remote}' to {}: {error:#}", link.describe()),
            )
        })?;
    }
    Ok(())
}

fn set_addresses(
    call: &Call,
    link: &LinkRecord,
    found: &netlink::Link,
    earlier: &Configured,
    meaning: &Meaning,
) -> Result<()> {
    let stale = earlier.addresses.iter().filter(|address| !meaning.addresses.contains(address));
    let mut has_stale = false;
    for address in stale.filter(|address| found.addresses.contains(address)) {
        has_stale = true;
        trace(call, link, &format!("address delete {address} dev {}", link.end.ifname));
        netlink::delete_address(found.index, address.parse::<IpNet>()?)
            .with_context(|| format!("cannot remove the address '{address}' of {}", link.describe()))?;
    }
    // The kernel may have removed further addresses of the same network.
    let present = if has_stale {
        link.find_with_addresses()?.map(|found| found.addresses).unwrap_or_default()
    } else {
        found.addresses.clone()
    };
    for words in &link.end.addresses {
        match network(words) {
            Some(network) if present.contains(&network.to_string()) => {}
            Some(network) => {
                trace(call, link, &format!("address replace {network} dev {}", link.end.ifname));
                netlink::replace_address(found.index, network).map_err(|error| {
                    invalid(
                        link.end.setting("IFADDR"),
                        format!("cannot add '{words}' to {}: {error:#}", link.describe()),
                    )
                })?;
            }
            None => {
                trace(call, link, &format!("address replace {words} dev {}", link.end.ifname));
                ip_words(&["address", "replace"], words, &link.end.ifname)
                    .map_err(|error| invalid(link.end.setting("IFADDR"), format!("{error:#}")))?;
            }
        }
    }
    Ok(())
}

fn set_routes(
    call: &Call,
    link: &LinkRecord,
    index: u32,
    earlier: &Configured,
    gateways: &[IpAddr],
    meaning: &Meaning,
) -> Result<()> {
    for words in &link.end.routes {
        trace(call, link, &format!("route replace {words} dev {}", link.end.ifname));
        ip_words(&["route", "replace"], words, &link.end.ifname)
            .map_err(|error| invalid(link.end.setting("ROUTES"), format!("{error:#}")))?;
    }
    for gateway in gateways {
        trace(call, link, &format!("route replace default via {gateway} dev {}", link.end.ifname));
        netlink::replace_default_route(index, *gateway).map_err(|error| {
            invalid(
                link.end.setting("GATEWAY"),
                format!("cannot add the default route via '{gateway}': {error:#}"),
            )
        })?;
    }
    if earlier.routes.is_empty() {
        return Ok(());
    }
    let is_default = |text: &str| text.starts_with("default");
    let is_wanted = |text: &str| {
        meaning.routes.iter().any(|wanted| wanted == text)
            || is_default(text) && gateways.iter().any(|gateway| text.contains(&format!("via {gateway}")))
    };
    for route in netlink::own_routes(index)? {
        if earlier.routes.contains(&route.text) && !is_wanted(&route.text) {
            trace(call, link, &format!("route delete {} dev {}", route.text, link.end.ifname));
            netlink::delete_route(&route)
                .with_context(|| format!("cannot remove the route '{}'", route.text))?;
        }
    }
    Ok(())
}

/// The sysctls that make an interface ignore routers.
const ROUTERS: [(&str, &str); 4] =
    [("ipv6", "accept_ra"), ("ipv6", "autoconf"), ("ipv6", "accept_redirects"), ("ipv4", "accept_redirects")];

/// The keys of an interface.
fn router_keys(ifname: &str) -> impl Iterator<Item = Key> {
    ROUTERS.iter().map(move |(family, key)| Key::of_interface(family, "conf", ifname, key))
}

/// Whether an interface in the namespace of this thread ignores router advertisements.
pub(super) fn ignores_routers(ifname: &str) -> bool {
    router_keys(ifname).next().is_some_and(|key| key.has(&Value::new("0")).unwrap_or(false))
}

/// Makes an interface ignore router advertisements and redirects, as `ignore_routers` of the runtime does.
pub(super) fn ignore_routers(ifname: &str) -> Result<()> {
    for key in router_keys(ifname).filter(|key| key.file().exists()) {
        key.write(&mut Value::new("0"))?;
    }
    Ok(())
}
