//! One hook: [`Hook`] is the call, [`plan`] looks what it comes to, [`wrapper`] writes the bash text, and the two ways to run it are
//! [`run`](run()), in this very process, and [`child`].

pub mod child;
mod exec;
pub mod foreground;
pub mod location;
pub mod plan;
mod run;
mod wrapper;

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

pub use exec::Bash;
pub use run::run;

use crate::argv::arguments;
use crate::bash::quote;
use crate::config::layers::Layers;
use crate::name::{Instance, NsName, NsType, Phase, Side};
use crate::paths::Paths;
use foreground::TIMEOUT;
use location::Location;
use wrapper::wrapper;

/// One call of one function, with all that the wrapper has to know of it.
#[derive(Debug)]
pub struct Hook {
    /// The instance that it is for.
    pub instance: Instance,
    /// The words between the name and the phase.
    pub extra: Vec<OsString>,
    /// Up or down.
    pub phase: Phase,
    /// Outside or inside.
    pub side: Side,
}

impl Hook {
    /// The function that is looked for.
    #[must_use]
    pub fn function(&self) -> String {
        format!("configure_{}_{}_{}", self.instance.nstype, self.phase, self.side)
    }

    /// What is said before anything is done.
    #[must_use]
    pub fn starting(&self) -> String {
        format!("Starting '{}' for netns '{}'.", self.function(), self.instance.name)
    }

    /// What the function is called with.
    fn arguments(&self) -> String {
        let mut words = self.instance.name.to_string();
        for word in &self.extra {
            write!(words, " {}", quote(word)).expect("a String takes all");
        }
        words
    }

    /// The whole command line, as the files see it in `$1…`.
    fn words(&self) -> String {
        format!("{} {} {} {}", self.instance.nstype, self.arguments(), self.phase, self.side)
    }
}

/// Who runs a hook.
#[derive(Clone, Debug)]
pub struct Caller {
    /// netnsinit's own path, for `$0`.
    pub program: PathBuf,
    /// The one binary, which answers to the name of netnsinit, too.
    pub binary: PathBuf,
    /// Whether bash tells all that it does.
    pub trace: bool,
    /// How long the command that a signal meets is waited for.
    pub timeout: Duration,
    /// What is left for the wrapper to do.
    pub kind: CallerKind,
}

/// The ways in which a hook is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerKind {
    /// By netnsinit, which becomes bash.
    Netnsinit,
    /// By the direct engine, which has bash as a child: what an instance remembers it removes itself, at less cost.
    Engine,
    /// By hand: nobody has looked which namespace this is.
    Hand,
}

/// Takes the words `TYPE NAME [EXTRA ...] up|down outside|inside`.
/// Errors: says which word is wrong and what is allowed.
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

/// Whether the environment asks for a trace: `NETNS_TRACE=1`.
#[must_use]
pub fn traced_by_environment() -> bool {
    env::var_os("NETNS_TRACE").is_some_and(|value| value == "1")
}

impl Caller {
    /// This process, where it was called as netnsinit: the links to the one binary lie beside it.
    fn of(trace: bool, kind: CallerKind) -> Result<Self> {
        let binary = env::current_exe().context("cannot tell the path of this program")?;
        let called = arguments().first().map(Path::new);
        let program =
            called.and_then(Path::file_name).map_or(binary.clone(), |name| binary.with_file_name(name));
        Ok(Self { program, binary, trace, timeout: TIMEOUT, kind })
    }
}

/// The wrapper of a hook that is not run now.
/// Errors: no usable plugin, or an unusable `default.conf`.
pub fn print(paths: &Paths, hook: &Hook, trace: bool) -> Result<String> {
    let location = match hook.side {
        Side::Outside => location::outside(false),
        Side::Inside => Location::expected(paths, &hook.instance.name).assignments(),
    };
    let layers = Layers::of(paths, &hook.instance)?;
    let caller = Caller::of(trace, CallerKind::Hand)?;
    wrapper(paths, hook, &layers, &location, &caller)
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
