//! Plugins: `TYPE.sh`, where each is found, and which types there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::unistd::{AccessFlags, access};

use crate::file;
use crate::name::NsType;
use crate::paths::Paths;

/// Finds the plugin of a type: the administrator's, else the one that ships.
///
/// # Errors
/// No such file (both places are named), not a regular file, or not readable. Something odd at the administrator's
/// place is an error, not a reason to run the other one.
pub fn find(paths: &Paths, nstype: &NsType) -> Result<PathBuf> {
    let [own, shipped] = paths.plugin(nstype);
    for place in [&own, &shipped] {
        if is_file(place)? {
            access(place, AccessFlags::R_OK)
                .with_context(|| format!("cannot read plugin {}", place.display()))?;
            return Ok(place.clone());
        }
    }
    bail!("cannot find plugin `{nstype}`: neither {} nor {} exists", own.display(), shipped.display())
}

/// Whether there is a regular file, or a link to one; `false` for nothing at all.
fn is_file(place: &Path) -> Result<bool> {
    match fs::metadata(place) {
        Ok(found) if found.is_file() => Ok(true),
        Ok(_) => bail!("plugin {} is not a regular file", place.display()),
        Err(error) if error.kind() == ErrorKind::NotFound && place.is_symlink() => {
            bail!("plugin {} is a symbolic link to nothing", place.display())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot look at plugin {}", place.display())),
    }
}

/// All types of a machine, and what is wrong with the files that should tell.
#[derive(Debug, Default)]
pub struct Listing {
    /// Every type that has a plugin.
    pub types: BTreeSet<NsType>,
    /// A line for each file that makes no type, though it looks as if it should.
    pub complaints: Vec<String>,
}

/// Lists the types: every `TYPE.sh` in either directory. A `.conf` asks for a plugin, too.
///
/// # Errors
/// The administrator's directory cannot be read. The one of the shipped plugins may be missing.
pub fn list(paths: &Paths) -> Result<Listing> {
    let mut wanted = candidates(&paths.conf, &["sh", "conf"])?;
    if paths.share.exists() {
        wanted.extend(candidates(&paths.share, &["sh"])?);
    }
    let mut listing = Listing::default();
    for (word, file) in wanted {
        let nstype = match NsType::new(word.as_ref()) {
            Ok(nstype) => nstype,
            Err(error) => {
                listing.complaints.push(format!("{}: {error}; skipped", printable(&file)));
                continue;
            }
        };
        let [own, shipped] = paths.plugin(&nstype);
        if own.symlink_metadata().is_err() && shipped.symlink_metadata().is_err() {
            let (file, own) = (file.display(), own.display());
            listing
                .complaints
                .push(format!("{own} does not exist, but {file} needs it; type `{nstype}` skipped"));
        } else if let Err(error) = find(paths, &nstype) {
            listing.complaints.push(format!("{error:#}"));
        }
        if own.is_file() || shipped.is_file() {
            listing.types.insert(nstype);
        }
    }
    Ok(listing)
}

/// The words in front of the first hyphen of all files with these extensions, each with one file that has it. Dot files,
/// directories and whatever is no file are left out, and so is `default`.
fn candidates(directory: &Path, extensions: &[&str]) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in file::entries(directory)? {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy();
        let Some((stem, extension)) = name.rsplit_once('.') else { continue };
        let word = stem.split('-').next().unwrap_or_default();
        if name.starts_with('.') || !extensions.contains(&extension) || word == "default" || !path.is_file() {
            continue;
        }
        found.entry(word.to_owned()).or_insert_with(|| path.to_owned());
    }
    Ok(found)
}

/// A path for a message, which has to stay on one line.
fn printable(path: &Path) -> String {
    let mut text = String::new();
    for character in path.to_string_lossy().chars() {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}
