//! The settings that a hook has passed, and the checks of single values.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::name::{NsName, ifname};

/// Time that a parent interface has to appear, if `X_PARENT_TIMEOUT` is not set. It must end before the start timeout of a unit.
const PARENT_TIMEOUT: Duration = Duration::from_secs(30);

/// The kernel gives each namespace a loopback interface of this name.
pub(super) const LOOPBACK: &str = "lo";

/// An invalid setting. [`super::super::run`] adds the file.
#[derive(Debug)]
pub struct Invalid {
    /// The name of the setting.
    pub setting: String,
    /// The cause.
    pub message: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.message)
    }
}

impl std::error::Error for Invalid {}

/// An error about a setting.
pub fn invalid(setting: impl Into<String>, message: impl fmt::Display) -> anyhow::Error {
    Invalid { setting: setting.into(), message: message.to_string() }.into()
}

/// The settings of an interface that a hook has passed: names and values. An array is passed as several values.
#[derive(Debug)]
pub struct Settings<'a> {
    prefix: &'a str,
    values: Vec<(&'a str, &'a str)>,
}

impl<'a> Settings<'a> {
    /// Reads words of the form `NAME=VALUE`.
    /// Errors: a word has another form.
    pub fn read(prefix: &'a str, words: &[&'a str]) -> Result<Self> {
        let values = words.iter().map(|word| word.split_once('=').context("expected NAME=VALUE"));
        Ok(Self { prefix, values: values.collect::<Result<_>>()? })
    }

    /// The prefix of all settings.
    pub fn prefix(&self) -> &str {
        self.prefix
    }

    /// The full name of a setting.
    pub fn name(&self, key: &str) -> String {
        format!("{}_{key}", self.prefix)
    }

    /// All values of a setting.
    pub fn all(&self, key: &str) -> Vec<&'a str> {
        let name = self.name(key);
        self.values.iter().filter(|(found, _)| *found == name).map(|(_, value)| *value).collect()
    }

    /// The value of a setting.
    pub fn one(&self, key: &str) -> Option<&'a str> {
        self.all(key).first().copied()
    }

    /// The value of a setting, parsed.
    /// Errors: it is invalid, or an array of several values.
    pub(super) fn parsed<Value>(
        &self,
        key: &str,
        parse: impl Fn(&str) -> Result<Value>,
    ) -> Result<Option<Value>> {
        let count = self.all(key).len();
        if count > 1 {
            let message = format!("is an array of {count} elements, but one value is expected");
            return Err(invalid(self.name(key), message));
        }
        let value = self
            .one(key)
            .map(|value| parse(value).map_err(|error| invalid(self.name(key), format!("{error:#}"))));
        value.transpose()
    }

    /// The name of a namespace.
    pub fn nsname(&self, key: &str) -> Result<Option<NsName>> {
        self.parsed(key, |value| {
            value.parse().with_context(|| format!("'{value}' is not the name of a namespace"))
        })
    }

    /// The names of the ports of an interface.
    pub(super) fn ports(&self, ifname: &str) -> Result<Vec<String>> {
        let wrong = |error: anyhow::Error| invalid(self.name("PORTS"), error);
        let mut ports = Vec::new();
        for port in self.words("PORTS") {
            let port = valid_ifname(port).map_err(wrong)?;
            if port == LOOPBACK {
                return Err(wrong(anyhow!("'{port}' is the loopback interface, which cannot be a port")));
            }
            if port == ifname {
                return Err(wrong(anyhow!("'{port}' is the interface itself")));
            }
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
        Ok(ports)
    }

    /// The unicast addresses of the other ends of a tunnel.
    pub(super) fn remotes(&self) -> Result<Vec<IpAddr>> {
        let mut remotes: Vec<IpAddr> = Vec::new();
        for word in self.words("REMOTES") {
            let remote = word
                .parse()
                .map_err(|_| invalid(self.name("REMOTES"), format!("'{word}' is not an IP address")))?;
            if !remotes.contains(&remote) {
                remotes.push(remote);
            }
        }
        remotes.retain(|remote| !remote.is_multicast());
        Ok(remotes)
    }

    /// Whether the packets of a tunnel have IPv6 addresses.
    pub(super) fn has_ipv6_remotes(&self) -> bool {
        self.words("REMOTES").any(|word| word.contains(':'))
    }

    /// The words in all values of a setting, which can be an array or one text.
    fn words(&self, key: &str) -> impl Iterator<Item = &'a str> {
        self.all(key).into_iter().flat_map(str::split_whitespace)
    }

    /// Time that an interface of the host has to appear, in seconds in the setting.
    /// Errors: the setting is invalid.
    pub fn timeout(&self) -> Result<Duration> {
        Ok(self.parsed("TIMEOUT", seconds)?.unwrap_or(PARENT_TIMEOUT))
    }

    /// The parent interface.
    pub fn parent(&self) -> Result<Option<Parent>> {
        let Some(ifname) = self.parsed("PARENT_IFNAME", valid_ifname)? else { return Ok(None) };
        if ifname == LOOPBACK {
            let message = format!("'{ifname}' is the loopback interface, which cannot be a parent");
            return Err(invalid(self.name("PARENT_IFNAME"), message));
        }
        let namespace = self.nsname("PARENT_NSNAME")?;
        let timeout = self.parsed("PARENT_TIMEOUT", seconds)?.unwrap_or(PARENT_TIMEOUT);
        Ok(Some(Parent { setting: self.name("PARENT_IFNAME"), ifname, namespace, timeout }))
    }
}

/// A parent interface.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Parent {
    /// The setting with its name.
    pub setting: String,
    /// Its name.
    pub ifname: String,
    /// Its namespace; `None` for the host.
    pub namespace: Option<NsName>,
    /// Time that it has to appear.
    pub timeout: Duration,
}

impl Parent {
    /// Whether both are the same interface.
    pub fn is_same(&self, other: &Self) -> bool {
        self.ifname == other.ifname && self.namespace == other.namespace
    }

    /// Another setting of the parent: `NSNAME` or `TIMEOUT`.
    pub(super) fn other_setting(&self, key: &str) -> String {
        format!("{}{key}", self.setting.trim_end_matches("IFNAME"))
    }
}

pub(super) fn valid_ifname(value: &str) -> Result<String> {
    match ifname::problem(value) {
        None => Ok(value.to_owned()),
        Some(problem) => Err(anyhow!("{problem}")),
    }
}

pub(super) fn seconds(value: &str) -> Result<Duration> {
    let seconds =
        value.parse::<u32>().ok().with_context(|| format!("'{value}' is not a number of seconds"))?;
    Ok(Duration::from_secs(seconds.into()))
}
