//! The capabilities of this process (capabilities(7)).

use std::fs;

use anyhow::{Context, Result, ensure};

/// A capability. The number is that of its bit (include/uapi/linux/capability.h).
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

/// Checks that this process has a capability, in the user namespace of this process.
/// Errors: the capability is missing, and the message states its purpose; or `/proc/self/status` cannot be read.
pub fn require(capability: Capability, purpose: &str) -> Result<()> {
    let status = fs::read_to_string("/proc/self/status")
        .context("cannot read the capabilities of this process from /proc/self/status (is /proc mounted?)")?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    ensure!(
        effective.is_some_and(|bits| bits & (1 << capability as u64) != 0),
        "the privilege {} is missing, which is required {purpose}; hint: use sudo, or a user namespace (`unshare -Urmn`)",
        capability.name()
    );
    Ok(())
}
