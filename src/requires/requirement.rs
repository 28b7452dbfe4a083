//! A requirement of an instance.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::name::{Instance, NsName, UNIT_NAME_MAX, UnitName};

/// The suffixes of unit names (systemd.unit(5)).
const SUFFIXES: [&str; 11] = [
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "slice",
    "scope",
];

/// A condition that must be met before `up outside` starts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Requirement {
    /// `NAME`: the namespace exists.
    Namespace(NsName),
    /// `TYPE@NAME`: the instance is up.
    Instance(Instance),
    /// `x.service`: the unit is active.
    Unit(String),
}

impl Requirement {
    /// The unit that must be active.
    #[must_use]
    pub fn unit(&self) -> String {
        match self {
            Self::Namespace(name) => name.unit(),
            Self::Instance(instance) => instance.unit(),
            Self::Unit(unit) => unit.clone(),
        }
    }
}

impl FromStr for Requirement {
    type Err = anyhow::Error;

    /// Parses a requirement. A unit of systemd-netns becomes its namespace or instance. Other text with the suffix of a unit is a unit,
    /// also if it could be a name.
    fn from_str(word: &str) -> Result<Self> {
        match UnitName::parse(word) {
            Some(UnitName::Name(name)) => return Ok(Self::Namespace(name)),
            Some(UnitName::Inside(instance)) => return Ok(Self::Instance(instance)),
            _ => {}
        }
        if word.rsplit_once('.').is_some_and(|(_, suffix)| SUFFIXES.contains(&suffix)) {
            ensure!(is_unit(word), "{word:?} is not the name of a unit");
            Ok(Self::Unit(word.to_owned()))
        } else if word.contains('@') {
            word.parse().map(Self::Instance)
        } else {
            word.parse().map(Self::Namespace)
        }
    }
}

/// Whether systemd accepts a text as the name of a unit that can be started, not of a template.
fn is_unit(word: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    word.len() <= UNIT_NAME_MAX
        && word.bytes().all(allowed)
        && !word.starts_with(['.', '@', '-'])
        && !word.contains("@.")
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(name) => name.fmt(f),
            Self::Instance(instance) => instance.fmt(f),
            Self::Unit(unit) => f.write_str(unit),
        }
    }
}

impl From<Requirement> for String {
    fn from(requirement: Requirement) -> Self {
        requirement.to_string()
    }
}

impl TryFrom<String> for Requirement {
    type Error = anyhow::Error;

    fn try_from(word: String) -> Result<Self> {
        word.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_namespace_an_instance_or_a_unit_by_its_suffix() {
        for (word, unit) in [
            ("my-net", "netns_name@my-net.service"),
            ("veth@my-net", "netns-veth@my-net.service"),
            ("nginx.service", "nginx.service"),
            ("getty@tty1.service", "getty@tty1.service"),
            ("sys-subsystem-net-devices-eth0.device", "sys-subsystem-net-devices-eth0.device"),
            ("a.b", "netns_name@a.b.service"),
        ] {
            let requirement: Requirement = word.parse().unwrap();
            assert_eq!((requirement.to_string().as_str(), requirement.unit().as_str()), (word, unit));
        }
        for word in
            ["", "a b", "-x", "@", "a@", "veth@", "getty@.service", ".service", "a/b.service", "a%b.service"]
        {
            assert!(word.parse::<Requirement>().is_err(), "{word:?}");
        }
    }

    #[test]
    fn units_of_ours_are_what_they_stand_for() {
        for (word, meant) in [("netns_name@a.service", "a"), ("netns-veth@my-net.service", "veth@my-net")] {
            assert_eq!(word.parse::<Requirement>().unwrap().to_string(), meant);
        }
    }
}
