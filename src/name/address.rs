//! Addresses in settings.

use std::net::IpAddr;

use ipnet::IpNet;

/// Parses a hardware address that an interface can have.
/// Errors: a message for the administrator.
pub fn mac(text: &str) -> Result<[u8; 6], String> {
    let bytes: Vec<u8> = text
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16).ok().filter(|_| byte.len() <= 2 && !byte.starts_with('+')))
        .collect::<Option<_>>()
        .ok_or_else(|| format!("invalid hardware address `{text}`"))?;
    let mac: [u8; 6] =
        bytes.try_into().map_err(|_| format!("invalid hardware address `{text}`: expected six bytes"))?;
    if mac[0] & 1 != 0 {
        // The lowest bit of the first byte (IEEE 802, "Individual/Group").
        return Err(format!(
            "invalid hardware address `{text}`: this is a multicast address; use an address that begins with 02:"
        ));
    }
    if mac == [0; 6] {
        return Err(format!("invalid hardware address `{text}`: an interface cannot have it"));
    }
    Ok(mac)
}

/// Parses `ADDRESS/PREFIX`, or an address alone. An address alone has the prefix length 32 (IPv4) or 128 (IPv6).
/// Errors: a message for the administrator.
pub fn network(text: &str) -> Result<IpNet, String> {
    let (address, prefix) =
        text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().map_err(|_| format!("invalid IP address `{text}`"))?;
    let alone = IpNet::from(address);
    let with = |prefix: &str| IpNet::new(address, prefix.parse().ok()?).ok();
    prefix.map_or(Some(alone), with).ok_or_else(|| {
        format!(
            "invalid address `{text}`: the length of the prefix must be at most {}",
            alone.max_prefix_len()
        )
    })
}
