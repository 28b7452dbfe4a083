//! Runs one hook: checks, writes the wrapper, and becomes bash.

use std::env;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::{execve, getppid};

use crate::layers::Layers;
use crate::name::{Instance, NsName, NsType, Phase, Side};
use crate::netns::{self, Whereabouts};
use crate::paths::{BASH, Paths};
use crate::wrapper::{Hook, wrapper};

/// What would change how bash reads the wrapper (bash(1), "Shell Variables" and "INVOCATION").
const UNWANTED: [&str; 8] =
    ["BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "POSIXLY_CORRECT", "PS4", "BASH_XTRACEFD", PARENT];

/// Environment variable that names the process which runs this hook and waits for it: the direct engine.
pub const PARENT: &str = "NETNS_PARENT";

/// Takes the words `TYPE NAME [EXTRA ...] up|down outside|inside`.
///
/// # Errors
/// Says which word is wrong and what is allowed.
pub fn parse(words: &[OsString]) -> Result<Hook> {
    let [nstype, name, extra @ .., phase, side] = words else {
        bail!("{} words where at least four are needed: TYPE NAME up|down outside|inside", words.len());
    };
    Ok(Hook {
        instance: Instance { nstype: NsType::new(nstype)?, name: NsName::new(name)? },
        phase: Phase::new(phase)?,
        side: Side::new(side)?,
        extra: extra.to_vec(),
    })
}

/// Has this process, and the hook that it becomes, end with the one that waits for it, if there is one: nobody else would
/// know of it. `SIGTERM` lets the hook undo its steps.
///
/// # Errors
/// That one is gone already.
pub fn tie_to_parent() -> Result<()> {
    let Some(parent) = env::var_os(PARENT) else { return Ok(()) };
    prctl::set_pdeathsig(Signal::SIGTERM).context("cannot tie the hook to the process that runs it")?;
    ensure!(
        parent == getppid().to_string().as_str(),
        "process {} is gone, which wanted this hook",
        parent.to_string_lossy()
    );
    Ok(())
}

/// The wrapper of a hook that is not run now.
///
/// # Errors
/// See [`Layers::of`].
pub fn print(paths: &Paths, hook: &Hook, trace: bool) -> Result<String> {
    let whereabouts = match hook.side {
        Side::Outside => None,
        Side::Inside => Some(Whereabouts::expected(paths, &hook.instance.name)),
    };
    let layers = Layers::of(paths, &hook.instance, hook.phase)?;
    Ok(wrapper(paths, hook, &layers, whereabouts.as_ref(), &program()?, trace))
}

/// Runs a hook in this very process. It returns only if it could not.
///
/// # Errors
/// The wrong namespace, an unusable layer, or no bash. Nothing has been run then.
pub fn run(paths: &Paths, hook: &Hook, trace: bool) -> Result<std::convert::Infallible> {
    let whereabouts = match hook.side {
        Side::Outside => None,
        Side::Inside => Some(netns::check_inside(paths, &hook.instance.name, hook.phase)?),
    };
    let layers = Layers::of(paths, &hook.instance, hook.phase)?;
    become_bash(hook, &wrapper(paths, hook, &layers, whereabouts.as_ref(), &program()?, trace))
}

/// netnsinit's own path: the links to the one binary lie beside it.
fn program() -> Result<PathBuf> {
    let binary = env::current_exe().context("cannot tell the path of this program")?;
    let called = env::args_os().next().map(PathBuf::from);
    Ok(called
        .as_ref()
        .and_then(|path| path.file_name())
        .map_or(binary.clone(), |name| binary.with_file_name(name)))
}

/// Executes bash on the wrapper. `ps` shows the hook's words instead of a wall of text, as the wrapper stands in a
/// file without a name. `std::process::Command` is not used: it sets SIGPIPE back to its default, which the hook is
/// to find as it was.
fn become_bash(hook: &Hook, wrapper: &str) -> Result<std::convert::Infallible> {
    let mut file: File =
        memfd_create(c"netnsinit", MFdFlags::empty()).context("cannot create a file in memory")?.into();
    // The hook does not inherit it: bash has opened the file anew by the time that it reads this line.
    write!(file, "exec {}<&-\n{wrapper}", file.as_raw_fd()).context("cannot write the wrapper")?;

    let Hook { instance, phase, side, .. } = hook;
    let script = format!("/proc/self/fd/{}", file.into_raw_fd());
    let args =
        [BASH, &script, instance.nstype.as_ref(), instance.name.as_ref(), phase.as_ref(), side.as_ref()]
            .map(|word| CString::new(word).expect("no word has a NUL"));
    let bash = args[0].clone();
    let Err(error) = execve(&bash, &args, &environment());
    Err(match error {
        Errno::ENOENT => {
            anyhow!("cannot start {BASH}: it is not installed; hooks are bash, on Debian the package `bash`")
        }
        Errno::EACCES => anyhow!("cannot start {BASH}: permission denied"),
        other => anyhow!("cannot start {BASH}: {}", other.desc()),
    })
}

fn environment() -> Vec<CString> {
    env::vars_os()
        .filter(|(name, _)| !UNWANTED.iter().any(|unwanted| name == unwanted))
        .filter_map(|(mut pair, value)| {
            pair.push("=");
            pair.push(value);
            CString::new(pair.into_vec()).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn phase_and_side_are_the_last_two_words() {
        let hook = parse(&words("t n up up outside down inside")).unwrap();
        assert_eq!(hook.function(), "configure_t_down_inside");
        assert_eq!(hook.extra, words("up up outside"));
    }

    #[test]
    fn fewer_than_four_words_are_refused() {
        assert!(parse(&words("t n up")).unwrap_err().to_string().contains("at least four"));
    }
}
