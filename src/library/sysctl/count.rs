//! The sysctls of the host that instances have set. Several instances can set one to the same value. The last one to go restores the
//! value before the first one.
//!
//! Each sysctl has a file in /run/systemd-netns/sysctls. A count is written before its sysctl is set, and removed after its sysctl is
//! restored. So a process that is killed between the two steps leaves a count that can be released again.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::fcntl::Flock;
use serde::{Deserialize, Serialize};

use super::super::enter_host;
use super::Before;
use super::key::{Value, line};
use super::variable::KernelVariable;
use crate::name::Instance;
use crate::paths::Paths;
use crate::sys::file::{self, Draft};

/// Time to wait for the lock. Its holders only write some small files.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// The instances that have set a sysctl of the host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Count {
    /// The sysctl.
    #[serde(flatten)]
    pub variable: KernelVariable,
    /// The value that all instances have set.
    #[serde(flatten)]
    value: Value,
    pub(super) before: Before,
    /// The instances, in the order in which they have set it.
    pub owners: Vec<Instance>,
}

/// All counts, locked: no other process changes them.
#[derive(Debug)]
pub struct Counts<'a> {
    directory: &'a Path,
    _lock: Flock<File>,
}

impl<'a> Counts<'a> {
    /// Locks the counts.
    /// Errors: the directory cannot be created, or another process holds the lock for too long.
    pub fn lock(paths: &'a Paths) -> Result<Self> {
        let directory = paths.sysctls.as_path();
        let lock = file::lock_private(directory, LOCK_TIMEOUT)?;
        Ok(Self { directory, _lock: lock })
    }

    fn path(&self, variable: &KernelVariable) -> PathBuf {
        path(self.directory, variable)
    }

    fn read(&self, variable: &KernelVariable) -> Result<Option<Count>> {
        read(&self.path(variable))
    }

    fn save(&self, count: &Count) -> Result<()> {
        Draft::of(&self.path(&count.variable), &serde_json::to_vec(count)?)?.commit()
    }

    /// Checks that no other instance has set another value.
    /// Errors: another instance has, or the count cannot be read.
    pub fn check(&self, variable: &KernelVariable, value: &str, instance: &Instance) -> Result<()> {
        let Some(count) = self.read(variable)? else { return Ok(()) };
        if let Some(other) = count.owners.iter().find(|owner| *owner != instance) {
            ensure!(count.value.is(value), "`{other}` has set it to '{}'", line(&count.value.wanted));
        }
        Ok(())
    }

    /// Counts an instance, and sets a sysctl in the namespace of this thread, which is the one of the host.
    /// Errors: the kernel refuses the value, and then nothing is changed; or the count cannot be written.
    pub fn set(&self, variable: &KernelVariable, value: &mut Value, instance: &Instance) -> Result<()> {
        let earlier = self.read(variable)?;
        let mut count = earlier.clone().map_or_else(|| Count::new(variable, value), Ok)?;
        if !count.owners.contains(instance) {
            count.owners.push(instance.clone());
        }
        if !count.value.is(&value.wanted) {
            count.value = value.clone();
        }
        self.save(&count)?;
        if let Err(error) = variable.key.write(&mut count.value) {
            match earlier {
                Some(earlier) => self.save(&earlier)?,
                None => file::remove(&self.path(variable))?,
            }
            return Err(error);
        }
        *value = count.value.clone();
        self.save(&count)
    }

    /// Removes an instance from the count of a sysctl. After the last one, the value before is restored.
    /// Errors: the kernel refuses, or the count cannot be written.
    pub fn release(&self, variable: &KernelVariable, instance: &Instance) -> Result<()> {
        let Some(mut count) = self.read(variable)? else { return Ok(()) };
        if !count.owners.contains(instance) {
            return Ok(());
        }
        count.owners.retain(|owner| owner != instance);
        if !count.owners.is_empty() {
            return self.save(&count);
        }
        {
            let _host = enter_host()?;
            count.before.restore(&count.variable, &count.value, "on the host")?;
        }
        file::remove(&self.path(variable))
    }
}

impl Count {
    /// The count of a sysctl that no instance has set yet.
    fn new(variable: &KernelVariable, value: &Value) -> Result<Self> {
        let before = Before::new(&variable.key, variable.key.read()?)?;
        Ok(Self { variable: variable.clone(), value: value.clone(), before, owners: Vec::new() })
    }
}

/// The path of the count of a sysctl.
pub fn path(directory: &Path, variable: &KernelVariable) -> PathBuf {
    // A count of an older version has the name of the interface. It is used until its last instance has gone.
    let older = directory.join(variable.key.file_name());
    if older.exists() { older } else { directory.join(variable.file_name()) }
}

/// Reads the file of a count.
/// Errors: it cannot be read, or is damaged.
pub fn read(path: &Path) -> Result<Option<Count>> {
    let text = match file::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let count = serde_json::from_slice(&text);
    count.with_context(|| {
        format!("{} is damaged; fix: restore the sysctl, then remove the file", path.display())
    })
}
