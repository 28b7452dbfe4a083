//! `netnsctl new`: creates a plugin from a template.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use clap_complete::ArgValueCandidates;

use super::{candidates, update};
use crate::config::header::PluginHeader;
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
    /// The template: daemon, wireguard or a shipped type
    #[arg(long, value_name = "TEMPLATE", default_value = "bridge", add = ArgValueCandidates::new(candidates::types))]
    pub like: NsType,
    /// Override a shipped type of the same name
    #[arg(long)]
    pub force: bool,
    /// Use the files below DIR, as in an image
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// A new plugin and the example of its `.conf` file, by the template `like`.
/// Errors: the template does not exist, or cannot be read.
fn files(paths: &Paths, like: &NsType, nstype: &NsType) -> Result<[String; 2]> {
    let setting = capitals(nstype);
    let filled = |text: &str| {
        // SETTING last: the name of a setting can contain the other words.
        let text = text.replace("TYPE", nstype.as_ref()).replace("DAEMON", &identifier(nstype));
        text.replace("SETTING", &setting)
    };
    let [plugin, settings] = match like.as_ref() {
        "wireguard" => [include_str!("templates/wireguard.sh"), include_str!("templates/wireguard.conf")],
        "daemon" => [include_str!("templates/daemon.sh"), include_str!("templates/daemon.conf")],
        _ => return copy(paths, like, nstype),
    };
    Ok([filled(plugin), filled(settings)])
}

/// A copy of a shipped plugin with another name, and its settings as comments.
fn copy(paths: &Paths, like: &NsType, nstype: &NsType) -> Result<[String; 2]> {
    let [_, shipped] = paths.plugin(like);
    let text = fs::read_to_string(&shipped).with_context(|| {
        format!("cannot read the template {}; hint: `netnsctl types` lists the types", shipped.display())
    })?;
    let (old, new) = (capitals(like), capitals(nstype));
    // In a comment, the name of a type can be another word, such as DHCP.
    let is_setting = PluginHeader::read(&text, like).settings.iter().any(|setting| setting.name == old);
    let renamed = text.split_inclusive('\n').map(|row| {
        let is_comment = row.trim_start().starts_with('#');
        let row = rename(row, &old, &new, is_setting || !is_comment);
        rename(&row, &identifier(like), &identifier(nstype), false)
    });
    let mut plugin: String = renamed.collect();
    // A type can have the name of a kind of interfaces, which stays.
    for form in ["# *: ", "*-NAME.", "*.conf", "*.rules", "all * instances", "configure_*_"] {
        plugin =
            replace_words(&plugin, &form.replace('*', like.as_ref()), &form.replace('*', nstype.as_ref()));
    }
    let mut settings = format!("# Settings of netns-{nstype}@example.service. This file is bash.\n");
    for setting in PluginHeader::read(&plugin, nstype).settings {
        settings += &format!("\n# {}\n#{}=\n", setting.description, setting.name);
    }
    Ok([plugin, settings])
}

/// The beginning of the names of the settings of a type.
fn capitals(nstype: &NsType) -> String {
    identifier(nstype).to_uppercase()
}

/// The name of a type as the beginning of a variable in bash, which has letters, digits and `_`, and does not begin with a digit.
fn identifier(nstype: &NsType) -> String {
    let name = nstype.as_ref().replace(|character: char| !character.is_ascii_alphanumeric(), "_");
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// Renames the variables and functions in a bash text that begin with `OLD_`, and those that are OLD, if `is_whole`. A library function gets
/// the beginning of the settings as an argument.
fn rename(text: &str, old: &str, new: &str, is_whole: bool) -> String {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut renamed = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.find(|character| !is_part(character)).unwrap_or(rest.len()));
        renamed += &match word.strip_prefix(old) {
            Some(end) if end.starts_with('_') || end.is_empty() && is_whole => format!("{new}{end}"),
            _ => word.to_owned(),
        };
        let (between, next) = after.split_at(after.find(is_part).unwrap_or(after.len()));
        renamed += between;
        rest = next;
    }
    renamed
}

/// Replaces a text where a word begins.
fn replace_words(text: &str, old: &str, new: &str) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(old) {
        let (before, found) = rest.split_at(at);
        replaced += before;
        let in_word = replaced.ends_with(|last: char| last.is_ascii_alphanumeric() || last == '_');
        replaced += if in_word { old } else { new };
        rest = &found[old.len()..];
    }
    replaced + rest
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
    for path in [&own, &conf] {
        let is_missing = fs::symlink_metadata(path).is_err();
        ensure!(
            is_missing,
            "{} exists already; hint: choose another type, or rename the file",
            path.display()
        );
    }
    let [plugin, settings] = files(&paths, &options.like, nstype)?;
    fs::create_dir_all(&paths.conf).with_context(|| format!("cannot create {}", paths.conf.display()))?;
    write(&own, &plugin)?;
    write(&conf, &settings).inspect_err(|_| _ = fs::remove_file(&own))?;
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
