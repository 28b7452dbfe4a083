//! Reports interface names, hardware addresses and IP addresses that two instances use.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::settings::{networks, place as place_of, settings};
use super::{Examined, Finding, Where};
use crate::bash::explain::Variable;
use crate::config::declaration::LinkPlace;
use crate::library::ports::PublishedPort;
use crate::name::Instance;
use crate::name::address::mac;
use crate::paths::Paths;

/// A setting and its instance.
type Use<'a> = (&'a Instance, &'a Variable);

/// The values that must be unique, with the settings that use them.
#[derive(Default)]
struct Claims<'a> {
    names: BTreeMap<(Where, &'a str), Vec<Use<'a>>>,
    macs: BTreeMap<[u8; 6], Vec<Use<'a>>>,
    addresses: Vec<AddressClaim<'a>>,
    ports: Vec<(PublishedPort, Use<'a>)>,
}

struct AddressClaim<'a> {
    place: Where,
    is_outside: bool,
    network: IpNet,
    owner: Use<'a>,
}

pub(super) fn check(
    paths: &Paths,
    examined: &[Examined],
    is_wanted: &dyn Fn(&Instance) -> bool,
) -> Vec<Finding> {
    let mut claims = Claims::default();
    for one in examined {
        claims.add(one);
    }
    let duplicates = claims.duplicates().into_iter();
    duplicates
        .filter(|(_, uses)| uses.iter().any(|(instance, _)| is_wanted(instance)))
        .flat_map(|(what, uses)| findings(paths, &what, &uses))
        .collect()
}

impl<'a> Claims<'a> {
    fn add(&mut self, one: &'a Examined) {
        for (setting, place) in names(one) {
            self.names.entry((place, &setting.value)).or_default().push((&one.instance, setting));
        }
        let publishes = &one.declaration.publishes;
        for setting in one.explained.variables.iter().filter(|setting| publishes.contains(&setting.name)) {
            let ports = setting.values().iter().filter_map(|text| text.parse().ok());
            self.ports.extend(ports.map(|port| (port, (&one.instance, setting))));
        }
        let outside = outside(one);
        for setting in settings(one) {
            let parts: Vec<&str> = setting.name.split('_').skip(1).collect();
            let owner = (&one.instance, setting);
            if parts.starts_with(&["MAC"])
                && let Ok(mac) = mac(&setting.value)
            {
                self.macs.entry(mac).or_default().push(owner);
            }
            for network in networks(setting).flatten() {
                let is_outside = parts.last() == Some(&"OUTSIDE");
                let place = if is_outside { outside.clone() } else { Some(one.instance.name.clone()) };
                self.addresses.push(AddressClaim { place, is_outside, network, owner });
            }
        }
    }

    /// Returns each duplicate value as text, with all its uses.
    fn duplicates(self) -> Vec<(String, Vec<Use<'a>>)> {
        let mut duplicates = Vec::new();
        for ((place, name), uses) in self.names {
            let place = place.map_or("on the host".to_owned(), |place| format!("in namespace `{place}`"));
            duplicates.push((format!("the interface name `{name}` {place}"), uses));
        }
        for uses in self.macs.into_values() {
            duplicates.push((format!("the hardware address `{}`", uses[0].1.value), uses));
        }
        duplicates.retain(|(_, uses)| uses.len() > 1);
        for (index, one) in self.addresses.iter().enumerate() {
            let others = self.addresses[index + 1..].iter();
            duplicates.extend(
                others.filter_map(|other| Some((one.conflict(other)?, vec![one.owner, other.owner]))),
            );
        }
        for (index, (port, owner)) in self.ports.iter().enumerate() {
            // The validation of an instance compares its own ports.
            let mut others = self.ports[..index].iter().filter(|(_, other)| other.0 != owner.0);
            if let Some((first, other)) = others.find(|(other, _)| other.overlaps(port)) {
                duplicates
                    .push((format!("the port of '{port}', which overlaps '{first}',"), vec![*other, *owner]));
            }
        }
        duplicates
    }
}

impl AddressClaim<'_> {
    /// Describes the address or network that two claims have in common, for a message. `None` if they do not conflict.
    fn conflict(&self, other: &Self) -> Option<String> {
        if self.network.addr() == other.network.addr() {
            return Some(format!("the address `{}`", self.network.addr()));
        }
        let are_on_one_side = self.place == other.place && self.is_outside && other.is_outside;
        (are_on_one_side && overlap(&self.network, &other.network))
            .then(|| format!("the network of `{}`", other.owner.1.value))
    }
}

/// Returns a finding for each use except the first.
fn findings(paths: &Paths, what: &str, uses: &[Use]) -> Vec<Finding> {
    let [(first, setting), others @ ..] = uses else { return Vec::new() };
    let place = place_of(setting, first, paths);
    let message = format!("{what} is already used by {first} ({place})");
    let finding =
        |(instance, other): &Use| Finding::error(&message).at(place_of(other, instance, paths)).of(instance);
    others.iter().map(finding).collect()
}

/// The settings with the names of the interfaces that an instance creates, and the place of each interface. Only declared links
/// count: another setting may only refer to an interface.
fn names(one: &Examined) -> impl Iterator<Item = (&Variable, Where)> {
    let named = |name: &str| settings(one).find(|setting| setting.name == name);
    let place = move |place: &LinkPlace| match place {
        LinkPlace::Inside => Some(one.instance.name.clone()),
        LinkPlace::Outside(setting) => named(setting.as_ref()?)?.value.parse().ok(),
    };
    one.declaration.links.iter().filter_map(move |link| Some((named(&link.ifname)?, place(&link.place))))
}

/// The place of the outside interface of an instance: the namespace in `TYPE_NSNAME_OUTSIDE`, or the host.
fn outside(one: &Examined) -> Where {
    let setting = settings(one).find(|setting| setting.name.ends_with("_NSNAME_OUTSIDE"));
    setting.and_then(|setting| setting.value.parse().ok())
}

/// Whether two networks have an address in common: then one contains the other.
fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_overlap_if_one_contains_the_other() {
        let overlap = |one: &str, other: &str| overlap(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(overlap("192.0.2.1/24", "192.0.2.130/25"));
        assert!(overlap("192.0.2.130/25", "192.0.2.1/24"));
        assert!(overlap("2001:db8::1/64", "2001:db8::2/64"));
        assert!(overlap("0.0.0.0/0", "192.0.2.1/32"));
        assert!(!overlap("192.0.2.1/30", "192.0.2.5/30"));
        assert!(!overlap("192.0.2.1/0", "::1/0"));
    }
}
