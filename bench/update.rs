//! `netns-update`.

use std::fs;

use anyhow::Result;

use crate::measure::{Curve, Measured, floor, in_turn, median, run, time};

const TYPES: usize = 1000;
const PLUGINS: &str = "/etc/conf.d/netns";
const UNITS: &str = "/etc/systemd/system";

/// With nothing to do, where no systemd runs: no systemctl is called either way.
pub fn measure_idle(measured: &mut Measured) -> Result<()> {
    let mut points = Vec::new();
    let mut there = 0;
    for count in [1, 10, 100, TYPES] {
        add_types(there, count)?;
        there = count;
        run(&["netns-update"])?;
        let figures: Vec<f64> = (0..10).map(|_| time(|| run(&["netns-update"]))).collect::<Result<_>>()?;
        points.push((u32::try_from(count)?, median(&figures)));
    }
    let pairs = in_turn(
        50,
        || time(|| floor(&["stat", PLUGINS, "/usr/share/systemd-netns", UNITS])),
        || time(|| run(&["netns-update"])),
    )?;
    let mut row = pairs.row_of(
        "netns-update, 1000 types, nothing to do",
        "a loop of lstat() over the same files",
        "2 x, and 30 ms".into(),
        crate::measure::Unit::Seconds,
    );
    row.reached = row.ratio <= 2.0 && row.median < 0.030;
    measured.rows.push(row);
    measured.curves.push(Curve {
        against: "types".into(),
        what: "netns-update, nothing to do".into(),
        points,
    });
    run(&["netns-update", "--clean"])?;
    remove_types()
}

/// With 1000 new types, on a machine with systemd, which has to read what was written.
pub fn measure_new(measured: &mut Measured) -> Result<()> {
    add_types(0, TYPES)?;
    let reload = || time(|| run(&["systemctl", "daemon-reload"]));
    let clean = || run(&["netns-update", "--clean"]);
    let mut reloads = Vec::new();
    let mut pairs = in_turn(
        7,
        || {
            let written = time(|| floor(&["write", UNITS, &TYPES.to_string()]))?;
            reloads.push(reload()?);
            clean()?;
            Ok(written)
        },
        || {
            let updated = time(|| run(&["netns-update"]))?;
            clean()?;
            Ok(updated)
        },
    )?;
    let reload = median(&reloads);
    let with_reload = median(&pairs.ours);
    pairs.ours.iter_mut().for_each(|ours| *ours -= reload);
    let mut row = pairs.row("netns-update, 1000 new types", "writing the same 2000 files", 2.0);
    row.floor = format!("writing the same 2000 files (and one daemon-reload of {reload:.2} s)");
    row.reach = "2 x, and a daemon-reload".into();
    row.median = with_reload;
    measured.rows.push(row);
    whole(measured)?;
    remove_types()
}

/// What it takes at least that each file is whole at any moment: it is written beside its place, then renamed.
fn whole(measured: &mut Measured) -> Result<()> {
    let clean = || run(&["netns-update", "--clean"]);
    let written = |how: &str| {
        let written = time(|| floor(&[how, UNITS, &TYPES.to_string()]))?;
        clean()?;
        Ok(written)
    };
    let pairs = in_turn(7, || written("write"), || written("replace"))?;
    measured.rows.push(pairs.row(
        "writing 2000 files beside their place, then renaming them, in a loop",
        "writing them where they belong",
        2.0,
    ));
    Ok(())
}

fn add_types(from: usize, to: usize) -> Result<()> {
    for number in from..to {
        fs::write(format!("{PLUGINS}/type{number}.sh"), "NO_CONFIG_REQUIRED=yes\n")?;
    }
    Ok(())
}

fn remove_types() -> Result<()> {
    for number in 0..TYPES {
        fs::remove_file(format!("{PLUGINS}/type{number}.sh"))?;
    }
    Ok(())
}
