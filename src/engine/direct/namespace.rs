//! Creates the namespace before the first hook, and deletes it after the last hook. Takes down instances that are only
//! partially up.

use anyhow::{Result, bail};

use super::Direct;
use crate::engine::schedule::Need;
use crate::engine::state::{LockedState, Stage};
use crate::name::NsName;
use crate::netns::{self, Identity, NameState, ownership};
use crate::print;
use crate::sys::file;

impl Direct {
    /// Takes down the instances that a killed command has left partially up. If the namespace was deleted manually, takes all
    /// its instances down.
    pub(super) fn undo_interrupted(&self, locked: &mut LockedState) -> Result<()> {
        for entry in locked.state.instances.iter().filter(|entry| entry.stage != Stage::Up) {
            self.runner.terminate_leftovers(&locked.instance(&entry.nstype), entry.hook);
        }
        let name = locked.name.clone();
        let Some(ours) = locked.state.namespace else { return Ok(()) };
        let exists = self.still_exists(&name, ours)?;
        for entry in locked.state.instances.clone().into_iter().rev() {
            let instance = locked.instance(&entry.nstype);
            if !exists {
                print::warn(&format!("namespace `{name}` was deleted manually: taking `{instance}` down"));
            } else if entry.stage == Stage::Up {
                continue;
            } else {
                print::warn(&format!("`{instance}` is partially up: taking it down first"));
                locked.undone.push(entry.nstype.clone());
            }
            let inside = exists && entry.stage == Stage::DownInside;
            for error in self.run_down_hooks(locked, &entry.nstype, inside)? {
                print::warn(&format!("{error:#}"));
            }
        }
        if !exists {
            locked.state.namespace = None;
            locked.save()?;
        }
        Ok(())
    }

    /// Whether the recorded namespace still exists. Removes the leftover file of an incomplete creation.
    fn still_exists(&self, name: &NsName, ours: Identity) -> Result<bool> {
        match netns::inspect(&self.paths, name)? {
            NameState::Namespace(_) if ours.has_name(&self.paths, name)? => return Ok(true),
            NameState::Namespace(_) => print::warn(&replaced(name)),
            NameState::Leftover => _ = netns::delete(&self.paths, name)?,
            NameState::Missing => {}
        }
        Ok(false)
    }

    /// Creates or adopts the namespace, as needed.
    /// Errors: the namespace is foreign, or cannot be created, read or recorded.
    pub(super) fn ensure_namespace(&self, locked: &mut LockedState, need: Need) -> Result<()> {
        if locked.state.namespace.is_some() || need == Need::Release {
            return Ok(());
        }
        let name = locked.name.clone();
        match netns::inspect(&self.paths, &name)? {
            NameState::Namespace(_) if need == Need::Exist => Ok(()),
            NameState::Namespace(_) if self.adopt => {
                let found = Identity::of_name(&self.paths, &name)?;
                (locked.state.namespace, locked.state.adopted) = (Some(found), true);
                locked.save()
            }
            NameState::Namespace(_) if ownership::recorded(&self.paths, &name)?.is_some() => bail!(
                "namespace `{name}` belongs to units of systemd; fix: leave out `--engine direct`, or `netnsctl down {name}` first"
            ),
            NameState::Namespace(_) => bail!(
                "namespace `{name}` was not created by the direct engine; fix: `ip netns delete {name}`, or take it over with --adopt"
            ),
            NameState::Missing | NameState::Leftover => {
                file::remove(&self.paths.closed(&name))?;
                let created = netns::create(&self.paths, &name, |id| {
                    (locked.state.namespace, locked.state.adopted) = (Some(id), false);
                    locked.save()
                });
                if created.is_err() {
                    locked.state.namespace = None;
                    locked.save()?;
                }
                created
            }
        }
    }

    /// Deletes the namespace if it has no more instances. An adopted namespace is not deleted, only forgotten. The caller has
    /// checked that no instance requires the namespace.
    pub(super) fn delete_if_empty(&self, locked: &mut LockedState) -> Result<()> {
        let Some(ours) = locked.state.namespace else { return Ok(()) };
        if !locked.state.instances.is_empty() {
            return Ok(());
        }
        if !locked.state.adopted
            && netns::delete_ours(&self.paths, &locked.name, &ours)? == netns::Deletion::Foreign
        {
            print::warn(&replaced(&locked.name));
        }
        file::remove(&self.paths.closed(&locked.name))?;
        locked.state.namespace = None;
        locked.save()
    }
}

fn replaced(name: &NsName) -> String {
    format!("namespace `{name}` was deleted and re-created by another program; the new one is not changed")
}
