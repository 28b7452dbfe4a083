//! An interface of an earlier run whose settings have changed: changes it, or deletes it, so that `link_add` creates it again.

use anyhow::{Context, Result};

use super::super::Call;
use super::super::record::Record;
use super::add::name_is_taken;
use super::{LinkRecord, ip, remove};
use crate::netlink;
use crate::print;

/// Sets the properties of an existing interface that differ from the words after its kind.
pub(super) fn set_words(call: &Call, link: &LinkRecord) -> Result<()> {
    let _there = link.place.enter(call)?;
    change(call, link, &link.drifted_words())
}

/// Sets properties of the kind of an interface, in the namespace of this thread.
fn change(call: &Call, link: &LinkRecord, properties: &[String]) -> Result<()> {
    if properties.is_empty() {
        return Ok(());
    }
    let words = ["link", "set", "dev", &link.end.ifname, "type", &link.kind].into_iter();
    let words: Vec<&str> = words.chain(properties.iter().map(String::as_str)).collect();
    call.trace(&format!("ip {}", words.join(" ")));
    ip(&words).with_context(|| format!("cannot change {}", link.describe()))
}

/// Applies a changed parent, or changed words after the kind, to the interface of an earlier run: deletes it, if the kernel cannot change it. The
/// kernel may also ignore a change. A property that is not set any more gets its default only in a new interface.
pub(super) fn replace(
    call: &Call,
    record: &Record,
    link: &mut LinkRecord,
    present: Option<&str>,
) -> Result<()> {
    let Some(earlier) = record.links().find(|one| one.has_label_of(link)) else { return Ok(()) };
    let _there = link.place.enter(call)?;
    let Some(found) = earlier.find()? else { return take_name(link, present) };
    let has_same_parent = match (&earlier.parent, &link.parent) {
        (Some(one), Some(other)) => one.is_same(other),
        (one, other) => one.is_none() && other.is_none(),
    };
    // Another program can have replaced it: then its packets may not leave from the same namespace.
    let is_own = earlier.is_configured_one(&found);
    let try_change = |words: &[String]| change(call, link, words).is_ok();
    // ip(8) may show the same words differently: a restart must not cut off a service.
    let is_current = || earlier.words == link.words && try_change(&link.drifted_words());
    // Only what differs, if possible: the kernel refuses to set the mode of a bond with ports, even to the present value.
    let is_changed = || {
        earlier.words.len() <= link.words.len()
            && [link.words_to_change(earlier), link.words.clone()]
                .iter()
                .any(|words| try_change(words) && link.drifted_words().is_empty())
    };
    if is_own && has_same_parent && (is_current() || is_changed()) {
        return Ok(());
    }
    let cause = if is_own { "the kernel cannot change it" } else { "another program has replaced it" };
    take_name(link, present)?;
    let name = &link.end.ifname;
    let new_name = if *name == earlier.end.ifname { String::new() } else { format!(" as '{name}'") };
    print::say(&format!("{} is created again{new_name}, because {cause}", earlier.describe()));
    call.trace(&format!("{} link delete dev {}", earlier.place.ip(), earlier.end.ifname));
    remove::delete(earlier, &found)
}

/// Gives an interface that is going to be created again, in the namespace of this thread, the name of its setting: it may contain the
/// property that has changed, and rules of a firewall use the name.
/// Errors: another interface has the name.
fn take_name(link: &mut LinkRecord, present: Option<&str>) -> Result<()> {
    let Some(present) = present.filter(|present| *present != link.end.ifname) else { return Ok(()) };
    present.clone_into(&mut link.end.ifname);
    if netlink::link_named(present)?.is_some() {
        return Err(name_is_taken(link));
    }
    Ok(())
}

impl LinkRecord {
    /// The words after the kind that the interface, in the namespace of this thread, does not have any more.
    fn drifted_words(&self) -> Vec<String> {
        self.changed_words(&self.end.ifname).into_iter().flat_map(|changed| changed.words).collect()
    }

    /// The words after the kind that differ from the interface, or from the `earlier` words, which ip(8) may not show. Most words are pairs;
    /// if one is not, the kernel refuses the result, and all words are set.
    fn words_to_change(&self, earlier: &Self) -> Vec<String> {
        let drifted = self.changed_words(&self.end.ifname);
        let differs = |pair: &[String]| {
            drifted.iter().any(|changed| changed.words == pair)
                || !earlier.words.chunks(2).any(|other| other == pair)
        };
        self.words.chunks(2).filter(|pair| differs(pair)).flatten().cloned().collect()
    }
}
