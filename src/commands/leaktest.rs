//! `netnsctl leaktest`: measures which packets leave a namespace, and compares the result with expectations.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use clap_complete::ArgValueCandidates;

use super::arguments::OutputArgs;
use super::candidates;
use super::output::{self, paint};
use crate::exit::{NotStarted, Status};
use crate::leaktest::expect::{self, Expected};
use crate::leaktest::targets::{self, Attempt};
use crate::leaktest::{self, Measurement, Verdict};
use crate::name::NsName;
use crate::paths::Paths;
use crate::print;

/// The arguments of `leaktest`.
#[derive(Debug, Args)]
pub struct LeaktestArgs {
    /// The namespace
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(candidates::names))]
    pub name: NsName,
    /// Targets: ADDRESS (port 9 and a ping), ADDRESS:PORT or [ADDRESS]:PORT; by default the neighbours of each interface
    #[arg(value_name = "TARGET")]
    pub targets: Vec<targets::TargetArgument>,
    /// Name to resolve; by default a name that does not exist
    #[arg(long = "dns", value_name = "HOST", value_parser = dns)]
    pub names: Vec<targets::Attempt>,
    /// Try the lines `PROTOCOL TARGET VERDICT` of FILE, and report each difference
    #[arg(long, value_name = "FILE")]
    pub expect: Option<PathBuf>,
    /// Options of the output.
    #[command(flatten)]
    pub output: OutputArgs,
}

fn dns(word: &str) -> anyhow::Result<targets::Attempt> {
    targets::Attempt::new(targets::Protocol::Dns, word)
}

pub(super) fn run(paths: &Paths, options: &LeaktestArgs) -> Result<Status> {
    let expected = match &options.expect {
        Some(file) => expect::read(file).map_err(NotStarted::from)?,
        None => Vec::new(),
    };
    let with_defaults = options.targets.is_empty() && options.expect.is_none();
    let measurements = leaktest::measure(paths, &options.name, attempts(options, &expected), with_defaults)
        .with_context(|| format!("cannot test namespace `{}`", options.name))?;
    if options.output.json {
        output::json("leaktest", &measurements)?;
    } else {
        print(&measurements, !options.output.no_legend)?;
    }
    let differences = expect::differences(&expected, &measurements)?;
    for difference in &differences {
        print::error(&difference.to_string());
    }
    Ok(if differences.is_empty() { Status::Done } else { Status::Failed })
}

/// The attempts that the arguments ask for.
fn attempts(options: &LeaktestArgs, expected: &[Expected]) -> Vec<Attempt> {
    let mut others = options.names.clone();
    if others.is_empty() && expected.is_empty() {
        others.push(targets::nonexistent_name());
    }
    others.extend(expected.iter().map(|expected| expected.attempt.clone()));
    targets::requested(&options.targets, &others)
}

fn print(measurements: &[Measurement], legend: bool) -> Result<()> {
    let row = |measurement: &Measurement| {
        let style = match measurement.verdict {
            Verdict::Passes => output::GREEN,
            Verdict::Refused | Verdict::Unanswered => output::YELLOW,
            Verdict::Blocked => output::RED,
        };
        let why: Vec<&str> = measurement.rule.iter().chain(&measurement.detail).map(String::as_str).collect();
        vec![
            measurement.attempt.protocol.to_string(),
            measurement.attempt.target.to_string(),
            paint(&measurement.verdict.to_string(), style),
            measurement.interface.clone().unwrap_or_default(),
            measurement.route.clone().unwrap_or_default(),
            why.join("; "),
        ]
    };
    let rows: Vec<Vec<String>> = measurements.iter().map(row).collect();
    output::table(
        legend.then_some(&["PROTOCOL", "TARGET", "VERDICT", "INTERFACE", "ROUTE", "DECIDED BY"][..]),
        &rows,
    )
}
