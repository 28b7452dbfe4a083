//! The zone of firewalld(1) for interfaces that lead to namespaces. A policy lets the host forward their packets
//! (`managers/firewalld`). firewalld from version 2 on owns its table, so nobody else can add rules to it.

use anyhow::{Result, ensure};

use crate::sys::program::{Output, Program};

/// The nftables table of firewalld.
pub(super) const TABLE: &str = "firewalld";

const ZONE: &str = "--zone=netns";

/// Adds an interface to the zone until firewalld ends. Returns whether firewall-cmd is installed.
/// Errors: firewalld refuses, or does not know the zone.
pub(super) fn add(ifname: &str) -> Result<bool> {
    let Some(output) = firewall_cmd("add", ifname)? else { return Ok(false) };
    let message = output.message();
    ensure!(
        !message.contains("INVALID_ZONE"),
        "firewalld has not read its zone `netns` yet; fix: `firewall-cmd --reload`"
    );
    output.success().map(|_| true)
}

/// Removes an interface from the zone, if it is in it.
/// Errors: firewalld refuses.
pub(super) fn remove(ifname: &str) -> Result<()> {
    match firewall_cmd("query", ifname)? {
        Some(output) if output.status.success() => {
            firewall_cmd("remove", ifname)?.map_or(Ok(()), |output| output.success().map(drop))
        }
        _ => Ok(()), // also if firewalld has ended
    }
}

fn firewall_cmd(verb: &str, ifname: &str) -> Result<Option<Output>> {
    Program::new("firewall-cmd").args([ZONE, &format!("--{verb}-interface={ifname}")]).run_if_installed()
}
