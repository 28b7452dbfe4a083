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

/// An entry of a tunnel.
#[derive(Debug)]
pub struct FloodEntry {
    /// The receiver.
    pub address: IpAddr,
    attributes: Vec<NeighbourAttribute>,
}

impl FloodEntry {
    /// Whether the packets have the UDP port and the number of the tunnel. The kernel reports only others (`vxlan_fdb_info` in
    /// drivers/net/vxlan/vxlan_core.c).
    #[must_use]
    pub fn is_of_tunnel(&self) -> bool {
        use NeighbourAttribute::{Port, Vni};
        !self.attributes.iter().any(|attribute| matches!(attribute, Port(_) | Vni(_)))
    }
}

/// Lists the entries.
/// Errors: the netlink request fails.
pub fn flood_entries(index: u32) -> Result<Vec<FloodEntry>> {
    let mut query = NeighbourMessage::default();
    query.header.family = AddressFamily::Bridge;
    let answers = dump(RouteNetlinkMessage::GetNeighbour(query))?;
    let messages = answers.into_iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewNeighbour(message) if message.header.ifindex == index => Some(message),
        _ => None,
    });
    let is_flood = |message: &NeighbourMessage| {
        message.attributes.iter().any(
            |attribute| matches!(attribute, NeighbourAttribute::LinkLayerAddress(bytes) if *bytes == ZEROS),
        )
    };
    let entries = messages.filter(is_flood).filter_map(|message| {
        Some(FloodEntry { address: address(&message)?, attributes: message.attributes })
    });
    Ok(entries.collect())
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

/// Removes an entry.
/// Errors: the kernel refuses.
pub fn delete_flood_entry(index: u32, found: &FloodEntry) -> Result<()> {
    use NeighbourAttribute::{Destination, IfIndex, LinkLayerAddress, Port, SourceVni, Vni};
    let mut message = entry(index, found.address);
    message.attributes.clone_from(&found.attributes);
    message.attributes.retain(|attribute| {
        matches!(
            attribute,
            Destination(_) | LinkLayerAddress(_) | Port(_) | Vni(_) | SourceVni(_) | IfIndex(_)
        )
    });
    request(RouteNetlinkMessage::DelNeighbour(message)).map(drop)
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
