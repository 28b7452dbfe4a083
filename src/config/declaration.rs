//! What a plugin declares for the host, in the comment that the file begins with (netns-plugin(7), "DECLARATIONS"):
//!
//! ```text
//! # Contains: only definitions
//! # Provides: firewall
//! # Files: nft-NAME.rules
//! # Rules: nft-NAME.rules nft.rules
//! # Etc: nsswitch.conf resolv.conf
//! # Links: VETH_IFNAME_INSIDE VETH_IFNAME_OUTSIDE@VETH_NSNAME_OUTSIDE
//! # Requires: VETH_NSNAME_OUTSIDE
//! ```
//!
//! The host knows no type by its name: a type of an administrator has the same care as one that ships.

use std::path::{Path, PathBuf};

use super::plugin;
use crate::name::{Instance, NsName, NsType};
use crate::paths::Paths;
use crate::sys::file;

/// How far a declaration is looked for, in bytes.
const LONGEST_HEADER: usize = 4 << 10;

/// What a plugin declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declaration {
    /// It filters the traffic of the namespace: nothing passes before its `up inside` has succeeded.
    pub firewall: bool,
    /// The file defines functions, sets variables, and does nothing else when bash reads it.
    pub only_definitions: bool,
    /// The files that it always writes to `/etc/netns/NAME`.
    pub etc: Vec<String>,
    /// The interfaces that it makes.
    pub links: Vec<DeclaredLink>,
    /// Settings whose values are what an instance requires.
    pub requires: Vec<String>,
    /// Files besides `TYPE-NAME.conf` that configure an instance, with `NAME` in place of the namespace.
    files: Vec<String>,
    /// The files that it loads nftables rules from, best first; the first has `NAME` in place of the namespace.
    rules: Vec<String>,
}

/// An interface that a plugin makes, by the settings that tell its name and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredLink {
    /// The setting with its name.
    pub ifname: String,
    /// Where it is.
    pub place: LinkPlace,
}

/// Where an interface is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkPlace {
    /// `VARIABLE`: in the namespace of the instance.
    Inside,
    /// `VARIABLE@SETTING`: in the namespace that this setting names; on the host where it is empty, or where there is no setting.
    Outside(Option<String>),
}

impl DeclaredLink {
    fn read(word: &str) -> Self {
        let (ifname, place) = match word.split_once('@') {
            None => (word, LinkPlace::Inside),
            Some((ifname, "")) => (ifname, LinkPlace::Outside(None)),
            Some((ifname, setting)) => (ifname, LinkPlace::Outside(Some(setting.to_owned()))),
        };
        Self { ifname: ifname.to_owned(), place }
    }
}

impl Declaration {
    /// Reads the declaration of a type. The plugin is not run. If the administrator's own file cannot be read, the plugin that
    /// ships counts: a firewall that cannot be loaded is still a firewall.
    #[must_use]
    pub fn of(paths: &Paths, nstype: &NsType) -> Self {
        paths.plugin(nstype).iter().find_map(|place| Self::of_file(place)).unwrap_or_default()
    }

    /// Reads the declaration in a file; `None` for a file that cannot be read.
    #[must_use]
    pub fn of_file(path: &Path) -> Option<Self> {
        let mut head = [0; LONGEST_HEADER];
        let text = file::read_head(path, &mut head).ok()?;
        Some(Self::read(&String::from_utf8_lossy(text)))
    }

    /// Reads the declaration in the text of a plugin. A line of other words is a comment for people: `# Requires: wireguard-tools`.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut declared = Self::default();
        let head = String::from_utf8_lossy(&text.as_bytes()[..text.len().min(LONGEST_HEADER)]);
        for line in head.lines().map_while(|line| line.strip_prefix('#')) {
            let Some((key, value)) = line.trim().split_once(':') else { continue };
            let all = |is_meant: fn(&str) -> bool| -> Vec<String> {
                let words: Vec<String> = value.split_whitespace().map(ToOwned::to_owned).collect();
                if words.iter().all(|word| is_meant(word)) { words } else { Vec::new() }
            };
            match key {
                "Provides" => declared.firewall |= value.split_whitespace().any(|word| word == "firewall"),
                "Contains" => declared.only_definitions |= value.trim() == "only definitions",
                "Files" => declared.files.extend(all(is_pattern)),
                "Rules" => declared.rules.extend(all(is_file)),
                "Etc" => declared.etc.extend(all(is_file)),
                "Links" => declared.links.extend(all(is_link).iter().map(|word| DeclaredLink::read(word))),
                "Requires" => declared.requires.extend(all(is_setting)),
                _ => {}
            }
        }
        if !declared.rules.first().is_some_and(|first| is_pattern(first)) {
            declared.rules.clear();
        }
        declared
    }

    /// The files of `/etc/netns/NAME` that a type always writes.
    #[must_use]
    pub fn etc_of(paths: &Paths, nstype: &NsType) -> Vec<String> {
        Self::inherited(paths, nstype, |one| one.etc)
    }

    /// A list of files that a type declares. An administrator's copy of a plugin without this declaration inherits the list of the
    /// plugin that ships, because older copies do not declare it.
    fn inherited(paths: &Paths, nstype: &NsType, list: fn(Self) -> Vec<String>) -> Vec<String> {
        let declared = paths.plugin(nstype).into_iter().filter_map(|place| Self::of_file(&place));
        declared.map(list).find(|files| !files.is_empty()).unwrap_or_default()
    }

    /// The files that configure an instance besides its `.conf`.
    pub fn files_of(&self, instance: &Instance) -> impl Iterator<Item = String> {
        self.files.iter().map(|file| filled(file, &instance.name))
    }

    /// The namespace that a file configures.
    #[must_use]
    pub fn name_in<'a>(&self, file: &'a str) -> Option<&'a str> {
        self.files.iter().find_map(|pattern| name_by(pattern, file))
    }

    /// Whether it loads nftables rules from a file of that name, or saves them there.
    #[must_use]
    pub fn has_rules(&self, file: &str) -> bool {
        self.rules.iter().any(|pattern| pattern == file || name_by(pattern, file).is_some())
    }
}

/// The name of a setting, in capitals.
fn is_setting(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_uppercase())
        && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

fn is_link(word: &str) -> bool {
    let (ifname, place) = word.split_once('@').unwrap_or((word, ""));
    is_setting(ifname) && (place.is_empty() || is_setting(place))
}

/// The name of a file, with a dot or for each namespace.
fn is_file(word: &str) -> bool {
    !word.contains('/')
        && !word.starts_with('.')
        && (word.contains('.') || is_pattern(word) || word == "hosts")
}

/// The name of a file for each namespace.
fn is_pattern(word: &str) -> bool {
    !word.contains('/') && word.matches("NAME").count() == 1
}

fn filled(pattern: &str, name: &NsName) -> String {
    pattern.replace("NAME", name.as_ref())
}

fn name_by<'a>(pattern: &str, file: &'a str) -> Option<&'a str> {
    let (before, behind) = pattern.split_once("NAME")?;
    file.strip_prefix(before)?.strip_suffix(behind)
}

/// Where the rules of a namespace are, by what a plugin declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesFiles {
    /// The type that loads them.
    pub nstype: NsType,
    /// The files that it loads, best first. Rules are saved to the first.
    pub files: Vec<PathBuf>,
}

impl RulesFiles {
    /// Those of each type that declares `# Rules:`, for one namespace.
    #[must_use]
    pub fn of(paths: &Paths, name: &NsName) -> Vec<Self> {
        let types = plugin::known(paths).unwrap_or_default().into_iter();
        let found = types.map(|nstype| {
            let rules = Declaration::inherited(paths, &nstype, |one| one.rules);
            Self { nstype, files: rules.iter().map(|file| paths.conf.join(filled(file, name))).collect() }
        });
        found.filter(|one| !one.files.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_plugin_declares_in_the_comment_that_it_begins_with() {
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
    fn a_comment_for_people_declares_nothing() {
        let text = "# Requires: wireguard-tools (>= 1.0), $(touch x)\n# Files: see README\n# Rules: none\n# Rules: x.rules\n\
                    # Links: https://example.org\n# Etc: writes /etc/hosts\n# Contains: only definitions, and a call\n# Provides: a way out\n";
        assert_eq!(Declaration::read(text), Declaration::default());
    }

    #[test]
    fn a_link_is_inside_or_where_a_setting_says_or_on_the_host() {
        let declared = Declaration::read("# Links: T_IN T_OUT@T_NSNAME T_HOST@\n");
        let places: Vec<LinkPlace> = declared.links.into_iter().map(|link| link.place).collect();
        assert_eq!(
            places,
            [LinkPlace::Inside, LinkPlace::Outside(Some("T_NSNAME".to_owned())), LinkPlace::Outside(None)]
        );
    }

    #[test]
    fn a_plugin_that_cannot_be_read_is_still_the_firewall_that_ships() {
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
