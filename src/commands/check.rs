//! `netnsctl check`: reports mistakes and drift, without changing anything.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use clap_complete::ArgValueCandidates;

use super::arguments::OutputArgs;
use super::candidates;
use super::output::{self, paint};
use crate::check::Subject;
use crate::check::{self, Checked, Severity};
use crate::exit::{NotStarted, Status};
use crate::paths::Paths;
use crate::print::say;

/// The arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Types or instances to check; by default all
    #[arg(value_name = "TYPE | TYPE@NAME", add = ArgValueCandidates::new(candidates::subjects))]
    pub subjects: Vec<Subject>,
    /// Options of the output.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Check only the files below DIR, as in an image
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

pub(super) fn run(options: &CheckArgs) -> Result<Status> {
    let Checked { findings, complete } =
        check::check(&Paths::under(&options.root), &options.subjects).map_err(NotStarted::from)?;
    if options.output.json {
        output::json("check", &findings)?;
    } else {
        for finding in &findings {
            let style = if finding.severity == Severity::Error { output::RED } else { output::YELLOW };
            let severity = finding.severity.to_string();
            say(&finding.to_string().replacen(
                &format!("{severity}: "),
                &format!("{}: ", paint(&severity, style)),
                1,
            ));
        }
    }
    let is_correct = findings.iter().all(|finding| finding.severity == Severity::Note);
    Ok(match (is_correct, complete) {
        (true, true) => Status::Done,
        (true, false) => Status::NotStarted,
        (false, _) => Status::Failed,
    })
}
