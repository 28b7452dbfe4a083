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
use crate::leaktest::inward::{self, Inward};
use crate::leaktest::targets::{self, Attempt};
use crate::leaktest::{self, Measurement, Verdict};
use crate::name::NsName;
use crate::paths::Paths;
use crate::print;

/// The arguments of `leaktest`.
#[derive(Debug, Args)]
#[command(
    override_usage = "netnsctl leaktest [OPTIONS] <NAME> [TARGET]...\n       netnsctl leaktest [OPTIONS] --from <NAME> <NAME>"
)]
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
    /// Test the way in: from this namespace, or from the `host`
    #[arg(long, value_name = "NAME", conflicts_with_all = ["targets", "names", "expect"])]
    pub from: Option<NsName>,
    /// Options of the output.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The word for the host, in place of the name of a namespace.
const HOST: &str = "host";

fn dns(word: &str) -> anyhow::Result<targets::Attempt> {
    targets::Attempt::new(targets::Protocol::Dns, word)
}

/// Tests the way in.
fn run_inward(paths: &Paths, from: &NsName, options: &LeaktestArgs) -> Result<Status> {
    let from = Some(from).filter(|from| from.as_ref() != HOST);
    let results = inward::measure(paths, from, &options.name)
        .with_context(|| format!("cannot test the way to namespace `{}`", options.name))?;
    if options.output.json {
        output::json("leaktest", &results)?;
    } else {
        let row = |one: &Inward| {
            let mut row = row(&one.measurement);
            row.pop(); // no rules are traced
            row.push(one.publisher.as_ref().map(ToString::to_string).unwrap_or_default());
            row
        };
        let rows: Vec<Vec<String>> = results.iter().map(row).collect();
        let heading = ["PROTOCOL", "TARGET", "VERDICT", "INTERFACE", "ROUTE", "PUBLISHED BY"];
        output::table((!options.output.no_legend).then_some(&heading[..]), &rows)?;
    }
    let missing: Vec<&Inward> = results.iter().filter(|one| one.is_missing()).collect();
    for Inward { measurement: Measurement { attempt, verdict, .. }, publisher } in &missing {
        let publisher = publisher.as_ref().map(ToString::to_string).unwrap_or_default();
        let target = &attempt.target;
        print::error(&format!("{} {target} is published by `{publisher}`, but {verdict}", attempt.protocol));
    }
    Ok(if missing.is_empty() { Status::Done } else { Status::Failed })
}

pub(super) fn run(paths: &Paths, options: &LeaktestArgs) -> Result<Status> {
    if let Some(from) = &options.from {
        return run_inward(paths, from, options);
    }
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

/// The columns of a result.
fn row(measurement: &Measurement) -> Vec<String> {
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
}

fn print(measurements: &[Measurement], legend: bool) -> Result<()> {
    let rows: Vec<Vec<String>> = measurements.iter().map(row).collect();
    output::table(
        legend.then_some(&["PROTOCOL", "TARGET", "VERDICT", "INTERFACE", "ROUTE", "DECIDED BY"][..]),
        &rows,
    )
}
