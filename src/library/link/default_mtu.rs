//! The MTU of an interface whose setting was removed.

use anyhow::{Context, Result};

use super::super::Call;
use super::site::enter_parent;
use super::{LinkRecord, ip};
use crate::netlink;
use crate::netns;

impl LinkRecord {
    /// The MTU that a new interface like this one would have; `None` if the parent is missing, or a program makes the interface.
    /// Errors: the kernel refuses.
    pub(super) fn default_mtu(&self, call: &Call) -> Result<Option<u32>> {
        if let Some(moved) = &self.moved {
            return Ok(Some(moved.mtu));
        }
        if self.tun.is_some() {
            return Ok(None);
        }
        if let Some(parent) = &self.parent {
            let _there = enter_parent(call, parent.namespace.as_ref())?;
            return Ok(netlink::link_named(&parent.ifname)?.and_then(|found| self.largest_mtu(&found)));
        }
        if let Some(mtu) = self.mtu_of_ports(call)? {
            return Ok(Some(mtu));
        }
        let _stage = netns::enter_new()?;
        let words = ["link", "add", "name", &self.end.ifname, "type", &self.kind].into_iter();
        let words: Vec<&str> = words.chain(self.words.iter().map(String::as_str)).collect();
        ip(&words).with_context(|| format!("cannot find the default MTU of {}", self.describe()))?;
        Ok(netlink::link_named(&self.end.ifname)?.map(|found| found.mtu))
    }

    /// The kernel gives a bridge the smallest MTU of its ports (`br_mtu_min` in net/bridge/br_if.c).
    fn mtu_of_ports(&self, call: &Call) -> Result<Option<u32>> {
        if self.kind != "bridge" {
            return Ok(None);
        }
        let _there = self.place.enter(call)?;
        let Some(found) = self.find()? else { return Ok(None) };
        let links = netlink::links()?;
        Ok(links.iter().filter(|port| port.controller == Some(found.index)).map(|port| port.mtu).min())
    }
}
