//! Rules in the tables of iptables-nft(8), such as those of ufw and docker. nft(8) could add rules there, too, but then iptables
//! refuses to read the table: "is incompatible, use 'nft' tool".

use std::mem;

use anyhow::{Context, Result};

use super::{Allowed, COMMENT};
use crate::sys::program::Program;

/// The rules of the table `filter` of one family.
#[derive(Debug)]
pub(super) struct Iptables {
    family: &'static str,
    /// `iptables-nft`, or `ip6tables-nft`.
    program: &'static str,
    /// The rules as `iptables -S` prints them, without `-A`: a chain and the words of the rule.
    rules: Vec<Vec<String>>,
}

/// A rule to add or to delete.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule {
    program: &'static str,
    words: Vec<String>,
}

impl Iptables {
    /// Reads the table of a family. `None` without iptables-nft, and if the table has rules that only nft(8) can read.
    /// Errors: the program cannot be started.
    pub(super) fn read(family: &str) -> Result<Option<Self>> {
        let (family, program) = match family {
            "ip" => ("ip", "iptables-nft"),
            "ip6" => ("ip6", "ip6tables-nft"),
            _ => return Ok(None),
        };
        let Some(output) = Program::new(program).args(["--list-rules"]).run_if_installed()? else {
            return Ok(None);
        };
        if !output.status.success() {
            return Ok(None);
        }
        Ok(Some(Self { family, program, rules: rules(&output.text()) }))
    }

    pub(super) fn is_of(&self, family: &impl PartialEq<str>) -> bool {
        *family == *self.family
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
        ours.into_iter().map(|words| Rule { program: self.program, words }).collect()
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
        Rule { program: self.program, words: words.map(str::to_owned).collect() }
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
        format!("{} --insert {}", self.program, shell_words::join(&self.words))
    }

    fn run(&self, verb: &str) -> Result<()> {
        let program = Program::new(self.program).package("iptables").args([verb]).args(&self.words);
        program
            .run()?
            .success()
            .map(drop)
            .with_context(|| format!("cannot change rules with {}", self.program))
    }
}

/// The words of the rules in the output of `iptables -S`, and of the chains, which have no rule.
fn rules(output: &str) -> Vec<Vec<String>> {
    let lines =
        output.lines().filter_map(|line| line.strip_prefix("-A ").or_else(|| line.strip_prefix("-N ")));
    lines.filter_map(|line| shell_words::split(line).ok()).collect()
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
            let table = Iptables { family: "ip", program: "iptables-nft", rules: rules(rule) };
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
        let mut table = Iptables {
            family: "ip",
            program: "iptables-nft",
            rules: rules(
                "-P FORWARD DROP\n-N DOCKER-USER\n-A DOCKER-USER -o ve-a0 -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment \"systemd-netns t@a\" -j ACCEPT",
            ),
        };
        let rule = table.rule("DOCKER-USER", &Allowed::AnswersTo("ve-a0"), "systemd-netns t@a");
        assert_eq!(table.take("systemd-netns t@a"), [rule]);
    }
}
