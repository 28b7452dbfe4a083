//! Benchmarks of one hook: `lo`, up inside.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use systemd_netns::internals::Paths;
use systemd_netns::internals::netns;

use crate::measure::{Measured, Pairs, Unit, in_turn, run, time};

/// A hook without the host: bash, the same files, the same call.
const BARE: &str = "set -e
link_up() { ip link set dev \"$1\" up; }
source /usr/share/systemd-netns/lo.sh
source /etc/conf.d/netns/default.conf
configure_lo_up_inside bench
";

/// The number of other namespaces, and of .conf files.
const MANY: usize = 1000;

pub fn measure(measured: &mut Measured) -> Result<()> {
    let paths = Paths::under("/".as_ref());
    fs::write("/run/bare.sh", BARE)?;
    run(&["ip", "netns", "add", "bench"])?;
    let ours = || time(|| run(&["netnsinit", "lo", "bench", "up", "inside"]));
    {
        let _inside = netns::enter(&paths, &"bench".parse()?)?;
        let bare = || run(&["bash", "/run/bare.sh"]);
        let pairs = in_turn(300, || time(bare), ours)?;
        measured.rows.push(pairs.row(
            "one hook, lo up inside",
            "bash that sources the same files and calls the function",
            1.2,
        ));
        // The cost of one more program, because a hook is netnsinit and then bash.
        let two_programs = || time(|| run(&["true"]).and_then(|()| bare()));
        measured.rows.push(in_turn(300, two_programs, ours)?.row(
            "the same",
            "/bin/true, then that bash: as many programs",
            1.25,
        ));
    }
    among_many(&paths, measured, &ours)?;
    memory(measured)?;
    run(&["ip", "netns", "delete", "bench"])
}

/// Measures the hook without and with many namespaces and files, in turns of 50 hooks.
fn among_many(paths: &Paths, measured: &mut Measured, ours: &dyn Fn() -> Result<f64>) -> Result<()> {
    let mut pairs = Pairs::default();
    let fifty = |act: &dyn Fn() -> Result<f64>| -> Result<Vec<f64>> {
        let _inside = netns::enter(paths, &"bench".parse()?)?;
        (0..50).map(|_| act()).collect()
    };
    let bare = || time(|| run(&["bash", "/run/bare.sh"]));
    let mut by_number = Vec::new();
    for turn in 0..4 {
        let mut existing = 0;
        for count in [1, 10, 100, MANY] {
            // The namespace of the hook is the first one.
            create_crowd(paths, existing, count - 1)?;
            existing = count - 1;
            let figures = fifty(ours)?;
            if turn == 0 {
                by_number
                    .push((u32::try_from(count)?, Pairs { floor: fifty(&bare)?, ours: figures.clone() }));
            }
            match count {
                1 => pairs.floor.extend(figures),
                MANY => pairs.ours.extend(figures),
                _ => {}
            }
        }
        delete_crowd(paths)?;
    }
    measured.plot(
        "one hook: namespaces, and files in /etc/conf.d/netns",
        ["bash alone", "one hook"],
        &by_number,
    );
    measured.rows.push(pairs.row(
        "one hook with 1000 namespaces, and 1000 files in /etc/conf.d/netns",
        "itself with none",
        1.05,
    ));
    Ok(())
}

fn create_crowd(paths: &Paths, from: usize, to: usize) -> Result<()> {
    for number in from..to {
        netns::create(paths, &format!("crowd{number}").parse()?, |_| Ok(()))?;
        fs::write(paths.conf.join(format!("lo-crowd{number}.conf")), "")?;
    }
    Ok(())
}

fn delete_crowd(paths: &Paths) -> Result<()> {
    for number in 0..MANY - 1 {
        netns::delete(paths, &format!("crowd{number}").parse()?)?;
        fs::remove_file(paths.conf.join(format!("lo-crowd{number}.conf")))?;
    }
    Ok(())
}

/// Measures the private memory of bash while the hook function runs.
fn memory(measured: &mut Measured) -> Result<()> {
    let waits = "NO_CONFIG_REQUIRED=yes\nconfigure_waits_up_outside() {\n  read -r _ </run/bench.fifo\n}\n";
    fs::write("/etc/conf.d/netns/waits.sh", waits)?;
    fs::write("/run/bare-waits.sh", "source /etc/conf.d/netns/waits.sh\nconfigure_waits_up_outside bench\n")?;
    run(&["mkfifo", "/run/bench.fifo"])?;
    let memory_of = |arguments: &[&str]| -> Result<f64> {
        let mut child = Command::new(arguments[0])
            .args(&arguments[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()?;
        thread::sleep(Duration::from_millis(50));
        let memory = private_of_tree(child.id());
        fs::write("/run/bench.fifo", "\n")?;
        child.wait()?;
        memory
    };
    let bare = || memory_of(&["bash", "/run/bare-waits.sh"]);
    let mut row = |what: &str, ours: &[&str]| -> Result<()> {
        let pairs = in_turn(20, bare, || {
            let memory = memory_of(ours)?;
            _ = run(&["netnsctl", "down", "memory"]);
            Ok(memory)
        })?;
        let mut row = pairs.row_of(what, "bash alone", "+ 512 kB".into(), Unit::Kilobytes);
        row.reached = row.median - row.floor_median <= 512.0;
        measured.rows.push(row);
        Ok(())
    };
    row("memory while a hook runs", &["netnsinit", "waits", "memory", "up", "outside"])?;
    row("the same, with the netnsctl that waits for it, direct", &["netnsctl", "up", "waits@memory"])
}

/// The private memory of a process and its descendants, in kB.
fn private_of_tree(pid: u32) -> Result<f64> {
    let mut memory = private(pid)?;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let children = fs::read_to_string(thread?.path().join("children"))?;
        for child in children.split_whitespace() {
            memory += private_of_tree(child.parse()?)?;
        }
    }
    Ok(memory)
}

/// The private pages of a process, in kB (`proc_pid_smaps(5)`).
fn private(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let of = |key: &str| -> Result<f64> {
        let line = text.lines().find(|line| line.starts_with(key)).context("invalid smaps_rollup")?;
        Ok(line.split_whitespace().nth(1).context("invalid smaps_rollup")?.parse()?)
    };
    Ok(of("Private_Clean:")? + of("Private_Dirty:")?)
}
