//! Restores the tunnel of a program that has ended and was started again.

use std::net::SocketAddr;

use anyhow::{Context, Result};

use super::super::Call;
use super::super::link::settings::Settings;
use super::super::record::Record;
use super::apply::set_mtu;
use super::config::{Endpoint, Peer};
use super::read::valid;
use super::{Tunnel, endpoints};
use crate::print;

/// Gives a tunnel that its program has made again its keys and peers, then moves the interface into its place, with its recorded settings. The
/// record does not change. Returns whether the interface is in its place.
/// Errors: a setting is invalid now, wg(8) fails, or the kernel refuses.
pub(super) fn restore(call: &Call, record: &Record, tunnel: &Tunnel) -> Result<bool> {
    let link = record.links().find(|link| link.name_of(&tunnel.prefix).is_some());
    let link = link.context("the interface is not recorded")?;
    if !link.is_waiting(call)? {
        return link.is_in_place(call);
    }
    let words: Vec<&str> = tunnel.settings.iter().map(String::as_str).collect();
    let config = valid(call, &Settings::read(&tunnel.prefix, &words)?)?;
    let addresses: Vec<Option<SocketAddr>> = config.peers.iter().map(address).collect();
    tunnel.set_keys(call, &config.text(None, &addresses))?;
    link.bring_back(call)?;
    let _there = call.enter_namespace()?;
    set_mtu(call, tunnel)?;
    print::say(&format!("interface '{}' has returned", tunnel.ifname));
    Ok(true)
}

/// The address of a peer. A name that cannot be resolved now is resolved later.
fn address(peer: &Peer) -> Option<SocketAddr> {
    match peer.endpoint.as_ref()? {
        Endpoint::Address(address) => Some(*address),
        Endpoint::Name(name, port) => endpoints::resolve(name, *port).ok()?.first().copied(),
    }
}
