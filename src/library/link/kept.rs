//! The settings that an interface keeps from its creation: a restart does not apply another value.

use anyhow::Result;

use super::super::record::Record;
use super::LinkRecord;
use super::settings::Settings;
use super::site::LinkSite;
use crate::name::Instance;

/// Compares an interface with those of its settings that a restart does not apply. Returns the name of each one with another value, and a
/// message with the next step.
/// Errors: a setting is invalid.
pub fn kept(
    record: &Record,
    instance: &Instance,
    prefix: &str,
    suffix: &str,
    words: &[&str],
) -> Result<Vec<(String, String)>> {
    let settings = Settings::read(prefix, words)?;
    let label = format!("{prefix}{suffix}");
    let link = record.links().find(|link| link.label == label);
    link.map_or_else(|| Ok(Vec::new()), |link| link.kept(&settings, instance))
}

impl LinkRecord {
    /// Like [`kept`], for this interface.
    pub(super) fn kept(&self, settings: &Settings, instance: &Instance) -> Result<Vec<(String, String)>> {
        let name = &self.end.ifname;
        let suffix = self.end.suffix();
        let mut kept = Vec::new();
        let mut add = |key: &str, present: String| {
            let value = settings.one(key);
            let value = value.map_or_else(|| "its removal".to_owned(), |value| format!("'{value}'"));
            let message = format!(
                "a restart does not apply {value}: {present}; fix: `netnsctl down {instance}`, then `netnsctl up {instance}`"
            );
            kept.push((settings.name(key), message));
        };
        let key = match &self.moved {
            Some(moved) => {
                if settings.one("IFNAME").is_some_and(|selector| !moved.is_selected_by(selector)) {
                    add("IFNAME", format!("the namespace has interface '{}' of the host", moved.ifname));
                }
                "IFNAME_INSIDE".to_owned()
            }
            None => format!("IFNAME{suffix}"),
        };
        if settings.one(&key).is_some_and(|present| present != name) {
            add(&key, format!("the interface keeps the name '{name}'"));
        }
        if LinkSite::of(settings, suffix, instance)? != self.place {
            add("NSNAME_OUTSIDE", format!("interface '{name}' stays {}", self.place));
        }
        if settings.nsname("NSNAME_SOCKET")? != self.socket {
            let place = self.socket.clone().map_or(LinkSite::Host, LinkSite::Namespace);
            add("NSNAME_SOCKET", format!("the UDP socket of '{name}' stays {place}"));
        }
        Ok(kept)
    }
}
