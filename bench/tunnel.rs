//! Compares the time until the first packet through a WireGuard tunnel, from no namespace at all, with wg-quick(8) and wg-netns.

use std::env;
use std::fs;

use anyhow::Result;

use crate::measure::{Measured, in_turn, run, time};

const RUNS: usize = 10;

/// A provider in a namespace of its own, on the network of the host, and the files of a client. wg-quick has no socket on the host, so its
/// namespace gets a way to the provider.
const PROVIDER: &str = r#"set -e
ip netns add provider
ip link add lan type veth peer name eth0 netns provider
ip address add 198.51.100.1/24 dev lan
ip link set dev lan up
ip -netns provider address add 198.51.100.2/24 dev eth0
ip -netns provider link set dev eth0 up
ip -netns provider link add wg0 type wireguard
ip -netns provider address add 10.2.0.1/24 dev wg0
ip -netns provider link set dev wg0 up
umask 077
mkdir -p /etc/wireguard
client=$(wg genkey) provider=$(wg genkey)
printf '%s\n' '[Interface]' 'ListenPort = 51820' "PrivateKey = $provider" '[Peer]' "PublicKey = $(wg pubkey <<<"$client")" \
  'AllowedIPs = 10.2.0.2/32' >/etc/wireguard/provider
ip netns exec provider wg setconf wg0 /etc/wireguard/provider
client_file() {
  printf '%s\n' '[Interface]' "PrivateKey = $client" 'Address = 10.2.0.2/32' '[Peer]' "PublicKey = $(wg pubkey <<<"$provider")" \
    'AllowedIPs = 0.0.0.0/0' "Endpoint = $1:51820"
}
client_file 198.51.100.2 >/etc/wireguard/vpn.conf
client_file 203.0.113.1 >/etc/wireguard/quick.conf
cat >/etc/wireguard/other.json <<END
{"name": "other", "interfaces": [{"name": "wg0", "address": ["10.2.0.2/32"], "private-key": "$client", "peers": [
  {"public-key": "$(wg pubkey <<<"$provider")", "endpoint": "198.51.100.2:51820", "allowed-ips": ["0.0.0.0/0"]}]}]}
END
cat >/run/quick.sh <<'END'
set -e
ip netns add quick
ip link add way netns quick type veth peer name quick netns provider
ip -netns provider address add 203.0.113.1/24 dev quick
ip -netns provider link set dev quick up
ip -netns quick address add 203.0.113.2/24 dev way
ip -netns quick link set dev way up
ip netns exec quick wg-quick up quick
END
"#;

pub fn measure() -> Result<Measured> {
    let mut measured = Measured::default();
    fs::write("/run/provider.sh", PROVIDER)?;
    run(&["bash", "/run/provider.sh"])?;
    let ours =
        || until_first_packet(&["netnsctl", "up", "wireguard@vpn"], "vpn", &["netnsctl", "down", "vpn"]);
    let quick =
        || until_first_packet(&["bash", "/run/quick.sh"], "quick", &["ip", "netns", "delete", "quick"]);
    let what = "the first packet through a WireGuard tunnel, direct";
    measured.rows.push(in_turn(RUNS, quick, ours)?.row(what, "wg-quick in a namespace", 1.0));
    if let Ok(program) = env::var("WG_NETNS") {
        let program: &str = &program;
        let other = || {
            until_first_packet(
                &["python3", program, "up", "other"],
                "other",
                &["python3", program, "down", "other"],
            )
        };
        measured.rows.push(in_turn(RUNS, other, ours)?.row("the same", "wg-netns", 1.0));
    }
    Ok(measured)
}

/// The seconds that `up` and the first answered ping take. `down` is not measured.
fn until_first_packet(up: &[&str], namespace: &str, down: &[&str]) -> Result<f64> {
    let seconds = time(|| {
        run(up)?;
        run(&["ip", "netns", "exec", namespace, "ping", "-c", "1", "-w", "20", "10.2.0.1"])
    })?;
    run(down)?;
    Ok(seconds)
}
