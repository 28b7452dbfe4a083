//! The command that a hook's bash waits for. A signal ends bash at once, and not that command, which may be in a system call that it
//! has to come back from first.

use std::os::unix::process::parent_id;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sys::process::{POLL_INTERVAL, Stat};
use crate::sys::wait::wait_until;

/// How long a command is waited for, unless whoever runs the hook has less time.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the command that the bash which has started this process waits for to end, with all that it has started, and returns
/// when they have, or that time is over. `jobs`: what `jobs -l` says in that bash.
pub fn end(jobs: &str, timeout: Duration) {
    let accepted = Instant::now();
    let listed = foreground(jobs);
    let processes = Stat::of_all();
    // What else stands in the text of a command is no child of that bash.
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
        // That it has ended by now is what is wanted.
        _ = kill(Pid::from_raw(one.pid), Signal::SIGTERM);
    }
    let left = timeout.saturating_sub(accepted.elapsed());
    wait_until(left, POLL_INTERVAL, || (!command.iter().any(Stat::runs)).then_some(()));
}

/// The numbers that may be those of its processes: it is the last job, and has no `&` behind it. The first stands behind the
/// number of the job, one for each further part of a pipe at the beginning of a line.
fn foreground(jobs: &str) -> Vec<i32> {
    let mut lines: Vec<&str> = jobs.lines().collect();
    let last = lines.iter().rposition(|line| behind_number(line).is_some());
    let Some(last) = last.filter(|_| !jobs.trim_end().ends_with(" &")) else { return Vec::new() };
    lines[last] = behind_number(lines[last]).unwrap_or_default();
    let pid = |line: &&str| {
        let text = line.trim_start_matches(|c: char| c.is_whitespace() || "+-".contains(c));
        text.split(' ').next()?.parse().ok()
    };
    lines[last..].iter().filter_map(pid).collect()
}

/// What stands behind `[NUMBER]`, where a line begins with that.
fn behind_number(line: &str) -> Option<&str> {
    let (number, rest) = line.strip_prefix('[')?.split_once(']')?;
    number.parse::<u32>().ok().map(|_| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_the_last_job_without_an_ampersand_with_each_part_of_its_pipe() {
        let behind = "[1]- 11 Running                 coproc COPROC cat &\n[2]+ 12 Running                 sleep 20 &\n";
        assert!(foreground(behind).is_empty());
        assert_eq!(foreground(&format!("{behind}[3]  13 Running                 sleep 3")), [13]);
        let pipe = "[3]  13 Running                 ( sleep 3; true )\n     14                       | { cat; cat; }";
        assert_eq!(foreground(&format!("{behind}{pipe}")), [13, 14]);
        assert_eq!(foreground("[10]+ 13 Running                 ip link"), [13]);
    }

    #[test]
    fn whatever_else_is_listed_names_no_process() {
        for jobs in ["", "\n", "[", "[]", "[1]", "[1]+  Done   x", "x 1", "[[ 1 ]]"] {
            assert!(foreground(jobs).is_empty(), "{jobs}");
        }
    }
}
