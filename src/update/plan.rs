//! Plans the changes of unit files and drop-ins.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::attach::{self, Attached, follow};
use crate::config::plugin;
use crate::name::NsType;
use crate::paths::Paths;
use crate::requires::Graph;
use crate::requires::parents::Parents;
use crate::systemd::systemctl::Loaded;
use crate::systemd::unit_files::{self, Action, Change, FileContent, Plan, Template};

/// Plans the wanted state:
///
/// - each type has its unit pair;
/// - each instance with requirements has a drop-in;
/// - each type that provides a firewall has a drop-in;
/// - each type with rules on the host has a drop-in;
/// - each type that uses the interfaces of other types has a drop-in;
/// - each attached unit that follows its namespace has its drop-ins;
/// - each parent interface has a drop-in.
///
/// The units of a removed type stay if a service is attached to an instance, or if an instance in `loaded` is up
/// ([`Loaded::is_up`]). The drop-in of an instance with invalid requirements is not changed.
///
/// Errors: the directory of the units cannot be read.
pub fn plan<'a>(
    paths: &Paths,
    types: &BTreeSet<NsType>,
    templates: &'a [Template],
    graph: &Graph,
    parents: &Parents,
    loaded: &[Loaded],
) -> Result<Plan<'a>> {
    let present = unit_files::present(paths)?;
    let mut attached = attach::attached(paths)?;
    let upgraded = follow::upgrade(paths, &mut attached)?;
    let needs = |nstype: &str| -> Vec<String> {
        let holder = loaded.iter().find(|unit| unit.is_up() && unit.nstype() == Some(nstype));
        let attached = attached.iter().filter(|one| one.needs(nstype)).map(Attached::advice);
        holder.map(Loaded::advice).into_iter().chain(attached).collect()
    };
    let mut plan = unit_files::plan(paths, &present, types, templates, needs);
    plan.add_requirements(paths, &present, &graph.units(), |instance| graph.is_valid(instance));
    let declared = plugin::declarations(paths, types);
    plan.add_firewalls(paths, &present, &plugin::declaring(&declared, |one| one.firewall));
    plan.add_host_rules(paths, &present, &plugin::declaring(&declared, |one| one.host_rules));
    plan.add_link_users(paths, &present, &plugin::after_links(&declared));
    plan.changes.extend(upgraded.into_iter().map(|(path, text)| Change {
        action: Action::Update,
        path,
        content: Some(FileContent::DropIn(text)),
    }));
    plan.add_followers(paths, &present, follow::drop_ins(&attached));
    plan.add_parents(paths, &present, &parents.instances, |instance| parents.unknown.contains_key(instance));
    Ok(plan)
}
