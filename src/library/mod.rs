//! The part of the plugin library that this program does: the functions of `src/bash` call it as
//! `netnsinit --library INSTANCE SIDE HOOK FUNCTION ARGUMENT...`.
//!
//! A plugin states what should exist. The library makes it, and records it as an object of the instance (`record`). Each kind of
//! object has its own file or folder, which makes, compares and removes it. So an error of a hook, `down` and `check` need no code
//! in the plugin.

mod daemon;
mod forward;
mod host_firewall;
mod host_table;
pub mod link;
pub mod ports;
mod record;
pub mod sysctl;
mod time_span;
mod wireguard;

use std::ffi::{OsStr, OsString};
use std::fs::File;

use anyhow::{Context, Result, bail};

use crate::config::layers::Layers;
use crate::config::remembered;
use crate::name::{Instance, NsName, Side};
use crate::netns::{self, Entered};
use crate::paths::{GLOBAL_NETNS, Paths};
use crate::print;
use crate::sys::file;
pub use daemon::supervise;
pub use forward::strict_filter;
pub use host_table::{HostTables, OrphanTable, PREFIX as TABLE_PREFIX, masqueraded};
use link::settings::Invalid;
pub use ports::{claimed, proxy, serve, stays_awake, units_to_wake};
use record::Object;
pub use record::Record;

/// A call of a library function by a hook.
pub struct Call<'a> {
    paths: &'a Paths,
    instance: Instance,
    /// The side of the hook, so the namespace of this process.
    side: Side,
    /// Identifies the hook. What this hook has made is removed if it fails.
    hook: String,
    /// Whether the commands are printed.
    trace: bool,
}

/// Runs a library function for a hook.
/// Errors: the function is unknown, or fails.
pub fn run(paths: &Paths, arguments: &[OsString]) -> Result<()> {
    let words: Vec<&str> = arguments
        .iter()
        .map(|word| word.to_str().context("an argument is not UTF-8"))
        .collect::<Result<_>>()?;
    let [instance, side, hook, trace, function, rest @ ..] = words.as_slice() else {
        bail!("expected INSTANCE SIDE HOOK TRACE FUNCTION");
    };
    let call = Call {
        paths,
        instance: instance.parse()?,
        side: Side::new(OsStr::new(side))?,
        hook: (*hook).to_owned(),
        trace: *trace == "trace",
    };
    let done = match *function {
        "claim_ports" => ports::claim(&call, rest),
        "daemon_start" => daemon::start(&call, rest),
        "daemon_stop" => daemon::stop(&call, rest),
        "daemon_restart" => daemon::restart(&call, rest),
        "host_table_load" => host_table::load(&call, rest),
        "host_table_remove" => host_table::remove(&call, rest),
        "link_add" => link::add(&call, rest),
        "link_configure" => link::configure(&call, rest),
        "link_delete" => link::remove(&call, rest),
        "link_move" => link::move_in(&call, rest),
        "link_up" => link::up(&call, rest),
        "host_firewall" => host_firewall::set(&call, rest),
        "host_forward" => forward::set(&call, rest),
        "proxy_ports" => ports::start_proxy(&call, rest),
        "sysctl_set" => sysctl::set(&call, rest),
        "time_span" => time_span::convert(rest),
        "valid_ports" => ports::check(&call, rest),
        "valid_time_span" => time_span::check(rest),
        "wireguard_apply" => wireguard::apply(&call, rest),
        "wireguard_commands" => wireguard::commands(&call, rest),
        "wireguard_follow" => wireguard::follow(&call, rest),
        "wireguard_read" => wireguard::read(&call, rest),
        "finish" => finish(&call),
        "undo" => undo(&call),
        other => bail!("unknown library function `{other}`"),
    };
    done.map_err(|error| match error.downcast_ref::<Invalid>() {
        Some(invalid) => match place_of(paths, &call.instance, &invalid.setting) {
            Some(place) => error.context(place),
            None => error,
        },
        None => error,
    })
}

/// The place where a setting was set: `FILE:LINE`.
fn place_of(paths: &Paths, instance: &Instance, setting: &str) -> Option<String> {
    Layers::of(paths, instance).ok()?.place_of(setting)
}

/// Removes what this hook has made, in reverse order, after a failure.
fn undo(call: &Call) -> Result<()> {
    let mut record = call.record()?;
    record.remove(call.paths, |object| object.is_of(&call.hook), |object| object.undo(call))?;
    remembered::forget_if_empty(call.paths, &call.instance)
}

/// Removes what only earlier runs of the inside hook have made, after a success.
fn finish(call: &Call) -> Result<()> {
    let mut record = call.record()?;
    record.remove(call.paths, |object| object.is_stale(&call.hook), |object| object.undo(call))
}

/// Whether `up inside` must call `finish`: an earlier run of it has made objects that this run may not want any more. The functions
/// that the hook calls report a record that cannot be read.
#[must_use]
pub fn must_finish(paths: &Paths, instance: &Instance) -> bool {
    Record::read(paths, instance)
        .is_ok_and(|record| record.objects().iter().any(|object| object.is_stale("")))
}

/// Removes all recorded objects of an instance, in reverse order. `lost`: the name of the namespace does not belong to the
/// namespace of the instance any more.
/// Errors: an object cannot be removed. The others are removed.
pub fn remove(paths: &Paths, instance: &Instance, lost: bool) -> Result<()> {
    // A damaged record must not prevent the rest of the teardown.
    let mut record = match Record::read(paths, instance) {
        Ok(record) => record,
        Err(error) => {
            print::warn(&format!("{error:#}; the objects of `{instance}` are not removed"));
            return Ok(());
        }
    };
    // The direct engine does not use the other instances of the namespace any more.
    file::remove(&paths.woken(instance))?;
    if record.is_empty() {
        return link::remove_older(paths, instance, lost);
    }
    record.remove(paths, |_| true, |object| object.remove(paths, lost).map(|()| false))
}

/// Removes the recorded objects inside the namespace of this thread, which has lost its name.
/// Errors: an object cannot be removed. The others are removed.
pub fn remove_here(paths: &Paths, instance: &Instance) -> Result<()> {
    let mut record = Record::read(paths, instance)?;
    record.remove(paths, Object::is_inside, |object| object.remove_here(paths).map(|()| false))
}

/// A difference of an object from its recorded state.
#[derive(Debug)]
pub struct Drift {
    /// The line for the administrator.
    pub line: String,
    /// What repairs it.
    pub repair: Repair,
}

/// What repairs a difference of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// A restart.
    Restart,
    /// `down`, then `up`.
    Recreation,
    /// A change of the host by the administrator. The line has the next step.
    Host,
}

/// A setting of the host that may drop packets of an instance.
#[derive(Debug)]
pub struct HostSetting {
    /// The line for the administrator.
    pub line: String,
    /// The command that changes the setting.
    pub fix: String,
}

impl<'a> Call<'a> {
    /// A call on the host that only looks, by no hook.
    fn to_check(paths: &'a Paths, instance: &Instance) -> Self {
        Self { paths, instance: instance.clone(), side: Side::Outside, hook: String::new(), trace: false }
    }

    /// The record of the instance.
    fn record(&self) -> Result<Record> {
        Record::read(self.paths, &self.instance)
    }

    /// Prints a command that does the same as the next step, if the hook is traced.
    fn trace(&self, command: &str) {
        if self.trace {
            print::stderr_lines(&format!("+ {command}"));
        }
    }

    /// Moves this thread to the host.
    fn enter_host(&self) -> Result<Option<Entered>> {
        match self.side {
            Side::Outside => Ok(None),
            Side::Inside => enter_host().map(Some),
        }
    }

    /// Moves this thread to the namespace of the instance.
    fn enter_namespace(&self) -> Result<Option<Entered>> {
        match self.side {
            Side::Inside => Ok(None),
            Side::Outside => netns::enter(self.paths, &self.instance.name).map(Some),
        }
    }

    /// Moves this thread to a namespace, which is the own one or another one.
    fn enter_named(&self, name: &NsName) -> Result<Option<Entered>> {
        if *name == self.instance.name {
            return self.enter_namespace();
        }
        netns::enter(self.paths, name).map(Some)
    }
}

/// Moves this thread to the namespace of PID 1.
fn enter_host() -> Result<Entered> {
    let file =
        File::open(GLOBAL_NETNS).with_context(|| format!("cannot open {GLOBAL_NETNS} (are you root?)"))?;
    netns::enter_file(&file).context("cannot enter the namespace of the host")
}
