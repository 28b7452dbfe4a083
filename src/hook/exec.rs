//! The bash of a hook: its wrapper in a file without a name, and its words.

use std::env;
use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::execve;

use super::Hook;
use crate::bash::UNWANTED_VARIABLES;
use crate::paths::BASH;
use crate::sys::file::in_memory;

/// The command of a hook. `ps` shows the hook's words instead of a wall of text, as the wrapper stands in a file without a
/// name.
#[derive(Debug)]
pub struct Bash {
    /// Closed on exec, until [`hand_over`](Self::hand_over): other threads may start processes, too.
    script: File,
    /// What stands behind the name of the program.
    pub words: [String; 5],
}

impl Bash {
    pub(super) fn of(hook: &Hook, wrapper: &str) -> Result<Self> {
        let mut script = in_memory(b"").context("cannot create a file in memory")?;
        let descriptor = script.as_raw_fd();
        // The hook does not inherit it: bash has opened the file anew by the time that it reads this line.
        script
            .write_all(format!("exec {descriptor}<&-\n{wrapper}").as_bytes())
            .context("cannot write the wrapper")?;
        let Hook { instance, phase, side, .. } = hook;
        let words = [
            format!("/proc/self/fd/{descriptor}"),
            instance.nstype.to_string(),
            instance.name.to_string(),
            phase.to_string(),
            side.to_string(),
        ];
        Ok(Self { script, words })
    }

    /// Lets the program that this process becomes have the wrapper. What it calls is safe after a fork
    /// (signal-safety(7)).
    /// Errors: the kernel refuses.
    pub fn hand_over(&self) -> nix::Result<()> {
        fcntl(&self.script, FcntlArg::F_SETFD(FdFlag::empty())).map(drop)
    }

    /// Executes it. `std::process::Command` is not used: it sets SIGPIPE back to its default, which the hook is to find as
    /// it was.
    pub(super) fn exec(&self) -> Result<std::convert::Infallible> {
        let word = |word: &str| CString::new(word).expect("no word has a NUL");
        let words: Vec<CString> =
            [BASH].into_iter().chain(self.words.iter().map(String::as_str)).map(word).collect();
        self.hand_over().context("cannot pass the wrapper on")?;
        let Err(error) = execve(&words[0], &words, &environment());
        Err(match error {
            Errno::ENOENT => {
                anyhow!(
                    "cannot start {BASH}: it is not installed; hooks are bash, on Debian the package `bash`"
                )
            }
            Errno::EACCES => anyhow!("cannot start {BASH}: permission denied"),
            other => anyhow!("cannot start {BASH}: {}", other.desc()),
        })
    }
}

fn environment() -> Vec<CString> {
    env::vars_os()
        .filter(|(name, _)| {
            !UNWANTED_VARIABLES.iter().any(|unwanted| name == unwanted)
                && !name.as_encoded_bytes().starts_with(b"__netns_")
        })
        .filter_map(|(mut pair, value)| {
            pair.push("=");
            pair.push(value);
            CString::new(pair.into_vec()).ok()
        })
        .collect()
}
