//! Sysctls in the kernel: their keys, their values, and the check before one is set.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// Keys that are other names of one variable of the kernel, with the key that is used here.
///
/// A key whose write also changes other sysctls is not an alias: `conf/all/forwarding` sets that of each interface and of `default`, but
/// each of them can be set alone afterwards. Neither are a value in two units, such as `neigh/default/retrans_time` and
/// `retrans_time_ms`: their texts cannot be compared.
const ALIASES: [(&str, &str); 2] = [
    // net/ipv4/devinet.c, ctl_forward_entry
    ("net/ipv4/conf/all/forwarding", "net/ipv4/ip_forward"),
    // net/netfilter/nf_conntrack_standalone.c, nf_ct_netfilter_table
    ("net/nf_conntrack_max", "net/netfilter/nf_conntrack_max"),
];

/// The key of a sysctl, as its path below /proc/sys. It is the same for all aliases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key(String);

impl FromStr for Key {
    type Err = anyhow::Error;

    /// Parses a key as sysctl(8) does: if its first separator is a dot, dots and slashes are exchanged. So `net.ipv4.conf.eth0/5.mtu`
    /// and `net/ipv4/conf/eth0.5/mtu` are the same.
    fn from_str(text: &str) -> Result<Self> {
        let is_dotted = text.find(['.', '/']).is_some_and(|first| text[first..].starts_with('.'));
        let path = if is_dotted { exchanged(text) } else { text.to_owned() };
        ensure!(
            path.split('/').all(|part| !["", ".", ".."].contains(&part)),
            "'{text}' is not the key of a sysctl: expected a key such as net.ipv4.ip_forward"
        );
        let alias = ALIASES.iter().find(|(alias, _)| *alias == path);
        Ok(Self(alias.map_or(path, |(_, key)| (*key).to_owned())))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&exchanged(&self.0))
    }
}

/// Exchanges dots and slashes.
fn exchanged(text: &str) -> String {
    let exchange = |character| match character {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    text.chars().map(exchange).collect()
}

impl Key {
    /// The sysctl of an interface. `group` is `conf` or `neigh`.
    pub fn of_interface(family: &str, group: &str, ifname: &str, key: &str) -> Self {
        Self(format!("net/{family}/{group}/{ifname}/{key}"))
    }

    /// The file in /proc/sys. Below /proc/sys/net it belongs to the network namespace of this thread.
    pub fn file(&self) -> PathBuf {
        PathBuf::from("/proc/sys").join(&self.0)
    }

    /// The name of a file of ours for this sysctl.
    pub fn file_name(&self) -> String {
        self.0.replace('/', ":")
    }

    /// The name of the interface of a sysctl below `conf` or `neigh`.
    pub fn ifname(&self) -> Option<&str> {
        match self.0.split('/').collect::<Vec<_>>()[..] {
            ["net", _, "conf" | "neigh", ifname, _] => Some(ifname),
            _ => None,
        }
        .filter(|ifname| !["all", "default"].contains(ifname))
    }

    /// The same sysctl of an interface with another name.
    pub fn with_ifname(&self, ifname: &str) -> Self {
        match self.0.split('/').collect::<Vec<_>>()[..] {
            ["net", family, group @ ("conf" | "neigh"), _, name] => {
                Self::of_interface(family, group, ifname, name)
            }
            _ => self.clone(),
        }
    }

    /// The sysctl that sets this one of each interface when it changes (inet_forward_change in net/ipv4/devinet.c, and
    /// addrconf_fixup_forwarding and addrconf_sysctl_force_forwarding in net/ipv6/addrconf.c).
    pub fn of_all_interfaces(&self) -> Option<Self> {
        match self.0.split('/').collect::<Vec<_>>()[..] {
            ["net", family, "conf", ifname, name @ ("forwarding" | "force_forwarding")]
                if ifname != "all" =>
            {
                format!("net/{family}/conf/all/{name}").parse().ok()
            }
            _ => None,
        }
    }

    /// Whether the key can belong to a network namespace.
    pub fn is_net(&self) -> bool {
        self.0.starts_with("net/")
    }

    /// The value, without the line end; `None` if it was never set, as for `stable_secret` (addrconf_sysctl_stable_secret in
    /// net/ipv6/addrconf.c).
    /// Errors: it cannot be read.
    pub fn read(&self) -> Result<Option<String>> {
        let file = self.file();
        match fs::read_to_string(&file) {
            Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => Ok(None),
            text => {
                let text = text.with_context(|| format!("cannot read {}", file.display()))?;
                Ok(Some(text.trim_end_matches('\n').to_owned()))
            }
        }
    }

    /// Whether the sysctl has this value.
    /// Errors: it cannot be read.
    pub fn has(&self, value: &Value) -> Result<bool> {
        Ok(self.read()?.is_some_and(|present| value.is(&present)))
    }

    /// Returns a line if the sysctl has another value in the namespace of this thread. `place` is its name in the line.
    /// Errors: the value cannot be read.
    pub fn drift(&self, value: &Value, place: &str) -> Result<Option<String>> {
        if !self.file().exists() {
            return Ok(Some(format!("sysctl '{self}' does not exist any more {place}")));
        }
        if self.has(value)? {
            return Ok(None);
        }
        let present = self.read()?.unwrap_or_default();
        Ok(Some(format!("sysctl '{self}' {place} is '{}', not '{}'", line(&present), value.shown())))
    }

    /// Sets a value, and records what the kernel has stored. A value that is set is not written again: that can reset other sysctls.
    /// Errors: the kernel refuses the value, reads only a part of it, or keeps the value before.
    pub fn write(&self, value: &mut Value) -> Result<()> {
        let before = self.read()?;
        if let Some(before) = before.as_ref().filter(|before| value.is(before)) {
            value.stored = Some(before.clone());
            return Ok(());
        }
        let what = || self.file().display().to_string();
        let length = self.store(&value.wanted).with_context(what)?;
        let stored = self.read()?.with_context(|| format!("{}: the kernel has stored no value", what()))?;
        if length < value.wanted.len() {
            before.map_or(Ok(0), |before| self.store(&before)).with_context(what)?;
            bail!("{}: the kernel has read only '{}'", what(), &line(&value.wanted[..length]));
        }
        ensure!(
            before.as_ref() != Some(&stored) || is_same(&stored, &value.wanted),
            "{}: the kernel keeps the value '{}'",
            what(),
            line(&stored)
        );
        value.stored = Some(stored);
        Ok(())
    }

    /// Writes a text, and returns how many of its bytes the kernel has read.
    fn store(&self, text: &str) -> io::Result<usize> {
        // One call of write(2): the kernel ignores a second one. An empty value is a line, too: a write of nothing has no effect.
        OpenOptions::new().write(true).open(self.file())?.write(format!("{text}\n").as_bytes())
    }

    /// The command that sets the sysctl.
    pub fn command(&self, value: &Value) -> String {
        format!("sysctl -w {}", shell_words::quote(&format!("{self}={}", value.wanted)))
    }

    /// Whether the sysctl can be set in the namespace of this thread. Changes nothing.
    /// Errors: it cannot be opened for another reason, such as a directory.
    pub fn is_settable(&self) -> Result<Settable> {
        let file = self.file();
        match OpenOptions::new().write(true).open(&file) {
            Ok(_) => Ok(Settable::Yes),
            Err(error) if [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
                Ok(Settable::Missing)
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(Settable::ReadOnly),
            Err(error) => Err(error).with_context(|| format!("cannot open {}", file.display())),
        }
    }
}

/// A value of ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Value {
    /// The value as the plugin has passed it.
    #[serde(rename = "value")]
    pub wanted: String,
    /// The value as the kernel shows it: `8080-8081` for `8080,8081`. `None` until it has been set: a process that is killed may have
    /// set it or not.
    stored: Option<String>,
}

impl Value {
    /// A value that has not been set yet.
    pub fn new(wanted: &str) -> Self {
        Self { wanted: wanted.to_owned(), stored: None }
    }

    /// This value, or `earlier` if that is the same, so what the kernel has stored is known.
    pub fn known_by(self, earlier: Option<&Self>) -> Self {
        let same = earlier.filter(|earlier| is_same(&earlier.wanted, &self.wanted));
        Self { stored: same.and_then(|earlier| earlier.stored.clone()), ..self }
    }

    /// Whether a value of the kernel, or of another plugin, is this one.
    pub fn is(&self, other: &str) -> bool {
        is_same(other, &self.wanted) || self.stored.as_deref().is_some_and(|stored| is_same(other, stored))
    }

    /// Whether a value of the kernel can be this one.
    pub fn can_be(&self, present: &str) -> bool {
        self.stored.is_none() || self.is(present)
    }

    /// The value as the kernel shows it, for a message.
    pub fn shown(&self) -> String {
        line(self.stored.as_ref().unwrap_or(&self.wanted))
    }
}

/// Whether a sysctl can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settable {
    /// It can.
    Yes,
    /// It does not exist here.
    Missing,
    /// The kernel does not allow it here.
    ReadOnly,
}

/// Whether the kernel reads two values as the same. It separates the words of a value by tabs, and shows numbers as decimals.
fn is_same(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split_whitespace(), other.split_whitespace());
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if one == other => {}
            (Some(one), Some(other)) if number(one).is_some_and(|value| number(other) == Some(value)) => {}
            _ => return false,
        }
    }
}

/// The value of a number, in the forms that the kernel reads: decimal, `0x` and hexadecimal, `0` and octal (strtoul_lenient in
/// kernel/sysctl.c).
fn number(word: &str) -> Option<i128> {
    let digits = word.strip_prefix('-').unwrap_or(word);
    let (digits, radix) = match (digits.strip_prefix("0x"), digits.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (digits, 10),
    };
    let value = i128::from(u64::from_str_radix(digits, radix).ok()?);
    Some(if word.starts_with('-') { -value } else { value })
}

/// A value with single blanks between its words, for a message.
pub fn line(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_separator_of_a_key_decides_about_dots_and_slashes() {
        for key in ["net.ipv4.conf.eth0/5.rp_filter", "net/ipv4/conf/eth0.5/rp_filter"] {
            let key: Key = key.parse().unwrap();
            assert_eq!(key.file(), PathBuf::from("/proc/sys/net/ipv4/conf/eth0.5/rp_filter"));
            assert_eq!(key.to_string(), "net.ipv4.conf.eth0/5.rp_filter");
        }
    }

    #[test]
    fn all_aliases_of_a_variable_are_the_same_key() {
        for (alias, key) in ALIASES {
            let parsed = [alias, key].map(|text| text.parse::<Key>().unwrap());
            assert_eq!(parsed[0], parsed[1]);
        }
        let default: Key = "net.ipv4.conf.default.forwarding".parse().unwrap();
        assert_eq!(default.to_string(), "net.ipv4.conf.default.forwarding");
    }

    #[test]
    fn forwarding_of_an_interface_is_set_by_that_of_all() {
        for (key, all) in [
            ("net/ipv4/conf/eth0.5/forwarding", Some("net.ipv4.ip_forward")),
            ("net/ipv6/conf/default/forwarding", Some("net.ipv6.conf.all.forwarding")),
            ("net/ipv6/conf/eth0/force_forwarding", Some("net.ipv6.conf.all.force_forwarding")),
            ("net/ipv6/conf/all/forwarding", None),
            ("net/ipv4/conf/eth0/rp_filter", None),
        ] {
            let of_all = key.parse::<Key>().unwrap().of_all_interfaces();
            assert_eq!(of_all.map(|key| key.to_string()).as_deref(), all, "{key}");
        }
    }

    #[test]
    fn a_key_cannot_leave_proc_sys() {
        for key in ["", "/", "/proc/sys/net/ipv4/ip_forward", "net/../kernel/x", "net..ipv4", "net.", "../x"]
        {
            assert!(key.parse::<Key>().is_err(), "{key}");
        }
    }

    #[test]
    fn values_that_the_kernel_reads_alike_are_the_same() {
        for (one, other) in
            [("0 1", "0\t1"), ("0x10", "16"), ("010", "8"), ("-1", "-0x1"), ("", " "), ("a", "a")]
        {
            assert!(is_same(one, other), "{one:?} {other:?}");
        }
        for (one, other) in [("1", "-1"), ("1 2", "1"), ("10", "010"), ("a", "A"), ("", "0")] {
            assert!(!is_same(one, other), "{one:?} {other:?}");
        }
    }
}
