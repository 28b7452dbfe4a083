//! Checks that a hook runs in the right namespace, and writes the bash variables that describe this namespace.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::name::{NsName, Phase};
use crate::netns::ownership;
use crate::netns::{Id, Identity, current};
use crate::paths::{GLOBAL_NETNS, Paths};
use crate::print;

/// The namespace of this process, for plugins.
#[derive(Debug)]
pub struct Location {
    /// The namespace of PID 1. `None` without the privilege to read it, as in a user namespace.
    global: Option<Id>,
    current: Id,
    /// `None` if the namespace has no name.
    name: Option<String>,
}

impl Location {
    /// The variables as a line of bash.
    #[must_use]
    pub fn assignments(&self) -> String {
        let mut line = format!(
            "GLOBAL_NETNS_ID='{}' CURRENT_NETNS_ID='net:[{}]'",
            self.global.map(|id| format!("net:[{}]", id.inode)).unwrap_or_default(),
            self.current.inode
        );
        let name = shell_words::quote(self.name.as_deref().unwrap_or_default());
        write!(line, " CURRENT_NETNS_NAME={name}").expect("writing to a String cannot fail");
        line
    }

    /// Whether the namespace has this name.
    #[must_use]
    pub fn has_name(&self, name: &NsName) -> bool {
        self.name.as_deref() == Some(name.as_ref())
    }

    /// The variables that a hook gets in the right namespace. If the namespace does not exist, the inode is 0.
    #[must_use]
    pub fn expected(paths: &Paths, name: &NsName) -> Self {
        let current = Id::of(&paths.namespace(name)).unwrap_or(Id { device: 0, inode: 0 });
        Self { global: global().ok(), current, name: Some(name.to_string()) }
    }
}

/// The line of bash that unsets the variables for an outside hook. With `lost`, it also sets `NSNAME_LOST=yes`: the namespace
/// was deleted, or replaced by a foreign one.
#[must_use]
pub fn outside(lost: bool) -> String {
    let unset = "unset -v GLOBAL_NETNS_ID CURRENT_NETNS_ID CURRENT_NETNS_NAME";
    if lost { format!("{unset}; NSNAME_LOST=yes") } else { format!("{unset} NSNAME_LOST") }
}

fn global() -> Result<Id> {
    Id::of(GLOBAL_NETNS.as_ref()).context("cannot read the namespace of PID 1 (are you root?)")
}

/// Checks that this process is in the namespace `name`. On `down`, returns `None` if this process is in a foreign namespace.
/// Errors: this process is in the namespace of PID 1. On `up`, any other wrong namespace is an error, too.
pub fn check_inside(
    paths: &Paths,
    name: &NsName,
    phase: Phase,
    ours: Option<&Identity>,
) -> Result<Option<Location>> {
    let global = global();
    let current = current()?;
    if global.as_ref().is_ok_and(|global| current == *global) {
        bail!(
            "current netns is the global netns: run this in the namespace `{name}`, for example with `ip netns exec {name}`"
        );
    }
    let is_named = Id::of(&paths.namespace(name)).is_ok_and(|wanted| wanted == current);
    if !ours.map_or(Ok(true), Identity::is_current)? {
        // A foreign namespace has nothing to undo.
        if phase == Phase::Down {
            print::warn(&format!(
                "this is not the namespace that was created as `{name}`: no hook is run in it"
            ));
            return Ok(None);
        }
        if is_named {
            bail!("{}", ownership::replaced(name));
        }
    }
    if is_named {
        return Ok(Some(Location { global: global.ok(), current, name: Some(name.to_string()) }));
    }
    // Without the name, only this comparison shows that the namespace is not that of PID 1.
    let global = Some(global?);
    let found = name_of(paths, current);
    let found_text = found.as_deref().map_or("has no name".to_owned(), |found| format!("is `{found}`"));
    let message = format!("current netns {found_text}, not the required `{name}`");
    if phase == Phase::Up {
        bail!("{message}");
    }
    // The name may have been deleted manually. The hook must still run in our namespace.
    print::warn(&format!("{message}; continuing, to remove leftovers"));
    Ok(Some(Location { global, current, name: found }))
}

/// The name of a namespace; if several names exist, the first in alphabetical order.
fn name_of(paths: &Paths, id: Id) -> Option<String> {
    let entries = fs::read_dir(&paths.netns).ok()?;
    entries
        .flatten()
        .filter(|entry| Id::of(&entry.path()).is_ok_and(|found| found == id))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .min()
}
