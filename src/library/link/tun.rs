//! An interface that a program makes in place of the kernel, for a kind whose module is missing: a TUN device.
//!
//! The program runs as a daemon where the kernel would create the interface, because its sockets stay there. It makes the interface with a name
//! that no other namespace has: its control socket has the same name. Then the interface is moved into its place. It disappears with the
//! program. If the program is started again, it makes another one, which must be moved again.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, anyhow, ensure};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use super::super::daemon::Daemon;
use super::super::record::Record;
use super::super::sysctl::{Key, Value};
use super::super::{Call, daemon};
use super::add::is_unknown_kind;
use super::apply::apply;
use super::site::enter_parent;
use super::{LinkRecord, ip, rehearse};
use crate::name::Instance;
use crate::netlink::{self, KernelError};
use crate::netns;
use crate::sys::package::{self, KERNEL};
use crate::sys::program::is_in;
use crate::sys::wait::try_wait_until;
use crate::sys::{file, process};

/// The kind of these interfaces in the kernel.
pub(super) const KIND: &str = "tun";

/// The programs that make a WireGuard interface, the preferred one first. The arguments of each are `-f NAME`.
const PROGRAMS: [&str; 3] = ["wireguard-go", "boringtun-cli", "boringtun"];

/// The Debian package of the first program.
const PACKAGE: &str = PROGRAMS[0];

/// The environment of the programs: no advice to use the kernel instead (`warning` in wireguard-go's main.go), and no change of the user, which
/// needs a login session (boringtun-cli's main.rs).
const ENVIRONMENT: [&str; 2] = ["WG_PROCESS_FOREGROUND=1", "WG_SUDO=true"];

/// The directory of the control sockets (<https://www.wireguard.com/xplatform/>).
pub(in super::super) const SOCKETS: &str = "/var/run/wireguard";

/// The file with which a program makes such an interface.
const DEVICE: &str = "/dev/net/tun";

/// Time that the program has to make the interface. Its supervisor starts it again after at most 30 seconds.
const TIMEOUT: Duration = Duration::from_secs(40);

/// An interface that a program makes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tun {
    program: String,
    /// Its name until it is moved, and the name of the control socket.
    ifname: String,
}

/// The program for a new interface, or for one that it has made before; `None` if the kernel has the kind.
/// Errors: neither the kernel has the kind, nor is a program installed.
pub(super) fn needed(call: &Call, record: &Record, link: &LinkRecord) -> Result<Option<Tun>> {
    if let Some(earlier) = record.links().find(|one| one.has_label_of(link)) {
        return Ok(earlier.tun.clone());
    }
    if link.kind != "wireguard" || kernel_has(&link.kind)? {
        return Ok(None);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let program = PROGRAMS.iter().find(|program| is_in(&path, program)).ok_or_else(|| {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        anyhow!(
            "cannot create {}: the kernel {} does not have the module '{}', and no program replaces it; {}, or the program {PACKAGE}: {}",
            link.describe(),
            release.trim(),
            link.kind,
            package::hint(KERNEL),
            package::hint(PACKAGE).trim_start_matches("hint: "),
        )
    })?;
    Ok(Some(Tun { program: (*program).to_owned(), ifname: unique_name(&call.instance, &link.label) }))
}

/// Whether the kernel can create interfaces of a kind. It loads the module by itself.
fn kernel_has(kind: &str) -> Result<bool> {
    if Path::new("/sys/module").join(kind).exists() {
        return Ok(true);
    }
    let _stage = netns::enter_new()?;
    match ip(&["link", "add", "name", "probe", "type", kind]) {
        Err(error) if is_unknown_kind(&format!("{error:#}")) => Ok(false),
        created => created.map(|()| true),
    }
}

/// A name of an interface that depends on the instance and the label: FNV-1a, so that each version of this program has the same result.
fn unique_name(instance: &Instance, label: &str) -> String {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = format!("{instance} {label}").bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("{KIND}-{:010x}", hash >> 24)
}

impl Tun {
    /// The name of the daemon.
    pub(super) fn daemon_name(&self, link: &LinkRecord) -> String {
        format!("{}-{}", self.program, link.label.to_ascii_lowercase())
    }

    fn daemon(&self, call: &Call, link: &LinkRecord) -> Daemon {
        let words = ["env"].into_iter().chain(ENVIRONMENT).chain([&*self.program, "-f", &self.ifname]);
        let command = words.map(ToOwned::to_owned).collect();
        Daemon::of_link(call, self.daemon_name(link), link.socket.clone(), command)
    }

    /// Whether the program of this instance runs.
    pub(super) fn is_running(&self, call: &Call, link: &LinkRecord) -> bool {
        self.daemon(call, link).is_supervised(call.paths)
    }

    fn socket(&self) -> PathBuf {
        Path::new(SOCKETS).join(&self.ifname).with_extension("sock")
    }

    /// Removes the control socket, which stays if the program was killed.
    /// Errors: the file cannot be removed.
    pub(super) fn remove_socket(&self) -> Result<()> {
        file::remove(&self.socket())
    }

    /// Starts the program, if it does not run, and waits until the interface is in its place.
    /// Errors: the program ends at once, or makes no interface, or the kernel does not move it.
    pub(super) fn create(&self, call: &Call, record: &mut Record, link: &LinkRecord) -> Result<()> {
        ensure!(
            Path::new(DEVICE).exists(),
            "the program `{}` needs {DEVICE}, which does not exist; fix: `modprobe tun`",
            self.program
        );
        daemon::start_for_link(call, record, &self.daemon(call, link))?;
        try_wait_until(TIMEOUT, process::POLL_INTERVAL, || self.move_in(call, link))?.with_context(|| {
            format!(
                "the program `{}` has not made {}; it has printed the cause",
                self.program,
                link.describe()
            )
        })
    }

    /// Moves the interface into its place as soon as the program answers; `None` if it does not yet.
    fn move_in(&self, call: &Call, link: &LinkRecord) -> Result<Option<()>> {
        let inside = link.place.open(call)?;
        if link.is_in_place(call)? {
            return Ok(Some(()));
        }
        if UnixStream::connect(self.socket()).is_err() {
            return Ok(None);
        }
        {
            let _there = enter_parent(call, link.socket.as_ref())?;
            let found = netlink::link_named(&self.ifname)?.filter(|found| found.kind == KIND);
            let Some(found) = found else { return Ok(None) };
            match netlink::move_link(found.index, inside.as_fd(), &link.end.ifname) {
                // The program has ended, or the daemon of the tunnel was faster.
                Err(error) if KernelError::is(&error, Errno::ENODEV) => return Ok(None),
                moved => moved.with_context(|| format!("cannot move interface '{}'", self.ifname))?,
            }
            call.trace(&format!(
                "ip link set dev {} netns {} name {}",
                self.ifname, call.instance.name, link.end.ifname
            ));
        }
        let _there = link.place.enter(call)?;
        // Only the addresses of the settings, as with the kernel's module. The file does not exist if IPv6 is disabled.
        _ = Key::of_interface("ipv6", "conf", &link.end.ifname, "addr_gen_mode").write(&mut Value::new("1"));
        Ok(Some(()))
    }
}

impl LinkRecord {
    /// The name of its control socket, if a program makes the interface.
    pub(in super::super) fn control(&self) -> Option<&str> {
        self.tun.as_ref().map(|tun| tun.ifname.as_str())
    }

    /// Whether the interface was configured, and its program has now made another one, which is not in its place.
    /// Errors: the kernel cannot be queried.
    pub(in super::super) fn is_waiting(&self, call: &Call) -> Result<bool> {
        let Some(tun) = self.tun.as_ref().filter(|_| self.configured.is_some()) else { return Ok(false) };
        let _there = enter_parent(call, self.socket.as_ref())?;
        Ok(netlink::link_named(&tun.ifname)?.is_some())
    }

    /// Moves the interface into its place, and gives it the recorded settings.
    /// Errors: the kernel refuses.
    pub(in super::super) fn bring_back(&self, call: &Call) -> Result<()> {
        let tun = self.tun.as_ref().context("no program makes the interface")?;
        tun.move_in(call, self)?.with_context(|| format!("{} was deleted", self.describe()))?;
        let gateways = self.end.gateway_addresses(&[])?;
        let meaning = rehearse::rehearse(&self.end, &gateways)?;
        apply(call, &mut self.clone(), &self.end, &gateways, &meaning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_differs_for_each_instance_and_label_and_is_a_valid_name_of_an_interface() {
        let name = |instance: &str, label| unique_name(&instance.parse().unwrap(), label);
        let names = [name("a@b", "A"), name("a@c", "A"), name("a@b", "B")];
        assert!(names.iter().all(|name| name.len() <= 15 && name.starts_with("tun-")), "{names:?}");
        assert!(names[0] != names[1] && names[0] != names[2] && names[1] != names[2], "{names:?}");
    }
}
