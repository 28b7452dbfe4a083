//! `netnsctl new`: creates a plugin from a template.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use super::update;
use crate::config::plugin;
use crate::exit::Status;
use crate::name::NsType;
use crate::paths::Paths;
use crate::print::say;

/// The arguments of `new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// The new type
    #[arg(value_name = "TYPE")]
    pub nstype: NsType,
    /// The template: bridge, veth, wireguard or daemon
    #[arg(long, value_name = "TEMPLATE", default_value = "bridge", hide_possible_values = true)]
    pub like: PluginTemplate,
    /// Override a shipped type of the same name
    #[arg(long)]
    pub force: bool,
    /// Use the files below DIR, as in an image
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// A template of a plugin.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PluginTemplate {
    /// An interface in the namespace.
    Bridge,
    /// A pair of interfaces.
    Veth,
    /// An interface whose socket is on the host.
    Wireguard,
    /// A program in the namespace.
    Daemon,
}

impl PluginTemplate {
    /// The plugin and its `.conf` file. TYPE is replaced by the type, and SETTING by the type in capitals.
    fn files(self) -> [&'static str; 2] {
        match self {
            Self::Bridge => [include_str!("templates/bridge.sh"), include_str!("templates/bridge.conf")],
            Self::Veth => [include_str!("templates/pair.sh"), include_str!("templates/pair.conf")],
            Self::Wireguard => {
                [include_str!("templates/wireguard.sh"), include_str!("templates/wireguard.conf")]
            }
            Self::Daemon => [include_str!("templates/daemon.sh"), include_str!("templates/daemon.conf")],
        }
    }
}

pub(super) fn run(options: &NewArgs) -> Result<Status> {
    let paths = Paths::under(&options.root);
    let nstype = &options.nstype;
    let [own, _] = paths.plugin(nstype);
    let conf = paths.conf.join(format!("{nstype}-example.conf"));
    if let Ok(found) = plugin::find(&paths, nstype) {
        ensure!(
            found == own || options.force,
            "type `{nstype}` exists already, in {}; hint: --force creates a plugin that overrides it",
            found.display()
        );
    }
    fs::create_dir_all(&paths.conf).with_context(|| format!("cannot create {}", paths.conf.display()))?;
    let setting = nstype.as_ref().to_uppercase().replace('.', "_");
    let filled = |text: &str| text.replace("SETTING", &setting).replace("TYPE", nstype.as_ref());
    let [plugin, settings] = options.like.files();
    write(&own, &filled(plugin))?;
    write(&conf, &filled(settings))?;
    say(&format!("Wrote {} and {}.", own.display(), conf.display()));
    let update = update::UpdateArgs {
        daemon_reload: false,
        clean: false,
        now: false,
        dry_run: false,
        root: options.root.clone(),
    };
    let status = if paths.units.is_dir() { update::run(&update)? } else { Status::Done };
    say(&format!("Edit both, then run: netnsctl up {nstype}@example"));
    Ok(status)
}

/// Creates a file.
/// Errors: the file exists, or cannot be written.
fn write(path: &Path, text: &str) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
