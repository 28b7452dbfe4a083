//! The names of the units of this program. They are spelled only here.

use std::fmt;

use super::{Instance, NsName, NsType};

/// The prefix of each unit name. `@` or `-TYPE@` follows.
const INSIDE: &str = "netns";
const OUTSIDE: &str = "netns_outside";
const NAME: &str = "netns_name";
const MADE: &str = "netns_made";
const CLOSED: &str = "netns_closed";
const SETTLE: &str = "netns_settle";
const FOLLOW: &str = "netns_follow";
const RETURN: &str = "netns_return";
const AWAKE: &str = "netns_awake";
const UP: &str = "netns_up";
const PROXY: &str = "netns_proxy";

/// The device units of interfaces, which systemd creates with udev (systemd.device(5)).
const DEVICE_PREFIX: &str = "sys-subsystem-net-devices-";
const DEVICE_SUFFIX: &str = ".device";

/// The prefixes of the unit pair of a type.
pub const TYPE_PREFIXES: [&str; 2] = [INSIDE, OUTSIDE];

/// A unit of this program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnitName {
    /// `netns-TYPE@NAME.service`: users start and stop this unit. It runs the inside hooks.
    Inside(Instance),
    /// `netns_outside-TYPE@NAME.service`: runs the outside hooks.
    Outside(Instance),
    /// `netns-TYPE@.service`: the template of the inside units of a type.
    InsideTemplate(NsType),
    /// `netns_outside-TYPE@.service`: the template of the outside units of a type.
    OutsideTemplate(NsType),
    /// `netns_name@NAME.service`: creates and deletes the namespace.
    Name(NsName),
    /// `netns_made@NAME.service`: fails if the namespace is not the one that systemd-netns created.
    Made(NsName),
    /// `netns_closed@NAME.service`: keeps the namespace closed until its firewall is loaded.
    Closed(NsName),
    /// `netns_settle@NAME.service`: runs only `true`. When this unit ends, systemd checks whether a unit still needs the
    /// namespace, and removes the namespace if not.
    Settle(NsName),
    /// `netns_follow@UNIT.service`: starts the attached UNIT again when its namespace returns.
    Follow(String),
    /// `netns_return@TYPE@NAME.service`: starts the instance again when its parent interface appears.
    Return(Instance),
    /// `netns_up@TYPE@NAME.service`: starts only if the instance is up.
    Up(Instance),
    /// `netns_awake@TYPE@NAME.service`: keeps the namespace up as long as the ports of the instance have connections.
    Awake(Instance),
}

impl UnitName {
    /// Parses the name of a unit; `None` for the name of a foreign unit.
    #[must_use]
    pub fn parse(unit: &str) -> Option<Self> {
        let (template, rest) = unit.strip_suffix(".service")?.split_once('@')?;
        if let Some((prefix, nstype)) = template.split_once('-') {
            let is_inside = match prefix {
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
        if template == FOLLOW {
            return (!rest.is_empty()).then(|| Self::Follow(rest.to_owned()));
        }
        if template == RETURN {
            return rest.parse().ok().map(Self::Return);
        }
        if template == UP {
            return rest.parse().ok().map(Self::Up);
        }
        if template == AWAKE {
            return rest.parse().ok().map(Self::Awake);
        }
        let name = rest.parse().ok()?;
        Some(match template {
            NAME => Self::Name(name),
            MADE => Self::Made(name),
            CLOSED => Self::Closed(name),
            SETTLE => Self::Settle(name),
            _ => return None,
        })
    }

    /// The instance that this inside or outside unit belongs to; `None` for other units.
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
            Self::Follow(unit) => write!(f, "{FOLLOW}@{unit}.service"),
            Self::Return(instance) => write!(f, "{RETURN}@{instance}.service"),
            Self::Up(instance) => write!(f, "{UP}@{instance}.service"),
            Self::Awake(instance) => write!(f, "{AWAKE}@{instance}.service"),
        }
    }
}

/// Whether a unit name belongs to this program, including names that only another version uses.
#[must_use]
pub fn is_ours(unit: &str) -> bool {
    let begins = |prefix: &&str| unit.strip_prefix(*prefix).is_some_and(|rest| rest.starts_with(['-', '@']));
    unit.contains('@')
        && [INSIDE, OUTSIDE, NAME, MADE, CLOSED, SETTLE, FOLLOW, RETURN, UP, AWAKE, PROXY].iter().any(begins)
}

/// The name of the socket and of the service that pass on the connections of one port of an instance, without the suffix.
#[must_use]
pub fn proxy(instance: &Instance, number: usize) -> String {
    format!("{PROXY}-{number}@{instance}")
}

/// The device unit of an interface of the host: `sys-subsystem-net-devices-eth0.device`. Bytes that are not allowed in unit names
/// are escaped, as in `systemd-escape --path`.
#[must_use]
pub fn device(ifname: &str) -> String {
    let mut unit = DEVICE_PREFIX.to_owned();
    for byte in ifname.bytes() {
        if byte.is_ascii_alphanumeric() || b":_.".contains(&byte) {
            unit.push(byte.into());
        } else {
            unit += &format!("\\x{byte:02x}");
        }
    }
    unit + DEVICE_SUFFIX
}

/// Whether a unit is the device unit of an interface.
#[must_use]
pub fn is_device(unit: &str) -> bool {
    unit.starts_with(DEVICE_PREFIX) && unit.ends_with(DEVICE_SUFFIX)
}

/// The type in the name of a unit or of a unit file. It is not checked: an earlier version allowed other types.
#[must_use]
pub fn type_part(unit: &str) -> Option<&str> {
    let (template, _) = unit.split_once('@')?;
    TYPE_PREFIXES.iter().find_map(|prefix| template.strip_prefix(prefix)?.strip_prefix('-'))
}

/// The installed template unit that the unit file of each type is copied from.
#[must_use]
pub fn template(prefix: &str) -> String {
    format!("{prefix}@.service")
}

/// The unit file of a type.
#[must_use]
pub fn of_type(prefix: &str, nstype: &NsType) -> String {
    format!("{prefix}-{nstype}@.service")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_and_display_are_inverse() {
        for name in [
            "netns-veth@my-net.service",
            "netns_outside-a.b@c:d.service",
            "netns-veth@.service",
            "netns_outside-veth@.service",
            "netns_name@my-net.service",
            "netns_made@a.service",
            "netns_closed@a.service",
            "netns_settle@a.service",
            "netns_follow@x@a.socket.service",
            "netns_return@a.b@c:d.service",
            "netns_awake@a.b@c:d.service",
            "netns_up@a.b@c:d.service",
        ] {
            assert_eq!(UnitName::parse(name).unwrap().to_string(), name);
            assert!(is_ours(name), "{name}");
        }
    }

    #[test]
    fn the_device_unit_of_an_interface_has_its_escaped_name() {
        assert_eq!(device("eth0.7:a_b"), "sys-subsystem-net-devices-eth0.7:a_b.device");
        assert_eq!(device("wlan-ö"), r"sys-subsystem-net-devices-wlan\x2d\xc3\xb6.device");
        assert!(is_device(&device("x")) && !is_device("dev-vda.device"));
    }

    #[test]
    fn foreign_unit_names_are_not_parsed() {
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
        assert!(
            !is_ours("netns-exporter.service")
                && !is_ours("netnsd@a.service")
                && is_ours("netns-c:d@a.service")
        );
        assert_eq!(type_part("netns-c:d@a.service"), Some("c:d"));
        assert_eq!(type_part("netns_name@a.service"), None);
    }
}
