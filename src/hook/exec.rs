//! The bash of a hook: its wrapper in an anonymous file, and its arguments.

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
use crate::sys::package;

/// The bash command of a hook. The wrapper is in an anonymous file, so `ps` shows the arguments of the hook, and not a long text.
#[derive(Debug)]
pub struct Bash {
    /// The file. It is closed on exec until [`hand_over`](Self::hand_over), because other threads can start processes too.
    script: File,
    /// The arguments after the name of the program.
    pub arguments: [String; 5],
}

impl Bash {
    pub(super) fn of(hook: &Hook, wrapper: &str) -> Result<Self> {
        let mut script = in_memory(b"").context("cannot create a file in memory")?;
        let descriptor = script.as_raw_fd();
        // The first line closes the descriptor, so that the hook does not inherit it. bash itself has opened the file again.
        script
            .write_all(format!("exec {descriptor}<&-\n{wrapper}").as_bytes())
            .context("cannot write the wrapper")?;
        let Hook { instance, phase, side, .. } = hook;
        let arguments = [
            format!("/proc/self/fd/{descriptor}"),
            instance.nstype.to_string(),
            instance.name.to_string(),
            phase.to_string(),
            side.to_string(),
        ];
        Ok(Self { script, arguments })
    }

    /// Makes the wrapper inheritable by the program that this process executes. The call is safe after a fork (signal-safety(7)).
    /// Errors: the kernel refuses.
    pub fn hand_over(&self) -> nix::Result<()> {
        fcntl(&self.script, FcntlArg::F_SETFD(FdFlag::empty())).map(drop)
    }

    /// Replaces this process by bash. `std::process::Command` is not used: it resets the disposition of SIGPIPE, which the hook must
    /// find unchanged.
    pub(super) fn exec(&self) -> Result<std::convert::Infallible> {
        let argument = |text: &str| CString::new(text).expect("an argument has no NUL");
        let arguments: Vec<CString> =
            [BASH].into_iter().chain(self.arguments.iter().map(String::as_str)).map(argument).collect();
        self.hand_over().context("cannot pass the wrapper to bash")?;
        let Err(error) = execve(&arguments[0], &arguments, &environment());
        Err(match error {
            Errno::ENOENT => {
                anyhow!("cannot start {BASH}: it is not installed; {}", package::hint("bash"))
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
