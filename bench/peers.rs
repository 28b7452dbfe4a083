//! Compares one `veth` namespace, up and down, with other programs that do the same. Each command of this program is one process, as in
//! daily use.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::measure::{Measured, in_turn, run, time};
use crate::throughput;

const RUNS: usize = 100;
/// The packages that `tests/need bench` has downloaded. This program runs in the root of the clone.
const PACKAGES: &str = "target/peers";
/// The directories of the programs in the packages.
const CNI: &str = "/usr/lib/cni";
const NETAVARK: &str = "/usr/lib/podman/netavark";
/// The namespace of the other programs. `IP_COMMANDS` has it, too.
pub const NAMESPACE: &str = "peer";
const NAMESPACE_FILE: &str = "/run/netns/peer";

/// The same pair with `ip` in one bash for each command. A process of bash is necessary, because up needs six commands.
const IP_COMMANDS: &str = "set -e
case $1 in
  up)
    ip netns add peer
    ip link add name ve-peer0 type veth peer name ve-peer1 netns peer
    ip address add 192.0.2.5/30 dev ve-peer0
    ip link set dev ve-peer0 up
    ip -netns peer address add 192.0.2.6/30 dev ve-peer1
    ip -netns peer link set dev ve-peer1 up
    ;;
  down)
    ip link delete dev ve-peer0
    ip netns delete peer
    ;;
esac
";

const PAIR: &str = "VETH_IFADDR_OUTSIDE=192.0.2.1/30\nVETH_IFADDR_INSIDE=192.0.2.2/30\n";
const PORT: &str = "VETH_BRIDGE=br0\nVETH_IFADDR_INSIDE=192.0.2.2/30\n";

pub fn measure() -> Result<Measured> {
    let mut measured = Measured::default();
    install()?;
    throughput::measure(&mut measured)?;
    fs::write("/run/ip-commands.sh", IP_COMMANDS)?;
    run(&["ip", "link", "add", "br0", "type", "bridge"])?;
    run(&["ip", "link", "set", "dev", "br0", "up"])?;
    let mut compare =
        |what: &str, conf: &str, floor: &str, reach, up_and_down: &dyn Fn() -> Result<()>| -> Result<()> {
            fs::write("/etc/conf.d/netns/veth-shop.conf", conf)?;
            let ours = || {
                run(&["netnsctl", "up", "veth@shop"])?;
                run(&["netnsctl", "down", "veth@shop"])
            };
            let pairs = in_turn(RUNS, || time(up_and_down), || time(ours))?;
            measured.rows.push(pairs.row(what, floor, reach));
            Ok(())
        };
    compare(
        "one veth namespace up and down, direct",
        PAIR,
        "its ip commands, in one bash for up and one for down",
        0.9,
        &|| {
            run(&["bash", "/run/ip-commands.sh", "up"])?;
            run(&["bash", "/run/ip-commands.sh", "down"])
        },
    )?;
    compare("the same", PAIR, "ip netns, and the CNI plugins ptp and host-local", 0.8, &|| {
        in_namespace(|| with_cni("ADD", "ptp"), || with_cni("DEL", "ptp"))
    })?;
    compare(
        "one veth namespace on a bridge, up and down, direct",
        PORT,
        "ip netns, and the CNI plugins bridge and host-local",
        0.7,
        &|| in_namespace(|| with_cni("ADD", "bridge"), || with_cni("DEL", "bridge")),
    )?;
    compare("the same", PORT, "ip netns, and netavark without a firewall", 0.5, &|| {
        in_namespace(|| with_netavark("setup", None), || with_netavark("teardown", None))
    })?;
    Ok(measured)
}

/// Unpacks the programs into `/usr`, which is a temporary overlay on this machine.
fn install() -> Result<()> {
    ensure!(
        std::env::var_os("NETNS_MACHINE").is_some(),
        "the programs may only be installed on the test machine of tests/machine"
    );
    for entry in fs::read_dir(PACKAGES).with_context(|| format!("cannot read {PACKAGES}"))? {
        let package = entry?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            run(&["dpkg-deb".as_ref(), "--extract".as_ref(), package.as_os_str(), "/run/peers".as_ref()])?;
        }
    }
    run(&["cp", "--archive", "/run/peers/usr", "/"])?;
    // The installation of the package would create this link. netavark queries iptables also if it needs no firewall.
    if !Path::new("/usr/sbin/iptables").exists() {
        symlink("xtables-nft-multi", "/usr/sbin/iptables")?;
        symlink("xtables-nft-multi", "/usr/sbin/ip6tables")?;
    }
    Ok(())
}

fn in_namespace(up: impl FnOnce() -> Result<()>, down: impl FnOnce() -> Result<()>) -> Result<()> {
    run(&["ip", "netns", "add", NAMESPACE])?;
    up()?;
    down()?;
    run(&["ip", "netns", "delete", NAMESPACE])
}

/// Runs a CNI plugin like a container runtime (<https://www.cni.dev/docs/spec/>).
fn with_cni(command: &str, plugin: &str) -> Result<()> {
    let network = json!({
        "cniVersion": "0.4.0",
        "name": plugin,
        "type": plugin,
        "bridge": "cni0",
        "ipam": { "type": "host-local", "subnet": "198.51.100.0/24", "dataDir": "/run/cni" },
    });
    run_with_input(
        Command::new(Path::new(CNI).join(plugin)).envs([
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", NAMESPACE),
            ("CNI_NETNS", NAMESPACE_FILE),
            ("CNI_IFNAME", "eth0"),
            ("CNI_PATH", CNI),
        ]),
        &network,
    )
}

/// Runs netavark like podman, without a DNS server. `published` is a port of the host and one of the namespace; without it, the network
/// is `internal`, and netavark sets no firewall rules.
pub fn with_netavark(command: &str, published: Option<(u16, u16)>) -> Result<()> {
    let ports = published.map(|(host, inside)| {
        json!([{ "container_port": inside, "host_ip": "", "host_port": host, "protocol": "tcp", "range": 1 }])
    });
    let container = json!({
        "container_id": NAMESPACE,
        "container_name": NAMESPACE,
        "port_mappings": ports,
        "networks": { "bench": { "static_ips": ["203.0.113.2"], "interface_name": "eth0" } },
        "network_info": {
            "bench": {
                "name": "bench",
                "id": "0123456789abcdef",
                "driver": "bridge",
                "network_interface": "podman1",
                "subnets": [{ "subnet": "203.0.113.0/24", "gateway": "203.0.113.1" }],
                "ipv6_enabled": false,
                "internal": published.is_none(),
                "dns_enabled": false,
                "ipam_options": { "driver": "host-local" },
            },
        },
    });
    run_with_input(
        Command::new(NETAVARK).args(["--config", "/run/netavark", command, NAMESPACE_FILE]),
        &container,
    )
}

/// Runs a program with JSON as its input, and discards its output.
fn run_with_input(command: &mut Command, input: &Value) -> Result<()> {
    let program = OsStr::to_string_lossy(command.get_program()).into_owned();
    let context = || format!("cannot run {program}");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(context)?;
    let mut stdin = child.stdin.take().with_context(context)?;
    stdin.write_all(input.to_string().as_bytes()).with_context(context)?;
    drop(stdin);
    let status = child.wait().with_context(context)?;
    ensure!(status.success(), "{program} failed: {status}");
    Ok(())
}
