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

/// What holds in a closed namespace. The policy of one chain is enough to drop a packet, whatever other chains accept.
const RULES: &str = "\
table inet netns_closed {
  chain input { type filter hook input priority filter; policy drop; iifname \"lo\" accept; }
  chain forward { type filter hook forward priority filter; policy drop; }
  chain output { type filter hook output priority filter; policy drop; oifname \"lo\" accept; }
}
";

/// What filters the traffic of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filtering {
    /// Nothing.
    None,
    /// [`RULES`] alone.
    Closed,
    /// [`RULES`], and others that they take precedence over.
    ClosedBesideRules,
    /// Rules of a firewall.
    Rules,
}

/// What filters the traffic of the namespace that this thread is in. The kernel tells, not `nft`.
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

/// Closes a namespace unless rules are in force in it: nothing but loopback traffic passes. If `nft` cannot do that, all
/// interfaces but `lo` are taken down, and [`require_open`] fails until the next call succeeds.
/// Errors: the rules cannot be loaded. The message says whether the interfaces are down.
pub fn close(paths: &Paths, name: &NsName) -> Result<()> {
    let _inside = netns::enter(paths, name)?;
    match close_by_rules() {
        Ok(()) => file::remove(&paths.closed(name)),
        Err(error) => Err(take_links_down(paths, name, &format!("{error:#}"))),
    }
}

fn close_by_rules() -> Result<()> {
    // Without nf_tables the kernel does not answer; then `nft` says it better.
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
    // First, so that no hook brings up another interface.
    let noted = fs::create_dir_all(&paths.closed)
        .map_err(anyhow::Error::from)
        .and_then(|()| Draft::of(&paths.closed(name), cause.as_bytes())?.commit());
    let still_up = || -> Result<Vec<netlink::Link>> {
        Ok(netlink::links()?.into_iter().filter(|link| link.up && link.name != "lo").collect())
    };
    let taken_down = still_up().and_then(|links| {
        for link in &links {
            netlink::set_down(link.index).with_context(|| format!("cannot take {} down", link.name))?;
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

/// Makes sure that interfaces may come up in a namespace.
/// Errors: its firewall cannot be loaded, so its interfaces have to stay down.
pub fn require_open(paths: &Paths, name: &NsName) -> Result<()> {
    let note = paths.closed(name);
    if !note.exists() {
        return Ok(());
    }
    let cause = file::read_text(&note).unwrap_or_default();
    bail!(
        "the firewall of namespace `{name}` cannot be loaded, so no interface comes up: {}\n  fix: make `nft` work, then \
         bring up the firewall",
        cause.trim()
    )
}

/// Whether only loopback traffic passes in a namespace, because its firewall is not loaded.
/// Errors: nothing filters its traffic, or that cannot be read.
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

/// Opens a namespace after the hook of its firewall has returned. The hook normally has replaced the closing rules by its own.
/// `needs_rules`: the success of the hook does not show that it has loaded rules, so only rules in force open the namespace.
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
