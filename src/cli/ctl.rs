//! What netnsctl accepts.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::ArgValueCandidates;

use super::{NftSave, Update};
use crate::attach::Unit;
use crate::attach::bus::Bus;
use crate::check::Subject;
use crate::commands::completion::{self, Shell};
use crate::engine::Kind;
use crate::leaktest::targets;
use crate::name::{Instance, NsName, NsType, Target};

/// Network namespaces for services: see them, bring them up, find out what is wrong.
///
/// An instance is a namespace type on a namespace, TYPE@NAME. Where systemd is PID 1, its units do the work; elsewhere
/// netnsctl does it itself.
#[derive(Debug, Parser)]
#[command(
    name = "netnsctl",
    version,
    arg_required_else_help = true,
    after_help = "Exit status: 0 done, 1 something failed or was found, 2 not begun: a word is wrong, or it could not be checked."
)]
pub struct Ctl {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs of netnsctl.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Bring instances up
    Up(Lifecycle),
    /// Take instances down, and their namespaces with the last one
    Down(Down),
    /// Run the inside hooks of instances again; what is not up is brought up
    Restart(Lifecycle),
    /// List what is configured or up
    List(List),
    /// Show a namespace with all that is in it
    Status(Status),
    /// Draw namespaces, what is in them, what joins them and what needs what
    Graph(Graph),
    /// Find out what is wrong, without changing anything
    Check(Check),
    /// Remove what is left of kills, crashes and deletions by hand
    Gc(Gc),
    /// Show the files of an instance, what they set, and where
    Show(Show),
    /// Run a command in a namespace, with its files of /etc
    Run(Run),
    /// Measure what gets out of a namespace
    Leaktest(Leaktest),
    /// Put a service or socket into a namespace, by a drop-in of its unit
    Attach(Attach),
    /// Take it out again
    Detach(Detach),
    /// Write a plugin to begin with
    New(New),
    /// Print the wrapper of a hook, the bash text that would be run
    Cat(Cat),
    /// List the namespace types
    Types(Types),
    /// Print what gives a shell the completion of netnsctl
    Completion(Completion),
    /// Keep one pair of systemd units for each namespace type (netns-update)
    Update(Update),
    /// Save the nftables rules of a namespace (netns-nft-save)
    Save(NftSave),
}

/// What `up`, `down` and `restart` take.
#[derive(Debug, Args)]
pub struct Lifecycle {
    /// TYPE@NAME, or NAME: every type that is configured for it (up), or is up (down, restart)
    #[arg(value_name = "TYPE@NAME | NAME", required = true, add = ArgValueCandidates::new(completion::targets))]
    pub targets: Vec<Target>,
    /// Who does it; by default systemd where that is PID 1
    #[arg(long)]
    pub engine: Option<Kind>,
    /// Take over a namespace that somebody else has made; `down` leaves it there
    #[arg(long)]
    pub adopt: bool,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// What `down` takes.
#[derive(Debug, Args)]
pub struct Down {
    /// The instances.
    #[command(flatten)]
    pub lifecycle: Lifecycle,
    /// Take down what requires them first; otherwise they stay
    #[arg(long)]
    pub recursive: bool,
}

/// How to print.
#[derive(Debug, Args)]
pub struct Output {
    /// Print JSON; its shape is in netnsctl(8)
    #[arg(long)]
    pub json: bool,
    /// Print no headings
    #[arg(long)]
    pub no_legend: bool,
}

/// What `list` takes.
#[derive(Debug, Args)]
pub struct List {
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// What `status` takes.
#[derive(Debug, Args)]
pub struct Status {
    /// The namespaces; by default all that anything is up on
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(completion::names))]
    pub names: Vec<NsName>,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// What `graph` takes.
#[derive(Debug, Args)]
pub struct Graph {
    /// The namespaces, with what they are joined to; by default all
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(completion::names))]
    pub names: Vec<NsName>,
    /// How to draw
    #[arg(long, default_value = "text")]
    pub format: Format,
    /// Print JSON; its shape is in netnsctl(8)
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Lines for a terminal
    Text,
    /// Input for `dot` of Graphviz
    Dot,
    /// For Markdown
    Mermaid,
    /// A picture; needs Graphviz
    Svg,
}

/// What `show` takes.
#[derive(Debug, Args)]
pub struct Show {
    /// The instance
    #[arg(value_name = "TYPE@NAME", add = ArgValueCandidates::new(completion::instances))]
    pub instance: Instance,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
    /// Take all files from below DIR
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// What `check` takes.
#[derive(Debug, Args)]
pub struct Check {
    /// Only these; by default everything
    #[arg(value_name = "TYPE | TYPE@NAME", add = ArgValueCandidates::new(completion::subjects))]
    pub subjects: Vec<Subject>,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
    /// Check the files below DIR, and nothing of this machine
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// What `gc` takes.
#[derive(Debug, Args)]
pub struct Gc {
    /// Say what would be removed, and remove nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// What `run` takes.
#[derive(Debug, Args)]
pub struct Run {
    /// The namespace
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(completion::names))]
    pub name: NsName,
    /// Run it as this user, with the environment of a login; by default as root
    #[arg(long)]
    pub user: Option<String>,
    /// With --user: keep these variables, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "user")]
    pub preserve_env: Vec<String>,
    /// Bring up what is configured for the namespace first
    #[arg(long)]
    pub up: bool,
    /// Hide the system bus of the host from the command
    #[arg(long)]
    pub hide_bus: bool,
    /// The command and its words
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

/// What `leaktest` takes.
#[derive(Debug, Args)]
pub struct Leaktest {
    /// The namespace
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(completion::names))]
    pub name: NsName,
    /// What is tried: ADDRESS (port 9, and a ping), ADDRESS:PORT or [ADDRESS]:PORT; by default what is behind each interface
    #[arg(value_name = "TARGET")]
    pub targets: Vec<targets::Asked>,
    /// A name that is asked for; by default one that nobody has
    #[arg(long = "dns", value_name = "HOST", value_parser = dns)]
    pub names: Vec<targets::Attempt>,
    /// Try what FILE expects, and tell each difference: lines `PROTOCOL TARGET VERDICT`, as in `tcp 192.0.2.1:80 blocked`
    #[arg(long, value_name = "FILE")]
    pub expect: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

fn dns(word: &str) -> anyhow::Result<targets::Attempt> {
    targets::Attempt::new(targets::Protocol::Dns, word)
}

/// What `attach` takes.
#[derive(Debug, Args)]
pub struct Attach {
    /// A service, a socket (x.socket), or a template (x@), which stands for all its instances
    #[arg(value_name = "UNIT", add = ArgValueCandidates::new(completion::units))]
    pub unit: Unit,
    /// Instances that it needs, all on one namespace; NAME stands for every type that is configured
    #[arg(value_name = "TYPE@NAME | NAME", required = true, add = ArgValueCandidates::new(completion::targets))]
    pub targets: Vec<Target>,
    /// Whether it has the bus.
    #[command(flatten)]
    pub bus: BusOptions,
    /// Print the drop-in, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Restart it if it is running; by default it stays where it is until that is done
    #[arg(long, conflicts_with = "dry_run")]
    pub now: bool,
}

/// Whether a service has the system bus of the host.
#[derive(Debug, Args)]
pub struct BusOptions {
    /// Hide the system bus of the host from the service
    #[arg(long, conflicts_with = "keep_bus")]
    hide_bus: bool,
    /// Let the service use the system bus, without a warning
    #[arg(long)]
    keep_bus: bool,
}

impl BusOptions {
    /// The decision.
    #[must_use]
    pub fn decision(&self) -> Bus {
        match (self.hide_bus, self.keep_bus) {
            (true, _) => Bus::Hidden,
            (_, true) => Bus::Kept,
            _ => Bus::Undecided,
        }
    }
}

/// What `detach` takes.
#[derive(Debug, Args)]
pub struct Detach {
    /// The service or socket
    #[arg(value_name = "UNIT", add = ArgValueCandidates::new(completion::attached))]
    pub unit: Unit,
    /// Say what would be removed, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Restart it if it is running
    #[arg(long, conflicts_with = "dry_run")]
    pub now: bool,
}

/// What `completion` takes.
#[derive(Debug, Args)]
pub struct Completion {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// What `new` takes.
#[derive(Debug, Args)]
pub struct New {
    /// The type
    #[arg(value_name = "TYPE")]
    pub nstype: NsType,
    /// Also if a type of that name ships: this one replaces it
    #[arg(long)]
    pub force: bool,
    /// Take all files from below DIR
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// What `types` takes.
#[derive(Debug, Args)]
pub struct Types {
    /// Only these
    #[arg(value_name = "TYPE", add = ArgValueCandidates::new(completion::types))]
    pub types: Vec<NsType>,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
    /// Take all files from below DIR
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// What `cat` takes.
#[derive(Debug, Args)]
pub struct Cat {
    /// The instance
    #[arg(value_name = "TYPE@NAME", add = ArgValueCandidates::new(completion::instances))]
    pub instance: Instance,
    /// The hook: `up` or `down`, `outside` or `inside`; by default `up inside`
    #[arg(value_names = ["up|down", "outside|inside"], num_args = 2)]
    pub hook: Vec<String>,
}
