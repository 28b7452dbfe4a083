//! The process of a bash that answers a question.

use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use duct::cmd;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::UNWANTED;
use crate::paths::BASH;

/// How long reading the files of an instance may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Runs bash text with these words, in the namespace of this thread; what it prints is kept, and what it has started and left is
/// ended.
///
/// # Errors
/// bash cannot be run, or does not come to an end.
pub(super) fn run(text: &str, words: &[&str]) -> Result<Output> {
    // Files, as whatever is left in the background would keep a pipe open; without names, so that none is left of a kill.
    let file = || tempfile::tempfile().context("cannot create a temporary file");
    let mut script = file()?;
    script.write_all(text.as_bytes()).context("cannot write a temporary file")?;
    let (mut stdout, mut stderr) = (file()?, file()?);
    let (out, err) = (stdout.try_clone()?, stderr.try_clone()?);
    let place = format!("/proc/{}/fd/{}", std::process::id(), script.as_raw_fd());
    let bash = cmd(BASH, [place.as_str()].iter().chain(words)).stdin_null().stdout_file(out).stderr_file(err);
    let handle = UNWANTED
        .iter()
        .fold(bash, |bash, name| bash.env_remove(name))
        .unchecked()
        .before_spawn(|command| {
            command.process_group(0);
            Ok(())
        })
        .start()
        .with_context(|| format!("cannot run {BASH}"))?;
    let ended = handle
        .wait_timeout(TIME_LIMIT)
        .with_context(|| format!("cannot wait for {BASH}"))?
        .map(|output| output.status);
    if let Some(pid) = handle.pids().first().and_then(|&pid| i32::try_from(pid).ok()) {
        // That the group is gone by now is what is wanted.
        _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let Some(status) = ended else {
        handle.wait().with_context(|| format!("cannot end {BASH}"))?;
        bail!("no end was reached in {} seconds", TIME_LIMIT.as_secs())
    };
    let mut output = Output { status, stdout: Vec::new(), stderr: Vec::new() };
    for (file, text) in [(&mut stdout, &mut output.stdout), (&mut stderr, &mut output.stderr)] {
        file.rewind().and_then(|()| file.read_to_end(text)).context("cannot read what bash has printed")?;
    }
    Ok(output)
}
