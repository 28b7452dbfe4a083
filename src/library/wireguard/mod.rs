//! WireGuard tunnels: keys, peers, endpoints, and their comparison with the running tunnel.
//!
//! `link_add` makes the interface. Its UDP socket stays where the interface was created, so the namespace needs no other way out.
//! wg(8) gets the keys on stdin, so they are in no argument, environment or trace. The record has no secret.

mod config;
mod endpoints;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

pub use endpoints::follow;

use super::link::add::split;
use super::link::settings::Settings;
use super::record::{Object, Record};
use super::{Call, daemon};
use crate::name::NsName;
use crate::netlink::{self, LinkChange};
use crate::netns;
use crate::paths::Paths;
use crate::print;
use crate::sys::program::Program;
use crate::trust;
use config::{COMMANDS, Config, Endpoint, below};

/// The bytes that a tunnel adds to a packet: IPv6, UDP and WireGuard headers (`mtu_up` in wg-quick's linux.bash).
const OVERHEAD: u32 = 80;

/// The smallest MTU that IPv6 allows.
const IPV6_MTU: u32 = 1280;

/// A handshake is valid for this time (`REJECT_AFTER_TIME` in the kernel's drivers/net/wireguard/messages.h).
const VALID: u64 = 180;

/// A tunnel sends a first handshake again after 5 seconds (`REKEY_TIMEOUT`). After three attempts, the peer is unreachable.
const FIRST_HANDSHAKE: u64 = 15;

/// The name of the daemon that resolves the endpoints again.
const DAEMON: &str = "endpoints";

/// What a tunnel must be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tunnel {
    /// The prefix of its settings.
    prefix: String,
    name: NsName,
    ifname: String,
    /// The hook that has given the interface its keys for the first time.
    made_by: String,
    /// The time of the last change, in seconds since 1970.
    applied: u64,
    /// Unknown until the keys are set.
    public_key: Option<String>,
    listen_port: Option<u16>,
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
    allowed: BTreeSet<String>,
    keepalive: u16,
}

/// A running tunnel, as `wg show IFNAME dump` prints it, without its secrets.
#[derive(Debug)]
struct RunningTunnel {
    public_key: String,
    listen_port: Option<u16>,
    peers: Vec<RunningPeer>,
}

#[derive(Debug)]
struct RunningPeer {
    public_key: String,
    endpoint: Option<SocketAddr>,
    allowed: BTreeSet<String>,
    /// Seconds since 1970; `None` if there was none.
    handshake: Option<u64>,
    sent: u64,
    keepalive: u16,
}

/// `wireguard_read`: reads a tunnel, and prints its settings for bash, `NAME=VALUE`, unless they are set already. A line with an error
/// begins with `!`. Arguments: PREFIX -- [NAME=VALUE...].
/// Errors: the arguments are invalid.
pub fn read(call: &Call, arguments: &[&str]) -> Result<()> {
    let (words, values) = split(arguments)?;
    let [prefix] = words else { bail!("expected PREFIX") };
    let settings = Settings::read(prefix, values)?;
    if settings.one("NSNAME_SOCKET") == Some(call.instance.name.as_ref()) {
        let setting = settings.name("NSNAME_SOCKET");
        print::say(&format!(
            "!{setting}: is the namespace of the tunnel itself; name another one, or unset it"
        ));
        return Ok(());
    }
    let config = match trusted(call, &settings).and_then(|()| Config::read(&call.paths.root, &settings)) {
        Ok(config) => config,
        Err(faults) => {
            // One line each, so that no part of a value can look like another line.
            for line in faults.iter().flat_map(|fault| fault.lines()) {
                print::say(&format!("!{line}"));
            }
            return Ok(());
        }
    };
    for (key, values) in [
        ("IFADDR", config.addresses.clone()),
        ("ROUTES", config.routes()),
        ("MTU", config.mtu.iter().map(ToString::to_string).collect()),
        ("DNS_SERVERS", joined(&config.dns)),
        ("DNS_SEARCH", joined(&config.search)),
    ] {
        if settings.one(key).is_none() {
            for value in values {
                print::say(&format!("{}={value}", settings.name(key)));
            }
        }
    }
    Ok(())
}

/// The words in one text; nothing if there are none.
fn joined(words: &[String]) -> Vec<String> {
    if words.is_empty() { Vec::new() } else { vec![words.join(" ")] }
}

/// `wireguard_commands`: prints the commands of the file for a moment, one a line, if they are allowed. Arguments: PREFIX KEY --
/// [NAME=VALUE...].
/// Errors: the file cannot be read, or is invalid.
pub fn commands(call: &Call, arguments: &[&str]) -> Result<()> {
    let (words, values) = split(arguments)?;
    let [prefix, key] = words else { bail!("expected PREFIX KEY") };
    ensure!(COMMANDS.contains(key), "'{key}' is not one of {}", COMMANDS.join(", "));
    let settings = Settings::read(prefix, values)?;
    let Some(ifname) = settings.one("IFNAME") else { bail!("{} is not set", settings.name("IFNAME")) };
    let config = valid(call, &settings)?;
    for (_, command) in config.commands.iter().filter(|(found, _)| found == key) {
        print::say(&command.replace("%i", ifname));
    }
    Ok(())
}

/// Checks that only root may write the files of a tunnel: they decide where its traffic goes.
fn trusted(call: &Call, settings: &Settings) -> Result<(), Vec<String>> {
    let paths = ["CONFIG", "PRIVATE_KEY_FILE"].into_iter().filter_map(|key| settings.one(key));
    trust::require(&call.paths.root, paths.map(|path| below(&call.paths.root, path)))
        .map_err(|error| vec![format!("{error:#}")])
}

/// Reads a tunnel.
/// Errors: a value is invalid.
fn valid(call: &Call, settings: &Settings) -> Result<Config> {
    let config = trusted(call, settings).and_then(|()| Config::read(&call.paths.root, settings));
    config.map_err(|faults| anyhow!(faults.join("\n")))
}

/// `wireguard_apply`: gives the interface its keys and peers. A peer that stays keeps its session. Arguments: PREFIX --
/// [NAME=VALUE...].
/// Errors: a setting is invalid, or wg(8) fails.
pub fn apply(call: &Call, arguments: &[&str]) -> Result<()> {
    let (words, values) = split(arguments)?;
    let [prefix] = words else { bail!("expected PREFIX") };
    let settings = Settings::read(prefix, values)?;
    let config = valid(call, &settings)?;
    warn_about_file(call, &settings, &config);
    let mut record = call.record()?;
    let ifname = record.links().find_map(|link| link.name_of(prefix));
    let ifname = ifname.context("the interface is not recorded: call link_add first")?.to_owned();
    let earlier = of(&record, prefix).cloned();
    let running = {
        let _there = call.enter_namespace()?;
        RunningTunnel::read(&ifname)?
    };
    // With the same key, the tunnel keeps its port, and a peer with a session keeps its endpoint, so a connection continues.
    let same = earlier.as_ref().filter(|earlier| earlier.public_key.as_ref() == Some(&running.public_key));
    let mut tunnel = Tunnel {
        prefix: (*prefix).to_owned(),
        name: call.instance.name.clone(),
        ifname: ifname.clone(),
        made_by: earlier.as_ref().map_or(&call.hook, |earlier| &earlier.made_by).clone(),
        applied: now(),
        public_key: None,
        listen_port: config.listen_port,
        mtu: None,
        peers: config.peers.iter().map(PeerRecord::of).collect(),
    };
    let mut endpoints = Vec::new();
    for (peer, recorded) in config.peers.iter().zip(&tunnel.peers) {
        endpoints.push(match &peer.endpoint {
            None => None,
            Some(Endpoint::Address(address)) => Some(*address),
            Some(Endpoint::Name(..)) if same.is_some_and(|same| same.keeps(recorded, &running)) => None,
            Some(Endpoint::Name(name, port)) => endpoints::resolve(name, *port)
                .inspect_err(|error| {
                    print::warn(&format!("{error:#}; the tunnel starts as soon as the name can be resolved"));
                })
                .ok()
                .and_then(|found| found.first().copied()),
        });
    }
    let known: Vec<SocketAddr> = endpoints
        .iter()
        .flatten()
        .copied()
        .chain(running.peers.iter().filter_map(|peer| peer.endpoint))
        .collect();
    if settings.one("MTU").is_none() && config.mtu.is_none() {
        tunnel.mtu = mtu(call, &settings, &known)?;
    }
    // First, because a signal may end this process at any moment.
    put(&mut record, tunnel.clone());
    record.save(call.paths)?;
    let port = same.and(running.listen_port);
    {
        let _there = call.enter_namespace()?;
        call.trace(&format!("ip netns exec {} wg syncconf {ifname} /dev/stdin", call.instance.name));
        wg(&["syncconf", &ifname, "/dev/stdin"], &config.text(port, &endpoints))
            .with_context(|| format!("cannot set the keys and peers of interface '{ifname}'"))?;
        tunnel.public_key = Some(RunningTunnel::read(&ifname)?.public_key);
        set_mtu(call, &tunnel)?;
    }
    put(&mut record, tunnel.clone());
    record.save(call.paths)?;
    follow_names(call, &tunnel)
}

/// Starts the daemon that resolves names of endpoints again, or stops it if there are none.
fn follow_names(call: &Call, tunnel: &Tunnel) -> Result<()> {
    if tunnel.peers.iter().all(|peer| peer.endpoint.is_none()) {
        return daemon::stop(call, &[DAEMON]);
    }
    let program = std::env::current_exe().context("cannot find the path of this program")?;
    let program = program.with_file_name("netnsinit");
    let root = call.paths.root.display().to_string();
    let instance = call.instance.to_string();
    let program = program.to_str().context("the path of this program is not UTF-8")?;
    // Always the same arguments, so that the direct engine keeps the daemon on a restart.
    let command = [
        DAEMON,
        "--outside",
        program,
        "--library",
        &root,
        &instance,
        "outside",
        DAEMON,
        "-",
        "wireguard_follow",
    ];
    daemon::start(call, &[&command[..], &[&tunnel.prefix]].concat())
}

/// Warns about a file that other users can read, or that asks to be overwritten.
fn warn_about_file(call: &Call, settings: &Settings, config: &Config) {
    for path in ["CONFIG", "PRIVATE_KEY_FILE"].into_iter().filter_map(|key| settings.one(key)) {
        let mode = std::fs::metadata(below(&call.paths.root, path)).map(|found| found.permissions().mode());
        if mode.is_ok_and(|mode| mode & 0o044 != 0) {
            print::warn(&format!(
                "other users can read '{path}', which has a private key; fix: chmod 600 {path}"
            ));
        }
    }
    if config.saves {
        print::warn("SaveConfig is ignored: the file is never changed");
    }
}

/// The MTU of a tunnel to these endpoints: the smallest one of their routes, minus the overhead. `None` without a route.
fn mtu(call: &Call, settings: &Settings, endpoints: &[SocketAddr]) -> Result<Option<u32>> {
    let _there = match settings.nsname("NSNAME_SOCKET")? {
        Some(name) => call.enter_named(&name)?,
        None => call.enter_host()?,
    };
    let mut smallest = None;
    for endpoint in endpoints {
        let address = endpoint.ip().to_string();
        let output =
            Program::new("ip").package("iproute2").args(["-json", "route", "get", &address]).run()?;
        let routes: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let route = &routes[0];
        let of_route = route["metrics"][0]["mtu"].as_u64().and_then(|mtu| u32::try_from(mtu).ok());
        let of_link = match route["dev"].as_str() {
            Some(ifname) => netlink::link_named(ifname)?.map(|link| link.mtu),
            None => None,
        };
        smallest = [smallest, of_route.or(of_link)].into_iter().flatten().min();
    }
    Ok(smallest.map(|mtu: u32| mtu.saturating_sub(OVERHEAD).clamp(IPV6_MTU, 65535)))
}

/// Sets the computed MTU of a tunnel in the namespace of this thread.
fn set_mtu(call: &Call, tunnel: &Tunnel) -> Result<()> {
    let Some(mtu) = tunnel.mtu else { return Ok(()) };
    let ifname = &tunnel.ifname;
    let found = netlink::link_named(ifname)?.with_context(|| format!("interface '{ifname}' was deleted"))?;
    if found.mtu == mtu {
        return Ok(());
    }
    call.trace(&format!("ip -netns {} link set dev {ifname} mtu {mtu}", tunnel.name));
    netlink::change_link(found.index, &LinkChange { mtu: Some(mtu), ..LinkChange::default() })
        .with_context(|| format!("cannot set the MTU of interface '{ifname}'"))
}

/// Runs wg(8) in the namespace of this thread, and returns its output.
fn wg(arguments: &[&str], input: &str) -> Result<String> {
    let label = format!("wg {}", arguments.join(" "));
    let program = Program::new("wg").package("wireguard-tools").label(label).args(arguments);
    let output = program.input(input).run()?.success()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
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
    fn of(peer: &config::Peer) -> Self {
        let endpoint = match &peer.endpoint {
            Some(Endpoint::Name(name, port)) => Some((name.clone(), *port)),
            _ => None,
        };
        let public_key = peer.public_key.clone();
        Self { public_key, endpoint, allowed: peer.allowed_networks(), keepalive: peer.keepalive }
    }
}

impl Tunnel {
    /// Whether a hook has given the interface its keys.
    pub(super) fn is_of(&self, hook: &str) -> bool {
        self.made_by == hook
    }

    /// Whether a peer has the same endpoint as before, and a valid session.
    fn keeps(&self, peer: &PeerRecord, running: &RunningTunnel) -> bool {
        let is_same = |one: &PeerRecord| one.public_key == peer.public_key && one.endpoint == peer.endpoint;
        self.peers.iter().any(is_same)
            && running
                .peers
                .iter()
                .any(|one| one.public_key == peer.public_key && one.age().is_some_and(|age| age < VALID))
    }

    /// Returns a line for each difference of the running tunnel, and for each peer without a valid handshake.
    /// Errors: the namespace cannot be entered, or wg(8) fails.
    pub(super) fn drift(&self, paths: &Paths) -> Result<Vec<String>> {
        let ifname = &self.ifname;
        if !paths.namespace(&self.name).exists() {
            return Ok(Vec::new()); // the interface is reported
        }
        let _there = netns::enter(paths, &self.name)?;
        let Some(link) = netlink::link_named(ifname)?.filter(|link| link.kind == "wireguard") else {
            return Ok(Vec::new());
        };
        let running = RunningTunnel::read(ifname)?;
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
                Some(running) => lines.extend(self.peer_drift(peer, running)),
                None => lines.push(format!("interface '{ifname}' has no peer '{}'", peer.public_key)),
            }
        }
        Ok(lines)
    }

    fn peer_drift(&self, peer: &PeerRecord, running: &RunningPeer) -> Vec<String> {
        let what = format!("peer '{}' of interface '{}'", peer.public_key, self.ifname);
        let mut lines = Vec::new();
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
        lines
    }
}

impl RunningTunnel {
    /// Reads a tunnel in the namespace of this thread.
    /// Errors: wg(8) fails.
    fn read(ifname: &str) -> Result<Self> {
        let text = wg(&["show", ifname, "dump"], "")?;
        let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let unexpected = || format!("`wg show {ifname} dump` has printed another format");
        let interface = lines.next().with_context(unexpected)?;
        let [_, public_key, port, ..] = interface.as_slice() else { bail!(unexpected()) };
        let peers =
            lines.map(|line| RunningPeer::of(&line).with_context(unexpected)).collect::<Result<_>>()?;
        Ok(Self {
            public_key: (*public_key).to_owned(),
            listen_port: port.parse().ok().filter(|port| *port > 0),
            peers,
        })
    }
}

impl RunningPeer {
    /// Reads the fields of a line; see "show" in wg(8).
    fn of(fields: &[&str]) -> Option<Self> {
        let [public_key, _, endpoint, allowed, handshake, _, sent, keepalive] = fields else { return None };
        Some(Self {
            public_key: (*public_key).to_owned(),
            endpoint: endpoint.parse().ok(),
            allowed: allowed
                .split(',')
                .filter(|network| *network != "(none)")
                .map(ToOwned::to_owned)
                .collect(),
            handshake: handshake.parse().ok().filter(|time| *time > 0),
            sent: sent.parse().ok()?,
            keepalive: keepalive.parse().unwrap_or(0),
        })
    }

    /// Seconds since the last handshake.
    fn age(&self) -> Option<u64> {
        self.handshake.map(|time| now().saturating_sub(time))
    }

    /// Whether a peer that can be reached would have a valid handshake: packets are sent.
    fn is_expected(&self) -> bool {
        self.keepalive > 0 || self.handshake.is_none() && self.sent > 0
    }
}
