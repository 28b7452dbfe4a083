//! The foreground command of a hook's bash. A signal ends bash immediately, but not the command, which may be in a system call that
//! must return first.

use std::os::unix::process::parent_id;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sys::process::{POLL_INTERVAL, Stat};
use crate::sys::wait::wait_until;

/// How long the hook waits for the end of the command. The caller of the hook can set a shorter time.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends SIGTERM to the foreground command of the parent bash, and to its descendants. Waits for their end. `jobs` is the output of
/// `jobs -l` in this bash.
pub fn end(jobs: &str, timeout: Duration) {
    let start = Instant::now();
    let listed = foreground(jobs);
    let processes = Stat::of_all();
    // A number in the text of a command is not the ID of a child of bash.
    let bash = i32::try_from(parent_id()).ok();
    let mut command: Vec<Stat> = processes
        .iter()
        .filter(|process| Some(process.parent) == bash && listed.contains(&process.pid))
        .copied()
        .collect();
    let mut index = 0;
    while let Some(parent) = command.get(index).copied() {
        let is_new_child = |process: &&Stat| {
            process.parent == parent.pid && command.iter().all(|known| known.pid != process.pid)
        };
        let children: Vec<Stat> = processes.iter().filter(is_new_child).copied().collect();
        command.extend(children);
        index += 1;
    }
    for process in command.iter().filter(|process| process.runs()) {
        // The process may have ended already.
        _ = kill(Pid::from_raw(process.pid), Signal::SIGTERM);
    }
    let remaining = timeout.saturating_sub(start.elapsed());
    wait_until(remaining, POLL_INTERVAL, || (!command.iter().any(Stat::runs)).then_some(()));
}

/// The possible process IDs of the foreground command, which is the last job in the list. If the list ends with `&`, the last
/// job is in the background, and there is no foreground command.
fn foreground(jobs: &str) -> Vec<i32> {
    // The first ID comes after the number of the job. Each further part of a pipe has its own line, which begins with the ID.
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
        let background = "[1]- 11 Running                 coproc COPROC cat &\n[2]+ 12 Running                 sleep 20 &\n";
        assert!(foreground(background).is_empty());
        assert_eq!(foreground(&format!("{background}[3]  13 Running                 sleep 3")), [13]);
        let pipe = "[3]  13 Running                 ( sleep 3; true )\n     14                       | { cat; cat; }";
        assert_eq!(foreground(&format!("{background}{pipe}")), [13, 14]);
        assert_eq!(foreground("[10]+ 13 Running                 ip link"), [13]);
    }

    #[test]
    fn other_lines_contain_no_process() {
        for jobs in ["", "\n", "[", "[]", "[1]", "[1]+  Done   x", "x 1", "[[ 1 ]]"] {
            assert!(foreground(jobs).is_empty(), "{jobs}");
        }
    }
}
