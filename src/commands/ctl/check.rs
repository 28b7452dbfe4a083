//! `netnsctl check`: what is wrong, before it goes wrong.

use anyhow::Result;

use super::output::{self, paint};
use crate::check::{self, Checked, Severity};
use crate::cli::Check;
use crate::commands::{NotBegun, Status, say};
use crate::paths::Paths;

pub(super) fn run(options: &Check) -> Result<Status> {
    let Checked { findings, whole } =
        check::check(&Paths::under(&options.root), &options.subjects).map_err(NotBegun::from)?;
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
    Ok(match (findings.as_slice(), whole) {
        ([], true) => Status::Done,
        ([], false) => Status::NotBegun,
        _ => Status::Failed,
    })
}
