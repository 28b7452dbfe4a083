//! Sends queries of rtnetlink(7) and decodes the answers. A name may consist of any bytes.

use anyhow::Result;
use netlink_packet_core::{
    NLA_TYPE_MASK, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE,
    NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkAttribute;
use netlink_sys::protocols::NETLINK_ROUTE;

use super::message::{self, Attributes, HEADER, query};

/// Queries all objects of a kind.
pub(super) fn dump(message: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>> {
    exchange(message, NLM_F_REQUEST | NLM_F_DUMP)
}

/// Queries or changes a single object.
pub(super) fn request(message: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>> {
    exchange(message, NLM_F_REQUEST | NLM_F_ACK)
}

/// Creates an object. With `replaces`, an existing object is changed; without, it is an error.
pub(super) fn create(message: RouteNetlinkMessage, replaces: bool) -> Result<()> {
    let existing = if replaces { NLM_F_REPLACE } else { NLM_F_EXCL };
    exchange(message, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | existing).map(drop)
}

/// The bytes of a request that the kernel answers when it has finished.
pub(super) fn acknowledged(message: RouteNetlinkMessage) -> Vec<u8> {
    encode(message, NLM_F_REQUEST | NLM_F_ACK)
}

/// Adds an object to a list of objects with the same key.
pub(super) fn append(message: RouteNetlinkMessage) -> Result<()> {
    exchange(message, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_APPEND).map(drop)
}

fn exchange(message: RouteNetlinkMessage, flags: u16) -> Result<Vec<RouteNetlinkMessage>> {
    let mut answers = Vec::new();
    // An answer that cannot be decoded is not shown.
    query(NETLINK_ROUTE, &encode(message, flags), |answer| answers.extend(decode(answer)))?;
    Ok(answers)
}

fn encode(message: RouteNetlinkMessage, flags: u16) -> Vec<u8> {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Decodes an answer.
///
/// The kernel accepts any bytes in a name, but the decoder accepts only UTF-8. If it fails, the answer is decoded again without
/// names, so an invalid name cannot hide an interface or an address.
pub(super) fn decode(answer: &[u8]) -> Option<RouteNetlinkMessage> {
    decode_utf8(answer).or_else(|| {
        let (nameless, name) = without_names(answer)?;
        let mut decoded = decode_utf8(&nameless)?;
        if let RouteNetlinkMessage::NewLink(message) = &mut decoded {
            message.attributes.extend(name.map(LinkAttribute::IfName));
        }
        Some(decoded)
    })
}

fn decode_utf8(answer: &[u8]) -> Option<RouteNetlinkMessage> {
    match NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer).ok()?.payload {
        NetlinkPayload::InnerMessage(inner) => Some(inner),
        _ => None,
    }
}

/// `RTM_NEWLINK`, the length of `struct ifinfomsg`, and `IFLA_IFNAME`, `IFLA_IFALIAS` and `IFLA_PROP_LIST`
/// (include/uapi/linux/if_link.h).
const NEW_LINK: u16 = 16;
const LINK: usize = 16;
const LINK_NAME: u16 = 3;
const LINK_ALIAS: u16 = 20;
const LINK_OTHER_NAMES: u16 = 52;
/// `RTM_NEWADDR`, the length of `struct ifaddrmsg`, and `IFA_LABEL` (include/uapi/linux/if_addr.h).
const NEW_ADDRESS: u16 = 20;
const ADDRESS: usize = 8;
const ADDRESS_LABEL: u16 = 3;

/// Hides the names in an answer about an interface or an address: changes the kind of each name attribute to an unknown kind.
/// Returns the changed answer, and the name of the interface or the label of the address.
fn without_names(answer: &[u8]) -> Option<(Vec<u8>, Option<String>)> {
    let (length, names): (usize, &[u16]) = match message::kind(answer)? {
        NEW_LINK => (LINK, &[LINK_NAME, LINK_ALIAS, LINK_OTHER_NAMES]),
        NEW_ADDRESS => (ADDRESS, &[ADDRESS_LABEL]),
        _ => return None,
    };
    let mut at = HEADER + length;
    let name = Attributes(answer.get(at..)?).text(names[0]);
    let mut answer = answer.to_vec();
    while let Some(attribute) = answer.get_mut(at..).filter(|rest| rest.len() >= 4) {
        let length = usize::from(u16::from_ne_bytes([attribute[0], attribute[1]]));
        let kind = u16::from_ne_bytes([attribute[2], attribute[3]]);
        attribute.get(4..length)?;
        if names.contains(&(kind & NLA_TYPE_MASK)) {
            attribute[2..4].copy_from_slice(&NLA_TYPE_MASK.to_ne_bytes());
        }
        at += length.next_multiple_of(4);
    }
    Some((answer, name))
}
