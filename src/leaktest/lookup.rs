//! A name, asked for in the namespace with its files of /etc, by the C library of this machine: in a process of its own, since the
//! library keeps what it has read.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{Outcome, Verdict, asked};
use crate::bash::UNWANTED;
use crate::name::NsName;
use crate::paths::{BASH, Paths};
use crate::print::escape;

/// How long the library may take: it may ask several servers, each for a second.
const PATIENCE: Duration = Duration::from_secs(5);

/// bash looks the name up; connecting by UDP sends nothing (bash(1), "REDIRECTION").
/// Without the first line nobody has looked anything up.
const SCRIPT: &str = r#"echo begun >&2; exec 3<>"/dev/udp/$1/9""#;

/// The words of gai_strerror(3) for names that whoever was asked does not know, or has no address for.
const UNKNOWN: [&str; 2] = ["Name or service not known", "No address associated with hostname"];

/// Asks for a name.
pub(super) fn resolve(paths: &Paths, namespace: &NsName, name: &str) -> Outcome {
    let outcome = match ask(namespace, name) {
        Ok(Some(said)) if !said.lines().any(|line| line == "begun") => {
            Outcome::new(Verdict::Blocked, format!("cannot be asked for: {}", escape::line(said.trim())))
        }
        Ok(Some(said)) => judge(&said, name),
        Ok(None) => Outcome::new(Verdict::Unanswered, "it takes too long".to_owned()),
        Err(error) => Outcome::new(Verdict::Blocked, format!("cannot be asked for: {error}")),
    };
    let whom = asked::whom(paths, namespace);
    let detail = outcome.detail.into_iter().chain(whom).collect::<Vec<_>>().join("; ");
    Outcome { verdict: outcome.verdict, detail: Some(detail).filter(|detail| !detail.is_empty()) }
}

/// What bash says of it; `None` where it does not come to an end.
fn ask(namespace: &NsName, name: &str) -> std::io::Result<Option<String>> {
    let mut command = Command::new("/proc/self/exe");
    for name in UNWANTED {
        command.env_remove(name);
    }
    let mut child = command
        .arg0("netnsctl")
        .args(["run", namespace.as_ref(), "--", BASH, "-c", SCRIPT, "bash", name])
        .env("LC_ALL", "C")
        .env("RES_OPTIONS", "timeout:1 attempts:1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let end = Instant::now() + PATIENCE;
    while child.try_wait()?.is_none() {
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
    let mut said = Vec::new();
    child.stderr.take().map_or(Ok(0), |mut stderr| stderr.read_to_end(&mut said))?;
    Ok(Some(escape::text(&said)))
}

/// What bash says has the name and the library's reason, unless there is an address.
fn judge(said: &str, name: &str) -> Outcome {
    let reason =
        said.lines().find_map(|line| line.split_once(&format!(": {name}: ")).map(|(_, reason)| reason));
    match reason {
        None => Outcome::new(Verdict::Passes, None),
        Some(reason) if UNKNOWN.contains(&reason) => Outcome::new(Verdict::Refused, reason.to_owned()),
        Some(reason) => Outcome::new(Verdict::Unanswered, reason.to_owned()),
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
