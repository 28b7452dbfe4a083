//! Names of endpoints. The host resolves them, also for a tunnel whose namespace has no other way out.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::super::{Call, enter_host};
use super::restore::restore;
use super::running::{RunningPeer, RunningTunnel};
use super::{PeerRecord, Tunnel, of};
use crate::print;
use crate::sys::program::Program;

/// The timeout for one name. The start timeout of a unit is 90 seconds.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The interval in which the daemon looks at the handshakes.
const INTERVAL: Duration = Duration::from_secs(10);

/// A handshake that is older is stale: with traffic, there is a new one after 120 seconds, with 15 seconds for attempts
/// (wireguard-tools, contrib/reresolve-dns).
const STALE: u64 = 135;

/// Resolves a name on the host. The addresses are in the order in which a program should try them.
/// Errors: the name is not found, or getent(1) fails.
pub(super) fn resolve(name: &str, port: u16) -> Result<Vec<SocketAddr>> {
    let _host = enter_host()?;
    let mounts = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    let getent = ["getent", "ahosts", "--", name];
    // A unit may have its own /etc.
    let program = if mounts("self") == mounts("1") {
        Program::new(getent[0]).args(&getent[1..])
    } else {
        Program::new("nsenter").args(["--mount=/proc/1/ns/mnt", "--"]).args(getent)
    };
    let Some(output) = program.label("getent").kill_group_at_end().run_within(TIMEOUT)? else {
        bail!("cannot resolve '{name}' on the host: no answer within {} seconds", TIMEOUT.as_secs());
    };
    let text = output.text();
    // getent prints each address once for each type of socket: `192.0.2.1 STREAM name`.
    let lines = text.lines().filter(|line| line.contains(" STREAM"));
    let addresses = lines.filter_map(|line| line.split_whitespace().next()?.parse::<IpAddr>().ok());
    let addresses: Vec<SocketAddr> = addresses.map(|address| SocketAddr::new(address, port)).collect();
    if addresses.is_empty() {
        bail!(
            "cannot resolve '{name}' on the host: {}; test it with: getent ahosts {name}",
            reason(&output.message())
        );
    }
    Ok(addresses)
}

fn reason(message: &str) -> &str {
    if message.is_empty() { "not found" } else { message }
}

/// `wireguard_follow`: resolves the names of endpoints again while handshakes are stale, and restores the tunnel of a program that was started
/// again, until the process is ended. Arguments: PREFIX.
/// Errors: the arguments are invalid.
pub fn follow(call: &Call, arguments: &[&str]) -> Result<()> {
    let [prefix] = arguments else { bail!("expected PREFIX") };
    let mut last = String::new();
    loop {
        sleep(INTERVAL);
        let message = update(call, prefix).err().map_or(String::new(), |error| format!("{error:#}"));
        // Once, not in each interval.
        if !message.is_empty() && message != last {
            print::warn(&message);
        }
        last = message;
    }
}

/// Gives each peer with a stale handshake the present address of its endpoint.
fn update(call: &Call, prefix: &str) -> Result<()> {
    let record = call.record()?;
    let tunnel = of(&record, prefix).context("the tunnel is not recorded")?;
    if tunnel.control.is_some() && !restore(call, &record, tunnel)? {
        return Ok(());
    }
    let running = {
        let _there = call.enter_namespace()?;
        RunningTunnel::read(tunnel.device())?
    };
    for (peer, now) in tunnel.peers.iter().filter_map(|peer| {
        let now = running.peers.iter().find(|one| one.public_key == peer.public_key)?;
        now.age().is_none_or(|age| age > STALE).then_some((peer, now))
    }) {
        if let Some(address) = other_address(peer, now)? {
            set_endpoint(call, tunnel, peer, address)?;
        }
    }
    Ok(())
}

/// The address that a peer should have; `None` if it has it already. While there was no answer, all addresses are tried in turn.
fn other_address(peer: &PeerRecord, now: &RunningPeer) -> Result<Option<SocketAddr>> {
    let Some((name, port)) = &peer.endpoint else { return Ok(None) };
    let found = resolve(name, *port)?;
    let at = found.iter().position(|address| Some(*address) == now.endpoint);
    Ok(match at {
        None => found.first().copied(),
        Some(at) if now.handshake.is_none() && now.sent > 0 => {
            Some(found[(at + 1) % found.len()]).filter(|address| Some(*address) != now.endpoint)
        }
        Some(_) => None,
    })
}

fn set_endpoint(call: &Call, tunnel: &Tunnel, peer: &PeerRecord, address: SocketAddr) -> Result<()> {
    let _there = call.enter_namespace()?;
    print::say(&format!("the endpoint of peer '{}' is now {address}", peer.public_key));
    let words = ["peer", &peer.public_key, "endpoint", &address.to_string()];
    tunnel.device().wg("set", &words, "").map(drop)
}
