//! Truncated and invalid output of other programs and of the kernel.

use jiff::Timestamp;
use systemd_netns::internals::engine::{self, Condition};
use systemd_netns::internals::explain;
use systemd_netns::internals::netlink;
use systemd_netns::internals::systemd::Properties;
use systemd_netns::internals::systemd::{self, messages};

/// The output of `systemctl show`, `systemctl list-units`, `journalctl --output=json` and `show.sh`.
pub fn listing(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for unit in Properties::parse(&text) {
        assert!(unit.id().lines().all(|id| text.contains(id)));
    }
    let loaded = systemd::parse(&text);
    for (unit, active) in engine::instances(&loaded) {
        assert!(unit.contains(&active.instance.to_string()) && active.condition != Condition::Down);
    }
    for unit in loaded {
        assert!(text.contains(&unit.name) && unit.nstype().is_none_or(|nstype| unit.name.contains(nstype)));
        assert!(unit.advice().contains(&unit.name));
    }
    for message in messages(&text, Timestamp::UNIX_EPOCH) {
        assert!(message == "(binary)" || message.len() <= text.len());
    }
    if let Ok(explained) = explain::parse(&text) {
        let variables = explained.variables.iter();
        let length: usize = variables.map(|variable| variable.name.len() + variable.value.len()).sum();
        assert!(length <= text.len());
    }
}

/// Netlink answers of the kernel.
pub fn netlink(bytes: &[u8]) {
    let mut length = 0;
    let result = netlink::for_each_answer(bytes, |answer| {
        length += answer.len();
        _ = netlink::parse_link(answer);
        _ = netlink::parse_policy(answer);
    });
    assert!(length <= bytes.len(), "{result:?}");
    // All bytes as a single answer, with any header.
    _ = netlink::parse_link(bytes);
    _ = netlink::parse_policy(bytes);
}

/// Valid netlink answers with some bytes replaced: each pair of bytes is a position and a value.
pub fn mutated_netlink(changes: &[u8]) {
    // An interface `lo` with a name, a hardware address, its kind and a state; then a chain with a policy.
    let mut bytes = b"\x54\0\0\0\x10\0\x02\0\x01\0\0\0\0\0\0\0\0\0\x01\0\x01\0\0\0\x49\0\0\0\0\0\0\0\x07\0\x03\0lo\0\0\x0a\0\x01\0\x02\0\0\0\0\x01\0\0\x08\0\x05\0\x02\0\0\0\x05\0\x10\0\x06\0\0\0\x10\0\x12\0\x09\0\x01\0veth\0\0\0\0\
        \x28\0\0\0\x03\x0a\x02\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x0a\0\x03\0input\0\0\0\x08\0\x05\0\0\0\0\0"
        .to_vec();
    let mut count = 0;
    assert!(!netlink::for_each_answer(&bytes, |_| count += 1).unwrap() && count == 2);
    for pair in changes.chunks_exact(2) {
        let length = bytes.len();
        bytes[usize::from(pair[0]) % length] = pair[1];
    }
    if changes.len() % 2 == 1 {
        bytes.truncate(usize::from(changes[changes.len() - 1]) % bytes.len());
    }
    netlink(&bytes);
}
