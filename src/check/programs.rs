//! Reports programs that a plugin requires with `assert_command`, and that are not installed.

use std::collections::BTreeSet;
use std::env;

use super::{Examined, Finding};
use crate::config::layers::Role;
use crate::hook::child::PATH;
use crate::name::{Instance, NsType};
use crate::sys::package;
use crate::sys::program::is_in;

/// Checks the plugins of the wanted instances, each once.
pub(super) fn check(examined: &[Examined], is_wanted: &dyn Fn(&Instance) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen: BTreeSet<&NsType> = BTreeSet::new();
    for one in examined.iter().filter(|one| is_wanted(&one.instance)) {
        let plugin = one.layers.get(Role::Plugin);
        let Some(text) = plugin.text().filter(|_| seen.insert(&one.instance.nstype)) else { continue };
        for (number, (program, package)) in missing(text) {
            findings.push(
                Finding::error(format!("the program `{program}` is not installed"))
                    .at(format!("{}:{number}", plugin.path.display()))
                    .advice(package::hint(package)),
            );
        }
    }
    findings
}

/// Whether a program that the plugin of an instance requires is not installed.
pub(super) fn is_incomplete(one: &Examined) -> bool {
    one.layers.get(Role::Plugin).text().is_some_and(|text| missing(text).next().is_some())
}

fn missing(text: &str) -> impl Iterator<Item = (usize, (&str, &str))> {
    required(text).filter(|(_, (program, _))| !is_installed(program))
}

/// The calls `assert_command PROGRAM PACKAGE` in a plugin, with their line numbers. A call with a variable is left out.
fn required(text: &str) -> impl Iterator<Item = (usize, (&str, &str))> {
    text.lines().zip(1..).filter_map(|(line, number)| {
        let (program, package) = line.trim().strip_prefix("assert_command ")?.split_once(' ')?;
        let is_name =
            |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-+._".contains(&byte));
        (is_name(program) && is_name(package)).then_some((number, (program, package)))
    })
}

/// Whether a program is in PATH, or in that of hooks: a user's own PATH may lack the directories of root.
fn is_installed(program: &str) -> bool {
    is_in(&env::var_os("PATH").unwrap_or_default(), program) || is_in(PATH.as_ref(), program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_with_two_words_are_read() {
        let text = "assert_command ip iproute2\n  assert_command g++ g++\nassert_command \"$X\" y\n\
                    assert_command x\n# assert_command a b\nassert_command_x a b\nassert_command a b c\n";
        let found: Vec<_> = required(text).collect();
        assert_eq!(found, [(1, ("ip", "iproute2")), (2, ("g++", "g++"))]);
    }
}
