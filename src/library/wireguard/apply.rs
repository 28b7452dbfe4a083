//! `wireguard_apply`: gives an interface its keys and peers.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, bail};

use super::super::link::add::split;
use super::super::link::settings::Settings;
use super::super::{Call, daemon};
use super::config::{Config, Endpoint};
use super::read::valid;
use super::running::{Device, RunningTunnel, VALID, now};
use super::settings::below;
use super::{PeerRecord, Tunnel, endpoints, of, port, put};
use crate::netlink::{self, LinkChange};
use crate::paths::Paths;
use crate::print;
use crate::sys::program::Program;

/// The bytes that a tunnel adds to a packet: IPv6, UDP and WireGuard headers (`mtu_up` in wg-quick's linux.bash).
const OVERHEAD: u32 = 80;

/// The smallest MTU that IPv6 allows.
const IPV6_MTU: u32 = 1280;

/// The name of the daemon that resolves the endpoints again.
const DAEMON: &str = "endpoints";

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
    let link = record.links().find_map(|link| Some((link.name_of(prefix)?, link.control())));
    let (ifname, control) = link.context("the interface is not recorded: call link_add first")?;
    let earlier = of(&record, prefix).cloned();
    let running = {
        let _there = call.enter_namespace()?;
        RunningTunnel::read(control.map_or(Device::Kernel(ifname), Device::Program))?
    };
    // With the same key, the tunnel keeps its port, and a peer with a session keeps its endpoint, so a connection continues.
    let same = earlier.as_ref().filter(|earlier| earlier.public_key.as_ref() == Some(&running.public_key));
    let mut tunnel = Tunnel {
        prefix: (*prefix).to_owned(),
        name: call.instance.name.clone(),
        ifname: ifname.to_owned(),
        control: control.map(ToOwned::to_owned),
        settings: values.iter().map(|value| (*value).to_owned()).collect(),
        made_by: earlier.as_ref().map_or(&call.hook, |earlier| &earlier.made_by).clone(),
        applied: now(),
        public_key: None,
        listen_port: config.listen_port,
        fwmark: config.fwmark,
        mtu: None,
        peers: config.peers.iter().map(PeerRecord::of).collect::<Result<_>>()?,
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
    let present = same.and(running.listen_port);
    {
        let _there = call.enter_namespace()?;
        tunnel
            .set_keys(call, &config.text(present, &endpoints))
            .map_err(|error| port::explained(call, &settings, &config, error))?;
        tunnel.public_key = Some(RunningTunnel::read(tunnel.device())?.public_key);
        set_mtu(call, &tunnel)?;
    }
    put(&mut record, tunnel.clone());
    record.save(call.paths)?;
    follow(call, &tunnel)
}

/// Starts the daemon that resolves names of endpoints again, and restores the tunnel of a program, or stops it if there is nothing to do.
fn follow(call: &Call, tunnel: &Tunnel) -> Result<()> {
    if tunnel.control.is_none() && tunnel.peers.iter().all(|peer| peer.endpoint.is_none()) {
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
    for message in readable_files(call.paths, settings) {
        print::warn(&message);
    }
    if config.saves {
        print::warn("SaveConfig is ignored: the file is never changed");
    }
}

/// A message for each file with a private key that other users can read.
fn readable_files(paths: &Paths, settings: &Settings) -> Vec<String> {
    let is_readable = |path: &&str| {
        let mode = std::fs::metadata(below(&paths.root, path)).map(|found| found.permissions().mode());
        mode.is_ok_and(|mode| mode & 0o044 != 0)
    };
    let files = ["CONFIG", "PRIVATE_KEY_FILE"].into_iter().filter_map(|key| settings.one(key));
    files
        .filter(is_readable)
        .map(|path| format!("other users can read '{path}', which has a private key; fix: chmod 600 {path}"))
        .collect()
}

/// The MTU of a tunnel to these endpoints: the smallest one of their routes, minus the overhead. `None` without a route.
fn mtu(call: &Call, settings: &Settings, endpoints: &[SocketAddr]) -> Result<Option<u32>> {
    let _there = port::enter(call, settings)?;
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
pub(super) fn set_mtu(call: &Call, tunnel: &Tunnel) -> Result<()> {
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

impl Tunnel {
    /// A message for each file with a private key that other users can read.
    /// Errors: the record is damaged.
    pub(in super::super) fn readable_files(&self, paths: &Paths) -> Result<Vec<String>> {
        let words: Vec<&str> = self.settings.iter().map(String::as_str).collect();
        Ok(readable_files(paths, &Settings::read(&self.prefix, &words)?))
    }

    /// Gives the tunnel the keys and peers of a text for wg(8).
    pub(super) fn set_keys(&self, call: &Call, text: &str) -> Result<()> {
        let device = self.device();
        call.trace(&format!("ip netns exec {} wg syncconf {} /dev/stdin", self.name, device.name()));
        device
            .wg("syncconf", &["/dev/stdin"], text)
            .with_context(|| format!("cannot set the keys and peers of interface '{}'", self.ifname))
            .map(drop)
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
}
