//! What a host needs to forward packets: sysctls, and rules that drop what it did not forward before.

use std::collections::BTreeSet;

use anyhow::Result;

use super::FoundLink;

/// The mark of a packet that an instance passes. A packet has it only between the first and the last of the three priorities, so other
/// programs do not see it. If a program uses this bit itself, it is lost there.
const MARK: u32 = 0x1000_0000;

/// The sysctl that lets a host forward IPv4 on all interfaces.
const ALL_IPV4: &str = "net/ipv4/conf/all/forwarding";
/// The same for IPv6.
const ALL_IPV6: &str = "net/ipv6/conf/all/forwarding";

/// What a host needs to forward packets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ForwardPlan {
    /// `KEY=VALUE`
    pub(super) sysctls: Vec<String>,
    /// nftables rules that match the packets which the host did not forward before.
    new: Vec<String>,
    /// The sets of nftables in these rules.
    sets: Vec<String>,
    /// The sysctls without which the host is not a router, so that the rules are needed.
    pub(super) off: Vec<&'static str>,
    /// Whether a rule matches all interfaces, also those that appear later.
    pub(super) everywhere: bool,
}

impl ForwardPlan {
    /// Plans the forwarding of packets that arrive on `interfaces`. `before` returns the values of sysctls before the first instance.
    pub(super) fn of(
        interfaces: &[FoundLink],
        uplinks: &[String],
        before: impl Fn(&str) -> Result<Option<String>>,
    ) -> Result<Self> {
        let mut plan = Self::default();
        let is = |key: &str, value: &str| Ok::<_, anyhow::Error>(before(key)?.as_deref() == Some(value));
        let mut new = Vec::new();
        for FoundLink { name, index } in interfaces {
            let key = format!("net/ipv4/conf/{name}/forwarding");
            if !is(ALL_IPV4, "1")? && !is(&key, "1")? {
                new.push(*index);
            }
            plan.sysctls.push(format!("{key}=1"));
        }
        plan.add_new("ipv4", ALL_IPV4, &new);
        if before(ALL_IPV6)?.is_none() {
            return Ok(plan); // the kernel has no IPv6
        }
        if before("net/ipv6/conf/default/force_forwarding")?.is_none() {
            plan.add_ipv6_of_host(interfaces, uplinks, is)?;
            return Ok(plan);
        }
        let mut new = Vec::new();
        for FoundLink { name, index } in interfaces {
            let key = format!("net/ipv6/conf/{name}/force_forwarding");
            let Some(value) = before(&key)? else { continue };
            if !is(ALL_IPV6, "1")? && value == "0" {
                new.push(*index);
            }
            plan.sysctls.push(format!("{key}=1"));
        }
        plan.add_new("ipv6", ALL_IPV6, &new);
        Ok(plan)
    }

    /// Forwards IPv6 on all interfaces: the kernel has no setting of one interface before version 6.17. A host that forwards accepts
    /// router advertisements only with the value 2, and loses its default route otherwise (`accept_ra` in ip-sysctl.rst). So this is
    /// set first, also for interfaces that appear later.
    fn add_ipv6_of_host(
        &mut self,
        interfaces: &[FoundLink],
        uplinks: &[String],
        is: impl Fn(&str, &str) -> Result<bool>,
    ) -> Result<()> {
        let all: BTreeSet<&str> = interfaces
            .iter()
            .map(|link| &link.name)
            .chain(uplinks)
            .map(String::as_str)
            .chain(["default"])
            .collect();
        for ifname in all {
            let key = format!("net/ipv6/conf/{ifname}/accept_ra");
            if is(&key, "1")? {
                self.sysctls.push(format!("{key}=2"));
            }
        }
        self.sysctls.push(format!("{ALL_IPV6}=1"));
        if !is(ALL_IPV6, "1")? {
            self.new.push("meta nfproto ipv6".to_owned());
            self.off.push(ALL_IPV6);
            self.everywhere = true;
        }
        Ok(())
    }

    /// Records the indices of the interfaces whose packets the host did not forward. An interface that is renamed keeps its index and its
    /// sysctls.
    fn add_new(&mut self, family: &str, all: &'static str, indices: &[u32]) {
        if !indices.is_empty() {
            let elements: Vec<String> = indices.iter().map(u32::to_string).collect();
            self.off.push(all);
            self.new.push(format!("meta nfproto {family} iif @others_{family}"));
            self.sets.push(format!(
                "set others_{family} {{ type iface_index; elements = {{ {} }}; }}\n",
                elements.join(", ")
            ));
        }
    }

    /// The sets and chains of the table. `bridges` are those of the host: with br_netfilter, the frames between two ports of a bridge pass the
    /// hook `forward`, as if they had arrived on the bridge and left by it (br_nf_forward_ip in net/bridge/br_netfilter_hooks.c).
    pub(super) fn chains(&self, bridges: &[String]) -> String {
        let mut chains = self.sets.concat();
        chains += &format!(
            "chain pass {{ meta mark set meta mark | {MARK:#x}; }}\n\
             chain others {{\n\
             type filter hook forward priority filter - 12; policy accept;\n\
             meta mark & {MARK:#x} != 0 accept;\n"
        );
        if !self.new.is_empty() {
            chains.extend(
                bridges.iter().map(|name| format!("iifname \"{name}\" oifname \"{name}\" accept;\n")),
            );
        }
        chains.extend(self.new.iter().map(|new| format!("{new} drop;\n")));
        chains
            + &format!(
                "}}\n\
                 chain passed {{\n\
                 type filter hook forward priority filter - 11; policy accept;\n\
                 meta mark set meta mark & {:#x};\n\
                 }}\n",
                !MARK
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plans for a host with these sysctls.
    fn plan(interfaces: &[&str], values: &[(&str, &str)]) -> ForwardPlan {
        let before = |key: &str| {
            let found = values.iter().find(|(known, _)| *known == key);
            Ok(found.map(|(_, value)| (*value).to_owned()))
        };
        let link = |(index, ifname): (u32, &&str)| FoundLink { name: (*ifname).to_owned(), index };
        let interfaces: Vec<FoundLink> = (2..).zip(interfaces).map(link).collect();
        ForwardPlan::of(&interfaces, &["eth1".to_owned()], before).unwrap()
    }

    #[test]
    fn only_what_the_host_did_not_forward_is_dropped() {
        let both = ["net/ipv4/conf/eth0/forwarding=1", "net/ipv4/conf/ve0/forwarding=1"];
        let host = plan(&["eth0", "ve0"], &[(ALL_IPV4, "0")]);
        assert_eq!(host.sysctls, both);
        assert_eq!(host.new, ["meta nfproto ipv4 iif @others_ipv4"]);
        assert_eq!(host.sets, ["set others_ipv4 { type iface_index; elements = { 2, 3 }; }\n"]);
        assert_eq!((&host.off[..], host.everywhere), (&[ALL_IPV4][..], false));
        let one = plan(&["eth0", "ve0"], &[(ALL_IPV4, "0"), ("net/ipv4/conf/eth0/forwarding", "1")]);
        assert_eq!(
            (one.sysctls.len(), one.sets),
            (2, vec!["set others_ipv4 { type iface_index; elements = { 3 }; }\n".to_owned()])
        );
        let router = plan(&["eth0", "ve0"], &[(ALL_IPV4, "1")]);
        assert_eq!((router.sysctls.len(), router.new.len(), router.off.len()), (2, 0, 0));
    }

    #[test]
    fn frames_within_a_bridge_pass_before_the_drops() {
        let bridges = ["br0".to_owned()];
        let host = plan(&["br0"], &[(ALL_IPV4, "0")]).chains(&bridges);
        let [passes, drops] =
            ["iifname \"br0\" oifname \"br0\" accept;", "drop;"].map(|rule| host.find(rule).unwrap());
        assert!(passes < drops);
        assert!(!plan(&["br0"], &[(ALL_IPV4, "1")]).chains(&bridges).contains("br0"));
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
        assert_eq!(with("0").new, ["meta nfproto ipv6 iif @others_ipv6"]);
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
                ("net/ipv6/conf/default/accept_ra", "1"),
            ],
        );
        assert_eq!(
            host.sysctls[1..],
            [
                "net/ipv6/conf/default/accept_ra=2",
                "net/ipv6/conf/eth1/accept_ra=2",
                "net/ipv6/conf/all/forwarding=1"
            ]
        );
        assert_eq!(host.new, ["meta nfproto ipv6"]);
        assert!(host.everywhere);
    }
}
