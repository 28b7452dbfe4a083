//! Where a hook runs: whether that is where it should, and what plugins are told of it.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::name::{NsName, Phase};
use crate::netns::ownership;
use crate::netns::{Id, Identity, own};
use crate::paths::{GLOBAL_NETNS, Paths};
use crate::print;

/// Where this process is, as plugins are told of it.
#[derive(Debug)]
pub struct Location {
    /// `None` where PID 1 may not be asked, as in a user namespace.
    global: Option<Id>,
    current: Id,
    /// `None` in a namespace that has no name.
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
        write!(line, " CURRENT_NETNS_NAME={name}").expect("a String takes all");
        line
    }

    /// What a hook finds that runs where it should.
    ///
    /// A namespace that does not exist counts as one without an inode.
    #[must_use]
    pub fn expected(paths: &Paths, name: &NsName) -> Self {
        let current = Id::of(&paths.namespace(name)).unwrap_or(Id { device: 0, inode: 0 });
        Self { global: global().ok(), current, name: Some(name.to_string()) }
    }
}

/// The line of bash for a hook outside. `lost`: the name of its namespace stands for another one, or for none.
#[must_use]
pub fn outside(lost: bool) -> String {
    let unset = "unset -v GLOBAL_NETNS_ID CURRENT_NETNS_ID CURRENT_NETNS_NAME";
    if lost { format!("{unset}; NSNAME_LOST=yes") } else { format!("{unset} NSNAME_LOST") }
}

fn global() -> Result<Id> {
    Id::of(GLOBAL_NETNS.as_ref()).context("cannot tell the namespace of PID 1 (are you root?)")
}

/// Makes sure that this process is in the namespace `name`, and that this is `ours`, where that is known. `None`: it is another
/// one, in which there is nothing to take down.
/// Errors: this is the namespace of PID 1, or, on `up`, another one. On `down` the latter is only warned of: the name may have
/// been deleted by hand, and the hook still has to run in what is left, if that is ours.
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
            "current netns is the global netns: run this in the namespace `{name}`, e.g. by `ip netns exec {name}`"
        );
    }
    let is_named = Id::of(&paths.namespace(name)).is_ok_and(|wanted| wanted == current);
    if !ours.map_or(Ok(true), Identity::is_own)? {
        if phase == Phase::Down {
            print::warn(&format!(
                "this is not the namespace that was made as `{name}`: nothing is run in it, and it is left alone"
            ));
            return Ok(None);
        }
        if is_named {
            bail!("{}", ownership::other(name));
        }
    }
    if is_named {
        return Ok(Some(Location { global: global.ok(), current, name: Some(name.to_string()) }));
    }
    // In any other one, it has to be certain that it is not PID 1's.
    let global = Some(global?);
    let called = name_of(paths, current);
    let found = called.as_deref().map_or("has no name".to_owned(), |called| format!("is `{called}`"));
    let said = format!("current netns {found}, not the required `{name}`");
    if phase == Phase::Up {
        bail!("{said}");
    }
    print::warn(&format!("{said}; going on, to tear down what is left"));
    Ok(Some(Location { global, current, name: called }))
}

/// The name of a namespace, the first in the order of the alphabet.
fn name_of(paths: &Paths, id: Id) -> Option<String> {
    let entries = fs::read_dir(&paths.netns).ok()?;
    entries
        .flatten()
        .filter(|entry| Id::of(&entry.path()).is_ok_and(|found| found == id))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .min()
}
