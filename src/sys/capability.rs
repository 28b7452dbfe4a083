//! What this process may do (capabilities(7)).

use std::fs;

use anyhow::{Context, Result, ensure};

/// A capability; the number is its bit (include/uapi/linux/capability.h).
#[derive(Clone, Copy, Debug)]
pub enum Capability {
    /// `CAP_NET_ADMIN`
    NetAdmin = 12,
    /// `CAP_NET_RAW`
    NetRaw = 13,
    /// `CAP_SYS_ADMIN`
    SysAdmin = 21,
}

impl Capability {
    fn name(self) -> &'static str {
        match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::NetRaw => "CAP_NET_RAW",
            Self::SysAdmin => "CAP_SYS_ADMIN",
        }
    }
}

/// Makes sure that this process has a capability, here or in its user namespace.
/// Errors: it has not; the error says what it is for.
pub fn need(capability: Capability, purpose: &str) -> Result<()> {
    let status = fs::read_to_string("/proc/self/status")
        .context("cannot tell the capabilities (is /proc mounted?)")?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    ensure!(
        effective.is_some_and(|bits| bits & (1 << capability as u64) != 0),
        "the privilege {} is missing, {purpose}: run it by sudo, or in a user namespace (`unshare -Urmn`)",
        capability.name()
    );
    Ok(())
}
