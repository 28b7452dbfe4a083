//! Options that several verbs accept.

use clap::Args;

/// Options of the output.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Print JSON (described in netnsctl(8))
    #[arg(long)]
    pub json: bool,
    /// Do not print headings
    #[arg(long)]
    pub no_legend: bool,
}
