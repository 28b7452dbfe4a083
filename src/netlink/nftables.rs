//! Tables, chains and rules of nftables (include/uapi/linux/netfilter/nf_tables.h).

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Result;
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST};
use netlink_sys::protocols::NETLINK_NETFILTER;
use serde::Serialize;

use super::message::{Attributes, HEADER, query};

/// `NFNL_SUBSYS_NFTABLES`, in the upper byte of the message type.
pub(super) const NFTABLES: u16 = 10 << 8;
/// `NFT_MSG_GETTABLE`, `NFT_MSG_GETCHAIN` and `NFT_MSG_GETRULE`.
const GET_TABLE: u16 = NFTABLES | 1;
const GET_CHAIN: u16 = NFTABLES | 4;
const GET_RULE: u16 = NFTABLES | 7;
/// The length of `struct nfgenmsg`.
const GENERIC: usize = 4;
/// `NFTA_TABLE_NAME` to `NFTA_TABLE_USERDATA`, and `NFT_TABLE_F_DORMANT`.
const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
const TABLE_HANDLE: u16 = 4;
const TABLE_USERDATA: u16 = 6;
const DORMANT: u32 = 1;
/// `NFTA_CHAIN_TABLE` to `NFTA_CHAIN_TYPE`, and `NFTA_HOOK_HOOKNUM`, which is nested in a hook.
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
/// `NFTA_RULE_TABLE` and `NFTA_RULE_CHAIN`.
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
/// `NF_INET_LOCAL_IN` and `NF_INET_LOCAL_OUT`.
const LOCAL: [u32; 2] = [1, 3];
/// `NFTNL_UDATA_TABLE_COMMENT` (include/libnftnl/udata.h)
const COMMENT: u8 = 0;
/// `NFPROTO_INET`
const INET: u8 = 1;
/// `NFPROTO_INET`, `NFPROTO_IPV4` and `NFPROTO_IPV6`.
const IP_FAMILIES: [u8; 3] = [INET, 2, 10];
/// `NF_DROP`
const DROP: u32 = 0;

/// A summary of the nftables rules.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rules {
    /// The number of rules.
    pub count: usize,
    /// The policies of the base chains, in the order of the kernel.
    pub policies: Vec<Policy>,
}

/// Default policy of an nftables base chain.
#[derive(Clone, Debug, Serialize)]
pub struct Policy {
    /// The chain.
    pub chain: String,
    /// `accept` or `drop`.
    pub policy: &'static str,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.chain, self.policy)
    }
}

/// A base chain of type filter for IP packets, in a table that is not dormant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filter {
    family: u8,
    /// The table of the chain.
    pub table: String,
    chain: String,
    /// Whether the chain filters packets to or from processes of this namespace (hooks input and output).
    pub local: bool,
    drops: bool,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The name.
    pub name: String,
    /// The family, such as `inet`.
    pub family: &'static str,
    /// Identifies the table. A later table with the same name has another handle.
    pub handle: u64,
    /// The comment, or an empty string.
    pub comment: String,
    /// The flags (`NFT_TABLE_F_…`).
    pub flags: u32,
}

impl Table {
    /// Whether the kernel ignores the chains of the table.
    #[must_use]
    pub fn is_dormant(&self) -> bool {
        self.flags & DORMANT != 0
    }
}

/// Lists the tables in this namespace.
/// Errors: the netlink request fails.
pub fn tables() -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    dump(GET_TABLE, |answer| tables.extend(parse_table(answer)))?;
    Ok(tables)
}

/// Counts the nftables rules, and reads the policies of the base chains.
/// Errors: the netlink request fails.
pub fn rules() -> Result<Rules> {
    let mut rules = Rules::default();
    dump(GET_RULE, |_| rules.count += 1)?;
    dump(GET_CHAIN, |answer| rules.policies.extend(parse_policy(answer)))?;
    Ok(rules)
}

/// Lists the base chains that filter IP packets in this namespace.
/// Errors: the netlink request fails, or the kernel has no nf_tables.
pub fn filters() -> Result<Vec<Filter>> {
    let mut dormant = BTreeSet::new();
    dump(GET_TABLE, |answer| dormant.extend(parse_dormant_table(answer)))?;
    let mut filters = Vec::new();
    dump(GET_CHAIN, |answer| filters.extend(parse_filter(answer)))?;
    filters.retain(|filter: &Filter| !dormant.contains(&(filter.family, filter.table.clone())));
    Ok(filters)
}

/// Whether a packet could be dropped: a filter has a rule, or its policy is `drop`.
/// Errors: as for [`filters`].
pub fn filters_anything() -> Result<bool> {
    let filters = filters()?;
    let mut anything = filters.iter().any(|filter| filter.drops);
    dump(GET_RULE, |answer| anything |= filters.iter().any(|filter| has_rule(filter, answer)))?;
    Ok(anything)
}

/// Whether an answer of the kernel is about a rule in the chain of the filter.
fn has_rule(filter: &Filter, answer: &[u8]) -> bool {
    let rule = attributes(answer);
    family(answer) == Some(filter.family)
        && rule.text(RULE_TABLE).as_ref() == Some(&filter.table)
        && rule.text(RULE_CHAIN).as_ref() == Some(&filter.chain)
}

/// Parses the policy from an answer of the kernel about a chain; `None` for a chain without a policy.
#[must_use]
pub fn parse_policy(answer: &[u8]) -> Option<Policy> {
    let chain = attributes(answer);
    let policy = if chain.number(CHAIN_POLICY)? == DROP { "drop" } else { "accept" };
    Some(Policy { chain: chain.text(CHAIN_NAME)?, policy })
}

/// Parses an answer of the kernel about a chain; `None` if the chain does not filter IP packets.
fn parse_filter(answer: &[u8]) -> Option<Filter> {
    let chain = attributes(answer);
    let family = family(answer).filter(|family| IP_FAMILIES.contains(family))?;
    let hook = chain.nested(CHAIN_HOOK).and_then(|hook| hook.number(HOOK_NUMBER));
    let is_filter = chain.text(CHAIN_TYPE)? == "filter";
    Some(Filter {
        family,
        table: chain.text(CHAIN_TABLE)?,
        chain: chain.text(CHAIN_NAME)?,
        local: hook.is_some_and(|hook| LOCAL.contains(&hook)),
        drops: chain.number(CHAIN_POLICY) == Some(DROP),
    })
    .filter(|_| is_filter)
}

/// Parses an answer of the kernel about a table.
fn parse_table(answer: &[u8]) -> Option<Table> {
    let table = attributes(answer);
    Some(Table {
        name: table.text(TABLE_NAME)?,
        family: family_name(answer)?,
        handle: table.long(TABLE_HANDLE)?,
        comment: table.value(TABLE_USERDATA).and_then(parse_comment).unwrap_or_default(),
        flags: table.number(TABLE_FLAGS).unwrap_or_default(),
    })
}

/// Finds the comment in the data that nft(8) stores with a table: a type, a length and a value, several times.
fn parse_comment(mut data: &[u8]) -> Option<String> {
    loop {
        let ([kind, length], rest) = data.split_first_chunk()?;
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        if *kind == COMMENT {
            return Some(String::from_utf8_lossy(value.strip_suffix(b"\0").unwrap_or(value)).into_owned());
        }
        data = rest;
    }
}

/// Parses an answer of the kernel about a table. Returns the family and name of a dormant table; `None` for any other table.
fn parse_dormant_table(answer: &[u8]) -> Option<(u8, String)> {
    let table = attributes(answer);
    let is_dormant = table.number(TABLE_FLAGS)? & DORMANT != 0;
    Some((family(answer)?, table.text(TABLE_NAME)?)).filter(|_| is_dormant)
}

/// Queries all objects of a kind, in all families (`AF_UNSPEC`).
fn dump(kind: u16, on_answer: impl FnMut(&[u8])) -> Result<()> {
    let mut request = Vec::new();
    request.extend(20_u32.to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    request.extend([0; 8 + GENERIC]);
    query(NETLINK_NETFILTER, &request, on_answer)
}

/// The family in an answer: the field `nfgen_family`, one of the `NFPROTO_…` constants (include/uapi/linux/netfilter.h).
pub(super) fn family(answer: &[u8]) -> Option<u8> {
    answer.get(HEADER).copied()
}

/// The name of the family of an answer in nft(8).
pub(super) fn family_name(answer: &[u8]) -> Option<&'static str> {
    match family(answer)? {
        INET => Some("inet"),
        2 => Some("ip"),
        3 => Some("arp"),
        5 => Some("netdev"),
        7 => Some("bridge"),
        10 => Some("ip6"),
        _ => None,
    }
}

/// The attributes of an answer. They follow `struct nfgenmsg`.
pub(super) fn attributes(answer: &[u8]) -> Attributes<'_> {
    Attributes(answer.get(HEADER + GENERIC..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds an answer from attributes.
    fn answer(family: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes.extend([family, 0, 0, 0]);
        for (kind, value) in attributes {
            let length = u16::try_from(4 + value.len()).unwrap();
            bytes.extend(length.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(*value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn only_a_base_chain_of_type_filter_for_ip_is_a_filter() {
        let hook: &[u8] = &[8, 0, 1, 0, 0, 0, 0, 3];
        let chain = |family, kind| {
            parse_filter(&answer(
                family,
                &[
                    (CHAIN_TABLE, b"t\0"),
                    (CHAIN_NAME, b"c\0"),
                    (CHAIN_HOOK, hook),
                    (CHAIN_POLICY, &[0; 4]),
                    (CHAIN_TYPE, kind),
                ],
            ))
        };
        let filter =
            Filter { family: 1, table: "t".to_owned(), chain: "c".to_owned(), local: true, drops: true };
        assert_eq!(chain(1, b"filter\0"), Some(filter.clone()));
        assert_eq!((chain(5, b"filter\0"), chain(1, b"nat\0")), (None, None));
        let rule = |chain| answer(1, &[(RULE_TABLE, b"t\0"), (RULE_CHAIN, chain)]);
        assert!(has_rule(&filter, &rule(b"c\0")) && !has_rule(&filter, &rule(b"d\0")));
    }

    #[test]
    fn the_flag_of_a_table_marks_it_as_dormant() {
        let table = |flags: u8| {
            parse_dormant_table(&answer(2, &[(TABLE_NAME, b"t\0"), (TABLE_FLAGS, &[0, 0, 0, flags])]))
        };
        assert_eq!(table(3), Some((2, "t".to_owned())));
        assert_eq!(table(2), None);
    }

    #[test]
    fn the_comment_of_a_table_is_found_among_its_data() {
        let comment = |data: &[u8]| {
            let handle = 7_u64.to_be_bytes();
            parse_table(&answer(1, &[(TABLE_NAME, b"t\0"), (TABLE_HANDLE, &handle), (TABLE_USERDATA, data)]))
                .map(|table| (table.handle, table.comment))
        };
        assert_eq!(comment(b"\x05\x01x\x00\x03hi\0"), Some((7, "hi".to_owned())));
        for none in [b"".as_slice(), b"\x00", b"\x00\x09hi", b"\x01\x03hi\0"] {
            assert_eq!(comment(none), Some((7, String::new())), "{none:?}");
        }
    }
}
