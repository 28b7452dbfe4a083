//! `netnsinit`: runs one hook, and the commands of the units.

use std::env;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{CommandFactory, Parser};
use nix::unistd::geteuid;

use crate::attach::{ServiceUnit, follow};
use crate::check;
use crate::config::remembered;
use crate::engine::{Outcome, systemd::Systemd};
use crate::exit::Status;
use crate::firewall;
use crate::hook;
use crate::hook::foreground;
use crate::library;
use crate::lifecycle::wake;
use crate::name::{Instance, NsName};
use crate::netns::ownership::{self, Deleted};
use crate::netns::{Deletion, Hidden, etc};
use crate::paths::Paths;
use crate::print;
use crate::sys::package;
use crate::systemd::private_mounts::PrivateMounts;
use crate::trust;
use crate::watch;

/// Run one hook of a namespace type.
///
/// Starts bash, sources the plugin TYPE.sh (from /etc/conf.d/netns or /usr/share/systemd-netns), default.conf, TYPE.conf and
/// TYPE-NAME.conf, and calls the function `configure_TYPE_PHASE_SIDE` NAME [EXTRA...]. The exit status is the status of the function.
#[derive(Debug, Parser)]
#[command(
    name = "netnsinit",
    version,
    override_usage = "netnsinit [OPTIONS] TYPE NAME [EXTRA]... up|down outside|inside\n       \
                      netnsinit --create|--delete|--verify|--close NAME\n       netnsinit --follow|--leave UNIT\n       netnsinit --return|--wake|--sleep TYPE@NAME\n       netnsinit --watch\n       netnsinit --check-trust FILE...",
    after_help = "Options come before TYPE. All arguments after TYPE are passed to the hook.\n\n\
                  Environment:\n  NETNS_TRACE=1  the same as --trace\n\n\
                  Example:\n  ip netns exec my-net netnsinit lo my-net up inside"
)]
#[allow(clippy::struct_excessive_bools)] // each is one option
pub struct InitArgs {
    /// Print the wrapper (bash) instead of running it
    #[arg(long)]
    pub print_wrapper: bool,
    /// Trace bash on stderr (shows the values of variables)
    #[arg(short = 'x', long)]
    pub trace: bool,
    /// Create the namespace NAME, as `ip netns add` does
    #[arg(long, conflicts_with_all = ["delete", "print_wrapper", "trace"])]
    pub create: bool,
    /// Delete the namespace NAME, if it exists, as `ip netns delete` does
    #[arg(long, conflicts_with_all = ["print_wrapper", "trace"])]
    pub delete: bool,
    /// Check that the namespace NAME was created by --create
    #[arg(long, conflicts_with_all = ["create", "delete", "print_wrapper", "trace"])]
    pub verify: bool,
    /// Close the namespace NAME until its firewall is loaded
    #[arg(long, conflicts_with_all = ["create", "delete", "verify", "print_wrapper", "trace"])]
    pub close: bool,
    /// Start the attached UNIT again, if it is enabled and was not stopped before
    #[arg(long, conflicts_with_all = ["create", "delete", "verify", "close", "print_wrapper", "trace"])]
    pub follow: bool,
    /// Record whether the attached UNIT is stopped
    #[arg(long, conflicts_with_all = ["create", "delete", "verify", "close", "follow", "print_wrapper", "trace"])]
    pub leave: bool,
    /// Bring the instance TYPE@NAME up again, because its parent interface has appeared
    #[arg(long = "return", conflicts_with_all = ["create", "delete", "verify", "close", "follow", "leave", "print_wrapper", "trace"])]
    pub bring_back: bool,
    /// Bring up the namespace of the instance TYPE@NAME, because a port of it has a connection
    #[arg(long, conflicts_with_all = ["create", "delete", "verify", "close", "follow", "leave", "bring_back", "print_wrapper", "trace"])]
    pub wake: bool,
    /// Take down what --wake has brought up, if nothing else needs it
    #[arg(long, conflicts_with_all = ["create", "delete", "verify", "close", "follow", "leave", "bring_back", "wake", "print_wrapper", "trace"])]
    pub sleep: bool,
    /// Watch the rules on the host, and reload instances whose rules another program has changed
    #[arg(long, conflicts_with_all = ["create", "delete", "verify", "close", "follow", "leave", "bring_back", "wake", "sleep", "print_wrapper", "trace"])]
    pub watch: bool,
    /// Called after the hook of a firewall: undo --close
    #[arg(long, hide = true, conflicts_with_all = ["create", "delete", "verify", "close", "print_wrapper", "trace"])]
    pub open: bool,
    /// With --open: fail if only the rules of --close are in force
    #[arg(long, hide = true, requires = "open")]
    pub unsure: bool,
    /// Check that only root can write these FILEs
    #[arg(long, alias = "judge", conflicts_with_all = ["create", "delete", "verify", "print_wrapper", "trace"])]
    pub check_trust: bool,
    /// Called by a hook after a signal: terminate its foreground command, and wait at most this time (stdin: `jobs -l`)
    #[arg(long, value_name = "MILLISECONDS", hide = true)]
    pub end_command: Option<u32>,
    /// Called by a hook: print the command that installs the argument PACKAGE
    #[arg(long, hide = true)]
    pub package_hint: bool,
    /// Called by a hook: run the command of the arguments NAME COMMAND... with the files of /etc/netns/NAME in /etc
    #[arg(long, hide = true)]
    pub with_files: bool,
    /// Called by a hook: run a function of the library (ROOT INSTANCE SIDE HOOK TRACE FUNCTION ARGUMENT...)
    #[arg(long, hide = true)]
    pub library: bool,
    /// Called by the library: run a daemon until it is stopped (ROOT INSTANCE DAEMON)
    #[arg(long, hide = true)]
    pub supervise: bool,
    /// Called by the library, as a daemon: pass connections to ports of a namespace (ROOT INSTANCE MILLISECONDS PORT...)
    #[arg(long, hide = true)]
    pub proxy: bool,
    /// Called by systemd: pass connections of a socket to a port of this namespace (ROOT PORT [MILLISECONDS])
    #[arg(long, hide = true)]
    pub serve: bool,
    /// Use the files below DIR, as in an image
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// TYPE NAME [EXTRA]... up|down outside|inside
    #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub arguments: Vec<OsString>,
}

impl InitArgs {
    /// Parses the options before TYPE. All arguments from TYPE on are kept unchanged, also `--` and `--help`.
    /// Errors: a usage error of clap, including `--help` and `--version`.
    pub fn read(arguments: Vec<OsString>) -> Result<Self, clap::Error> {
        if let Some((first, rest)) = arguments.split_first()
            && ["--library", "--supervise", "--proxy", "--serve"].iter().any(|option| first == option)
        {
            // Hooks call these often.
            let is = |option: &str| first == option;
            let (library, supervise) = (is("--library"), is("--supervise"));
            let (proxy, serve) = (is("--proxy"), is("--serve"));
            return Ok(Self { library, supervise, proxy, serve, ..Self::plain(rest.to_vec()) });
        }
        let is_option = |argument: &OsString| argument.as_encoded_bytes().starts_with(b"-");
        if !arguments.first().is_some_and(is_option) {
            // Hooks are called like this: there are no options to parse.
            return Ok(Self::plain(arguments));
        }
        Self::try_parse_from([OsString::from("netnsinit")].into_iter().chain(arguments))
    }

    fn plain(arguments: Vec<OsString>) -> Self {
        Self {
            print_wrapper: false,
            trace: false,
            create: false,
            delete: false,
            verify: false,
            close: false,
            follow: false,
            leave: false,
            bring_back: false,
            wake: false,
            sleep: false,
            watch: false,
            open: false,
            unsure: false,
            check_trust: false,
            end_command: None,
            package_hint: false,
            with_files: false,
            library: false,
            supervise: false,
            proxy: false,
            serve: false,
            root: "/".into(),
            arguments,
        }
    }

    /// The usage line, for an error about the arguments.
    #[must_use]
    pub fn usage() -> String {
        Self::command().render_usage().to_string()
    }
}

pub(super) fn run(arguments: Vec<OsString>) -> Result<Status> {
    let options = match InitArgs::read(arguments) {
        Ok(options) => options,
        Err(error) => return Ok(super::explain(&error)),
    };
    if options.library || options.supervise || options.proxy || options.serve {
        let (root, rest) = options.arguments.split_first().context("no ROOT")?;
        let paths = Paths::under(Path::new(root));
        match () {
            () if options.library => library::run(&paths, rest),
            () if options.supervise => library::supervise(&paths, rest),
            () if options.proxy => library::proxy(&paths, rest),
            () => library::serve(rest),
        }?;
        return Ok(Status::Done);
    }
    let paths = Paths::under(&options.root);
    if options.create || options.delete || options.verify || options.close || options.open {
        return namespace(&paths, &options);
    }
    if options.follow || options.leave {
        return attached_unit(&paths, &options);
    }
    if options.bring_back {
        return bring_back(&paths, &options);
    }
    if options.wake || options.sleep {
        return used(&paths, &options);
    }
    if options.watch {
        return watch::run(&paths).map(|()| Status::Done);
    }
    if options.check_trust {
        trust::require(&paths.root, &options.arguments)?;
        return Ok(Status::Done);
    }
    if let Some(milliseconds) = options.end_command {
        let mut jobs = Vec::new();
        std::io::stdin().read_to_end(&mut jobs).context("cannot read the list of jobs")?;
        let timeout = Duration::from_millis(milliseconds.into());
        foreground::end(&String::from_utf8_lossy(&jobs), timeout);
        return Ok(Status::Done);
    }
    if options.package_hint {
        let package = options.arguments.first().context("no PACKAGE")?;
        print::say(&package::hint(&package.to_string_lossy()));
        return Ok(Status::Done);
    }
    if options.with_files {
        let (name, command) = options.arguments.split_first().context("no NAME")?;
        return etc::run(&paths, &NsName::new(name)?, command).map(|never| match never {});
    }
    let trace = options.trace || hook::traced_by_environment();
    let hook = hook::parse(&options.arguments).map_err(|error| match options.arguments.len() {
        ..4 => anyhow!("{error:#}\n{}", InitArgs::usage()),
        _ => error,
    })?;
    if options.print_wrapper {
        let text = hook::print(&paths, &hook, trace)?;
        #[allow(clippy::disallowed_methods)] // all values in it are quoted
        let mut stdout = std::io::stdout();
        stdout.write_all(text.as_bytes()).context("cannot print the wrapper")?;
        return Ok(Status::Done);
    }
    hook::run(&paths, &hook, trace).map_err(|error| explain(&hook.instance.name, error))?;
    Ok(Status::Done)
}

/// The commands of netns_follow@UNIT.service: `--follow UNIT` and `--leave UNIT`.
fn attached_unit(paths: &Paths, options: &InitArgs) -> Result<Status> {
    let [unit] = options.arguments.as_slice() else { bail!("expected one UNIT\n{}", InitArgs::usage()) };
    let unit: ServiceUnit = unit.to_string_lossy().parse()?;
    ensure!(geteuid().is_root(), "permission denied: only root can start units; use sudo");
    if options.leave {
        follow::record(paths, &unit)?;
        return Ok(Status::Done);
    }
    let message = follow::start(paths, &unit)?;
    if !message.is_empty() {
        print::warn(&format!("cannot start `{unit}` again: {message}"));
    }
    Ok(Status::Done)
}

/// The instance that is the only argument.
fn instance(options: &InitArgs) -> Result<Instance> {
    let [instance] = options.arguments.as_slice() else {
        bail!("expected one TYPE@NAME\n{}", InitArgs::usage())
    };
    let instance = instance.to_string_lossy().parse()?;
    ensure!(geteuid().is_root(), "permission denied: only root can start units; use sudo");
    Ok(instance)
}

/// The commands of netns_awake@TYPE@NAME.service: `--wake TYPE@NAME` and `--sleep TYPE@NAME`.
fn used(paths: &Paths, options: &InitArgs) -> Result<Status> {
    let instance = instance(options)?;
    let name = &instance.name;
    if options.wake {
        wake::wake(paths, &instance).with_context(|| format!("cannot wake namespace `{name}`"))?;
        return Ok(Status::Done);
    }
    // Under systemd, the result of `--wake` (systemd.exec(5)).
    let failed = env::var("SERVICE_RESULT").is_ok_and(|result| result != "success");
    if let Some(reason) = wake::sleep(paths, &instance, failed)? {
        print::say(&format!("namespace `{name}` has no connections, and stays up: {reason}"));
    }
    Ok(Status::Done)
}

/// The command of netns_return@TYPE@NAME.service.
fn bring_back(paths: &Paths, options: &InitArgs) -> Result<Status> {
    let instance = instance(options)?;
    let has_drift = || check::has_drift(paths, &instance);
    for Outcome { instance, changed, .. } in Systemd::of(paths)?.bring_back(&instance, has_drift)? {
        changed?;
        print::say(&format!("{instance} is up again"));
    }
    Ok(Status::Done)
}

/// The commands of the units: `--create NAME` and `--delete NAME` (netns_name@.service), `--verify NAME` (netns_made@.service) and
/// `--close NAME` (netns_closed@.service). Hooks call `--open NAME`.
fn namespace(paths: &Paths, options: &InitArgs) -> Result<Status> {
    let [name] = options.arguments.as_slice() else { bail!("expected one NAME\n{}", InitArgs::usage()) };
    let name = NsName::new(name)?;
    change_namespace(paths, options, &name).map_err(|error| explain(&name, error))
}

fn change_namespace(paths: &Paths, options: &InitArgs, name: &NsName) -> Result<Status> {
    if options.verify {
        ownership::verify(paths, name)?;
        return Ok(Status::Done);
    }
    ensure!(geteuid().is_root(), "permission denied: only root can configure namespaces; use sudo");
    if options.close {
        ownership::recorded(paths, name)?.map_or(Ok(()), |ours| ownership::require(paths, name, &ours))?;
        firewall::close(paths, name)?;
        return Ok(Status::Done);
    }
    if options.open {
        firewall::open(paths, name, options.unsure)?;
        return Ok(Status::Done);
    }
    if options.create {
        ownership::create(paths, name)?;
        return Ok(Status::Done);
    }
    match ownership::delete(paths, name)? {
        Deletion::Done => {}
        Deletion::NotFound => print::warn(&format!("namespace `{name}` did not exist")),
        Deletion::Foreign => print::warn(&ownership::not_deleted(name)),
    }
    // `down outside` of these instances has failed, or has not run.
    for instance in remembered::of_namespace(paths, name)? {
        if let Err(error) = remembered::mark_unfinished(paths, &instance) {
            print::warn(&format!("{error:#}"));
        }
    }
    Ok(Status::Done)
}

/// Names the settings that hide a namespace from the host, in the error of a unit which cannot create or find the namespace.
fn explain(name: &NsName, error: anyhow::Error) -> anyhow::Error {
    if env::var_os("INVOCATION_ID").is_none() || !(error.is::<Hidden>() || error.is::<Deleted>()) {
        return error;
    }
    // Without an answer of systemd, the error itself has a hint.
    match PrivateMounts::of([name.unit()]).unwrap_or_default().as_slice() {
        [one] => anyhow!(
            "namespace `{name}` is hidden from the host by {} in the files of {}; fix: {}",
            one.settings.join(" "),
            one.unit,
            one.advice()
        ),
        _ => error,
    }
}
