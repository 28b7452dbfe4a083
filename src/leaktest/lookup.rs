//! A name, asked for in the namespace with its files of /etc, by the C library of this machine: in a process of its own, since the
//! library keeps what it has read. The program itself is linked statically, and may have another library.

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

/// How long the library may take: it may ask several servers, each for a second.
const TIMEOUT: Duration = Duration::from_secs(5);

/// bash looks the name up; connecting by UDP sends nothing (bash(1), "REDIRECTION").
/// Without the first line nobody has looked anything up.
const SCRIPT: &str = r#"echo begun >&2; exec 3<>"/dev/udp/$1/9""#;

/// The words of gai_strerror(3) for names that whoever was asked does not know, or has no address for.
const UNKNOWN: [&str; 2] = ["Name or service not known", "No address associated with hostname"];

/// Asks for a name. The thread gets mounts of its own, so it can be used for nothing else afterwards.
pub(super) fn resolve(paths: &Paths, namespace: &NsName, name: &str) -> AttemptEnd {
    // Before this thread sees other files than the host.
    let whom = resolvers::whom(paths, namespace);
    let answer = match ask(paths, namespace, name) {
        Ok(Some(said)) if !said.lines().any(|line| line == "begun") => cannot(escape::line(said.trim())),
        Ok(Some(said)) => judge(&said, name),
        Ok(None) => AttemptEnd::new(Verdict::Unanswered, "it takes too long".to_owned()),
        Err(error) => cannot(format!("{error:#}")),
    };
    let detail = answer.detail.into_iter().chain(whom).collect::<Vec<_>>().join("; ");
    AttemptEnd { verdict: answer.verdict, detail: Some(detail).filter(|detail| !detail.is_empty()) }
}

fn cannot(reason: impl fmt::Display) -> AttemptEnd {
    AttemptEnd::new(Verdict::Blocked, format!("cannot be asked for: {reason}"))
}

/// What bash says of it; `None` where it does not come to an end.
fn ask(paths: &Paths, namespace: &NsName, name: &str) -> Result<Option<String>> {
    mounts::separate()?;
    // Which files are left out, `netnsctl run` tells.
    mounts::show_own_files(paths, namespace)?;
    let bash = Program::new(BASH).env_remove(&UNWANTED_VARIABLES).args(["-c", SCRIPT, "bash", name]);
    let bash = bash.env("LC_ALL", "C").env("RES_OPTIONS", "timeout:1 attempts:1");
    Ok(bash.run_within(TIMEOUT)?.map(|answer| escape::text(&answer.stderr)))
}

/// What bash says has the name and the library's reason, unless there is an address.
fn judge(said: &str, name: &str) -> AttemptEnd {
    let reason =
        said.lines().find_map(|line| line.split_once(&format!(": {name}: ")).map(|(_, reason)| reason));
    match reason {
        None => AttemptEnd::new(Verdict::Passes, None),
        Some(reason) if UNKNOWN.contains(&reason) => AttemptEnd::new(Verdict::Refused, reason.to_owned()),
        Some(reason) => AttemptEnd::new(Verdict::Unanswered, reason.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_told_from_what_is_not_answered() {
        let verdict = |said: &str| judge(said, "a.test").verdict;
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
