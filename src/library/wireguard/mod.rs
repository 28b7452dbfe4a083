//! WireGuard tunnels: keys, peers, endpoints, and their comparison with the running tunnel.
//!
//! `link_add` makes the interface. Its UDP socket stays where the interface was created, so the namespace needs no other way out.
//! wg(8) gets the keys on stdin, so they are in no argument, environment or trace. The record has no secret.

mod apply;
mod config;
mod drift;
mod endpoints;
mod port;
mod read;
mod restore;
mod running;
mod settings;
mod value;
mod wg_quick;

use std::collections::BTreeSet;

use anyhow::Result;
use serde::{Deserialize, Serialize};

pub use apply::apply;
pub use endpoints::follow;
pub use read::{commands, read};

use super::record::{Object, Record};
use crate::name::NsName;
use config::Endpoint;
use running::{Device, fingerprint};

/// What a tunnel must be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tunnel {
    /// The prefix of its settings.
    prefix: String,
    name: NsName,
    ifname: String,
    /// The name of the control socket, if a program makes the interface.
    #[serde(default)]
    control: Option<String>,
    /// The settings, as NAME=VALUE. They have the paths of the keys.
    #[serde(default)]
    settings: Vec<String>,
    /// The hook that has given the interface its keys for the first time.
    made_by: String,
    /// The time of the last change, in seconds since 1970.
    applied: u64,
    /// Unknown until the keys are set.
    public_key: Option<String>,
    listen_port: Option<u16>,
    /// 0 for none.
    #[serde(default)]
    fwmark: u32,
    /// The MTU, if it is computed.
    mtu: Option<u32>,
    peers: Vec<PeerRecord>,
}

/// What a peer must be.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct PeerRecord {
    public_key: String,
    /// The name and the port of its endpoint, if that is a name.
    endpoint: Option<(String, u16)>,
    /// The fingerprint of its preshared key.
    #[serde(default)]
    preshared: Option<String>,
    allowed: BTreeSet<String>,
    keepalive: u16,
}

fn of<'a>(record: &'a Record, prefix: &str) -> Option<&'a Tunnel> {
    record.objects().iter().find_map(|object| match object {
        Object::Tunnel(tunnel) if tunnel.prefix == prefix => Some(tunnel),
        _ => None,
    })
}

/// Records a tunnel, in place of the earlier one.
fn put(record: &mut Record, tunnel: Tunnel) {
    record.retain(|object| !matches!(object, Object::Tunnel(one) if one.prefix == tunnel.prefix));
    record.push(Object::Tunnel(tunnel));
}

impl PeerRecord {
    fn of(peer: &config::Peer) -> Result<Self> {
        let endpoint = match &peer.endpoint {
            Some(Endpoint::Name(name, port)) => Some((name.clone(), *port)),
            _ => None,
        };
        let public_key = peer.public_key.clone();
        let preshared = peer.preshared_key.as_deref().map(fingerprint).transpose()?;
        let (allowed, keepalive) = (peer.allowed_networks(), peer.keepalive);
        Ok(Self { public_key, endpoint, preshared, allowed, keepalive })
    }
}

impl Tunnel {
    /// Whether a hook has given the interface its keys.
    pub(super) fn is_of(&self, hook: &str) -> bool {
        self.made_by == hook
    }

    fn device(&self) -> Device<'_> {
        self.control.as_deref().map_or(Device::Kernel(&self.ifname), Device::Program)
    }
}
