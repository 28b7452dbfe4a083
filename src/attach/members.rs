//! Finds the processes of a unit by their network. systemd starts new processes in the namespace. Processes of an earlier
//! start keep their network.

use std::time::Duration;

use crate::netns::Id;
use crate::netns::processes::{self, GroupMember};
use crate::print::escape;
use crate::sys::wait::wait_until;
use crate::systemd::show::Properties;

/// Pause between two queries.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Maximum number of processes in a message.
const LISTED: usize = 5;

/// Finds the processes of a unit that have a thread in a wanted network, and are still there after the timeout. The timeout
/// is necessary because a new child of systemd enters the namespace only after a moment.
#[must_use]
pub fn members_in(
    properties: &Properties,
    timeout: Duration,
    is_wanted: &dyn Fn(Id) -> bool,
) -> Vec<GroupMember> {
    let read = || {
        let mut members = processes::of_group(properties.get("ControlGroup"));
        members.retain(|member| member.namespaces.iter().any(|id| is_wanted(*id)));
        members
    };
    let mut found = read();
    wait_until(timeout, POLL_INTERVAL, || {
        if !found.is_empty() {
            let now = read();
            found.retain(|member| now.iter().any(|other| other.pid == member.pid));
        }
        found.is_empty().then_some(())
    });
    found
}

/// Lists processes by pid and name, for a message.
#[must_use]
pub fn list_processes(members: &[GroupMember]) -> String {
    let one = |member: &GroupMember| format!("{} ({})", member.pid, escape::line(&member.name));
    let shown = members.iter().take(LISTED).map(one).collect::<Vec<_>>().join(", ");
    let more = members.len().saturating_sub(LISTED);
    let noun = if members.len() == 1 { "process" } else { "processes" };
    if more == 0 { format!("{noun} {shown}") } else { format!("{noun} {shown} and {more} more") }
}

/// Returns the commands that end the old processes of a unit, for a message.
#[must_use]
pub fn restart_commands(properties: &Properties) -> String {
    let unit = properties.id();
    let runs = properties.runs();
    let kill = format!("`systemctl kill {unit}` ends all processes of the unit");
    match properties.get("KillMode") {
        "process" | "none" if runs => {
            format!(
                "{kill} (with its KillMode=, a restart does not end them all); then `systemctl restart {unit}`"
            )
        }
        _ if runs => format!("`systemctl restart {unit}`"),
        _ => kill,
    }
}

/// Returns the commands that release the file descriptors that systemd stores for a unit (sd_pid_notify_with_fds(3)), for a
/// message.
#[must_use]
pub fn release_commands(unit: &str) -> String {
    format!(
        "`systemctl stop {unit}`, then `systemctl start {unit}`, releases them; with FileDescriptorStorePreserve=yes (systemd 254), run \
         `systemctl clean --what=fdstore {unit}` between the two"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_message_lists_at_most_five_processes_with_escaped_names() {
        let member = |pid| GroupMember {
            pid,
            name: "a\x1b[2J".to_owned(),
            namespaces: BTreeSet::new(),
            hidden: false,
        };
        assert_eq!(list_processes(&[member(1)]), "process 1 (a\\x1b[2J)");
        let all: Vec<GroupMember> = (1..=7).map(member).collect();
        assert!(
            list_processes(&all).starts_with("processes 1 (")
                && list_processes(&all).ends_with(" and 2 more")
        );
    }

    #[test]
    fn processes_that_survive_a_restart_are_killed_first() {
        let commands =
            |text: &str| restart_commands(&Properties::parse(&format!("Id=a.service\n{text}")).remove(0));
        assert_eq!(commands("ActiveState=active\nKillMode=control-group"), "`systemctl restart a.service`");
        assert!(commands("ActiveState=active\nKillMode=process").contains("`systemctl kill a.service`"));
        assert!(!commands("ActiveState=inactive\nKillMode=process").contains("restart"));
    }
}
