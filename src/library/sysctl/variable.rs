//! A sysctl that was set, which is found again under another name of its interface.

use std::fmt;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::key::Key;
use crate::netlink;

/// A variable of the kernel. One of an interface belongs to the index of the interface: that stays if the interface is renamed, and a new
/// interface of the same name has another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelVariable {
    /// The key when it was set.
    pub key: Key,
    /// The index of the interface; `None` without an interface, and in a record of an older version.
    #[serde(default)]
    index: Option<u32>,
}

impl fmt::Display for KernelVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

impl KernelVariable {
    /// The variable that has a key now, in the namespace of this thread.
    /// Errors: the kernel cannot be queried.
    pub fn of(key: &Key) -> Result<Self> {
        let link = key.ifname().map(netlink::link_named).transpose()?.flatten();
        Ok(Self { key: key.clone(), index: link.map(|link| link.index) })
    }

    /// The key that the variable has now, in the namespace of this thread; `None` if its interface does not exist any more.
    /// Errors: the kernel cannot be queried.
    pub fn present_key(&self) -> Result<Option<Key>> {
        let Some(index) = self.index else { return Ok(Some(self.key.clone())) };
        Ok(netlink::link_at(index)?.map(|link| self.key.with_ifname(&link.name)))
    }

    /// Whether both are the same variable of one namespace.
    pub fn is_same_as(&self, other: &Self) -> bool {
        match (self.index, other.index) {
            (Some(one), Some(two)) => one == two && self.key.with_ifname("") == other.key.with_ifname(""),
            _ => self.key == other.key,
        }
    }

    /// The name of a file of ours for this variable, with the index in place of the name of the interface. The name of an interface can
    /// contain a dot, but no colon (dev_valid_name in net/core/dev.c). So no interface has a name that begins with one.
    pub fn file_name(&self) -> String {
        let key = self.index.map(|index| self.key.with_ifname(&format!(":{index}")));
        key.as_ref().unwrap_or(&self.key).file_name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(key: &str, index: Option<u32>) -> KernelVariable {
        KernelVariable { key: key.parse().unwrap(), index }
    }

    #[test]
    fn a_variable_of_an_interface_belongs_to_the_index() {
        let eth0 = variable("net/ipv4/conf/eth0/forwarding", Some(2));
        for (key, index, same) in [
            ("net/ipv4/conf/wan0/forwarding", Some(2), true),
            ("net/ipv4/conf/eth0/forwarding", Some(3), false),
            ("net/ipv4/conf/eth0/rp_filter", Some(2), false),
            ("net/ipv6/conf/eth0/forwarding", Some(2), false),
        ] {
            let other = variable(key, index);
            assert_eq!(
                (eth0.is_same_as(&other), eth0.file_name() == other.file_name()),
                (same, same),
                "{key}"
            );
        }
        assert_eq!(eth0.file_name(), "net:ipv4:conf::2:forwarding");
        assert_eq!(variable("net/ipv4/conf/2/forwarding", None).file_name(), "net:ipv4:conf:2:forwarding");
    }

    #[test]
    fn a_record_of_an_older_version_belongs_to_the_name() {
        let old: KernelVariable = serde_json::from_str(r#"{"key":"net/ipv4/conf/eth0/forwarding"}"#).unwrap();
        assert!(old.is_same_as(&variable("net/ipv4/conf/eth0/forwarding", Some(2))));
        assert!(!old.is_same_as(&variable("net/ipv4/conf/wan0/forwarding", Some(2))));
    }
}
