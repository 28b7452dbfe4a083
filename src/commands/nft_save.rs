//! `netns-nft-save`: the firewall of a namespace, as a file.

use std::ffi::OsString;

use anyhow::{Result, ensure};
use clap::Parser;
use nix::unistd::geteuid;

use crate::exit::Status;
use crate::firewall::save::Save;
use crate::name::{NsName, NsType};
use crate::paths::Paths;
use crate::print::say;

/// Saves the nftables rules of a namespace, where the type of its firewall finds them.
///
/// Writes the rules in force in the namespace NAME to /etc/conf.d/netns, into the file that the plugin of the firewall declares: for the
/// type nft, nft-NAME.rules. The new file replaces the old one in one step, and the old one is kept with ~ behind its name. The file
/// begins with `flush ruleset`, so it can be loaded any number of times. An empty ruleset does not replace a file that has rules.
#[derive(Debug, Parser)]
#[command(name = "netns-nft-save", version)]
pub struct NftSaveArgs {
    /// The namespace
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// The type of the firewall, if several save rules
    #[arg(long = "type", value_name = "TYPE")]
    pub nstype: Option<NsType>,
    /// Replace rules by an empty ruleset, too
    #[arg(long)]
    pub force: bool,
}

pub(super) fn run(options: &NftSaveArgs) -> Result<Status> {
    let name = NsName::new(&options.name)?;
    ensure!(geteuid().is_root(), "only root may read the rules of a namespace: run it by sudo");
    let paths = Paths::under("/".as_ref());
    let save = Save::of(&paths, &name, options.nstype.as_ref())?;
    say(&format!("Attempting to save the nftables rules of netns '{name}'..."));
    save.run(options.force)?;
    say(&format!("Successfully saved them to '{}'.", save.target().display()));
    Ok(Status::Done)
}
