//! What an instance remembers from one of its hooks to the next (`remember` and `recall` in `runtime.sh`): how what it has made is
//! called. It goes when `down outside` has come to its end. Where that never ran, or was killed, it stays, since it alone tells what
//! may be left, and is marked: so the next `up outside` has `down outside` run first.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};

use crate::name::{Instance, NsName};
use crate::paths::Paths;
use crate::sys::file;

/// The entry that marks it. The wrapper writes it as well, and looks for it (`failure.sh`).
const LEFT: &str = "__netns_left";

/// Whether an instance remembers anything.
#[must_use]
pub fn exists(paths: &Paths, instance: &Instance) -> bool {
    paths.remembered(instance).exists()
}

/// It is not needed any more.
/// Errors: it cannot be removed.
pub fn forget(paths: &Paths, instance: &Instance) -> Result<()> {
    file::remove(&paths.remembered(instance))
}

/// Marks it, if there is any: `down outside` has not come to its end.
/// Errors: it cannot be written to.
pub fn mark(paths: &Paths, instance: &Instance) -> Result<()> {
    let memory = paths.remembered(instance);
    match file::open(&memory, OpenOptions::new().append(true)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        opened => opened
            .and_then(|mut file| file.write_all(format!("{LEFT}\0").as_bytes()))
            .with_context(|| format!("cannot write {}", memory.display())),
    }
}

/// The instances on a namespace that remember something.
/// Errors: the directory cannot be read.
pub fn on(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    if !paths.remembered.exists() {
        return Ok(Vec::new());
    }
    let entries = file::entries(&paths.remembered)?;
    let instances = entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(instances.filter(|instance: &Instance| instance.name == *name).collect())
}
