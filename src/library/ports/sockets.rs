//! The proxy under systemd. Each port has two transient units (systemd-run(1)): a socket of the host, and a service in the namespace,
//! which becomes systemd-socket-proxyd(8). The first connection starts the service. It wants `netns_awake@TYPE@NAME.service`, which
//! brings the namespace up, and which systemd stops after the last of these services.

use std::env;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::super::Call;
use super::super::record::Object;
use super::port::PortProtocol;
use super::proxy::{POLL_INTERVAL, ProxySettings, SERVICE_TIMEOUT};
use super::{Listener, listeners};
use crate::name::{Instance, Side, UnitName, unit};
use crate::paths::Paths;
use crate::print;
use crate::sys::file;
use crate::sys::program::Program;
use crate::sys::wait::wait_until;
use crate::systemd::show::Properties;
use crate::systemd::systemctl::Systemctl;

/// The program, which is in no directory of PATH (file-hierarchy(7): private programs of a package).
const PROXY_PROGRAM: &str = "/usr/lib/systemd/systemd-socket-proxyd";

/// The ports that a proxy can have, because each has two units.
pub(super) const MAX_PORTS: usize = 500;

/// The connections that one port can have at the same time. Each needs six descriptors, and the default limit is 256.
const MAX_CONNECTIONS: u32 = 4096;
const MAX_DESCRIPTORS: u32 = 6 * MAX_CONNECTIONS + 100;

/// The dependencies of a socket of its own. With the default ones (systemd.socket(5)), a socket would stop after `sockets.target`, so after
/// the instance at a shutdown. But the hook `down outside` of the instance waits for the stop of the socket.
const SOCKET_DEPENDENCIES: [&str; 5] = [
    "--socket-property=DefaultDependencies=no",
    "--socket-property=Requires=sysinit.target",
    "--socket-property=After=sysinit.target",
    "--socket-property=Conflicts=shutdown.target",
    "--socket-property=Before=shutdown.target",
];

/// The first socket that systemd passes on (`SD_LISTEN_FDS_START` in sd_listen_fds(3)).
const SOCKET: RawFd = 3;

/// The longest queue of new connections (`net.core.somaxconn` is 4096 by default).
const MAX_QUEUE: usize = 4096;

/// The sockets of an instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sockets {
    instance: Instance,
    settings: ProxySettings,
    /// The hook that was the first to make them. Another hook does not stop them after a failure.
    made_by: String,
    /// The last hook that has wanted them.
    wanted_by: String,
    /// Whether that was an inside hook.
    inside: bool,
}

/// Lets systemd listen on the ports. Sockets that have the same settings stay as they are.
/// Errors: a program is missing or fails, or a socket cannot listen.
pub fn start(call: &Call, settings: ProxySettings) -> Result<()> {
    if !Path::new(PROXY_PROGRAM).exists() {
        bail!("cannot find {PROXY_PROGRAM}: install the package of systemd that contains it");
    }
    let mut record = call.record()?;
    let earlier = record.objects().iter().find_map(|object| match object {
        Object::Sockets(sockets) => Some(sockets.clone()),
        _ => None,
    });
    let sockets = Sockets {
        instance: call.instance.clone(),
        settings,
        made_by: earlier.as_ref().map_or(&call.hook, |earlier| &earlier.made_by).clone(),
        wanted_by: call.hook.clone(),
        inside: call.side == Side::Inside,
    };
    let mut is_same = false;
    if let Some(earlier) = &earlier {
        is_same = earlier.settings == sockets.settings && earlier.drift()?.is_empty();
        if !is_same {
            earlier.stop_units(call.paths)?;
        }
    }
    // First, because a signal may end this process at any moment.
    record.retain(|object| !matches!(object, Object::Sockets(_)));
    record.push(Object::Sockets(sockets.clone()));
    record.save(call.paths)?;
    if is_same {
        return Ok(());
    }
    for (name, listen, inside) in sockets.units() {
        sockets.start_unit(call, &name, listen, inside)?;
    }
    Ok(())
}

impl Sockets {
    /// Whether this hook was the first to make the sockets.
    pub(crate) fn is_of(&self, hook: &str) -> bool {
        self.made_by == hook
    }

    /// Whether an earlier inside hook has wanted the sockets, and `hook` has not.
    pub(crate) fn is_stale(&self, hook: &str) -> bool {
        self.inside && self.wanted_by != hook
    }

    /// Whether a restart makes the sockets.
    pub(crate) fn is_made_by_restart(&self) -> bool {
        self.inside
    }

    /// Whether the namespace stays up after the last connection.
    pub(super) fn stays_awake(&self) -> bool {
        self.settings.idle.is_none()
    }

    /// The units that the first connection starts.
    pub(super) fn units_to_wake(&self) -> &[String] {
        &self.settings.units
    }

    /// Stops listening, and ends all connections. The namespace stays as it is.
    /// Errors: a socket still listens, or a file cannot be removed.
    pub(crate) fn remove(&self, paths: &Paths) -> Result<()> {
        // Without this file, the end of the connections ends no instance.
        file::remove(&paths.woken(&self.instance))?;
        self.stop_units(paths)
    }

    fn stop_units(&self, paths: &Paths) -> Result<()> {
        let Some(systemctl) = Systemctl::of(paths) else { return Ok(()) };
        let units = self.units().map(|(name, ..)| [format!("{name}.socket"), format!("{name}.service")]);
        let units: Vec<String> = units.flatten().collect();
        let message = systemctl.change("stop", &units);
        // An error is ignored: a unit that has not failed has already been forgotten. The last one has failed if a connection could not
        // bring up the namespace.
        let awake = UnitName::Awake(self.instance.clone()).to_string();
        systemctl.change("reset-failed", &units.iter().chain([&awake]).collect::<Vec<_>>());
        let running = Properties::of("ActiveState", &units)?;
        match running.iter().find(|unit| unit.get("ActiveState") != "inactive") {
            None => Ok(()),
            Some(unit) => bail!("cannot stop {}: {message}", unit.id()),
        }
    }

    /// Reports the ports on which no socket listens.
    /// Errors: systemctl is missing or fails.
    pub(crate) fn drift(&self) -> Result<Vec<String>> {
        let states = Properties::of("ActiveState", self.units().map(|(name, ..)| format!("{name}.socket")))?;
        let lost = self.units().zip(&states).filter(|(_, state)| state.get("ActiveState") != "active");
        let line = |((_, listen, _), state): ((String, Listen, u16), &Properties)| {
            format!("{} does not listen on port {} of the host", state.id(), listen.port)
        };
        Ok(lost.map(line).collect())
    }

    /// For each port: the name of its units without the suffix, where it listens, and the port of the namespace.
    fn units(&self) -> impl Iterator<Item = (String, Listen, u16)> {
        let ports = self.settings.ports.iter().flat_map(|port| {
            (port.first..=port.last)
                .zip(port.inside..)
                .map(|(first, inside)| (Listen { host: port.host, port: first }, inside))
        });
        (1..)
            .zip(ports)
            .map(|(number, (listen, inside))| (unit::proxy(&self.instance, number), listen, inside))
    }

    /// Starts the socket of one port.
    fn start_unit(&self, call: &Call, name: &str, listen: Listen, inside: u16) -> Result<()> {
        let program = env::current_exe().context("cannot find the path of this program")?;
        let program = program.with_file_name("netnsinit");
        let Instance { name: namespace, .. } = &self.instance;
        let (awake, made) = (
            UnitName::Awake(self.instance.clone()).to_string(),
            UnitName::Made(namespace.clone()).to_string(),
        );
        let idle = self.settings.idle.map(|idle| idle.as_millis().to_string());
        let run = Program::new("systemd-run").package("systemd");
        let run = run
            .args(["--quiet", &format!("--unit={name}.service")])
            .args([format!(
                "--description=Port {} of the host, for network namespace {namespace}",
                listen.port
            )])
            .args([format!("--socket-property=ListenStream={}", listen.address())])
            .args([format!("--socket-property=BindIPv6Only={}", listen.bind_ipv6_only())])
            .args(SOCKET_DEPENDENCIES)
            .args([format!("--property=Wants={awake}"), format!("--property=Requires={made}")])
            .args([format!("--property=After={awake} {made}")])
            .args([format!("--property=NetworkNamespacePath=/run/netns/{namespace}")])
            .args([format!("--property=LimitNOFILE={MAX_DESCRIPTORS}")])
            // A short idle time must not fail the socket.
            .args(["--property=StartLimitIntervalSec=0", "--property=DynamicUser=yes"])
            .args(["--property=CapabilityBoundingSet=", "--property=SystemCallArchitectures=native"])
            .args(["--property=RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6"])
            .args(["--property=MemoryDenyWriteExecute=yes", "--property=RestrictNamespaces=yes"])
            .args(["--property=LockPersonality=yes", "--property=RestrictRealtime=yes"])
            .args(["--"])
            .args([program.as_os_str()])
            .args(["--serve", "/", &inside.to_string()])
            .args(idle);
        call.trace(&format!("systemd-run --unit={name}.service …"));
        run.run()?.success().with_context(|| format!("cannot listen on port {} of the host", listen.port))?;
        Ok(())
    }
}

/// An address of the host, `None` for all of both families, and a port.
#[derive(Clone, Copy, Debug)]
struct Listen {
    host: Option<IpAddr>,
    port: u16,
}

impl Listen {
    /// The address, as systemd.socket(5) writes it.
    fn address(self) -> String {
        match self.host {
            None => self.port.to_string(),
            Some(host) => SocketAddr::new(host, self.port).to_string(),
        }
    }

    /// Only `PORT` is for both families.
    fn bind_ipv6_only(self) -> &'static str {
        if self.host.is_none() { "both" } else { "ipv6-only" }
    }
}

/// Waits until a service listens on a port of the namespace of this process, and becomes systemd-socket-proxyd(8), which accepts the
/// connections of the socket. Without a service, it refuses them, and ends, so that the next one starts a new attempt. Arguments: PORT [MILLISECONDS]. After this time without a connection,
/// the program ends.
/// Errors: an argument is invalid, or the program cannot be run.
pub fn serve(arguments: &[OsString]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let (port, idle) = match words.as_slice() {
        [port] => (port, None),
        [port, idle] => (port, Some(Duration::from_millis(idle.parse().context("invalid MILLISECONDS")?))),
        _ => bail!("expected PORT [MILLISECONDS]"),
    };
    let port: u16 = port.parse().context("invalid PORT")?;
    let found = wait_until(SERVICE_TIMEOUT, POLL_INTERVAL, || address_of(port, &listeners().ok()?));
    let Some(address) = found else {
        let seconds = SERVICE_TIMEOUT.as_secs();
        print::warn(&format!(
            "no service has listened on port {port} of the namespace within {seconds} seconds"
        ));
        return refuse();
    };
    let error = Command::new(PROXY_PROGRAM)
        .arg(format!("--connections-max={MAX_CONNECTIONS}"))
        .args(idle.map(|idle| format!("--exit-idle-time={}ms", idle.as_millis())))
        .arg(SocketAddr::new(address, port).to_string())
        .exec();
    Err(error).with_context(|| format!("cannot run {PROXY_PROGRAM}"))
}

/// Closes the waiting connections of the socket. A client that connects again and again does not keep this process alive.
/// Errors: there is no socket.
fn refuse() -> Result<()> {
    ensure!(env::var_os("LISTEN_FDS").is_some(), "systemd has passed on no socket");
    #[allow(unsafe_code)] // nothing else in this process uses the socket
    let socket = unsafe { OwnedFd::from_raw_fd(SOCKET) };
    let listener = TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    listener.incoming().take(MAX_QUEUE).take_while(Result::is_ok).for_each(drop);
    Ok(())
}

/// The address by which a process of the namespace reaches the service that listens on a port.
fn address_of(port: u16, listeners: &[Listener]) -> Option<IpAddr> {
    let services = listeners.iter().filter(|one| one.protocol == PortProtocol::Tcp && one.port == port);
    let addresses = services.map(|one| match one.address {
        None => Ipv4Addr::LOCALHOST.into(),
        Some(IpAddr::V4(all)) if all.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        Some(IpAddr::V6(all)) if all.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        Some(address) => address,
    });
    addresses.min_by_key(|address| (!address.is_loopback(), address.is_ipv6()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_reached_by_its_own_address_best_by_the_loopback_interface() {
        let listener = |address: &str| Listener {
            protocol: PortProtocol::Tcp,
            address: (address != "*").then(|| address.parse().unwrap()),
            port: 80,
            process: None,
        };
        for (addresses, expected) in [
            ("*", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.1"),
            ("::", "::1"),
            (":: 0.0.0.0", "127.0.0.1"),
            ("192.0.2.2", "192.0.2.2"),
            ("192.0.2.2 ::1", "::1"),
            ("2001:db8::2 192.0.2.2", "192.0.2.2"),
        ] {
            let listeners: Vec<Listener> = addresses.split(' ').map(listener).collect();
            assert_eq!(address_of(80, &listeners), Some(expected.parse().unwrap()), "{addresses}");
        }
        assert_eq!(address_of(81, &[listener("*")]), None);
    }
}
