//! The cause of an error of ip(8) about a new interface, and the next step. The text of ip(8) has an error of the kernel, or the kernel's
//! own words instead (`NL_SET_ERR_MSG`).

use anyhow::anyhow;
use nix::errno::Errno;

use super::super::Call;
use super::super::record::Record;
use super::LinkRecord;
use super::add::{is_unknown_kind, parent_index};
use super::settings::{Parent, invalid};
use crate::config::layers::Layers;
use crate::config::remembered;
use crate::name::Instance;

/// Adds the cause or the next step to an error of ip(8), or replaces it by the cause.
pub(super) fn with_cause(call: &Call, link: &LinkRecord, error: anyhow::Error) -> anyhow::Error {
    let text = format!("{error:#}");
    let is = |errno: Errno| text.contains(errno.desc());
    let others = OtherLinks::of(call, link);
    if is_unknown_kind(&text) {
        return anyhow!("{text}; hint: {}", unsupported(call, link));
    }
    if text.contains("already exists")
        && let Some(number) = link.word("id")
    {
        let setting = format!("{}_ID", link.label);
        let place =
            link.parent.as_ref().map_or_else(String::new, |parent| format!(" on '{}'", parent.ifname));
        let owner = others.owner(|other| other.word("id") == Some(number) && other.kind == link.kind);
        return invalid(
            setting,
            format!(
                "{owner} has the number '{number}' of the kind '{}'{place} already; fix: change one of the two",
                link.kind
            ),
        );
    }
    let Some(parent) = &link.parent else { return error };
    let setting = &parent.setting;
    if !parent_index(call, link).is_ok_and(|found| found.is_some()) {
        return anyhow!(
            "{text}; the parent '{}' was deleted; fix: create it again, or change {setting}",
            parent.ifname
        );
    }
    if is(Errno::EBUSY) {
        let owner = others.owner(|other| other.kind != link.kind);
        return anyhow!(
            "{text}; the parent is in use by {owner}: it cannot have both kinds; fix: change {setting}"
        );
    }
    let is_alone = |one: &LinkRecord| one.words.iter().any(|word| word == "passthru");
    if is(Errno::EINVAL)
        && (is_alone(link) && others.0.iter().any(|(_, other)| other.kind == link.kind)
            || others.0.iter().any(|(_, other)| is_alone(other)))
    {
        let owner = others.owner(|other| other.kind == link.kind);
        return anyhow!(
            "{text}; the parent is in use by {owner}: with the mode 'passthru' it has only one interface; fix: change the mode, or {setting}"
        );
    }
    // The last one is in the kernel's own words.
    if is(Errno::EINVAL) || is(Errno::EPERM) || text.contains("not supported") {
        let kind = &link.kind;
        return anyhow!(
            "{text}; hint: {setting} must be an interface that accepts the kind '{kind}', such as an Ethernet interface without other kinds"
        );
    }
    error
}

/// The interfaces of other instances that the new one may conflict with.
struct OtherLinks(Vec<(Instance, LinkRecord)>);

impl OtherLinks {
    /// Those on the same parent, or without a parent as `link`. Each instance reports its own damaged record.
    fn of(call: &Call, link: &LinkRecord) -> Self {
        let is_beside = |other: &&LinkRecord| match (&link.parent, &other.parent) {
            (Some(parent), Some(other)) => Parent::is_same(parent, other),
            _ => other.kind == link.kind,
        };
        let mut others = Vec::new();
        for instance in remembered::all(call.paths).unwrap_or_default() {
            let Ok(record) = Record::read(call.paths, &instance) else { continue };
            if instance != call.instance {
                others
                    .extend(record.links().filter(is_beside).map(|other| (instance.clone(), other.clone())));
            }
        }
        Self(others)
    }

    /// Describes the first one that is `wanted`.
    fn owner(&self, wanted: impl Fn(&LinkRecord) -> bool) -> String {
        let found = self.0.iter().find(|(_, other)| wanted(other));
        found.map_or("another interface".to_owned(), |(instance, other)| {
            format!("{} ({instance})", other.describe())
        })
    }
}

/// The hint about a kind, or the settings of its properties, that the kernel does not have.
fn unsupported(call: &Call, link: &LinkRecord) -> String {
    let layers = Layers::of(call.paths, &call.instance).ok();
    let is_set = |setting: &String| layers.as_ref().is_some_and(|layers| layers.place_of(setting).is_some());
    let settings = link.words.iter().map(|word| format!("{}_{}", link.label, word.to_uppercase()));
    let settings: Vec<String> = settings.filter(is_set).collect();
    let properties = match settings.as_slice() {
        [] => "one of these properties".to_owned(),
        settings => format!("what {} needs", settings.join(" or ")),
    };
    format!(
        "the kernel may not have the kind '{}', or {properties}: load its module, or use another kernel",
        link.kind
    )
}

impl LinkRecord {
    /// The value of a word after the kind, such as `id`.
    fn word(&self, name: &str) -> Option<&String> {
        self.words.windows(2).find(|pair| pair[0] == name).map(|pair| &pair[1])
    }
}
