//! `netns-nft-save`: saves the rules of a namespace to a file.

use std::ffi::OsString;

use anyhow::{Result, ensure};
use clap::Parser;
use clap_complete::ArgValueCandidates;
use nix::unistd::geteuid;

use super::candidates;
use crate::exit::Status;
use crate::firewall::save::Save;
use crate::name::{NsName, NsType};
use crate::paths::Paths;
use crate::print::say;

/// Save the nftables rules of a namespace to the file of its firewall.
///
/// Writes the rules in force in the namespace NAME to the file in /etc/conf.d/netns that the plugin of the firewall declares: for the
/// type nft, nft-NAME.rules. The new file replaces the old file in one step. The old file is kept with ~ after its name. The file
/// begins with `flush ruleset`, so it can be loaded any number of times. An empty ruleset does not replace a file with rules.
#[derive(Debug, Parser)]
#[command(name = "netns-nft-save", version)]
pub struct NftSaveArgs {
    /// The namespace
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(candidates::names))]
    pub name: OsString,
    /// The type of the firewall, if several save rules
    #[arg(long = "type", value_name = "TYPE", add = ArgValueCandidates::new(candidates::types))]
    pub nstype: Option<NsType>,
    /// Also replace a file with rules by an empty ruleset
    #[arg(long)]
    pub force: bool,
}

pub(super) fn run(options: &NftSaveArgs) -> Result<Status> {
    let name = NsName::new(&options.name)?;
    ensure!(geteuid().is_root(), "permission denied: only root can read the rules of a namespace; use sudo");
    let paths = Paths::under("/".as_ref());
    let save = Save::of(&paths, &name, options.nstype.as_ref())?;
    say(&format!("Attempting to save the nftables rules of netns '{name}'..."));
    save.run(options.force)?;
    say(&format!("Successfully saved them to '{}'.", save.target().display()));
    Ok(Status::Done)
}
