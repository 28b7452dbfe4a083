//! Plugins: `TYPE.sh`, where each is found, and which types there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::unistd::{AccessFlags, access};
use walkdir::DirEntry;

use super::declaration::Declaration;
use crate::name::{Instance, NsName, NsType};
use crate::paths::Paths;
use crate::sys::file::{self, printable};

/// Finds the plugin of a type: the administrator's, else the one that ships.
/// Errors: no such file (both places are named), not a regular file, or not readable. Something odd at the administrator's
/// place is an error, not a reason to run the other one.
pub fn find(paths: &Paths, nstype: &NsType) -> Result<PathBuf> {
    let [own, shipped] = paths.plugin(nstype);
    for place in [&own, &shipped] {
        let Some(mode) = mode(place)? else { continue };
        // What all may read need not be asked for.
        if mode & 0o444 != 0o444 {
            access(place, AccessFlags::R_OK)
                .with_context(|| format!("cannot read plugin {}", place.display()))?;
        }
        return Ok(place.clone());
    }
    bail!("cannot find plugin `{nstype}`: neither {} nor {} exists", own.display(), shipped.display())
}

/// The permissions of a regular file, or of what a link leads to; `None` for nothing at all.
fn mode(place: &Path) -> Result<Option<u32>> {
    match fs::metadata(place) {
        Ok(found) if found.is_file() => Ok(Some(found.permissions().mode())),
        Ok(_) => bail!("plugin {} is not a regular file", place.display()),
        Err(error) if error.kind() == ErrorKind::NotFound && place.is_symlink() => {
            bail!("plugin {} is a symbolic link to nothing", place.display())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot look at plugin {}", place.display())),
    }
}

/// All types of a machine, and what is wrong with the files that should tell.
#[derive(Debug, Default)]
pub struct Listing {
    /// Every type that has a plugin.
    pub types: BTreeSet<NsType>,
    /// A line for each file that makes no type, though it looks as if it should.
    pub problems: Vec<String>,
}

/// Lists the types: every `TYPE.sh` in either directory. A `.conf` asks for a plugin, too.
/// Errors: the administrator's directory cannot be read. The one of the shipped plugins may be missing.
pub fn list(paths: &Paths) -> Result<Listing> {
    list_in(paths, &file::entries(&paths.conf)?)
}

/// The same, where the administrator's directory may be missing, too.
/// Errors: one of the directories is there and cannot be read.
pub fn known(paths: &Paths) -> Result<BTreeSet<NsType>> {
    let entries = if paths.conf.exists() { file::entries(&paths.conf)? } else { Vec::new() };
    Ok(list_in(paths, &entries)?.types)
}

fn list_in(paths: &Paths, entries: &[DirEntry]) -> Result<Listing> {
    let mut wanted = candidates(entries, &["sh", "conf"]);
    if paths.share.exists() {
        wanted.extend(candidates(&file::entries(&paths.share)?, &["sh"]));
    }
    let mut listing = Listing::default();
    for (word, file) in wanted {
        let nstype = match NsType::new(word.as_ref()) {
            Ok(nstype) => nstype,
            Err(error) => {
                listing.problems.push(format!("{}: {error}; skipped", printable(&file)));
                continue;
            }
        };
        let Err(error) = find(paths, &nstype) else {
            listing.types.insert(nstype);
            continue;
        };
        let [own, shipped] = paths.plugin(&nstype);
        listing.problems.push(if own.symlink_metadata().is_err() && shipped.symlink_metadata().is_err() {
            let (file, own) = (printable(&file), own.display());
            format!("{own} does not exist, but {file} needs it; type `{nstype}` skipped")
        } else {
            format!("{error:#}")
        });
        // Something is in the way, or cannot be read: no reason to take its units away.
        if own.is_file() || shipped.is_file() {
            listing.types.insert(nstype);
        }
    }
    listing.problems.extend(too_long(paths, entries));
    Ok(listing)
}

/// The words in front of the first hyphen of all files of a directory with these extensions, each with one file that has it. Dot files,
/// directories and whatever is no file are left out, and so is `default`.
fn candidates(entries: &[DirEntry], extensions: &[&str]) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for entry in entries {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy();
        let Some((stem, extension)) = name.rsplit_once('.') else { continue };
        let word = stem.split('-').next().unwrap_or_default();
        if name.starts_with('.') || !extensions.contains(&extension) || word == "default" {
            continue;
        }
        if !entry.file_type().is_file() && !path.is_file() {
            continue; // no file, and no link to one
        }
        found.entry(word.to_owned()).or_insert_with(|| path.to_owned());
    }
    found
}

/// Every instance that is configured by a file of its own and has a plugin: `TYPE-NAME.conf`, or a file that the plugin
/// declares, such as `nft-NAME.rules`.
/// Errors: the administrator's directory is there and cannot be read.
pub fn configured(paths: &Paths) -> Result<Vec<Instance>> {
    if !paths.conf.exists() {
        return Ok(Vec::new());
    }
    let named = named_in(paths, &file::entries(&paths.conf)?);
    // The listing reports names that are too long.
    let found: BTreeSet<Instance> =
        named.into_iter().filter_map(|(_, nstype, name)| Instance::new(nstype, name).ok()).collect();
    Ok(found.into_iter().collect())
}

/// Every instance that is configured for a namespace; see [`configured`].
/// Errors: as for [`configured`]; or the names of the units of one would be too long.
pub fn configured_for(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    if !paths.conf.exists() {
        return Ok(Vec::new());
    }
    let named = named_in(paths, &file::entries(&paths.conf)?).into_iter();
    let types: BTreeSet<NsType> =
        named.filter(|(_, _, other)| other == name).map(|(_, nstype, _)| nstype).collect();
    types.into_iter().map(|nstype| Instance::new(nstype, name.clone())).collect()
}

/// The files that configure an instance, with its type, which has a plugin, and its namespace.
fn named_in(paths: &Paths, entries: &[DirEntry]) -> Vec<(PathBuf, NsType, NsName)> {
    let mut found = Vec::new();
    // `None` for a type that has no plugin.
    let mut types: BTreeMap<NsType, Option<Declaration>> = BTreeMap::new();
    for entry in entries {
        let Some(file) = entry.file_name().to_str() else { continue };
        let Some((word, rest)) = file.split_once('-') else { continue };
        let Ok(nstype) = word.parse::<NsType>() else { continue };
        let declared = types.entry(nstype.clone()).or_insert_with(|| {
            let has_plugin = paths.plugin(&nstype).iter().any(|place| place.is_file());
            has_plugin.then(|| Declaration::of(paths, &nstype))
        });
        let Some(declared) = declared else { continue };
        let name = if let Some(name) = rest.strip_suffix(".conf") {
            Some(name).filter(|_| entry.path().is_file())
        } else {
            declared.name_in(file)
        };
        if let Some(Ok(name)) = name.map(str::parse) {
            found.push((entry.path().to_owned(), nstype, name));
        }
    }
    found
}

/// The files of instances that are ignored, since the unit names would be too long. A message each.
fn too_long(paths: &Paths, entries: &[DirEntry]) -> Vec<String> {
    let message = |(path, nstype, name): (PathBuf, NsType, NsName)| {
        let error = Instance::new(nstype, name).err()?;
        Some(format!("{}: {error:#}; skipped", printable(&path)))
    };
    named_in(paths, entries).into_iter().filter_map(message).collect()
}

/// Whether an instance is configured by a file of its own; see [`configured`].
#[must_use]
pub fn is_configured(paths: &Paths, instance: &Instance) -> bool {
    paths.conf_of(instance).is_file()
        || Declaration::of(paths, &instance.nstype)
            .files_of(instance)
            .any(|file| paths.conf.join(file).symlink_metadata().is_ok())
}

/// Those of `types` that provide a firewall.
#[must_use]
pub fn firewalls(paths: &Paths, types: &BTreeSet<NsType>) -> BTreeSet<NsType> {
    types.iter().filter(|nstype| Declaration::of(paths, nstype).firewall).cloned().collect()
}
