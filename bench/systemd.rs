//! Benchmarks of instances under systemd.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::measure::{Measured, in_turn, run, time, wait_until};
use crate::{list, update};

const INSTANCES: usize = 200;

pub fn measure() -> Result<Measured> {
    let mut measured = Measured::default();
    install_floor()?;
    let (floor, ours) = (Units("floor_name", "floor"), Units("netns_name", "netns-lo"));
    let pairs = in_turn(8, || floor.up_and_down(INSTANCES), || ours.up_and_down(INSTANCES))?;
    measured.rows.push(pairs.row(
        "200 lo instances started and stopped, by systemd",
        "the same three units with /bin/true as every command",
        1.6,
    ));
    let mut by_number = Vec::new();
    for count in [1, 10, 50, 100, INSTANCES] {
        let pairs = in_turn(4, || floor.up_and_down(count), || ours.up_and_down(count))?;
        by_number.push((u32::try_from(count)?, pairs));
    }
    measured.plot("systemd: instances of lo", ["three units with /bin/true", "lo, start, stop"], &by_number);
    update::measure_idle(&mut measured)?;
    update::measure_new(&mut measured)?;
    run(&["netns-update"])?;
    list::measure(&mut measured, "systemd")?;
    Ok(measured)
}

/// The units of a namespace and of an instance, without `@NAME.service`.
struct Units(&'static str, &'static str);

impl Units {
    /// Starts and stops instances. Returns when the last unit is inactive.
    fn up_and_down(&self, count: usize) -> Result<f64> {
        let Self(name, inside) = self;
        let arguments = |verb: &str| -> Vec<String> {
            let units = (0..count).map(|number| format!("{inside}@n{number}.service"));
            ["systemctl".to_owned(), verb.to_owned()].into_iter().chain(units).collect()
        };
        time(|| {
            run(&arguments("start"))?;
            run(&arguments("stop"))?;
            wait_until(|| {
                let pattern = format!("{name}@*");
                let listing = Command::new("systemctl")
                    .args(["list-units", "--plain", "--no-legend", &pattern])
                    .output()?;
                ensure!(listing.status.success(), "systemctl list-units failed");
                Ok(listing.stdout.is_empty())
            })
        })
    }
}

/// Installs the floor: the same three units with `/bin/true` as every command. The namespaces exist already.
fn install_floor() -> Result<()> {
    for (unit, floor) in [
        ("/usr/lib/systemd/system/netns_name@.service", "floor_name@.service"),
        ("/etc/systemd/system/netns_outside-lo@.service", "floor_outside@.service"),
        ("/etc/systemd/system/netns-lo@.service", "floor@.service"),
    ] {
        let text = fs::read_to_string(unit)?
            .replace("netns_name@", "floor_name@")
            .replace("netns_outside-%j@", "floor_outside@")
            .replace("/run/netns/%i", "/run/netns/floor-%i");
        let line = |line: &str| match line.split_once('=') {
            Some((key @ ("ExecStart" | "ExecStop"), _)) => format!("{key}=/bin/true\n"),
            _ => format!("{line}\n"),
        };
        fs::write(format!("/etc/systemd/system/{floor}"), text.lines().map(line).collect::<String>())?;
    }
    for number in 0..INSTANCES {
        run(&["ip", "netns", "add", &format!("floor-n{number}")])?;
    }
    run(&["systemctl", "daemon-reload"])
}
