//! Benchmarks of `netns-update`.

use std::fs;

use anyhow::Result;
use systemd_netns::internals::Paths;
use systemd_netns::internals::systemd::Systemctl;

use crate::measure::{Measured, floor, in_turn, median, run, time};

const TYPES: usize = 1000;
const PLUGINS: &str = "/etc/conf.d/netns";
const UNITS: &str = "/etc/systemd/system";

/// Measures a run that changes nothing. With systemd, this program and the floor both call systemctl once; without systemd,
/// neither calls it.
pub fn measure_idle(measured: &mut Measured) -> Result<()> {
    let systemctl = Systemctl::of(&Paths::under("/".as_ref()));
    let (engine, extra) =
        if systemctl.is_some() { (", systemd", ", and systemctl list-units") } else { ("", "") };
    let idle = || time(|| run(&["netns-update"]));
    let floor_idle = || {
        time(|| {
            floor(&["stat", PLUGINS, "/usr/share/systemd-netns", UNITS])?;
            systemctl.as_ref().map_or(Ok(()), |systemctl| systemctl.loaded().map(drop))
        })
    };
    let mut by_number = Vec::new();
    let mut existing = 0;
    for count in [1, 10, 100, TYPES] {
        add_types(existing, count)?;
        existing = count;
        run(&["netns-update"])?;
        by_number.push((u32::try_from(count)?, in_turn(10, floor_idle, idle)?));
    }
    let mut row = |what: &str| -> Result<()> {
        let pairs = in_turn(50, floor_idle, idle)?;
        let mut row = pairs.row_of(
            &format!("netns-update, 1000 types{what}, nothing to do{engine}"),
            &format!("a loop of lstat() over the same files{extra}"),
            "2 x, and 30 ms".into(),
            crate::measure::Unit::Seconds,
        );
        row.reached = row.ratio <= 2.0 && row.median < 0.030;
        measured.rows.push(row);
        Ok(())
    };
    row("")?;
    // Each of these files is read, because it can contain requirements.
    for number in 0..TYPES {
        fs::write(format!("{PLUGINS}/veth-n{number}.conf"), "VETH_IFADDR_INSIDE=192.0.2.1/30\n")?;
    }
    row(" and 1000 veth-NAME.conf")?;
    for number in 0..TYPES {
        fs::remove_file(format!("{PLUGINS}/veth-n{number}.conf"))?;
    }
    measured.plot(
        &format!("netns-update, nothing to do{engine}: types"),
        ["lstat()", "netns-update"],
        &by_number,
    );
    clean()?;
    remove_types(TYPES)
}

/// Measures a run with 1000 new types. systemd has to reload the new units.
pub fn measure_new(measured: &mut Measured) -> Result<()> {
    add_types(0, TYPES)?;
    let reload = || time(|| run(&["systemctl", "daemon-reload"]));
    let mut reloads = Vec::new();
    let mut pairs = in_turn(
        8,
        || {
            let written = time(|| floor(&["write", UNITS, &TYPES.to_string()]))?;
            reloads.push(reload()?);
            clean()?;
            Ok(written)
        },
        updated,
    )?;
    let reload = median(&reloads);
    let with_reload = median(&pairs.ours);
    pairs.ours.iter_mut().for_each(|ours| *ours -= reload);
    let mut row = pairs.row("netns-update, 1000 new types", "writing the same 2000 files", 2.0);
    row.floor = format!("writing the same 2000 files (and one daemon-reload of {reload:.2} s)");
    row.reach = "2 x, and a daemon-reload".into();
    row.median = with_reload;
    measured.rows.push(row);
    atomic_writes(measured)?;
    remove_types(TYPES)?;
    new_by_number(measured)
}

/// Measures different numbers of new types, for the plot. The floor writes the same files and reloads once.
fn new_by_number(measured: &mut Measured) -> Result<()> {
    let mut by_number = Vec::new();
    for count in [1, 10, 100, TYPES] {
        add_types(0, count)?;
        let pairs = in_turn(
            4,
            || {
                time_then_clean(|| {
                    floor(&["write", UNITS, &count.to_string()])?;
                    run(&["systemctl", "daemon-reload"])
                })
            },
            updated,
        )?;
        by_number.push((u32::try_from(count)?, pairs));
        remove_types(count)?;
    }
    measured.plot(
        "netns-update, systemd: new types",
        ["writing, and daemon-reload", "netns-update"],
        &by_number,
    );
    Ok(())
}

/// Measures the floor of atomic writes: each file is written beside its target, and then renamed.
fn atomic_writes(measured: &mut Measured) -> Result<()> {
    let written = |how: &str| time_then_clean(|| floor(&[how, UNITS, &TYPES.to_string()]));
    let pairs = in_turn(8, || written("write"), || written("replace"))?;
    measured.rows.push(pairs.row(
        "writing 2000 files beside their place, then renaming them, in a loop",
        "writing them where they belong",
        2.0,
    ));
    Ok(())
}

fn updated() -> Result<f64> {
    time_then_clean(|| run(&["netns-update"]))
}

/// The duration of a function. Afterwards the units that it has written are removed.
fn time_then_clean(act: impl FnOnce() -> Result<()>) -> Result<f64> {
    let duration = time(act)?;
    clean()?;
    Ok(duration)
}

fn add_types(from: usize, to: usize) -> Result<()> {
    for number in from..to {
        fs::write(format!("{PLUGINS}/type{number}.sh"), "NO_CONFIG_REQUIRED=yes\n")?;
    }
    Ok(())
}

fn clean() -> Result<()> {
    run(&["netns-update", "--clean"])
}

fn remove_types(count: usize) -> Result<()> {
    for number in 0..count {
        fs::remove_file(format!("{PLUGINS}/type{number}.sh"))?;
    }
    Ok(())
}
