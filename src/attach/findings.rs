//! Findings that both `attach` and `check` report, with the same words.

use std::path::{Path, PathBuf};

use super::members::list_processes;
use crate::name::NsName;
use crate::netns::processes::GroupMember;
use crate::systemd::show::Properties;

/// The advice for an ordering cycle.
pub const CYCLE_ADVICE: &str =
    "remove an After= or Before= that you have added; `systemctl cat` shows the files of a unit";

/// Reports a unit that does not exist.
#[must_use]
pub fn missing_unit(unit: &str) -> String {
    format!("unit `{unit}` does not exist")
}

/// Reports a `NetworkNamespacePath=` in another file of the unit that overrides the drop-in.
#[must_use]
pub fn overridden_namespace(unit: &str, namespace: &NsName, properties: &Properties) -> Option<String> {
    let found = properties.get("NetworkNamespacePath");
    (found != format!("/run/netns/{namespace}")).then(|| {
        format!(
            "another file of `{unit}` overrides the namespace `{namespace}`: NetworkNamespacePath={found}"
        )
    })
}

/// Reports a `JoinsNamespaceOf=` of the unit. systemd (252) then puts the unit into the network of the other unit, even into
/// the network of the host. The unit's own `NetworkNamespacePath=` has no effect.
#[must_use]
pub fn joined_namespaces(unit: &str, properties: &Properties) -> Option<String> {
    let others = properties.get("JoinsNamespaceOf");
    (!others.is_empty()).then(|| {
        format!(
            "`{unit}` shares the namespaces of {others}, so its network can be the one of that unit or of the host; \
             remove JoinsNamespaceOf= (`systemctl cat {unit} {others}` shows the files)"
        )
    })
}

/// Reports settings of other files of the unit that prevent its start or its network in the namespace, one line each.
#[must_use]
pub fn defeating_settings(unit: &str, namespace: &NsName, properties: &Properties) -> Vec<String> {
    let mut found = Vec::new();
    let interfaces = properties.get("RestrictNetworkInterfaces");
    if !["", "~"].contains(&interfaces) {
        found.push(format!(
            "RestrictNetworkInterfaces={interfaces} of `{unit}` means interfaces of the host, by their number, so it blocks or admits \
             other interfaces in `{namespace}`; remove it, and use a firewall in `{namespace}`"
        ));
    }
    let hidden = properties.values("InaccessiblePaths").find(|path| {
        let path = path.trim_start_matches(['-', '+']);
        ["/run", "/var/run"].contains(&path.trim_end_matches('/'))
    });
    if let Some(path) = hidden {
        found.push(format!(
            "InaccessiblePaths={path} prevents the start of `{unit}` (status 226); list the directories below /run that it needs to \
             hide, or use TemporaryFileSystem=/run"
        ));
    }
    found
}

/// Reports mounts in the settings of the unit that are in a directory that the drop-in hides, one line each. `contents`: what
/// the directories contain, for the message.
#[must_use]
pub fn exposing_mounts(
    unit: &str,
    properties: &Properties,
    directories: &[PathBuf],
    contents: &str,
) -> Vec<String> {
    let mut found = Vec::new();
    for key in ["BindPaths", "BindReadOnlyPaths"] {
        for mount in properties.get(key).split_whitespace() {
            let target = mount.trim_start_matches('-').split(':').nth(1).unwrap_or_default();
            if directories.iter().any(|directory| Path::new(target).starts_with(directory)) {
                found.push(format!(
                    "{key}={mount} of `{unit}` exposes {contents}; remove this setting (`systemctl cat {unit}` shows the files)"
                ));
            }
        }
    }
    found
}

/// Reports processes of a unit in a wrong network.
#[must_use]
pub fn misplaced_processes(members: &[GroupMember], unit: &str, network: &str) -> String {
    format!("{} of `{unit}`: {network}", list_processes(members))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(listing: &str) -> Properties {
        Properties::parse(&format!("Id=a.service\n{listing}")).remove(0)
    }

    #[test]
    fn interfaces_of_the_host_and_a_hidden_run_are_reported() {
        let found = |text: &str| defeating_settings("a.service", &"n".parse().unwrap(), &properties(text));
        for text in ["", "RestrictNetworkInterfaces=~", "InaccessiblePaths=/run/dbus -/srv"] {
            assert_eq!(found(text), Vec::<String>::new(), "{text}");
        }
        assert!(found("RestrictNetworkInterfaces=~eth0")[0].contains("interfaces of the host"));
        assert!(found("InaccessiblePaths=/srv -/run")[0].contains("status 226"));
    }

    #[test]
    fn a_unit_that_shares_namespaces_is_reported() {
        assert_eq!(joined_namespaces("a.service", &properties("JoinsNamespaceOf=")), None);
        let message = joined_namespaces("a.service", &properties("JoinsNamespaceOf=b.service")).unwrap();
        assert!(message.contains("b.service"), "{message}");
    }
}
