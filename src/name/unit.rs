//! The names of the units of this program. This is the one place that spells them.

use std::fmt;

use super::{Instance, NsName, NsType};

/// What each name begins with. `@` follows, or `-TYPE@`.
const INSIDE: &str = "netns";
const OUTSIDE: &str = "netns_outside";
const NAME: &str = "netns_name";
const MADE: &str = "netns_made";
const CLOSED: &str = "netns_closed";
const SETTLE: &str = "netns_settle";

/// What the unit files of each type begin with.
pub const HALVES: [&str; 2] = [INSIDE, OUTSIDE];

/// A unit of this program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnitName {
    /// `netns-TYPE@NAME.service`: people start and stop it; it runs the inside hooks.
    Inside(Instance),
    /// `netns_outside-TYPE@NAME.service`: it runs the outside hooks.
    Outside(Instance),
    /// `netns-TYPE@.service`: the file of all inside halves of a type.
    InsideTemplate(NsType),
    /// `netns_outside-TYPE@.service`: the file of all outside halves of a type.
    OutsideTemplate(NsType),
    /// `netns_name@NAME.service`: it creates and deletes the namespace.
    Name(NsName),
    /// `netns_made@NAME.service`: it fails unless the namespace is the one that was made.
    Made(NsName),
    /// `netns_closed@NAME.service`: it closes the namespace until its firewall is loaded.
    Closed(NsName),
    /// `netns_settle@NAME.service`: it has the namespace go when what is required does not come.
    Settle(NsName),
}

impl UnitName {
    /// Reads the name of a unit; `None` for one that is not ours.
    #[must_use]
    pub fn parse(unit: &str) -> Option<Self> {
        let (before, rest) = unit.strip_suffix(".service")?.split_once('@')?;
        if let Some((half, nstype)) = before.split_once('-') {
            let is_inside = match half {
                INSIDE => true,
                OUTSIDE => false,
                _ => return None,
            };
            let nstype: NsType = nstype.parse().ok()?;
            return Some(match (is_inside, rest) {
                (true, "") => Self::InsideTemplate(nstype),
                (false, "") => Self::OutsideTemplate(nstype),
                (true, _) => Self::Inside(Instance::new(nstype, rest.parse().ok()?).ok()?),
                (false, _) => Self::Outside(Instance::new(nstype, rest.parse().ok()?).ok()?),
            });
        }
        let name = rest.parse().ok()?;
        Some(match before {
            NAME => Self::Name(name),
            MADE => Self::Made(name),
            CLOSED => Self::Closed(name),
            SETTLE => Self::Settle(name),
            _ => return None,
        })
    }

    /// The instance that the unit is a half of.
    #[must_use]
    pub fn instance(self) -> Option<Instance> {
        match self {
            Self::Inside(instance) | Self::Outside(instance) => Some(instance),
            _ => None,
        }
    }
}

impl fmt::Display for UnitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inside(instance) => write!(f, "{INSIDE}-{instance}.service"),
            Self::Outside(instance) => write!(f, "{OUTSIDE}-{instance}.service"),
            Self::InsideTemplate(nstype) => write!(f, "{INSIDE}-{nstype}@.service"),
            Self::OutsideTemplate(nstype) => write!(f, "{OUTSIDE}-{nstype}@.service"),
            Self::Name(name) => write!(f, "{NAME}@{name}.service"),
            Self::Made(name) => write!(f, "{MADE}@{name}.service"),
            Self::Closed(name) => write!(f, "{CLOSED}@{name}.service"),
            Self::Settle(name) => write!(f, "{SETTLE}@{name}.service"),
        }
    }
}

/// Whether a unit has a name of ours, also one that this version would not make.
#[must_use]
pub fn is_ours(unit: &str) -> bool {
    let begins = |prefix: &&str| unit.strip_prefix(*prefix).is_some_and(|rest| rest.starts_with(['-', '@']));
    [INSIDE, OUTSIDE, NAME, MADE, CLOSED, SETTLE].iter().any(begins)
}

/// The type in the name of a unit, or of its file. It may be one that only an earlier version knew.
#[must_use]
pub fn type_word(unit: &str) -> Option<&str> {
    let (before, _) = unit.split_once('@')?;
    HALVES.iter().find_map(|half| before.strip_prefix(half)?.strip_prefix('-'))
}

/// The unit that the file of a type is a copy of.
#[must_use]
pub fn template(half: &str) -> String {
    format!("{half}@.service")
}

/// The file of a type.
#[must_use]
pub fn of_type(half: &str, nstype: &NsType) -> String {
    format!("{half}-{nstype}@.service")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for name in [
            "netns-veth@my-net.service",
            "netns_outside-a.b@c:d.service",
            "netns-veth@.service",
            "netns_outside-veth@.service",
            "netns_name@my-net.service",
            "netns_made@a.service",
            "netns_closed@a.service",
            "netns_settle@a.service",
        ] {
            assert_eq!(UnitName::parse(name).unwrap().to_string(), name);
            assert!(is_ours(name), "{name}");
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "netns@.service",
            "netns-veth.service",
            "netns-veth@a.socket",
            "netns-c:d@a.service",
            "netns_other@a.service",
            "nginx.service",
            "netns-veth@-.service",
        ] {
            assert_eq!(UnitName::parse(name), None, "{name}");
        }
        assert!(!is_ours("netnsd@a.service") && is_ours("netns-c:d@a.service"));
        assert_eq!(type_word("netns-c:d@a.service"), Some("c:d"));
        assert_eq!(type_word("netns_name@a.service"), None);
    }
}
