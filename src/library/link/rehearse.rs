//! Tries addresses and routes on a veth pair in a new namespace, so that ip(8) and the kernel check them before anything is made.

use std::net::IpAddr;

use anyhow::{Context, Result};

use super::end::LinkSettings;
use super::ip;
use super::settings::invalid;
use crate::netlink::{self, RouteKey, VethEnd};
use crate::netns;
use crate::paths::OWN_NETNS;

/// What the addresses and routes of an interface are, in the form of the kernel.
#[derive(Debug, Default)]
pub(super) struct Meaning {
    /// `ADDRESS/PREFIX`
    pub addresses: Vec<String>,
    /// The text of each route (`netlink::OwnRoute`).
    pub routes: Vec<String>,
    /// What identifies each route.
    pub keys: Vec<RouteKey>,
}

/// Tries the addresses, routes and gateways of an interface.
/// Errors: one of them is invalid, or a gateway is not reachable.
pub(super) fn rehearse(end: &LinkSettings, gateways: &[IpAddr]) -> Result<Meaning> {
    if !end.needs_rehearsal() {
        let addresses = end.networks().map(|network| network.to_string()).collect();
        let keys = gateways.iter().map(|gateway| RouteKey::of_default(*gateway)).collect();
        return Ok(Meaning { addresses, routes: Vec::new(), keys });
    }
    let _stage = netns::enter_new()?;
    let own = std::fs::File::open(OWN_NETNS).context("cannot open a namespace")?;
    let veth = |name| VethEnd { name, mac: None, mtu: end.mtu, group: 0 };
    let peer = if end.ifname == "peer" { "other" } else { "peer" };
    netlink::add_veth(&veth(&end.ifname), &veth(peer), std::os::fd::AsFd::as_fd(&own))?;
    for link in netlink::links()?.iter().filter(|link| !link.loopback) {
        netlink::set_up(link.index, true)?;
    }
    let index = netlink::link_named(&end.ifname)?.context("the interface of the rehearsal is missing")?.index;
    for words in &end.addresses {
        ip_words(&["address", "replace"], words, &end.ifname)
            .map_err(|error| invalid(end.setting("IFADDR"), error))?;
    }
    for words in &end.routes {
        ip_words(&["route", "replace"], words, &end.ifname)
            .map_err(|error| invalid(end.setting("ROUTES"), error))?;
    }
    for gateway in gateways {
        netlink::replace_default_route(index, *gateway).map_err(|error| {
            invalid(end.setting("GATEWAY"), format!("the gateway '{gateway}' is not reachable: {error:#}"))
        })?;
    }
    let mut found = netlink::link_named(&end.ifname)?.context("the interface of the rehearsal is missing")?;
    netlink::read_addresses(&mut found)?;
    let addresses = found.addresses.into_iter().filter(|address| !address.starts_with("fe80:")).collect();
    let routes = netlink::own_routes(index)?;
    Ok(Meaning {
        addresses,
        keys: routes.iter().map(netlink::OwnRoute::key).collect(),
        routes: routes.into_iter().map(|route| route.text).collect(),
    })
}

/// Runs ip(8) with words of a setting.
pub(super) fn ip_words(command: &[&str], words: &str, ifname: &str) -> Result<()> {
    let family = (words.contains(':') && command[0] == "route").then_some("-6");
    let words: Vec<&str> = family
        .into_iter()
        .chain(command.iter().copied())
        .chain(words.split_whitespace())
        .chain(["dev", ifname])
        .collect();
    ip(&words)
}
