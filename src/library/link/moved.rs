//! `link_move`: moves an interface of the host into the namespace, and gives it back.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::super::record::Record;
use super::super::{Call, enter_host};
use super::add::{split, text_of_mac};
use super::end::LinkSettings;
use super::settings::{Settings, invalid, valid_ifname};
use super::site::LinkSite;
use super::{LinkRecord, clash, rehearse, rename, run};
use crate::config::remembered;
use crate::name::{Instance, address};
use crate::netlink::{self, KernelError, Link, LinkChange};
use crate::netns::enter_file;
use crate::paths::GLOBAL_NETNS;
use crate::print;
use crate::sys::wait::try_wait_until;

/// Time that the kernel has to give an interface back after its namespace was deleted.
const RETURN_TIMEOUT: Duration = Duration::from_secs(2);

/// The state of an interface on the host before it was moved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Moved {
    /// The setting that selects the interface.
    setting: String,
    /// Its value.
    selector: String,
    pub(super) ifname: String,
    index: u32,
    pub(super) mac: String,
    pub(super) mtu: u32,
    #[serde(default)]
    pub(super) group: u32,
    #[serde(default)]
    pub(super) alias: String,
    up: bool,
    /// The wireless device that it belongs to, which is moved as a whole: `phy#0`. iw(8) finds a device by its name only in /sys, which
    /// may show another namespace.
    phy: Option<String>,
}

/// Moves an interface for a hook. One that is in the namespace already stays there. Arguments: PREFIX -- [NAME=VALUE...]
/// Errors: a setting is invalid, the interface does not exist or cannot be moved, or the name inside exists.
pub fn move_in(call: &Call, arguments: &[&str]) -> Result<()> {
    let (words, values) = split(arguments)?;
    let [prefix] = words else { bail!("expected PREFIX") };
    let settings = Settings::read(prefix, values)?;
    let mut record = call.record()?;
    if let Some(earlier) = record.links().find(|link| link.label == *prefix && link.moved.is_some()) {
        let _there = earlier.place.enter(call)?;
        if earlier.find()?.is_some() {
            print::say(&format!("{} exists already", earlier.describe()));
            return Ok(());
        }
    }
    let setting = settings.name("IFNAME");
    let selector = settings.one("IFNAME").ok_or_else(|| invalid(setting.clone(), "is not set"))?;
    if selects_by_name(selector) {
        settings.parsed("IFNAME", valid_ifname)?;
    }
    let inside = settings.parsed("IFNAME_INSIDE", valid_ifname)?;
    let timeout = settings.timeout()?;
    let mut lost = Vec::new();
    let place = LinkSite::Inside(call.instance.name.clone());
    let link = {
        let _host = call.enter_host()?;
        let found = try_wait_until(timeout, Duration::from_millis(100), || select(selector))?;
        let found = found.ok_or_else(|| missing(call, &setting, selector))?;
        ensure!(!found.loopback, invalid(setting, format!("'{}' is a loopback interface", found.name)));
        lost.extend(found.addresses.iter().filter(|one| !one.starts_with("fe80:")).cloned());
        let ifname = inside.unwrap_or_else(|| found.name.clone());
        let end = LinkSettings::read_named(&settings, "", ifname)?;
        let link = LinkRecord::new((*prefix).to_owned(), place, found.kind.clone(), end);
        let moved = Some(Moved::of(found, setting, selector.to_owned()));
        LinkRecord { from_host: true, made_by: Some(call.hook.clone()), moved, ..link }
    };
    rehearse::rehearse(&link.end, &link.end.gateway_addresses(&[])?)?;
    clash::check(call, &link)?;
    {
        let _there = link.place.enter(call)?;
        if netlink::link_named(&link.end.ifname)?.is_some() {
            let message = format!("{} exists already", link.describe());
            return Err(invalid(settings.name("IFNAME_INSIDE"), message));
        }
    }
    // First, because a signal may end this process at any moment.
    record.put_link(link.clone());
    record.save(call.paths)?;
    link.take(call)?;
    if let Some(moved) = link.moved.filter(|_| !lost.is_empty()) {
        print::warn(&format!(
            "interface '{}' has lost its addresses on the host: {}",
            moved.ifname,
            lost.join(", ")
        ));
    }
    Ok(())
}

/// Whether a value of PREFIX_IFNAME of `link_move` is a name, not a hardware address or a path in /sys.
pub fn selects_by_name(selector: &str) -> bool {
    !selector.starts_with('/') && !is_mac(selector)
}

fn is_mac(selector: &str) -> bool {
    selector.split(':').count() == 6
}

/// The interface of the host with this name, hardware address, or path in /sys.
/// Errors: several interfaces have the hardware address, or the kernel cannot be queried.
fn select(selector: &str) -> Result<Option<Link>> {
    let links = netlink::links()?;
    if is_mac(selector) {
        let same: Vec<Link> =
            links.into_iter().filter(|link| link.mac.eq_ignore_ascii_case(selector)).collect();
        let names: Vec<&str> = same.iter().map(|link| link.name.as_str()).collect();
        ensure!(
            same.len() < 2,
            "several interfaces have the hardware address '{selector}': {}",
            names.join(", ")
        );
        return Ok(same.into_iter().next());
    }
    let name =
        if selector.starts_with('/') { name_at(Path::new(selector)) } else { Some(selector.to_owned()) };
    Ok(links.into_iter().find(|link| Some(&link.name) == name.as_ref()))
}

/// The name of the interface at a path in /sys: the directory of an interface, such as `/sys/class/net/eth1`, or of its device.
fn name_at(path: &Path) -> Option<String> {
    let path = fs::canonicalize(path).ok()?;
    let directory = if path.join("ifindex").exists() {
        path
    } else {
        fs::read_dir(path.join("net")).ok()?.next()?.ok()?.path()
    };
    Some(directory.file_name()?.to_str()?.to_owned())
}

/// The wireless device of an interface of the host.
fn phy_of(ifname: &str) -> Option<String> {
    let index = fs::read_to_string(format!("/sys/class/net/{ifname}/phy80211/index")).ok()?;
    Some(format!("phy#{}", index.trim()))
}

impl Moved {
    /// Whether a value of the setting selects this interface, as far as its state on the host shows.
    pub(super) fn is_selected_by(&self, selector: &str) -> bool {
        [&self.selector, &self.ifname].iter().any(|name| *name == selector)
            || self.mac.eq_ignore_ascii_case(selector)
    }

    /// The state of an interface of the host, which this setting selects.
    fn of(found: Link, setting: String, selector: String) -> Self {
        Self {
            setting,
            selector,
            index: found.index,
            mac: found.mac,
            mtu: found.mtu,
            group: found.group,
            alias: found.alias.unwrap_or_default(),
            up: found.up,
            phy: phy_of(&found.name),
            ifname: found.name,
        }
    }
}

impl LinkRecord {
    /// The interface in the namespace of this thread, also if it was renamed there. The kernel gives an index only once, unless it is asked for.
    pub(super) fn find_moved(&self, moved: &Moved) -> Result<Option<Link>> {
        let links = netlink::links()?;
        let configured = self.configured.as_ref().map(|configured| configured.index);
        let has_index = |link: &&Link| Some(link.index) == configured && link.kind == self.kind;
        let found = links.iter().find(has_index).or_else(|| self.recognized(moved, &links, None));
        Ok(found.cloned())
    }

    /// The interface among those of a namespace, by one of its hardware addresses, and one of its indexes or names. Another interface may have
    /// its index, or its name. `last` is its state before the kernel has moved it.
    fn recognized<'a>(&self, moved: &Moved, links: &'a [Link], last: Option<&Link>) -> Option<&'a Link> {
        let mac = self.end.mac.map(text_of_mac);
        let macs = [Some(&moved.mac), mac.as_ref(), last.map(|last| &last.mac)];
        let configured = self.configured.as_ref().map(|configured| configured.index);
        let indexes = [Some(moved.index), configured, last.map(|last| last.index)];
        let names = [Some(&moved.ifname), Some(&self.end.ifname), last.map(|last| &last.name)];
        links.iter().find(|link| {
            link.kind == self.kind
                && macs.contains(&Some(&link.mac))
                && (indexes.contains(&Some(link.index)) || names.contains(&Some(&link.name)))
        })
    }

    /// Moves the interface from the host into its namespace.
    /// Errors: the kernel refuses, or the interface does not exist on the host.
    fn take(&self, call: &Call) -> Result<()> {
        let moved = self.moved.as_ref().context("the interface is not one of the host")?;
        let inside = self.place.open(call)?;
        let _host = call.enter_host()?;
        let links = netlink::links()?;
        let found =
            self.recognized(moved, &links, None).context("the interface was removed from the host")?;
        let what =
            || format!("cannot move interface '{}' into namespace '{}'", found.name, call.instance.name);
        let Some(phy) = &moved.phy else {
            call.trace(&format!(
                "ip link set dev {} netns {} name {}",
                found.name, call.instance.name, self.end.ifname
            ));
            return netlink::move_link(found.index, inside.as_fd(), &self.end.ifname)
                .map_err(|error| explained(error, &found.name))
                .with_context(what);
        };
        move_phy(call, phy, &["name", call.instance.name.as_ref()]).with_context(what)?;
        let _inside = enter_file(&inside).context("cannot enter the namespace")?;
        rename(&found.name, &self.end.ifname)
    }

    /// On a restart: moves the interface into the namespace again. The host may have it, or another one that the setting selects, in place of a
    /// removed one.
    /// Errors: the host does not have it, or the kernel refuses.
    pub(super) fn take_again(&mut self, call: &Call, record: &mut Record) -> Result<()> {
        let Some(moved) = &self.moved else { return Ok(()) };
        if self.is_in_place(call)? {
            return Ok(());
        }
        print::warn(&format!("{} is missing: moving it in again", self.describe()));
        {
            let _host = call.enter_host()?;
            if self.recognized(moved, &netlink::links()?, None).is_none() {
                let (setting, selector) = (moved.setting.clone(), moved.selector.clone());
                let found = select(&selector)?.ok_or_else(|| missing(call, &setting, &selector))?;
                self.kind.clone_from(&found.kind);
                self.moved = Some(Moved::of(found, setting, selector));
            }
        }
        record.put_link(self.clone());
        record.save(call.paths)?;
        self.take(call)
    }

    /// Gives the interface back to the host, with the properties that it had there. It is in the namespace of this thread.
    /// Errors: the kernel refuses.
    pub(super) fn give_back(&self, moved: &Moved, found: &Link) -> Result<()> {
        netlink::set_up(found.index, false)
            .with_context(|| format!("cannot set {} down", self.describe()))?;
        let host = File::open(GLOBAL_NETNS).with_context(|| format!("cannot open {GLOBAL_NETNS}"))?;
        let what = || format!("cannot give {} back to the host", self.describe());
        if let Some(phy) = &moved.phy {
            iw(&[phy, "set", "netns", "1"]).with_context(what)?;
        } else {
            match netlink::move_link(found.index, host.as_fd(), &moved.ifname) {
                // The kernel chooses the number.
                Err(error) if KernelError::is(&error, Errno::EEXIST) => {
                    netlink::move_link(found.index, host.as_fd(), "dev%d").with_context(what)?;
                }
                moved => moved.with_context(what)?,
            }
        }
        let _host = enter_host()?;
        self.restore(moved, Some(found), RETURN_TIMEOUT)
    }

    /// Like [`give_back`](Self::give_back), for an interface that is not in the namespace of this thread. Its wireless device may be, without it.
    /// The host may have it already.
    /// Errors: the kernel refuses.
    pub(super) fn give_back_missing(&self, moved: &Moved) -> Result<()> {
        let returns = moved.phy.as_ref().is_some_and(|phy| iw(&[phy, "set", "netns", "1"]).is_ok());
        let _host = enter_host()?;
        self.restore(moved, None, if returns { RETURN_TIMEOUT } else { Duration::ZERO })
    }

    /// Restores the properties of an interface that is on the host again. This thread is there, too. `last` is its state before that.
    fn restore(&self, moved: &Moved, last: Option<&Link>, timeout: Duration) -> Result<()> {
        let found = try_wait_until(timeout, Duration::from_millis(10), || -> Result<_> {
            Ok(self.recognized(moved, &netlink::links()?, last).cloned())
        })?;
        let Some(found) = found else {
            print::warn(&format!(
                "interface '{}' has not returned to the host: {}",
                moved.ifname,
                self.fate()
            ));
            return Ok(());
        };
        if found.up && found.name != moved.ifname {
            netlink::set_up(found.index, false)?;
        }
        if found.name != moved.ifname
            && let Err(error) = rename(&found.name, &moved.ifname)
        {
            print::warn(&format!(
                "{error:#}; interface '{}' of the host has the name '{}' now",
                moved.ifname, found.name
            ));
        }
        let mut change = LinkChange { up: Some(moved.up), ..LinkChange::default() };
        change.mtu = (found.mtu != moved.mtu).then_some(moved.mtu);
        change.group = (found.group != moved.group).then_some(moved.group);
        change.alias = (found.alias.as_ref() != Some(&moved.alias)).then_some(&moved.alias);
        change.mac = address::mac(&moved.mac).ok().filter(|_| found.mac != moved.mac);
        netlink::change_link(found.index, &change)
            .with_context(|| format!("cannot restore interface '{}' on the host", moved.ifname))
    }

    /// The possible causes of the absence of an interface from its namespace and the host, and the next step. The kernel deletes a virtual interface
    /// with its namespace, and moves a physical one to the host (`default_device_exit_net` in net/core/dev.c).
    fn fate(&self) -> &'static str {
        if self.kind.is_empty() {
            "it was removed from the machine, or another namespace has it; hint: `ip -all netns exec ip link` lists the interfaces; \
             it returns when no process uses its namespace"
        } else {
            "it was deleted, or another namespace has it; hint: `ip -all netns exec ip link` lists the interfaces; \
             fix: move it to the host, or create it again"
        }
    }

    /// After the namespace was deleted: the kernel has given a physical interface back, with the properties that it had inside.
    /// Errors: the kernel refuses.
    pub(super) fn restore_after_deletion(&self) -> Result<()> {
        let Some(moved) = &self.moved else { return Ok(()) };
        // A virtual interface was deleted.
        let timeout = if self.kind.is_empty() { RETURN_TIMEOUT } else { Duration::ZERO };
        self.restore(moved, None, timeout)
    }
}

/// The error about a setting that selects no interface of the host.
fn missing(call: &Call, setting: &str, selector: &str) -> anyhow::Error {
    // The error itself is more important than one about a record.
    let message = match owner(call, selector).unwrap_or_default() {
        Some(owner) => format!(
            "{owner} has the interface '{selector}' of the host, in namespace '{}'; fix: `netnsctl down {owner}`",
            owner.name
        ),
        None => format!("the host has no interface '{selector}'; hint: `ip link` lists them"),
    };
    invalid(setting, message)
}

/// The other instance that has moved an interface of the host.
/// Errors: the records cannot be listed.
fn owner(call: &Call, selector: &str) -> Result<Option<Instance>> {
    let has_it = |instance: &Instance| {
        let Ok(record) = Record::read(call.paths, instance) else { return false };
        record.links().filter_map(|link| link.moved.as_ref()).any(|moved| moved.is_selected_by(selector))
    };
    let others = remembered::all(call.paths)?.into_iter().filter(|instance| *instance != call.instance);
    Ok(others.into_iter().find(has_it))
}

/// Moves a wireless device with all its interfaces. The kernel does not move them alone (`NETIF_F_NETNS_LOCAL`).
fn move_phy(call: &Call, phy: &str, to: &[&str]) -> Result<()> {
    let words = [&[phy, "set", "netns"], to].concat();
    call.trace(&format!("iw {}", words.join(" ")));
    iw(&words)
}

fn iw(words: &[&str]) -> Result<()> {
    run("iw", "iw", words)
}

/// Adds the reason to EINVAL, which the kernel returns for an interface that cannot be moved.
fn explained(error: anyhow::Error, ifname: &str) -> anyhow::Error {
    if KernelError::is(&error, Errno::EINVAL) {
        return anyhow!(
            "{error:#}; hint: the kernel does not move interfaces such as bridges, tunnels and '{ifname}'"
        );
    }
    error
}
