//! Reads a tunnel from its settings, which can name a file of wg-quick(8).
//!
//! No error contains a private or preshared key.

use std::path::{Path, PathBuf};

use super::super::link::settings::Settings;
use super::config::{Config, Peer};
use super::value::{Parsed, endpoint, items, keepalive, public_key, secret};
use crate::name::address;
use crate::sys::file;

impl Config {
    /// Reads the settings, and the file, if there are no peers or keys in the settings. A setting replaces the value of the file.
    /// Errors: a line for each invalid value, `PLACE: MESSAGE`.
    pub fn read(root: &Path, settings: &Settings) -> Result<Self, Vec<String>> {
        let by_settings = settings.one("PRIVATE_KEY_FILE").is_some() || settings.one("PEERS").is_some();
        let (mut config, mut faults) = match settings.one("CONFIG") {
            _ if by_settings => Self::of_settings(root, settings),
            path => {
                let path = path.unwrap_or_default();
                let text = file::read(&below(root, path)).map_err(|error| {
                    vec![format!("{}: cannot read '{path}': {error}", settings.name("CONFIG"))]
                })?;
                let runs = settings.one("RUN_COMMANDS") == Some("yes");
                Self::parse(&String::from_utf8_lossy(&text), path, runs, &settings.name("RUN_COMMANDS"))
            }
        };
        for (key, set) in [
            ("LISTEN_PORT", Self::set_listen_port as fn(&mut Self, &str) -> Parsed<()>),
            ("FWMARK", Self::set_fwmark),
            ("TABLE", Self::set_table),
            ("DNS_SERVERS", Self::set_servers),
        ] {
            if let Some(Err(error)) = settings.one(key).map(|value| set(&mut config, value)) {
                faults.push(format!("{}: {error}", settings.name(key)));
            }
        }
        if by_settings && let Some(message) = config.shared_network() {
            faults.push(format!("{}: {message}", settings.name("PEERS")));
        }
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// Reads a tunnel from settings alone.
    fn of_settings(root: &Path, settings: &Settings) -> (Self, Vec<String>) {
        let mut config = Self::default();
        let mut faults = Vec::new();
        let path = settings.one("PRIVATE_KEY_FILE").ok_or_else(|| "is not set".to_owned());
        match path.and_then(|path| key_of_file(root, path)) {
            Ok(key) => config.private_key = key,
            Err(error) => faults.push(format!("{}: {error}", settings.name("PRIVATE_KEY_FILE"))),
        }
        for words in settings.all("PEERS") {
            match Peer::of_words(root, words) {
                Ok(peer) => config.peers.push(peer),
                Err(error) => faults.push(format!("{}: {error}", settings.name("PEERS"))),
            }
        }
        (config, faults)
    }
}

impl Peer {
    /// Reads a peer in the words of `wg set … peer`.
    fn of_words(root: &Path, words: &str) -> Parsed<Self> {
        let mut peer = Self::default();
        let mut words = words.split_whitespace();
        peer.public_key = public_key(words.next().unwrap_or_default())?;
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("'{word}' has no value"))?;
            match word {
                "preshared-key" => peer.preshared_key = Some(key_of_file(root, value)?),
                "endpoint" => peer.endpoint = Some(endpoint(value)?),
                "persistent-keepalive" => peer.keepalive = keepalive(value)?,
                "allowed-ips" => {
                    for item in items(value) {
                        peer.allowed.push(address::network(item)?);
                    }
                }
                _ => {
                    return Err(format!(
                        "unknown word '{word}': expected preshared-key FILE, endpoint HOST:PORT, persistent-keepalive SECONDS or \
                         allowed-ips NETWORK,…"
                    ));
                }
            }
        }
        Ok(peer)
    }
}

fn key_of_file(root: &Path, path: &str) -> Parsed<String> {
    let text = file::read(&below(root, path)).map_err(|error| format!("cannot read '{path}': {error}"))?;
    secret(String::from_utf8_lossy(&text).trim()).map_err(|error| format!("'{path}': {error}"))
}

/// A path of a setting, below the root of the machine.
pub fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}
