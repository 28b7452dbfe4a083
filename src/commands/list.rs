//! `netnsctl list`: lists the configured and the active instances.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::arguments::OutputArgs;
use super::output::{self, paint, style_of};
use crate::config::plugin;
use crate::engine::{self, Active, Condition, EngineKind};
use crate::exit::Status;
use crate::name::{Instance, NsName, NsType};
use crate::netns;
use crate::paths::Paths;

/// The arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Options of the output.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// One instance as JSON.
#[derive(Serialize)]
struct ListItem {
    instance: String,
    namespace: NsName,
    #[serde(rename = "type")]
    nstype: NsType,
    state: Condition,
    engine: Option<EngineKind>,
    since: Option<Timestamp>,
    addresses: Vec<String>,
    /// The reason why an active instance cannot work, or cannot be taken down completely.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

pub(super) fn run(paths: &Paths, options: &ListArgs) -> Result<Status> {
    let mut items: BTreeMap<(NsName, NsType), ListItem> = BTreeMap::new();
    for instance in plugin::configured(paths)? {
        items.insert(key(&instance), item(instance, Condition::Down, None, None));
    }
    for active in engine::active(paths)? {
        let of = item(active.instance.clone(), active.condition, Some(active.engine), active.since);
        items.insert(key(&active.instance), ListItem { problem: problem(paths, &active), ..of });
    }
    let mut addresses: BTreeMap<NsName, Vec<String>> = BTreeMap::new();
    for item in items.values_mut().filter(|item| item.state != Condition::Down) {
        let found = addresses
            .entry(item.namespace.clone())
            .or_insert_with(|| netns::addresses(paths, &item.namespace));
        item.addresses.clone_from(found);
    }
    let items: Vec<ListItem> = items.into_values().collect();
    if options.output.json {
        output::json("list", &items)?;
    } else {
        print(&items, !options.output.no_legend)?;
    }
    Ok(Status::Done)
}

fn key(instance: &Instance) -> (NsName, NsType) {
    (instance.name.clone(), instance.nstype.clone())
}

fn item(
    instance: Instance,
    state: Condition,
    engine: Option<EngineKind>,
    since: Option<Timestamp>,
) -> ListItem {
    ListItem {
        instance: instance.to_string(),
        namespace: instance.name,
        nstype: instance.nstype,
        state,
        engine,
        since,
        addresses: Vec::new(),
        problem: None,
    }
}

/// Finds a plugin that was removed, or a namespace that was deleted or replaced manually.
fn problem(paths: &Paths, active: &Active) -> Option<String> {
    if let Err(error) = plugin::find(paths, &active.instance.nstype) {
        return Some(format!("{error:#}"));
    }
    (active.condition == Condition::Up)
        .then(|| engine::namespace_problem(paths, active).ok())
        .flatten()
        .flatten()
}

fn print(items: &[ListItem], legend: bool) -> Result<()> {
    let mut rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| {
            vec![
                item.namespace.to_string(),
                item.nstype.to_string(),
                paint(&item.state.to_string(), style_of(item.state)),
                item.engine.map(|engine| engine.to_string()).unwrap_or_default(),
                item.since.map(output::time).unwrap_or_default(),
                item.addresses.join(" "),
                item.problem.clone().unwrap_or_default(),
            ]
        })
        .collect();
    // Without problems, the column is left out.
    let columns = if items.iter().any(|item| item.problem.is_some()) { 7 } else { 6 };
    for row in &mut rows {
        row.truncate(columns);
    }
    let legend = legend
        .then_some(&["NAMESPACE", "TYPE", "STATE", "ENGINE", "SINCE", "ADDRESSES", "PROBLEM"][..columns]);
    output::table(legend, &rows)
}
