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

/// The rules of a closed namespace. The policy of one chain is enough to drop a packet, with any rules in other chains.
const RULES: &str = "\
table inet netns_closed {
  chain input { type filter hook input priority filter; policy drop; iifname \"lo\" accept; }
  chain forward { type filter hook forward priority filter; policy drop; }
  chain output { type filter hook output priority filter; policy drop; oifname \"lo\" accept; }
}
";

/// The rules that filter the traffic of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filtering {
    /// No rules.
    None,
    /// Only [`RULES`].
    Closed,
    /// [`RULES`], and other rules with a lower priority.
    ClosedBesideRules,
    /// The rules of a firewall.
    Rules,
}

/// Reads the rules in the namespace of this thread from the kernel, without `nft`.
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

/// Closes a namespace unless rules are in force: only loopback traffic passes. If `nft` cannot do this, all interfaces except `lo`
/// are set down, and [`require_open`] fails until the next successful call.
/// Errors: the rules cannot be loaded. The message reports whether the interfaces are down.
pub fn close(paths: &Paths, name: &NsName) -> Result<()> {
    let _inside = netns::enter(paths, name)?;
    match close_by_rules() {
        Ok(()) => file::remove(&paths.closed(name)),
        Err(error) => Err(take_links_down(paths, name, &format!("{error:#}"))),
    }
}

fn close_by_rules() -> Result<()> {
    // Without nf_tables the kernel does not answer; the error of `nft` is clearer.
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

/// Returns the error to report.
fn take_links_down(paths: &Paths, name: &NsName, cause: &str) -> anyhow::Error {
    // This comes first, so that no hook sets up another interface.
    let noted = fs::create_dir_all(&paths.closed)
        .map_err(anyhow::Error::from)
        .and_then(|()| Draft::of(&paths.closed(name), cause.as_bytes())?.commit());
    let still_up = || -> Result<Vec<netlink::Link>> {
        Ok(netlink::links()?.into_iter().filter(|link| link.up && link.name != "lo").collect())
    };
    let taken_down = still_up().and_then(|links| {
        for link in &links {
            netlink::set_down(link.index).with_context(|| format!("cannot set {} down", link.name))?;
        }
        ensure!(still_up()?.is_empty(), "an interface came up again");
        Ok(())
    });
    let what = format!("cannot close namespace `{name}` by nftables rules: {cause}");
    match noted.and(taken_down) {
        Ok(()) => anyhow!(
            "{what}\n  instead, all its interfaces but lo are down, and none comes up\n  fix: make `nft` work, then `netnsctl restart {name}`"
        ),
        Err(error) => anyhow!(
            "{what}\n  NAMESPACE `{name}` MAY BE OPEN: {error:#}\n  fix: `netnsctl down {name}` removes its interfaces"
        ),
    }
}

/// Checks that interfaces may come up in a namespace.
/// Errors: the firewall cannot be loaded, so interfaces must stay down.
pub fn require_open(paths: &Paths, name: &NsName) -> Result<()> {
    let note = paths.closed(name);
    if !note.exists() {
        return Ok(());
    }
    let cause = file::read_text(&note).unwrap_or_default();
    bail!(
        "the firewall of namespace `{name}` cannot be loaded, so no interface may come up: {}\n  fix: make `nft` work, then \
         bring up the firewall",
        cause.trim()
    )
}

/// Whether only loopback traffic passes in a namespace, because its firewall is not loaded.
/// Errors: no rules are in force, or the rules cannot be read.
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

/// Opens a namespace after the hook of its firewall. The hook usually has replaced the closing rules by its own.
/// `needs_rules`: a successful hook may not have loaded rules, so only rules in force open the namespace.
/// Errors: no rules were loaded, or the closing rules cannot be removed.
pub fn open(paths: &Paths, name: &NsName, needs_rules: bool) -> Result<()> {
    let _inside = netns::enter(paths, name)?;
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
