//! What an instance's files come to: the names of functions, interfaces and addresses.

use std::net::IpAddr;

use super::{Examined, Finding};
use crate::bash::explain::Variable;
use crate::config::plugin;
use crate::name::{Instance, NsType};
use crate::paths::Paths;

/// Longest name of an interface in bytes (`IFNAMSIZ` in include/uapi/linux/if.h, less the NUL).
const IFNAME_MAX: usize = 15;

pub(super) fn check(paths: &Paths, one: &Examined) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Examined { instance, explained, .. } = one;
    if let Some(place) = &explained.exited {
        findings.push(Finding::error("the file ends the hook here").at(place).of(instance));
    }
    for function in &explained.functions {
        if let Some(message) = misnamed(&function.name, &instance.nstype) {
            findings.push(Finding::warning(message).at(&function.place));
        }
    }
    findings.extend(explained.invalid.iter().map(|line| invalid(paths, one, line)));
    for setting in settings(one) {
        findings.extend(
            ifname(setting).into_iter().chain(macs(setting)).chain(address_of(setting).err()).map(
                |message| {
                    Finding::error(format!("{}: {message}", setting.name))
                        .at(place(setting, instance, paths))
                        .of(instance)
                },
            ),
        );
    }
    findings
}

/// What `configure_TYPE_validate` says: `SETTING: WHAT`.
fn invalid(paths: &Paths, Examined { instance, explained, .. }: &Examined, line: &str) -> Finding {
    let named = line.split_once(':').map(|(name, _)| name);
    let setting = explained.variables.iter().find(|setting| Some(setting.name.as_str()) == named);
    let place = setting.map_or_else(
        || paths.conf_of(instance).display().to_string(),
        |setting| place(setting, instance, paths),
    );
    Finding::error(line).at(place).of(instance)
}

/// The variables that are settings of the instance's own type: `TYPE_…` in capitals.
pub(super) fn settings(one: &Examined) -> impl Iterator<Item = &Variable> {
    let prefix = format!("{}_", one.instance.nstype.as_ref().to_uppercase());
    one.explained
        .variables
        .iter()
        .filter(move |variable| variable.name.starts_with(&prefix) && !variable.value.is_empty())
}

/// Where a setting is from; for one that the plugin works out, the file that could set it.
pub(super) fn place(setting: &Variable, instance: &Instance, paths: &Paths) -> String {
    let by_plugin = plugin::find(paths, &instance.nstype)
        .is_ok_and(|plugin| setting.place.starts_with(&*plugin.to_string_lossy()));
    if by_plugin { paths.conf_of(instance).display().to_string() } else { setting.place.clone() }
}

/// Why a function that looks like a hook is none.
fn misnamed(function: &str, nstype: &NsType) -> Option<String> {
    let rest = function.strip_prefix("configure_")?;
    let hooks: Vec<String> = ["up", "down", "check"]
        .iter()
        .flat_map(|phase| ["outside", "inside"].map(|side| format!("configure_{nstype}_{phase}_{side}")))
        .chain(["defaults", "requires", "validate"].map(|word| format!("configure_{nstype}_{word}")))
        .collect();
    if hooks.iter().any(|hook| hook == function) {
        return None;
    }
    let of_other = ["_up_outside", "_up_inside", "_down_inside", "_down_outside"]
        .iter()
        .find_map(|suffix| rest.strip_suffix(suffix));
    if let Some(other) = of_other {
        return Some(format!(
            "`{function}` is a hook of the type `{other}`, and is not called for `{nstype}`"
        ));
    }
    let near = hooks.iter().find(|hook| strsim::damerau_levenshtein(function, hook) <= 3)?;
    Some(format!("`{function}` is no hook, and is never called: is `{near}` meant?"))
}

fn is_about(setting: &Variable, word: &str) -> bool {
    setting.name.split('_').skip(1).any(|part| part == word)
}

fn ifname(setting: &Variable) -> Option<String> {
    let name = &setting.value;
    if !is_about(setting, "IFNAME") {
        None
    } else if name.len() > IFNAME_MAX {
        Some(format!(
            "`{name}` has {} characters, and an interface name has at most {IFNAME_MAX}",
            name.len()
        ))
    } else if name == "."
        || name == ".."
        || name.contains(|character: char| "/:%".contains(character) || character.is_whitespace())
    {
        Some(format!("`{name}` is no name for an interface"))
    } else {
        None
    }
}

fn macs(setting: &Variable) -> Vec<String> {
    if !is_about(setting, "MAC") && !is_about(setting, "MACS") {
        return Vec::new();
    }
    setting.value.split_whitespace().filter_map(|word| mac(word).err()).collect()
}

/// Reads a hardware address that an interface may have.
pub(super) fn mac(word: &str) -> Result<[u8; 6], String> {
    let bytes: Vec<u8> = word
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).ok().filter(|_| byte.len() <= 2 && !byte.starts_with('+')))
        .collect::<Option<_>>()
        .ok_or_else(|| format!("`{word}` is no hardware address"))?;
    let mac: [u8; 6] =
        bytes.try_into().map_err(|_| format!("`{word}` is no hardware address: six bytes are needed"))?;
    if mac[0] & 1 != 0 {
        // The lowest bit of the first byte (IEEE 802, "Individual/Group").
        return Err(format!(
            "`{word}` is a multicast address, which no interface can have: use one that begins with 02:"
        ));
    }
    if mac == [0; 6] {
        return Err(format!("`{word}` is no address that an interface can have"));
    }
    Ok(mac)
}

/// An address with the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether two have an address in common.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let bits = |address: IpAddr| match address {
            IpAddr::V4(four) => (u128::from(four.to_bits()) << 96, 32),
            IpAddr::V6(six) => (six.to_bits(), 128),
        };
        let ((one, family), (two, other_family)) = (bits(self.address), bits(other.address));
        let length = u32::from(self.prefix.min(other.prefix));
        family == other_family && (length == 0 || (one ^ two) >> (128 - length) == 0)
    }
}

/// The address that a setting begins with; what follows is words for `ip address add`.
pub(super) fn address_of(setting: &Variable) -> Result<Option<Network>, String> {
    if !is_about(setting, "IFADDR") {
        return Ok(None);
    }
    let word = setting.value.split_whitespace().next().unwrap_or_default();
    network(word).map(Some)
}

fn network(word: &str) -> Result<Network, String> {
    let (address, prefix) =
        word.split_once('/').map_or((word, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().map_err(|_| format!("`{word}` is no IP address"))?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => longest,
        Some(prefix) => prefix
            .parse()
            .ok()
            .filter(|length| *length <= longest)
            .ok_or_else(|| format!("`{word}`: the length of the prefix is at most {longest}"))?,
    };
    Ok(Network { address, prefix })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_nearly_right_and_of_other_types_are_told() {
        let veth = NsType::new("veth".as_ref()).unwrap();
        for fine in
            ["configure_veth_up_inside", "configure_veth_check_outside", "veth_helper", "configure_all"]
        {
            assert_eq!(misnamed(fine, &veth), None, "{fine}");
        }
        assert!(
            misnamed("configure_veth_up_insde", &veth).unwrap().contains("`configure_veth_up_inside` meant")
        );
        assert!(misnamed("configure_vpn_up_outside", &veth).unwrap().contains("type `vpn`"));
    }

    #[test]
    fn hardware_addresses_are_six_bytes_and_not_multicast() {
        assert_eq!(mac("02:00:00:00:00:0a").unwrap(), [2, 0, 0, 0, 0, 10]);
        for bad in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:00:00",
            "02:00:00:00:00:zz",
            "11:22:33:44:55:66",
            "00:00:00:00:00:00",
            "2:+1:0:0:0:0",
            "2:0:+1:0:0:0:0",
        ] {
            assert!(mac(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn networks_overlap_where_one_lies_in_the_other() {
        let overlap = |one, other| network(one).unwrap().overlaps(&network(other).unwrap());
        assert!(overlap("192.0.2.1/24", "192.0.2.130/25"));
        assert!(overlap("2001:db8::1/64", "2001:db8::2/64"));
        assert!(overlap("0.0.0.0/0", "192.0.2.1/32"));
        assert!(!overlap("192.0.2.1/30", "192.0.2.5/30"));
        assert!(!overlap("192.0.2.1/0", "::1/0"));
        for bad in ["", "192.0.2", "192.0.2.1/33", "192.0.2.1/x", "2001:db8::/129"] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }
}
