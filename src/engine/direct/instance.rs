//! Brings one instance up or down, or restarts it, hook by hook.

use std::fmt::Write;
use std::fs;

use anyhow::{Result, anyhow, bail};

use super::Direct;
use crate::config::remembered;
use crate::engine::state::{LockedState, Stage};
use crate::engine::{self, down_with_errors, leftovers, log};
use crate::name::{NsType, Phase, Side};
use crate::netns::ownership;
use crate::netns::{self, NameState};
use crate::print;

impl Direct {
    pub(super) fn up_instance(&self, locked: &mut LockedState, nstype: &NsType) -> Result<bool> {
        if locked.stage(nstype) == Some(Stage::Up) {
            return Ok(false);
        }
        let instance = locked.instance(nstype);
        _ = fs::remove_file(self.paths.log(&instance));
        let mut rollback = Vec::new();
        let mut result = self.run(locked, nstype, (Phase::Up, Side::Outside), false);
        if result.is_ok() {
            result = self
                .run(locked, nstype, (Phase::Up, Side::Inside), false)
                .and_then(|()| self.ensure_not_replaced(locked));
            if result.is_err() {
                rollback.push("ran `down outside`".to_owned());
                if let Err(error) = self.run(locked, nstype, (Phase::Down, Side::Outside), true) {
                    rollback.push(format!("error: {error:#}"));
                }
            }
        }
        if let Err(error) = result {
            locked.forget(nstype)?;
            if locked.state.instances.is_empty()
                && !locked.state.adopted
                && self.ensure_not_replaced(locked).is_ok()
                && !engine::required_namespaces(&self.paths)?.contains(&locked.name)
            {
                rollback.push(format!("namespace `{}` is removed", locked.name));
            }
            return Err(match rollback.as_slice() {
                [] => error.context(format!("cannot bring up `{instance}`")),
                _ => anyhow!("cannot bring up `{instance}`: {error:#}\n  rollback: {}", rollback.join("; ")),
            });
        }
        locked.record(nstype, Stage::Up, None)?;
        engine::print_warnings(&instance, &log::lines(&self.paths.log(&instance), 0));
        Ok(true)
    }

    pub(super) fn down_instance(&self, locked: &mut LockedState, nstype: &NsType) -> Result<bool> {
        let instance = locked.instance(nstype);
        if locked.stage(nstype).is_none() {
            _ = fs::remove_file(self.paths.log(&instance));
            if remembered::exists(&self.paths, &instance) {
                leftovers::run_down_outside(&self.paths, &self.runner, &instance)?;
                return Ok(true);
            }
            let name = &locked.name;
            if locked.state.namespace.is_none() && netns::inspect(&self.paths, name)? != NameState::Missing {
                print::warn(&format!(
                    "namespace `{name}` is not recorded by this engine, and is not deleted"
                ));
            }
            return Ok(false);
        }
        let errors = self.run_down_hooks(locked, nstype, true)?;
        if errors.is_empty() {
            _ = fs::remove_file(self.paths.log(&instance));
            return Ok(true);
        }
        let errors: Vec<String> = errors.iter().map(|error| format!("{error:#}")).collect();
        Err(down_with_errors(&instance, &errors.join("\n  and ")))
    }

    pub(super) fn restart_instance(&self, locked: &mut LockedState, nstype: &NsType) -> Result<bool> {
        if locked.stage(nstype).is_none() {
            return self.up_instance(locked, nstype);
        }
        let instance = locked.instance(nstype);
        let log = self.paths.log(&instance);
        let mut from = log::length(&log);
        if let Err(error) = self.run(locked, nstype, (Phase::Down, Side::Inside), false) {
            print::warn(&format!("`{instance}`: {error:#}; continuing"));
            from = log::length(&log); // the error has the lines of this hook
        }
        let up = self
            .run(locked, nstype, (Phase::Up, Side::Inside), false)
            .and_then(|()| self.ensure_not_replaced(locked));
        if let Err(error) = up {
            let mut rollback = "ran `down outside`".to_owned();
            for error in self.run_down_hooks(locked, nstype, false)? {
                _ = write!(rollback, "; error: {error:#}");
            }
            bail!("cannot restart `{instance}`: {error:#}\n  rollback: {rollback}");
        }
        locked.record(nstype, Stage::Up, None)?;
        engine::print_warnings(&instance, &log::lines(&log, from));
        Ok(true)
    }

    /// Runs the down hooks, and forgets the instance. `down outside` also runs after a failure of `down inside`. Returns the
    /// errors of the hooks.
    /// Errors: the state cannot be written.
    pub(super) fn run_down_hooks(
        &self,
        locked: &mut LockedState,
        nstype: &NsType,
        inside: bool,
    ) -> Result<Vec<anyhow::Error>> {
        let mut errors = Vec::new();
        if inside {
            errors.extend(self.run(locked, nstype, (Phase::Down, Side::Inside), true).err());
        }
        errors.extend(self.run(locked, nstype, (Phase::Down, Side::Outside), true).err());
        locked.forget(nstype)?;
        Ok(errors)
    }

    /// Checks that the name still belongs to the recorded namespace.
    /// Errors: the namespace was deleted or replaced, or cannot be read.
    pub(super) fn ensure_not_replaced(&self, locked: &LockedState) -> Result<()> {
        locked.state.namespace.map_or(Ok(()), |ours| ownership::require(&self.paths, &locked.name, &ours))
    }

    /// Runs one hook, and records the stage.
    pub(super) fn run(
        &self,
        locked: &mut LockedState,
        nstype: &NsType,
        hook: (Phase, Side),
        uninterruptible: bool,
    ) -> Result<()> {
        let instance = locked.instance(nstype);
        let stage = Stage::of(hook.0, hook.1);
        let ours = locked.state.namespace;
        let done = self.runner.run(&instance, hook, uninterruptible, ours.as_ref(), |process| {
            match locked.record(nstype, stage, process) {
                // A teardown continues without the record: a second teardown after a crash does no harm.
                Err(error) if uninterruptible => {
                    print::warn(&format!("{error:#}"));
                    Ok(())
                }
                recorded => recorded,
            }
        });
        if done.is_err() && hook.1 == Side::Outside {
            remembered::mark_unfinished(&self.paths, &instance)?;
        }
        done
    }
}
