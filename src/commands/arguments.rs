//! What several verbs accept.

use clap::Args;

/// How to print.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Print JSON; its shape is in netnsctl(8)
    #[arg(long)]
    pub json: bool,
    /// Print no headings
    #[arg(long)]
    pub no_legend: bool,
}
