//! Finds settings of a unit that conflict with its own namespace, from the properties in systemd.

use std::collections::BTreeSet;

use anyhow::Result;

use super::findings::defeating_settings;
use super::members::release_commands;
use super::service_unit::UnitKind;
use super::{Attached, ServiceUnit};
use crate::name::NsName;
use crate::systemd::show::Properties;

/// The properties that are queried.
const PROPERTIES: &str = "LoadState,ActiveState,MainPID,NetworkNamespacePath,JoinsNamespaceOf,\
                     UnitFileState,StopPropagatedFrom,ActiveExitTimestampMonotonic,InactiveEnterTimestampMonotonic,Before,RestrictAddressFamilies,BindPaths,BindReadOnlyPaths,Triggers,TriggeredBy,Accept,Transient,\
                     User,DynamicUser,BusName,InaccessiblePaths,TemporaryFileSystem,RootDirectory,RootImage,\
                     ControlGroup,KillMode,FileDescriptorStoreMax,NFileDescriptorStore,\
                     Result,ExecMainExitTimestampMonotonic,RestrictNetworkInterfaces,IPAddressDeny,IPAddressAllow,PrivateNetwork,ExecStart";

impl Properties {
    /// Queries these properties of one unit, or of all loaded units that match a pattern.
    /// Errors: systemctl is missing or fails.
    pub fn of_service(pattern: &str) -> Result<Vec<Self>> {
        Self::of(PROPERTIES, [pattern])
    }

    /// Adds the socket of a service, or the service of a socket, if systemd does not report it. systemd does not report a
    /// socket that is not loaded, and the template service of a socket with Accept=yes (one instance for each connection).
    /// Errors: systemctl is missing or fails.
    pub fn add_counterpart(&mut self, unit: &ServiceUnit) -> Result<()> {
        if unit.kind() == UnitKind::Socket {
            if let (true, Some(stem)) = (self.accepts_connections(), unit.as_ref().strip_suffix(".socket")) {
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
        let is_counterpart = if unit.is_template() {
            socket.accepts_connections()
        } else {
            socket.get("Triggers").split_whitespace().any(|triggered| triggered == id)
        };
        if is_counterpart {
            self.add("TriggeredBy", socket.get("Id"));
        }
        Ok(())
    }

    fn accepts_connections(&self) -> bool {
        self.get("Accept") == "yes"
    }

    /// Whether the unit is running.
    #[must_use]
    pub fn runs(&self) -> bool {
        ["active", "activating", "reloading"].contains(&self.get("ActiveState"))
    }

    /// The main process, if any.
    #[must_use]
    pub fn main_pid(&self) -> Option<u32> {
        self.get("MainPID").parse().ok().filter(|pid| *pid != 0)
    }
}

/// Reports settings of a unit that conflict with the namespace, one line each.
#[must_use]
pub fn conflicts(unit: &ServiceUnit, properties: &Properties, namespace: &NsName) -> Vec<String> {
    let mut found = Vec::new();
    let other = properties.get("NetworkNamespacePath");
    if !other.is_empty() && other != format!("/run/netns/{namespace}") {
        found.push(format!("another file of `{unit}` sets NetworkNamespacePath={other}"));
    }
    // The outside unit of an instance starts after these targets.
    let earlier = ["network-pre.target", "network.target", "network-online.target", "sysinit.target"];
    let before: Vec<&str> =
        properties.get("Before").split_whitespace().filter(|target| earlier.contains(target)).collect();
    if !before.is_empty() {
        found.push(format!(
            "`{unit}` starts before {}, but namespaces are set up after it; at boot this is an ordering cycle, and systemd does not \
             start one of the units",
            before.join(", ")
        ));
    }
    if unit.kind() == UnitKind::Socket {
        return found;
    }
    found.extend(service_conflicts(unit, properties, namespace));
    found.extend(covered(unit, properties, namespace));
    found
}

/// Reports conflicts that only a service can have.
fn service_conflicts(unit: &ServiceUnit, properties: &Properties, namespace: &NsName) -> Vec<String> {
    let mut found = defeating_settings(unit.as_ref(), namespace, properties);
    let families = properties.get("RestrictAddressFamilies");
    let refused = families.starts_with('~');
    let listed: Vec<&str> = families.trim_start_matches('~').split_whitespace().collect();
    if !families.is_empty() && ["AF_INET", "AF_INET6"].iter().all(|family| listed.contains(family) == refused)
    {
        found.push(format!(
            "RestrictAddressFamilies={families} of `{unit}` blocks the network in every namespace"
        ));
    }
    let denied = properties.get("IPAddressDeny");
    if !denied.is_empty() {
        let exceptions = match properties.get("IPAddressAllow") {
            "" => String::new(),
            allowed => format!(", except IPAddressAllow={allowed}"),
        };
        found.push(format!(
            "IPAddressDeny={denied} of `{unit}` also blocks these addresses in `{namespace}`{exceptions}; add the addresses of \
             `{namespace}` that the service needs to IPAddressAllow="
        ));
    }
    if properties.get("PrivateNetwork") == "yes" {
        found.push(format!(
            "PrivateNetwork=yes of `{unit}` has no effect: the service gets the network of `{namespace}`"
        ));
    }
    let most = properties.get("FileDescriptorStoreMax");
    if !["", "0"].contains(&most) {
        found.push(format!(
            "`{unit}` can store file descriptors in systemd (FileDescriptorStoreMax={most}); stored sockets keep their network; {}",
            release_commands(unit.as_ref())
        ));
    }
    found
}

/// Reports mounts in the settings of the unit that conflict with the mounts of the files of /etc/netns/NAME.
fn covered(unit: &ServiceUnit, properties: &Properties, namespace: &NsName) -> Vec<String> {
    let mut found = Vec::new();
    let own = format!("/etc/netns/{namespace}/");
    for key in ["BindPaths", "BindReadOnlyPaths"] {
        for mount in properties.get(key).split_whitespace() {
            let mut parts = mount.trim_start_matches('-').split(':');
            let (source, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let covered = ["/etc", "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf"].contains(&target);
            if covered && !source.starts_with(&own) {
                found.push(format!(
                    "{key}={source}:{target} of `{unit}` conflicts with the files of /etc/netns/{namespace}"
                ));
            }
        }
    }
    found
}

/// Reports the sockets that start a service, or the services that a socket starts, if they are not attached to the namespace.
/// One line each; none for the service of systemd-socket-proxyd(8). A socket listens in its own namespace, not in the namespace of its service.
#[must_use]
pub fn misplaced_counterparts(
    unit: &ServiceUnit,
    properties: &Properties,
    namespace: &NsName,
    attached: &[Attached],
) -> Vec<String> {
    let (key, is_counterpart): (_, fn(&ServiceUnit) -> bool) = match unit.kind() {
        UnitKind::Service => ("TriggeredBy", |other| other.kind() == UnitKind::Socket),
        UnitKind::Socket => ("Triggers", |other| other.kind() == UnitKind::Service),
    };
    // This program passes connections from one namespace to another.
    if unit.kind() == UnitKind::Service && properties.get("ExecStart").contains("/systemd-socket-proxyd") {
        return Vec::new();
    }
    let is_attached = |other: &ServiceUnit| {
        attached.iter().any(|one| {
            one.namespace == *namespace
                && (one.unit == other.as_ref() || Some(&one.unit) == other.template().as_ref())
        })
    };
    let line = |other: ServiceUnit| match unit.kind() {
        UnitKind::Service => format!(
            "`{other}` listens for `{unit}` in another namespace than `{namespace}`; if it should listen in `{namespace}`, \
             attach `{other}` too"
        ),
        UnitKind::Socket => format!(
            "`{other}`, which `{unit}` starts, is in another namespace than `{namespace}`; attach `{other}` too \
             if the connections that it opens itself should be in `{namespace}`"
        ),
    };
    let others: BTreeSet<ServiceUnit> =
        properties.get(key).split_whitespace().filter_map(|word| word.parse().ok()).collect();
    others.into_iter().filter(is_counterpart).filter(|other| !is_attached(other)).map(line).collect()
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
    fn a_file_descriptor_store_is_a_conflict() {
        assert_eq!(found("FileDescriptorStoreMax=0"), Vec::<String>::new());
        assert!(found("FileDescriptorStoreMax=8")[0].contains("`systemctl stop a.service`"));
    }

    #[test]
    fn denied_addresses_and_an_ineffective_private_network_are_conflicts() {
        assert!(
            found("IPAddressDeny=::/0 0.0.0.0/0\nIPAddressAllow=::1/128")[0]
                .contains("except IPAddressAllow=::1/128;")
        );
        assert!(!found("IPAddressDeny=192.0.2.0/24")[0].contains("except"));
        assert_eq!((found("PrivateNetwork=yes").len(), found("PrivateNetwork=no").len()), (1, 0));
    }

    #[test]
    fn another_namespace_is_a_conflict_and_the_same_namespace_is_not() {
        assert_eq!(found("NetworkNamespacePath="), Vec::<String>::new());
        assert_eq!(found("NetworkNamespacePath=/run/netns/n"), Vec::<String>::new());
        assert_eq!(found("NetworkNamespacePath=/run/netns/m").len(), 1);
    }

    #[test]
    fn a_unit_that_starts_before_the_network_is_a_conflict() {
        assert_eq!(found("Before=multi-user.target shutdown.target").len(), 0);
        assert_eq!(found("Before=network.target shutdown.target").len(), 1);
    }

    #[test]
    fn a_unit_without_network_address_families_is_a_conflict() {
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
    fn the_units_own_mount_on_a_namespace_file_is_a_conflict() {
        assert_eq!(found("BindReadOnlyPaths=/etc/netns/n/hosts:/etc/hosts:rbind").len(), 0);
        assert_eq!(found("BindReadOnlyPaths=/srv/hosts:/etc/hosts:rbind /a:/b:rbind").len(), 1);
        assert_eq!(found("BindPaths=/srv/etc:/etc:rbind").len(), 1);
    }

    #[test]
    fn a_counterpart_is_reported_unless_it_is_attached_to_the_same_namespace() {
        let (unit, name): (ServiceUnit, NsName) = ("a".parse().unwrap(), "n".parse().unwrap());
        let count = |attached: &[Attached]| {
            misplaced_counterparts(&unit, &properties("TriggeredBy=a.socket a.timer"), &name, attached).len()
        };
        let attached = |unit: &str, namespace: &str| {
            [Attached {
                unit: unit.to_owned(),
                instances: Vec::new(),
                namespace: namespace.parse().unwrap(),
                follow: None,
            }]
        };
        assert_eq!(count(&[]), 1);
        assert_eq!(count(&attached("a.socket", "m")), 1);
        assert_eq!(count(&attached("a.socket", "n")), 0);
        let proxy =
            properties("TriggeredBy=a.socket\nExecStart={ path=/lib/systemd/systemd-socket-proxyd ; }");
        assert_eq!(misplaced_counterparts(&unit, &proxy, &name, &[]), Vec::<String>::new());
        let socket: ServiceUnit = "a.socket".parse().unwrap();
        let triggers = properties("Triggers=a@1.service");
        assert_eq!(misplaced_counterparts(&socket, &triggers, &name, &[]).len(), 1);
        assert_eq!(misplaced_counterparts(&socket, &triggers, &name, &attached("a@.service", "n")).len(), 0);
    }
}
