//! Reports units of user managers with a `NetworkNamespacePath=`. A user manager may not enter a namespace, and starts such a
//! unit in its own network (systemd.exec(5)).
//!
//! The manager belongs to the user and can be hostile, so its answer may be missing or wrong. A process of the same user sends the
//! query, without a terminal and with a timeout. Each part of the answer is checked.

use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::geteuid;

use super::Finding;
use crate::attach::ServiceUnit;
use crate::print::escape;
use crate::sys::parallel::parallel;
use crate::systemd::show::Properties;

/// The timeout of a query, and the maximum size of an answer in bytes.
const TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_MAX: usize = 4 << 20;
/// The maximum numbers of units and of findings for each user.
const UNITS_MAX: usize = 4096;
const FINDINGS_MAX: usize = 20;
/// The maximum length of a value in a message, in characters.
const VALUE_MAX: usize = 200;

/// The user manager of a logged-in or lingering user.
struct Manager {
    user: u32,
    /// The `NetworkNamespacePath=` of the manager itself.
    network: String,
}

/// Checks the units of all users except root, whose manager may enter namespaces.
pub(super) fn check() -> Result<Vec<Finding>> {
    let me = geteuid();
    let running = Properties::of("ActiveState,NetworkNamespacePath", ["user@*.service"])?;
    let managers = running.iter().filter(|one| one.get("ActiveState") == "active").filter_map(|one| {
        let user = one.id().strip_prefix("user@")?.strip_suffix(".service")?.parse().ok()?;
        Some(Manager { user, network: one.get("NetworkNamespacePath").to_owned() })
    });
    // Another user than root can only query their own manager.
    let queried = managers.filter(|one| one.user != 0 && (me.is_root() || me.as_raw() == one.user));
    let findings = parallel(queried.collect(), |manager| match manager.units() {
        Ok(units) => manager.findings(&units),
        Err(error) => vec![
            Finding::warning(format!("cannot check the units of user {}: {error:#}", manager.user))
                .advice(format!("`systemctl status user@{}.service`", manager.user)),
        ],
    });
    Ok(findings.into_iter().flatten().collect())
}

impl Manager {
    /// Queries the services and sockets that are loaded or have a file.
    fn units(&self) -> Result<Vec<Properties>> {
        let list = ["list-unit-files", "--type=service,socket", "--full", "--no-legend", "--no-pager"];
        let files = self.query(list.iter().map(ToString::to_string))?;
        let units = files.lines().filter_map(|line| line.split_whitespace().next());
        let names = units
            .filter_map(|unit| unit.parse::<ServiceUnit>().ok())
            .map(|unit| unit.sample())
            .take(UNITS_MAX);
        let show =
            ["show", "--no-pager", "--property=Id,NetworkNamespacePath", "--", "*.service", "*.socket"];
        Ok(Properties::parse(&self.query(show.iter().map(ToString::to_string).chain(names))?))
    }

    fn findings(&self, units: &[Properties]) -> Vec<Finding> {
        let user = self.user;
        let mut ignored: Vec<(&str, &str)> = units
            .iter()
            .map(|unit| (unit.id(), unit.get("NetworkNamespacePath")))
            .filter(|(id, wanted)| {
                !wanted.is_empty() && *wanted != self.network && id.parse::<ServiceUnit>().is_ok()
            })
            .collect();
        ignored.sort_unstable();
        ignored.dedup();
        let more = ignored.len().saturating_sub(FINDINGS_MAX);
        let network =
            if self.network.is_empty() { "the host's network" } else { "the network of the manager" };
        let finding = |(id, wanted): &(&str, &str)| {
            let wanted: String = wanted.chars().take(VALUE_MAX).collect();
            Finding::error(format!(
                "the unit `{}` of user {user} runs in {network}: the user manager ignores NetworkNamespacePath={}",
                ServiceUnit::template_of_sample(id),
                escape::line(&wanted)
            ))
            .advice(format!(
                "`netnsctl attach user@{user}.service TYPE@NAME` puts the manager with all units of the user into a namespace"
            ))
        };
        let mut findings: Vec<Finding> = ignored.iter().take(FINDINGS_MAX).map(finding).collect();
        if more > 0 {
            findings.push(Finding::error(format!(
                "{more} more units of user {user} have an ignored NetworkNamespacePath="
            )));
        }
        findings
    }

    /// Runs `systemctl --user` as the user.
    fn query(&self, arguments: impl Iterator<Item = String>) -> Result<String> {
        let runtime = format!("/run/user/{}", self.user);
        let found = fs::symlink_metadata(&runtime).with_context(|| format!("cannot read {runtime}"))?;
        ensure!(found.is_dir() && found.uid() == self.user, "{runtime} does not belong to the user");
        // A new session has no terminal, so the user cannot inject input.
        let mut command = Command::new("setsid");
        command.args(["--wait", "timeout", "--kill-after=1", &TIMEOUT.as_secs().to_string()]);
        if geteuid().is_root() {
            let (user, group) = (format!("--reuid={}", self.user), format!("--regid={}", found.gid()));
            command.args(["setpriv", &user, &group, "--clear-groups", "--no-new-privs"]);
        }
        command.args(["systemctl", "--user"]).args(arguments);
        command
            .env_clear()
            .env("XDG_RUNTIME_DIR", &runtime)
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        let mut child = command
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run setsid")?;
        let answer = read(child.stdout.take().context("no output")?, TIMEOUT + Duration::from_secs(2));
        // The process has exited, or timeout(1) kills it.
        let status = child.wait().context("cannot wait for systemctl")?;
        let answer = answer?;
        ensure!(status.success(), "`systemctl --user` failed ({status})");
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// Reads a pipe to its end. Fails after `limit`, because another process can keep the pipe open.
fn read(mut output: ChildStdout, limit: Duration) -> Result<Vec<u8>> {
    let end = Instant::now() + limit;
    let mut answer = Vec::new();
    let mut part = [0; 8 << 10];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
        let ready = poll(&mut [PollFd::new(output.as_fd(), PollFlags::POLLIN)], timeout);
        if ready == Ok(0) {
            bail!("no answer within {} seconds", limit.as_secs());
        }
        ready.context("cannot wait for an answer")?;
        let count = output.read(&mut part).context("cannot read the answer")?;
        if count == 0 {
            return Ok(answer);
        }
        answer.extend_from_slice(&part[..count]);
        ensure!(
            answer.len() <= ANSWER_MAX,
            "the answer of the user manager is longer than {ANSWER_MAX} bytes"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(network: &str, listing: &str) -> Vec<String> {
        let manager = Manager { user: 1000, network: network.to_owned() };
        manager.findings(&Properties::parse(listing)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_unit_with_an_ignored_setting_is_reported_once() {
        let listing = "Id=a.service\nNetworkNamespacePath=/run/netns/a\n\nId=b.service\nNetworkNamespacePath=\n\n\
                       Id=a.service\nNetworkNamespacePath=/run/netns/a\n";
        let all = found("", listing);
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(
            all[0].contains("`a.service` of user 1000 runs in the host's network")
                && all[0].contains("attach user@1000.service")
        );
        assert_eq!(found("/run/netns/a", listing), Vec::<String>::new());
        assert!(found("/run/netns/b", listing)[0].contains("runs in the network of the manager"));
    }

    #[test]
    fn the_answer_of_a_hostile_manager_is_escaped_and_limited() {
        let all = found(
            "",
            "Id=a.service\nNetworkNamespacePath=/\x1b[2J\r\n\nId=\x1b[2J.service\nNetworkNamespacePath=/x\n",
        );
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(!all[0].chars().any(char::is_control), "{all:?}");
        let many: Vec<String> = (0..1000)
            .map(|n| format!("Id=n{n}.service\nNetworkNamespacePath=/{}", "x".repeat(9999)))
            .collect();
        let many = many.join("\n\n");
        let all = found("", &many);
        assert_eq!(all.len(), FINDINGS_MAX + 1);
        assert!(all.iter().all(|line| line.len() < 600));
    }

    #[test]
    fn a_process_that_keeps_the_pipe_open_does_not_block_the_check() {
        let mut child = Command::new("sleep").arg("60").stdout(Stdio::piped()).spawn().unwrap();
        let answer = read(child.stdout.take().unwrap(), Duration::from_millis(50));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(answer.unwrap_err().to_string().starts_with("no answer within"));
    }
}
