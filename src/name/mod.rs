//! The words of a command line as types: once a value of one exists, nobody checks it again.

pub mod unit;

use std::ffi::OsStr;
use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

pub use unit::UnitName;

/// Longest type or name in bytes. Both together, and a name with many hyphens, may still be too long for a unit name:
/// see [`unit_name_fits`].
const MAX: usize = 200;

/// Longest unit name in bytes (`UNIT_NAME_MAX` in systemd's src/basic/unit-name.h, without the final NUL). systemd drops a
/// dependency on a longer one, and only logs that.
pub(crate) const UNIT_NAME_MAX: usize = 255;

/// Longest name of a service that prints: journald (252) closes the output of one with another byte.
const LOGGED_UNIT_NAME_MAX: usize = UNIT_NAME_MAX - 1;

/// Checks the length of a unit name that is derived from a type or name. `what` is the cause, for the message.
/// Errors: it is too long.
fn unit_name_fits(unit: &str, limit: usize, what: fmt::Arguments<'_>) -> Result<()> {
    let length = unit.len();
    ensure!(
        length <= limit,
        "{what}: the unit name `{unit}` would be {length} bytes long, the limit is {limit}"
    );
    Ok(())
}

/// NSTYPE: the type of a namespace, `veth`. Letters, digits and `_`; inside also `.`; never `default`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct NsType(String);

/// NSNAME: the name of a namespace, `my-net`. Letters, digits and `_`; inside also `.`, `:` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct NsName(String);

fn well_formed(word: &str, inside: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let bytes = word.as_bytes();
    bytes.len() <= MAX
        && bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain)
        && bytes.iter().all(|byte| plain(byte) || inside.contains(byte))
}

impl NsType {
    /// Takes a word for a type.
    /// Errors: says what is allowed.
    pub fn new(word: &OsStr) -> Result<Self> {
        match word.to_str() {
            Some("default") => bail!("`default` is no type: default.conf is read for every type"),
            Some(text) if well_formed(text, b".") => Ok(Self(text.to_owned())),
            _ => bail!(
                "{word:?} is no type: use letters, digits and `_`, inside also `.`, at most {MAX} characters"
            ),
        }
    }
}

impl NsName {
    /// Takes a word for a name.
    /// Errors: says what is allowed.
    pub fn new(word: &OsStr) -> Result<Self> {
        match word.to_str() {
            Some(text) if well_formed(text, b".:-") => Ok(Self(text.to_owned())),
            _ => bail!(
                "{word:?} is no namespace name: use letters, digits and `_`, inside also `.`, `:` and `-`, \
                 at most {MAX} characters"
            ),
        }
    }
}

impl FromStr for NsType {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        Self::new(word.as_ref())
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

    fn from_str(word: &str) -> Result<Self> {
        Self::new(word.as_ref())
    }
}

impl TryFrom<String> for NsType {
    type Error = anyhow::Error;

    fn try_from(word: String) -> Result<Self> {
        word.parse()
    }
}

impl TryFrom<String> for NsName {
    type Error = anyhow::Error;

    fn try_from(word: String) -> Result<Self> {
        word.parse()
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
    /// In the host's network namespace (whichever it was started in).
    Outside,
    /// In the instance's own network namespace.
    Inside,
}

impl Phase {
    /// Takes `up` or `down`, exactly so.
    /// Errors: says which two there are.
    pub fn new(word: &OsStr) -> Result<Self> {
        match word.as_encoded_bytes() {
            b"up" => Ok(Self::Up),
            b"down" => Ok(Self::Down),
            _ => bail!("{word:?} is no phase: use `up` or `down`"),
        }
    }
}

impl Side {
    /// Takes `outside` or `inside`, exactly so.
    /// Errors: says which two there are.
    pub fn new(word: &OsStr) -> Result<Self> {
        match word.as_encoded_bytes() {
            b"outside" => Ok(Self::Outside),
            b"inside" => Ok(Self::Inside),
            _ => bail!("{word:?} is no side: use `outside` or `inside`"),
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

    /// The unit that closes it until its firewall is loaded.
    #[must_use]
    pub fn closed_unit(&self) -> String {
        UnitName::Closed(self.clone()).to_string()
    }

    /// The mount unit of the namespace. systemd escapes each hyphen of a path as four bytes (`systemd-escape --path`).
    #[must_use]
    pub fn mount_unit(&self) -> String {
        format!("run-netns-{}.mount", self.0.replace('-', "\\x2d"))
    }

    /// Checks that a unit can depend on the mount unit.
    /// Errors: the escaped name is too long.
    pub fn mount_unit_fits(&self) -> Result<()> {
        unit_name_fits(
            &self.mount_unit(),
            UNIT_NAME_MAX,
            format_args!("invalid name of a namespace with attached units: `{self}` has too many hyphens"),
        )
    }
}

/// A type on a namespace, written `TYPE@NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instance {
    /// The type.
    pub nstype: NsType,
    /// The namespace.
    pub name: NsName,
}

impl Instance {
    /// A type on a namespace.
    /// Errors: the name of one of its units would be too long.
    pub fn new(nstype: NsType, name: NsName) -> Result<Self> {
        let instance = Self { nstype, name };
        for unit in [instance.unit(), instance.outside_unit()] {
            unit_name_fits(&unit, LOGGED_UNIT_NAME_MAX, format_args!("invalid instance `{instance}`"))?;
        }
        Ok(instance)
    }

    /// The unit that people start and stop; it runs the inside hooks.
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

impl FromStr for Instance {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        let Some((nstype, name)) = word.split_once('@') else {
            bail!("{word:?} is no instance: write TYPE@NAME, as in `veth@my-net`")
        };
        Self::new(NsType::new(nstype.as_ref())?, NsName::new(name.as_ref())?)
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.nstype, self.name)
    }
}

/// What people name on a command line: an instance, or a namespace with all its types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `TYPE@NAME`
    Instance(Instance),
    /// `NAME`
    Namespace(NsName),
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        if word.contains('@') { word.parse().map(Self::Instance) } else { word.parse().map(Self::Namespace) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_letters_digits_underscores_and_inside_dots_colons_hyphens() {
        for good in ["a", "my-net", "a.b", "a_b", "A9", "c:d", "9", "_x_", "default", "up"] {
            assert_eq!(NsName::new(good.as_ref()).unwrap().to_string(), good);
        }
        for bad in [
            "", "-x", "x-", ".x", "x.", "..", ":", "a/b", "a b", "a\n", "é", "q'", "p%c", "@", "~", "a\\b",
            "*",
        ] {
            let said = NsName::new(bad.as_ref()).unwrap_err().to_string();
            assert!(said.contains("is no namespace name: use letters"), "{bad:?}: {said}");
        }
    }

    #[test]
    fn types_take_letters_digits_underscores_and_inside_dots_but_not_default() {
        for good in ["lo", "my_type", "a.b", "9x", "UP"] {
            assert_eq!(NsType::new(good.as_ref()).unwrap().to_string(), good);
        }
        for bad in ["", "default", "c:d", "e+f", "g-h", "é", ".a", "a.", "../q"] {
            assert!(NsType::new(bad.as_ref()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_have_at_most_200_bytes() {
        assert!(NsName::new("n".repeat(200).as_ref()).is_ok());
        assert!(NsName::new("n".repeat(201).as_ref()).is_err());
    }

    #[test]
    fn an_instance_is_as_long_as_the_longest_name_of_its_units() {
        let longest: Instance = format!("{}@{}", "t".repeat(31), "n".repeat(200)).parse().unwrap();
        assert_eq!(longest.outside_unit().len(), LOGGED_UNIT_NAME_MAX);
        let error = format!("{}@{}", "t".repeat(32), "n".repeat(200)).parse::<Instance>().unwrap_err();
        assert!(format!("{error:#}").ends_with("would be 255 bytes long, the limit is 254"), "{error:#}");
    }

    #[test]
    fn a_mount_unit_counts_four_bytes_for_each_hyphen() {
        let name = |hyphens: usize, rest: usize| -> NsName {
            format!("{}{}", "n-".repeat(hyphens), "n".repeat(rest)).parse().unwrap()
        };
        assert_eq!(name(1, 1).mount_unit(), r"run-netns-n\x2dn.mount");
        assert_eq!(name(47, 4).mount_unit().len(), UNIT_NAME_MAX);
        assert!(name(47, 4).mount_unit_fits().is_ok());
        assert!(name(47, 5).mount_unit_fits().is_err());
    }

    #[test]
    fn phase_and_side_are_spelt_exactly() {
        for bad in ["", "UP", "Up", "restart", "up "] {
            assert!(Phase::new(bad.as_ref()).is_err(), "{bad:?}");
        }
        for bad in ["", "OUTSIDE", "in", "inside "] {
            assert!(Side::new(bad.as_ref()).is_err(), "{bad:?}");
        }
    }
}
