//! Parses single values of a tunnel: keys, endpoints, numbers, lists.

use std::net::SocketAddr;

use super::config::Endpoint;

/// The result of reading a value: an error is the end of a message.
pub type Parsed<Value> = Result<Value, String>;

/// The items of a list, which are separated by commas or white space.
pub fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split([',', ' ', '\t']).filter(|item| !item.is_empty())
}

pub fn number(value: &str, min: u32, max: u32) -> Parsed<u32> {
    let found = value.parse().ok().filter(|number| (min..=max).contains(number));
    found.ok_or_else(|| format!("'{value}': expected a number from {min} to {max}"))
}

pub fn keepalive(value: &str) -> Parsed<u16> {
    if value == "off" {
        return Ok(0);
    }
    let seconds = number(value, 0, 65535).map_err(|error| format!("{error} seconds, or off"))?;
    u16::try_from(seconds).map_err(|error| error.to_string())
}

/// Whether a text is a key: 32 bytes in base64. The last character before `=` has four bits of the key and two zero bits.
fn is_key(text: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    text.len() == 44
        && text.ends_with('=')
        && text.bytes().take(43).all(is_base64)
        && b"AEIMQUYcgkosw048".contains(&text.as_bytes()[42])
}

pub fn public_key(value: &str) -> Parsed<String> {
    let expected =
        || format!("'{value}' is not a key: expected 44 characters of base64, as `wg pubkey` prints them");
    is_key(value).then(|| value.to_owned()).ok_or_else(expected)
}

/// A key that no message may contain.
pub fn secret(value: &str) -> Parsed<String> {
    let expected = || {
        format!(
            "the value is not a key ({} characters): expected 44 characters of base64, as `wg genkey` prints them",
            value.chars().count()
        )
    };
    is_key(value).then(|| value.to_owned()).ok_or_else(expected)
}

pub fn endpoint(value: &str) -> Parsed<Endpoint> {
    let expected = || {
        format!(
            "'{value}': expected HOST:PORT, such as vpn.example.org:51820, 192.0.2.1:51820 or [2001:db8::1]:51820"
        )
    };
    if let Ok(address) = value.parse::<SocketAddr>() {
        return if address.port() == 0 { Err(expected()) } else { Ok(Endpoint::Address(address)) };
    }
    let (host, port) = value.rsplit_once(':').ok_or_else(expected)?;
    let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(expected)?;
    // The last label of a name is not a number: `192.0.2.300` is an invalid address.
    let is_name = is_host(host) && host.rsplit('.').next().is_none_or(|label| label.parse::<u64>().is_err());
    if is_name { Ok(Endpoint::Name(host.to_owned(), port)) } else { Err(expected()) }
}

/// Whether a text can be the name of a host.
pub fn is_host(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
