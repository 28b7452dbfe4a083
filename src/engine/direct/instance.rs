//! One instance, up and down, hook by hook.

use std::fmt::Write;
use std::fs;

use anyhow::{Result, anyhow, bail};

use super::Direct;
use crate::config::remembered;
use crate::engine::state::{LockedState, Stage};
use crate::engine::{self, leftovers};
use crate::name::{NsType, Phase, Side};
use crate::netns::ownership;
use crate::netns::{self, Named};
use crate::print;

impl Direct {
    pub(super) fn up_one(&self, held: &mut LockedState, nstype: &NsType) -> Result<bool> {
        if held.stage(nstype) == Some(Stage::Up) {
            return Ok(false);
        }
        let instance = held.instance(nstype);
        _ = fs::remove_file(self.paths.log(&instance));
        let mut undone = Vec::new();
        let mut result = self.run(held, nstype, (Phase::Up, Side::Outside), false);
        if result.is_ok() {
            result = self
                .run(held, nstype, (Phase::Up, Side::Inside), false)
                .and_then(|()| self.still_there(held));
            if result.is_err() {
                undone.push("`down outside` was run".to_owned());
                if let Err(error) = self.run(held, nstype, (Phase::Down, Side::Outside), true) {
                    undone.push(format!("but: {error:#}"));
                }
            }
        }
        if let Err(error) = result {
            held.forget(nstype)?;
            if held.state.instances.is_empty()
                && !held.state.adopted
                && self.still_there(held).is_ok()
                && !engine::required(&self.paths)?.contains(&held.name)
            {
                undone.push(format!("namespace `{}` is removed", held.name));
            }
            return Err(match undone.as_slice() {
                [] => error.context(format!("cannot bring up `{instance}`")),
                _ => anyhow!("cannot bring up `{instance}`: {error:#}\n  undone: {}", undone.join("; ")),
            });
        }
        held.note(nstype, Stage::Up, None)?;
        Ok(true)
    }

    pub(super) fn down_one(&self, held: &mut LockedState, nstype: &NsType) -> Result<bool> {
        let instance = held.instance(nstype);
        if held.stage(nstype).is_none() {
            _ = fs::remove_file(self.paths.log(&instance));
            if remembered::exists(&self.paths, &instance) {
                leftovers::run(&self.paths, &self.runner, &instance)?;
                return Ok(true);
            }
            let name = &held.name;
            if held.state.namespace.is_none() && netns::look(&self.paths, name)? != Named::Nothing {
                print::warn(&format!(
                    "there is a namespace `{name}` that this engine knows nothing of, and leaves alone"
                ));
            }
            return Ok(false);
        }
        let errors = self.take_down(held, nstype, true)?;
        if errors.is_empty() {
            _ = fs::remove_file(self.paths.log(&instance));
            return Ok(true);
        }
        let errors: Vec<String> = errors.iter().map(|error| format!("{error:#}")).collect();
        Err(anyhow!("`{instance}` is down, but not all went well: {}", errors.join("\n  and ")))
    }

    pub(super) fn restart_one(&self, held: &mut LockedState, nstype: &NsType) -> Result<bool> {
        if held.stage(nstype).is_none() {
            return self.up_one(held, nstype);
        }
        let instance = held.instance(nstype);
        if let Err(error) = self.run(held, nstype, (Phase::Down, Side::Inside), false) {
            print::warn(&format!("`{instance}`: {error:#}; going on"));
        }
        let up =
            self.run(held, nstype, (Phase::Up, Side::Inside), false).and_then(|()| self.still_there(held));
        if let Err(error) = up {
            let mut undone = "`down outside` was run".to_owned();
            for error in self.take_down(held, nstype, false)? {
                _ = write!(undone, "; but: {error:#}");
            }
            bail!("cannot restart `{instance}`: {error:#}\n  undone: {undone}");
        }
        held.note(nstype, Stage::Up, None)?;
        Ok(true)
    }

    /// Runs the down hooks, each whatever comes of the other; returns what went wrong.
    pub(super) fn take_down(
        &self,
        held: &mut LockedState,
        nstype: &NsType,
        inside: bool,
    ) -> Result<Vec<anyhow::Error>> {
        let mut errors = Vec::new();
        if inside {
            errors.extend(self.run(held, nstype, (Phase::Down, Side::Inside), true).err());
        }
        errors.extend(self.run(held, nstype, (Phase::Down, Side::Outside), true).err());
        held.forget(nstype)?;
        Ok(errors)
    }

    /// Whether the namespace is the one that this is about: what has come up in it is lost with it.
    pub(super) fn still_there(&self, held: &LockedState) -> Result<()> {
        held.state.namespace.map_or(Ok(()), |ours| ownership::require(&self.paths, &held.name, &ours))
    }

    /// Runs one hook, and notes that it is run.
    pub(super) fn run(
        &self,
        held: &mut LockedState,
        nstype: &NsType,
        hook: (Phase, Side),
        whatever_comes: bool,
    ) -> Result<()> {
        let instance = held.instance(nstype);
        let stage = Stage::of(hook.0, hook.1);
        let ours = held.state.namespace;
        let done = self.runner.run(&instance, hook, whatever_comes, ours.as_ref(), |process| {
            match held.note(nstype, stage, process) {
                // A tear-down goes on without its note: to take it down twice, after a crash, does no harm.
                Err(error) if whatever_comes => {
                    print::warn(&format!("{error:#}"));
                    Ok(())
                }
                noted => noted,
            }
        });
        if done.is_err() && hook.1 == Side::Outside {
            remembered::mark_unfinished(&self.paths, &instance)?;
        }
        done
    }
}
