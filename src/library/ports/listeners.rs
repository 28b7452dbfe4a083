//! The sockets of the host that listen on a port, from ss(8).

use std::net::IpAddr;

use anyhow::Result;

use super::port::PortProtocol;
use crate::sys::program::Program;

/// A listening TCP socket, or an UDP socket without a peer.
#[derive(Debug, PartialEq, Eq)]
pub struct Listener {
    /// The protocol.
    pub protocol: PortProtocol,
    /// The address; `None` for all of both families.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// The process: `nginx (pid 17)`; `None` if it cannot be read.
    pub process: Option<String>,
}

/// Lists the listeners of the namespace of this thread.
/// Errors: ss(8) is missing or fails.
pub fn listeners() -> Result<Vec<Listener>> {
    let ss = Program::new("ss").package("iproute2");
    let output =
        ss.args(["--no-header", "--numeric", "--listening", "--processes", "--tcp", "--udp"]).run()?;
    Ok(output.success()?.text().lines().filter_map(parse).collect())
}

/// Parses a line: `tcp LISTEN 0 511 192.0.2.1:80 0.0.0.0:* users:(("nginx",pid=17,fd=6))`. ss prints `*` as the address of a socket
/// for both families. An address can have an interface: `127.0.0.53%lo`, `[fe80::1]%eth0`.
fn parse(line: &str) -> Option<Listener> {
    let mut words = line.split_whitespace();
    let protocol = match words.next()? {
        "tcp" => PortProtocol::Tcp,
        "udp" => PortProtocol::Udp,
        _ => return None,
    };
    let (address, port) = words.nth(3)?.rsplit_once(':')?;
    let address = address.split('%').next()?.trim_start_matches('[').trim_end_matches(']');
    let process = words.nth(1).and_then(|users| {
        let (name, rest) = users.strip_prefix("users:((\"")?.split_once("\",pid=")?;
        Some(format!("{name} (pid {})", rest.split(',').next()?))
    });
    let address = if address == "*" { None } else { Some(address.parse().ok()?) };
    Some(Listener { protocol, address, port: port.parse().ok()?, process })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_ss_has_the_address_the_port_and_the_process() {
        for (line, address, port, process) in [
            (
                r#"tcp LISTEN 0 511 192.0.2.1:80 0.0.0.0:* users:(("nginx",pid=17,fd=6),("nginx",pid=18,fd=6))"#,
                Some("192.0.2.1"),
                80,
                Some("nginx (pid 17)"),
            ),
            ("tcp LISTEN 0 5 *:22 *:*", None, 22, None),
            ("tcp LISTEN 0 5 [::]:22 [::]:* v6only:1", Some("::"), 22, None),
            (
                r#"udp UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:* users:(("a b",pid=1,fd=2))"#,
                Some("127.0.0.53"),
                53,
                None,
            ),
            ("udp UNCONN 0 0 [fe80::1]%eth0:546 [::]:*", Some("fe80::1"), 546, None),
        ] {
            let found = parse(line).unwrap();
            assert_eq!(found.address, address.map(|text| text.parse().unwrap()), "{line}");
            assert_eq!((found.port, found.process.as_deref()), (port, process), "{line}");
        }
        assert_eq!(parse("Netid State"), None);
    }
}
