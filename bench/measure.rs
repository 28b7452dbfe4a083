//! Measures two functions in turn, and calculates the results.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// The results of one part.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// The lines of the table.
    pub rows: Vec<Row>,
    /// The curves of the plot.
    pub curves: Vec<Curve>,
}

/// A line of the table. Times are in seconds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    /// The operation.
    pub what: String,
    /// The floor: the operation for comparison.
    pub floor: String,
    /// The number of runs of each.
    pub runs: usize,
    /// The medians.
    pub floor_median: f64,
    pub median: f64,
    /// The median of the ratios of the pairs. A disturbance of both runs of a pair does not change it.
    pub ratio: f64,
    /// The goal as text, and whether it was reached.
    pub reach: String,
    pub reached: bool,
    /// The unit of the medians.
    pub unit: Unit,
}

/// The unit of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Seconds,
    Kilobytes,
}

/// The cost of an operation for different numbers of objects.
#[derive(Debug, Serialize, Deserialize)]
pub struct Curve {
    /// The title of the panel: the objects whose number changes.
    pub against: String,
    /// The name of the curve.
    pub what: String,
    /// The number of objects, and seconds.
    pub points: Vec<(u32, f64)>,
}

impl Measured {
    /// Adds two curves, with their names: the floor, and this program.
    pub fn plot(&mut self, against: &str, [floor, ours]: [&str; 2], by_number: &[(u32, Pairs)]) {
        let mut curve = |what: &str, figures: fn(&Pairs) -> &[f64]| {
            let points = by_number.iter().map(|(number, pairs)| (*number, median(figures(pairs)))).collect();
            self.curves.push(Curve { against: against.to_owned(), what: what.to_owned(), points });
        };
        curve(floor, |pairs| &pairs.floor);
        curve(ours, |pairs| &pairs.ours);
    }
}

/// The measurements of a floor and of this program, taken in turn.
#[derive(Debug, Default)]
pub struct Pairs {
    pub floor: Vec<f64>,
    pub ours: Vec<f64>,
}

/// Measures both `runs` times. The order changes with each pair.
pub fn in_turn(
    runs: usize,
    mut floor: impl FnMut() -> Result<f64>,
    mut ours: impl FnMut() -> Result<f64>,
) -> Result<Pairs> {
    let mut pairs = Pairs::default();
    for run in 0..runs {
        if run % 2 == 0 {
            pairs.floor.push(floor()?);
            pairs.ours.push(ours()?);
        } else {
            pairs.ours.push(ours()?);
            pairs.floor.push(floor()?);
        }
    }
    Ok(pairs)
}

impl Pairs {
    /// A line of the table whose goal is a ratio.
    pub fn row(&self, what: &str, floor: &str, reach: f64) -> Row {
        let mut row = self.row_of(what, floor, format!("{reach} x"), Unit::Seconds);
        row.reached = row.ratio <= reach;
        row
    }

    /// A line of the table with another goal. The caller has to set `reached`.
    pub fn row_of(&self, what: &str, floor: &str, reach: String, unit: Unit) -> Row {
        let ratios: Vec<f64> = self.ours.iter().zip(&self.floor).map(|(ours, floor)| ours / floor).collect();
        Row {
            what: what.to_owned(),
            floor: floor.to_owned(),
            runs: self.ours.len(),
            floor_median: median(&self.floor),
            median: median(&self.ours),
            ratio: median(&ratios),
            reach,
            reached: false,
            unit,
        }
    }
}

/// The median.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}

/// The duration of a function, in seconds.
pub fn time(act: impl FnOnce() -> Result<()>) -> Result<f64> {
    let started = Instant::now();
    act()?;
    Ok(started.elapsed().as_secs_f64())
}

/// Runs a program without input, and discards its output.
pub fn run(command: &[impl AsRef<OsStr>]) -> Result<()> {
    let [program, arguments @ ..] = command else { return Ok(()) };
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", program.as_ref().to_string_lossy()))?;
    ensure!(
        status.success(),
        "{} {:?} failed: {status}",
        program.as_ref().to_string_lossy(),
        command.get(1).map(AsRef::as_ref)
    );
    Ok(())
}

/// Runs this program as a floor.
pub fn floor(arguments: &[&str]) -> Result<()> {
    let program = std::env::current_exe()?;
    let command: Vec<&OsStr> =
        [program.as_os_str(), "floor".as_ref()].into_iter().chain(arguments.iter().map(OsStr::new)).collect();
    run(&command)
}

/// Waits until a condition is true.
pub fn wait_until(mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition()? {
        ensure!(Instant::now() < deadline, "timed out after 60 seconds");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
