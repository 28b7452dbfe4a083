//! The processes of a unit, by the network that each of them is in. systemd puts the processes that it starts into the
//! namespace; those that an earlier start has left keep the network they had.

use std::time::Duration;

use crate::netns::Id;
use crate::netns::processes::{self, GroupMember};
use crate::print::escape;
use crate::sys::wait::wait_until;
use crate::systemd::show::Properties;

/// Pause between two looks.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How many processes a message lists.
const LISTED: usize = 5;

/// The processes of a unit that have a thread in a network, and still have it there after `patience`: systemd's own child is in the
/// host's network for a moment, before it enters the namespace.
#[must_use]
pub fn members_in(
    properties: &Properties,
    timeout: Duration,
    is_meant: &dyn Fn(Id) -> bool,
) -> Vec<GroupMember> {
    let look = || {
        let mut members = processes::of_group(properties.get("ControlGroup"));
        members.retain(|member| member.namespaces.iter().any(|id| is_meant(*id)));
        members
    };
    let mut found = look();
    wait_until(timeout, POLL_INTERVAL, || {
        if !found.is_empty() {
            let now = look();
            found.retain(|member| now.iter().any(|other| other.pid == member.pid));
        }
        found.is_empty().then_some(())
    });
    found
}

/// Processes by pid and name, for a message.
#[must_use]
pub fn listed(members: &[GroupMember]) -> String {
    let one = |member: &GroupMember| format!("{} ({})", member.pid, escape::line(&member.name));
    let shown = members.iter().take(LISTED).map(one).collect::<Vec<_>>().join(", ");
    let more = members.len().saturating_sub(LISTED);
    let what = if members.len() == 1 { "process" } else { "processes" };
    if more == 0 { format!("{what} {shown}") } else { format!("{what} {shown} and {more} more") }
}

/// The commands that end the old processes of a unit.
#[must_use]
pub fn renewal(properties: &Properties) -> String {
    let unit = properties.id();
    let runs = properties.runs();
    let kill = format!("`systemctl kill {unit}` ends all processes of the unit");
    match properties.get("KillMode") {
        "process" | "none" if runs => {
            format!("{kill}, which its KillMode= does not; then `systemctl restart {unit}`")
        }
        _ if runs => format!("`systemctl restart {unit}`"),
        _ => kill,
    }
}

/// What systemd stores for a unit (sd_pid_notify_with_fds(3)), and the commands that release it.
#[must_use]
pub fn release(unit: &str) -> String {
    format!(
        "`systemctl stop {unit}`, then `systemctl start {unit}` releases them; with FileDescriptorStorePreserve=yes (systemd 254), \
         `systemctl clean --what=fdstore {unit}` in between"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_message_lists_some_processes_with_safe_names() {
        let member = |pid| GroupMember {
            pid,
            name: "a\x1b[2J".to_owned(),
            namespaces: BTreeSet::new(),
            hidden: false,
        };
        assert_eq!(listed(&[member(1)]), "process 1 (a\\x1b[2J)");
        let all: Vec<GroupMember> = (1..=7).map(member).collect();
        assert!(listed(&all).starts_with("processes 1 (") && listed(&all).ends_with(" and 2 more"));
    }

    #[test]
    fn processes_that_a_restart_leaves_are_killed_first() {
        let renewal = |text: &str| renewal(&Properties::parse(&format!("Id=a.service\n{text}")).remove(0));
        assert_eq!(renewal("ActiveState=active\nKillMode=control-group"), "`systemctl restart a.service`");
        assert!(renewal("ActiveState=active\nKillMode=process").contains("`systemctl kill a.service`"));
        assert!(!renewal("ActiveState=inactive\nKillMode=process").contains("restart"));
    }
}
