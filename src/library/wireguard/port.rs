//! The UDP port of a tunnel, and who else has it.

use anyhow::{Result, anyhow};
use nix::errno::Errno;

use super::super::Call;
use super::super::link::settings::{Settings, invalid};
use super::super::ports::{PortProtocol, listeners};
use super::super::record::{Object, Record};
use super::config::Config;
use super::of;
use super::running::{Device, RunningTunnel, wg};
use crate::config::remembered;
use crate::netns::Entered;

/// Moves this thread to the namespace of the UDP socket.
/// Errors: the namespace cannot be entered.
pub(super) fn enter(call: &Call, settings: &Settings) -> Result<Option<Entered>> {
    match settings.nsname("NSNAME_SOCKET")? {
        Some(name) => call.enter_named(&name),
        None => call.enter_host(),
    }
}

/// An error if another active instance, a process or a foreign tunnel has the port of a tunnel.
pub(super) fn taken(call: &Call, settings: &Settings, config: &Config) -> Option<anyhow::Error> {
    let port = config.listen_port?;
    // Records that cannot be read have their own message, and the namespace of the socket may not exist yet: then wg(8) reports the port.
    if is_own(call, settings, port).unwrap_or(true) {
        return None;
    }
    let owner = owner(call, settings, port).ok().flatten()?;
    Some(in_use(settings, config, port, Some(&owner)))
}

/// Adds the port, its setting or line, and its present owner to an error of wg(8), if it is about a port in use.
pub(super) fn explained(
    call: &Call,
    settings: &Settings,
    config: &Config,
    error: anyhow::Error,
) -> anyhow::Error {
    match config.listen_port {
        Some(port) if format!("{error:#}").contains(Errno::EADDRINUSE.desc()) => {
            // Without the owner, the message still has the port.
            let owner = owner(call, settings, port).ok().flatten();
            in_use(settings, config, port, owner.as_deref())
        }
        _ => error,
    }
}

fn in_use(settings: &Settings, config: &Config, port: u16, owner: Option<&str>) -> anyhow::Error {
    let place = match settings.one("NSNAME_SOCKET") {
        Some(name) => format!("in namespace '{name}'"),
        None => "on the host".to_owned(),
    };
    let owner = owner.map_or(String::new(), |owner| format!(" by {owner}"));
    let message = format!("'{port}': this UDP port is in use {place}{owner}; fix: choose another port");
    match config.line_of(&["ListenPort"], "") {
        Some(line) if settings.one("LISTEN_PORT").is_none() => {
            anyhow!("{}: {}: {message}", line.place, line.key)
        }
        _ => invalid(settings.name("LISTEN_PORT"), message),
    }
}

/// Whether the tunnel of this instance has a port already.
/// Errors: the record or the tunnel cannot be read, or the namespace cannot be entered.
fn is_own(call: &Call, settings: &Settings, port: u16) -> Result<bool> {
    let record = call.record()?;
    let Some(tunnel) = of(&record, settings.prefix()) else { return Ok(false) };
    let is_recorded = tunnel.listen_port == Some(port);
    // A program keeps its socket until it has ended, after its interface was deleted. And it may not answer.
    if is_recorded && tunnel.control.is_some() {
        return Ok(true);
    }
    let link = record.links().find(|link| link.name_of(settings.prefix()).is_some());
    let Some(ifname) = link.map(|link| link.present_name(call)).transpose()?.flatten() else {
        return Ok(false);
    };
    // The kernel may have chosen the port, or another program may have set it.
    let _there = call.enter_namespace()?;
    let device = tunnel.control.as_deref().map_or(Device::Kernel(&ifname), Device::Program);
    Ok(is_recorded || RunningTunnel::read(device)?.listen_port == Some(port))
}

/// The instance, process or interface that has a port in the namespace of the socket.
fn owner(call: &Call, settings: &Settings, port: u16) -> Result<Option<String>> {
    match instance_with(call, settings, port)? {
        None => foreign(call, settings, port),
        instance => Ok(instance),
    }
}

/// The process or interface that has a port in the namespace of the socket. WireGuard needs the port of all addresses of both families. A
/// socket with a peer does not count: the kernel has chosen most of these ports, and they are free again soon.
fn foreign(call: &Call, settings: &Settings, port: u16) -> Result<Option<String>> {
    let _there = enter(call, settings)?;
    let mut sockets = listeners()?;
    sockets.retain(|one| one.protocol == PortProtocol::Udp && one.port == port);
    if sockets.is_empty() {
        return Ok(None);
    }
    if let Some(process) = sockets.into_iter().find_map(|one| one.process) {
        return Ok(Some(process));
    }
    // A tunnel of the kernel has no process. Its interface may be in another namespace.
    let text = wg(&["show", "all", "listen-port"], "").unwrap_or_default();
    let mut tunnels = text.lines().filter_map(|line| line.split_once('\t'));
    let found = tunnels.find(|(_, one)| one.parse() == Ok(port));
    Ok(Some(
        found.map_or("another program or tunnel".to_owned(), |(ifname, _)| format!("the tunnel '{ifname}'")),
    ))
}

/// The other instance whose tunnel has a port in the namespace of the socket.
fn instance_with(call: &Call, settings: &Settings, port: u16) -> Result<Option<String>> {
    let socket = settings.nsname("NSNAME_SOCKET")?;
    for instance in remembered::all(call.paths)?.into_iter().filter(|one| *one != call.instance) {
        let record = Record::read(call.paths, &instance)?;
        let has_port =
            |object: &Object| matches!(object, Object::Tunnel(tunnel) if tunnel.listen_port == Some(port));
        if record.objects().iter().any(has_port)
            && record.links().any(|link| link.socket() == socket.as_ref())
        {
            return Ok(Some(instance.to_string()));
        }
    }
    Ok(None)
}
