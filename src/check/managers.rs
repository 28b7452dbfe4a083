//! Reports interfaces of instances on the host that a network manager of the host configures.

use std::fs;

use anyhow::Result;

use super::Finding;
use crate::engine::Active;
use crate::library::Record;
use crate::name::Instance;
use crate::netlink;
use crate::paths::Paths;

/// Checks the interfaces of active instances.
/// Errors: the interfaces cannot be queried.
pub(super) fn check(
    paths: &Paths,
    active: &[Active],
    is_wanted: &dyn Fn(&Instance) -> bool,
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for instance in active.iter().map(|one| &one.instance).filter(|one| is_wanted(one)) {
        // Another finding reports a record that cannot be read.
        let Ok(record) = Record::read(paths, instance) else { continue };
        for ifname in record.host_links() {
            let Some(found) = netlink::link_named(&ifname)? else { continue };
            findings.extend(manager(paths, &ifname, found.index).map(|manager| {
                Finding::error(format!("{manager} configures interface '{ifname}'"))
                    .of(instance)
                    .advice(format!("docs/managers.md shows how {manager} leaves it alone"))
            }));
        }
    }
    Ok(findings)
}

/// The manager that configures an interface. Each one has a file for it in /run.
fn manager(paths: &Paths, ifname: &str, index: u32) -> Option<&'static str> {
    let read = |file: String| fs::read_to_string(paths.root.join("run").join(file)).unwrap_or_default();
    let has = |text: &str, wanted: &dyn Fn(&str) -> bool| text.lines().any(wanted);
    // The states of networkctl(1). The others mean that it has no file for the interface.
    let networkd = read(format!("systemd/netif/links/{index}"));
    if has(&networkd, &|line| {
        matches!(line, "ADMIN_STATE=configuring" | "ADMIN_STATE=configured" | "ADMIN_STATE=failed")
    }) {
        return Some("systemd-networkd");
    }
    // `connection-uuid` is the active profile.
    if has(&read(format!("NetworkManager/devices/{index}")), &|line| line.starts_with("connection-uuid=")) {
        return Some("NetworkManager");
    }
    has(&read("network/ifstate".to_owned()), &|line| line.split('=').next() == Some(ifname))
        .then_some("ifupdown")
}
