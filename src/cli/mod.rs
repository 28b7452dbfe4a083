//! What every applet accepts. The rest of the program never sees raw arguments.

mod ctl;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, Parser};

pub use ctl::*;

/// Runs one hook of a namespace type.
///
/// Finds the plugin TYPE.sh in /etc/conf.d/netns or /usr/share/systemd-netns, sources it, default.conf, TYPE.conf and
/// TYPE-NAME.conf in bash, and calls `configure_TYPE_PHASE_SIDE` NAME [EXTRA...]. Its exit status is that of the function.
#[derive(Debug, Parser)]
#[command(
    name = "netnsinit",
    version,
    override_usage = "netnsinit [OPTIONS] TYPE NAME [EXTRA]... up|down outside|inside\n       \
                      netnsinit --create|--delete|--verify|--close NAME\n       netnsinit --judge FILE...",
    after_help = "Options stand before TYPE; every word after it belongs to the hook.\n\n\
                  Environment:\n  NETNS_TRACE=1  as --trace\n\n\
                  Example:\n  ip netns exec my-net netnsinit lo my-net up inside"
)]
#[allow(clippy::struct_excessive_bools)] // each is an option of its own
pub struct Init {
    /// Print the wrapper, the bash text that would be run, instead of running it
    #[arg(long)]
    pub print_wrapper: bool,
    /// Trace what bash does, on stderr (values of variables show)
    #[arg(short = 'x', long)]
    pub trace: bool,
    /// Create the namespace NAME, as `ip netns add` does
    #[arg(long, conflicts_with_all = ["delete", "print_wrapper", "trace"])]
    pub create: bool,
    /// Delete the namespace NAME, as `ip netns delete` does; no error where there is none
    #[arg(long, conflicts_with_all = ["print_wrapper", "trace"])]
    pub delete: bool,
    /// Make sure that the namespace NAME is the one that --create has made
    #[arg(long, conflicts_with_all = ["create", "delete", "print_wrapper", "trace"])]
    pub verify: bool,
    /// Let only loopback traffic pass in the namespace NAME until its firewall is loaded
    #[arg(long, conflicts_with_all = ["create", "delete", "verify", "print_wrapper", "trace"])]
    pub close: bool,
    /// Called when the hook of a firewall has returned: end what --close has begun
    #[arg(long, hide = true, conflicts_with_all = ["create", "delete", "verify", "close", "print_wrapper", "trace"])]
    pub open: bool,
    /// With --open: the success of the hook does not show that rules are in force
    #[arg(long, hide = true, requires = "open")]
    pub unsure: bool,
    /// Make sure that nobody but root can write these FILEs, as it is done before they are run
    #[arg(long, conflicts_with_all = ["create", "delete", "verify", "print_wrapper", "trace"])]
    pub judge: bool,
    /// Called by a hook that a signal has ended: end its foreground command, from `jobs -l` on stdin, within that time
    #[arg(long, value_name = "MILLISECONDS", hide = true)]
    pub end_command: Option<u32>,
    /// Called by a hook: run the command of the WORDs, NAME COMMAND..., with the files of /etc/netns/NAME in /etc
    #[arg(long, hide = true)]
    pub with_files: bool,
    /// Take all files from below DIR
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// TYPE NAME [EXTRA]... up|down outside|inside
    #[arg(value_name = "WORD", trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub words: Vec<OsString>,
}

/// Keeps one pair of systemd units for each namespace type.
///
/// A type is a plugin, TYPE.sh, in /etc/conf.d/netns or /usr/share/systemd-netns. For each there is a copy of the
/// template units netns@.service and netns_outside@.service in /etc/systemd/system. Copies whose type is gone are removed
/// unless one of their instances is active. Run it after a plugin was added, removed or upgraded.
#[derive(Debug, Parser)]
#[command(name = "netns-update", version)]
#[allow(clippy::struct_excessive_bools)] // as above
pub struct Update {
    /// Let systemd read its units again even if nothing was changed
    #[arg(long, overrides_with = "daemon_reload")]
    pub daemon_reload: bool,
    /// Remove the units of all types
    #[arg(long, overrides_with = "clean")]
    pub clean: bool,
    /// With --clean: stop active instances first; refused while a service is attached
    #[arg(long, requires = "clean", overrides_with = "now")]
    pub now: bool,
    /// Say what would be done, and do nothing
    #[arg(short = 'n', long, overrides_with = "dry_run")]
    pub dry_run: bool,
    /// Work on the image below DIR; systemd is not told
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// Saves the nftables rules of a namespace, where the type nft finds them.
///
/// Writes the rules in force in the namespace NAME to /etc/conf.d/netns/nft-NAME.rules. The new file replaces the old one in one
/// step, and the old one is kept as nft-NAME.rules~. The file begins with `flush ruleset`, so it can be loaded any number of
/// times. An empty ruleset does not replace a file that has rules.
#[derive(Debug, Parser)]
#[command(name = "netns-nft-save", version)]
pub struct NftSave {
    /// The namespace
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// Replace rules by an empty ruleset, too
    #[arg(long)]
    pub force: bool,
}

impl Init {
    /// Splits the arguments where TYPE begins: everything from there on is passed on as it is, `--` and `--help` too.
    ///
    /// # Errors
    /// clap's, also for `--help` and `--version`.
    pub fn read(arguments: Vec<OsString>) -> Result<Self, clap::Error> {
        let is_option = |word: &OsString| word.as_encoded_bytes().starts_with(b"-");
        if !arguments.first().is_some_and(is_option) {
            // The way of every hook: there is nothing for a parser to do.
            return Ok(Self::plain(arguments));
        }
        Self::try_parse_from([OsString::from("netnsinit")].into_iter().chain(arguments))
    }

    fn plain(words: Vec<OsString>) -> Self {
        Self {
            print_wrapper: false,
            trace: false,
            create: false,
            delete: false,
            verify: false,
            close: false,
            open: false,
            unsure: false,
            judge: false,
            end_command: None,
            with_files: false,
            root: "/".into(),
            words,
        }
    }

    /// The usage, for an error about the words.
    #[must_use]
    pub fn usage() -> String {
        Self::command().render_usage().to_string()
    }
}
