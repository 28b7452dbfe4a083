//! The place of an interface: the host or a namespace.

use std::fmt;
use std::fs::File;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::super::Call;
use super::settings::Settings;
use crate::name::{Instance, NsName};
use crate::netns::{self, Entered};
use crate::paths::{OWN_NETNS, Paths};

/// The place of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkSite {
    /// The namespace of the instance.
    Inside(NsName),
    /// The host.
    Host,
    /// Another namespace.
    Namespace(NsName),
}

impl fmt::Display for LinkSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("on the host"),
            Self::Inside(name) | Self::Namespace(name) => write!(f, "in namespace '{name}'"),
        }
    }
}

impl LinkSite {
    /// The place of the interface with this end of its settings: an outside end is on the host, or in the namespace `X_NSNAME_OUTSIDE`.
    /// Errors: the setting is invalid.
    pub fn of(settings: &Settings, suffix: &str, instance: &Instance) -> Result<Self> {
        if suffix != super::OUTSIDE {
            return Ok(Self::Inside(instance.name.clone()));
        }
        Ok(settings.nsname("NSNAME_OUTSIDE")?.map_or(Self::Host, Self::Namespace))
    }

    /// Whether both are the same namespace.
    pub fn is_same(&self, other: &Self) -> bool {
        let name = |place: &Self| match place {
            Self::Host => None,
            Self::Inside(name) | Self::Namespace(name) => Some(name.clone()),
        };
        name(self) == name(other)
    }

    /// Whether the place is the namespace of the instance.
    pub fn is_inside(&self) -> bool {
        matches!(self, Self::Inside(_))
    }

    /// Checks that an interface can be made here.
    /// Errors: the namespace does not exist, or no interface may come up in it.
    pub fn require(&self, call: &Call, setting: &str) -> Result<()> {
        let Self::Namespace(name) = self else { return Ok(()) };
        if call.paths.closed(name).exists() {
            bail!("the firewall of namespace '{name}' cannot be loaded, so no interface comes up in it");
        }
        if !call.paths.namespace(name).exists() {
            bail!(
                "namespace '{name}' ({setting}) of the outside end does not exist.\n\
                 hint: run `netns-update`; then this instance starts after that namespace"
            );
        }
        Ok(())
    }

    /// Moves this thread to the place.
    /// Errors: the namespace does not exist, or cannot be entered.
    pub fn enter(&self, call: &Call) -> Result<Option<Entered>> {
        match self {
            Self::Host => call.enter_host(),
            Self::Inside(_) => call.enter_namespace(),
            Self::Namespace(name) => call.enter_named(name),
        }
    }

    /// Whether the place exists.
    pub fn exists(&self, paths: &Paths) -> bool {
        match self {
            Self::Host => true,
            Self::Inside(name) | Self::Namespace(name) => paths.namespace(name).exists(),
        }
    }

    /// Moves this thread from the host to the place, outside of a hook.
    /// Errors: the namespace does not exist, or cannot be entered.
    pub fn enter_from_host(&self, paths: &Paths) -> Result<Option<Entered>> {
        match self {
            Self::Host => Ok(None),
            Self::Inside(name) | Self::Namespace(name) => netns::enter(paths, name).map(Some),
        }
    }

    /// Opens the namespace.
    /// Errors: it cannot be entered or opened.
    pub fn open(&self, call: &Call) -> Result<File> {
        let _there = self.enter(call)?;
        File::open(OWN_NETNS).context("cannot open a namespace")
    }

    /// The place as an argument of `ip link set netns`: the name of a namespace, or a process of the host.
    pub fn netns(&self) -> String {
        match self {
            Self::Host => "1".to_owned(),
            Self::Inside(name) | Self::Namespace(name) => name.to_string(),
        }
    }

    /// The start of an ip(8) command that changes this place.
    pub fn ip(&self) -> String {
        match self {
            Self::Host => "ip".to_owned(),
            Self::Inside(name) | Self::Namespace(name) => format!("ip -netns {name}"),
        }
    }
}

/// The place of a parent interface: a namespace, or the host.
/// Errors: the namespace does not exist, or cannot be entered.
pub(super) fn enter_parent(call: &Call, namespace: Option<&NsName>) -> Result<Option<Entered>> {
    match namespace {
        Some(name) => call.enter_named(name),
        None => call.enter_host(),
    }
}
