//! Benchmarks of instances under systemd.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};

use crate::measure::{Measured, Pairs, Unit, in_turn, run, time, wait_until};
use crate::{list, update};

const INSTANCES: usize = 200;
const MANY: usize = 500;

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
    measure_many(&mut measured, &floor)?;
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
        Ok(self.up(count)? + self.down(count)?)
    }

    fn up(&self, count: usize) -> Result<f64> {
        time(|| run(&self.systemctl("start", count)))
    }

    /// Returns when the last unit is inactive.
    fn down(&self, count: usize) -> Result<f64> {
        time(|| {
            run(&self.systemctl("stop", count))?;
            wait_until(|| {
                let pattern = format!("{}@*", self.0);
                let listing = Command::new("systemctl")
                    .args(["list-units", "--plain", "--no-legend", &pattern])
                    .output()?;
                ensure!(listing.status.success(), "systemctl list-units failed");
                Ok(listing.stdout.is_empty())
            })
        })
    }

    fn systemctl(&self, verb: &str, count: usize) -> Vec<String> {
        let units = (0..count).map(|number| format!("{}@n{number}.service", self.1));
        ["systemctl".to_owned(), verb.to_owned()].into_iter().chain(units).collect()
    }
}

/// Measures the commands of netnsctl with hundreds of instances.
fn measure_many(measured: &mut Measured, floor: &Units) -> Result<()> {
    let (mut up, mut down) = (Pairs::default(), Pairs::default());
    for _ in 0..3 {
        up.floor.push(floor.up(MANY)?);
        down.floor.push(floor.down(MANY)?);
        up.ours.push(time(|| list::netnsctl("up", 0, MANY))?);
        down.ours.push(time(|| list::netnsctl("down", 0, MANY))?);
    }
    let floor = "the same three units with /bin/true as every command";
    measured.rows.push(up.row("netnsctl up, 500 lo instances, systemd", floor, 1.6));
    measured.rows.push(down.row("netnsctl down, 500 lo instances, systemd", floor, 1.6));

    let times = |verb: &str| (0..5).map(|_| time(|| run(&["netnsctl", verb]))).collect::<Result<Vec<_>>>();
    list::netnsctl("up", 0, MANY / 5)?;
    let (mut check, mut gc) = (Pairs::default(), Pairs::default());
    (check.floor, gc.floor) = (times("check")?, times("gc")?);
    list::netnsctl("up", MANY / 5, MANY)?;
    (check.ours, gc.ours) = (times("check")?, times("gc")?);
    list::netnsctl("down", 0, MANY)?;
    let goal = "20 ms an instance".to_owned();
    let mut row =
        check.row_of("netnsctl check, 500 lo instances, systemd", "itself with 100", goal, Unit::Seconds);
    row.reached = row.median < 0.02 * 500.0;
    measured.rows.push(row);
    measured.rows.push(gc.row("netnsctl gc, 500 lo instances, systemd", "itself with 100", 5.0));
    Ok(())
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
    for number in 0..MANY {
        run(&["ip", "netns", "add", &format!("floor-n{number}")])?;
    }
    run(&["systemctl", "daemon-reload"])
}
