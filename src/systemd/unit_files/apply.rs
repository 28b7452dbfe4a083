//! Applies a plan. First, a draft of each file is written in the directory of the file. Then the drafts are renamed to the
//! files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::fcntl::Flock;
use nix::unistd::syncfs;

use super::{Action, Change, FileContent, Plan};
use crate::paths::Paths;
use crate::sys::file::{self, Draft, sync_directory};

/// The result of applying a plan.
#[derive(Debug, Default)]
pub struct Applied {
    /// The number of changed unit files.
    pub changed: usize,
    /// The failed changes.
    pub errors: Vec<anyhow::Error>,
}

/// Locks the directory of the units, and waits for another run if necessary.
/// Errors: the directory does not exist, or stays locked for a minute.
pub fn lock(paths: &Paths) -> Result<Flock<File>> {
    file::lock_directory(&paths.units, Duration::from_secs(60))
}

impl Plan<'_> {
    /// Applies the plan as far as possible. Calls `report` before each change.
    pub fn apply(&self, paths: &Paths, mut report: impl FnMut(&Change)) -> Applied {
        let mut applied = Applied::default();
        let mut drafts = Vec::new();
        if !self.is_up_to_date()
            && let Err(error) =
                file::remove_drafts(&paths.units, |name| super::type_of_unit_file(name).is_some())
        {
            applied.errors.push(error);
        }
        for change in self.pending().filter(|change| change.action != Action::Remove) {
            match change.draft() {
                Ok(draft) => drafts.push((change, draft)),
                Err(error) => applied.errors.push(error),
            }
        }
        // A rename must not reach the disk before the contents. One sync is enough for all files.
        if !drafts.is_empty()
            && let Err(error) = File::open(&paths.units).and_then(|directory| Ok(syncfs(directory)?))
        {
            applied.errors.push(anyhow::Error::new(error).context("cannot write the units to the disk"));
            return applied;
        }
        for (change, draft) in drafts {
            report(change);
            applied.count(change, draft.commit());
        }
        for change in self.pending().filter(|change| change.action == Action::Remove) {
            report(change);
            applied.count(change, change.remove());
        }
        self.sync(paths, &mut applied);
        applied
    }

    /// Waits until the removals and renames are on the disk.
    fn sync(&self, paths: &Paths, applied: &mut Applied) {
        let mut directories: BTreeSet<&Path> = self.pending().map(Change::directory).collect();
        if applied.changed > 0 {
            directories.insert(&paths.units);
        }
        let existing = directories.into_iter().filter(|directory| directory.is_dir());
        applied.errors.extend(existing.filter_map(|directory| sync_directory(directory).err()));
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
        match self.content.as_ref().context("nothing to write")? {
            FileContent::Template(template) => {
                Draft::with_mtime(&self.path, &template.content, template.modified)
            }
            FileContent::DropIn(text) => {
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
            // With an administrator's drop-ins the directory is not empty, and stays.
            _ = fs::remove_dir(self.directory());
        }
        Ok(())
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }
}
