//! Waits until interfaces can be used.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::super::Call;
use super::LinkRecord;
use super::drift::properties;
use super::settings::{Parent, invalid};
use crate::netlink;
use crate::print;
use crate::sys::wait::try_wait_until;

/// Interval between two looks at the kernel.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Time for duplicate address detection. It takes about two seconds for each address, all at the same time (RFC 4862, section 5.4).
const DUPLICATE_DETECTION: Duration = Duration::from_secs(15);

/// Time for the address of a router: the kernel asks for routers three times, every four seconds (RFC 4861, section 10), and then detects
/// duplicates.
const ROUTER: Duration = Duration::from_secs(30);
const ROUTER_INTERVAL: Duration = Duration::from_millis(50);

/// Waits until a parent interface exists in the namespace of this thread.
/// Errors: it does not appear in time.
pub(super) fn for_parent(parent: &Parent) -> Result<netlink::Link> {
    let mut is_waiting = false;
    let found = try_wait_until(parent.timeout, Duration::from_millis(100), || -> Result<_> {
        let found = netlink::link_named(&parent.ifname)?;
        if found.is_none() && !is_waiting && !parent.timeout.is_zero() {
            is_waiting = true;
            print::say(&format!("waiting for interface '{}'", parent.ifname));
        }
        Ok(found)
    })?;
    let place = parent.place();
    let waited = match parent.timeout.as_secs() {
        0 => String::new(),
        seconds => format!(" after {seconds} seconds ({})", parent.other_setting("TIMEOUT")),
    };
    found.ok_or_else(|| {
        anyhow!(
            "interface '{}' ({}) does not exist {place}{waited}; fix: correct the name, or create the interface; hint: `{} link` lists the interfaces",
            parent.ifname,
            parent.setting,
            place.ip(),
        )
    })
}

/// Waits until an interface has a carrier, and can use its addresses. Without a carrier, this prints a warning.
/// Errors: another host has one of the addresses, or the interface is deleted.
pub(super) fn until_usable(call: &Call, link: &LinkRecord) -> Result<()> {
    // Without the privilege to enter the host from an inside hook, as in a container, only the own end is examined.
    let Ok(_there) = link.place.enter(call) else { return Ok(()) };
    let look = || link.find_with_addresses()?.with_context(|| format!("{} was deleted", link.describe()));
    // An interface without a peer, parent or port has no carrier of its own: the one of a bridge depends on its ports.
    let has_ports = link.configured.as_ref().is_some_and(|configured| !configured.ports.is_empty());
    let has_carrier =
        |found: &netlink::Link| (found.carrier || found.peer.is_none() && !has_ports).then_some(());
    let started = Instant::now();
    let forwarding = if has_ports { forwarding_time(link)? } else { Duration::ZERO };
    let timeout = link.end.carrier_timeout;
    let timeout = if timeout.is_zero() { timeout } else { timeout + forwarding };
    if try_wait_until(timeout, POLL_INTERVAL, || look().map(|found| has_carrier(&found)))?.is_none() {
        print::warn(&format!(
            "{} has no carrier after {} seconds ({}): is its peer, parent or port up and connected?",
            link.describe(),
            timeout.as_secs(),
            link.end.setting("CARRIER_TIMEOUT")
        ));
        return Ok(());
    }
    // Without a carrier, the kernel does not begin to detect duplicates. It does that when a port appears.
    if !link.end.addresses.iter().any(|words| words.contains(':')) || !look()?.carrier {
        return Ok(());
    }
    let timeout = DUPLICATE_DETECTION + forwarding.saturating_sub(started.elapsed());
    let done = try_wait_until(timeout, POLL_INTERVAL, || -> Result<Option<()>> {
        let found = look()?;
        if let Some(duplicate) = found.unusable.iter().find(|one| one.failed) {
            bail!(
                "another host of the network has the address '{}' of {} (duplicate address detection, dadfailed)",
                duplicate.address,
                link.describe()
            );
        }
        Ok(found.unusable.is_empty().then_some(()))
    })?;
    done.with_context(|| {
        format!(
            "{} has addresses that are still tentative after {} seconds",
            link.describe(),
            timeout.as_secs()
        )
    })
}

/// Waits until a router has given an interface an IPv6 address, if its setting asks for this.
/// Errors: no router does, or the interface is deleted.
pub(super) fn until_automatic(call: &Call, link: &LinkRecord) -> Result<()> {
    if !link.end.automatic {
        return Ok(());
    }
    let _there = link.place.enter(call)?;
    let look = || -> Result<Option<()>> {
        let found =
            link.find_with_addresses()?.with_context(|| format!("{} was deleted", link.describe()))?;
        Ok(link.has_automatic_address(&found).then_some(()))
    };
    let done = try_wait_until(ROUTER, ROUTER_INTERVAL, look)?;
    done.ok_or_else(|| {
        let message = format!(
            "no router has announced a prefix for the IPv6 address of {} within {} seconds ('auto'); fix: connect it to a network with an IPv6 \
             router, or set an address; if the router announces only DHCPv6, use a DHCP client for the address; \
             hint: `tcpdump -vni {} icmp6` in the namespace shows the announcements",
            link.describe(),
            ROUTER.as_secs(),
            link.end.ifname
        );
        invalid(link.end.setting("IFADDR"), message)
    })
}

/// Time that a bridge with the spanning tree protocol needs until its first port forwards packets, and the bridge has a carrier: the port
/// is in the states "listening" and "learning" for a forward delay each (net/bridge/br_stp_timer.c). At most a minute, because the kernel
/// allows 30 seconds (`BR_MAX_FORWARD_DELAY`). With the other timeouts here, this ends before the start timeout of a unit.
fn forwarding_time(link: &LinkRecord) -> Result<Duration> {
    if link.kind != "bridge" {
        return Ok(Duration::ZERO);
    }
    let properties = properties(&link.end.ifname)?;
    // In hundredths of a second.
    let delay = properties["forward_delay"].as_u64().filter(|_| properties["stp_state"] != 0);
    Ok(Duration::from_millis(delay.unwrap_or(0).min(3000) * 20))
}

/// Waits until the kernel has reacted to the carrier of a pair, in the namespace of this thread: it shows the carrier before that, and
/// the state of the interface after it (linkwatch_do_dev in net/core/link_watch.c).
/// Errors: the kernel cannot be queried.
pub(super) fn until_carrier_is_processed(link: &LinkRecord) -> Result<()> {
    let is_pending = |found: &netlink::Link| found.kind == "veth" && found.carrier && found.state != "UP";
    let look = || Ok(link.find()?.is_none_or(|found| !is_pending(&found)).then_some(()));
    try_wait_until(link.end.carrier_timeout, POLL_INTERVAL, look).map(|_| ())
}
