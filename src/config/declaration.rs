//! The declarations of a plugin: lines in its first comment that systemd-netns reads (netns-plugin(7), "DECLARATIONS"):
//!
//! ```text
//! # Contains: only definitions
//! # Provides: firewall
//! # Files: nft-NAME.rules
//! # Rules: nft-NAME.rules nft.rules
//! # Etc: nsswitch.conf resolv.conf
//! # Kind: veth
//! # Links: VETH_IFNAME_INSIDE VETH_IFNAME_OUTSIDE@VETH_NSNAME_OUTSIDE
//! # Requires: VETH_NSNAME_OUTSIDE
//! # After: links
//! # Publishes: PUBLISH
//! ```
//!
//! This program does not know the name of any type, so administrators' types can use the same functions as shipped types.

use std::path::{Path, PathBuf};

use super::plugin;
use crate::name::{Instance, NsName, NsType};
use crate::paths::Paths;
use crate::sys::file;

/// Declarations are read from this number of bytes at the beginning of the file.
const MAX_HEADER_SIZE: usize = 4 << 10;

/// The declarations of a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // they are independent of each other
pub struct Declaration {
    /// The type filters the traffic of the namespace. Nothing passes before its `up inside` has succeeded.
    pub firewall: bool,
    /// The type sets the loopback interface up.
    pub loopback: bool,
    /// The type has nftables rules on the host.
    pub host_rules: bool,
    /// The file only defines functions and sets variables. It does nothing else when bash reads it.
    pub only_definitions: bool,
    /// The files that the type always writes to `/etc/netns/NAME`.
    pub etc: Vec<String>,
    /// The interfaces that the type creates.
    pub links: Vec<DeclaredLink>,
    /// The kind of these interfaces, as in `ip link add type KIND`.
    pub kind: Option<String>,
    /// The settings whose values are requirements of an instance.
    pub requires: Vec<String>,
    /// The settings with ports of the host that lead to the namespace.
    pub publishes: Vec<String>,
    /// The type uses the interfaces that other types create in the namespace.
    pub after_links: bool,
    /// Files besides `TYPE-NAME.conf` that configure an instance; `NAME` in a file name is the name of the namespace.
    files: Vec<String>,
    /// The files from which the type loads nftables rules, by precedence. The first file name contains `NAME`, in place of
    /// the name of the namespace.
    rules: Vec<String>,
}

/// An interface that a plugin creates. Settings contain its name and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredLink {
    /// The setting that contains the name of the interface.
    pub ifname: String,
    /// The place of the interface.
    pub place: LinkPlace,
}

/// The place of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkPlace {
    /// `VARIABLE`: in the namespace of the instance.
    Inside,
    /// `VARIABLE@SETTING`: in the namespace whose name is the value of the setting; on the host if the value is empty.
    /// `VARIABLE@`: on the host.
    Outside(Option<String>),
}

impl DeclaredLink {
    fn parse(value: &str) -> Self {
        let (ifname, place) = match value.split_once('@') {
            None => (value, LinkPlace::Inside),
            Some((ifname, "")) => (ifname, LinkPlace::Outside(None)),
            Some((ifname, setting)) => (ifname, LinkPlace::Outside(Some(setting.to_owned()))),
        };
        Self { ifname: ifname.to_owned(), place }
    }
}

impl Declaration {
    /// Reads the declarations of a type. The plugin is not run.
    ///
    /// If the administrator's plugin cannot be read, the shipped plugin is read. So an unreadable copy of a firewall still
    /// counts as a firewall, and the namespace stays closed.
    #[must_use]
    pub fn of(paths: &Paths, nstype: &NsType) -> Self {
        paths.plugin(nstype).iter().find_map(|place| Self::of_file(place)).unwrap_or_default()
    }

    /// Reads the declarations in a file; `None` if it cannot be read.
    #[must_use]
    pub fn of_file(path: &Path) -> Option<Self> {
        let mut head = [0; MAX_HEADER_SIZE];
        let text = file::read_head(path, &mut head).ok()?;
        Some(Self::read(&String::from_utf8_lossy(text)))
    }

    /// Reads the declarations in the text of a plugin. A line with any invalid value is a comment for users, such as
    /// `# Requires: wireguard-tools`.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut declared = Self::default();
        let head = String::from_utf8_lossy(&text.as_bytes()[..text.len().min(MAX_HEADER_SIZE)]);
        for line in head.lines().map_while(|line| line.strip_prefix('#')) {
            let Some((key, value)) = line.trim().split_once(':') else { continue };
            let all = |is_valid: fn(&str) -> bool| -> Vec<String> {
                let values: Vec<String> = value.split_whitespace().map(ToOwned::to_owned).collect();
                if values.iter().all(|value| is_valid(value)) { values } else { Vec::new() }
            };
            match key {
                "Provides" => {
                    let provides = |what: &str| value.split_whitespace().any(|value| value == what);
                    declared.firewall |= provides("firewall");
                    declared.loopback |= provides("loopback");
                    declared.host_rules |= provides("host-rules");
                }
                "After" => declared.after_links |= value.trim() == "links",
                "Contains" => declared.only_definitions |= value.trim() == "only definitions",
                "Files" => declared.files.extend(all(is_pattern)),
                "Rules" => declared.rules.extend(all(is_file)),
                "Etc" => declared.etc.extend(all(is_file)),
                "Kind" => declared.kind = Some(value.trim().to_owned()).filter(|kind| is_kind(kind)),
                "Links" => declared.links.extend(all(is_link).iter().map(|link| DeclaredLink::parse(link))),
                "Publishes" => declared.publishes.extend(all(is_setting)),
                "Requires" => declared.requires.extend(all(is_setting)),
                _ => {}
            }
        }
        if !declared.rules.first().is_some_and(|first| is_pattern(first)) {
            declared.rules.clear();
        }
        declared
    }

    /// Whether the type comes up before the types that use the interfaces of others.
    #[must_use]
    pub fn creates_links_first(&self) -> bool {
        !self.links.is_empty() && !self.after_links
    }

    /// The files that a type always writes to `/etc/netns/NAME`.
    #[must_use]
    pub fn etc_of(paths: &Paths, nstype: &NsType) -> Vec<String> {
        Self::inherited(paths, nstype, |one| one.etc)
    }

    /// The files from which the type of an instance loads nftables rules, by precedence; empty if it loads none.
    #[must_use]
    pub fn rules_of(paths: &Paths, instance: &Instance) -> Vec<PathBuf> {
        let rules = Self::inherited(paths, &instance.nstype, |one| one.rules);
        rules.iter().map(|file| paths.conf.join(fill_in(file, &instance.name))).collect()
    }

    /// A list of files that a type declares. An administrator's copy without this declaration inherits the list of the shipped
    /// plugin.
    fn inherited(paths: &Paths, nstype: &NsType, list: fn(Self) -> Vec<String>) -> Vec<String> {
        let declared = paths.plugin(nstype).into_iter().filter_map(|place| Self::of_file(&place));
        declared.map(list).find(|files| !files.is_empty()).unwrap_or_default()
    }

    /// The files besides its `.conf` that configure an instance.
    pub fn files_of(&self, instance: &Instance) -> impl Iterator<Item = String> {
        self.files.iter().map(|file| fill_in(file, &instance.name))
    }

    /// The namespace that a file configures, from the name of the file.
    #[must_use]
    pub fn name_in<'a>(&self, file: &'a str) -> Option<&'a str> {
        self.files.iter().find_map(|pattern| match_name(pattern, file))
    }

    /// Whether the type loads nftables rules from a file with this name, or saves rules to it.
    #[must_use]
    pub fn has_rules(&self, file: &str) -> bool {
        self.rules.iter().any(|pattern| pattern == file || match_name(pattern, file).is_some())
    }
}

/// Whether a value is the name of a setting: it is in capitals.
fn is_setting(value: &str) -> bool {
    value.starts_with(|first: char| first.is_ascii_uppercase())
        && value.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Whether a value is a kind of interfaces, such as `veth`.
fn is_kind(value: &str) -> bool {
    !value.is_empty()
        && value.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn is_link(value: &str) -> bool {
    let (ifname, place) = value.split_once('@').unwrap_or((value, ""));
    is_setting(ifname) && (place.is_empty() || is_setting(place))
}

/// Whether a value is the name of a file: it has a dot, or `NAME`, or is `hosts`.
fn is_file(value: &str) -> bool {
    !value.contains('/')
        && !value.starts_with('.')
        && (value.contains('.') || is_pattern(value) || value == "hosts")
}

/// Whether a value is a file name with `NAME` in place of the namespace.
fn is_pattern(value: &str) -> bool {
    !value.contains('/') && value.matches("NAME").count() == 1
}

fn fill_in(pattern: &str, name: &NsName) -> String {
    pattern.replace("NAME", name.as_ref())
}

fn match_name<'a>(pattern: &str, file: &'a str) -> Option<&'a str> {
    let (prefix, suffix) = pattern.split_once("NAME")?;
    file.strip_prefix(prefix)?.strip_suffix(suffix)
}

/// The rules files of a namespace that a plugin declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesFiles {
    /// The type that loads the rules.
    pub nstype: NsType,
    /// The files, by precedence. Rules are saved to the first one.
    pub files: Vec<PathBuf>,
}

impl RulesFiles {
    /// The rules files of a namespace, for each type that declares `# Rules:`.
    #[must_use]
    pub fn of(paths: &Paths, name: &NsName) -> Vec<Self> {
        let types = plugin::known(paths).unwrap_or_default().into_iter();
        let found = types.map(|nstype| {
            let instance = Instance { nstype, name: name.clone() };
            Self { files: Declaration::rules_of(paths, &instance), nstype: instance.nstype }
        });
        found.filter(|rules| !rules.files.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn declarations_are_read_from_the_first_comment() {
        let declared = Declaration::read(
            "# shellcheck shell=bash\n# f: x\n#\n# Provides: firewall\n# Files: f-NAME.rules f.NAME\n# Rules: f-NAME.rules f.rules\n\n# Files: no\n",
        );
        assert!(declared.firewall && !declared.only_definitions);
        assert_eq!(declared.name_in("f-a-b.rules"), Some("a-b"));
        assert_eq!(declared.name_in("f.c"), Some("c"));
        for other in ["f-a.rules~", "no", "g-a.rules"] {
            assert_eq!(declared.name_in(other), None, "{other}");
        }
        assert!(
            declared.has_rules("f.rules") && declared.has_rules("f-a.rules") && !declared.has_rules("f.x")
        );
        assert_eq!(Declaration::read("echo\n# Provides: firewall\n"), Declaration::default());
    }

    #[test]
    fn a_comment_for_users_declares_nothing() {
        let text = "# Requires: wireguard-tools (>= 1.0), $(touch x)\n# Files: see README\n# Rules: none\n# Rules: x.rules\n\
                    # Links: https://example.org\n# Etc: writes /etc/hosts\n# Contains: only definitions, and a call\n#
                    # Provides: a way out\n";
        assert_eq!(Declaration::read(text), Declaration::default());
    }

    #[test]
    fn a_link_is_inside_or_in_the_namespace_of_a_setting_or_on_the_host() {
        let declared = Declaration::read("# Links: T_IN T_OUT@T_NSNAME T_HOST@\n");
        let places: Vec<LinkPlace> = declared.links.into_iter().map(|link| link.place).collect();
        assert_eq!(
            places,
            [LinkPlace::Inside, LinkPlace::Outside(Some("T_NSNAME".to_owned())), LinkPlace::Outside(None)]
        );
    }

    #[test]
    fn the_shipped_plugin_declares_the_firewall_if_the_administrators_plugin_is_unreadable() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::under(root.path());
        let nstype: NsType = "f".parse().unwrap();
        let [own, shipped] = paths.plugin(&nstype);
        fs::create_dir_all(&paths.share).unwrap();
        fs::write(shipped, "# Provides: firewall\n").unwrap();
        assert!(Declaration::of(&paths, &nstype).firewall);
        fs::create_dir_all(&own).unwrap();
        assert!(Declaration::of(&paths, &nstype).firewall);
        fs::remove_dir(&own).unwrap();
        fs::write(own, "# a plugin of the administrator\n").unwrap();
        assert!(!Declaration::of(&paths, &nstype).firewall);
    }
}
