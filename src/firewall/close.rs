//! Closes a namespace until its firewall is loaded, and opens it again.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::firewall::nft;
use crate::name::NsName;
use crate::netlink;
use crate::netns;
use crate::paths::Paths;
use crate::sys::file::{self, Draft};

/// The table that closes a namespace.
pub const TABLE: &str = "netns_closed";

/// The rules of a closed namespace. If the policy of one chain drops a packet, no other chain can accept it.
const RULES: &str = "\
table inet netns_closed {
  chain input { type filter hook input priority filter; policy drop; iifname \"lo\" accept; }
  chain forward { type filter hook forward priority filter; policy drop; }
  chain output { type filter hook output priority filter; policy drop; oifname \"lo\" accept; }
}
";

/// The kind of rules that filter the traffic of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filtering {
    /// No rules.
    None,
    /// Only [`RULES`].
    Closed,
    /// [`RULES`] and other rules. Still only loopback traffic passes.
    ClosedBesideRules,
    /// The rules of a firewall.
    Rules,
}

/// Returns the kind of rules in the namespace of this thread. The kernel is queried, not `nft`.
fn filtering() -> Result<Filtering> {
    let filters = netlink::filters().context("cannot read the nftables rules in force")?;
    let mut tables: BTreeSet<String> =
        filters.into_iter().filter(|filter| filter.local).map(|filter| filter.table).collect();
    let closed = tables.remove(TABLE);
    Ok(match (closed, tables.is_empty()) {
        (false, true) => Filtering::None,
        (true, true) => Filtering::Closed,
        (true, false) => Filtering::ClosedBesideRules,
        (false, false) => Filtering::Rules,
    })
}

/// Closes a namespace, unless rules are in force in it.
/// Errors: the namespace cannot be entered, or closing rules cannot be loaded. Then all interfaces except `lo` are set down.
pub fn close(paths: &Paths, name: &NsName) -> Result<()> {
    let _inside = netns::enter(paths, name)?;
    // After a failure, `require_open` fails until the next successful call.
    match close_by_rules() {
        Ok(()) => file::remove(&paths.closed(name)),
        Err(error) => Err(set_links_down(paths, name, &format!("{error:#}"))),
    }
}

fn close_by_rules() -> Result<()> {
    // Without nf_tables in the kernel, the query fails, and `nft` below reports a clearer error.
    if matches!(filtering(), Ok(found) if found != Filtering::None) {
        return Ok(());
    }
    nft::command(RULES)?;
    ensure!(
        filtering()? != Filtering::None,
        "`nft` reported success, but the kernel has no such rules: check which `nft` is in PATH"
    );
    Ok(())
}

/// Sets all interfaces except `lo` down. Returns the error to report: `cause`, and the failure if an interface cannot be set
/// down.
fn set_links_down(paths: &Paths, name: &NsName, cause: &str) -> anyhow::Error {
    // The record comes first, so that no hook sets another interface up.
    let recorded = fs::create_dir_all(&paths.closed)
        .map_err(anyhow::Error::from)
        .and_then(|()| Draft::of(&paths.closed(name), cause.as_bytes())?.commit());
    let still_up = || -> Result<Vec<netlink::Link>> {
        Ok(netlink::links()?.into_iter().filter(|link| link.up && link.name != "lo").collect())
    };
    let set_down = still_up().and_then(|links| {
        for link in &links {
            netlink::set_up(link.index, false).with_context(|| format!("cannot set {} down", link.name))?;
        }
        ensure!(still_up()?.is_empty(), "an interface came up again");
        Ok(())
    });
    let what = format!("cannot close namespace `{name}` by nftables rules: {cause}");
    match recorded.and(set_down) {
        Ok(()) => anyhow!(
            "{what}\n  instead, all its interfaces except lo are down, and no interface may come up\n  fix: make `nft` work, then \
             `netnsctl restart {name}`"
        ),
        Err(error) => anyhow!(
            "{what}\n  NAMESPACE `{name}` MAY BE OPEN: {error:#}\n  fix: `netnsctl down {name}` removes its interfaces"
        ),
    }
}

/// Checks that interfaces may come up in a namespace.
/// Errors: the last [`close`] has failed, so interfaces must stay down.
pub fn require_open(paths: &Paths, name: &NsName) -> Result<()> {
    let record = paths.closed(name);
    if !record.exists() {
        return Ok(());
    }
    let cause = file::read_text(&record).unwrap_or_default();
    bail!(
        "the firewall of namespace `{name}` cannot be loaded, so no interface may come up: {}\n  fix: make `nft` work, then \
         bring up the firewall",
        cause.trim()
    )
}

/// Whether a namespace is closed: its firewall is not loaded, and only loopback traffic passes.
/// Errors: no rules are in force at all, or the rules cannot be read.
pub fn is_closed(paths: &Paths, name: &NsName) -> Result<bool> {
    if paths.closed(name).exists() {
        return Ok(true);
    }
    let _inside = netns::enter(paths, name)?;
    match filtering()? {
        Filtering::None => bail!("no nftables rules are in force"),
        Filtering::Closed | Filtering::ClosedBesideRules => Ok(true),
        Filtering::Rules => Ok(false),
    }
}

/// Opens a namespace after the hook of its firewall. `needs_rules`: a successful hook is not enough, rules must be in force.
/// Errors: no rules were loaded, or the closing rules cannot be removed.
pub fn open(paths: &Paths, name: &NsName, needs_rules: bool) -> Result<()> {
    let _inside = netns::enter(paths, name)?;
    // Usually the hook has already replaced the closing rules.
    match filtering()? {
        Filtering::Closed if needs_rules => {
            bail!("no rules were loaded: namespace `{name}` stays closed, only loopback traffic passes")
        }
        Filtering::Closed | Filtering::ClosedBesideRules => {
            nft::command(&format!("delete table inet {TABLE}"))
        }
        Filtering::None | Filtering::Rules => Ok(()),
    }
}
