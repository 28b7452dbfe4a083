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

/// A requirement, which is met before `up outside` of the instance starts.
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
    /// The unit that is active when the requirement is met.
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

    /// Parses a requirement. A unit of systemd-netns becomes a namespace or an instance. Other text with the suffix of a unit is
    /// a unit.
    fn from_str(text: &str) -> Result<Self> {
        match UnitName::parse(text) {
            Some(UnitName::Name(name)) => return Ok(Self::Namespace(name)),
            Some(UnitName::Inside(instance)) => return Ok(Self::Instance(instance)),
            _ => {}
        }
        if text.rsplit_once('.').is_some_and(|(_, suffix)| SUFFIXES.contains(&suffix)) {
            ensure!(
                is_unit(text),
                "invalid unit name {text:?}: use letters, digits and `:-_.\\@`; a template cannot be required"
            );
            Ok(Self::Unit(text.to_owned()))
        } else if text.contains('@') {
            text.parse().map(Self::Instance)
        } else {
            text.parse().map(Self::Namespace)
        }
    }
}

/// Whether systemd accepts a text as the name of a unit. A template cannot be started, so its name is not accepted.
fn is_unit(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    text.len() <= UNIT_NAME_MAX
        && text.bytes().all(allowed)
        && !text.starts_with(['.', '@', '-'])
        && !text.contains("@.")
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

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_and_the_at_sign_distinguish_units_instances_and_namespaces() {
        for (text, unit) in [
            ("my-net", "netns_name@my-net.service"),
            ("veth@my-net", "netns-veth@my-net.service"),
            ("nginx.service", "nginx.service"),
            ("getty@tty1.service", "getty@tty1.service"),
            ("sys-subsystem-net-devices-eth0.device", "sys-subsystem-net-devices-eth0.device"),
            ("a.b", "netns_name@a.b.service"),
        ] {
            let requirement: Requirement = text.parse().unwrap();
            assert_eq!((requirement.to_string().as_str(), requirement.unit().as_str()), (text, unit));
        }
        for text in
            ["", "a b", "-x", "@", "a@", "veth@", "getty@.service", ".service", "a/b.service", "a%b.service"]
        {
            assert!(text.parse::<Requirement>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn units_of_systemd_netns_become_their_namespace_or_instance() {
        for (unit, parsed) in [("netns_name@a.service", "a"), ("netns-veth@my-net.service", "veth@my-net")] {
            assert_eq!(unit.parse::<Requirement>().unwrap().to_string(), parsed);
        }
    }
}
