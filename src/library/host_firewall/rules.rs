//! The rules on the host, and the chains that drop forwarded packets.

use std::fmt;

use anyhow::Result;
use serde_json::Value;

use super::iptables::{FILTER, FORWARD, Iptables};
use super::{COMMENT, Changes, HostFirewall};
use crate::firewall::nft;
use crate::netlink::{self, Table};

/// A chain of docker, which docker never changes, and which its chain `FORWARD` calls first.
const DOCKER_USER: &str = "DOCKER-USER";

/// A chain that drops forwarded packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClosedChain {
    pub(super) family: String,
    pub(super) table: String,
    pub(super) name: String,
    /// The program of iptables-legacy, if the table belongs to it.
    legacy: Option<&'static str>,
}

impl fmt::Display for ClosedChain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, table, name, legacy } = self;
        match legacy {
            Some(program) => write!(formatter, "the chain '{name}' of the table '{table}' of {program}"),
            None => write!(formatter, "the chain '{name}' of the table '{family} {table}'"),
        }
    }
}

/// All rules on the host.
pub(super) struct HostRules {
    /// The tables of nftables.
    tables: Vec<Table>,
    /// Their chains and rules, as nft(8) prints them with `--json`.
    objects: Vec<Value>,
    /// The tables of iptables.
    iptables: Vec<Iptables>,
    /// A message for each table that cannot be read.
    pub(super) unread: Vec<String>,
}

impl HostRules {
    /// Reads the rules in the namespace of this thread.
    /// Errors: nft(8) or iptables fails.
    pub(super) fn read() -> Result<Self> {
        let tables = netlink::tables()?;
        let (legacy, mut unread) = Iptables::read_legacy()?;
        let objects = match nft::list(&["ruleset"]) {
            Ok(objects) => objects,
            Err(_) => objects_of_each(&tables, &mut unread)?,
        };
        let mut rules = Self { tables, objects, iptables: legacy, unread };
        let chains: Vec<&Value> = rules.of_kind("chain").collect();
        let is_of = |chain: &Value, family| {
            chain["family"] == family && chain["table"] == FILTER && chain["name"] == FORWARD
        };
        let families =
            ["ip", "ip6"].into_iter().filter(|family| chains.iter().any(|chain| is_of(chain, *family)));
        let tables = families.map(Iptables::read).collect::<Result<Vec<_>>>()?;
        rules.iptables.extend(tables.into_iter().flatten());
        Ok(rules)
    }

    /// The chains of the hook `forward` that drop packets by their policy or by their last rule, in tables without a rule for one of the
    /// interfaces. A rule of another instance does not count: it opens the chain for other packets. Our own tables drop only what they
    /// should, and dormant tables nothing.
    pub(super) fn closed(&self, firewall: &HostFirewall) -> Vec<ClosedChain> {
        let chains = self.of_kind("chain").filter(|chain| {
            chain["hook"] == "forward"
                && chain["type"] == "filter"
                && !chain["table"]
                    .as_str()
                    .is_some_and(|table| table.starts_with(super::super::host_table::PREFIX))
                && !self.tables.iter().any(|table| table.is_dormant() && is_in(chain, table))
        });
        let chains = chains.filter(|chain| {
            chain["policy"] == "drop" || self.rules_of_chain(chain).last().is_some_and(drops_all)
        });
        let is_of_other = |rule: &Value| {
            rule["comment"].as_str().is_some_and(|text| text.starts_with(COMMENT) && text != firewall.comment)
        };
        let is_for = |rule: &Value| firewall.interfaces.iter().any(|ifname| names(&rule["expr"], ifname));
        let is_open_in = |table: &Iptables| table.is_for(&firewall.interfaces, &firewall.comment);
        let closed = |chain: &Value| ClosedChain {
            family: text(&chain["family"]),
            table: text(&chain["table"]),
            name: text(&chain["name"]),
            legacy: None,
        };
        // firewalld has such a rule.
        let chains =
            chains.filter(|chain| !(firewall.dnat && self.rules_of_chain(chain).any(accepts_published)));
        let chains = chains.filter_map(|chain| {
            let closed = closed(chain);
            let is_open = match self.iptables_of(&closed) {
                Some(table) => is_open_in(table),
                None => self.rules(chain).any(|rule| is_for(rule) && !is_of_other(rule)),
            };
            (!is_open).then_some(closed)
        });
        let legacy = self.iptables.iter().filter(|table| table.is_legacy() && table.is_closed());
        let legacy = legacy.filter(|table| !is_open_in(table)).map(|table| ClosedChain {
            family: table.family.to_owned(),
            table: table.table.to_owned(),
            name: FORWARD.to_owned(),
            legacy: Some(table.program),
        });
        chains.chain(legacy).collect()
    }

    /// Adds the rules to the changes that open a chain.
    pub(super) fn open(&self, chain: &ClosedChain, firewall: &HostFirewall, changes: &mut Changes) {
        let iptables = self.iptables_of(chain);
        let name = self.entry(chain);
        for allowed in firewall.allowed() {
            match iptables {
                Some(iptables) => changes.added.push(iptables.rule(name, &allowed, &firewall.comment)),
                None => changes.nft.push(format!(
                    "insert rule {} {} {name} {} accept comment \"{}\"",
                    chain.family,
                    chain.table,
                    allowed.nft(),
                    firewall.comment
                )),
            }
        }
    }

    /// The table of iptables with this chain.
    fn iptables_of(&self, chain: &ClosedChain) -> Option<&Iptables> {
        self.iptables.iter().find(|table| {
            table.family == chain.family
                && table.table == chain.table
                && table.is_legacy() == chain.legacy.is_some()
        })
    }

    /// The chain that gets our rules: docker's chain for rules of users, or the chain itself.
    fn entry<'a>(&self, chain: &'a ClosedChain) -> &'a str {
        let is_beside = |other: &Value| {
            other["name"] == DOCKER_USER
                && other["family"] == chain.family.as_str()
                && other["table"] == chain.table.as_str()
        };
        let has_docker = match self.iptables_of(chain) {
            Some(table) => table.has_chain(DOCKER_USER),
            None => self.of_kind("chain").any(is_beside),
        };
        if has_docker { DOCKER_USER } else { &chain.name }
    }

    /// Forgets the rules with a comment, and returns the changes that delete them.
    pub(super) fn take(&mut self, comment: &str) -> Changes {
        let ours = self.of_kind("rule").filter(|rule| rule["comment"] == comment);
        let nft = ours.map(|rule| {
            let [family, table, chain] = ["family", "table", "chain"].map(|key| text(&rule[key]));
            format!("delete rule {family} {table} {chain} handle {}", rule["handle"])
        });
        let nft = nft.collect();
        self.objects.retain(|object| object["rule"]["comment"] != comment);
        let deleted = self.iptables.iter_mut().flat_map(|one| one.take(comment)).collect();
        Changes { nft, added: Vec::new(), deleted }
    }

    /// The rules of the table of a chain.
    fn rules<'a>(&'a self, chain: &'a Value) -> impl Iterator<Item = &'a Value> {
        self.of_kind("rule")
            .filter(|rule| rule["family"] == chain["family"] && rule["table"] == chain["table"])
    }

    /// The rules of a chain itself.
    fn rules_of_chain<'a>(&'a self, chain: &'a Value) -> impl Iterator<Item = &'a Value> {
        self.rules(chain).filter(|rule| rule["chain"] == chain["name"])
    }

    /// Whether a table of nftables has this name.
    pub(super) fn has_table(&self, name: &str) -> bool {
        self.tables.iter().any(|table| table.name == name)
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().filter_map(move |object| object.get(kind))
    }
}

/// The chains and rules of each table. Adds a message for each table that nft(8) cannot print.
/// Errors: nft(8) cannot even list the chains.
fn objects_of_each(tables: &[Table], unread: &mut Vec<String>) -> Result<Vec<Value>> {
    let chains = nft::list(&["chains"])?;
    let mut objects = Vec::new();
    for table in tables {
        match objects_of(table, &chains) {
            Ok(of_table) => objects.extend(of_table),
            Err(error) => unread.push(format!(
                "cannot read the table '{0} {1}' on the host, which may drop forwarded packets: {error:#}; \
                 `nft list table {0} {1}` prints it",
                table.family, table.name
            )),
        }
    }
    Ok(objects)
}

/// The chains and rules of a table. nft 1.0.6 prints invalid JSON for the flags of a table, which the lists of its chains do not have.
/// Errors: nft(8) cannot print the table.
fn objects_of(table: &Table, chains: &[Value]) -> Result<Vec<Value>> {
    let Table { family, name, .. } = table;
    nft::list(&["table", family, name]).or_else(|_| {
        let mut objects = Vec::new();
        for chain in chains.iter().map(|object| &object["chain"]).filter(|chain| is_in(chain, table)) {
            objects.extend(nft::list(&["chain", family, name, &text(&chain["name"])])?);
        }
        Ok(objects)
    })
}

/// Whether a chain is in a table.
fn is_in(chain: &Value, table: &Table) -> bool {
    chain["family"] == table.family && chain["table"] == table.name.as_str()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The expressions of a rule, without counters.
fn expressions(rule: &Value) -> Vec<&Value> {
    rule["expr"].as_array().into_iter().flatten().filter(|one| one.get("counter").is_none()).collect()
}

/// Whether a rule drops or rejects all packets. `xt` is a target of iptables(8).
fn drops_all(rule: &Value) -> bool {
    let drops = |one: &Value| {
        one.get("drop").is_some() || one.get("reject").is_some() || one["xt"]["name"] == "REJECT"
    };
    let expressions = expressions(rule);
    !expressions.is_empty() && expressions.into_iter().all(drops)
}

/// Whether a rule accepts all packets of connections whose destination the host has changed.
fn accepts_published(rule: &Value) -> bool {
    let is_published =
        |one: &Value| one["match"]["left"]["ct"]["key"] == "status" && one["match"]["right"] == "dnat";
    matches!(expressions(rule)[..], [state, verdict] if is_published(state) && verdict.get("accept").is_some())
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

    fn firewall() -> HostFirewall {
        HostFirewall {
            comment: "systemd-netns t@a".to_owned(),
            interfaces: vec!["ve-a0".to_owned()],
            setting: "T".to_owned(),
            dnat: false,
            open: false,
            made_by: String::new(),
            needed_by: String::new(),
            inside: true,
        }
    }

    /// A ruleset with the chain `forward`, with a policy and the expressions of its last rule.
    fn closed(table: &str, policy: &str, last: &Value) -> bool {
        closed_with(table, policy, last, "")
    }

    /// The same, with a comment of the rule.
    fn closed_with(table: &str, policy: &str, last: &Value, comment: &str) -> bool {
        let objects = vec![
            json!({"chain": {"family": "ip", "table": table, "name": "f", "type": "filter", "hook": "forward", "policy": policy}}),
            json!({"rule": {"family": "ip", "table": table, "chain": "f", "handle": 3, "expr": last, "comment": comment}}),
        ];
        let ruleset = HostRules { tables: Vec::new(), objects, iptables: Vec::new(), unread: Vec::new() };
        !ruleset.closed(&firewall()).is_empty()
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
    fn a_chain_that_accepts_published_ports_is_open_for_them_alone() {
        let last = json!([{"reject": null}]);
        let objects = vec![
            json!({"chain": {"family": "inet", "table": "firewalld", "name": "f", "type": "filter", "hook": "forward", "policy": "accept"}}),
            json!({"rule": {"family": "inet", "table": "firewalld", "chain": "f", "expr":
                [{"match": {"op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"}}, {"accept": null}]}}),
            json!({"rule": {"family": "inet", "table": "firewalld", "chain": "f", "expr": last}}),
        ];
        let ruleset = HostRules { tables: Vec::new(), objects, iptables: Vec::new(), unread: Vec::new() };
        for dnat in [false, true] {
            assert_eq!(ruleset.closed(&HostFirewall { dnat, ..firewall() }).is_empty(), dnat);
        }
    }

    #[test]
    fn a_rule_of_another_instance_does_not_open_a_chain() {
        let rule = json!([{"match": {"right": "ve-a0"}}, {"accept": null}]);
        assert!(!closed_with("t", "drop", &rule, "systemd-netns t@a"));
        assert!(closed_with("t", "drop", &rule, "systemd-netns u@a"));
    }

    #[test]
    fn a_chain_of_iptables_legacy_is_named_with_its_program() {
        let chain = ClosedChain {
            family: "ip6".to_owned(),
            table: FILTER.to_owned(),
            name: FORWARD.to_owned(),
            legacy: Some("ip6tables-legacy"),
        };
        assert_eq!(chain.to_string(), "the chain 'FORWARD' of the table 'filter' of ip6tables-legacy");
    }
}
