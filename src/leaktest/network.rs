//! A network that a namespace is in, as far as its addresses tell.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network that this namespace is in, and its own address there. Bits are counted from the top of 128, as in IPv6.
pub(super) struct Network {
    pub(super) own: IpAddr,
    prefix: u32,
}

impl Network {
    /// Reads `ADDRESS/PREFIX`.
    pub(super) fn of(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let network = Self { own: address.parse().ok()?, prefix: prefix.parse().ok()? };
        (network.prefix <= network.width()).then_some(network)
    }

    fn width(&self) -> u32 {
        if self.own.is_ipv4() { 32 } else { 128 }
    }

    fn mask(&self) -> u128 {
        let host = self.width() - self.prefix;
        if host == 128 { 0 } else { (u128::MAX >> (128 - self.width())) & (u128::MAX << host) }
    }

    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.own.is_ipv4() == address.is_ipv4() && bits(self.own) & self.mask() == bits(address) & self.mask()
    }

    /// The first address that a machine can have and none of these has.
    pub(super) fn first_other(&self, own: &[Self]) -> Option<IpAddr> {
        let host = self.width() - self.prefix;
        let base = bits(self.own) & self.mask();
        // In a network of two both are machines (RFC 3021, RFC 6164); else the first is no machine's.
        let first = u128::from(host > 1);
        let last = match host {
            0 => return None,
            1 => 1,
            _ => (1_u128 << host.min(127)) - 2,
        };
        (first..=last.min(first + 63))
            .map(|number| self.address(base + number))
            .find(|address| !own.iter().any(|network| network.own == *address))
    }

    fn address(&self, bits: u128) -> IpAddr {
        match u32::try_from(bits) {
            Ok(bits) if self.own.is_ipv4() => Ipv4Addr::from_bits(bits).into(),
            _ => Ipv6Addr::from_bits(bits).into(),
        }
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => four.to_bits().into(),
        IpAddr::V6(six) => six.to_bits(),
    }
}
