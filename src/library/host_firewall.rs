//! `host_firewall`: finds the chains of other programs on the host that drop forwarded packets, and opens them for an instance.
//!
//! A packet passes only if each chain of the hook `forward` lets it pass. So the table of an instance cannot open another table.

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Call;
use super::record::Object;
use crate::firewall::nft;
use crate::name::Side;
use crate::print;

/// The beginning of the comments of our rules. `TYPE@NAME` follows.
const COMMENT: &str = "systemd-netns ";

/// A chain of docker, which docker never changes, and which its chain `FORWARD` calls first.
const DOCKER_USER: &str = "DOCKER-USER";

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

/// A chain that drops forwarded packets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ClosedChain {
    family: String,
    table: String,
    name: String,
}

/// `host_firewall`: opens the chains that drop forwarded packets, or prints a warning about each.
/// Arguments: SETTING yes|no [--dnat] IFNAME...
/// Errors: an argument is missing, or nft(8) fails.
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
    let mut commands = ruleset.with_comment(&firewall.comment);
    ruleset.0.retain(|object| object["rule"]["comment"] != firewall.comment.as_str());
    // First, because a signal may end this process at any moment.
    record.retain(|object| !matches!(object, Object::Firewall(_)));
    record.push(Object::Firewall(firewall.clone()));
    record.save(call.paths)?;
    for chain in ruleset.closed(&firewall) {
        if open {
            commands.extend(firewall.rules(&ruleset.entry(&chain)));
        } else {
            print::warn(&firewall.warning(&chain));
        }
    }
    if commands.is_empty() {
        return Ok(());
    }
    let commands = commands.join("; ");
    call.trace(&format!("nft '{commands}'"));
    nft::command(&commands).context("cannot allow packets in other firewalls of the host")
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

    /// Whether a restart opens the chains.
    pub(super) fn is_made_by_restart(&self) -> bool {
        self.inside && self.open
    }

    /// Deletes our rules after a failure of the hook that has made them. Returns that they do not stay.
    /// Errors: nft(8) fails.
    pub(super) fn undo(&self, call: &Call) -> Result<bool> {
        let _host = call.enter_host()?;
        self.remove().map(|()| false)
    }

    /// Deletes our rules, wherever they are.
    /// Errors: nft(8) fails.
    pub(super) fn remove(&self) -> Result<()> {
        if !self.open {
            return Ok(());
        }
        match HostRules::read()?.with_comment(&self.comment).as_slice() {
            [] => Ok(()),
            ours => nft::command(&ours.join("; ")).context("cannot delete rules on the host"),
        }
    }

    /// Returns a line for each chain that drops packets of the instance.
    /// Errors: nft(8) fails.
    pub(super) fn drift(&self) -> Result<Vec<String>> {
        let chains = HostRules::read()?.closed(self);
        Ok(chains.iter().map(|chain| self.warning(chain)).collect())
    }

    /// The message about a chain that drops packets.
    fn warning(&self, chain: &ClosedChain) -> String {
        let ClosedChain { family, table, name } = chain;
        let next = if self.open {
            "it has no rule for the namespace".to_owned()
        } else {
            format!("allow those of {} there, or set {}=yes", self.interfaces.join(", "), self.setting)
        };
        format!(
            "the chain '{name}' of the table '{family} {table}' on the host drops forwarded packets; {next}"
        )
    }

    /// The commands of nft that open a chain.
    fn rules(&self, chain: &ClosedChain) -> Vec<String> {
        let ClosedChain { family, table, name } = chain;
        let rule = |what: String| {
            format!("insert rule {family} {table} {name} {what} accept comment \"{}\"", self.comment)
        };
        let (sent, received) = if self.dnat {
            (" ct status dnat", "ct status dnat")
        } else {
            ("", "ct state established,related")
        };
        let rules = self.interfaces.iter().flat_map(|ifname| {
            [rule(format!("iifname \"{ifname}\"{sent}")), rule(format!("oifname \"{ifname}\" {received}"))]
        });
        rules.collect()
    }
}

/// All rules on the host, as `nft --json list ruleset` prints them.
struct HostRules(Vec<Value>);

impl HostRules {
    /// Reads the rules in the namespace of this thread.
    /// Errors: nft(8) fails.
    fn read() -> Result<Self> {
        let output = nft::run(&["--json", "list", "ruleset"], b"")?;
        let list: Value = serde_json::from_slice(&output).context("cannot parse the output of nft")?;
        Ok(Self(list["nftables"].as_array().cloned().unwrap_or_default()))
    }

    /// The chains of the hook `forward` that drop packets by their policy or by their last rule, in tables without a rule for one of the
    /// interfaces. A rule of another instance does not count: it opens the chain for other packets. Our own tables drop only what they
    /// should.
    fn closed(&self, firewall: &HostFirewall) -> Vec<ClosedChain> {
        let chains = self.of_kind("chain").filter(|chain| {
            chain["hook"] == "forward"
                && chain["type"] == "filter"
                && !chain["table"].as_str().is_some_and(|table| table.starts_with(super::host_table::PREFIX))
        });
        let chains = chains.filter(|chain| {
            let rules: Vec<&Value> =
                self.rules(chain).filter(|rule| rule["chain"] == chain["name"]).collect();
            chain["policy"] == "drop" || rules.last().is_some_and(|rule| drops_all(rule))
        });
        let is_of_other = |rule: &Value| {
            rule["comment"].as_str().is_some_and(|text| text.starts_with(COMMENT) && text != firewall.comment)
        };
        let is_for = |rule: &Value| firewall.interfaces.iter().any(|ifname| names(&rule["expr"], ifname));
        let chains = chains.filter(|chain| !self.rules(chain).any(|rule| is_for(rule) && !is_of_other(rule)));
        chains
            .map(|chain| ClosedChain {
                family: text(&chain["family"]),
                table: text(&chain["table"]),
                name: text(&chain["name"]),
            })
            .collect()
    }

    /// The chain that gets our rules: docker's chain for rules of users, or the chain itself.
    fn entry(&self, chain: &ClosedChain) -> ClosedChain {
        let is_beside = |other: &&Value| {
            other["name"] == DOCKER_USER
                && other["family"] == chain.family.as_str()
                && other["table"] == chain.table.as_str()
        };
        match self.of_kind("chain").find(is_beside) {
            Some(_) => ClosedChain { name: DOCKER_USER.to_owned(), ..chain.clone() },
            None => chain.clone(),
        }
    }

    /// The commands of nft that delete the rules with a comment.
    fn with_comment(&self, comment: &str) -> Vec<String> {
        let ours = self.of_kind("rule").filter(|rule| rule["comment"] == comment);
        ours.map(|rule| {
            let [family, table, chain] = ["family", "table", "chain"].map(|key| text(&rule[key]));
            format!("delete rule {family} {table} {chain} handle {}", rule["handle"])
        })
        .collect()
    }

    /// The rules of the table of a chain.
    fn rules<'a>(&'a self, chain: &'a Value) -> impl Iterator<Item = &'a Value> {
        self.of_kind("rule")
            .filter(|rule| rule["family"] == chain["family"] && rule["table"] == chain["table"])
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter_map(move |object| object.get(kind))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Whether a rule drops or rejects all packets. `xt` is a target of iptables(8).
fn drops_all(rule: &Value) -> bool {
    let expressions = rule["expr"].as_array().map(Vec::as_slice).unwrap_or_default();
    let drops = |one: &Value| {
        one.get("drop").is_some() || one.get("reject").is_some() || one["xt"]["name"] == "REJECT"
    };
    expressions.iter().any(drops) && expressions.iter().all(|one| drops(one) || one.get("counter").is_some())
}

/// Whether an expression of nft(8) has the name of an interface, or a beginning of it with an asterisk.
fn names(value: &Value, ifname: &str) -> bool {
    match value {
        Value::String(text) => {
            text == ifname
                || text.strip_suffix('*').is_some_and(|start| !start.is_empty() && ifname.starts_with(start))
        }
        Value::Array(values) => values.iter().any(|value| names(value, ifname)),
        Value::Object(values) => values.values().any(|value| names(value, ifname)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A ruleset with the chain `forward`, with a policy and the expressions of its last rule.
    fn closed(table: &str, policy: &str, last: &Value) -> bool {
        closed_with(table, policy, last, "")
    }

    /// The same, with a comment of the rule.
    fn closed_with(table: &str, policy: &str, last: &Value, comment: &str) -> bool {
        let firewall = HostFirewall {
            comment: "systemd-netns t@a".to_owned(),
            interfaces: vec!["ve-a0".to_owned()],
            setting: "T".to_owned(),
            dnat: false,
            open: false,
            made_by: String::new(),
            needed_by: String::new(),
            inside: true,
        };
        let ruleset = HostRules(vec![
            json!({"chain": {"family": "ip", "table": table, "name": "f", "type": "filter", "hook": "forward", "policy": policy}}),
            json!({"rule": {"family": "ip", "table": table, "chain": "f", "handle": 3, "expr": last, "comment": comment}}),
        ]);
        !ruleset.closed(&firewall).is_empty()
    }

    #[test]
    fn a_chain_is_closed_by_its_policy_or_by_a_last_rule_for_all_packets() {
        let none = json!([]);
        assert!(closed("t", "drop", &none));
        assert!(!closed("t", "accept", &none));
        assert!(closed("t", "accept", &json!([{"counter": {"packets": 1}}, {"drop": null}])));
        assert!(closed("t", "accept", &json!([{"reject": {"type": "icmpx"}}])));
        assert!(closed("t", "accept", &json!([{"xt": {"type": "target", "name": "REJECT"}}])));
        assert!(!closed("t", "accept", &json!([{"match": {"right": "eth0"}}, {"drop": null}])));
        assert!(!closed("netns_nat-a", "drop", &none));
    }

    #[test]
    fn a_table_with_a_rule_for_the_interface_is_not_closed() {
        for (name, is_closed) in [("ve-a0", false), ("ve-*", false), ("ve-b0", true), ("*", true)] {
            let rule = json!([{"match": {"right": {"set": ["eth0", name]}}}, {"accept": null}]);
            assert_eq!(closed("t", "drop", &rule), is_closed, "{name}");
        }
    }

    #[test]
    fn a_rule_of_another_instance_does_not_open_a_chain() {
        let rule = json!([{"match": {"right": "ve-a0"}}, {"accept": null}]);
        assert!(!closed_with("t", "drop", &rule, "systemd-netns t@a"));
        assert!(closed_with("t", "drop", &rule, "systemd-netns u@a"));
    }
}
