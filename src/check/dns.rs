//! The settings of the type `dns`, which writes files for libc: that passes over what it cannot read, without a word.

use std::net::{IpAddr, Ipv6Addr};

use super::settings::{place, settings};
use super::{Examined, Finding};
use crate::paths::Paths;

pub(super) fn check(paths: &Paths, one: &Examined) -> Vec<Finding> {
    let instance = &one.instance;
    if instance.nstype.as_ref() != "dns" {
        return Vec::new();
    }
    let finding = |place: String, message: String| Finding::error(message).at(place).of(instance);
    let mut findings = Vec::new();
    if !settings(one).any(|setting| setting.name == "DNS_SERVERS" && !setting.value.trim().is_empty()) {
        findings.push(finding(
            paths.conf_of(instance).display().to_string(),
            "DNS_SERVERS: it names no server".to_owned(),
        ));
    }
    for setting in settings(one) {
        let wrong = match setting.name.as_str() {
            "DNS_SERVERS" => bad(setting.value.split_whitespace(), is_server, "is no IP address"),
            "DNS_SEARCH" => bad(setting.value.split_whitespace(), is_domain, "is no domain"),
            "DNS_HOSTS" => bad(setting.value.lines(), is_hosts_line, "is no address with a name"),
            _ => Vec::new(),
        };
        for message in wrong {
            findings.push(finding(place(setting, instance, paths), format!("{}: {message}", setting.name)));
        }
    }
    findings
}

fn bad<'a>(words: impl Iterator<Item = &'a str>, is_good: fn(&str) -> bool, what: &str) -> Vec<String> {
    words.filter(|word| !is_good(word)).map(|word| format!("`{word}` {what}")).collect()
}

/// An address, of a link with the interface behind it (`fe80::1%eth0`).
fn is_server(word: &str) -> bool {
    match word.split_once('%') {
        Some((address, interface)) => address.parse::<Ipv6Addr>().is_ok() && !interface.is_empty(),
        None => word.parse::<IpAddr>().is_ok(),
    }
}

fn is_domain(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// A line of hosts(5): an address, a name and more of them; or nothing but a comment.
fn is_hosts_line(line: &str) -> bool {
    let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
    words
        .next()
        .is_none_or(|address| is_server(address) && words.clone().next().is_some() && words.all(is_domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libc_would_pass_over_is_told() {
        for (good, is_good) in [("192.0.2.1", true), ("fe80::1%eth0", true), ("::g", false), ("1.2.3", false)]
        {
            assert_eq!(is_server(good), is_good, "{good}");
        }
        assert!(is_domain("example.org") && !is_domain("a;b"));
        for (line, is_good) in [
            ("192.0.2.7 printer db # x", true),
            ("  # x", true),
            ("", true),
            ("nonsense", false),
            ("192.0.2.7", false),
            ("192.0.2.7 a;b", false),
        ] {
            assert_eq!(is_hosts_line(line), is_good, "{line}");
        }
    }
}
