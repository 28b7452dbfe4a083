//! Reads the trace messages of nftables (nft(8), "trace"; net/netfilter/nf_tables_trace.c).

use std::io::ErrorKind;
use std::net::IpAddr;

use anyhow::{Context, Result};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::message::{self, Attributes};
use super::nftables::{self, NFTABLES};

/// `NFT_MSG_TRACE` and `NFNLGRP_NFTRACE`.
const TRACE: u16 = NFTABLES | 0x11;
const GROUP: u32 = 9;
// Attributes of a trace message (`enum nft_trace_attributes` in include/uapi/linux/netfilter/nf_tables.h).
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
/// `NF_DROP` and `NF_ACCEPT`.
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
/// Protocol numbers of ICMP and ICMPv6. An echo message has an identifier instead of ports.
const ICMP: [u8; 2] = [1, 58];

/// A step of a packet through the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The id of the packet, valid while the packet passes the rules.
    pub packet: u32,
    /// `ip`, `inet`, …
    pub family: &'static str,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The handle of the rule; `None` for the policy of the chain.
    pub rule: Option<u64>,
    /// The result of the step.
    pub decision: Decision,
    /// The header of the packet. The kernel sends it with the first step in each chain.
    pub header: Option<Header>,
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The packet is dropped.
    Drop,
    /// The chain accepts the packet.
    Accept,
    /// The next rule decides.
    Continue,
}

/// The fields that identify a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The protocol number: 6 for TCP.
    pub protocol: u8,
    /// The source address.
    pub from: IpAddr,
    /// The destination address.
    pub to: IpAddr,
    /// The source port; for an echo message, its identifier.
    pub from_port: u16,
    /// The destination port; for an echo message, its identifier.
    pub to_port: u16,
}

/// A socket that receives the trace messages of this namespace.
#[derive(Debug)]
pub struct Traces(Socket);

impl Traces {
    /// Subscribes to the trace messages.
    /// Errors: the kernel refuses.
    pub fn listen() -> Result<Self> {
        let socket = message::open(NETLINK_NETFILTER)?;
        socket.add_membership(GROUP).context("cannot subscribe to the traces of nftables")?;
        socket.set_non_blocking(true).context("cannot set up a netlink socket")?;
        Ok(Self(socket))
    }

    /// Reads the new steps; empty if there are none.
    /// Errors: the socket cannot be read.
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

/// Parses a trace message; `None` for other messages, and for unknown families.
fn step(message: &[u8]) -> Option<Step> {
    if message::kind(message)? != TRACE {
        return None;
    }
    let trace = nftables::attributes(message);
    let decided_by = trace.number(KIND)?;
    Some(Step {
        packet: trace.number(ID)?,
        family: nftables::family_name(message)?,
        table: trace.text(TABLE)?,
        chain: trace.text(CHAIN)?,
        rule: trace.long(HANDLE).filter(|_| decided_by == BY_RULE),
        decision: decision(decided_by, trace),
        header: trace.value(NETWORK).and_then(|network| header(network, trace.value(TRANSPORT)?)),
    })
}

/// Whether a rule or the policy drops or accepts the packet. After any other verdict, the next rule decides.
fn decision(decided_by: u32, trace: Attributes) -> Decision {
    let verdict = match decided_by {
        BY_RULE => trace.nested(VERDICT).and_then(|verdict| verdict.number(CODE)),
        BY_POLICY => trace.number(POLICY),
        _ => None,
    };
    match verdict {
        Some(DROP) => Decision::Drop,
        Some(ACCEPT) => Decision::Accept,
        _ => Decision::Continue,
    }
}

/// Parses the headers of a packet (RFC 791, RFC 8200, RFC 9293, RFC 768, RFC 792, RFC 4443).
fn header(network: &[u8], transport: &[u8]) -> Option<Header> {
    let four = |at: usize| network.get(at..)?.first_chunk::<4>().map(|bytes| IpAddr::from(*bytes));
    let six = |at: usize| network.get(at..)?.first_chunk::<16>().map(|bytes| IpAddr::from(*bytes));
    let (protocol, from, to) = match network.first()? >> 4 {
        4 => (*network.get(9)?, four(12)?, four(16)?),
        6 => (*network.get(6)?, six(8)?, six(24)?),
        _ => return None,
    };
    let port = |at: usize| transport.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
    let (from_port, to_port) =
        if ICMP.contains(&protocol) { (port(4)?, port(4)?) } else { (port(0)?, port(2)?) };
    Some(Header { protocol, from, to, from_port, to_port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_the_addresses_and_ports_of_the_packet() {
        let network = [0x45, 0, 0, 60, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        let found = header(&network, &[0x12, 0x34, 0, 80]).unwrap();
        assert_eq!((found.protocol, found.from_port, found.to_port), (6, 0x1234, 80));
        assert_eq!(found.to.to_string(), "192.0.2.2");
    }

    #[test]
    fn a_truncated_message_is_not_parsed() {
        for length in 0..64 {
            assert_eq!(step(&vec![0xff; length]), None);
            assert_eq!(header(&vec![0x45; length.min(19)], &[0; 8]), None);
        }
    }
}
