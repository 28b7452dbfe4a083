//! One hook. [`Hook`] is the call, [`plan`] decides whether bash must run, and [`mod@wrapper`] writes the bash text. A hook runs in this
//! process ([`run`](run())), or as a child ([`child`]).

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

/// One call of a hook function.
#[derive(Debug)]
pub struct Hook {
    /// The instance of the hook.
    pub instance: Instance,
    /// The arguments between the name and the phase.
    pub extra: Vec<OsString>,
    /// The phase: up or down.
    pub phase: Phase,
    /// The side: outside or inside.
    pub side: Side,
}

impl Hook {
    /// The name of the function.
    #[must_use]
    pub fn function(&self) -> String {
        format!("configure_{}_{}_{}", self.instance.nstype, self.phase, self.side)
    }

    /// The name of the function that checks the settings before the hook. `None` if the hook does not need valid settings.
    fn validation(&self) -> Option<String> {
        let is_first = (self.phase, self.side) == (Phase::Up, Side::Outside);
        is_first.then(|| validate_function(&self.instance.nstype))
    }

    /// The line that is printed before the hook runs.
    #[must_use]
    pub fn starting(&self) -> String {
        format!("Starting '{}' for netns '{}'.", self.function(), self.instance.name)
    }

    /// The arguments of the function, quoted for bash.
    fn arguments(&self) -> String {
        let mut arguments = self.instance.name.to_string();
        for argument in &self.extra {
            write!(arguments, " {}", quote(argument)).expect("writing to a String cannot fail");
        }
        arguments
    }

    /// All arguments, quoted for bash. The layers get them as `$1…`.
    fn command_line(&self) -> String {
        format!("{} {} {} {}", self.instance.nstype, self.arguments(), self.phase, self.side)
    }
}

/// The name of the function of a type that checks the settings.
#[must_use]
pub fn validate_function(nstype: &NsType) -> String {
    format!("configure_{nstype}_validate")
}

/// The caller of a hook.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The path of netnsinit, for `$0`.
    pub program: PathBuf,
    /// The path of the binary. netnsinit is an applet of it.
    pub binary: PathBuf,
    /// Whether bash traces its commands.
    pub trace: bool,
    /// The timeout for the foreground command to end after a signal.
    pub timeout: Duration,
    /// The way to run the hook. It decides about checks and cleanups in the wrapper.
    pub kind: CallerKind,
}

/// The ways to run a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerKind {
    /// netnsinit, which becomes bash.
    Netnsinit,
    /// The direct engine, with bash as a child. The engine itself removes the remembered values, which is faster.
    Engine,
    /// A user who runs the wrapper manually. No program has checked the namespace before, so the wrapper checks it.
    Manual,
}

/// Parses the arguments `TYPE NAME [EXTRA ...] up|down outside|inside`.
/// Errors: an argument is missing or invalid. The message has the allowed values.
pub fn parse(arguments: &[OsString]) -> Result<Hook> {
    let [nstype, name, extra @ .., phase, side] = arguments else {
        bail!("expected at least 4 arguments, got {}: TYPE NAME up|down outside|inside", arguments.len());
    };
    Ok(Hook {
        instance: Instance::new(NsType::new(nstype)?, NsName::new(name)?)?,
        phase: Phase::new(phase)?,
        side: Side::new(side)?,
        extra: extra.to_vec(),
    })
}

/// Whether the environment requests a trace: `NETNS_TRACE=1`.
#[must_use]
pub fn traced_by_environment() -> bool {
    env::var_os("NETNS_TRACE").is_some_and(|value| value == "1")
}

impl Caller {
    /// This process as the caller. The links of the applets are in the directory of the binary.
    fn of(trace: bool, kind: CallerKind) -> Result<Self> {
        let binary = env::current_exe().context("cannot find the path of this program")?;
        let applet = arguments().first().map(Path::new);
        let program =
            applet.and_then(Path::file_name).map_or(binary.clone(), |name| binary.with_file_name(name));
        Ok(Self { program, binary, trace, timeout: TIMEOUT, kind })
    }
}

/// Returns the wrapper of a hook, without running it.
/// Errors: no usable plugin, or an unusable `default.conf`.
pub fn print(paths: &Paths, hook: &Hook, trace: bool) -> Result<String> {
    let location = match hook.side {
        Side::Outside => location::outside(false),
        Side::Inside => Location::expected(paths, &hook.instance.name).assignments(),
    };
    let layers = Layers::of(paths, &hook.instance)?;
    let caller = Caller::of(trace, CallerKind::Manual)?;
    wrapper(paths, hook, &layers, &location, &caller, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments_of(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn phase_and_side_are_the_last_two_arguments() {
        let hook = parse(&arguments_of("t n up up outside down inside")).unwrap();
        assert_eq!(hook.function(), "configure_t_down_inside");
        assert_eq!(hook.extra, arguments_of("up up outside"));
    }

    #[test]
    fn fewer_than_four_arguments_are_refused() {
        assert!(
            parse(&arguments_of("t n up")).unwrap_err().to_string().contains("at least 4 arguments, got 3")
        );
    }
}
