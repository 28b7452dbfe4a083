//! Checks the settings of an instance: names of functions, names of interfaces, addresses.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{Examined, Finding, links};
use crate::bash::explain::Variable;
use crate::config::header::PluginHeader;
use crate::config::layers::{Layer, Role};
use crate::config::plugin;
use crate::library::link;
use crate::name::address::{mac, network};
use crate::name::{Instance, NsType, ifname};
use crate::paths::Paths;

/// Checks one instance. `known` are the settings of all types.
pub(super) fn check(paths: &Paths, one: &Examined, known: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Examined { instance, explained, .. } = one;
    findings.extend(exited(one));
    for function in &explained.functions {
        if let Some(message) = misnamed(&function.name, &instance.nstype) {
            findings.push(Finding::warning(message).at(&function.place));
        }
    }
    findings.extend(mistyped(one, known, paths));
    findings.extend(explained.invalid.iter().map(|line| invalid(paths, one, line)));
    // A setting that the plugin itself has refused has its finding.
    let refused: Vec<&str> =
        explained.invalid.iter().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
    for setting in settings(one).filter(|setting| !refused.contains(&setting.name.as_str())) {
        findings.extend(
            ifnames(one, setting)
                .into_iter()
                .chain(macs(setting))
                .chain(networks(setting).filter_map(Result::err))
                .chain(several_addresses(setting))
                .chain(dropped_elements(one, setting))
                .map(|message| {
                    Finding::error(format!("{}: {message}", setting.name))
                        .at(place(setting, instance, paths))
                        .of(instance)
                }),
        );
    }
    for (name, message) in links::problems(paths, one) {
        let line = format!("{name}: {message}");
        // A setting has one finding.
        if !findings.iter().any(|finding| finding.message.starts_with(&format!("{name}: "))) {
            findings.push(invalid(paths, one, &line));
        }
    }
    findings
}

/// Reports a file that calls `exit`.
fn exited(Examined { instance, explained, .. }: &Examined) -> Option<Finding> {
    let finding = Finding::error("the file calls `exit` here: the hooks of the instance do not run");
    Some(finding.at(explained.exited.as_ref()?).of(instance))
}

/// Reports files that no hook reads to the end, although bash can parse them: one calls `exit`, or a required one is missing.
pub(super) fn unused(paths: &Paths, one: &Examined) -> Option<Finding> {
    let Examined { instance, layers, explained, .. } = one;
    let needs_no_conf =
        explained.variables.iter().any(|one| one.name == "NO_CONFIG_REQUIRED" && !one.value.is_empty());
    let is_missing = || {
        let message = format!("{} does not exist", paths.conf_of(instance).display());
        Finding::error(message).of(instance)
    };
    exited(one).or_else(|| (!layers.are_configured() && !needs_no_conf).then(is_missing))
}

/// Reports an array of which only the first element is used: no file refers to all its elements.
fn dropped_elements(one: &Examined, setting: &Variable) -> Option<String> {
    let count = setting.elements.as_ref().map_or(0, Vec::len);
    let is_used = |text: &str| reads_elements(text, setting) || is_list_of_link(text, &setting.name);
    let is_known = one.layers.all().filter_map(Layer::text).any(is_used);
    (count > 1 && !is_known)
        .then(|| format!("is an array of {count} elements, but only the first one is used"))
}

/// Whether a text refers to the elements of a setting, as in `"${X_PORTS[@]}"`.
fn reads_elements(text: &str, setting: &Variable) -> bool {
    text.contains(&format!("{}[", setting.name))
}

/// Whether a setting is a list that the functions of the library for interfaces read: a text calls `link_configure PREFIX`.
fn is_list_of_link(text: &str, setting: &str) -> bool {
    links::prefixes(text, &["link_add", "link_configure"]).any(|prefix| {
        let rest = setting.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
        rest.is_some_and(|rest| {
            ["IFADDR", "ROUTES", "GATEWAY", "SYSCTLS", "PORTS", "REMOTES"]
                .iter()
                .any(|key| rest.starts_with(key))
        })
    })
}

/// The settings that the program itself reads.
const HOST_SETTINGS: [&str; 2] = ["NETNS_REQUIRES", "NO_CONFIG_REQUIRED"];

/// The settings of all types.
pub(super) fn known(paths: &Paths, types: &BTreeSet<NsType>) -> BTreeSet<String> {
    let headers = types.iter().filter_map(|nstype| {
        plugin::find(paths, nstype).and_then(|plugin| PluginHeader::of(&plugin, nstype)).ok()
    });
    headers.flat_map(|header| header.settings).map(|setting| setting.name).collect()
}

/// Reports variables of the `.conf` files whose name is similar to a setting, unless a file reads them or they are settings of
/// another type.
fn mistyped(one: &Examined, known: &BTreeSet<String>, paths: &Paths) -> Vec<Finding> {
    let Examined { instance, layers, explained, .. } = one;
    let plugin = layers.get(Role::Plugin);
    let header = plugin.text().map(|text| PluginHeader::read(text, &instance.nstype)).unwrap_or_default();
    let own: Vec<&str> = header.settings.iter().map(|setting| setting.name.as_str()).collect();
    let is_known = |name: &str| known.contains(name) || own.contains(&name) || HOST_SETTINGS.contains(&name);
    let own_conf = format!("{}:", paths.conf_of(instance).display());
    let mut findings = Vec::new();
    for Variable { name, value, place, .. } in &explained.variables {
        // Variables that the plugin itself sets are not settings.
        let by_plugin = place.starts_with(&*plugin.path.to_string_lossy());
        let is_used = || layers.all().filter_map(Layer::text).any(|text| uses(text, name));
        if value.is_empty() || is_known(name) || by_plugin || is_used() {
            continue;
        }
        let mut candidates = own.iter().chain(&HOST_SETTINGS);
        let Some(near) = candidates.find(|setting| is_similar(setting, name)) else { continue };
        let whose =
            if own.contains(near) { format!(" of the type `{}`", instance.nstype) } else { String::new() };
        let message = format!("`{name}` is not a setting{whose}; did you mean `{near}`?");
        let finding = Finding::warning(message).at(place);
        // A file of several instances has one finding.
        findings.push(if place.starts_with(&own_conf) { finding.of(instance) } else { finding });
    }
    findings
}

/// Whether a name is a misspelling of a setting: one error in four letters, at most two.
fn is_similar(setting: &str, name: &str) -> bool {
    strsim::damerau_levenshtein(setting, &name.to_uppercase()) <= (setting.len() / 4).min(2)
}

/// Whether a bash text contains a name other than as the target of an assignment.
fn uses(text: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    code.flat_map(|line| line.match_indices(name).map(move |(start, _)| line.split_at(start))).any(
        |(before, rest)| {
            let after = &rest[name.len()..];
            !before.ends_with(is_part)
                && !after.starts_with(is_part)
                && !["=", "+="].iter().any(|operator| after.starts_with(operator))
        },
    )
}

/// A finding for a line of `configure_TYPE_validate`: `SETTING: MESSAGE`, or `/FILE:LINE: MESSAGE`.
pub(super) fn invalid(paths: &Paths, Examined { instance, explained, .. }: &Examined, line: &str) -> Finding {
    if let Some((place, message)) = line.split_once(": ").filter(|_| line.starts_with('/')) {
        return Finding::error(message).at(place).of(instance);
    }
    let name = line.split_once(':').map(|(name, _)| name);
    let setting = explained.variables.iter().find(|setting| Some(setting.name.as_str()) == name);
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

/// The file and line of a setting. If the plugin computes the setting, this is the `.conf` file of the instance.
pub(super) fn place(setting: &Variable, instance: &Instance, paths: &Paths) -> String {
    let by_plugin = plugin::find(paths, &instance.nstype)
        .is_ok_and(|plugin| setting.place.starts_with(&*plugin.to_string_lossy()));
    if by_plugin { paths.conf_of(instance).display().to_string() } else { setting.place.clone() }
}

/// The message for a function whose name is similar to a hook, or is the hook of another type.
fn misnamed(function: &str, nstype: &NsType) -> Option<String> {
    let rest = function.strip_prefix("configure_")?;
    let hooks: Vec<String> = ["up", "down", "check"]
        .iter()
        .flat_map(|phase| ["outside", "inside"].map(|side| format!("configure_{nstype}_{phase}_{side}")))
        .chain(["defaults", "requires", "validate"].map(|text| format!("configure_{nstype}_{text}")))
        .collect();
    if hooks.iter().any(|hook| hook == function) {
        return None;
    }
    let of_other = ["_up_outside", "_up_inside", "_down_inside", "_down_outside"]
        .iter()
        .find_map(|suffix| rest.strip_suffix(suffix));
    if let Some(other) = of_other {
        return Some(format!(
            "`{function}` is a hook of the type `{other}`, and is never called for `{nstype}`"
        ));
    }
    let near = hooks.iter().find(|hook| strsim::damerau_levenshtein(function, hook) <= 3)?;
    Some(format!("`{function}` is not a hook, and is never called; did you mean `{near}`?"))
}

fn is_about(setting: &Variable, text: &str) -> bool {
    setting.name.split('_').skip(1).any(|part| part == text)
}

/// The messages about invalid names of interfaces. If the plugin reads the setting as a list, a value can have several names, separated by
/// blanks. A setting of `link_move` can select an interface without its name.
fn ifnames(one: &Examined, setting: &Variable) -> Vec<String> {
    if !is_about(setting, "IFNAME") {
        return Vec::new();
    }
    let plugin = one.layers.get(Role::Plugin).text();
    let is_moved = one.layers.all().filter_map(Layer::text).any(|text| {
        links::prefixes(text, &["link_move"]).any(|prefix| setting.name == format!("{prefix}_IFNAME"))
    });
    let values = setting.values().iter().map(String::as_str);
    let values = values.filter(|value| !is_moved || link::selects_by_name(value));
    if plugin.is_some_and(|text| reads_elements(text, setting)) {
        values.flat_map(str::split_whitespace).filter_map(ifname::problem).collect()
    } else {
        values.filter_map(ifname::problem).collect()
    }
}

fn macs(setting: &Variable) -> Vec<String> {
    if !is_about(setting, "MAC") && !is_about(setting, "MACS") {
        return Vec::new();
    }
    let texts = setting.values().iter().flat_map(|value| value.split_whitespace());
    texts.filter_map(|text| mac(text).err()).collect()
}

/// The addresses in a setting. Each value begins with an address. More arguments for `ip address add` can follow.
pub(super) fn networks(setting: &Variable) -> impl Iterator<Item = Result<IpNet, String>> {
    let values = if is_about(setting, "IFADDR") { setting.values() } else { &[] };
    // Instead of an address: the routers of the network give it.
    let values = values.iter().filter(|value| value.trim() != "auto");
    values.map(|value| network(value.split_whitespace().next().unwrap_or_default()))
}

/// The keywords of `ip address add` (ip-address(8)) that an address follows.
const ADDRESS_KEYWORDS: [&str; 7] = ["peer", "remote", "broadcast", "brd", "anycast", "any", "local"];

/// The messages about values with a second address: `ip address add` refuses it.
fn several_addresses(setting: &Variable) -> Vec<String> {
    let values = if is_about(setting, "IFADDR") { setting.values() } else { &[] };
    let has_several = |value: &&String| {
        let words: Vec<&str> = value.split_whitespace().collect();
        words.windows(2).any(|pair| network(pair[1]).is_ok() && !ADDRESS_KEYWORDS.contains(&pair[0]))
    };
    let message = |value: &String| {
        format!(
            "`{value}` has several addresses: each needs its own element of an array, as in `{}=(A B)`",
            setting.name
        )
    };
    values.iter().filter(has_several).map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_hook_names_and_hooks_of_other_types_are_reported() {
        let veth = NsType::new("veth".as_ref()).unwrap();
        for fine in
            ["configure_veth_up_inside", "configure_veth_check_outside", "veth_helper", "configure_all"]
        {
            assert_eq!(misnamed(fine, &veth), None, "{fine}");
        }
        assert!(
            misnamed("configure_veth_up_insde", &veth)
                .unwrap()
                .contains("did you mean `configure_veth_up_inside`")
        );
        assert!(misnamed("configure_vpn_up_outside", &veth).unwrap().contains("type `vpn`"));
    }

    #[test]
    fn a_name_is_used_unless_it_is_only_assigned() {
        for text in ["echo $X_A", "  [[ -v X_A ]]", "y=${#X_A}"] {
            assert!(uses(text, "X_A"), "{text}");
        }
        for text in ["X_A=1", "X_A+=(1)", "# X_A", "echo $X_AB $Y_X_A"] {
            assert!(!uses(text, "X_A"), "{text}");
        }
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
    fn an_address_can_have_a_prefix_up_to_its_own_length() {
        let read = |text| network(text).map(|network| network.to_string());
        assert_eq!(read("192.0.2.1/24").as_deref(), Ok("192.0.2.1/24"));
        assert_eq!(read("2001:db8::1").as_deref(), Ok("2001:db8::1/128"));
        assert_eq!(
            read("192.0.2.1/33").unwrap_err(),
            "invalid address `192.0.2.1/33`: the length of the prefix must be at most 32"
        );
        for bad in ["", "192.0.2", "192.0.2.1/", "192.0.2.1/x", "192.0.2.1/24/1", "2001:db8::/129"] {
            assert!(network(bad).is_err(), "{bad}");
        }
    }
}
