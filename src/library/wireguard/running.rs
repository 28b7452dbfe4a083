//! A running tunnel, as wg(8) reads it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use super::super::link::SOCKETS;
use crate::sys::program::Program;

/// A handshake is valid for this time (`REJECT_AFTER_TIME` in the kernel's drivers/net/wireguard/messages.h).
pub const VALID: u64 = 180;

/// A running tunnel, as `wg show IFNAME dump` prints it, without its private key.
pub struct RunningTunnel {
    pub public_key: String,
    pub listen_port: Option<u16>,
    /// 0 for none.
    pub fwmark: u32,
    pub peers: Vec<RunningPeer>,
}

pub struct RunningPeer {
    pub public_key: String,
    preshared_key: Option<String>,
    pub endpoint: Option<SocketAddr>,
    pub allowed: BTreeSet<String>,
    /// Seconds since 1970; `None` if there was none.
    pub handshake: Option<u64>,
    pub sent: u64,
    pub keepalive: u16,
}

/// The timeout of wg(8). A program in place of the kernel may not answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How wg(8) finds a tunnel.
#[derive(Clone, Copy, Debug)]
pub enum Device<'a> {
    /// The name of an interface of the kernel, in the namespace of this thread.
    Kernel(&'a str),
    /// The name of the control socket of a program.
    Program(&'a str),
}

impl<'a> Device<'a> {
    pub fn name(self) -> &'a str {
        match self {
            Self::Kernel(name) | Self::Program(name) => name,
        }
    }

    /// Runs `wg COMMAND DEVICE ARGUMENT…`, and returns its output.
    /// Errors: wg(8) fails, or does not answer in time.
    pub fn wg(self, command: &str, arguments: &[&str], input: &str) -> Result<String> {
        let words = [&[command, self.name()], arguments].concat();
        match self {
            // wg(8) prefers a control socket, although that belongs to a tunnel of another namespace (`ipc_get_device` in its ipc.c).
            Self::Kernel(name) if Path::new(SOCKETS).join(name).with_extension("sock").exists() => {
                let script = format!("mount -t tmpfs tmpfs {SOCKETS} && exec wg \"$@\"");
                let hidden = ["--mount", "--", "sh", "-c", &script, "wg"];
                finish(Program::new("unshare").package("util-linux").args(hidden), &words, input)
            }
            _ => wg(&words, input),
        }
    }
}

/// Runs wg(8), and returns its output.
pub fn wg(arguments: &[&str], input: &str) -> Result<String> {
    finish(Program::new("wg").package("wireguard-tools"), arguments, input)
}

fn finish(program: Program, arguments: &[&str], input: &str) -> Result<String> {
    let program = program.label(format!("wg {}", arguments.join(" "))).args(arguments);
    let Some(output) = program.input(input).run_within(TIMEOUT)? else {
        bail!("wg {}: no answer within {} seconds", arguments.join(" "), TIMEOUT.as_secs());
    };
    let output = output.success()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A text that differs for each preshared key, and does not reveal it: the public key that it would have as a private one.
pub fn fingerprint(key: &str) -> Result<String> {
    Ok(wg(&["pubkey"], key)?.trim().to_owned())
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

impl RunningTunnel {
    /// Reads a tunnel.
    /// Errors: wg(8) fails.
    pub fn read(device: Device) -> Result<Self> {
        let text = device.wg("show", &["dump"], "")?;
        let mut lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let unexpected = || format!("`wg show {} dump` has printed another format", device.name());
        let interface = lines.next().with_context(unexpected)?;
        let [_, public_key, port, mark] = interface.as_slice() else { bail!(unexpected()) };
        let peers =
            lines.map(|line| RunningPeer::of(&line).with_context(unexpected)).collect::<Result<_>>()?;
        Ok(Self {
            public_key: (*public_key).to_owned(),
            listen_port: port.parse().ok().filter(|port| *port > 0),
            fwmark: mark.strip_prefix("0x").and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(0),
            peers,
        })
    }
}

impl RunningPeer {
    /// Reads the fields of a line; see "show" in wg(8).
    fn of(fields: &[&str]) -> Option<Self> {
        let [public_key, preshared_key, endpoint, allowed, handshake, _, sent, keepalive] = fields else {
            return None;
        };
        Some(Self {
            public_key: (*public_key).to_owned(),
            preshared_key: Some((*preshared_key).to_owned()).filter(|key| key != "(none)"),
            endpoint: endpoint.parse().ok(),
            allowed: allowed
                .split(',')
                .filter(|network| *network != "(none)")
                .map(ToOwned::to_owned)
                .collect(),
            handshake: handshake.parse().ok().filter(|time| *time > 0),
            sent: sent.parse().ok()?,
            keepalive: keepalive.parse().unwrap_or(0),
        })
    }

    /// The [`fingerprint`] of the preshared key.
    pub fn preshared(&self) -> Result<Option<String>> {
        self.preshared_key.as_deref().map(fingerprint).transpose()
    }

    /// Seconds since the last handshake.
    pub fn age(&self) -> Option<u64> {
        self.handshake.map(|time| now().saturating_sub(time))
    }

    /// Whether a peer that can be reached would have a valid handshake: packets are sent.
    pub fn is_expected(&self) -> bool {
        self.keepalive > 0 || self.handshake.is_none() && self.sent > 0
    }
}
