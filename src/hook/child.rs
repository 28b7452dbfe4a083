//! Runs a hook as a child of this process.

use std::env;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::sync::Arc;

use anyhow::{Context, Result};
use duct::{Expression, Handle, cmd};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{getpid, getppid};

use super::plan::{Planned, plan, skip};
use super::{Bash, Caller, Hook};
use crate::name::{Phase, Side};
use crate::netns::{self, Identity};
use crate::paths::{BASH, Paths};

/// The PATH of hooks. It is the PATH of units that systemd starts (`DEFAULT_PATH` in src/basic/path-util.h).
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts a hook, after a call of `before`, which is also before any object is removed. The hook prints to `log`. Returns `None` if
/// nothing is run.
/// Errors: [`plan`] or `before` fails, or the hook cannot be started.
pub fn start(
    paths: &Paths,
    hook: &Hook,
    caller: &Caller,
    log: File,
    ours: Option<&Identity>,
    before: impl FnOnce() -> Result<()>,
) -> Result<Option<Handle>> {
    let _inside = match hook.side {
        Side::Inside => Some(netns::enter(paths, &hook.instance.name)?),
        Side::Outside => None,
    };
    let what = || format!("cannot run {} {}", hook.phase, hook.side);
    // The plan of `down outside` already removes objects.
    let mut before = Some(before);
    if (hook.phase, hook.side) == (Phase::Down, Side::Outside) {
        before.take().map_or(Ok(()), |before| before())?;
    }
    let bash = match plan(paths, hook, caller, ours).with_context(what)? {
        Planned::Nothing => return skip(paths, hook).map(|()| None),
        Planned::Bash(bash) => bash,
    };
    before.map_or(Ok(()), |before| before())?;
    command(bash, environment(caller), log).start().with_context(what).map(Some)
}

fn command(bash: Bash, environment: Vec<(String, String)>, log: File) -> Expression {
    let arguments = bash.arguments.clone();
    let parent = getpid();
    let bash = Arc::new(bash);
    let command = cmd(BASH, arguments).dir("/").full_env(environment);
    let command = command.stdin_null().stderr_to_stdout().stdout_file(log).unchecked();
    command.before_spawn(move |command| {
        let bash = Arc::clone(&bash);
        command.process_group(0);
        #[allow(unsafe_code)] // these calls are safe after a fork (signal-safety(7))
        unsafe {
            command.pre_exec(move || {
                bash.hand_over()?;
                // No other process would end the hook. After one SIGTERM, the hook undoes its steps. But the kernel sends
                // the signal again when a further thread of this process ends, and a second signal may end bash immediately.
                prctl::set_pdeathsig(Signal::SIGTERM)?;
                if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
            });
        }
        Ok(())
    })
}

/// The environment of a hook. PATH contains the directory of this program, then the directories of [`PATH`]. The variables for
/// the language and the trace are copied from this process.
fn environment(caller: &Caller) -> Vec<(String, String)> {
    let own = caller.program.parent().map(|place| place.display().to_string()).unwrap_or_default();
    let mut environment = vec![("PATH".to_owned(), format!("{own}:{PATH}"))];
    for name in ["LANG", "LC_ALL", "NETNS_TRACE"] {
        environment.extend(env::var(name).ok().map(|value| (name.to_owned(), value)));
    }
    environment
}
