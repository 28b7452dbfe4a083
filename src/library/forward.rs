//! `host_forward`: lets the host forward packets of an instance, and no other packets.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::{Result, ensure};

use super::{Call, sysctl};
use crate::netlink;
use crate::paths::Paths;
use crate::print;

/// The mark of a packet that an instance passes. A packet has it only between the first and the last of the three priorities, so other
/// programs do not see it. If a program uses this bit itself, it is lost there.
const MARK: u32 = 0x1000_0000;

/// The sysctl that lets a host forward IPv4 on all interfaces.
const ALL_IPV4: &str = "net/ipv4/conf/all/forwarding";
/// The same for IPv6.
const ALL_IPV6: &str = "net/ipv6/conf/all/forwarding";

/// What a host needs to forward packets.
#[derive(Debug, Default, PartialEq, Eq)]
struct Forwarding {
    /// `KEY=VALUE`
    sysctls: Vec<String>,
    /// nftables rules that match the packets which the host did not forward before.
    new: Vec<String>,
}

/// `host_forward`: sets the sysctls of the host, and prints chains for the table of the instance.
/// Arguments: IFNAME...
/// Errors: there is no argument, or a sysctl cannot be set.
pub fn set(call: &Call, arguments: &[&str]) -> Result<()> {
    ensure!(!arguments.is_empty(), "expected the names of interfaces of the host");
    let plan = {
        let _host = call.enter_host()?;
        Forwarding::of(arguments, &uplinks()?, |key| before(call.paths, key))?
    };
    let words: Vec<&str> = ["--host"].into_iter().chain(plan.sysctls.iter().map(String::as_str)).collect();
    sysctl::set(call, &words)?;
    print::say(plan.chains().trim_end());
    Ok(())
}

/// The interfaces with a default route, in the namespace of this thread.
fn uplinks() -> Result<Vec<String>> {
    let routes = netlink::routes()?;
    let indices: BTreeSet<u32> =
        routes.iter().filter(|route| route.destination == "default").filter_map(|route| route.link).collect();
    let links = netlink::links()?.into_iter().filter(|link| indices.contains(&link.index));
    Ok(links.map(|link| link.name).collect())
}

/// The value of a sysctl before the first instance has set it; `None` if it does not exist.
fn before(paths: &Paths, key: &str) -> Result<Option<String>> {
    sysctl::value_before(paths, &key.parse()?)
}

impl Forwarding {
    /// Plans the forwarding of packets that arrive on `interfaces`. `before` returns the values of sysctls before the first instance.
    fn of(
        interfaces: &[&str],
        uplinks: &[String],
        before: impl Fn(&str) -> Result<Option<String>>,
    ) -> Result<Self> {
        let mut plan = Self::default();
        let is = |key: &str, value: &str| Ok::<_, anyhow::Error>(before(key)?.as_deref() == Some(value));
        let mut new = Vec::new();
        for ifname in interfaces {
            let key = format!("net/ipv4/conf/{ifname}/forwarding");
            if !is(ALL_IPV4, "1")? && !is(&key, "1")? {
                new.push(*ifname);
            }
            plan.sysctls.push(format!("{key}=1"));
        }
        plan.add_new("ipv4", &new);
        if before(ALL_IPV6)?.is_none() {
            return Ok(plan); // the kernel has no IPv6
        }
        if before("net/ipv6/conf/default/force_forwarding")?.is_none() {
            plan.add_ipv6_of_host(interfaces, uplinks, is)?;
            return Ok(plan);
        }
        let mut new = Vec::new();
        for ifname in interfaces {
            let key = format!("net/ipv6/conf/{ifname}/force_forwarding");
            let Some(value) = before(&key)? else { continue };
            if !is(ALL_IPV6, "1")? && value == "0" {
                new.push(*ifname);
            }
            plan.sysctls.push(format!("{key}=1"));
        }
        plan.add_new("ipv6", &new);
        Ok(plan)
    }

    /// Forwards IPv6 on all interfaces: the kernel has no setting of one interface before version 6.17. A host that forwards accepts
    /// router advertisements only with the value 2, and loses its default route otherwise (`accept_ra` in ip-sysctl.rst). So this is
    /// set first.
    fn add_ipv6_of_host(
        &mut self,
        interfaces: &[&str],
        uplinks: &[String],
        is: impl Fn(&str, &str) -> Result<bool>,
    ) -> Result<()> {
        let all: BTreeSet<&str> =
            interfaces.iter().copied().chain(uplinks.iter().map(String::as_str)).collect();
        for ifname in all {
            let key = format!("net/ipv6/conf/{ifname}/accept_ra");
            if is(&key, "1")? {
                self.sysctls.push(format!("{key}=2"));
            }
        }
        self.sysctls.push(format!("{ALL_IPV6}=1"));
        if !is(ALL_IPV6, "1")? {
            self.new.push("meta nfproto ipv6".to_owned());
        }
        Ok(())
    }

    /// Records the interfaces whose packets the host did not forward.
    fn add_new(&mut self, family: &str, interfaces: &[&str]) {
        if !interfaces.is_empty() {
            self.new.push(format!("meta nfproto {family} iifname {{ \"{}\" }}", interfaces.join("\", \"")));
        }
    }

    /// The chains of the table.
    fn chains(&self) -> String {
        let mut chains = format!(
            "chain pass {{ meta mark set meta mark | {MARK:#x}; }}\n\
             chain others {{\n\
             type filter hook forward priority filter - 12; policy accept;\n\
             meta mark & {MARK:#x} != 0 accept;\n\
             ct status dnat accept;\n"
        );
        for new in &self.new {
            writeln!(chains, "{new} drop;").expect("writing to a String cannot fail");
        }
        write!(
            chains,
            "}}\n\
             chain passed {{\n\
             type filter hook forward priority filter - 11; policy accept;\n\
             meta mark set meta mark & {:#x};\n\
             }}\n",
            !MARK
        )
        .expect("writing to a String cannot fail");
        chains
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plans for a host with these sysctls.
    fn plan(interfaces: &[&str], values: &[(&str, &str)]) -> Forwarding {
        let before = |key: &str| {
            let found = values.iter().find(|(known, _)| *known == key);
            Ok(found.map(|(_, value)| (*value).to_owned()))
        };
        Forwarding::of(interfaces, &["eth1".to_owned()], before).unwrap()
    }

    #[test]
    fn only_what_the_host_did_not_forward_is_dropped() {
        let both = ["net/ipv4/conf/eth0/forwarding=1", "net/ipv4/conf/ve0/forwarding=1"];
        let host = plan(&["eth0", "ve0"], &[(ALL_IPV4, "0")]);
        assert_eq!(host.sysctls, both);
        assert_eq!(host.new, ["meta nfproto ipv4 iifname { \"eth0\", \"ve0\" }"]);
        let one = plan(&["eth0", "ve0"], &[(ALL_IPV4, "0"), ("net/ipv4/conf/eth0/forwarding", "1")]);
        assert_eq!(
            (one.sysctls.len(), one.new),
            (2, vec!["meta nfproto ipv4 iifname { \"ve0\" }".to_owned()])
        );
        let router = plan(&["eth0", "ve0"], &[(ALL_IPV4, "1")]);
        assert_eq!((router.sysctls.len(), router.new.len()), (2, 0));
    }

    #[test]
    fn ipv6_is_forwarded_on_single_interfaces_if_the_kernel_can() {
        let with = |all| {
            plan(
                &["ve0"],
                &[
                    (ALL_IPV4, "1"),
                    (ALL_IPV6, all),
                    ("net/ipv6/conf/default/force_forwarding", "0"),
                    ("net/ipv6/conf/ve0/force_forwarding", "0"),
                ],
            )
        };
        assert_eq!(with("0").sysctls[1..], ["net/ipv6/conf/ve0/force_forwarding=1"]);
        assert_eq!(with("0").new, ["meta nfproto ipv6 iifname { \"ve0\" }"]);
        assert!(with("1").new.is_empty());
    }

    #[test]
    fn a_host_that_forwards_ipv6_keeps_its_router_advertisements() {
        let host = plan(
            &["ve0"],
            &[
                (ALL_IPV4, "1"),
                (ALL_IPV6, "0"),
                ("net/ipv6/conf/ve0/accept_ra", "0"),
                ("net/ipv6/conf/eth1/accept_ra", "1"),
            ],
        );
        assert_eq!(host.sysctls[1..], ["net/ipv6/conf/eth1/accept_ra=2", "net/ipv6/conf/all/forwarding=1"]);
        assert_eq!(host.new, ["meta nfproto ipv6"]);
    }
}
