//! Compares an interface with its settings.

use std::net::IpAddr;

use anyhow::Result;
use serde_json::Value;

use super::add::text_of_mac;
use super::apply::ignores_routers;
use super::{LinkRecord, ports};
use crate::netlink;
use crate::paths::Paths;
use crate::sys::program::Program;

/// Words after the kind that the interface does not have any more.
pub(super) struct ChangedWords {
    pub words: Vec<String>,
    /// The difference, for `check`.
    pub difference: String,
}

impl LinkRecord {
    /// Returns a line for each property that was changed since `up`.
    /// Errors: the kernel cannot be queried.
    pub(in super::super) fn drift(&self, paths: &Paths) -> Result<Vec<String>> {
        let Some(configured) = &self.configured else { return Ok(Vec::new()) };
        let ifname = &self.end.ifname;
        if !self.place.exists(paths) {
            return Ok(vec![format!("the namespace of {} does not exist", self.describe())]);
        }
        let there = self.place.enter_from_host(paths)?;
        let Some(mut found) = self.find_under_any_name()? else {
            return Ok(vec![format!("interface '{ifname}' is missing")]);
        };
        netlink::read_addresses(&mut found)?;
        // The properties are those of the name, so they cannot be compared.
        if found.name != *ifname {
            return Ok(vec![format!("interface '{ifname}' was renamed to '{}'", found.name)]);
        }
        let mut lines = Vec::new();
        if !self.is_configured_one(&found) {
            lines.push(format!("interface '{ifname}' was replaced by another program"));
        }
        if !found.up {
            lines.push(format!("interface '{ifname}' is not up"));
        }
        for (name, expected, present) in [
            ("hardware address", self.end.mac.map(text_of_mac), found.mac.clone()),
            ("MTU", self.end.mtu.map(|mtu| mtu.to_string()), found.mtu.to_string()),
            ("group", self.group().map(|group| group.to_string()), found.group.to_string()),
            ("alias", self.end.alias.clone(), found.alias.clone().unwrap_or_default()),
        ] {
            if let Some(expected) = expected.filter(|expected| *expected != present) {
                lines.push(format!("interface '{ifname}' has the {name} '{present}', not '{expected}'"));
            }
        }
        if let Some(name) = &self.end.bridge {
            match netlink::link_named(name)? {
                None => lines.push(format!("the bridge '{name}' of interface '{ifname}' does not exist")),
                Some(bridge) if found.controller != Some(bridge.index) => {
                    lines.push(format!("interface '{ifname}' is not a port of the bridge '{name}'"));
                }
                Some(_) => {}
            }
        }
        lines.extend(ports::drift(self, &found, &configured.ports)?);
        let receivers = self.receivers();
        if !receivers.is_empty() {
            let (wanted, foreign): (Vec<_>, Vec<_>) = netlink::flood_entries(found.index)?
                .into_iter()
                .partition(|entry| entry.is_of_tunnel() && receivers.contains(&entry.address));
            let is_present = |remote: &&IpAddr| wanted.iter().any(|entry| entry.address == **remote);
            let missing = self.end.remotes.iter().filter(|remote| !is_present(remote));
            lines.extend(
                missing.map(|remote| format!("interface '{ifname}' does not have the remote '{remote}'")),
            );
            lines.extend(foreign.iter().map(|entry| {
                format!("interface '{ifname}' has the remote '{}', which is not set", entry.address)
            }));
        }
        for address in configured.addresses.iter().filter(|address| !found.addresses.contains(address)) {
            let address = address.split('/').next().unwrap_or_default();
            lines.push(format!("interface '{ifname}' does not have the address '{address}'"));
        }
        if self.end.automatic && !self.has_automatic_address(&found) {
            lines.push(format!("interface '{ifname}' does not have an IPv6 address of a router"));
        }
        if !configured.routes.is_empty() {
            let routes: Vec<String> =
                netlink::own_routes(found.index)?.into_iter().map(|route| route.text).collect();
            let missing = configured.routes.iter().filter(|route| !routes.contains(route));
            lines.extend(
                missing.map(|route| format!("the route '{route}' over interface '{ifname}' is missing")),
            );
        }
        for (key, value) in &configured.sysctls {
            lines.extend(key.drift(value, &self.place.to_string())?);
        }
        if configured.ignores_routers && !self.place.is_inside() && !ignores_routers(ifname) {
            lines.push(format!("interface '{ifname}' accepts router advertisements"));
        }
        lines.extend(self.changed_words(ifname).into_iter().map(|changed| changed.difference));
        drop(there);
        lines.extend(self.parent_drift(paths)?);
        Ok(lines)
    }

    /// Reports a parent that was set down. `check` itself reports a missing one.
    fn parent_drift(&self, paths: &Paths) -> Result<Option<String>> {
        let Some(parent) = &self.parent else { return Ok(None) };
        let place = parent.place();
        if !place.exists(paths) {
            return Ok(None);
        }
        let _there = place.enter_from_host(paths)?;
        let is_down = netlink::link_named(&parent.ifname)?.is_some_and(|found| !found.up);
        Ok(is_down.then(|| format!("the parent interface '{}' {place} is not up", parent.ifname)))
    }

    /// Compares the words after the kind with the output of ip(8), as far as it has a field of the same name.
    pub(super) fn changed_words(&self, ifname: &str) -> Vec<ChangedWords> {
        if self.words.is_empty() {
            return Vec::new();
        }
        let Ok(data) = properties(ifname) else { return Vec::new() };
        let mut changed = Vec::new();
        for pair in self.words.windows(2) {
            // The field of a UDP port has another name than its word.
            let field = if pair[0] == "dstport" { "port" } else { &pair[0] };
            let present = match &data[field] {
                Value::String(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => continue,
            };
            // The kernel may not keep the case: `802.1q` is shown as `802.1Q`.
            if !present.eq_ignore_ascii_case(&pair[1]) {
                changed.push(ChangedWords {
                    words: pair.to_vec(),
                    difference: format!(
                        "interface '{ifname}' has {} '{present}', not '{}'",
                        pair[0], pair[1]
                    ),
                });
            }
        }
        // The last word of an ipvlan, which is a field only if it is not the default.
        if let Some(expected) = self.words.last().filter(|_| self.kind == "ipvlan") {
            const FLAGS: [&str; 3] = ["private", "vepa", "bridge"];
            let present = FLAGS.iter().find(|flag| data[**flag] == true).unwrap_or(&FLAGS[2]);
            if FLAGS.contains(&expected.as_str()) && expected != present {
                changed.push(ChangedWords {
                    words: vec![expected.clone()],
                    difference: format!("interface '{ifname}' has the flag '{present}', not '{expected}'"),
                });
            }
        }
        changed
    }
}

/// The properties of the kind of an interface in the namespace of this thread, as ip(8) prints them; null if it does not exist.
/// Errors: ip(8) cannot run.
pub(super) fn properties(ifname: &str) -> Result<Value> {
    let output = Program::new("ip").args(["-json", "-details", "link", "show", "dev", ifname]).run()?;
    let mut found: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    Ok(found.pointer_mut("/0/linkinfo/info_data").map(Value::take).unwrap_or_default())
}
