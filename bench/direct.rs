//! Benchmarks of the direct engine, and of namespaces without an engine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Result;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use systemd_netns::internals::Paths;
use systemd_netns::internals::netns::ownership;

use crate::measure::{Measured, in_turn, run, time};

const LO: usize = 500;
const VETH: usize = 200;
const NAMESPACES: usize = 1000;
/// The numbers of instances in the plot.
const COUNTS: [usize; 5] = [1, 10, 50, 100, 200];

pub fn measure(measured: &mut Measured) -> Result<()> {
    namespaces(measured)?;
    fs::write("/etc/conf.d/netns/veth.conf", VETH_CONF)?;
    fs::write("/run/bare-loop.sh", LOOP)?;
    for (nstype, count, reach) in [("lo", LO, 1.2), ("veth", VETH, 0.9)] {
        let pairs = in_turn(8, || bare_loop(nstype, count), || up_and_down(nstype, count))?;
        measured.rows.push(pairs.row(
            &format!("{count} {nstype} instances up and down, direct"),
            "the ip commands of the plugin in a bare bash loop, as parallel",
            reach,
        ));
        let mut by_number = Vec::new();
        for count in COUNTS {
            let pairs = in_turn(4, || bare_loop(nstype, count), || up_and_down(nstype, count))?;
            by_number.push((u32::try_from(count)?, pairs));
        }
        measured.plot(
            &format!("direct engine: instances of {nstype}"),
            ["a bare bash loop", "netnsctl up, down"],
            &by_number,
        );
    }
    Ok(())
}

/// A /30 network for each instance, from its number.
const VETH_CONF: &str = "NUMBER=${NSNAME#n}
VETH_IFADDR_OUTSIDE=10.0.$((NUMBER / 64)).$((NUMBER % 64 * 4 + 1))/30
VETH_IFADDR_INSIDE=10.0.$((NUMBER / 64)).$((NUMBER % 64 * 4 + 2))/30
";

/// The commands that the plugins run for each instance, in as many parallel workers as the direct engine uses: four on two
/// processors.
const LOOP: &str = r#"set -e
nstype=$1 phase=$2 count=$3 workers=$4
lo_up() { ip netns add "$1" && ip -netns "$1" link set dev lo up; }
lo_down() { ip netns delete "$1"; }
veth_up() {
  local number=${1#n} outside=ve-${1}0 inside=ve-${1}1
  local net=10.0.$((number / 64)) host=$((number % 64 * 4))
  ip netns add "$1"
  ip link add name "$outside" type veth peer name "$inside" netns "$1"
  ip address replace "$net.$((host + 1))/30" dev "$outside"
  ip link set dev "$outside" up
  ip -netns "$1" address replace "$net.$((host + 2))/30" dev "$inside"
  ip -netns "$1" link set dev "$inside" up
}
veth_down() {
  local outside=ve-${1}0 inside=ve-${1}1
  ip -netns "$1" -oneline link show type veth
  ip -netns "$1" link set dev "$inside" down
  ip -netns "$1" address flush dev "$inside"
  ip -oneline link show type veth
  ip link delete dev "$outside"
  ip netns delete "$1"
}
for ((worker = 0; worker < workers; worker++)); do
  (for ((number = worker; number < count; number += workers)); do "${nstype}_$phase" "n$number"; done) &
done
wait
"#;

fn bare_loop(nstype: &str, count: usize) -> Result<f64> {
    let workers = (2 * std::thread::available_parallelism()?.get()).to_string();
    let count = count.to_string();
    time(|| {
        ["up", "down"]
            .iter()
            .try_for_each(|phase| run(&["bash", "/run/bare-loop.sh", nstype, phase, &count, &workers]))
    })
}

fn up_and_down(nstype: &str, count: usize) -> Result<f64> {
    if nstype == "veth" {
        (0..count).try_for_each(|number| fs::write(format!("/etc/conf.d/netns/veth-n{number}.conf"), ""))?;
    }
    let arguments = |verb: &str| -> Vec<String> {
        let instances = (0..count).map(|number| format!("{nstype}@n{number}"));
        ["netnsctl".to_owned(), verb.to_owned()].into_iter().chain(instances).collect()
    };
    time(|| ["up", "down"].iter().try_for_each(|verb| run(&arguments(verb))))
}

/// Creates and deletes namespaces like `netnsinit --create` and `--delete`, with their ownership records.
fn namespaces(measured: &mut Measured) -> Result<()> {
    let paths = Paths::under("/".as_ref());
    let names = (0..NAMESPACES).map(|number| format!("many{number}").parse()).collect::<Result<Vec<_>>>()?;
    let files: Vec<PathBuf> = names.iter().map(|name| paths.namespace(name)).collect();
    let home = File::open("/proc/thread-self/ns/net")?;
    // The first namespace prepares /run/netns, for both measurements.
    ownership::create(&paths, &names[0])?;
    ownership::delete(&paths, &names[0])?;
    let pairs = in_turn(
        8,
        || {
            time(|| {
                files.iter().try_for_each(|file| system_calls_to_create(file, &home))?;
                files.iter().try_for_each(|file| system_calls_to_delete(file))
            })
        },
        || {
            time(|| {
                names.iter().try_for_each(|name| ownership::create(&paths, name))?;
                names.iter().try_for_each(|name| ownership::delete(&paths, name).map(drop))
            })
        },
    )?;
    measured.rows.push(pairs.row(
        "1000 namespaces created and deleted, direct",
        "the system calls alone, in a loop",
        1.3,
    ));
    Ok(())
}

fn system_calls_to_create(file: &Path, home: &File) -> Result<()> {
    File::create_new(file)?;
    unshare(CloneFlags::CLONE_NEWNET)?;
    mount(Some("/proc/thread-self/ns/net"), file, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    Ok(setns(home, CloneFlags::CLONE_NEWNET)?)
}

fn system_calls_to_delete(file: &Path) -> Result<()> {
    umount2(file, MntFlags::MNT_DETACH)?;
    Ok(fs::remove_file(file)?)
}
