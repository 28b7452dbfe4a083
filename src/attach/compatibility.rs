//! What in a unit does not go together with a namespace of its own, by what systemd says of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::members::release;
use super::service_unit::UnitKind;
use super::{Attached, ServiceUnit};
use crate::name::NsName;
use crate::systemd::show::Properties;

/// What is asked of systemd.
const ASKED: &str = "LoadState,ActiveState,MainPID,NetworkNamespacePath,JoinsNamespaceOf,\
                     Before,RestrictAddressFamilies,BindPaths,BindReadOnlyPaths,Triggers,TriggeredBy,Accept,Transient,\
                     User,DynamicUser,BusName,InaccessiblePaths,TemporaryFileSystem,RootDirectory,RootImage,\
                     ControlGroup,KillMode,FileDescriptorStoreMax,NFileDescriptorStore";

impl Properties {
    /// Those that matter here, of one unit, or of all that are loaded and fit a pattern.
    /// Errors: systemctl is missing or fails.
    pub fn of_service(pattern: &str) -> Result<Vec<Self>> {
        Self::of(ASKED, [pattern])
    }

    /// Notes the other half of a pair of socket and service that systemd does not tell of by itself: a socket that is not loaded
    /// yet, and those with Accept=yes, which have a service only with each connection.
    /// Errors: systemctl is missing or fails.
    pub fn ask_half(&mut self, unit: &ServiceUnit) -> Result<()> {
        if unit.kind() == UnitKind::Socket {
            if let (true, Some(stem)) = (self.accepts(), unit.as_ref().strip_suffix(".socket")) {
                self.add("Triggers", &format!("{stem}@.service"));
            }
            return Ok(());
        }
        let Some(name) = unit.socket() else { return Ok(()) };
        let Some(socket) =
            Self::of_service(&name)?.pop().filter(|socket| socket.get("LoadState") == "loaded")
        else {
            return Ok(());
        };
        let id = self.get("Id");
        let is_half = if unit.is_template() {
            socket.accepts()
        } else {
            socket.get("Triggers").split_whitespace().any(|triggered| triggered == id)
        };
        if is_half {
            self.add("TriggeredBy", socket.get("Id"));
        }
        Ok(())
    }

    fn accepts(&self) -> bool {
        self.get("Accept") == "yes"
    }

    /// Whether the unit runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        ["active", "activating", "reloading"].contains(&self.get("ActiveState"))
    }

    /// The main process, where there is one.
    #[must_use]
    pub fn main_pid(&self) -> Option<u32> {
        self.get("MainPID").parse().ok().filter(|pid| *pid != 0)
    }
}

/// Settings of a unit with which it would be elsewhere than it is put: systemd (252) has it share the network of the other
/// one, even of the host, whatever its own `NetworkNamespacePath=` says.
#[must_use]
pub fn shares(unit: &ServiceUnit, properties: &Properties) -> Option<String> {
    let others = properties.get("JoinsNamespaceOf");
    (!others.is_empty()).then(|| {
        format!(
            "`{unit}` shares the namespaces of {others}, and would be in the network of that, or of the host: \
             take JoinsNamespaceOf= out of the unit that has it first (`systemctl cat {unit} {others}`)"
        )
    })
}

/// Settings of a unit that do not go together with a namespace of its own, a line each.
#[must_use]
pub fn conflicts(unit: &ServiceUnit, properties: &Properties, namespace: &NsName) -> Vec<String> {
    let mut found = Vec::new();
    let other = properties.get("NetworkNamespacePath");
    if !other.is_empty() && other != format!("/run/netns/{namespace}") {
        found.push(format!("another file of `{unit}` sets NetworkNamespacePath={other}"));
    }
    // The outside half of an instance comes after these.
    let earlier = ["network-pre.target", "network.target", "network-online.target", "sysinit.target"];
    let before: Vec<&str> =
        properties.get("Before").split_whitespace().filter(|target| earlier.contains(target)).collect();
    if !before.is_empty() {
        found.push(format!(
            "`{unit}` has to start before {}, and namespaces are set up after that: at boot, systemd finds a cycle and starts one of them not",
            before.join(", ")
        ));
    }
    if unit.kind() == UnitKind::Socket {
        return found;
    }
    found.extend(service_conflicts(unit, properties));
    found.extend(covered(unit, properties, namespace));
    found
}

/// Those that only a service has.
fn service_conflicts(unit: &ServiceUnit, properties: &Properties) -> Vec<String> {
    let mut found = Vec::new();
    let families = properties.get("RestrictAddressFamilies");
    let refused = families.starts_with('~');
    let named: Vec<&str> = families.trim_start_matches('~').split_whitespace().collect();
    if !families.is_empty() && ["AF_INET", "AF_INET6"].iter().all(|family| named.contains(family) == refused)
    {
        found.push(format!(
            "RestrictAddressFamilies={families} of `{unit}` allows it no network, in whichever namespace it is"
        ));
    }
    let most = properties.get("FileDescriptorStoreMax");
    if !["", "0"].contains(&most) {
        found.push(format!(
            "`{unit}` may store descriptors with systemd (FileDescriptorStoreMax={most}), and sockets among them keep the network that \
             they have: {}",
            release(unit.as_ref())
        ));
    }
    found
}

/// Mounts of its own on the files that the namespace covers, or the other way round.
fn covered(unit: &ServiceUnit, properties: &Properties, namespace: &NsName) -> Vec<String> {
    let mut found = Vec::new();
    let own = format!("/etc/netns/{namespace}/");
    for key in ["BindPaths", "BindReadOnlyPaths"] {
        for word in properties.get(key).split_whitespace() {
            let mut parts = word.trim_start_matches('-').split(':');
            let (source, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let covered = ["/etc", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"].contains(&target);
            if covered && !source.starts_with(&own) {
                found.push(format!("{key}={source}:{target} of `{unit}` and the files of /etc/netns/{namespace} cover each other"));
            }
        }
    }
    found
}

/// Mounts of the unit's own in directories that are hidden from it, a line each. `what` is in those.
#[must_use]
pub fn reopened(unit: &str, properties: &Properties, directories: &[PathBuf], what: &str) -> Vec<String> {
    let mut found = Vec::new();
    for key in ["BindPaths", "BindReadOnlyPaths"] {
        for word in properties.get(key).split_whitespace() {
            let target = word.trim_start_matches('-').split(':').nth(1).unwrap_or_default();
            if directories.iter().any(|directory| Path::new(target).starts_with(directory)) {
                found.push(format!(
                    "{key}={word} of `{unit}` shows it {what}: take that out of its files (`systemctl cat {unit}`)"
                ));
            }
        }
    }
    found
}

/// The other halves of a pair of socket and service that are not in the same namespace, a line each: a socket listens where its
/// own unit says, and hands that to the service.
#[must_use]
pub fn stranded(
    unit: &ServiceUnit,
    properties: &Properties,
    namespace: &NsName,
    attached: &[Attached],
) -> Vec<String> {
    let (key, is_half): (_, fn(&ServiceUnit) -> bool) = match unit.kind() {
        UnitKind::Service => ("TriggeredBy", |other| other.kind() == UnitKind::Socket),
        UnitKind::Socket => ("Triggers", |other| other.kind() == UnitKind::Service),
    };
    let is_there = |other: &ServiceUnit| {
        attached.iter().any(|one| {
            one.namespace == *namespace
                && (one.unit == other.as_ref() || Some(&one.unit) == other.template().as_ref())
        })
    };
    let line = |other: ServiceUnit| match unit.kind() {
        UnitKind::Service => format!(
            "`{other}` listens for `{unit}` in another namespace than `{namespace}`: attach it, too, if it should listen there"
        ),
        UnitKind::Socket => format!(
            "`{other}`, which `{unit}` starts, is in another namespace than `{namespace}`: attach it, too, if what it opens itself should be there"
        ),
    };
    let others: BTreeSet<ServiceUnit> =
        properties.get(key).split_whitespace().filter_map(|word| word.parse().ok()).collect();
    others.into_iter().filter(is_half).filter(|other| !is_there(other)).map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(listing: &str) -> Properties {
        Properties::parse(&format!("Id=a.service\n{listing}")).remove(0)
    }

    fn found(listing: &str) -> Vec<String> {
        conflicts(&"a".parse().unwrap(), &properties(listing), &"n".parse().unwrap())
    }

    #[test]
    fn a_descriptor_store_keeps_sockets_of_the_network_before() {
        assert_eq!(found("FileDescriptorStoreMax=0"), Vec::<String>::new());
        assert!(found("FileDescriptorStoreMax=8")[0].contains("`systemctl stop a.service`"));
    }

    #[test]
    fn another_namespace_is_a_conflict_and_its_own_is_none() {
        assert_eq!(found("NetworkNamespacePath="), Vec::<String>::new());
        assert_eq!(found("NetworkNamespacePath=/run/netns/n"), Vec::<String>::new());
        assert_eq!(found("NetworkNamespacePath=/run/netns/m").len(), 1);
    }

    #[test]
    fn a_unit_that_comes_before_the_network_is_a_conflict() {
        assert_eq!(found("Before=multi-user.target shutdown.target").len(), 0);
        assert_eq!(found("Before=network.target shutdown.target").len(), 1);
    }

    #[test]
    fn a_unit_without_any_network_is_a_conflict() {
        for (families, lines) in [
            ("", 0),
            ("AF_UNIX", 1),
            ("AF_INET AF_UNIX", 0),
            ("~AF_INET AF_INET6", 1),
            ("~AF_INET", 0),
            ("~AF_UNIX", 0),
        ] {
            assert_eq!(found(&format!("RestrictAddressFamilies={families}")).len(), lines, "{families}");
        }
    }

    #[test]
    fn a_mount_of_the_units_own_on_the_files_is_a_conflict() {
        assert_eq!(found("BindReadOnlyPaths=/etc/netns/n/hosts:/etc/hosts:rbind").len(), 0);
        assert_eq!(found("BindReadOnlyPaths=/srv/hosts:/etc/hosts:rbind /a:/b:rbind").len(), 1);
        assert_eq!(found("BindPaths=/srv/etc:/etc:rbind").len(), 1);
    }

    #[test]
    fn who_shares_the_namespaces_of_another_is_told() {
        let unit = "a".parse().unwrap();
        assert_eq!(shares(&unit, &properties("JoinsNamespaceOf=")), None);
        assert!(shares(&unit, &properties("JoinsNamespaceOf=b.service")).unwrap().contains("b.service"));
    }

    #[test]
    fn the_other_half_of_a_pair_is_told_unless_it_is_there() {
        let (unit, name): (ServiceUnit, NsName) = ("a".parse().unwrap(), "n".parse().unwrap());
        let told = |attached: &[Attached]| {
            stranded(&unit, &properties("TriggeredBy=a.socket a.timer"), &name, attached).len()
        };
        let there = |unit: &str, namespace: &str| {
            [Attached { unit: unit.to_owned(), instances: Vec::new(), namespace: namespace.parse().unwrap() }]
        };
        assert_eq!(told(&[]), 1);
        assert_eq!(told(&there("a.socket", "m")), 1);
        assert_eq!(told(&there("a.socket", "n")), 0);
        let socket: ServiceUnit = "a.socket".parse().unwrap();
        let triggers = properties("Triggers=a@1.service");
        assert_eq!(stranded(&socket, &triggers, &name, &[]).len(), 1);
        assert_eq!(stranded(&socket, &triggers, &name, &there("a@.service", "n")).len(), 0);
    }
}
