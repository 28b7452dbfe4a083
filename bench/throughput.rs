//! Compares the ways of packets in and out: a published port, a proxy, NAT, and netavark.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::measure::{Measured, Row, Unit, in_turn, run, time, wait_until};
use crate::peers::{self, NAMESPACE};

const RUNS: usize = 25;
/// Bytes of one transfer.
const SIZE: &str = "1G";
/// The port of iperf3 in each namespace.
const INSIDE: u16 = 5201;

/// A namespace on the network of the host, and a namespace with each way.
const NETWORK: &str = "set -e
ip netns add client
ip link add lan type veth peer name eth0 netns client
ip link set dev lan up
ip -netns client link set dev eth0 up
ip address add 198.51.100.1/24 dev lan
ip -netns client address add 198.51.100.2/24 dev eth0
ip -netns client route add 192.0.2.0/24 via 198.51.100.1
cd /etc/conf.d/netns
for number in 1 2 3; do
  printf 'VETH_IFADDR_OUTSIDE=192.0.2.%d/30 VETH_IFADDR_INSIDE=192.0.2.%d/30 VETH_GATEWAY=outside\n' \
    $((number * 4 + 1)) $((number * 4 + 2)) >veth-way$number.conf
done
echo 'PUBLISH=(8001:5201)' >publish-way1.conf
echo 'PUBLISH=(8002:5201) PUBLISH_BY=proxy' >publish-way2.conf
netnsctl up veth@way1 publish@way1 lo@way2 veth@way2 publish@way2 veth@way3 nat@way3
";

/// The socket on the host and the process in the namespace that PUBLISH_BY=proxy makes under systemd.
const SOCKET_PROXYD: [&str; 8] = [
    "systemd-socket-activate",
    "--listen=198.51.100.1:8004",
    "ip",
    "netns",
    "exec",
    "way2",
    "/lib/systemd/systemd-socket-proxyd",
    "127.0.0.1:5201",
];

/// A server that ends with this value.
struct Server(Child);

impl Server {
    fn start(command: &[&str]) -> Result<Self> {
        let [program, arguments @ ..] = command else { unreachable!("a command has a program") };
        let child = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok(Self(child.with_context(|| format!("cannot start {program}"))?))
    }

    /// Starts iperf3 in a namespace.
    fn iperf3(namespace: &str) -> Result<Self> {
        Self::start(&["ip", "netns", "exec", namespace, "iperf3", "--server"])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Adds the rows.
pub fn measure(measured: &mut Measured) -> Result<()> {
    fs::write("/run/network.sh", NETWORK)?;
    run(&["bash", "/run/network.sh"])?;
    run(&["ip", "netns", "add", NAMESPACE])?;
    peers::with_netavark("setup", Some((8003, INSIDE)))?;
    let servers = ["client", "way1", "way2", "way3", NAMESPACE].map(Server::iperf3);
    let servers: Vec<Server> = servers.into_iter().collect::<Result<_>>()?;
    let proxyd = Server::start(&SOCKET_PROXYD)?;
    wait_until(|| Ok(TcpStream::connect(("192.0.2.6", INSIDE)).is_ok()))?;

    let direct = || transfer(None, "192.0.2.6", INSIDE);
    let dnat = || transfer(Some("client"), "198.51.100.1", 8001);
    let netavark = in_turn(RUNS, || transfer(Some("client"), "198.51.100.1", 8003), dnat)?;
    let published = "1 GiB to a published port, dnat";
    measured.rows.push(netavark.row(published, "a port that netavark publishes", 1.05));
    let mut compare = |what: &str, way: &dyn Fn() -> Result<f64>| -> Result<()> {
        let floor = "from the host to the namespace";
        let row = in_turn(RUNS, direct, way)?.row_of(what, floor, "none".to_owned(), Unit::Seconds);
        measured.rows.push(Row { reached: true, ..row });
        Ok(())
    };
    compare("the same", &dnat)?;
    compare("1 GiB to a published port, proxy", &|| transfer(Some("client"), "198.51.100.1", 8002))?;
    compare("the same, systemd-socket-proxyd", &|| transfer(Some("client"), "198.51.100.1", 8004))?;
    compare("1 GiB out of the namespace, nat", &|| transfer(Some("way3"), "198.51.100.2", INSIDE))?;

    drop((servers, proxyd));
    peers::with_netavark("teardown", Some((8003, INSIDE)))?;
    run(&["ip", "netns", "delete", NAMESPACE])?;
    run(&[
        "netnsctl",
        "down",
        "publish@way1",
        "veth@way1",
        "publish@way2",
        "veth@way2",
        "nat@way3",
        "veth@way3",
    ])?;
    run(&["ip", "netns", "delete", "client"])
}

/// The seconds of one transfer from a namespace, or from the host.
fn transfer(from: Option<&str>, address: &str, port: u16) -> Result<f64> {
    let port = port.to_string();
    let mut command = Vec::new();
    if let Some(namespace) = from {
        command.extend(["ip", "netns", "exec", namespace]);
    }
    command.extend(["iperf3", "--client", address, "--port", &port, "--bytes", SIZE]);
    time(|| run(&command))
}
