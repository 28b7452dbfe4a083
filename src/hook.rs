//! Runs one hook: checks, writes the wrapper, and becomes bash.

use std::env;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::execve;

use crate::firewall;
use crate::foreground::PATIENCE;
use crate::layers::Layers;
use crate::made;
use crate::memory;
use crate::name::{Instance, NsName, NsType, Phase, Side};
use crate::netns::Identity;
use crate::paths::{BASH, Paths};
use crate::trust;
use crate::whereabouts::{self, Whereabouts};
use crate::words::words;
use crate::wrapper::{Caller, CallerKind, Hook, NOTHING, wrapper};

/// Variables that would change how bash reads what the host has it run (bash(1), "Shell Variables" and "INVOCATION").
pub(crate) const UNWANTED: [&str; 7] =
    ["BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "POSIXLY_CORRECT", "PS4", "BASH_XTRACEFD"];

/// Takes the words `TYPE NAME [EXTRA ...] up|down outside|inside`.
///
/// # Errors
/// Says which word is wrong and what is allowed.
pub fn parse(words: &[OsString]) -> Result<Hook> {
    let [nstype, name, extra @ .., phase, side] = words else {
        bail!("{} words where at least four are needed: TYPE NAME up|down outside|inside", words.len());
    };
    Ok(Hook {
        instance: Instance::new(NsType::new(nstype)?, NsName::new(name)?)?,
        phase: Phase::new(phase)?,
        side: Side::new(side)?,
        extra: extra.to_vec(),
    })
}

/// The wrapper of a hook that is not run now.
///
/// # Errors
/// See [`Layers::of`].
pub fn print(paths: &Paths, hook: &Hook, trace: bool) -> Result<String> {
    let whereabouts = match hook.side {
        Side::Outside => whereabouts::outside(false),
        Side::Inside => Whereabouts::expected(paths, &hook.instance.name).assignments(),
    };
    let layers = Layers::of(paths, &hook.instance, hook.phase)?;
    let caller = Caller::of(trace, CallerKind::Hand)?;
    Ok(wrapper(paths, hook, &layers, &whereabouts, &caller))
}

/// Runs a hook in this very process, which becomes bash. It returns if there was nothing to do.
///
/// # Errors
/// The wrong namespace, an unusable layer, or no bash. Nothing has been run then.
pub fn run(paths: &Paths, hook: &Hook, trace: bool) -> Result<()> {
    let caller = Caller::of(trace, CallerKind::Netnsinit)?;
    let planned = made::noted(paths, &hook.instance.name).and_then(|ours| {
        // Before any file of the instance is run, and whatever is wrong with these files.
        firewall::before_hook(paths, hook, ours.as_ref())?;
        plan(paths, hook, &caller, ours.as_ref())
    });
    if planned.is_err() && (hook.phase, hook.side) == (Phase::Down, Side::Outside) {
        memory::mark(paths, &hook.instance)?;
    }
    match planned? {
        Plan::Bash(bash) => match bash.exec()? {},
        Plan::Nothing => {
            skip(paths, hook)?;
            #[allow(clippy::disallowed_methods)] // names are checked
            let mut stdout = std::io::stdout();
            writeln!(stdout, "{}\n{NOTHING}", hook.starting()).context("cannot write to stdout")
        }
    }
}

/// What a hook comes to, once all is known that can be known in advance.
#[derive(Debug)]
pub enum Plan {
    /// No layer does anything, or defines the function.
    Nothing,
    /// This is for bash to run.
    Bash(Bash),
}

/// Looks what a hook comes to, in the namespace that it is to run in. Where it is known which one is `ours`, nothing is done to
/// another one that somebody has made in its place.
///
/// # Errors
/// The wrong namespace, an unusable layer, or one that others can write.
pub fn plan(paths: &Paths, hook: &Hook, caller: &Caller, ours: Option<&Identity>) -> Result<Plan> {
    let name = &hook.instance.name;
    let whereabouts = match (hook.side, hook.phase) {
        (Side::Inside, phase) => match whereabouts::check_inside(paths, name, phase, ours)? {
            Some(whereabouts) => whereabouts.assignments(),
            None => return Ok(Plan::Nothing),
        },
        (Side::Outside, Phase::Up) => {
            ours.map_or(Ok(()), |ours| made::require(paths, name, ours))?;
            whereabouts::outside(false)
        }
        // What is on the host has to go, wherever the namespace is.
        (Side::Outside, Phase::Down) => {
            whereabouts::outside(ours.is_some_and(|ours| !ours.has_name(paths, name).unwrap_or(false)))
        }
    };
    let layers = Layers::of(paths, &hook.instance, hook.phase)?;
    // On `down`, too: what stays then is less than what a stranger's file could do as root.
    trust::require(&paths.root, layers.read(paths, &hook.instance))?;
    let does_nothing = layers.settled.as_ref().is_some_and(|settled| !settled.defines(&hook.function()));
    // What an earlier instance has left goes first.
    let left = (hook.phase, hook.side) == (Phase::Up, Side::Outside) && memory::exists(paths, &hook.instance);
    // Who traces wants to see bash read the files.
    if does_nothing && !left && !caller.trace {
        return Ok(Plan::Nothing);
    }
    let text = wrapper(paths, hook, &layers, &whereabouts, caller);
    Ok(Plan::Bash(Bash::of(hook, &text)?))
}

/// Does what is left of a hook that is not for bash to run: the outside ones begin and end what an instance remembers.
///
/// # Errors
/// That cannot be removed.
pub fn skip(paths: &Paths, hook: &Hook) -> Result<()> {
    if hook.side == Side::Outside { memory::forget(paths, &hook.instance) } else { Ok(()) }
}

impl Caller {
    /// This process, where it was called as netnsinit: the links to the one binary lie beside it.
    fn of(trace: bool, kind: CallerKind) -> Result<Self> {
        let binary = env::current_exe().context("cannot tell the path of this program")?;
        let called = words().first().map(Path::new);
        let program =
            called.and_then(Path::file_name).map_or(binary.clone(), |name| binary.with_file_name(name));
        Ok(Self { program, binary, trace, patience: PATIENCE, kind })
    }
}

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
    fn of(hook: &Hook, wrapper: &str) -> Result<Self> {
        let mut script: File = memfd_create(c"netnsinit", MFdFlags::MFD_CLOEXEC)
            .context("cannot create a file in memory")?
            .into();
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
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn hand_over(&self) -> nix::Result<()> {
        fcntl(&self.script, FcntlArg::F_SETFD(FdFlag::empty())).map(drop)
    }

    /// Executes it. `std::process::Command` is not used: it sets SIGPIPE back to its default, which the hook is to find as
    /// it was.
    fn exec(&self) -> Result<std::convert::Infallible> {
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
            !UNWANTED.iter().any(|unwanted| name == unwanted)
                && !name.as_encoded_bytes().starts_with(b"__netns_")
        })
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
