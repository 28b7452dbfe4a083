//! The namespaces of instances: what was broken off on them is put right, they come before the first hook, and go after the last.

use anyhow::{Result, bail};

use super::Direct;
use crate::engine::schedule::Need;
use crate::engine::state::{LockedState, Stage};
use crate::name::NsName;
use crate::netns::{self, Identity, Named};
use crate::print;
use crate::sys::file;

impl Direct {
    /// Puts right what was broken off: a command that was killed, or a namespace that was deleted by hand.
    pub(super) fn settle(&self, held: &mut LockedState) -> Result<()> {
        for entry in held.state.instances.iter().filter(|entry| entry.stage != Stage::Up) {
            self.runner.end_left(&held.instance(&entry.nstype), entry.hook);
        }
        let name = held.name.clone();
        let Some(ours) = held.state.namespace else { return Ok(()) };
        let there = self.is_there(&name, ours)?;
        for entry in held.state.instances.clone().into_iter().rev() {
            let instance = held.instance(&entry.nstype);
            if !there {
                print::warn(&format!("namespace `{name}` was deleted by hand: taking `{instance}` down"));
            } else if entry.stage == Stage::Up {
                continue;
            } else {
                print::warn(&format!("`{instance}` was left half-way: taking it down first"));
            }
            let inside = there && entry.stage == Stage::DownInside;
            for error in self.take_down(held, &entry.nstype, inside)? {
                print::warn(&format!("{error:#}"));
            }
        }
        if !there {
            held.state.namespace = None;
            held.save()?;
        }
        Ok(())
    }

    /// Whether a namespace of ours is there; what an attempt of ours has left of it is removed.
    fn is_there(&self, name: &NsName, ours: Identity) -> Result<bool> {
        match netns::look(&self.paths, name)? {
            Named::Namespace(_) if ours.has_name(&self.paths, name)? => return Ok(true),
            Named::Namespace(_) => print::warn(&replaced(name)),
            Named::Debris => _ = netns::delete(&self.paths, name)?,
            Named::Nothing => {}
        }
        Ok(false)
    }

    pub(super) fn ensure_namespace(&self, held: &mut LockedState, need: Need) -> Result<()> {
        if held.state.namespace.is_some() || need == Need::Leave {
            return Ok(());
        }
        let name = held.name.clone();
        match netns::look(&self.paths, &name)? {
            Named::Namespace(_) if need == Need::Exist => Ok(()),
            Named::Namespace(_) if self.adopt => {
                let found = Identity::of_name(&self.paths, &name)?;
                (held.state.namespace, held.state.adopted) = (Some(found), true);
                held.save()
            }
            Named::Namespace(_) => bail!(
                "namespace `{name}` was made by somebody else, and is left alone; remove it by `ip netns delete {name}`, \
                 or take it over with --adopt"
            ),
            Named::Nothing | Named::Debris => {
                file::remove(&self.paths.closed(&name))?;
                let made = netns::create(&self.paths, &name, |id| {
                    (held.state.namespace, held.state.adopted) = (Some(id), false);
                    held.save()
                });
                if made.is_err() {
                    held.state.namespace = None;
                    held.save()?;
                }
                made
            }
        }
    }

    /// The namespace goes with the last instance that is in it or requires it, unless it was there before.
    pub(super) fn finish(&self, held: &mut LockedState) -> Result<()> {
        let Some(ours) = held.state.namespace else { return Ok(()) };
        if !held.state.instances.is_empty() {
            return Ok(());
        }
        if !held.state.adopted
            && netns::delete_ours(&self.paths, &held.name, &ours)? == netns::Deleted::NotOurs
        {
            print::warn(&replaced(&held.name));
        }
        file::remove(&self.paths.closed(&held.name))?;
        held.state.namespace = None;
        held.save()
    }
}

fn replaced(name: &NsName) -> String {
    format!(
        "namespace `{name}` was deleted by hand, and somebody else has made another one, which is left alone"
    )
}
