//! A proxy for TCP: it listens on the host, and connects to ports of a namespace. It needs no forwarding and no interface in the
//! namespace. The service sees connections of the namespace itself.

use std::env;
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, Socket, Type};

use super::super::{Call, daemon};
use super::port::{PortProtocol, PublishedPort};
use crate::name::NsName;
use crate::netlink;
use crate::netns;
use crate::paths::Paths;
use crate::print;

/// Time for the service to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Waiting time after a failed `accept`, such as without free descriptors.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The length of the queue of new connections, as in many servers.
const BACKLOG: i32 = 1024;

/// `proxy_ports`: starts the proxy as a daemon of the instance. Arguments: PORT...
/// Errors: as for `daemon_start`.
pub fn start(call: &Call, ports: &[&str]) -> Result<()> {
    let program = env::current_exe().context("cannot find the path of this program")?;
    let (program, root) = (program.with_file_name("netnsinit"), &call.paths.root);
    let words = [program.to_str(), Some("--proxy"), root.to_str()];
    let words = words.into_iter().collect::<Option<Vec<&str>>>().context("a path is not UTF-8")?;
    let arguments =
        [&["proxy", "--outside"], words.as_slice(), &[call.instance.name.as_ref()], ports].concat();
    daemon::start(call, &arguments)
}

/// Runs the proxy until the process is terminated. Arguments: NAME PORT...
/// Errors: an argument is invalid, or a port cannot be used.
pub fn run(paths: &Paths, arguments: &[OsString]) -> Result<()> {
    let (name, ports) = arguments.split_first().context("expected NAME PORT...")?;
    let name = NsName::new(name)?;
    let mut listeners = Vec::new();
    for port in ports {
        let port: PublishedPort = port.to_str().context("a port is not UTF-8")?.parse()?;
        ensure!(port.protocol == PortProtocol::Tcp, "'{port}': the proxy only supports TCP");
        for (number, inside) in (port.first..=port.last).zip(port.inside..) {
            let what = || format!("cannot listen on port {number} of '{port}'");
            listeners.push((listen(port.host, number).with_context(what)?, inside));
        }
    }
    thread::scope(|scope| {
        for (listener, inside) in &listeners {
            scope.spawn(|| serve(paths, &name, listener, *inside));
        }
    });
    Ok(())
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

/// Accepts connections for a port of the namespace.
fn serve(paths: &Paths, name: &NsName, listener: &TcpListener, port: u16) {
    loop {
        match listener.accept() {
            Ok((client, _)) => {
                let (paths, name) = (paths.clone(), name.clone());
                let started = thread::Builder::new().spawn(move || {
                    if let Err(error) = relay(&paths, &name, client, port) {
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
fn relay(paths: &Paths, name: &NsName, client: TcpStream, port: u16) -> Result<()> {
    let service = connect(paths, name, port)?;
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

/// Connects to a port of the namespace: by its loopback interface, or else by one of its addresses.
/// Errors: the namespace cannot be entered, or no address answers.
fn connect(paths: &Paths, name: &NsName, port: u16) -> Result<TcpStream> {
    let _inside = netns::enter(paths, name)?;
    let links = netlink::links()?;
    let own = links.iter().flat_map(|link| &link.addresses);
    let own = own.filter_map(|address| address.split('/').next()?.parse().ok());
    let own = own.filter(|address: &IpAddr| !is_link_local(*address));
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    let mut failure = None;
    for address in loopback.into_iter().chain(own) {
        match TcpStream::connect_timeout(&SocketAddr::new(address, port), CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = Some(error),
        }
    }
    bail!("no service accepts connections in namespace '{name}': {}", failure.context("no address")?)
}

/// Whether an address needs an interface.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}
