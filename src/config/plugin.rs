//! Plugins: finds the `TYPE.sh` of a type, and lists the types and the configured instances.

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

/// Finds the plugin of a type: the administrator's plugin, or else the shipped one. An unusable administrator's plugin is an
/// error; the shipped one does not replace it.
/// Errors: no plugin exists, and the message has both paths; or the plugin is not a regular file, or not readable.
pub fn find(paths: &Paths, nstype: &NsType) -> Result<PathBuf> {
    let [own, shipped] = paths.plugin(nstype);
    for path in [&own, &shipped] {
        let Some(mode) = mode(path)? else { continue };
        // Saves a system call if every user can read the file.
        if mode & 0o444 != 0o444 {
            access(path, AccessFlags::R_OK)
                .with_context(|| format!("cannot read plugin {}", path.display()))?;
        }
        return Ok(path.clone());
    }
    bail!("cannot find plugin `{nstype}`: neither {} nor {} exists", own.display(), shipped.display())
}

/// The permissions of a plugin; `None` if it does not exist. Symbolic links are followed.
fn mode(path: &Path) -> Result<Option<u32>> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(Some(found.permissions().mode())),
        Ok(_) => bail!("plugin {} is not a regular file", path.display()),
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
            bail!("plugin {} is a dangling symbolic link", path.display())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read plugin {}", path.display())),
    }
}

/// All types of a machine, and problems with their files.
#[derive(Debug, Default)]
pub struct Listing {
    /// The types that have a plugin.
    pub types: BTreeSet<NsType>,
    /// A message for each skipped file: its type is invalid, or has no usable plugin, or a unit name would be too long.
    pub problems: Vec<String>,
}

/// Lists the types: each `TYPE.sh` in either directory. A `.conf` file without a plugin is a problem.
/// Errors: the administrator's directory is missing, or one of the directories cannot be read. The directory of the shipped
/// plugins can be missing.
pub fn list(paths: &Paths) -> Result<Listing> {
    list_in(paths, &file::entries(&paths.conf)?)
}

/// Lists the types like [`list`]. Both directories can be missing.
/// Errors: one of the directories exists and cannot be read.
pub fn known(paths: &Paths) -> Result<BTreeSet<NsType>> {
    let entries = if paths.conf.exists() { file::entries(&paths.conf)? } else { Vec::new() };
    Ok(list_in(paths, &entries)?.types)
}

fn list_in(paths: &Paths, entries: &[DirEntry]) -> Result<Listing> {
    let mut candidates = candidates_in(entries, &["sh", "conf"]);
    if paths.share.exists() {
        candidates.extend(candidates_in(&file::entries(&paths.share)?, &["sh"]));
    }
    let mut listing = Listing::default();
    for (nstype, file) in candidates {
        let nstype = match NsType::new(nstype.as_ref()) {
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
        // The units of a type with an unusable plugin are not removed.
        if own.is_file() || shipped.is_file() {
            listing.types.insert(nstype);
        }
    }
    listing.problems.extend(too_long(paths, entries));
    Ok(listing)
}

/// The possible types in the file names of a directory: the part before the first hyphen, of files with these extensions. Dot
/// files, irregular files and `default` are ignored.
fn candidates_in(entries: &[DirEntry], extensions: &[&str]) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for entry in entries {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy();
        let Some((stem, extension)) = name.rsplit_once('.') else { continue };
        let nstype = stem.split('-').next().unwrap_or_default();
        if name.starts_with('.') || !extensions.contains(&extension) || nstype == "default" {
            continue;
        }
        if !entry.file_type().is_file() && !path.is_file() {
            continue; // neither a regular file nor a link to one
        }
        found.entry(nstype.to_owned()).or_insert_with(|| path.to_owned());
    }
    found
}

/// Lists the configured instances: those with a plugin and their own file. This is `TYPE-NAME.conf`, or a file that the plugin
/// declares, such as `nft-NAME.rules`.
/// Errors: the administrator's directory exists and cannot be read.
pub fn configured(paths: &Paths) -> Result<Vec<Instance>> {
    if !paths.conf.exists() {
        return Ok(Vec::new());
    }
    let files = instance_files(paths, &file::entries(&paths.conf)?);
    // `list` reports names that are too long.
    let found: BTreeSet<Instance> =
        files.into_iter().filter_map(|(_, nstype, name)| Instance::new(nstype, name).ok()).collect();
    Ok(found.into_iter().collect())
}

/// Lists the configured instances of a namespace; see [`configured`].
/// Errors: as for [`configured`]; or a unit name of an instance would be too long.
pub fn configured_for(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    if !paths.conf.exists() {
        return Ok(Vec::new());
    }
    let files = instance_files(paths, &file::entries(&paths.conf)?).into_iter();
    let types: BTreeSet<NsType> =
        files.filter(|(_, _, other)| other == name).map(|(_, nstype, _)| nstype).collect();
    types.into_iter().map(|nstype| Instance::new(nstype, name.clone())).collect()
}

/// The files that configure instances, each with the type and the name of its instance. Files of types without a plugin are
/// left out.
fn instance_files(paths: &Paths, entries: &[DirEntry]) -> Vec<(PathBuf, NsType, NsName)> {
    let mut found = Vec::new();
    // `None` for a type without a plugin.
    let mut types: BTreeMap<NsType, Option<Declaration>> = BTreeMap::new();
    for entry in entries {
        let Some(file) = entry.file_name().to_str() else { continue };
        let Some((nstype, rest)) = file.split_once('-') else { continue };
        let Ok(nstype) = nstype.parse::<NsType>() else { continue };
        let declared = types.entry(nstype.clone()).or_insert_with(|| {
            let has_plugin = paths.plugin(&nstype).iter().any(|path| path.is_file());
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

/// The messages for files of instances that are skipped because a unit name would be too long.
fn too_long(paths: &Paths, entries: &[DirEntry]) -> Vec<String> {
    let message = |(path, nstype, name): (PathBuf, NsType, NsName)| {
        let error = Instance::new(nstype, name).err()?;
        Some(format!("{}: {error:#}; skipped", printable(&path)))
    };
    instance_files(paths, entries).into_iter().filter_map(message).collect()
}

/// Whether an instance has its own configuration file; see [`configured`].
#[must_use]
pub fn is_configured(paths: &Paths, instance: &Instance) -> bool {
    paths.conf_of(instance).is_file()
        || Declaration::of(paths, &instance.nstype)
            .files_of(instance)
            .any(|file| paths.conf.join(file).symlink_metadata().is_ok())
}

/// The declarations of types. Each plugin is read once.
#[must_use]
pub fn declarations(paths: &Paths, types: &BTreeSet<NsType>) -> BTreeMap<NsType, Declaration> {
    types.iter().map(|nstype| (nstype.clone(), Declaration::of(paths, nstype))).collect()
}

/// The types whose declaration meets a condition.
pub fn declaring(
    declared: &BTreeMap<NsType, Declaration>,
    is_met: impl Fn(&Declaration) -> bool,
) -> BTreeSet<NsType> {
    declared.iter().filter(|(_, one)| is_met(one)).map(|(nstype, _)| nstype.clone()).collect()
}

/// The types that use the interfaces of other types, each with those types.
#[must_use]
pub fn after_links(declared: &BTreeMap<NsType, Declaration>) -> BTreeMap<NsType, Vec<NsType>> {
    let links: Vec<NsType> = declaring(declared, Declaration::creates_links_first).into_iter().collect();
    declaring(declared, |one| one.after_links).into_iter().map(|nstype| (nstype, links.clone())).collect()
}
