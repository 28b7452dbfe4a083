//! Rules in the tables of iptables-nft(8) and iptables-legacy, such as those of ufw and docker. nft(8) could add rules to those of
//! iptables-nft, too, but then iptables refuses to read the table: "is incompatible, use 'nft' tool". Those of iptables-legacy are
//! another part of the kernel, which nft(8) cannot read.

use std::{fs, mem};

use anyhow::{Context, Result};

use super::{Allowed, COMMENT};
use crate::sys::package;
use crate::sys::program::{Output, Program};

/// The table of filters. iptables-nft and ip6tables-nft have it for `ip` and `ip6`.
pub(super) const FILTER: &str = "filter";

/// The chain of forwarded packets.
pub(super) const FORWARD: &str = "FORWARD";

/// The Debian package of the programs.
const PACKAGE: &str = "iptables";

/// The programs of iptables-legacy, with their family, and the file with the names of the tables in a namespace. A table that is not
/// in this file must not be listed: the program would load its module, and create the table (`xt_find_table_lock` in the kernel).
const LEGACY: [(&str, &str, &str); 2] = [
    ("ip", "iptables-legacy", "/proc/thread-self/net/ip_tables_names"),
    ("ip6", "ip6tables-legacy", "/proc/thread-self/net/ip6_tables_names"),
];

/// The tables with the chain `FORWARD`. The others, `nat` and `raw`, have none (iptables(8)).
const LEGACY_TABLES: [&str; 3] = [FILTER, "mangle", "security"];

/// The rules of a table of one family.
#[derive(Debug)]
pub(super) struct Iptables {
    pub(super) family: &'static str,
    pub(super) table: &'static str,
    /// Such as `iptables-nft`, or `ip6tables-legacy`.
    pub(super) program: &'static str,
    /// The rules as `iptables -S` prints them, without `-A`: a chain and the words of the rule. For each chain also its name.
    rules: Vec<Vec<String>>,
    /// Whether the policy of the chain `FORWARD` is to drop.
    policy_drops: bool,
}

/// A rule to add or to delete.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    program: &'static str,
    table: &'static str,
    words: Vec<String>,
}

impl Iptables {
    /// Reads the table `filter` of iptables-nft. `None` without this program, and if the table has rules that only nft(8) can read.
    /// Errors: the program cannot be started.
    pub(super) fn read(family: &str) -> Result<Option<Self>> {
        let (family, program) = match family {
            "ip" => ("ip", "iptables-nft"),
            "ip6" => ("ip6", "ip6tables-nft"),
            _ => return Ok(None),
        };
        let output = list(program, FILTER)?.filter(|output| output.status.success());
        Ok(output.map(|output| Self::parse(family, FILTER, program, &output.text())))
    }

    /// Reads the tables of iptables-legacy that exist in the namespace of this thread. Also returns a message for each table that
    /// cannot be read, because the program is not installed.
    /// Errors: the program fails.
    pub(super) fn read_legacy() -> Result<(Vec<Self>, Vec<String>)> {
        let (mut tables, mut unread) = (Vec::new(), Vec::new());
        for (family, program, names) in LEGACY {
            // The kernel may not have these tables.
            let names = fs::read_to_string(names).unwrap_or_default();
            for table in LEGACY_TABLES.into_iter().filter(|table| names.lines().any(|name| name == *table)) {
                match list(program, table)? {
                    Some(output) => {
                        tables.push(Self::parse(family, table, program, &output.success()?.text()));
                    }
                    None => unread.push(format!(
                        "cannot read the table '{table}' of {program} on the host, which may drop forwarded packets: \
                         `{program}` is not installed; {}",
                        package::hint(PACKAGE)
                    )),
                }
            }
        }
        Ok((tables, unread))
    }

    fn parse(family: &'static str, table: &'static str, program: &'static str, output: &str) -> Self {
        let policy_drops = output.lines().any(|line| line == format!("-P {FORWARD} DROP"));
        Self { family, table, program, rules: rules(output), policy_drops }
    }

    /// Whether the table belongs to iptables-legacy.
    pub(super) fn is_legacy(&self) -> bool {
        LEGACY.iter().any(|(_, program, _)| *program == self.program)
    }

    /// Whether the chain `FORWARD` drops packets by its policy, or by its last rule, which drops or rejects all packets.
    pub(super) fn is_closed(&self) -> bool {
        let last = self.rules.iter().rfind(|words| words[0] == FORWARD && words.len() > 1);
        let drops_all =
            |words: &Vec<String>| words[1] == "-j" && ["DROP", "REJECT"].contains(&words[2].as_str());
        self.policy_drops || last.is_some_and(drops_all)
    }

    /// Whether the table has a chain.
    pub(super) fn has_chain(&self, name: &str) -> bool {
        self.rules.iter().any(|words| words[0] == name)
    }

    /// Whether a rule has one of the interfaces, except rules of other instances.
    pub(super) fn is_for(&self, interfaces: &[String], comment: &str) -> bool {
        let has_interface = |words: &[String]| {
            words.windows(2).any(|pair| {
                ["-i", "-o"].contains(&pair[0].as_str())
                    && interfaces.iter().any(|ifname| is_match(&pair[1], ifname))
            })
        };
        let is_of_other = |words: &[String]| {
            comment_of(words).is_some_and(|text| text.starts_with(COMMENT) && text != comment)
        };
        self.rules.iter().any(|words| has_interface(words) && !is_of_other(words))
    }

    /// Removes the rules with a comment from this list, and returns them.
    pub(super) fn take(&mut self, comment: &str) -> Vec<Rule> {
        let is_ours = |words: &Vec<String>| comment_of(words) == Some(comment);
        let (ours, others) = mem::take(&mut self.rules).into_iter().partition(is_ours);
        self.rules = others;
        let ours: Vec<Vec<String>> = ours;
        ours.into_iter().map(|words| self.of_words(words)).collect()
    }

    /// A rule that allows packets in a chain.
    pub(super) fn rule(&self, chain: &str, allowed: &Allowed, comment: &str) -> Rule {
        let (option, state) = match allowed {
            Allowed::From(_) => ("-i", None),
            Allowed::AnswersTo(_) => ("-o", Some("RELATED,ESTABLISHED")),
            Allowed::PublishedFrom(_) => ("-i", Some("DNAT")),
            Allowed::PublishedTo(_) => ("-o", Some("DNAT")),
        };
        let words = [chain, option, allowed.ifname()].into_iter();
        let state = state.map(|state| ["-m", "conntrack", "--ctstate", state]);
        let words = words.chain(state.into_iter().flatten());
        let words = words.chain(["-m", "comment", "--comment", comment, "-j", "ACCEPT"]);
        self.of_words(words.map(str::to_owned).collect())
    }

    fn of_words(&self, words: Vec<String>) -> Rule {
        Rule { program: self.program, table: self.table, words }
    }
}

impl Rule {
    /// Adds the rule at the start of its chain.
    /// Errors: iptables fails.
    pub(super) fn insert(&self) -> Result<()> {
        self.run("--insert")
    }

    /// Deletes the rule, or another one that is the same.
    /// Errors: iptables fails.
    pub(super) fn delete(&self) -> Result<()> {
        self.run("--delete")
    }

    /// The command that adds the rule.
    pub(super) fn command(&self) -> String {
        format!("{} --table {} --insert {}", self.program, self.table, shell_words::join(&self.words))
    }

    fn run(&self, verb: &str) -> Result<()> {
        let words = [verb].into_iter().chain(self.words.iter().map(String::as_str));
        program(self.program, self.table)
            .package(PACKAGE)
            .args(words)
            .run()?
            .success()
            .map(drop)
            .with_context(|| format!("cannot change rules with {}", self.program))
    }
}

/// Lists the rules of a table; `None` if the program is not installed.
fn list(name: &str, table: &str) -> Result<Option<Output>> {
    program(name, table).args(["--list-rules"]).run_if_installed()
}

/// The program for a table. It waits while another one has the lock of iptables-legacy.
fn program(name: &str, table: &str) -> Program {
    Program::new(name).args(["--wait=15", "--table", table])
}

/// The words of the rules in the output of `iptables -S`, and of the chains, which have no rule.
fn rules(output: &str) -> Vec<Vec<String>> {
    let lines =
        output.lines().filter_map(|line| line.strip_prefix("-A ").or_else(|| line.strip_prefix("-N ")));
    let rules = lines.filter_map(|line| shell_words::split(line).ok());
    rules.filter(|words| !words.is_empty()).collect()
}

fn comment_of(words: &[String]) -> Option<&str> {
    words.windows(2).find(|pair| pair[0] == "--comment").map(|pair| pair[1].as_str())
}

/// Whether an interface of a rule is the interface. A plus sign at its end is for any characters, or none.
fn is_match(pattern: &str, ifname: &str) -> bool {
    match pattern.strip_suffix('+') {
        Some(start) => !start.is_empty() && ifname.starts_with(start),
        None => pattern == ifname,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_of_this_instance_or_of_the_administrator_is_for_the_interface() {
        let is_for = |rule: &str| {
            let table = Iptables::parse("ip", FILTER, "iptables-nft", rule);
            table.is_for(&["ve-a0".to_owned()], "systemd-netns t@a")
        };
        assert!(is_for("-A FORWARD -i ve-a0 -j ACCEPT"));
        assert!(is_for("-A FORWARD -o ve-+ -j ACCEPT"));
        assert!(is_for("-A FORWARD -i ve-a0 -m comment --comment \"systemd-netns t@a\" -j ACCEPT"));
        assert!(!is_for("-A FORWARD -i ve-a0 -m comment --comment \"systemd-netns u@a\" -j ACCEPT"));
        assert!(!is_for("-A FORWARD -i ve-b0 -j ACCEPT"));
        assert!(!is_for("-A FORWARD -j ACCEPT"));
    }

    #[test]
    fn a_rule_has_the_form_in_which_iptables_prints_it() {
        let mut table = Iptables::parse(
            "ip",
            FILTER,
            "iptables-nft",
            "-P FORWARD DROP\n-N DOCKER-USER\n-A DOCKER-USER -o ve-a0 -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment \"systemd-netns t@a\" -j ACCEPT",
        );
        let rule = table.rule("DOCKER-USER", &Allowed::AnswersTo("ve-a0"), "systemd-netns t@a");
        assert_eq!(table.take("systemd-netns t@a"), [rule]);
    }

    #[test]
    fn the_chain_forward_is_closed_by_its_policy_or_by_a_last_rule_for_all_packets() {
        let is_closed = |output: &str| Iptables::parse("ip", FILTER, "iptables-legacy", output).is_closed();
        assert!(is_closed("-P INPUT ACCEPT\n-P FORWARD DROP"));
        assert!(is_closed(
            "-P FORWARD ACCEPT\n-A FORWARD -i eth0 -j ACCEPT\n-A FORWARD -j DROP\n-A OUTPUT -j ACCEPT"
        ));
        assert!(is_closed("-P FORWARD ACCEPT\n-A FORWARD -j REJECT --reject-with icmp-port-unreachable"));
        assert!(!is_closed("-P INPUT DROP\n-P FORWARD ACCEPT\n-N DOCKER\n-A INPUT -j DROP"));
        assert!(!is_closed("-P FORWARD ACCEPT\n-A FORWARD -j DROP\n-A FORWARD -j DOCKER"));
        assert!(!is_closed("-P FORWARD ACCEPT\n-A FORWARD -i eth0 -j DROP"));
    }
}
