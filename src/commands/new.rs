//! `netnsctl new`: a plugin to begin with.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::update;
use crate::config::plugin;
use crate::exit::Status;
use crate::name::NsType;
use crate::paths::Paths;
use crate::print::say;

/// What `new` takes.
#[derive(Debug, Args)]
pub struct NewArgs {
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

/// What is written, with TYPE in place of the type and SETTING of it in capitals.
const PLUGIN: &str = include_str!("new.sh");
const CONF: &str = include_str!("new.conf");

pub(super) fn run(options: &NewArgs) -> Result<Status> {
    let paths = Paths::under(&options.root);
    let nstype = &options.nstype;
    let [own, _] = paths.plugin(nstype);
    let conf = paths.conf.join(format!("{nstype}-example.conf"));
    if let Ok(found) = plugin::find(&paths, nstype) {
        ensure!(
            found == own || options.force,
            "there is a type `{nstype}` already, {}: --force writes one that replaces it",
            found.display()
        );
    }
    fs::create_dir_all(&paths.conf).with_context(|| format!("cannot create {}", paths.conf.display()))?;
    let setting = nstype.as_ref().to_uppercase().replace('.', "_");
    let filled = |text: &str| text.replace("SETTING", &setting).replace("TYPE", nstype.as_ref());
    write(&own, &filled(PLUGIN))?;
    write(&conf, &filled(CONF))?;
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

/// Writes a file that is not there yet.
fn write(path: &Path, text: &str) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
