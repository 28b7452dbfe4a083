//! Applies a plan: everything is written beside its place first, then all of it is renamed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::Flock;
use nix::unistd::syncfs;

use super::{Action, Change, Plan, Text};
use crate::paths::Paths;
use crate::sys::file::{self, Draft, sync_directory};

/// What came of a plan.
#[derive(Debug, Default)]
pub struct Applied {
    /// How many unit files were changed.
    pub changed: usize,
    /// What could not be done.
    pub errors: Vec<anyhow::Error>,
}

/// Waits until no other run works on the units.
/// Errors: there is no such directory, or it is locked for a minute.
pub fn lock(paths: &Paths) -> Result<Flock<File>> {
    file::lock_directory(&paths.units, Duration::from_secs(60))
}

impl Plan<'_> {
    /// Carries the plan out as far as possible, and calls `say` before each change.
    pub fn apply(&self, paths: &Paths, mut say: impl FnMut(&Change)) -> Applied {
        let mut applied = Applied::default();
        let mut drafts = Vec::new();
        if !self.is_done()
            && let Err(error) =
                file::remove_drafts(&paths.units, |name| super::type_of_unit_file(name).is_some())
        {
            applied.errors.push(error);
        }
        for change in self.to_do().filter(|change| change.action != Action::Remove) {
            match change.draft() {
                Ok(draft) => drafts.push((change, draft)),
                Err(error) => applied.errors.push(error),
            }
        }
        // One sync for all: a rename must not reach the disk before what it puts in place.
        if !drafts.is_empty()
            && let Err(error) = File::open(&paths.units).and_then(|directory| Ok(syncfs(directory)?))
        {
            applied.errors.push(anyhow::Error::new(error).context("cannot write the units to the disk"));
            return applied;
        }
        for (change, draft) in drafts {
            say(change);
            applied.count(change, draft.commit());
        }
        for change in self.to_do().filter(|change| change.action == Action::Remove) {
            say(change);
            applied.count(change, change.remove());
        }
        self.sync(paths, &mut applied);
        applied
    }

    /// Waits until what was removed and renamed is on the disk.
    fn sync(&self, paths: &Paths, applied: &mut Applied) {
        let mut directories: BTreeSet<&Path> = self.to_do().map(Change::directory).collect();
        if applied.changed > 0 {
            directories.insert(&paths.units);
        }
        let there = directories.into_iter().filter(|directory| directory.is_dir());
        applied.errors.extend(there.filter_map(|directory| sync_directory(directory).err()));
    }
}

impl Applied {
    fn count(&mut self, change: &Change, result: Result<()>) {
        match result {
            Ok(()) => self.changed += 1,
            Err(error) => self.errors.push(error.context(format!("{} failed", change.action))),
        }
    }
}

impl Change<'_> {
    fn draft(&self) -> Result<Draft> {
        match self.text.as_ref().context("nothing to write")? {
            Text::Template(template) => Draft::with_mtime(&self.path, &template.content, template.modified),
            Text::DropIn(text) => {
                let directory = self.directory();
                fs::create_dir_all(directory)
                    .with_context(|| format!("cannot create {}", directory.display()))?;
                Draft::of(&self.path, text.as_bytes())
            }
        }
    }

    fn remove(&self) -> Result<()> {
        file::remove(&self.path)?;
        if self.is_dropin() {
            // What is not empty has somebody else's drop-ins in it.
            _ = fs::remove_dir(self.directory());
        }
        Ok(())
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }
}
