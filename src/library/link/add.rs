//! `link_add`: creates an interface, or a pair of interfaces.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::process;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::errno::Errno;

use super::super::Call;
use super::super::record::Record;
use super::cause::with_cause;
use super::end::LinkSettings;
use super::settings::{LOOPBACK, Parent, Settings, invalid};
use super::site::{LinkSite, enter_parent};
use super::{LinkRecord, MARK_GROUP, clash, ip, outdated, parent, rehearse, tun, wait};
use crate::config::{plugin, remembered};
use crate::name::{NsName, Side};
use crate::netlink::{self, KernelError, LinkChange, VethEnd};
use crate::netns;
use crate::print;

/// Creates an interface for a hook, or accepts an existing one of the same kind. Everything that can be known is checked before.
/// Arguments: PREFIX SUFFIX PEER type KIND [WORD...] -- [NAME=VALUE...]. PEER is the suffix of the other end of a veth pair, or empty.
/// Errors: a setting is invalid, another interface has the name, or the kernel refuses.
pub fn add(call: &Call, arguments: &[&str]) -> Result<()> {
    let (words, values) = split(arguments)?;
    let [prefix, suffix, peer, "type", kind, words @ ..] = words else {
        bail!("link_add: expected PREFIX [SUFFIX] type KIND [ARGUMENT...]");
    };
    let settings = Settings::read(prefix, values)?;
    let mut record = call.record()?;
    let new = |suffix: &str| -> Result<LinkRecord> {
        let label = format!("{prefix}{suffix}");
        // On a restart, an interface that stays keeps its name, also if the setting has changed.
        let earlier = record.links().find(|link| link.label == label);
        let (end, from_host) = match earlier {
            Some(link) => {
                (LinkSettings::read_named(&settings, suffix, link.end.ifname.clone())?, link.from_host)
            }
            None => (LinkSettings::read(&settings, suffix)?, call.side == Side::Outside),
        };
        let place = LinkSite::of(&settings, suffix, &call.instance)?;
        Ok(LinkRecord {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            from_host,
            socket: settings.nsname("NSNAME_SOCKET")?,
            made_by: Some(call.hook.clone()),
            ..LinkRecord::new(label, place, (*kind).to_owned(), end)
        })
    };
    let mut links = vec![new(suffix)?];
    links[0].parent = settings.parent()?;
    if *kind == "veth" {
        links.push(new(peer)?);
        let bridged = links.iter().any(|link| link.end.bridge.is_some());
        for link in &mut links {
            link.bridged = bridged;
        }
        (links[0].peer, links[1].peer) = (Some(links[1].label.clone()), Some(links[0].label.clone()));
    }
    let outside: Vec<IpAddr> = links
        .iter()
        .filter(|link| !link.place.is_inside())
        .flat_map(|link| link.end.first_addresses())
        .collect();
    for link in &links {
        link.place.require(call, &settings.name("NSNAME_OUTSIDE"))?;
        if let Some(earlier) = record.links().find(|one| one.has_label_of(link)) {
            earlier.restore_name(call)?;
        }
        let gateways = link.end.gateway_addresses(&outside)?;
        let meaning = rehearse::rehearse(&link.end, &gateways)?;
        clash::check(call, link)?;
        if !link.place.is_inside() {
            clash::check_routes(call, link, &meaning.keys)?;
        }
    }
    if let Some(parent) = &links[0].parent {
        let found = set_parent_up(call, parent)?;
        parent::check_mtu(&links[0].end, &found, links[0].largest_mtu(&found))?;
        if let Some(mode) = links[0].mode() {
            parent::check_mode(call.paths, &call.instance, settings.name("MODE"), mode, parent)?;
        }
    }
    let present = LinkSettings::read(&settings, suffix)?;
    create(call, &mut record, links, Some(&present.ifname))
}

/// Splits words at `--`.
pub(in super::super) fn split<'a, 'b>(arguments: &'a [&'b str]) -> Result<(&'a [&'b str], &'a [&'b str])> {
    let end = arguments.iter().position(|word| *word == "--").context("expected -- before the settings")?;
    Ok((&arguments[..end], &arguments[end + 1..]))
}

/// Creates a link, or a pair, and records it before. An existing one stays, and is recorded. A single one that is created again gets the
/// name `present`.
pub(super) fn create(
    call: &Call,
    record: &mut Record,
    mut links: Vec<LinkRecord>,
    present: Option<&str>,
) -> Result<()> {
    if let [link] = links.as_mut_slice() {
        link.tun = tun::needed(call, record, link)?;
        outdated::replace(call, record, link, present)?;
    }
    if exists(call, record, &links)? {
        let names: Vec<String> = links.iter().map(|link| format!("'{}'", link.end.ifname)).collect();
        print::say(&format!("{} exist already", names.join(" and ")));
        for link in &mut links {
            link.made_by = None;
        }
        keep(record, &links);
        record.save(call.paths)?;
        return links.iter().try_for_each(|link| match &link.tun {
            Some(tun) => tun.create(call, record, link),
            None => outdated::set_words(call, link),
        });
    }
    // First, because a signal may end this process at any moment.
    keep(record, &links);
    record.save(call.paths)?;
    let created = match links.as_slice() {
        [here, peer] => create_pair(call, here, peer),
        [link] => match &link.tun {
            Some(tun) => tun.create(call, record, link),
            None => create_by_ip(call, link),
        },
        _ => Err(anyhow!("no interface to create")),
    };
    // Another program was faster. The record must not make us delete its interface.
    if created.as_ref().is_err_and(is_taken) {
        for link in &links {
            record.forget_link(link);
        }
        record.save(call.paths)?;
    }
    created
}

/// Whether an interface could not be created because its name exists.
fn is_taken(error: &anyhow::Error) -> bool {
    KernelError::is(error, Errno::EEXIST) || format!("{error:#}").contains(Errno::EEXIST.desc())
}

/// Records links. What is known about an earlier one with the same label stays. The outside end of a pair is the last one, so it is
/// removed first: on the host, `delete_link_early` need not wait.
fn keep(record: &mut Record, links: &[LinkRecord]) {
    for link in links.iter().rev() {
        let mut link = link.clone();
        if let Some(earlier) = record.links().find(|one| one.has_label_of(&link)) {
            (link.configured, link.configured_by) =
                (earlier.configured.clone(), earlier.configured_by.clone());
            // `link_configure` compares the new settings with those that are in force.
            if link.configured.is_some() {
                let ifname = link.end.ifname;
                link.end = earlier.end.clone();
                link.end.ifname = ifname;
            }
        }
        record.put_link(link);
    }
}

/// Whether an older version of the plugin has remembered the name of the interface when it created it.
fn is_of_older_version(call: &Call, link: &LinkRecord) -> Result<bool> {
    let remembered = remembered::value(call.paths, &call.instance, &link.end.setting("IFNAME"))?;
    Ok(remembered.as_ref() == Some(&link.end.ifname))
}

/// Whether the interfaces exist already, as this function would create them.
/// Errors: another interface has one of the names.
fn exists(call: &Call, record: &Record, links: &[LinkRecord]) -> Result<bool> {
    let mut found = Vec::new();
    for link in links {
        let _there = link.place.enter(call)?;
        found.push(netlink::link_named(&link.end.ifname)?);
    }
    if found.iter().all(Option::is_none) {
        return Ok(false);
    }
    let are_ours = match (links, found.as_slice()) {
        ([_, _], [Some(one), Some(other)]) => {
            one.kind == "veth"
                && other.kind == "veth"
                && one.peer == Some(other.index)
                && other.peer == Some(one.index)
        }
        ([link], [Some(one)]) => {
            // A tunnel has no parent in the kernel, but its own index in this place.
            let is_parent = |parent| one.peer.is_none_or(|peer| peer == parent || peer == one.index);
            // `down` would delete an interface of another program.
            let is_own = link.place.is_inside()
                && link.tun.as_ref().is_none_or(|tun| tun.is_running(call, link))
                || one.alias.as_ref() == Some(&alias(call))
                || record.links().any(|one| one.has_label_of(link))
                || is_of_older_version(call, link)?;
            is_own && one.kind == link.kernel_kind() && parent_index(call, link)?.is_none_or(is_parent)
        }
        _ => false,
    };
    if are_ours {
        return Ok(true);
    }
    let taken =
        links.iter().zip(&found).find(|(_, found)| found.is_some()).map_or(&links[0], |(link, _)| link);
    Err(name_is_taken(taken))
}

pub(super) fn name_is_taken(link: &LinkRecord) -> anyhow::Error {
    anyhow!(
        "cannot create {}: another interface has this name; fix: remove it with `{} link delete {}`, or change {}",
        link.describe(),
        link.place.ip(),
        link.end.ifname,
        link.end.setting("IFNAME"),
    )
}

/// The interface index of the parent of a link, if it has one.
pub(super) fn parent_index(call: &Call, link: &LinkRecord) -> Result<Option<u32>> {
    let Some(parent) = &link.parent else { return Ok(None) };
    let _there = enter_parent(call, parent.namespace.as_ref())?;
    Ok(netlink::link_named(&parent.ifname)?.map(|parent| parent.index))
}

fn create_pair(call: &Call, here: &LinkRecord, peer: &LinkRecord) -> Result<()> {
    let peer_netns = peer.place.open(call)?;
    let _there = here.place.enter(call)?;
    let end = |link: &LinkRecord| {
        let mac = link.end.mac.map(|mac| format!(" address {}", text_of_mac(mac))).unwrap_or_default();
        format!("name {}{mac}", link.end.ifname)
    };
    call.trace(&format!(
        "{} link add {}{} type veth peer {} netns {}",
        here.place.ip(),
        end(here),
        group_words(here),
        end(peer),
        call.instance.name
    ));
    netlink::add_veth(&veth_end(here), &veth_end(peer), peer_netns.as_fd())
        .with_context(|| format!("cannot create the pair of {} and {}", here.describe(), peer.describe()))?;
    set_alias(call, here)
}

fn veth_end(link: &LinkRecord) -> VethEnd<'_> {
    VethEnd { name: &link.end.ifname, mac: link.end.mac, mtu: link.end.mtu, group: group(link) }
}

/// Only interfaces on the host have the mark. In a namespace, no other manager runs, and rules of a firewall may use groups.
fn group(link: &LinkRecord) -> u32 {
    if link.place == LinkSite::Host { MARK_GROUP } else { 0 }
}

fn group_words(link: &LinkRecord) -> String {
    if link.place == LinkSite::Host { format!(" group {MARK_GROUP}") } else { String::new() }
}

/// Shows the instance in the output of ip(8).
fn set_alias(call: &Call, link: &LinkRecord) -> Result<()> {
    if link.place.is_inside() {
        return Ok(());
    }
    let _there = link.place.enter(call)?;
    let Some(found) = link.find()? else { return Ok(()) };
    netlink::change_link(found.index, &LinkChange { alias: Some(&alias(call)), ..LinkChange::default() })
}

fn alias(call: &Call) -> String {
    format!("systemd-netns {}", call.instance)
}

pub(super) fn text_of_mac(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

fn create_by_ip(call: &Call, link: &LinkRecord) -> Result<()> {
    let what = || match &link.parent {
        Some(parent) => {
            format!(
                "cannot create {} on the parent '{}' ({})",
                link.describe(),
                parent.ifname,
                parent.setting
            )
        }
        None => format!("cannot create {}", link.describe()),
    };
    let mut words: Vec<String> = ["link", "add"].map(str::to_owned).into();
    // Created from the place of the parent, or from the host, directly in its own place.
    let netns = (link.parent.is_some() || link.socket.is_some() || link.from_host)
        .then(|| link.place.open(call))
        .transpose()?;
    let there = match &link.parent {
        Some(parent) => {
            words.extend(["link".to_owned(), parent.ifname.clone()]);
            enter_parent(call, parent.namespace.as_ref())?
        }
        None if link.socket.is_some() => enter_parent(call, link.socket.as_ref())
            .with_context(|| format!("cannot find {}_NSNAME_SOCKET", link.label))?,
        None if link.from_host => call.enter_host()?,
        None => link.place.enter(call)?,
    };
    words.extend(["name".to_owned(), link.end.ifname.clone()]);
    // ip(8) accepts a path in place of a name. It inherits no descriptor of this process, but can open it.
    let path = netns.as_ref().map(|netns| format!("/proc/{}/fd/{}", process::id(), netns.as_raw_fd()));
    words.extend(path.iter().flat_map(|path| ["netns".to_owned(), path.clone()]));
    let readable = |text: &str| match &path {
        Some(path) => text.replace(path, &link.place.netns()),
        None => text.to_owned(),
    };
    words.extend(link.end.mac.iter().flat_map(|mac| ["address".to_owned(), text_of_mac(*mac)]));
    words.extend(link.end.mtu.iter().flat_map(|mtu| ["mtu".to_owned(), mtu.to_string()]));
    if link.place == LinkSite::Host {
        words.extend(["group".to_owned(), MARK_GROUP.to_string()]);
    }
    words.extend(["type".to_owned(), link.kind.clone()]);
    words.extend(link.words.iter().cloned());
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    call.trace(&readable(&format!("ip {}", words.join(" "))));
    let added = ip(&words).map_err(|error| anyhow!(readable(&format!("{error:#}"))));
    drop(there);
    added.map_err(|error| with_cause(call, link, error)).with_context(what)?;
    set_alias(call, link)
}

/// Whether a message of ip(8) is about a kind that the kernel does not have.
pub(super) fn is_unknown_kind(message: &str) -> bool {
    ["Unknown device type", "Operation not supported"].iter().any(|part| message.contains(part))
}

/// Waits for the parent, which may appear late at boot, and sets it up: without it, no packet passes. It stays up on `down` and after a
/// failure, because other programs may use it.
pub(super) fn set_parent_up(call: &Call, parent: &Parent) -> Result<netlink::Link> {
    if let Some(name) = &parent.namespace {
        ensure!(
            call.paths.namespace(name).exists(),
            invalid(parent.other_setting("NSNAME"), netns::not_found(name))
        );
    }
    let _there = enter_parent(call, parent.namespace.as_ref())
        .with_context(|| format!("cannot find {}", parent.setting))?;
    let found = wait::for_parent(parent).map_err(|error| match &parent.namespace {
        // Until the end of the wait, an instance of another namespace could have created the interface.
        Some(name) if is_unknown_namespace(call, name).unwrap_or(false) => invalid(
            parent.other_setting("NSNAME"),
            format!(
                "namespace '{name}' is not configured: it is empty, and exists only because {} requires it; fix: correct the name, \
                 or configure a type in '{name}' that creates the interface '{}'",
                call.instance, parent.ifname
            ),
        ),
        _ => error,
    })?;
    if !found.up {
        call.trace(&format!("ip link set dev {} up", parent.ifname));
        netlink::set_up(found.index, true)
            .with_context(|| format!("cannot set the parent '{}' up", parent.ifname))?;
    }
    Ok(found)
}

/// Whether a namespace exists only because an instance requires it, as one with a misspelled name: an engine has created it, no instance is
/// in it, and it is empty.
fn is_unknown_namespace(call: &Call, name: &NsName) -> Result<bool> {
    let mut instances = plugin::configured(call.paths)?.into_iter().chain(remembered::all(call.paths)?);
    Ok(instances.all(|instance| instance.name != *name)
        && netlink::links()?.iter().all(|link| link.name == LOOPBACK))
}
