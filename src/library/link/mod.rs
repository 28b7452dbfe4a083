//! Interfaces: create, configure, compare, remove. A new interface is created in its place, so it never appears elsewhere.
//!
//! A veth pair, addresses, default routes and properties go to the kernel directly. Other kinds of interfaces, and addresses and routes
//! with more words, go through ip(8), which knows the words of each kind.

pub(super) mod add;
mod apply;
mod cause;
mod clash;
mod configure;
mod default_mtu;
mod drift;
mod end;
mod kept;
mod moved;
mod outdated;
mod parent;
mod ports;
mod rehearse;
mod remove;
pub(super) mod settings;
mod site;
mod tun;
mod wait;

use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

pub use add::add;
pub use configure::configure;
pub use kept::kept;
pub use moved::{move_in, selects_by_name};
pub use parent::missing as missing_parent;
pub use remove::{remove, remove_older};
pub use site::LinkSite;
pub(super) use tun::SOCKETS;

use super::Call;
use super::record::Record;
use super::sysctl::{Key, Value};
use crate::name::{Instance, NsName};
use crate::netlink;
use crate::paths::Paths;
use crate::print;
use crate::sys::program::Program;
use end::LinkSettings;
use moved::Moved;
use settings::Parent;
use tun::Tun;

/// The link group of our interfaces on the host. Other network managers leave this group alone (`managers/`). It is "ns" in ASCII.
pub const MARK_GROUP: u32 = 0x6e73;

/// The end of the names of the settings of an outside end, and of an inside end.
const OUTSIDE: &str = "_OUTSIDE";
const INSIDE: &str = "_INSIDE";

/// An interface of an instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinkRecord {
    /// The prefix and the end of the names of its settings: `VETH_OUTSIDE`.
    label: String,
    place: LinkSite,
    /// `veth`, `bridge`, …
    kind: String,
    /// The words for `ip link add` after the kind.
    words: Vec<String>,
    parent: Option<Parent>,
    /// Whether a hook on the host has created it. The UDP socket of a tunnel stays where the tunnel was created.
    from_host: bool,
    /// The namespace that it is created in instead of the host, for the same reason.
    #[serde(default)]
    socket: Option<NsName>,
    /// The label of the other end of a veth pair.
    peer: Option<String>,
    /// Whether one of the two ends is a port of a bridge.
    bridged: bool,
    /// The settings.
    end: LinkSettings,
    /// The hook that has created the interface. Another hook does not delete it after a failure.
    made_by: Option<String>,
    /// The hook that has configured the interface for the first time.
    configured_by: Option<String>,
    /// What the interface had after the last `link_configure`; `None` before.
    configured: Option<Configured>,
    /// What it was on the host, if it was moved from there.
    #[serde(default)]
    moved: Option<Moved>,
    /// The program that makes it in place of the kernel.
    #[serde(default)]
    tun: Option<Tun>,
}

/// The properties of an interface after it was configured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Configured {
    /// The index of the interface: another one of its name has another index.
    #[serde(default)]
    index: u32,
    /// `ADDRESS/PREFIX`
    addresses: Vec<String>,
    /// The text of each route (`netlink::OwnRoute`).
    routes: Vec<String>,
    /// Whether the interface ignores router advertisements.
    ignores_routers: bool,
    /// The ports that existed.
    ports: Vec<String>,
    /// The sysctls that were set.
    #[serde(default)]
    sysctls: Vec<(Key, Value)>,
}

impl LinkRecord {
    /// An interface of these settings that no hook has created.
    fn new(label: String, place: LinkSite, kind: String, end: LinkSettings) -> Self {
        Self {
            label,
            place,
            kind,
            words: Vec::new(),
            parent: None,
            from_host: false,
            socket: None,
            peer: None,
            bridged: false,
            end,
            made_by: None,
            configured_by: None,
            configured: None,
            moved: None,
            tun: None,
        }
    }

    /// Returns a line for each port of the settings that does not exist yet.
    /// Errors: the namespace cannot be entered, or the kernel cannot be queried.
    pub(super) fn awaited_ports(&self, paths: &Paths) -> Result<Vec<String>> {
        if self.end.ports.is_empty() || !self.place.exists(paths) {
            return Ok(Vec::new());
        }
        let joined =
            self.configured.as_ref().map(|configured| configured.ports.as_slice()).unwrap_or_default();
        let _there = self.place.enter_from_host(paths)?;
        let mut lines = Vec::new();
        for port in self.end.ports.iter().filter(|port| !joined.contains(port)) {
            if netlink::link_named(port)?.is_none() {
                lines.push(format!(
                    "{}: '{port}' does not exist yet: it becomes a port of '{}' later",
                    self.end.setting("PORTS"),
                    self.end.ifname
                ));
            }
        }
        Ok(lines)
    }

    /// Whether `link_add` has created it with the mark. An interface that existed already stays as it is.
    fn is_marked(&self) -> bool {
        self.place == LinkSite::Host && self.made_by.is_some()
    }

    /// The group that it must have: the mark, or the one of the setting.
    fn group(&self) -> Option<u32> {
        if self.is_marked() { Some(MARK_GROUP) } else { self.end.group }
    }

    /// Its name, if its settings have this prefix, and no suffix.
    pub(super) fn name_of(&self, prefix: &str) -> Option<&str> {
        (self.label == prefix).then_some(&self.end.ifname)
    }

    /// The namespace of the UDP socket of a tunnel; `None` for the host.
    pub(super) fn socket(&self) -> Option<&NsName> {
        self.socket.as_ref()
    }

    /// Its name, if `link_add` has created it on the host.
    pub(super) fn name_on_host(&self) -> Option<String> {
        self.is_marked().then(|| self.end.ifname.clone())
    }

    /// Whether a restart repairs it: it is inside, or the other end is.
    pub(super) fn is_made_by_restart(&self) -> bool {
        self.is_inside() || self.peer.is_some()
    }

    /// Whether both are the ends of one pair.
    fn is_peer_of(&self, other: &Self) -> bool {
        self.peer.as_ref() == Some(&other.label)
    }

    /// The kind that the kernel knows it by.
    fn kernel_kind(&self) -> &str {
        if self.tun.is_some() { tun::KIND } else { &self.kind }
    }

    /// Whether an interface of its name is the one that was configured. Each one that its program makes is its own.
    fn is_configured_one(&self, found: &netlink::Link) -> bool {
        self.tun.is_some()
            || self.configured.as_ref().is_none_or(|configured| configured.index == found.index)
    }

    /// Whether another program has replaced a tunnel. The UDP socket is then where that program has created the tunnel.
    fn is_replaced_tunnel(&self, call: &Call) -> Result<bool> {
        if self.kind != "wireguard" {
            return Ok(false);
        }
        let _there = self.place.enter(call)?;
        Ok(self.find()?.is_some_and(|found| !self.is_configured_one(&found)))
    }

    /// The interface, without its addresses, if it exists in the namespace of this thread with the recorded kind. One that was moved may have
    /// another name there.
    fn find(&self) -> Result<Option<netlink::Link>> {
        match &self.moved {
            Some(moved) => self.find_moved(moved),
            None => {
                Ok(netlink::link_named(&self.end.ifname)?.filter(|found| found.kind == self.kernel_kind()))
            }
        }
    }

    /// The interface, if another program has renamed it: its index stays. Only where the namespace is certainly the same: another one of
    /// the same name has other interfaces with these indices.
    fn find_renamed(&self) -> Result<Option<netlink::Link>> {
        let Some(configured) = &self.configured else { return Ok(None) };
        let has_own_way = self.moved.is_some() || self.tun.is_some();
        if has_own_way || configured.index == 0 || matches!(self.place, LinkSite::Namespace(_)) {
            return Ok(None);
        }
        let is_renamed = |found: &netlink::Link| found.kind == self.kind && found.name != self.end.ifname;
        Ok(netlink::link_at(configured.index)?.filter(is_renamed))
    }

    /// The interface, also if another program has renamed it.
    fn find_under_any_name(&self) -> Result<Option<netlink::Link>> {
        let found = self.find()?;
        if found.as_ref().is_some_and(|found| self.is_configured_one(found)) {
            return Ok(found);
        }
        Ok(self.find_renamed()?.or(found))
    }

    /// Like [`find`](Self::find), with the addresses.
    fn find_with_addresses(&self) -> Result<Option<netlink::Link>> {
        let mut found = self.find()?;
        if let Some(found) = &mut found {
            netlink::read_addresses(found)?;
        }
        Ok(found)
    }

    /// Gives the interface its name back, if another program has renamed it.
    /// Errors: another interface has the name, or the kernel refuses.
    fn restore_name(&self, call: &Call) -> Result<()> {
        let _there = self.place.enter(call)?;
        let name = &self.end.ifname;
        let found = if self.moved.is_some() { self.find()? } else { self.find_renamed()? };
        let Some(found) = found.filter(|found| found.name != *name) else { return Ok(()) };
        ensure!(
            netlink::link_named(name)?.is_none(),
            "cannot rename interface '{}' to '{name}' {}: another interface has this name; fix: `{} link delete {name}`",
            found.name,
            self.place,
            self.place.ip()
        );
        print::warn(&format!("{} was renamed to '{}': renaming it", self.describe(), found.name));
        call.trace(&format!("{} link set dev {} name {name}", self.place.ip(), found.name));
        rename(&found.name, name)
    }

    /// The interface in a message: `interface 'NAME' on the host`.
    fn describe(&self) -> String {
        format!("interface '{}' {}", self.end.ifname, self.place)
    }

    /// The addresses to which a tunnel sends frames for several receivers: the remotes, and the one among the words of the kind. If there
    /// are none, another program may set them.
    fn receivers(&self) -> Vec<IpAddr> {
        let is_receiver = |pair: &&[String]| pair[0] == "group" || pair[0] == "remote";
        let words = self.words.windows(2).filter(is_receiver).filter_map(|pair| pair[1].parse().ok());
        self.end.remotes.iter().copied().chain(words).collect()
    }

    /// Whether the interface has a usable IPv6 address that is not one of its settings, nor link-local.
    fn has_automatic_address(&self, found: &netlink::Link) -> bool {
        let own =
            self.configured.as_ref().map(|configured| configured.addresses.as_slice()).unwrap_or_default();
        found.addresses.iter().filter(|address| address.contains(':') && !own.contains(address)).any(
            |address| {
                let address = address.split('/').next().unwrap_or_default();
                let is_unusable = found.unusable.iter().any(|one| one.address.to_string() == address);
                !is_unusable && !address.starts_with("fe80:")
            },
        )
    }

    /// Whether the interface is in its place.
    /// Errors: the namespace cannot be entered, or the kernel cannot be queried.
    pub(in super::super) fn is_in_place(&self, call: &Call) -> Result<bool> {
        let _there = self.place.enter(call)?;
        Ok(self.find()?.is_some())
    }

    /// Its present name, which another program may have changed; `None` if it does not exist.
    /// Errors: the namespace cannot be entered, or the kernel cannot be queried.
    pub(super) fn present_name(&self, call: &Call) -> Result<Option<String>> {
        let _there = self.place.enter(call)?;
        Ok(self.find_under_any_name()?.map(|found| found.name))
    }

    /// Whether the interface is in the namespace of the instance.
    pub(super) fn is_inside(&self) -> bool {
        self.place.is_inside()
    }

    /// Whether both records are about the same interface of the instance.
    pub(super) fn has_label_of(&self, other: &Self) -> bool {
        self.label == other.label
    }

    /// Whether a hook has created or configured the interface for the first time.
    pub(super) fn is_of(&self, hook: &str) -> bool {
        [&self.made_by, &self.configured_by].into_iter().any(|by| by.as_deref() == Some(hook))
    }
}

/// Checks the settings of the interface PREFIX_IFNAMESUFFIX of a kind, also against the present interfaces and routes. Returns the name of an
/// invalid one, and a message.
#[must_use]
pub fn problem(
    paths: &Paths,
    instance: &Instance,
    kind: &str,
    prefix: &str,
    suffix: &str,
    words: &[&str],
) -> Option<(String, String)> {
    let try_settings = || {
        let settings = settings::Settings::read(prefix, words)?;
        // A damaged record has its own finding.
        let record = Record::read(paths, instance).ok();
        let label = format!("{prefix}{suffix}");
        let earlier = record.iter().flat_map(Record::links).find(|link| link.label == label);
        // The setting of an interface without a kind can select one of the host in another way.
        let present = if kind.is_empty() { None } else { LinkSettings::name(&settings, suffix)? };
        // On a restart, the interface keeps its name.
        let name = earlier.map(|earlier| earlier.end.ifname.clone()).or(present);
        let read = |suffix: &str, name: String| LinkSettings::read_named(&settings, suffix, name);
        let end = read(suffix, name.unwrap_or("checked".to_owned()))?;
        if let Some(parent) = settings.parent()? {
            if let Some(mode) = settings.one("MODE").filter(|_| kind == parent::IPVLAN) {
                parent::check_mode(paths, instance, settings.name("MODE"), mode, &parent)?;
            }
            let largest =
                |found: &netlink::Link| parent::largest_mtu(kind, found, settings.has_ipv6_remotes());
            parent.look(paths, |found| {
                parent::check_changed(earlier, &parent, found)?;
                found.map_or(Ok(()), |found| parent::check_mtu(&end, found, largest(found)))
            })?;
        }
        let outside = if suffix == INSIDE {
            read(OUTSIDE, "checked".to_owned())?.first_addresses()
        } else {
            Vec::new()
        };
        let meaning = rehearse::rehearse(&end, &end.gateway_addresses(&outside)?)?;
        let place = match earlier {
            Some(earlier) => earlier.place.clone(),
            None => LinkSite::of(&settings, suffix, instance)?,
        };
        if !paths.is_live() || !place.exists(paths) {
            return Ok(());
        }
        let call = Call::to_check(paths, instance);
        clash::check_changed(
            &call,
            &LinkRecord::new(label, place, kind.to_owned(), end),
            earlier,
            &meaning.keys,
        )
    };
    // Any other error is one of this process, such as a missing privilege.
    let invalid = try_settings().err()?.downcast::<settings::Invalid>().ok()?;
    Some((invalid.setting, invalid.message))
}

/// `link_up`: sets an interface of the namespace up. Arguments: IFNAME.
/// Errors: it does not exist, or the kernel refuses.
pub fn up(call: &Call, arguments: &[&str]) -> Result<()> {
    let [ifname] = arguments else { bail!("expected IFNAME") };
    let _there = call.enter_namespace()?;
    let found = netlink::link_named(ifname)?
        .with_context(|| format!("interface '{ifname}' does not exist in the namespace"))?;
    call.trace(&format!("ip link set dev {ifname} up"));
    netlink::set_up(found.index, true).with_context(|| format!("cannot set interface '{ifname}' up"))
}

/// Renames an interface of the namespace of this thread.
/// Errors: the kernel refuses.
fn rename(from: &str, to: &str) -> Result<()> {
    if from == to {
        return Ok(());
    }
    let found = netlink::link_named(from)?.with_context(|| format!("interface '{from}' does not exist"))?;
    netlink::rename_link(found.index, to)
        .with_context(|| format!("cannot rename interface '{from}' to '{to}'"))
}

/// Runs ip(8) in the namespace of this thread.
fn ip(words: &[&str]) -> Result<()> {
    run("ip", "iproute2", words)
}

/// Runs a program of a Debian package. Its messages are part of the error.
fn run(program: &str, package: &'static str, words: &[&str]) -> Result<()> {
    let output = Program::new(program).package(package).args(words).run()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{program} {}`: {}", words.join(" "), text.trim().replace('\n', "; "));
    Ok(())
}
