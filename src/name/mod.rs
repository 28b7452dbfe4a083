//! Types for the arguments of a command line. A value is checked when it is parsed, and never again.

pub mod address;
pub mod ifname;
pub mod unit;

use std::ffi::OsStr;
use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

pub use unit::UnitName;

/// Longest type or name in bytes. A type and a name together, or a name with many hyphens, can still be too long for a unit
/// name: see [`check_unit_name_length`].
const MAX_LENGTH: usize = 200;

/// Longest unit name in bytes (`UNIT_NAME_MAX` in systemd's src/basic/unit-name.h, without the final NUL). systemd drops a
/// dependency on a longer name, and only logs this.
pub(crate) const UNIT_NAME_MAX: usize = 255;

/// Longest unit name, in bytes, of a service that has output. If the name has one more byte, journald (systemd 252) closes the
/// output of the service.
const LOGGED_UNIT_NAME_MAX: usize = UNIT_NAME_MAX - 1;

/// Checks the length of a unit name that is derived from a type or name. The message begins with `what`.
/// Errors: the unit name is too long.
fn check_unit_name_length(unit: &str, limit: usize, what: fmt::Arguments<'_>) -> Result<()> {
    let length = unit.len();
    ensure!(
        length <= limit,
        "{what}: the unit name `{unit}` would be {length} bytes long, the limit is {limit}"
    );
    Ok(())
}

/// NSTYPE: the type of a namespace, such as `veth`. Letters, digits and `_`, and `.` between them; not `default`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct NsType(String);

/// NSNAME: the name of a namespace, such as `my-net`. Letters, digits and `_`, and `.`, `:` and `-` between them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct NsName(String);

/// Whether a text has only letters, digits and `_`, and `inner` characters that are neither first nor last.
fn is_well_formed(text: &str, inner: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let bytes = text.as_bytes();
    bytes.len() <= MAX_LENGTH
        && bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain)
        && bytes.iter().all(|byte| plain(byte) || inner.contains(byte))
}

impl NsType {
    /// Parses a type.
    /// Errors: it is empty, too long, `default`, or has a character that is not allowed.
    pub fn new(argument: &OsStr) -> Result<Self> {
        match argument.to_str() {
            Some("default") => bail!("invalid NSTYPE \"default\": default.conf is read for every type"),
            Some(text) if is_well_formed(text, b".") => Ok(Self(text.to_owned())),
            _ => bail!(
                "invalid NSTYPE {argument:?}: use letters, digits and `_`, with `.` only between them, \
                 at most {MAX_LENGTH} characters"
            ),
        }
    }
}

impl NsName {
    /// Parses a name.
    /// Errors: it is empty, too long, or has a character that is not allowed.
    pub fn new(argument: &OsStr) -> Result<Self> {
        match argument.to_str() {
            Some(text) if is_well_formed(text, b".:-") => Ok(Self(text.to_owned())),
            _ => bail!(
                "invalid NSNAME {argument:?}: use letters, digits and `_`, with `.`, `:` and `-` only between them, \
                 at most {MAX_LENGTH} characters"
            ),
        }
    }
}

impl FromStr for NsType {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text.as_ref())
    }
}

impl AsRef<str> for NsType {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for NsName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for NsName {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text.as_ref())
    }
}

impl TryFrom<String> for NsType {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl TryFrom<String> for NsName {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<NsType> for String {
    fn from(nstype: NsType) -> Self {
        nstype.0
    }
}

impl From<NsName> for String {
    fn from(name: NsName) -> Self {
        name.0
    }
}

impl fmt::Display for NsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a hook brings an instance up or takes it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// `up`
    Up,
    /// `down`
    Down,
}

/// Where a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// In the host's network namespace: the one in which netnsinit was started.
    Outside,
    /// In the instance's own network namespace.
    Inside,
}

impl Phase {
    /// Parses `up` or `down`, in lower case.
    /// Errors: the argument is neither of them.
    pub fn new(argument: &OsStr) -> Result<Self> {
        match argument.as_encoded_bytes() {
            b"up" => Ok(Self::Up),
            b"down" => Ok(Self::Down),
            _ => bail!("invalid phase {argument:?}: expected `up` or `down`"),
        }
    }
}

impl Side {
    /// Parses `outside` or `inside`, in lower case.
    /// Errors: the argument is neither of them.
    pub fn new(argument: &OsStr) -> Result<Self> {
        match argument.as_encoded_bytes() {
            b"outside" => Ok(Self::Outside),
            b"inside" => Ok(Self::Inside),
            _ => bail!("invalid side {argument:?}: expected `outside` or `inside`"),
        }
    }
}

impl AsRef<str> for Phase {
    fn as_ref(&self) -> &str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_ref())
    }
}

impl AsRef<str> for Side {
    fn as_ref(&self) -> &str {
        match self {
            Self::Outside => "outside",
            Self::Inside => "inside",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_ref())
    }
}

impl NsName {
    /// The unit that creates and deletes the namespace.
    #[must_use]
    pub fn unit(&self) -> String {
        UnitName::Name(self.clone()).to_string()
    }

    /// The unit that keeps the namespace closed until its firewall is loaded.
    #[must_use]
    pub fn closed_unit(&self) -> String {
        UnitName::Closed(self.clone()).to_string()
    }

    /// The mount unit of the namespace. systemd escapes each hyphen of a path, as four bytes (`systemd-escape --path`).
    #[must_use]
    pub fn mount_unit(&self) -> String {
        format!("run-netns-{}.mount", self.0.replace('-', "\\x2d"))
    }

    /// Checks that the name of the mount unit is short enough for a dependency.
    /// Errors: the escaped name is too long.
    pub fn check_mount_unit_length(&self) -> Result<()> {
        check_unit_name_length(
            &self.mount_unit(),
            UNIT_NAME_MAX,
            format_args!("invalid name of a namespace with attached units: `{self}` has too many hyphens"),
        )
    }
}

/// A type on a namespace, written `TYPE@NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Instance {
    /// The type.
    pub nstype: NsType,
    /// The namespace.
    pub name: NsName,
}

impl Instance {
    /// Creates an instance from a type and a name.
    /// Errors: the name of one of its units would be too long.
    pub fn new(nstype: NsType, name: NsName) -> Result<Self> {
        let instance = Self { nstype, name };
        for unit in [instance.unit(), instance.outside_unit()] {
            check_unit_name_length(
                &unit,
                LOGGED_UNIT_NAME_MAX,
                format_args!("invalid instance `{instance}`"),
            )?;
        }
        Ok(instance)
    }

    /// The unit that users start and stop. It runs the inside hooks.
    #[must_use]
    pub fn unit(&self) -> String {
        UnitName::Inside(self.clone()).to_string()
    }

    /// The unit that runs the outside hooks.
    #[must_use]
    pub fn outside_unit(&self) -> String {
        UnitName::Outside(self.clone()).to_string()
    }
}

impl Instance {
    /// Parses an argument of a user: `TYPE@NAME`, or the name of a unit of the instance, `netns-TYPE@NAME.service`.
    /// Errors: the argument is neither.
    pub fn from_argument(text: &str) -> Result<Self> {
        let unit = if text.ends_with(".service") { text.to_owned() } else { format!("{text}.service") };
        // A type has no hyphen, so no instance has the form of a unit name.
        UnitName::parse(&unit).and_then(UnitName::instance).map_or_else(|| text.parse(), Ok)
    }
}

impl From<Instance> for String {
    fn from(instance: Instance) -> Self {
        instance.to_string()
    }
}

impl TryFrom<String> for Instance {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl FromStr for Instance {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((nstype, name)) = text.split_once('@') else {
            bail!("invalid instance {text:?}: expected TYPE@NAME, as in `veth@my-net`")
        };
        Self::new(NsType::new(nstype.as_ref())?, NsName::new(name.as_ref())?)
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.nstype, self.name)
    }
}

/// A command-line argument that selects an instance, or a namespace with all its types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `TYPE@NAME`
    Instance(Instance),
    /// `NAME`
    Namespace(NsName),
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.contains('@') {
            Instance::from_argument(text).map(Self::Instance)
        } else {
            text.parse().map(Self::Namespace)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_an_instance_or_the_name_of_its_unit() {
        for text in ["veth@a.b", "netns-veth@a.b", "netns-veth@a.b.service", "netns_outside-veth@a.b.service"]
        {
            assert_eq!(Instance::from_argument(text).unwrap().to_string(), "veth@a.b", "{text}");
        }
        assert_eq!(Instance::from_argument("veth@a.service").unwrap().to_string(), "veth@a.service");
        for text in ["netns-veth@.service", "veth", "x@y@z"] {
            assert!(Instance::from_argument(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_has_letters_digits_underscores_and_inner_dots_colons_hyphens() {
        for good in ["a", "my-net", "a.b", "a_b", "A9", "c:d", "9", "_x_", "default", "up"] {
            assert_eq!(NsName::new(good.as_ref()).unwrap().to_string(), good);
        }
        for bad in [
            "", "-x", "x-", ".x", "x.", "..", ":", "a/b", "a b", "a\n", "é", "q'", "p%c", "@", "~", "a\\b",
            "*",
        ] {
            let message = NsName::new(bad.as_ref()).unwrap_err().to_string();
            assert!(message.starts_with("invalid NSNAME \""), "{bad:?}: {message}");
            assert!(message.contains("\": use letters"), "{bad:?}: {message}");
        }
    }

    #[test]
    fn a_type_has_letters_digits_underscores_and_inner_dots_and_is_not_default() {
        for good in ["lo", "my_type", "a.b", "9x", "UP"] {
            assert_eq!(NsType::new(good.as_ref()).unwrap().to_string(), good);
        }
        for bad in ["", "default", "c:d", "e+f", "g-h", "é", ".a", "a.", "../q"] {
            assert!(NsType::new(bad.as_ref()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_has_at_most_200_bytes() {
        assert!(NsName::new("n".repeat(200).as_ref()).is_ok());
        assert!(NsName::new("n".repeat(201).as_ref()).is_err());
    }

    #[test]
    fn the_longest_unit_name_limits_the_length_of_an_instance() {
        let longest: Instance = format!("{}@{}", "t".repeat(31), "n".repeat(200)).parse().unwrap();
        assert_eq!(longest.outside_unit().len(), LOGGED_UNIT_NAME_MAX);
        let error = format!("{}@{}", "t".repeat(32), "n".repeat(200)).parse::<Instance>().unwrap_err();
        assert!(format!("{error:#}").ends_with("would be 255 bytes long, the limit is 254"), "{error:#}");
    }

    #[test]
    fn each_hyphen_takes_four_bytes_in_the_name_of_a_mount_unit() {
        let name = |hyphens: usize, rest: usize| -> NsName {
            format!("{}{}", "n-".repeat(hyphens), "n".repeat(rest)).parse().unwrap()
        };
        assert_eq!(name(1, 1).mount_unit(), r"run-netns-n\x2dn.mount");
        assert_eq!(name(47, 4).mount_unit().len(), UNIT_NAME_MAX);
        assert!(name(47, 4).check_mount_unit_length().is_ok());
        assert!(name(47, 5).check_mount_unit_length().is_err());
    }

    #[test]
    fn phase_and_side_are_accepted_only_in_their_exact_spelling() {
        for bad in ["", "UP", "Up", "restart", "up "] {
            assert!(Phase::new(bad.as_ref()).is_err(), "{bad:?}");
        }
        for bad in ["", "OUTSIDE", "in", "inside "] {
            assert!(Side::new(bad.as_ref()).is_err(), "{bad:?}");
        }
    }
}
