//! The text of the drop-in.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::PathBuf;

use anyhow::Result;

use super::bus::Bus;
use super::follow::Follow;
use super::service_unit::UnitKind;
use super::{HEADER, ServiceUnit};
use crate::config::declaration::Declaration;
use crate::config::plugin;
use crate::name::{Instance, NsName, UnitName};
use crate::netns;
use crate::netns::resolver;
use crate::paths::Paths;

/// The files that libc uses for name resolution. When a service starts, the file of the namespace is mounted over each, if
/// the namespace has this file.
const FILES: [&str; 3] = ["hosts", "nsswitch.conf", "resolv.conf"];

/// The dependencies of a socket in a namespace: the default dependencies of a socket (systemd.socket(5)), without
/// Before=sockets.target.
const SOCKET_DEPENDENCIES: &str = "\
# By default a socket starts before sockets.target and basic.target, and a namespace after them: an ordering cycle.
DefaultDependencies=no
Requires=sysinit.target
After=sysinit.target
Conflicts=shutdown.target
Before=shutdown.target
";

/// A drop-in that puts a unit into a namespace.
#[derive(Clone, Debug)]
pub struct DropIn {
    unit: ServiceUnit,
    instances: Vec<Instance>,
    /// The instances whose types provide a firewall.
    firewalls: Vec<Instance>,
    namespace: NsName,
    /// The files of /etc/netns/NAME, and whether each is required. Without a required file, the service would use the host's
    /// file.
    files: BTreeMap<String, bool>,
    /// Required files that are not mounted: /etc has no file of this name, or the name needs quoting.
    skipped: Vec<String>,
    /// The hidden directories of the host's resolvers.
    resolver_directories: Vec<PathBuf>,
    /// The setting for the system bus.
    bus: Bus,
    /// Whether the unit starts again when the namespace returns.
    follow: Follow,
}

impl DropIn {
    /// Plans the drop-in, from the files of the machine. The instances are all on the namespace.
    #[must_use]
    pub fn of(paths: &Paths, unit: &ServiceUnit, instances: &[Instance], namespace: &NsName) -> Self {
        let mut files: BTreeMap<String, bool> =
            FILES.into_iter().map(|file| (file.to_owned(), false)).collect();
        // The plugins write these files in `up`.
        let written = instances.iter().flat_map(|instance| Declaration::etc_of(paths, &instance.nstype));
        files.extend(written.map(|file| (file, true)));
        let dns = files[resolver::FILE_NAME];
        for file in netns::etc_files(paths, namespace) {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            files.insert(name.into_owned(), true);
        }
        // Like `ip netns exec`, this skips a file that does not exist in /etc: the mount has no target.
        let is_mountable =
            |name: &str| is_plain(name) && paths.root.join("etc").join(name).symlink_metadata().is_ok();
        let (files, skipped): (BTreeMap<_, _>, BTreeMap<_, _>) =
            files.into_iter().partition(|(name, _)| is_mountable(name));
        Self {
            skipped: skipped.into_iter().filter_map(|(name, required)| required.then_some(name)).collect(),
            unit: unit.clone(),
            instances: instances.to_vec(),
            firewalls: instances
                .iter()
                .filter(|instance| Declaration::of(paths, &instance.nstype).firewall)
                .cloned()
                .collect(),
            namespace: namespace.clone(),
            files,
            resolver_directories: resolver::resolver_directories(paths, namespace, dns),
            bus: Bus::default(),
            follow: Follow::default(),
        }
    }

    /// Sets the setting for the system bus.
    #[must_use]
    pub fn with_bus(self, bus: Bus) -> Self {
        Self { bus, ..self }
    }

    /// Sets whether the unit starts again when the namespace returns.
    #[must_use]
    pub fn with_follow(self, follow: Follow) -> Self {
        Self { follow, ..self }
    }
}

impl DropIn {
    /// The setting for the system bus: hidden, kept or undecided.
    #[must_use]
    pub fn bus(&self) -> Bus {
        self.bus
    }

    /// Whether the unit is a service that always uses the resolv.conf of the namespace.
    #[must_use]
    pub fn has_own_resolver(&self) -> bool {
        self.unit.kind() == UnitKind::Service && self.files.get("resolv.conf") == Some(&true)
    }

    /// Whether the unit uses the host's resolvers.
    #[must_use]
    pub fn uses_host_resolver(&self) -> bool {
        self.unit.kind() == UnitKind::Service && !self.has_own_resolver()
    }

    /// The directories of the host's resolvers that are hidden from the unit.
    #[must_use]
    pub fn resolver_directories(&self) -> &[PathBuf] {
        &self.resolver_directories
    }

    /// Reports the files of the namespace that are not mounted, one line each.
    #[must_use]
    pub fn skipped_files(&self) -> Vec<String> {
        let line = |file: &String| {
            let reason = if is_plain(file) {
                format!("/etc/{file} does not exist")
            } else {
                "use letters, digits and `._+-` in the name".to_owned()
            };
            format!("/etc/netns/{}/{file} is not mounted: {reason}", self.namespace)
        };
        self.skipped.iter().map(line).collect()
    }
}

/// The instances that would give a namespace its own resolver: one for each type that declares resolv.conf in `# Etc:`.
/// Errors: the directory of the plugins cannot be read.
pub fn resolver_instances(paths: &Paths, namespace: &NsName) -> Result<Vec<Instance>> {
    let types = plugin::known(paths)?.into_iter();
    let with_resolver = types
        .filter(|nstype| Declaration::etc_of(paths, nstype).iter().any(|file| file == resolver::FILE_NAME));
    Ok(with_resolver.map(|nstype| Instance { nstype, name: namespace.clone() }).collect())
}

/// Whether a file name needs no quoting in a unit file.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte))
}

impl fmt::Display for DropIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unit, namespace, .. } = self;
        writeln!(f, "{HEADER}; `netnsctl detach {unit}` removes it.\n\n[Unit]")?;
        f.write_str(&self.dependencies())?;
        f.write_str(&self.follow.lines(unit))?;
        if unit.kind() == UnitKind::Socket {
            f.write_str(SOCKET_DEPENDENCIES)?;
        }
        match unit.kind() {
            UnitKind::Socket => write!(f, "\n[Socket]\nNetworkNamespacePath=/run/netns/{namespace}\n"),
            UnitKind::Service => {
                write!(f, "\n[Service]\nNetworkNamespacePath=/run/netns/{namespace}\n{}", self.mounts())
            }
        }
    }
}

impl DropIn {
    fn dependencies(&self) -> String {
        let (firewalls, others): (Vec<&Instance>, Vec<&Instance>) =
            self.instances.iter().partition(|instance| self.firewalls.contains(instance));
        let mut text = format!(
            "# Starts after these units, and stops with them. Also stops when the namespace is deleted manually.\nAfter={}\n",
            units(&self.instances)
        );
        let mut sources = vec![self.namespace.mount_unit()];
        if !firewalls.is_empty() {
            let units = units(firewalls);
            _ = writeln!(
                text,
                "# Restarts with the firewall: a plugin may remove its rules first.\nRequires={units}\nBindsTo={units}"
            );
        }
        if !others.is_empty() {
            let up: Vec<String> = others.iter().map(|&one| UnitName::Up(one.clone()).to_string()).collect();
            let up = up.join(" ");
            _ = writeln!(text, "# Keeps running when these instances restart.\nRequires={up}\nAfter={up}");
            sources.insert(0, units(others));
        }
        let (made, sources) = (UnitName::Made(self.namespace.clone()), sources.join(" "));
        _ = writeln!(text, "StopPropagatedFrom={sources}");
        _ = writeln!(
            text,
            "# Fails if another program has replaced the namespace, which then has no firewall.\nRequires={made}\nAfter={made}"
        );
        text
    }

    fn mounts(&self) -> String {
        let mut text =
            String::from("# Mounts the files of the namespace in /etc, as `ip netns exec` does.\n");
        // A colon separates the two paths.
        let directory = self.namespace.to_string().replace(':', "\\:");
        for (file, required) in &self.files {
            let optional = if *required { "" } else { "-" };
            _ = writeln!(text, "BindReadOnlyPaths={optional}/etc/netns/{directory}/{file}:/etc/{file}");
        }
        if !self.resolver_directories.is_empty() {
            text += "# Hides the resolvers of the host, which send queries outside the namespace. Directories are hidden,\n\
                     # not files: the kernel removes a mount when the file under it is replaced.\n";
        }
        for directory in &self.resolver_directories {
            _ = writeln!(text, "TemporaryFileSystem={}:ro", directory.display());
        }
        text += &self.bus.lines();
        text
    }
}

/// The inside units of these instances, as one value of a unit file.
fn units<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> String {
    instances.into_iter().map(Instance::unit).collect::<Vec<_>>().join(" ")
}

/// Reads the instances from the `After=` of a drop-in.
pub(super) fn instances(text: &str) -> Vec<Instance> {
    let after = text.lines().filter_map(|line| line.strip_prefix("After="));
    after.flat_map(str::split_whitespace).filter_map(|unit| UnitName::parse(unit)?.instance()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn text(paths: &Paths, unit: &str, instances: &[&str]) -> String {
        fs::create_dir_all(&paths.share).unwrap();
        fs::write(paths.share.join("dns.sh"), include_str!("../../plugins/dns.sh")).unwrap();
        fs::write(paths.share.join("nft.sh"), include_str!("../../plugins/nft.sh")).unwrap();
        let etc = paths.root.join("etc");
        fs::create_dir_all(&etc).unwrap();
        for file in FILES {
            fs::write(etc.join(file), "").unwrap();
        }
        let instances: Vec<Instance> = instances.iter().map(|text| text.parse().unwrap()).collect();
        DropIn::of(paths, &unit.parse().unwrap(), &instances, &instances[0].name).to_string()
    }

    #[test]
    fn a_service_is_bound_to_firewalls_requires_the_other_instances_and_mounts_optional_files() {
        let root = tempfile::tempdir().unwrap();
        let text = text(&Paths::under(root.path()), "nginx", &["veth@my-net", "nft@my-net"]);
        assert_eq!(
            text,
            "# Written by `netnsctl attach`; `netnsctl detach nginx.service` removes it.\n\
             \n\
             [Unit]\n\
             # Starts after these units, and stops with them. Also stops when the namespace is deleted manually.\n\
             After=netns-veth@my-net.service netns-nft@my-net.service\n\
             # Restarts with the firewall: a plugin may remove its rules first.\n\
             Requires=netns-nft@my-net.service\n\
             BindsTo=netns-nft@my-net.service\n\
             # Keeps running when these instances restart.\n\
             Requires=netns_up@veth@my-net.service\n\
             After=netns_up@veth@my-net.service\n\
             StopPropagatedFrom=netns-veth@my-net.service run-netns-my\\x2dnet.mount\n\
             # Fails if another program has replaced the namespace, which then has no firewall.\n\
             Requires=netns_made@my-net.service\n\
             After=netns_made@my-net.service\n\
             # If this unit is enabled, that one starts it again when the namespace returns.\n\
             Before=netns_follow@nginx.service.service\n\
             \n\
             [Service]\n\
             NetworkNamespacePath=/run/netns/my-net\n\
             # Mounts the files of the namespace in /etc, as `ip netns exec` does.\n\
             BindReadOnlyPaths=-/etc/netns/my-net/hosts:/etc/hosts\n\
             BindReadOnlyPaths=-/etc/netns/my-net/nsswitch.conf:/etc/nsswitch.conf\n\
             BindReadOnlyPaths=-/etc/netns/my-net/resolv.conf:/etc/resolv.conf\n"
        );
        assert_eq!(
            instances(&text).iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["veth@my-net", "nft@my-net"]
        );
    }

    #[test]
    fn with_dns_the_files_are_required_and_the_hosts_resolvers_are_hidden() {
        let root = tempfile::tempdir().unwrap();
        let text = text(&Paths::under(root.path()), "nginx", &["dns@c:d"]);
        for line in [
            r"BindReadOnlyPaths=-/etc/netns/c\:d/hosts:/etc/hosts",
            r"BindReadOnlyPaths=/etc/netns/c\:d/nsswitch.conf:/etc/nsswitch.conf",
            r"BindReadOnlyPaths=/etc/netns/c\:d/resolv.conf:/etc/resolv.conf",
            "TemporaryFileSystem=/run/nscd:ro",
            "TemporaryFileSystem=/run/systemd/resolve:ro",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn every_file_of_the_namespace_is_mounted_if_etc_has_the_same_file() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::under(root.path());
        let own = root.path().join("etc/netns/a");
        fs::create_dir_all(&own).unwrap();
        for file in ["services", "special name", "absent"] {
            fs::write(own.join(file), "").unwrap();
        }
        for file in ["services", "special name"] {
            fs::write(root.path().join("etc").join(file), "").unwrap();
        }
        let text = text(&paths, "a", &["lo@a"]);
        assert!(text.contains("BindReadOnlyPaths=/etc/netns/a/services:/etc/services\n"));
        assert!(!text.contains("special name") && !text.contains("absent"));
    }

    #[test]
    fn a_socket_gets_the_namespace_and_no_files() {
        let root = tempfile::tempdir().unwrap();
        let text = text(&Paths::under(root.path()), "cups.socket", &["dns@a"]);
        assert!(text.ends_with("\n[Socket]\nNetworkNamespacePath=/run/netns/a\n"), "{text}");
        assert!(text.contains("\nDefaultDependencies=no\n"), "{text}");
    }
}
