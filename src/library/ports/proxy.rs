//! A proxy for TCP: it listens on the host, and connects to ports of a namespace. It needs no forwarding and no interface in the
//! namespace. The service sees connections of the namespace itself.
//!
//! Under systemd, `sockets` has the proxy. Without systemd, it is a daemon, which does the rest of this file.

use std::env;
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use super::super::link::settings::invalid;
use super::super::{Call, daemon, time_span};
use super::port::{PortProtocol, PublishedPort};
use super::sockets::{self, MAX_PORTS};
use crate::name::{Instance, NsName};
use crate::netlink;
use crate::netns;
use crate::paths::Paths;
use crate::print;
use crate::sys::wait::try_wait_until;
use crate::systemd::show::Properties;
use crate::systemd::systemctl::Systemctl;

/// Time for the service to accept a connection: it may be starting.
pub(super) const SERVICE_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause between two attempts to reach the service.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// Waiting time after a failed `accept`, such as without free descriptors.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The length of the queue of new connections, as in many servers.
const BACKLOG: i32 = 1024;

/// The name of the daemon of the direct engine.
pub(super) const DAEMON: &str = "proxy";

/// The settings of a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxySettings {
    /// The ports, all of TCP.
    pub ports: Vec<PublishedPort>,
    /// The time without connections after which the namespace goes down; `None` for never.
    pub idle: Option<Duration>,
    /// The units of systemd that come up with the namespace.
    pub units: Vec<String>,
}

/// `proxy_ports`: starts the proxy of the instance. Arguments: SETTING IDLE-SETTING IDLE UNITS-SETTING COUNT UNIT... PORT...
/// Errors: an argument is invalid, or the proxy cannot be started.
pub fn start(call: &Call, arguments: &[&str]) -> Result<()> {
    let expected = "expected SETTING IDLE-SETTING IDLE UNITS-SETTING COUNT UNIT... PORT...";
    let [setting, idle_setting, idle, units_setting, count, rest @ ..] = arguments else { bail!(expected) };
    let (units, ports) = rest.split_at_checked(count.parse()?).context(expected)?;
    let idle = match *idle {
        "" => None,
        idle => Some(time_span::parse(idle).map_err(|error| invalid(*idle_setting, error))?),
    };
    let ports = ports.iter().map(|port| tcp(port)).collect::<Result<Vec<_>>>()?;
    require_engine(call, (setting, &ports), (units_setting, units))?;
    let units: Vec<String> = units.iter().map(|&unit| unit.to_owned()).collect();
    let settings = ProxySettings { ports, idle, units };
    if is_under_systemd(call) { sockets::start(call, settings) } else { start_daemon(call, &settings) }
}

/// Whether the proxy consists of units of systemd.
fn is_under_systemd(call: &Call) -> bool {
    // The direct engine has a state file of its namespaces.
    Systemctl::of(call.paths).is_some() && !call.paths.state(&call.instance.name).exists()
}

/// Checks what only one of the engines can do. The ports and the units are each after the name of their setting.
/// Errors: systemd would have too many ports, or the direct engine has units.
pub(super) fn require_engine(
    call: &Call,
    (setting, ports): (&str, &[PublishedPort]),
    (units_setting, units): (&str, &[&str]),
) -> Result<()> {
    let count: usize = ports.iter().map(PublishedPort::count).sum();
    match (is_under_systemd(call), units) {
        (true, _) if count > MAX_PORTS => Err(invalid(
            setting,
            format!(
                "{count} ports are too many for a proxy: expected at most {MAX_PORTS}; \
                 fix: publish fewer ports, or publish them by rules"
            ),
        )),
        (false, [unit, ..]) => Err(invalid(
            units_setting,
            format!("'{unit}': units need the systemd engine; remove the setting"),
        )),
        _ => Ok(()),
    }
}

/// Checks the units that the first connection starts.
/// Errors: systemd does not find one.
pub(super) fn require_units(call: &Call, setting: &str, units: &[&str]) -> Result<()> {
    if !is_under_systemd(call) {
        return Ok(());
    }
    let states = Properties::of("LoadState", units)?;
    let missing = units.iter().zip(&states).find(|(_, state)| state.get("LoadState") == "not-found");
    missing.map_or(Ok(()), |(unit, _)| {
        let next =
            "fix: create it, or correct the name; after a change of files, run `systemctl daemon-reload`";
        Err(invalid(setting, format!("'{unit}': systemd does not find this unit; {next}")))
    })
}

fn start_daemon(call: &Call, settings: &ProxySettings) -> Result<()> {
    let program = env::current_exe().context("cannot find the path of this program")?;
    let (program, root) = (program.with_file_name("netnsinit"), &call.paths.root);
    let words = [program.to_str(), Some("--proxy"), root.to_str()];
    let words = words.into_iter().collect::<Option<Vec<&str>>>().context("a path is not UTF-8")?;
    let (instance, idle) =
        (call.instance.to_string(), settings.idle.map_or(0, |idle| idle.as_millis()).to_string());
    let ports: Vec<String> = settings.ports.iter().map(ToString::to_string).collect();
    let mut arguments = vec![DAEMON, "--outside"];
    arguments.extend(words.into_iter().chain([instance.as_str(), idle.as_str()]));
    arguments.extend(ports.iter().map(String::as_str));
    daemon::start(call, &arguments)
}

/// Parses a port of a proxy.
fn tcp(text: &str) -> Result<PublishedPort> {
    let port: PublishedPort = text.parse()?;
    ensure!(port.protocol == PortProtocol::Tcp, "'{port}': the proxy only supports TCP");
    Ok(port)
}

/// Runs the proxy until the process is terminated. Arguments: INSTANCE MILLISECONDS PORT..., with 0 milliseconds for a namespace that
/// stays up.
/// Errors: an argument is invalid, or a port cannot be used.
pub fn run(paths: &Paths, arguments: &[OsString]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let [instance, idle, ports @ ..] = words.as_slice() else {
        bail!("expected INSTANCE MILLISECONDS PORT...");
    };
    let proxy = Proxy::new(paths, instance.parse()?);
    let idle = Duration::from_millis(idle.parse().context("invalid MILLISECONDS")?);
    let mut listeners = Vec::new();
    for port in ports {
        let port = tcp(port)?;
        for (number, inside) in (port.first..=port.last).zip(port.inside..) {
            let what = || format!("cannot listen on port {number} of '{port}'");
            listeners.push((listen(port.host, number).with_context(what)?, inside));
        }
    }
    thread::scope(|scope| {
        for (listener, inside) in &listeners {
            scope.spawn(|| proxy.serve(scope, listener, *inside));
        }
        if !idle.is_zero() {
            proxy.sleep_when_idle(idle);
        }
    });
    Ok(())
}

/// The proxy of a namespace, which comes up with the first connection, and goes down when it is idle.
struct Proxy<'a> {
    paths: &'a Paths,
    instance: Instance,
    use_of_namespace: Mutex<UseOfNamespace>,
    /// Notified when a connection begins or ends.
    changed: Condvar,
}

/// How a proxy uses its namespace.
struct UseOfNamespace {
    /// Whether the namespace was brought up.
    awake: bool,
    connections: usize,
    /// The end of the last connection.
    last: Instant,
}

impl<'a> Proxy<'a> {
    fn new(paths: &'a Paths, instance: Instance) -> Self {
        // An earlier process of this daemon may have been killed.
        let awake = paths.woken(&instance).exists();
        let use_of_namespace = UseOfNamespace { awake, connections: 0, last: Instant::now() };
        Self { paths, instance, use_of_namespace: Mutex::new(use_of_namespace), changed: Condvar::new() }
    }

    /// Accepts connections for a port of the namespace.
    fn serve<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        listener: &TcpListener,
        port: u16,
    ) {
        loop {
            match listener.accept() {
                Ok((client, _)) => {
                    let started = thread::Builder::new().spawn_scoped(scope, move || {
                        if let Err(error) = self.relay(client, port) {
                            print::warn(&format!("port {port}: {error:#}"));
                        }
                    });
                    if let Err(error) = started {
                        print::warn(&format!("cannot start a thread: {error}"));
                    }
                }
                Err(error) => {
                    print::warn(&format!("cannot accept a connection: {error}"));
                    thread::sleep(RETRY_INTERVAL);
                }
            }
        }
    }

    /// Connects a client to the service, and copies in both directions until both have ended.
    fn relay(&self, client: TcpStream, port: u16) -> Result<()> {
        self.begin();
        let relayed =
            connect(self.paths, &self.instance.name, port).and_then(|service| relay(client, service));
        let mut used = self.lock();
        used.connections -= 1;
        used.last = Instant::now();
        self.changed.notify_all();
        relayed
    }

    /// Counts a connection, and brings the namespace up before the first one. Other connections wait for this.
    fn begin(&self) {
        let mut used = self.lock();
        used.connections += 1;
        if !used.awake {
            used.awake = self.call("--wake");
            if !used.awake {
                self.call("--sleep"); // a part of the namespace may have come up
            }
        }
    }

    /// Takes the namespace down each time that it has had no connection for some time.
    fn sleep_when_idle(&self, idle: Duration) {
        let mut used = self.lock();
        loop {
            let is_idle = used.awake && used.connections == 0;
            let rest = idle.saturating_sub(used.last.elapsed());
            if is_idle && rest.is_zero() {
                // A connection that comes now waits, and brings the namespace up again.
                self.call("--sleep");
                used.awake = false;
            } else if is_idle {
                used = self.changed.wait_timeout(used, rest).unwrap_or_else(PoisonError::into_inner).0;
            } else {
                used = self.changed.wait(used).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Runs a command of netnsinit for the instance. Returns whether it has succeeded; it prints its errors.
    fn call(&self, option: &str) -> bool {
        let program = env::current_exe().map(|program| program.with_file_name("netnsinit"));
        let status = program.and_then(|program| {
            Command::new(program)
                .args([option, "--root"])
                .arg(&self.paths.root)
                .arg(self.instance.to_string())
                .status()
        });
        if let Err(error) = &status {
            print::warn(&format!("cannot run `netnsinit {option} {}`: {error}", self.instance));
        }
        status.is_ok_and(|status| status.success())
    }

    fn lock(&self) -> MutexGuard<'_, UseOfNamespace> {
        self.use_of_namespace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens on an address, or on all addresses of both families.
fn listen(host: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    let address = SocketAddr::new(host.unwrap_or(Ipv6Addr::UNSPECIFIED.into()), port);
    let socket = match Socket::new(Domain::for_address(address), Type::STREAM, None) {
        // The kernel has no IPv6.
        Err(_) if host.is_none() => return listen(Some(Ipv4Addr::UNSPECIFIED.into()), port),
        socket => socket?,
    };
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(host.is_some())?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Copies in both directions until both have ended.
fn relay(client: TcpStream, service: TcpStream) -> Result<()> {
    let (client_out, service_out) = (client.try_clone()?, service.try_clone()?);
    let answers = thread::Builder::new().spawn(move || copy(service, client_out))?;
    copy(client, service_out);
    _ = answers.join();
    Ok(())
}

/// Copies until the end, and passes the end on. An error means that one side has ended the connection.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    _ = io::copy(&mut from, &mut to);
    _ = to.shutdown(Shutdown::Write);
    _ = from.shutdown(Shutdown::Read);
}

/// Connects to a port of the namespace: by its loopback interface, or else by one of its addresses. Waits for a service that starts.
/// Errors: the namespace cannot be entered, or no address answers in time.
fn connect(paths: &Paths, name: &NsName, port: u16) -> Result<TcpStream> {
    let mut failure = None;
    let connected = try_wait_until(SERVICE_TIMEOUT, POLL_INTERVAL, || {
        let _inside = netns::enter(paths, name)?;
        let links = netlink::links()?;
        let own = links.iter().flat_map(|link| &link.addresses);
        let own = own.filter_map(|address| address.split('/').next()?.parse().ok());
        let own = own.filter(|address: &IpAddr| !is_link_local(*address));
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
        for address in loopback.into_iter().chain(own) {
            match TcpStream::connect_timeout(&SocketAddr::new(address, port), SERVICE_TIMEOUT) {
                Ok(stream) => return Ok(Some(stream)),
                Err(error) => failure = Some(error),
            }
        }
        anyhow::Ok(None)
    })?;
    let Some(stream) = connected else {
        bail!("no service accepts connections in namespace '{name}': {}", failure.context("no address")?)
    };
    Ok(stream)
}

/// Whether an address needs an interface.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}
