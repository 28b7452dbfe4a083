//! Compares a tunnel with the running one.

use std::collections::BTreeSet;

use anyhow::Result;

use super::running::{RunningPeer, RunningTunnel, VALID, now};
use super::{PeerRecord, Tunnel};
use crate::netlink::{self, Link};
use crate::netns;
use crate::paths::Paths;

/// A tunnel sends a first handshake again after 5 seconds (`REKEY_TIMEOUT`). After three attempts, the peer is unreachable.
const FIRST_HANDSHAKE: u64 = 15;

impl Tunnel {
    /// Returns a line for each difference of the running tunnel, and for each peer without a valid handshake.
    /// Errors: the namespace cannot be entered, or the kernel cannot be queried.
    pub(in super::super) fn drift(&self, paths: &Paths) -> Result<Vec<String>> {
        let ifname = &self.ifname;
        if !paths.namespace(&self.name).exists() {
            return Ok(Vec::new()); // the interface is reported
        }
        let _there = netns::enter(paths, &self.name)?;
        let is_tunnel =
            |link: &Link| if self.control.is_some() { link.kind == "tun" } else { link.kind == "wireguard" };
        let Some(link) = netlink::link_named(ifname)?.filter(is_tunnel) else {
            return Ok(Vec::new());
        };
        let running = match RunningTunnel::read(self.device()) {
            Ok(running) => running,
            Err(error) => {
                return Ok(vec![format!("the tunnel of interface '{ifname}' cannot be read: {error:#}")]);
            }
        };
        let mut lines = Vec::new();
        if let Some(mtu) = self.mtu.filter(|mtu| *mtu != link.mtu) {
            lines.push(format!("interface '{ifname}' has the MTU '{}', not '{mtu}'", link.mtu));
        }
        if self.public_key.as_ref() != Some(&running.public_key) {
            lines.push(format!("interface '{ifname}' has another private key"));
        }
        if let Some(port) = self.listen_port.filter(|port| Some(*port) != running.listen_port) {
            lines.push(format!("interface '{ifname}' does not listen on port {port}"));
        }
        if self.fwmark != running.fwmark {
            let (found, expected) = (running.fwmark, self.fwmark);
            lines.push(format!("interface '{ifname}' has the mark {found:#x}, not {expected:#x}"));
        }
        for peer in running
            .peers
            .iter()
            .filter(|one| !self.peers.iter().any(|peer| peer.public_key == one.public_key))
        {
            lines.push(format!(
                "interface '{ifname}' has a peer '{}' that is not in the settings",
                peer.public_key
            ));
        }
        for peer in &self.peers {
            match running.peers.iter().find(|one| one.public_key == peer.public_key) {
                Some(running) => lines.extend(self.peer_drift(peer, running)?),
                None => lines.push(format!("interface '{ifname}' has no peer '{}'", peer.public_key)),
            }
        }
        Ok(lines)
    }

    fn peer_drift(&self, peer: &PeerRecord, running: &RunningPeer) -> Result<Vec<String>> {
        let what = format!("peer '{}' of interface '{}'", peer.public_key, self.ifname);
        let mut lines = Vec::new();
        match (&peer.preshared, running.preshared()?) {
            (Some(_), None) => lines.push(format!("{what} has no preshared key")),
            (None, Some(_)) => lines.push(format!("{what} has a preshared key that is not in the settings")),
            (Some(expected), Some(found)) if *expected != found => {
                lines.push(format!("{what} has another preshared key"));
            }
            _ => {}
        }
        if peer.allowed != running.allowed {
            let text = |networks: &BTreeSet<String>| {
                let words: Vec<&str> = networks.iter().map(String::as_str).collect();
                if words.is_empty() { "none".to_owned() } else { words.join(", ") }
            };
            lines.push(format!(
                "{what} has the allowed addresses {}, not {}",
                text(&running.allowed),
                text(&peer.allowed)
            ));
        }
        if peer.keepalive != running.keepalive {
            lines.push(format!(
                "{what} has the keepalive interval {}, not {}",
                running.keepalive, peer.keepalive
            ));
        }
        match (running.endpoint, &peer.endpoint) {
            (None, Some((name, _))) => lines.push(format!("{what} has no address: '{name}' is not resolved")),
            (Some(endpoint), _) if running.is_expected() => match running.age() {
                Some(age) if age > VALID => {
                    lines.push(format!(
                        "{what} does not answer: the last handshake with {endpoint} was {age} seconds ago"
                    ));
                }
                None if now().saturating_sub(self.applied) > FIRST_HANDSHAKE => {
                    lines.push(format!("{what} does not answer: there was no handshake with {endpoint}"));
                }
                _ => {}
            },
            _ => {}
        }
        Ok(lines)
    }
}
