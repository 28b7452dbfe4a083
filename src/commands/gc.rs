//! `netnsctl gc`: removes leftovers.

use anyhow::{Result, ensure};
use clap::Args;
use nix::unistd::geteuid;
use serde::Serialize;

use super::arguments::OutputArgs;
use super::output::{self, paint};
use crate::exit::{NotStarted, Status};
use crate::gc::{self, Collector, Orphan, OrphanKind, What};
use crate::paths::Paths;
use crate::print::say;
use crate::sys::file::warn_skipped;

/// The arguments of `gc`.
#[derive(Debug, Args)]
pub struct GcArgs {
    /// Print the leftovers; remove nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Options of the output.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// One leftover as JSON.
#[derive(Serialize)]
struct OrphanItem {
    kind: OrphanKind,
    path: String,
    reason: String,
    removed: bool,
    error: Option<String>,
}

pub(super) fn run(paths: &Paths, options: &GcArgs) -> Result<Status> {
    let begin = || {
        ensure!(
            options.dry_run || geteuid().is_root(),
            "permission denied: only root can remove leftovers; use sudo, or --dry-run to list them"
        );
        gc::find(paths)
    };
    let found = begin().map_err(NotStarted::from)?;
    let collector = Collector::new(paths);
    let mut items = Vec::new();
    let mut whole = true;
    for orphan in &found {
        let removed = if options.dry_run { Ok(false) } else { collector.remove(orphan) };
        whole &= removed.is_ok() && orphan.what != What::Odd;
        if !options.output.json {
            print(orphan, &removed, options.dry_run);
        }
        items.push(OrphanItem {
            kind: orphan.what.kind(),
            path: orphan.path.display().to_string(),
            reason: orphan.reason.clone(),
            removed: removed.as_ref().is_ok_and(|removed| *removed),
            error: removed.err().map(|error| format!("{error:#}")),
        });
    }
    if options.output.json {
        output::json("gc", &items)?;
    }
    Ok(if whole { Status::Done } else { Status::Failed })
}

fn print(orphan: &Orphan, removed: &Result<bool>, dry_run: bool) {
    match removed {
        Err(error) => say(&format!("{} {orphan}; {error:#}", paint("not removed:", output::RED))),
        Ok(_) if orphan.what == What::Odd => warn_skipped(&orphan.path, &orphan.reason),
        Ok(_) if orphan.what == What::Foreign => say(&format!("left alone: {orphan}")),
        Ok(_) if dry_run => say(&format!("would be removed: {orphan}")),
        Ok(_) => say(&format!("removed: {orphan}")),
    }
}
