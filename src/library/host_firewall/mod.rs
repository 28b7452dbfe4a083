//! `host_firewall`: finds the chains of other programs on the host that drop forwarded packets, and opens them for an instance.
//!
//! A packet passes only if each chain of the hook `forward` lets it pass. So the table of an instance cannot open another table.

mod firewalld;
mod iptables;
mod rules;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::Call;
use super::record::Object;
use crate::firewall::nft;
use crate::name::Side;
use crate::print;
use rules::{ClosedChain, HostRules};

/// The beginning of the comments of our rules. `TYPE@NAME` follows.
const COMMENT: &str = "systemd-netns ";

/// The chains of other programs that an instance needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostFirewall {
    /// The comment of our rules.
    comment: String,
    /// The interfaces of the host that lead to the namespace.
    interfaces: Vec<String>,
    /// The setting of the administrator.
    setting: String,
    /// Only packets of connections whose destination the host has changed.
    #[serde(default)]
    dnat: bool,
    /// Whether rules of ours open the chains.
    open: bool,
    /// The hook that was the first to open them.
    made_by: String,
    /// The last hook that has needed them.
    #[serde(default)]
    needed_by: String,
    /// Whether an inside hook has opened them, so that a restart does it again.
    inside: bool,
}

/// Packets that an instance needs, with the interface of the host.
#[derive(Clone, Copy, Debug)]
enum Allowed<'a> {
    /// All packets of the namespace.
    From(&'a str),
    /// The answers to them.
    AnswersTo(&'a str),
    /// Packets of the namespace in connections whose destination the host has changed.
    PublishedFrom(&'a str),
    /// Packets to the namespace in such connections.
    PublishedTo(&'a str),
}

impl<'a> Allowed<'a> {
    fn ifname(&self) -> &'a str {
        match self {
            Self::From(ifname)
            | Self::AnswersTo(ifname)
            | Self::PublishedFrom(ifname)
            | Self::PublishedTo(ifname) => ifname,
        }
    }

    /// The packets as nft(8) describes them.
    fn nft(&self) -> String {
        match self {
            Self::From(ifname) => format!("iifname \"{ifname}\""),
            Self::AnswersTo(ifname) => format!("oifname \"{ifname}\" ct state established,related"),
            Self::PublishedFrom(ifname) => format!("iifname \"{ifname}\" ct status dnat"),
            Self::PublishedTo(ifname) => format!("oifname \"{ifname}\" ct status dnat"),
        }
    }
}

/// What changes in the firewalls of other programs.
#[derive(Debug, Default)]
struct Changes {
    /// The commands of nft(8).
    nft: Vec<String>,
    /// The rules of iptables to add.
    added: Vec<iptables::Rule>,
    /// The rules of iptables to delete.
    deleted: Vec<iptables::Rule>,
}

impl Changes {
    /// Makes the changes. An equal rule of iptables stays as it is.
    /// Errors: nft(8) or iptables fails.
    fn apply(mut self, trace: impl Fn(&str)) -> Result<()> {
        if !self.nft.is_empty() {
            let commands = self.nft.join("; ");
            trace(&format!("nft '{commands}'"));
            nft::command(&commands)?;
        }
        self.added.retain(|rule| {
            let same = self.deleted.iter().position(|other| other == rule);
            same.map(|at| self.deleted.remove(at)).is_none()
        });
        for rule in &self.added {
            trace(&rule.command());
            rule.insert()?;
        }
        self.deleted.iter().try_for_each(iptables::Rule::delete)
    }
}

/// `host_firewall`: opens the chains that drop forwarded packets, or prints a warning about each.
/// Arguments: SETTING yes|no [--dnat] IFNAME...
/// Errors: an argument is missing, or nft(8) or iptables fails.
pub fn set(call: &Call, arguments: &[&str]) -> Result<()> {
    let [setting, value, rest @ ..] = arguments else { bail!("expected SETTING [--dnat] IFNAME...") };
    let (dnat, interfaces) = match rest {
        ["--dnat", interfaces @ ..] => (true, interfaces),
        interfaces => (false, interfaces),
    };
    ensure!(["yes", "no"].contains(value), "{setting}: '{value}' is not a valid word: expected yes or no");
    ensure!(!interfaces.is_empty(), "expected the names of interfaces of the host");
    let open = *value == "yes";
    let mut record = call.record()?;
    let earlier = record.objects().iter().find_map(|object| match object {
        Object::Firewall(firewall) => Some(firewall.made_by.clone()),
        _ => None,
    });
    let firewall = HostFirewall {
        comment: format!("{COMMENT}{}", call.instance),
        interfaces: interfaces.iter().map(|&ifname| ifname.to_owned()).collect(),
        setting: (*setting).to_owned(),
        dnat,
        open,
        made_by: earlier.unwrap_or_else(|| call.hook.clone()),
        needed_by: call.hook.clone(),
        inside: call.side == Side::Inside,
    };
    let _host = call.enter_host()?;
    let mut ruleset = HostRules::read()?;
    // Rules of an earlier call are replaced: the settings, or the chains, may have changed.
    let mut changes = ruleset.take(&firewall.comment);
    // First, because a signal may end this process at any moment.
    record.retain(|object| !matches!(object, Object::Firewall(_)));
    record.push(Object::Firewall(firewall.clone()));
    record.save(call.paths)?;
    let what = "cannot allow packets in other firewalls of the host";
    ruleset.unread.iter().for_each(|message| print::warn(message));
    for chain in ruleset.closed(&firewall) {
        if !open {
            print::warn(&firewall.warning(&chain));
        } else if !(chain.table == firewalld::TABLE && firewall.add_to_zone(call).context(what)?) {
            ruleset.open(&chain, &firewall, &mut changes);
        }
    }
    changes.apply(|command| call.trace(command)).context(what)
}

impl HostFirewall {
    /// Whether this hook was the first to open the chains.
    pub(super) fn is_of(&self, hook: &str) -> bool {
        self.made_by == hook
    }

    /// Whether an earlier inside hook has needed the chains, and `hook` has not.
    pub(super) fn is_stale(&self, hook: &str) -> bool {
        self.inside && self.needed_by != hook
    }

    /// Whether rules of ours open the chains, and not the administrator.
    pub(super) fn opens(&self) -> bool {
        self.open
    }

    /// Whether a restart opens the chains.
    pub(super) fn is_made_by_restart(&self) -> bool {
        self.inside && self.open
    }

    /// Deletes our rules after a failure of the hook that has made them. Returns that they do not stay.
    /// Errors: nft(8) or iptables fails.
    pub(super) fn undo(&self, call: &Call) -> Result<bool> {
        let _host = call.enter_host()?;
        self.remove().map(|()| false)
    }

    /// Deletes our rules, wherever they are.
    /// Errors: nft(8) or iptables fails.
    pub(super) fn remove(&self) -> Result<()> {
        if !self.open {
            return Ok(());
        }
        let mut ruleset = HostRules::read()?;
        ruleset.take(&self.comment).apply(|_| ()).context("cannot delete rules on the host")?;
        if ruleset.has_table(firewalld::TABLE) {
            self.interfaces.iter().try_for_each(|ifname| firewalld::remove(ifname))?;
        }
        Ok(())
    }

    /// Returns a line for each chain that drops packets of the instance.
    /// Errors: nft(8) or iptables fails.
    pub(super) fn drift(&self) -> Result<Vec<String>> {
        let chains = HostRules::read()?.closed(self);
        Ok(chains.iter().map(|chain| self.warning(chain)).collect())
    }

    /// The message about a chain that drops packets.
    fn warning(&self, chain: &ClosedChain) -> String {
        let next = if self.open {
            "it has no rule for the namespace".to_owned()
        } else {
            format!("allow those of {} there, or set {}=yes", self.interfaces.join(", "), self.setting)
        };
        format!("{chain} on the host drops forwarded packets; {next}")
    }

    /// Adds the interfaces to the zone of firewalld. Returns whether firewall-cmd is installed.
    fn add_to_zone(&self, call: &Call) -> Result<bool> {
        for ifname in &self.interfaces {
            call.trace(&format!("firewall-cmd --zone=netns --add-interface={ifname}"));
            if !firewalld::add(ifname)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The packets that the instance needs.
    fn allowed(&self) -> impl Iterator<Item = Allowed<'_>> {
        self.interfaces.iter().flat_map(|ifname| {
            if self.dnat {
                [Allowed::PublishedFrom(ifname), Allowed::PublishedTo(ifname)]
            } else {
                [Allowed::From(ifname), Allowed::AnswersTo(ifname)]
            }
        })
    }
}
