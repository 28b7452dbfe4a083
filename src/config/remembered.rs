//! The remembered values of an instance, which pass from one hook to the next (`remember` and `recall` in `src/bash/library/remembered.sh`).
//! Plugins keep the names of the objects that they have created.
//!
//! The records of the objects that the plugin library has made (`crate::library`) are entries of the same file.
//!
//! The file is removed after `down outside` has completed. If `down outside` did not run or was killed, the file stays, because
//! it is the only record of leftovers. It is then marked, and the next `up outside` first runs `down outside`.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;

use anyhow::{Context, Result};

use crate::name::{Instance, NsName};
use crate::paths::Paths;
use crate::sys::file;

/// The entry that marks the file. The wrapper also writes it, and searches for it (`failure.sh`).
const UNFINISHED_MARK: &str = "__netns_left";

/// The prefix of an entry that records an object. bash reads such an entry as a variable, which is never used.
const OBJECT: &[u8] = b"__netns_object=";

/// Whether an instance has remembered values.
#[must_use]
pub fn exists(paths: &Paths, instance: &Instance) -> bool {
    paths.remembered(instance).exists()
}

/// Removes the remembered values of an instance.
/// Errors: the file cannot be removed.
pub fn forget(paths: &Paths, instance: &Instance) -> Result<()> {
    file::remove(&paths.remembered(instance))
}

/// Marks the remembered values, if there are any: `down outside` has not completed.
/// Errors: the file cannot be written.
pub fn mark_unfinished(paths: &Paths, instance: &Instance) -> Result<()> {
    let values = paths.remembered(instance);
    match file::open(&values, OpenOptions::new().append(true)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        opened => opened
            .and_then(|mut file| file.write_all(format!("{UNFINISHED_MARK}\0").as_bytes()))
            .with_context(|| format!("cannot write {}", values.display())),
    }
}

/// The value of a variable that was remembered as a string.
/// Errors: the file cannot be read.
pub fn value(paths: &Paths, instance: &Instance, variable: &str) -> Result<Option<String>> {
    let prefix = format!("{variable}=");
    let entries = entries(paths, instance)?;
    let value =
        |entry: &Vec<u8>| Some(String::from_utf8_lossy(entry.strip_prefix(prefix.as_bytes())?).into());
    Ok(entries.iter().rev().find_map(value))
}

/// The recorded objects of an instance, in the order in which they were recorded.
/// Errors: the file cannot be read.
pub fn objects(paths: &Paths, instance: &Instance) -> Result<Vec<Vec<u8>>> {
    let entries = entries(paths, instance)?;
    Ok(entries.iter().filter_map(|entry| entry.strip_prefix(OBJECT)).map(<[u8]>::to_vec).collect())
}

/// Replaces the recorded objects of an instance. Other values stay.
/// Errors: the file cannot be read or written.
pub fn set_objects(paths: &Paths, instance: &Instance, objects: &[Vec<u8>]) -> Result<()> {
    let others = entries(paths, instance)?.into_iter().filter(|entry| !entry.starts_with(OBJECT));
    let objects = objects.iter().map(|object| [OBJECT, object].concat());
    let text: Vec<u8> = objects.chain(others).flat_map(|entry| [entry.as_slice(), b"\0"].concat()).collect();
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&paths.remembered)
        .with_context(|| format!("cannot create {}", paths.remembered.display()))?;
    let path = paths.remembered(instance);
    // The name of a new version is the one of `remember` in the runtime, which gc knows.
    let new = path.with_file_name(format!("{instance}~"));
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
    written
        .inspect_err(|_| _ = fs::remove_file(&new))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Removes the file of an instance if it has no entries.
/// Errors: the file cannot be read or removed.
pub fn forget_if_empty(paths: &Paths, instance: &Instance) -> Result<()> {
    if entries(paths, instance)?.is_empty() { forget(paths, instance) } else { Ok(()) }
}

fn entries(paths: &Paths, instance: &Instance) -> Result<Vec<Vec<u8>>> {
    let path = paths.remembered(instance);
    let text = match file::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    Ok(text.split(|&byte| byte == 0).filter(|entry| !entry.is_empty()).map(<[u8]>::to_vec).collect())
}

/// The instances that have remembered values.
/// Errors: the directory cannot be read.
pub fn all(paths: &Paths) -> Result<Vec<Instance>> {
    if !paths.remembered.exists() {
        return Ok(Vec::new());
    }
    let entries = file::entries(&paths.remembered)?;
    Ok(entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// The instances of a namespace that have remembered values.
/// Errors: the directory cannot be read.
pub fn of_namespace(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    Ok(all(paths)?.into_iter().filter(|instance| instance.name == *name).collect())
}
