//! The remembered values of an instance, which pass from one hook to the next (`remember` and `recall` in `runtime.sh`).
//! Plugins keep the names of the objects that they have created.
//!
//! The file is removed after `down outside` has completed. If `down outside` did not run or was killed, the file stays, because
//! it is the only record of leftovers. It is then marked, and the next `up outside` first runs `down outside`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};

use crate::name::{Instance, NsName};
use crate::paths::Paths;
use crate::sys::file;

/// The entry that marks the file. The wrapper also writes it, and searches for it (`failure.sh`).
const UNFINISHED_MARK: &str = "__netns_left";

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

/// The instances of a namespace that have remembered values.
/// Errors: the directory cannot be read.
pub fn of_namespace(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    if !paths.remembered.exists() {
        return Ok(Vec::new());
    }
    let entries = file::entries(&paths.remembered)?;
    let instances = entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(instances.filter(|instance: &Instance| instance.name == *name).collect())
}
