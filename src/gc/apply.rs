//! Removes what was found, each looked at once more.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::used::Used;
use super::{Orphan, What};
use crate::config::remembered;
use crate::engine::{Direct, leftovers, state};
use crate::name::{Instance, NsName};
use crate::netns::ownership;
use crate::netns::{self, Deleted};
use crate::paths::Paths;
use crate::sys::file;

/// Removes orphans.
#[derive(Debug)]
pub struct Collector<'a> {
    paths: &'a Paths,
}

impl<'a> Collector<'a> {
    /// One for this machine.
    #[must_use]
    pub fn new(paths: &'a Paths) -> Self {
        Self { paths }
    }

    /// Removes one; `false`: it is to stay.
    /// Errors: it cannot be removed, or is not what it was any more.
    pub fn remove(&self, orphan: &Orphan) -> Result<bool> {
        match &orphan.what {
            What::Foreign | What::Odd => return Ok(false),
            What::Namespace(name, ours) => {
                self.unneeded(name)?;
                ensure!(
                    netns::delete_ours(self.paths, name, ours)? != Deleted::NotOurs,
                    "namespace `{name}` was made anew by somebody else meanwhile, and is left alone"
                );
                if ownership::noted(self.paths, name).is_ok_and(|noted| noted == Some(*ours)) {
                    remove(&self.paths.ownership(name))?;
                }
            }
            What::Debris(name) => {
                self.unneeded(name)?;
                netns::remove_leftover(self.paths, name)?;
            }
            What::Note(name, text) => {
                self.unneeded(name)?;
                self.remove_note(name, text)?;
            }
            What::PartiallyUp(name, instances) => self.recover(name, instances)?,
            What::Instance(instance) => self.down_outside(instance)?,
            What::Lock(name) => drop(state::try_lock(self.paths, name)?), // which removes it
            What::File => remove(&orphan.path)?,
        }
        Ok(true)
    }

    fn unneeded(&self, name: &NsName) -> Result<()> {
        ensure!(!Used::ask(self.paths)?.needs(name), "a unit needs namespace `{name}` meanwhile");
        Ok(())
    }

    fn remove_note(&self, name: &NsName, text: &str) -> Result<()> {
        let note = self.paths.ownership(name);
        if file::read_text(&note).is_ok_and(|found| found == text) { remove(&note) } else { Ok(()) }
    }

    /// The direct engine puts right what it has left; it looks anew how far that is.
    fn recover(&self, name: &NsName, instances: &[Instance]) -> Result<()> {
        let Some(mut locked) = state::try_lock(self.paths, name)? else {
            bail!("somebody works on namespace `{name}` meanwhile");
        };
        Direct::of(self.paths, false)?.recover(&mut locked)?;
        for instance in instances {
            let memory = self.paths.remembered(instance);
            ensure!(
                !memory.exists(),
                "`{instance}` still remembers what it has made, in {}",
                memory.display()
            );
            remove(&self.paths.log(instance))?;
        }
        Ok(())
    }

    /// What it remembers is what its own hook needs to remove what it has made.
    fn down_outside(&self, instance: &Instance) -> Result<()> {
        let Some(locked) = state::try_lock(self.paths, &instance.name)? else {
            bail!("somebody works on namespace `{}` meanwhile", instance.name);
        };
        ensure!(locked.stage(&instance.nstype).is_none(), "the direct engine has brought it up meanwhile");
        let used = Used::ask(self.paths)?;
        ensure!(!used.instances.contains(instance), "its unit is up meanwhile");
        ensure!(!used.made.contains(&instance.name), "a unit has made its namespace meanwhile");
        leftovers::remove(self.paths, &locked, instance)?;
        remembered::forget(self.paths, instance)
    }
}

fn remove(path: &Path) -> Result<()> {
    file::remove(path)?;
    // A directory of drop-ins goes with the last one.
    if let Some(directory) =
        path.parent().filter(|directory| directory.extension().is_some_and(|end| end == "d"))
    {
        match fs::remove_dir(directory) {
            Err(error) if [ErrorKind::DirectoryNotEmpty, ErrorKind::NotFound].contains(&error.kind()) => {}
            done => done.with_context(|| format!("cannot remove {}", directory.display()))?,
        }
    }
    Ok(())
}
