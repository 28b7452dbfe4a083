//! The record of the objects that the library has made for an instance. It is stored with the remembered values.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::daemon::Daemon;
use super::forward::Forwarding;
use super::host_firewall::HostFirewall;
use super::host_table::HostTable;
use super::link::LinkRecord;
use super::ports::{ClaimedPorts, Sockets};
use super::sysctl::ChangedSysctl;
use super::wireguard::Tunnel;
use super::{Call, Drift, HostSetting, Repair};
use crate::config::remembered;
use crate::name::Instance;
use crate::paths::Paths;

/// An object that the library has made. Each variant has these functions.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(clippy::large_enum_variant)] // an instance has few objects
pub enum Object {
    /// An interface.
    Link(LinkRecord),
    /// A sysctl that was set.
    Sysctl(ChangedSysctl),
    /// The nftables table on the host.
    Table(HostTable),
    /// The interfaces whose packets the host forwards.
    Forwarding(Forwarding),
    /// The chains of other programs on the host.
    Firewall(HostFirewall),
    /// A daemon.
    Daemon(Daemon),
    /// Ports of the host.
    Ports(ClaimedPorts),
    /// The keys and peers of an interface.
    Tunnel(Tunnel),
    /// Sockets of systemd on these ports.
    Sockets(Sockets),
}

impl Object {
    /// Whether a hook has made or configured the object, and no earlier hook has.
    pub(super) fn is_of(&self, hook: &str) -> bool {
        match self {
            Self::Link(link) => link.is_of(hook),
            Self::Sysctl(sysctl) => sysctl.is_of(hook),
            Self::Table(table) => table.is_of(hook),
            Self::Forwarding(forwarding) => forwarding.is_of(hook),
            Self::Firewall(firewall) => firewall.is_of(hook),
            Self::Daemon(daemon) => daemon.is_of(hook),
            Self::Ports(claim) => claim.is_of(hook),
            Self::Tunnel(tunnel) => tunnel.is_of(hook),
            Self::Sockets(sockets) => sockets.is_of(hook),
        }
    }

    /// Whether the object is in the namespace of the instance.
    pub(super) fn is_inside(&self) -> bool {
        match self {
            Self::Link(link) => link.is_inside(),
            Self::Sysctl(sysctl) => sysctl.is_inside(),
            Self::Table(_) | Self::Forwarding(_) | Self::Firewall(_) | Self::Ports(_) | Self::Sockets(_) => {
                false
            }
            Self::Daemon(daemon) => daemon.is_inside(),
            Self::Tunnel(_) => true,
        }
    }

    /// Whether a restart repairs the object.
    fn is_made_by_restart(&self) -> bool {
        match self {
            Self::Link(link) => link.is_made_by_restart(),
            Self::Sysctl(sysctl) => sysctl.is_made_by_restart(),
            Self::Table(table) => table.is_made_by_restart(),
            Self::Forwarding(forwarding) => forwarding.is_made_by_restart(),
            Self::Firewall(firewall) => firewall.is_made_by_restart(),
            Self::Daemon(daemon) => daemon.is_made_by_restart(),
            Self::Ports(_) => false,
            Self::Tunnel(_) => true,
            Self::Sockets(sockets) => sockets.is_made_by_restart(),
        }
    }

    /// What repairs a difference of the object.
    fn repair(&self) -> Repair {
        match self {
            Self::Firewall(firewall) if !firewall.opens() => Repair::Host,
            _ if self.is_made_by_restart() => Repair::Restart,
            _ => Repair::Recreation,
        }
    }

    /// Whether the object exists only because of an earlier run of the inside hook, and not because of this `hook`.
    pub(super) fn is_stale(&self, hook: &str) -> bool {
        match self {
            // `down` removes it.
            Self::Link(_) | Self::Daemon(_) | Self::Ports(_) | Self::Tunnel(_) => false,
            Self::Table(table) => table.is_stale(hook),
            Self::Forwarding(forwarding) => forwarding.is_stale(hook),
            Self::Firewall(firewall) => firewall.is_stale(hook),
            Self::Sysctl(sysctl) => sysctl.is_stale(hook),
            Self::Sockets(sockets) => sockets.is_stale(hook),
        }
    }

    /// Undoes what the failed hook of `call` has done. Returns whether the object stays.
    pub(super) fn undo(&mut self, call: &Call) -> Result<bool> {
        match self {
            Self::Link(link) => link.undo(call),
            Self::Sysctl(sysctl) => sysctl.release(call.paths).map(|()| false),
            Self::Table(table) => table.undo(call),
            Self::Firewall(firewall) => firewall.undo(call),
            Self::Daemon(daemon) => daemon.stop(call.paths).map(|()| false),
            // The record is the claim. A tunnel ends with its interface, or is down with it. Sysctls have their own records.
            Self::Ports(_) | Self::Tunnel(_) | Self::Forwarding(_) => Ok(false),
            Self::Sockets(sockets) => sockets.remove(call.paths).map(|()| false),
        }
    }

    /// Removes the object.
    pub(super) fn remove(&self, paths: &Paths, lost: bool) -> Result<()> {
        match self {
            Self::Link(link) => link.remove(paths, lost),
            Self::Sysctl(sysctl) => sysctl.remove(paths, lost),
            Self::Table(table) => table.remove(),
            Self::Firewall(firewall) => firewall.remove(),
            Self::Daemon(daemon) => daemon.stop(paths),
            Self::Ports(_) | Self::Tunnel(_) | Self::Forwarding(_) => Ok(()), // as in `undo`
            Self::Sockets(sockets) => sockets.remove(paths),
        }
    }

    /// Removes an object inside the namespace of this thread.
    pub(super) fn remove_here(&self, paths: &Paths) -> Result<()> {
        match self {
            Self::Link(link) => link.remove_here(),
            Self::Sysctl(sysctl) => sysctl.remove_here(),
            // They are on the host, or end with their interface.
            Self::Table(_)
            | Self::Forwarding(_)
            | Self::Firewall(_)
            | Self::Ports(_)
            | Self::Tunnel(_)
            | Self::Sockets(_) => Ok(()),
            Self::Daemon(daemon) => daemon.stop(paths),
        }
    }

    /// Returns a line for each difference from the recorded state.
    pub(super) fn drift(&self, paths: &Paths) -> Result<Vec<String>> {
        match self {
            Self::Link(link) => link.drift(paths),
            Self::Sysctl(sysctl) => sysctl.drift(paths),
            Self::Table(table) => table.drift(),
            Self::Forwarding(forwarding) => forwarding.drift(paths),
            Self::Firewall(firewall) => firewall.drift(),
            Self::Daemon(daemon) => Ok(daemon.drift(paths)),
            // `valid_ports` compares them with the host.
            Self::Ports(_) => Ok(Vec::new()),
            Self::Tunnel(tunnel) => tunnel.drift(paths),
            Self::Sockets(sockets) => sockets.drift(),
        }
    }

    /// Returns a line about an object that is as recorded, but has failed before.
    pub(super) fn note(&self, paths: &Paths) -> Option<String> {
        match self {
            Self::Link(_)
            | Self::Sysctl(_)
            | Self::Table(_)
            | Self::Forwarding(_)
            | Self::Firewall(_)
            | Self::Ports(_)
            | Self::Tunnel(_)
            | Self::Sockets(_) => None,
            Self::Daemon(daemon) => daemon.note(paths),
        }
    }
}

/// The objects of one instance, in the order in which they were made.
#[derive(Debug)]
pub struct Record {
    instance: Instance,
    objects: Vec<Object>,
}

impl Record {
    /// Reads the record of an instance, which is empty if the library has made nothing.
    /// Errors: the file cannot be read, or is damaged.
    pub fn read(paths: &Paths, instance: &Instance) -> Result<Self> {
        let objects = remembered::objects(paths, instance)?;
        let objects = objects.iter().map(|object| serde_json::from_slice(object)).collect::<Result<_, _>>();
        let objects = objects
            .with_context(|| format!("{} has an invalid record", paths.remembered(instance).display()))?;
        Ok(Self { instance: instance.clone(), objects })
    }

    /// Writes the record.
    /// Errors: the file cannot be written.
    pub(super) fn save(&self, paths: &Paths) -> Result<()> {
        let objects = self.objects.iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>()?;
        remembered::set_objects(paths, &self.instance, &objects)
    }

    /// Whether the instance has rules on the host.
    #[must_use]
    pub fn has_host_rules(&self) -> bool {
        self.objects.iter().any(|object| matches!(object, Object::Table(_)))
    }

    /// The names of the interfaces that the instance has created on the host.
    pub fn host_links(&self) -> impl Iterator<Item = String> {
        self.links().filter_map(LinkRecord::name_on_host)
    }

    /// Compares the objects with the running state.
    /// Errors: the kernel cannot be queried.
    pub fn drift(&self, paths: &Paths) -> Result<Vec<Drift>> {
        let mut differences = Vec::new();
        for object in &self.objects {
            let lines = object.drift(paths)?.into_iter();
            differences.extend(lines.map(|line| Drift { line, repair: object.repair() }));
        }
        Ok(differences)
    }

    /// Returns lines about objects that are as recorded, but have failed before.
    pub fn notes(&self, paths: &Paths) -> impl Iterator<Item = String> {
        self.objects.iter().filter_map(|object| object.note(paths))
    }

    /// Returns lines about interfaces that do not exist yet: ports, and those to which the host forwards.
    /// Errors: the kernel cannot be queried.
    pub fn awaited_links(&self, paths: &Paths) -> Result<Vec<String>> {
        let mut lines =
            self.links().map(|link| link.awaited_ports(paths)).collect::<Result<Vec<_>>>()?.concat();
        if let Some(forwarding) = self.forwarding() {
            lines.extend(forwarding.awaited_links()?);
        }
        Ok(lines)
    }

    /// Returns a message for each file with a private key that other users can read.
    /// Errors: the record is damaged.
    pub fn readable_files(&self, paths: &Paths) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for object in &self.objects {
            if let Object::Tunnel(tunnel) = object {
                lines.extend(tunnel.readable_files(paths)?);
            }
        }
        Ok(lines)
    }

    /// Returns the settings of the host that may drop packets of the instance.
    /// Errors: the kernel cannot be queried.
    pub fn host_settings(&self) -> Result<Vec<HostSetting>> {
        self.forwarding().map_or_else(|| Ok(Vec::new()), Forwarding::strict_filters)
    }

    /// Whether the library has made nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// All objects.
    pub(super) fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// Adds an object at the end. The caller calls [`save`](Self::save).
    pub(super) fn push(&mut self, object: Object) {
        self.objects.push(object);
    }

    /// Forgets the objects that are not `kept`. The caller calls [`save`](Self::save).
    pub(super) fn retain(&mut self, kept: impl Fn(&Object) -> bool) {
        self.objects.retain(kept);
    }

    /// All interfaces.
    pub(super) fn links(&self) -> impl Iterator<Item = &LinkRecord> {
        self.objects.iter().filter_map(|object| match object {
            Object::Link(link) => Some(link),
            _ => None,
        })
    }

    /// All sysctls.
    pub(super) fn sysctls(&self) -> impl Iterator<Item = &ChangedSysctl> {
        self.objects.iter().filter_map(|object| match object {
            Object::Sysctl(sysctl) => Some(sysctl),
            _ => None,
        })
    }

    /// Records a sysctl, in place of the earlier record of the same one.
    pub(super) fn put_sysctl(&mut self, sysctl: ChangedSysctl) {
        let at = self.position(|object| matches!(object, Object::Sysctl(one) if one.is_same_as(&sysctl)));
        self.put(at, Object::Sysctl(sysctl));
    }

    /// Forgets a sysctl.
    pub(super) fn forget_sysctl(&mut self, sysctl: &ChangedSysctl) {
        self.objects.retain(|object| !matches!(object, Object::Sysctl(one) if one.is_same_as(sysctl)));
    }

    /// The interfaces whose packets the host forwards.
    pub(super) fn forwarding(&self) -> Option<&Forwarding> {
        self.objects.iter().find_map(|object| match object {
            Object::Forwarding(forwarding) => Some(forwarding),
            _ => None,
        })
    }

    /// Records these interfaces, in place of earlier ones.
    pub(super) fn put_forwarding(&mut self, forwarding: Forwarding) {
        let at = self.position(|object| matches!(object, Object::Forwarding(_)));
        self.put(at, Object::Forwarding(forwarding));
    }

    /// Records an interface, in place of the earlier one with the same label.
    pub(super) fn put_link(&mut self, link: LinkRecord) {
        let at = self.position(|object| matches!(object, Object::Link(one) if one.has_label_of(&link)));
        self.put(at, Object::Link(link));
    }

    /// Records ports, in place of the earlier ones.
    pub(super) fn put_ports(&mut self, claim: ClaimedPorts) {
        let at = self.position(|object| matches!(object, Object::Ports(_)));
        self.put(at, Object::Ports(claim));
    }

    fn position(&self, is_it: impl Fn(&Object) -> bool) -> Option<usize> {
        self.objects.iter().position(is_it)
    }

    /// Replaces the object at a position, or adds one at the end.
    fn put(&mut self, at: Option<usize>, object: Object) {
        match at {
            Some(at) => self.objects[at] = object,
            None => self.push(object),
        }
    }

    /// Forgets an interface.
    pub(super) fn forget_link(&mut self, link: &LinkRecord) {
        self.retain(|object| !matches!(object, Object::Link(one) if one.has_label_of(link)));
    }

    /// Calls `remove` for each object that `is_wanted`, the last one first. The record keeps the objects that stay. A failure does
    /// not prevent the removal of the others.
    /// Errors: an object cannot be removed, or the record cannot be written.
    pub(super) fn remove(
        &mut self,
        paths: &Paths,
        is_wanted: impl Fn(&Object) -> bool,
        mut remove: impl FnMut(&mut Object) -> Result<bool>,
    ) -> Result<()> {
        let mut errors = Vec::new();
        for at in (0..self.objects.len()).rev() {
            if !is_wanted(&self.objects[at]) {
                continue;
            }
            match remove(&mut self.objects[at]) {
                Ok(true) => {}
                Ok(false) => _ = self.objects.remove(at),
                Err(error) => errors.push(format!("{error:#}")),
            }
        }
        self.save(paths)?;
        if errors.is_empty() { Ok(()) } else { bail!("{}", errors.join("; ")) }
    }
}
