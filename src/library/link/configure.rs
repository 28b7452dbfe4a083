//! `link_configure`: gives an interface its properties and addresses, and sets it up.

use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};

use super::super::Call;
use super::super::record::{Object, Record};
use super::add::{self, split};
use super::apply::{apply, repeat_sysctls};
use super::end::LinkSettings;
use super::rehearse::Meaning;
use super::settings::Settings;
use super::site::LinkSite;
use super::{LinkRecord, clash, parent, rehearse, wait};
use crate::name::Side;
use crate::netlink;
use crate::print;

/// Configures an interface for a hook. A repeated call applies the present settings, and creates an interface again that was deleted.
/// The name of the interface stays the one of the last `link_add`. With a kind, a repeated call first does what `link_add` does.
/// Arguments: PREFIX SUFFIX [type KIND [WORD...]] -- [NAME=VALUE...]
/// Errors: a setting is invalid, or the kernel refuses.
pub fn configure(call: &Call, arguments: &[&str]) -> Result<()> {
    let (words, values) = split(arguments)?;
    let [prefix, suffix, kind @ ..] = words else { bail!("expected PREFIX SUFFIX") };
    ensure!(!prefix.is_empty(), "link_configure: expected PREFIX [SUFFIX]");
    let settings = Settings::read(prefix, values)?;
    let mut record = call.record()?;
    let label = format!("{prefix}{suffix}");
    if !kind.is_empty() && record.links().any(|link| link.label == label && link.configured.is_some()) {
        add::add(call, &[&[*prefix, *suffix, ""], kind, &["--"], values].concat())?;
        record = call.record()?;
    }
    if !record.links().any(|link| link.label == label) {
        adopt(call, &mut record, &settings, suffix)?;
    }
    let mut earlier =
        record.links().find(|link| link.label == label).context("the interface is not recorded")?.clone();
    let end = LinkSettings::read_named(&settings, suffix, earlier.end.ifname.clone())?;
    let other_end = restarted_peer(call, &record, &settings, &earlier)?;
    let others = record.links().filter(|link| link.label != label && !link.place.is_inside());
    let outside: Vec<IpAddr> = others
        .flat_map(|link| match &other_end {
            Some((peer, end)) if peer.label == link.label => end.first_addresses(),
            _ => link.end.first_addresses(),
        })
        .collect();
    let gateways = end.gateway_addresses(&outside)?;
    let meaning = rehearse::rehearse(&end, &gateways)?;

    earlier.restore_name(call)?;
    if earlier.moved.is_some() {
        earlier.take_again(call, &mut record)?;
    } else if !earlier.is_in_place(call)? {
        create_again(call, &mut record, &earlier, "deleted")?;
    } else if earlier.is_replaced_tunnel(call)? {
        create_again(call, &mut record, &earlier, "replaced by another program")?;
    } else if let Some(tun) = &earlier.tun {
        tun.create(call, &mut record, &earlier)?;
    } else if earlier.configured.is_some()
        && let Some(parent) = &earlier.parent
    {
        match add::set_parent_up(call, parent) {
            Ok(found) => parent::check_mtu(&end, &found, earlier.largest_mtu(&found))?,
            Err(error) => {
                print::warn(&format!("the restart does not set interface '{}' up: {error:#}", parent.ifname));
            }
        }
    }
    if let Some((peer, end)) = other_end {
        repair(call, &mut record, peer, end)?;
    }
    let is_restart = earlier.configured.is_some();
    configure_end(call, &mut record, earlier, end, &gateways, &meaning)?;
    for link in record.links() {
        if is_restart && link.label == format!("{prefix}{}", link.end.suffix()) {
            for (setting, message) in link.kept(&settings, &call.instance)? {
                print::warn(&format!("{setting}: {message}"));
            }
        }
        if is_ready(call, &record, link) {
            wait::until_usable(call, link)?;
            wait::until_automatic(call, link)?;
            repeat_sysctls(call, link)?;
        }
    }
    Ok(())
}

/// Gives one interface its settings.
fn configure_end(
    call: &Call,
    record: &mut Record,
    earlier: LinkRecord,
    end: LinkSettings,
    gateways: &[IpAddr],
    meaning: &Meaning,
) -> Result<()> {
    let before = earlier.end.clone();
    let mut link = LinkRecord { end, ..earlier };
    if link.configured.is_none() {
        link.configured_by = Some(call.hook.clone());
    }
    clash::check_routes(call, &link, &meaning.keys)?;
    record.put_link(link.clone());
    record.save(call.paths)?;
    apply(call, &mut link, &before, gateways, meaning)?;
    record.put_link(link);
    record.save(call.paths)
}

/// On a restart of the inside end of a pair: the outside end, which no hook of a restart configures, and its present settings. A setting
/// that is not set any more keeps its value, because a plugin may compute it only in the hook on the host.
/// Errors: a setting is invalid.
fn restarted_peer(
    call: &Call,
    record: &Record,
    settings: &Settings,
    link: &LinkRecord,
) -> Result<Option<(LinkRecord, LinkSettings)>> {
    if call.side == Side::Outside || link.configured.is_none() {
        return Ok(None);
    }
    let Some(peer) = record.links().find(|one| link.is_peer_of(one) && one.configured.is_some()) else {
        return Ok(None);
    };
    let end = LinkSettings::read_named(settings, peer.end.suffix(), peer.end.ifname.clone())?;
    Ok(Some((peer.clone(), end.or(&peer.end))))
}

/// Gives the outside end its settings on a restart. If this process must not change the host, the end stays as it is.
fn repair(call: &Call, record: &mut Record, peer: LinkRecord, end: LinkSettings) -> Result<()> {
    match peer.restore_name(call).and_then(|()| peer.is_in_place(call)) {
        Ok(true) => {}
        Ok(false) => {
            print::warn(&format!("{} does not exist, so the restart does not configure it", peer.describe()));
            return Ok(());
        }
        Err(error) => {
            print::warn(&format!("the restart does not configure {}: {error:#}", peer.describe()));
            return Ok(());
        }
    }
    if peer.configured.as_ref().is_some_and(|configured| configured.ignores_routers) {
        let _there = peer.place.enter(call)?;
        super::apply::ignore_routers(&peer.end.ifname)?;
    }
    let meaning = rehearse::rehearse(&end, &[])?;
    configure_end(call, record, peer, end, &[], &meaning)
}

/// Whether the hook has to wait for an interface: it is configured, and so is its peer.
fn is_ready(call: &Call, record: &Record, link: &LinkRecord) -> bool {
    let is_configured =
        |label: &String| record.links().any(|one| one.label == *label && one.configured.is_some());
    link.configured.is_some() && (call.side == Side::Inside || link.peer.as_ref().is_none_or(is_configured))
}

/// Records an interface that the library has not created: an older version of this program has, or another program.
fn adopt(call: &Call, record: &mut Record, settings: &Settings, suffix: &str) -> Result<()> {
    let end = LinkSettings::read(settings, suffix)?;
    let place = LinkSite::of(settings, suffix, &call.instance)?;
    let found = {
        let _there = place.enter(call)?;
        netlink::link_named(&end.ifname)?
    };
    let Some(found) = found else { bail!("interface '{}' does not exist {place}", end.ifname) };
    let label = format!("{}{suffix}", settings.prefix());
    let parent = settings.parent()?;
    record.push(Object::Link(LinkRecord { parent, ..LinkRecord::new(label, place, found.kind, end) }));
    Ok(())
}

/// Creates an interface again that was deleted, or replaced.
fn create_again(call: &Call, record: &mut Record, link: &LinkRecord, cause: &str) -> Result<()> {
    print::warn(&format!("{} was {cause}: creating it again", link.describe()));
    let peer = link.peer.as_ref().and_then(|label| record.links().find(|one| one.label == *label)).cloned();
    if link.kind != "veth" {
        if let Some(parent) = &link.parent {
            add::set_parent_up(call, parent)?;
        }
        return add::create(call, record, vec![link.clone()], None);
    }
    let Some(peer) = peer else { bail!("cannot create {} again: its peer is unknown", link.describe()) };
    let is_outside = |link: &LinkRecord| !link.place.is_inside();
    let pair =
        if is_outside(link) { vec![link.clone(), peer.clone()] } else { vec![peer.clone(), link.clone()] };
    peer.place.require(call, &peer.end.setting("NSNAME"))?;
    add::create(call, record, pair, None)
}
