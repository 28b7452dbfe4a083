//! Benchmarks of `netnsctl list`, with up to 1000 active instances.

use anyhow::Result;

use crate::measure::{Curve, Measured, Pairs, Unit, median, run, time};

const INSTANCES: usize = 1000;

/// Measures on this machine, which uses `engine`.
pub fn measure(measured: &mut Measured, engine: &str) -> Result<()> {
    let mut existing = 0;
    let mut points = Vec::new();
    let mut pairs = Pairs::default();
    for count in [1, 10, INSTANCES / 10, INSTANCES] {
        netnsctl("up", existing, count)?;
        existing = count;
        let figures: Vec<f64> =
            (0..20).map(|_| time(|| run(&["netnsctl", "list", "--json"]))).collect::<Result<_>>()?;
        points.push((u32::try_from(count)?, median(&figures)));
        pairs.floor = std::mem::replace(&mut pairs.ours, figures);
    }
    measured.curves.push(Curve { against: "netnsctl list: instances".into(), what: engine.into(), points });
    let mut row = pairs.row_of(
        &format!("netnsctl list --json, 1000 instances, {engine}"),
        "itself with 100",
        "0.3 s, and 10 x".into(),
        Unit::Seconds,
    );
    row.reached = row.median < 0.3 && row.ratio <= 10.0;
    measured.rows.push(row);
    netnsctl("down", 0, INSTANCES)
}

/// Runs netnsctl on the instances `lo@nFROM` to `lo@nTO`, without the last one.
pub fn netnsctl(verb: &str, from: usize, to: usize) -> Result<()> {
    let instances = (from..to).map(|number| format!("lo@n{number}"));
    let arguments: Vec<String> =
        ["netnsctl".to_owned(), verb.to_owned()].into_iter().chain(instances).collect();
    run(&arguments)
}
