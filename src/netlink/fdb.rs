//! The addresses to which a tunnel sends frames for several or unknown receivers: the entries of its forwarding database for the
//! hardware address of zeros (bridge(8), "bridge fdb").

use std::net::IpAddr;

use anyhow::Result;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::rtnetlink::{append, dump, request};

const ZEROS: [u8; 6] = [0; 6];

/// Lists the addresses.
/// Errors: the netlink request fails.
pub fn flood_addresses(index: u32) -> Result<Vec<IpAddr>> {
    let mut query = NeighbourMessage::default();
    query.header.family = AddressFamily::Bridge;
    let answers = dump(RouteNetlinkMessage::GetNeighbour(query))?;
    let entries = answers.iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewNeighbour(message) if message.header.ifindex == index => Some(message),
        _ => None,
    });
    let is_flood = |entry: &&NeighbourMessage| {
        entry.attributes.iter().any(
            |attribute| matches!(attribute, NeighbourAttribute::LinkLayerAddress(bytes) if *bytes == ZEROS),
        )
    };
    Ok(entries.filter(is_flood).filter_map(address).collect())
}

/// The address of an entry. The decoder does not know its family.
fn address(entry: &NeighbourMessage) -> Option<IpAddr> {
    entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Other(bytes)) => {
            let ipv4 = <[u8; 4]>::try_from(bytes.as_slice()).map(IpAddr::from);
            ipv4.or_else(|_| <[u8; 16]>::try_from(bytes.as_slice()).map(IpAddr::from)).ok()
        }
        _ => None,
    })
}

/// Adds an address.
/// Errors: the kernel refuses.
pub fn add_flood_address(index: u32, to: IpAddr) -> Result<()> {
    append(RouteNetlinkMessage::NewNeighbour(entry(index, to)))
}

/// Removes an address.
/// Errors: the kernel refuses.
pub fn delete_flood_address(index: u32, to: IpAddr) -> Result<()> {
    request(RouteNetlinkMessage::DelNeighbour(entry(index, to))).map(drop)
}

fn entry(index: u32, to: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.header.flags = NeighbourFlags::Own;
    message.attributes = vec![
        NeighbourAttribute::Destination(to.into()),
        NeighbourAttribute::LinkLayerAddress(ZEROS.to_vec()),
    ];
    message
}
