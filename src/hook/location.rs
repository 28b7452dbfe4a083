//! The place where a hook runs: the check of its namespace, and the variables for plugins.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::name::{NsName, Phase};
use crate::netns::ownership;
use crate::netns::{Id, Identity, own};
use crate::paths::{GLOBAL_NETNS, Paths};
use crate::print;

/// The place of this process, for plugins.
#[derive(Debug)]
pub struct Location {
    /// `None` if reading the namespace of PID 1 is not permitted, as in a user namespace.
    global: Option<Id>,
    current: Id,
    /// `None` in a namespace without a name.
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

    /// The variables of a hook in its own namespace.
    ///
    /// A namespace that does not exist is treated as one without an inode.
    #[must_use]
    pub fn expected(paths: &Paths, name: &NsName) -> Self {
        let current = Id::of(&paths.namespace(name)).unwrap_or(Id { device: 0, inode: 0 });
        Self { global: global().ok(), current, name: Some(name.to_string()) }
    }
}

/// The line of bash for an outside hook. `lost`: the namespace of this name is missing or foreign.
#[must_use]
pub fn outside(lost: bool) -> String {
    let unset = "unset -v GLOBAL_NETNS_ID CURRENT_NETNS_ID CURRENT_NETNS_NAME";
    if lost { format!("{unset}; NSNAME_LOST=yes") } else { format!("{unset} NSNAME_LOST") }
}

fn global() -> Result<Id> {
    Id::of(GLOBAL_NETNS.as_ref()).context("cannot read the namespace of PID 1 (are you root?)")
}

/// Checks that this process is in the namespace `name`, and that this namespace is `ours`, if that is known. Returns `None` in a
/// foreign namespace on `down`: there is nothing to undo.
/// Errors: this is the namespace of PID 1; or, on `up`, another one. On `down` another namespace is only a warning: the name may
/// have been deleted manually, and the hook must still run in our namespace.
pub fn check_inside(
    paths: &Paths,
    name: &NsName,
    phase: Phase,
    ours: Option<&Identity>,
) -> Result<Option<Location>> {
    let global = global();
    let current = own()?;
    if global.as_ref().is_ok_and(|global| current == *global) {
        bail!(
            "current netns is the global netns: run this in the namespace `{name}`, for example with `ip netns exec {name}`"
        );
    }
    let is_named = Id::of(&paths.namespace(name)).is_ok_and(|wanted| wanted == current);
    if !ours.map_or(Ok(true), Identity::is_own)? {
        if phase == Phase::Down {
            print::warn(&format!("this is a foreign namespace in place of `{name}`: no hook is run in it"));
            return Ok(None);
        }
        if is_named {
            bail!("{}", ownership::other(name));
        }
    }
    if is_named {
        return Ok(Some(Location { global: global.ok(), current, name: Some(name.to_string()) }));
    }
    // In any other namespace, the namespace of PID 1 must be known.
    let global = Some(global?);
    let called = name_of(paths, current);
    let found = called.as_deref().map_or("has no name".to_owned(), |called| format!("is `{called}`"));
    let message = format!("current netns {found}, not the required `{name}`");
    if phase == Phase::Up {
        bail!("{message}");
    }
    print::warn(&format!("{message}; going on, to tear down what is left"));
    Ok(Some(Location { global, current, name: called }))
}

/// The name of a namespace. If several names exist, the first one in alphabetical order.
fn name_of(paths: &Paths, id: Id) -> Option<String> {
    let entries = fs::read_dir(&paths.netns).ok()?;
    entries
        .flatten()
        .filter(|entry| Id::of(&entry.path()).is_ok_and(|found| found == id))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .min()
}
