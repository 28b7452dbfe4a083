//! Services and sockets of others that are put into a namespace, by a drop-in of their unit. [`dropin`] is its text,
//! [`fit`] what in the unit does not go together with it, [`members`] where its processes are, [`apply`] the one place that writes.

mod apply;
mod attachment;
pub mod bus;
mod compatibility;
mod dropin;
mod members;
mod preconditions;
mod running;
mod service_unit;
mod warnings;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

pub use attachment::{Attachment, Detachment};
pub use compatibility::reopened;
pub use dropin::{DropIn, with_resolver};
pub use members::{listed, members_in, release, renewal};
pub use service_unit::ServiceUnit;

use crate::config::plugin;
use crate::name::{Instance, NsName};
use crate::paths::Paths;
use crate::sys::file;

/// The name of the drop-in; those of `systemctl edit` (`override.conf`) sort behind it, and win.
pub const FILE: &str = "50-netns.conf";

/// What a drop-in of ours begins with. Without it, the file is somebody else's.
pub const HEADER: &str = "# Written by `netnsctl attach`";

/// A unit that a drop-in of ours puts into a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attached {
    /// The unit, with its suffix: `nginx.service`, `x@.service` for all of a template.
    pub unit: String,
    /// What it is bound to, all on one namespace.
    pub instances: Vec<Instance>,
    /// The namespace.
    pub namespace: NsName,
}

impl Attached {
    /// Whether it cannot start without the units of that type.
    #[must_use]
    pub fn needs(&self, nstype: &str) -> bool {
        self.instances.iter().any(|instance| instance.nstype.as_ref() == nstype)
    }

    /// What has to be done before the units of its types can go.
    #[must_use]
    pub fn advice(&self) -> String {
        let (unit, words) = (&self.unit, self.instances.iter().map(ToString::to_string).collect::<Vec<_>>());
        format!(
            "{unit} is attached to {}, and could not start without; run `netnsctl detach {}`, then run this again",
            words.join(" "),
            shell_words::quote(unit)
        )
    }
}

/// Every unit that is attached, in the order of the names.
/// Errors: the directory of the units is there and cannot be read.
pub fn attached(paths: &Paths) -> Result<Vec<Attached>> {
    if !paths.units.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in file::entries(&paths.units)? {
        let Some(name) = entry.file_name().to_str().and_then(|name| name.strip_suffix(".d")) else {
            continue;
        };
        let Ok(unit) = name.parse::<ServiceUnit>() else { continue };
        // What cannot be read, or is not ours, is no reason to hide the others.
        if let Ok(Found::Ours(text)) = look(paths, &unit) {
            let instances = dropin::instances(&text);
            if let Some(namespace) = instances.first().map(|instance| instance.name.clone()) {
                found.push(Attached { unit: unit.to_string(), instances, namespace });
            }
        }
    }
    Ok(found)
}

/// What stands at the place of the drop-in of a unit.
#[derive(Debug)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// What an attach wrote.
    Ours(String),
    /// A file that somebody else wrote.
    Foreign,
}

/// Looks whether a unit has a drop-in of ours.
/// Errors: it cannot be read.
pub fn look(paths: &Paths, unit: &ServiceUnit) -> Result<Found> {
    let path = place(paths, unit);
    if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
        return Ok(Found::Foreign); // a directory, or a pipe that nobody writes to
    }
    match fs::read(&path) {
        Ok(text) => Ok(String::from_utf8(text)
            .ok()
            .filter(|text| text.starts_with(HEADER))
            .map_or(Found::Foreign, Found::Ours)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Whether the drop-in of a unit hides the bus.
#[must_use]
pub fn bus_of(paths: &Paths, unit: &ServiceUnit) -> bus::Bus {
    match look(paths, unit) {
        Ok(Found::Ours(text)) => bus::Bus::of(&text),
        _ => bus::Bus::default(),
    }
}

/// Where the drop-in of a unit stands.
#[must_use]
pub fn place(paths: &Paths, unit: &ServiceUnit) -> PathBuf {
    paths.units.join(format!("{unit}.d")).join(FILE)
}

/// The one namespace that instances are on, each of a type that is there.
/// Errors: they are on several, or there is no such type.
pub fn namespace(paths: &Paths, instances: &[Instance]) -> Result<NsName> {
    for instance in instances {
        plugin::find(paths, &instance.nstype)?;
    }
    let names: BTreeSet<_> = instances.iter().map(|instance| &instance.name).collect();
    let (first, more) = (names.first(), names.len() > 1);
    let Some(name) = first else { bail!("no instance is named: write TYPE@NAME, as in `veth@shop`") };
    ensure!(
        !more,
        "a service is in one namespace, not in several: {}",
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    );
    Ok((*name).clone())
}
