//! Puts services and sockets into a namespace, with a drop-in for the unit.
//!
//! - [`dropin`]: the text of the drop-in;
//! - [`compatibility`]: settings of the unit that conflict with the namespace;
//! - [`circular`]: instances that require the unit that is attached to them;
//! - [`members`]: the processes of the unit, by network;
//! - [`findings`]: the messages that `attach` and `check` share;
//! - [`follow`]: starts units again when their namespace returns;
//! - [`apply`]: writes and removes the drop-in.

mod apply;
mod attachment;
pub mod bus;
mod circular;
mod compatibility;
mod dropin;
mod findings;
pub mod follow;
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
pub use circular::circular_dependency;
pub use dropin::{DropIn, resolver_instances};
pub use findings::{
    CYCLE_ADVICE, defeating_settings, exposing_mounts, joined_namespaces, misplaced_processes, missing_unit,
    overridden_namespace,
};
pub use follow::Follow;
pub use members::{list_processes, members_in, release_commands, restart_commands};
pub use service_unit::ServiceUnit;

use crate::config::plugin;
use crate::name::{Instance, NsName};
use crate::paths::Paths;
use crate::sys::file;

/// The file name of the drop-in. A drop-in of `systemctl edit` (`override.conf`) sorts later, and overrides this one.
pub const FILE: &str = "50-netns.conf";

/// The first line of a drop-in begins with this. A file without this header is foreign.
pub const HEADER: &str = "# Written by `netnsctl attach`";

/// An attached unit: a drop-in puts it into a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attached {
    /// The unit with its suffix: `nginx.service`, or `x@.service` for all instances of a template.
    pub unit: String,
    /// The instances that the unit is bound to, all on one namespace.
    pub instances: Vec<Instance>,
    /// The namespace.
    pub namespace: NsName,
    /// Whether the unit starts again when the namespace returns; `None` if an older version has attached it.
    pub follow: Option<Follow>,
}

impl Attached {
    /// Whether the unit requires the units of a type.
    #[must_use]
    pub fn needs(&self, nstype: &str) -> bool {
        self.instances.iter().any(|instance| instance.nstype.as_ref() == nstype)
    }

    /// Returns the advice to detach the unit first, for a command that removes the units of its types.
    #[must_use]
    pub fn advice(&self) -> String {
        let unit = &self.unit;
        let instances: Vec<String> = self.instances.iter().map(ToString::to_string).collect();
        format!(
            "{unit} is attached to {}; run `netnsctl detach {}`, then run this again",
            instances.join(" "),
            shell_words::quote(unit)
        )
    }
}

/// Lists the attached units, sorted by name. Unreadable and foreign drop-ins are skipped.
/// Errors: the directory of the units exists but cannot be read.
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
        if let Ok(DropInFile::Ours(text)) = read(paths, &unit) {
            let instances = dropin::instances(&text);
            if let Some(namespace) = instances.first().map(|instance| instance.name.clone()) {
                found.push(Attached {
                    unit: unit.to_string(),
                    follow: Follow::of(&text),
                    instances,
                    namespace,
                });
            }
        }
    }
    Ok(found)
}

/// The drop-in file of a unit, as read.
#[derive(Debug)]
pub enum DropInFile {
    /// The file does not exist.
    Missing,
    /// The text of a drop-in that `netnsctl attach` wrote.
    Ours(String),
    /// Another program wrote the file, or the path is not a regular file.
    Foreign,
}

/// Reads the drop-in of a unit.
/// Errors: the file cannot be read.
pub fn read(paths: &Paths, unit: &ServiceUnit) -> Result<DropInFile> {
    let path = drop_in_path(paths, unit);
    if fs::metadata(&path).is_ok_and(|found| !found.is_file()) {
        return Ok(DropInFile::Foreign); // a directory, or a FIFO, which would block
    }
    match fs::read(&path) {
        Ok(text) => Ok(String::from_utf8(text)
            .ok()
            .filter(|text| text.starts_with(HEADER))
            .map_or(DropInFile::Foreign, DropInFile::Ours)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(DropInFile::Missing),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The bus setting in the drop-in of a unit; undecided if the drop-in is missing, foreign or unreadable.
#[must_use]
pub fn bus_setting(paths: &Paths, unit: &ServiceUnit) -> bus::Bus {
    match read(paths, unit) {
        Ok(DropInFile::Ours(text)) => bus::Bus::of(&text),
        _ => bus::Bus::default(),
    }
}

/// The path of the drop-in of a unit.
#[must_use]
pub fn drop_in_path(paths: &Paths, unit: &ServiceUnit) -> PathBuf {
    paths.units.join(format!("{unit}.d")).join(FILE)
}

/// Returns the one namespace of instances.
/// Errors: the list is empty, there are several namespaces, or the plugin of a type is missing or unusable.
pub fn common_namespace(paths: &Paths, instances: &[Instance]) -> Result<NsName> {
    for instance in instances {
        plugin::find(paths, &instance.nstype)?;
    }
    let names: BTreeSet<_> = instances.iter().map(|instance| &instance.name).collect();
    let (first, more) = (names.first(), names.len() > 1);
    let Some(name) = first else { bail!("expected an instance TYPE@NAME, for example `veth@shop`") };
    ensure!(
        !more,
        "expected instances on one namespace, not on several: {}",
        names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    );
    Ok((*name).clone())
}
