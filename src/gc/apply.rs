//! Removes the orphans, each after a second check.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::used::Used;
use super::{Orphan, OrphanKind};
use crate::config::{plugin, remembered};
use crate::engine::state::{self, LockedState};
use crate::engine::{Direct, leftovers};
use crate::library::sysctl;
use crate::name::{Instance, NsName};
use crate::netns::ownership;
use crate::netns::{self, Deletion};
use crate::paths::Paths;
use crate::sys::file;

/// Removes orphans.
#[derive(Debug)]
pub struct Collector<'a> {
    paths: &'a Paths,
}

impl<'a> Collector<'a> {
    /// Creates a collector.
    #[must_use]
    pub fn new(paths: &'a Paths) -> Self {
        Self { paths }
    }

    /// Removes an orphan. Returns `false` if the orphan stays because of its kind.
    /// Errors: the orphan is needed or was changed since the search, or cannot be removed.
    pub fn remove(&self, orphan: &Orphan) -> Result<bool> {
        match &orphan.kind {
            OrphanKind::Foreign | OrphanKind::Unusable => return Ok(false),
            OrphanKind::Namespace(name, ours) => {
                self.ensure_unneeded(name)?;
                ensure!(
                    netns::delete_ours(self.paths, name, ours)? != Deletion::Foreign,
                    "{}",
                    ownership::not_deleted(name)
                );
                if ownership::recorded(self.paths, name).is_ok_and(|recorded| recorded == Some(*ours)) {
                    remove(&self.paths.ownership(name))?;
                }
            }
            OrphanKind::LeftoverFile(name) => {
                self.ensure_unneeded(name)?;
                netns::remove_leftover(self.paths, name)?;
            }
            OrphanKind::OwnershipRecord(name, text) => {
                self.ensure_unneeded(name)?;
                self.remove_record(name, text)?;
            }
            OrphanKind::PartiallyUp(name, instances) => self.recover(name, instances)?,
            OrphanKind::Instance(instance) => self.run_down_outside(instance)?,
            OrphanKind::Sysctl(variable, instance) => sysctl::release_lost(self.paths, variable, instance)?,
            OrphanKind::Table(table) => table.remove()?,
            // Dropping the lock removes its file.
            OrphanKind::Lock(name) => drop(state::try_lock(self.paths, name)?),
            OrphanKind::File => remove(&orphan.path)?,
        }
        Ok(true)
    }

    fn ensure_unneeded(&self, name: &NsName) -> Result<()> {
        ensure!(!Used::query(self.paths)?.needs(name), "a unit now needs namespace `{name}`");
        Ok(())
    }

    /// Removes an ownership record, unless its text has changed.
    fn remove_record(&self, name: &NsName, text: &str) -> Result<()> {
        let record = self.paths.ownership(name);
        if file::read_text(&record).is_ok_and(|found| found == text) { remove(&record) } else { Ok(()) }
    }

    /// Locks a namespace.
    /// Errors: another process holds the lock, or the state cannot be read.
    fn lock(&self, name: &NsName) -> Result<LockedState> {
        state::try_lock(self.paths, name)?
            .with_context(|| format!("another process is working on namespace `{name}`"))
    }

    /// Lets the direct engine roll back its unfinished work. The engine reads the state again.
    fn recover(&self, name: &NsName, instances: &[Instance]) -> Result<()> {
        let mut locked = self.lock(name)?;
        Direct::of(self.paths, false)?.recover(&mut locked)?;
        for instance in instances {
            let remembered = self.paths.remembered(instance);
            ensure!(
                !remembered.exists(),
                "`{instance}` still has remembered values in {}",
                remembered.display()
            );
            remove(&self.paths.log(instance))?;
        }
        Ok(())
    }

    /// Runs the `down outside` hook of an instance. The hook reads the remembered values.
    fn run_down_outside(&self, instance: &Instance) -> Result<()> {
        if let Err(error) = plugin::find(self.paths, &instance.nstype) {
            let path = self.paths.remembered(instance);
            bail!(
                "{error:#}; hint: restore the plugin, or forget the leftovers with `rm {}`",
                path.display()
            );
        }
        let locked = self.lock(&instance.name)?;
        ensure!(locked.stage(&instance.nstype).is_none(), "the direct engine has brought the instance up");
        let used = Used::query(self.paths)?;
        ensure!(!used.instances.contains(instance), "the unit of the instance is now active");
        ensure!(!used.created.contains(&instance.name), "a unit has created the namespace of the instance");
        leftovers::remove(self.paths, &locked, instance)?;
        remembered::forget(self.paths, instance)
    }
}

/// Removes a file. An empty drop-in directory is removed with its last file.
fn remove(path: &Path) -> Result<()> {
    file::remove(path)?;
    if let Some(directory) =
        path.parent().filter(|directory| directory.extension().is_some_and(|end| end == "d"))
    {
        match fs::remove_dir(directory) {
            Err(error) if [ErrorKind::DirectoryNotEmpty, ErrorKind::NotFound].contains(&error.kind()) => {}
            result => result.with_context(|| format!("cannot remove {}", directory.display()))?,
        }
    }
    Ok(())
}
