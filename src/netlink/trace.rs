//! What nftables does with packets that are traced (nft(8), "trace"; net/netfilter/nf_tables_trace.c).

use std::io::ErrorKind;
use std::net::IpAddr;

use anyhow::{Context, Result};
use netlink_packet_core::NlasIterator;
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::{GENERIC, GET_TABLE, HEADER, NFTABLES, TABLE_NAME, ask, nftables};

use crate::print::escape;

/// `NFT_MSG_TRACE` and `NFNLGRP_NFTRACE`.
const TRACE: u16 = NFTABLES + 17;
const GROUP: u32 = 9;
/// `NFTA_TRACE_…`
const TABLE: u16 = 1;
const CHAIN: u16 = 2;
const HANDLE: u16 = 3;
const KIND: u16 = 4;
const VERDICT: u16 = 5;
const ID: u16 = 6;
const NETWORK: u16 = 8;
const TRANSPORT: u16 = 9;
const POLICY: u16 = 16;
/// `NFT_TRACETYPE_POLICY` and `NFT_TRACETYPE_RULE`, `NFTA_VERDICT_CODE`.
const BY_POLICY: u32 = 1;
const BY_RULE: u32 = 3;
const CODE: u16 = 1;

/// One step of a packet through the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which packet it is, for as long as it is in the rules.
    pub packet: u32,
    /// `ip`, `inet`, …
    pub family: &'static str,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The number of the rule; `None` for the policy of the chain.
    pub rule: Option<u64>,
    /// What it came to.
    pub decision: Decision,
    /// The packet, with the first step in each chain.
    pub header: Option<Header>,
}

/// What a step comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The packet goes no further.
    Drop,
    /// It passes this chain.
    Accept,
    /// The next rule is asked.
    Continue,
}

/// What tells a packet from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The number of the protocol: 6 for TCP.
    pub protocol: u8,
    /// Where it is from.
    pub from: IpAddr,
    /// Where it goes.
    pub to: IpAddr,
    /// The port that it is from; of an echo, its number.
    pub from_port: u16,
    /// The port that it goes to; of an echo, its number.
    pub to_port: u16,
}

/// The names of the tables of this namespace.
///
/// # Errors
/// The kernel does not answer.
pub fn tables() -> Result<Vec<String>> {
    let mut names = Vec::new();
    ask(NETLINK_NETFILTER, &nftables(GET_TABLE), |answer| {
        let name = attributes(answer).find(|(kind, _)| *kind == TABLE_NAME);
        names.extend(name.map(|(_, value)| text(&value)));
    })?;
    Ok(names)
}

/// The traces of this namespace.
#[derive(Debug)]
pub struct Traces(Socket);

impl Traces {
    /// Begins to listen.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn listen() -> Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER).context("cannot open a netlink socket")?;
        socket.bind_auto().context("cannot bind a netlink socket")?;
        socket.add_membership(GROUP).context("cannot listen to the traces of nftables")?;
        socket.set_non_blocking(true).context("cannot set up a netlink socket")?;
        Ok(Self(socket))
    }

    /// The steps that have come since; none where there is nothing new.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn read(&self) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        loop {
            match self.0.recv_from_full() {
                Ok((message, _)) => steps.extend(step(&message)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(steps),
                Err(error) => return Err(error).context("cannot read the traces of nftables"),
            }
        }
    }
}

fn attributes(message: &[u8]) -> impl Iterator<Item = (u16, Vec<u8>)> {
    let body = message.get(HEADER + GENERIC..).unwrap_or_default();
    NlasIterator::new(body).flatten().map(|attribute| (attribute.kind(), attribute.value().to_vec()))
}

fn text(value: &[u8]) -> String {
    escape::text(value).trim_end_matches('\0').to_owned()
}

fn number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

/// Reads one message; `None` for what is no trace, or none that is known.
fn step(message: &[u8]) -> Option<Step> {
    if u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?) != TRACE {
        return None;
    }
    // NFPROTO_… (include/uapi/linux/netfilter.h)
    let family = match message.get(HEADER)? {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => return None,
    };
    let (mut table, mut chain, mut rule, mut kind, mut code, mut policy) =
        (None, None, None, None, None, None);
    let (mut packet, mut network, mut transport) = (None, Vec::new(), Vec::new());
    for (attribute, value) in attributes(message) {
        match attribute {
            TABLE => table = Some(text(&value)),
            CHAIN => chain = Some(text(&value)),
            HANDLE => rule = value.as_slice().try_into().ok().map(u64::from_be_bytes),
            KIND => kind = number(&value),
            ID => packet = number(&value),
            POLICY => policy = number(&value),
            NETWORK => network = value,
            TRANSPORT => transport = value,
            VERDICT => {
                let nested =
                    NlasIterator::new(value.as_slice()).flatten().find(|nested| nested.kind() == CODE);
                code = nested.and_then(|nested| number(nested.value()));
            }
            _ => {}
        }
    }
    let decision = match kind? {
        BY_RULE => code,
        BY_POLICY => policy,
        _ => None,
    };
    Some(Step {
        packet: packet?,
        family,
        table: table?,
        chain: chain?,
        rule: rule.filter(|_| kind == Some(BY_RULE)),
        // NF_DROP and NF_ACCEPT; the others lead on.
        decision: match decision {
            Some(0) => Decision::Drop,
            Some(1) => Decision::Accept,
            _ => Decision::Continue,
        },
        header: header(&network, &transport),
    })
}

/// Reads the beginning of a packet (RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 792, RFC 4443).
fn header(network: &[u8], transport: &[u8]) -> Option<Header> {
    let address = |from: usize, length: usize| {
        let bytes = network.get(from..from + length)?;
        match length {
            4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
            _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        }
    };
    let (protocol, from, to) = match network.first()? >> 4 {
        4 => (*network.get(9)?, address(12, 4)?, address(16, 4)?),
        6 => (*network.get(6)?, address(8, 16)?, address(24, 16)?),
        _ => return None,
    };
    let port = |at: usize| transport.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes);
    let (from_port, to_port) =
        if [1, 58].contains(&protocol) { (port(4)?, port(4)?) } else { (port(0)?, port(2)?) };
    Some(Header { protocol, from, to, from_port, to_port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_told_by_addresses_and_ports() {
        let network = [0x45, 0, 0, 60, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        let found = header(&network, &[0x12, 0x34, 0, 80]).unwrap();
        assert_eq!((found.protocol, found.from_port, found.to_port), (6, 0x1234, 80));
        assert_eq!(found.to.to_string(), "192.0.2.2");
    }

    #[test]
    fn what_is_cut_short_is_no_trace() {
        for length in 0..64 {
            assert_eq!(step(&vec![0xff; length]), None);
            assert_eq!(header(&vec![0x45; length.min(19)], &[0; 8]), None);
        }
    }
}
