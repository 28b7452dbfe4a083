//! Two things measured in turn, and what is made of the figures.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

/// All that one part has measured.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    /// The table.
    pub rows: Vec<Row>,
    /// The plot.
    pub curves: Vec<Curve>,
}

/// A line of the table. Times are in seconds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    /// What was done.
    pub what: String,
    /// What it is measured against.
    pub floor: String,
    /// How often each of them was done.
    pub runs: usize,
    /// Medians.
    pub floor_median: f64,
    pub median: f64,
    /// The median of the ratios of each pair, which what disturbs both does not change.
    pub ratio: f64,
    /// What is aimed at, in words, and whether it was reached.
    pub reach: String,
    pub reached: bool,
    /// What the figures are in: seconds or kilobytes.
    pub unit: Unit,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    Seconds,
    Kilobytes,
}

/// What a thing costs as something grows.
#[derive(Debug, Serialize, Deserialize)]
pub struct Curve {
    /// The panel that it stands in: what grows.
    pub against: String,
    pub what: String,
    /// Its number, and seconds.
    pub points: Vec<(u32, f64)>,
}

impl Measured {
    /// Adds the curves of a floor and of ours: what these are called, and what they took at each number.
    pub fn plot(&mut self, against: &str, [floor, ours]: [&str; 2], by_number: &[(u32, Pairs)]) {
        let mut curve = |what: &str, figures: fn(&Pairs) -> &[f64]| {
            let points = by_number.iter().map(|(number, pairs)| (*number, median(figures(pairs)))).collect();
            self.curves.push(Curve { against: against.to_owned(), what: what.to_owned(), points });
        };
        curve(floor, |pairs| &pairs.floor);
        curve(ours, |pairs| &pairs.ours);
    }
}

/// Figures of a floor and of ours, taken in turn.
#[derive(Debug, Default)]
pub struct Pairs {
    pub floor: Vec<f64>,
    pub ours: Vec<f64>,
}

/// Takes both `runs` times; which comes first changes with each pair.
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
    /// The line of the table where a ratio is aimed at.
    pub fn row(&self, what: &str, floor: &str, reach: f64) -> Row {
        let mut row = self.row_of(what, floor, format!("{reach} x"), Unit::Seconds);
        row.reached = row.ratio <= reach;
        row
    }

    /// The line of the table where something else is aimed at; `reached` is for the caller to set.
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

/// The middle one of some, or between the two in the middle.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}

/// How long something takes, in seconds.
pub fn time(act: impl FnOnce() -> Result<()>) -> Result<f64> {
    let accepted = Instant::now();
    act()?;
    Ok(accepted.elapsed().as_secs_f64())
}

/// Runs a program that has nothing to read and whose output nobody reads.
pub fn run(words: &[impl AsRef<OsStr>]) -> Result<()> {
    let [program, rest @ ..] = words else { return Ok(()) };
    let status = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", program.as_ref().to_string_lossy()))?;
    ensure!(
        status.success(),
        "{} {:?} failed: {status}",
        program.as_ref().to_string_lossy(),
        words.get(1).map(AsRef::as_ref)
    );
    Ok(())
}

/// This program itself, as a floor.
pub fn floor(words: &[&str]) -> Result<()> {
    let program = std::env::current_exe()?;
    let words: Vec<&OsStr> =
        [program.as_os_str(), "floor".as_ref()].into_iter().chain(words.iter().map(OsStr::new)).collect();
    run(&words)
}

/// Waits until something is so.
pub fn wait_until(mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so()? {
        ensure!(Instant::now() < deadline, "waited for a minute in vain");
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}
