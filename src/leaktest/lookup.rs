//! Looks up a host name with the `/etc` files of the namespace. A new bash process makes each lookup, for two reasons: the C
//! library caches the files, and this static program can contain another C library than the host.

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use super::{AttemptEnd, Verdict, resolvers};
use crate::bash::UNWANTED_VARIABLES;
use crate::name::NsName;
use crate::netns::mounts;
use crate::paths::{BASH, Paths};
use crate::print::escape;
use crate::sys::program::Program;

/// Time limit of a lookup. The library can query several servers, each for one second.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The bash script of a lookup. bash looks up the name to open a UDP connection (bash(1), "REDIRECTION"), which sends no packet
/// to the target. The line `begun` shows that bash has reached the lookup.
const SCRIPT: &str = r#"echo begun >&2; exec 3<>"/dev/udp/$1/9""#;

/// The messages of gai_strerror(3) for names that do not exist or have no address.
const NOT_FOUND: [&str; 2] = ["Name or service not known", "No address associated with hostname"];

/// Looks up a name. The mounts of this thread are changed, so the thread must end afterwards.
pub(super) fn resolve(paths: &Paths, namespace: &NsName, name: &str) -> AttemptEnd {
    // This comes first, because the mounts change the files that this thread sees.
    let resolvers = resolvers::describe(paths, namespace);
    let end = match run_bash(paths, namespace, name) {
        Ok(Some(output)) if !output.lines().any(|line| line == "begun") => {
            cannot_look_up(escape::line(output.trim()))
        }
        Ok(Some(output)) => parse_output(&output, name),
        Ok(None) => AttemptEnd::new(
            Verdict::Unanswered,
            format!("the lookup did not finish within {} seconds", TIMEOUT.as_secs()),
        ),
        Err(error) => cannot_look_up(format!("{error:#}")),
    };
    let detail = end.detail.into_iter().chain(resolvers).collect::<Vec<_>>().join("; ");
    AttemptEnd { verdict: end.verdict, detail: Some(detail).filter(|detail| !detail.is_empty()) }
}

fn cannot_look_up(reason: impl fmt::Display) -> AttemptEnd {
    AttemptEnd::new(Verdict::Blocked, format!("cannot look up the name: {reason}"))
}

/// Runs the script. Returns the stderr of bash, or `None` after the time limit.
fn run_bash(paths: &Paths, namespace: &NsName, name: &str) -> Result<Option<String>> {
    mounts::separate()?;
    // The warnings about files that cannot be shown are dropped; `netnsctl run` prints them.
    mounts::mount_files(paths, namespace)?;
    let bash = Program::new(BASH).env_remove(&UNWANTED_VARIABLES).args(["-c", SCRIPT, "bash", name]);
    let bash = bash.env("LC_ALL", "C").env("RES_OPTIONS", "timeout:1 attempts:1");
    Ok(bash.run_within(TIMEOUT)?.map(|answer| escape::text(&answer.stderr)))
}

/// Derives the verdict from the stderr of bash. If the lookup fails, bash prints a line with the name and the error of the
/// library.
fn parse_output(output: &str, name: &str) -> AttemptEnd {
    let reason =
        output.lines().find_map(|line| line.split_once(&format!(": {name}: ")).map(|(_, reason)| reason));
    match reason {
        None => AttemptEnd::new(Verdict::Passes, None),
        Some(reason) if NOT_FOUND.contains(&reason) => AttemptEnd::new(Verdict::Refused, reason.to_owned()),
        Some(reason) => AttemptEnd::new(Verdict::Unanswered, reason.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_is_refused_and_a_failed_lookup_is_unanswered() {
        let verdict = |output: &str| parse_output(output, "a.test").verdict;
        assert_eq!(
            verdict(
                "bash: line 1: a.test: Name or service not known\nbash: line 1: /dev/udp/a.test/9: Invalid argument"
            ),
            Verdict::Refused
        );
        assert_eq!(
            verdict("bash: line 1: a.test: Temporary failure in name resolution\n"),
            Verdict::Unanswered
        );
        assert_eq!(
            verdict(
                "bash: connect: Network is unreachable\nbash: line 1: /dev/udp/a.test/9: Network is unreachable"
            ),
            Verdict::Passes
        );
        assert_eq!(verdict(""), Verdict::Passes);
    }
}
