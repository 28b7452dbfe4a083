//! What two instances cannot have at once.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::settings::{address_of, mac, place as place_of, settings};
use super::{Examined, Finding, Where};
use crate::bash::explain::Variable;
use crate::name::Instance;
use crate::paths::Paths;

/// A setting with whose it is.
type Use<'a> = (&'a Instance, &'a Variable);

pub(super) fn check(paths: &Paths, examined: &[Examined], meant: &dyn Fn(&Instance) -> bool) -> Vec<Finding> {
    let mut names: BTreeMap<(Where, &str), Vec<Use>> = BTreeMap::new();
    let mut macs: BTreeMap<[u8; 6], Vec<Use>> = BTreeMap::new();
    let mut addresses: Vec<(Where, bool, IpNet, Use)> = Vec::new();
    for one in examined {
        let outside = outside(one);
        for setting in settings(one) {
            let parts: Vec<&str> = setting.name.split('_').skip(1).collect();
            let is_outside = parts.last() == Some(&"OUTSIDE");
            let place = if is_outside { outside.clone() } else { Some(one.instance.name.clone()) };
            let this = (&one.instance, setting);
            if parts.starts_with(&["IFNAME"]) && (parts.len() == 2 || !has_sides(one)) {
                names.entry((place.clone(), &setting.value)).or_default().push(this);
            }
            if parts.starts_with(&["MAC"])
                && let Ok(mac) = mac(&setting.value)
            {
                macs.entry(mac).or_default().push(this);
            }
            if let Ok(Some(network)) = address_of(setting) {
                addresses.push((place, is_outside, network, this));
            }
        }
    }
    let mut findings = Vec::new();
    let mut tell = |what: String, uses: &[Use]| {
        if let [(first, setting), others @ ..] = uses
            && !others.is_empty()
            && uses.iter().any(|(instance, _)| meant(instance))
        {
            for (instance, other) in others {
                let message =
                    format!("{what} is that of {first} as well ({})", place_of(setting, first, paths));
                findings.push(Finding::error(message).at(place_of(other, instance, paths)).of(instance));
            }
        }
    };
    for ((place, name), uses) in &names {
        let place =
            place.as_ref().map_or("on the host".to_owned(), |place| format!("in namespace `{place}`"));
        tell(format!("the interface name `{name}` {place}"), uses);
    }
    for uses in macs.values() {
        tell(format!("the hardware address `{}`", uses[0].1.value), uses);
    }
    for (index, (place, is_outside, network, this)) in addresses.iter().enumerate() {
        for (other_place, other_is_outside, other, that) in &addresses[index + 1..] {
            if network.addr() == other.addr() {
                tell(format!("the address `{}`", network.addr()), &[*this, *that]);
            } else if place == other_place && *is_outside && *other_is_outside && overlap(network, other) {
                tell(format!("the network of `{}`", that.1.value), &[*this, *that]);
            }
        }
    }
    findings
}

/// Where the outside end of an instance is: `TYPE_NSNAME_OUTSIDE`.
fn outside(one: &Examined) -> Where {
    let setting = settings(one).find(|setting| setting.name.ends_with("_NSNAME_OUTSIDE"));
    setting.and_then(|setting| setting.value.parse().ok())
}

/// Whether `TYPE_IFNAME` is what names begin with, since there is one for each side.
fn has_sides(one: &Examined) -> bool {
    settings(one).any(|setting| setting.name.ends_with("_IFNAME_OUTSIDE"))
}

/// Whether two networks have an address in common: then one lies in the other.
fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(other) || other.contains(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_overlap_where_one_lies_in_the_other() {
        let overlap = |one: &str, other: &str| overlap(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(overlap("192.0.2.1/24", "192.0.2.130/25"));
        assert!(overlap("192.0.2.130/25", "192.0.2.1/24"));
        assert!(overlap("2001:db8::1/64", "2001:db8::2/64"));
        assert!(overlap("0.0.0.0/0", "192.0.2.1/32"));
        assert!(!overlap("192.0.2.1/30", "192.0.2.5/30"));
        assert!(!overlap("192.0.2.1/0", "::1/0"));
    }
}
