//! The foreground command of a hook's bash. A signal ends bash immediately, but the command may be in a system call that must return
//! first.

use std::os::unix::process::parent_id;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sys::process::{POLL_INTERVAL, Stat};
use crate::sys::wait::wait_until;

/// The time to wait for a command, unless the caller of the hook has less time.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Ends the foreground command of the parent bash, with its children. Returns after their end, or after `timeout`. `jobs` is
/// the output of `jobs -l`.
pub fn end(jobs: &str, timeout: Duration) {
    let accepted = Instant::now();
    let listed = foreground(jobs);
    let processes = Stat::of_all();
    // Other numbers in the text of a command are not children of that bash.
    let bash = i32::try_from(parent_id()).ok();
    let mut command: Vec<Stat> = processes
        .iter()
        .filter(|one| Some(one.parent) == bash && listed.contains(&one.pid))
        .copied()
        .collect();
    let mut at = 0;
    while let Some(one) = command.get(at).copied() {
        let new =
            |other: &&Stat| other.parent == one.pid && command.iter().all(|known| known.pid != other.pid);
        let children: Vec<Stat> = processes.iter().filter(new).copied().collect();
        command.extend(children);
        at += 1;
    }
    for one in command.iter().filter(|one| one.runs()) {
        // The process may have ended already.
        _ = kill(Pid::from_raw(one.pid), Signal::SIGTERM);
    }
    let left = timeout.saturating_sub(accepted.elapsed());
    wait_until(left, POLL_INTERVAL, || (!command.iter().any(Stat::runs)).then_some(()));
}

/// The possible process IDs of the foreground command: the last job, without a `&` at its end. The first ID comes after the number
/// of the job. Each further part of a pipe has its ID at the beginning of a line.
fn foreground(jobs: &str) -> Vec<i32> {
    let mut lines: Vec<&str> = jobs.lines().collect();
    let last = lines.iter().rposition(|line| after_job_number(line).is_some());
    let Some(last) = last.filter(|_| !jobs.trim_end().ends_with(" &")) else { return Vec::new() };
    lines[last] = after_job_number(lines[last]).unwrap_or_default();
    let pid = |line: &&str| {
        let text = line.trim_start_matches(|c: char| c.is_whitespace() || "+-".contains(c));
        text.split(' ').next()?.parse().ok()
    };
    lines[last..].iter().filter_map(pid).collect()
}

/// The text after `[NUMBER]` at the beginning of a line.
fn after_job_number(line: &str) -> Option<&str> {
    let (number, rest) = line.strip_prefix('[')?.split_once(']')?;
    number.parse::<u32>().ok().map(|_| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_foreground_command_is_the_last_job_without_an_ampersand_with_each_part_of_its_pipe() {
        let behind = "[1]- 11 Running                 coproc COPROC cat &\n[2]+ 12 Running                 sleep 20 &\n";
        assert!(foreground(behind).is_empty());
        assert_eq!(foreground(&format!("{behind}[3]  13 Running                 sleep 3")), [13]);
        let pipe = "[3]  13 Running                 ( sleep 3; true )\n     14                       | { cat; cat; }";
        assert_eq!(foreground(&format!("{behind}{pipe}")), [13, 14]);
        assert_eq!(foreground("[10]+ 13 Running                 ip link"), [13]);
    }

    #[test]
    fn other_lines_of_the_list_have_no_process() {
        for jobs in ["", "\n", "[", "[]", "[1]", "[1]+  Done   x", "x 1", "[[ 1 ]]"] {
            assert!(foreground(jobs).is_empty(), "{jobs}");
        }
    }
}
