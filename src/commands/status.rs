//! `netnsctl status`: a namespace with all that is in it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use jiff::Timestamp;
use serde::Serialize;
use termtree::Tree;

use super::arguments::OutputArgs;
use super::candidates;
use super::output::{self, paint, style_of};
use crate::attach;
use crate::config::plugin;
use crate::engine::{self, Active, Condition, EngineKind};
use crate::exit::Status;
use crate::name::{NsName, NsType};
use crate::netlink::{self, Link, Route, Rules};
use crate::netns::processes::{self, Resident};
use crate::netns::{self, Named};
use crate::paths::Paths;
use crate::print::escape;
use crate::print::say;
use clap::Args;
use clap_complete::ArgValueCandidates;

/// What `status` takes.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The namespaces; by default all that anything is up on
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(candidates::names))]
    pub names: Vec<NsName>,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// One namespace as JSON.
#[derive(Serialize)]
struct NamespaceItem {
    namespace: NsName,
    /// Whether it is there.
    exists: bool,
    instances: Vec<Member>,
    interfaces: Vec<Interface>,
    routes: Vec<Via>,
    /// Its own files below /etc/netns, such as resolv.conf.
    files: Vec<String>,
    rules: Option<Rules>,
    /// The units that `netnsctl attach` has put there.
    attached: Vec<String>,
    processes: Vec<Resident>,
}

/// One instance.
#[derive(Serialize)]
struct Member {
    #[serde(rename = "type")]
    nstype: NsType,
    state: Condition,
    engine: Option<EngineKind>,
    since: Option<Timestamp>,
    /// The last lines of what has failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    said: Vec<String>,
}

/// An interface, and where the other end of it is.
#[derive(Serialize)]
struct Interface {
    #[serde(flatten)]
    link: Link,
    /// Its peer or parent.
    other: Option<Other>,
}

/// The other end of an interface.
#[derive(Serialize)]
struct Other {
    name: String,
    /// `null` for the host.
    namespace: Option<NsName>,
}

/// A route, with the name of its interface.
#[derive(Serialize)]
struct Via {
    #[serde(flatten)]
    route: Route,
    interface: Option<String>,
}

pub(super) fn run(paths: &Paths, options: &StatusArgs) -> Result<Status> {
    let active = engine::active(paths)?;
    let names = names(paths, options, &active)?;
    let processes = processes::by_namespace();
    let everywhere = everywhere(paths)?;
    let mut items = Vec::new();
    for name in &names {
        let members = active.iter().filter(|active| active.instance.name == *name);
        items.push(item(paths, name, members.collect(), &everywhere, &processes)?);
    }
    if options.output.json {
        output::json("status", &items)?;
    } else {
        for item in &items {
            say(tree(item).to_string().trim_end());
        }
    }
    let failed = active
        .iter()
        .any(|active| names.contains(&active.instance.name) && active.condition == Condition::Failed);
    Ok(if failed { Status::Failed } else { Status::Done })
}

/// The namespaces that are asked for: all that anything is configured or up for, where none is named.
fn names(paths: &Paths, options: &StatusArgs, active: &[Active]) -> Result<BTreeSet<NsName>> {
    let mut known: BTreeSet<NsName> = active.iter().map(|active| active.instance.name.clone()).collect();
    if options.names.is_empty() {
        return Ok(known);
    }
    known.extend(plugin::configured(paths)?.into_iter().map(|instance| instance.name));
    for name in &options.names {
        if !known.contains(name) && netns::look(paths, name)? == Named::Nothing {
            bail!(
                "there is no namespace `{name}`, and nothing is configured for it; `netnsctl list` and `ip netns` list what there is"
            );
        }
    }
    Ok(options.names.iter().cloned().collect())
}

/// The interfaces of the host and of every namespace.
type LinksByPlace = BTreeMap<Option<NsName>, Vec<Link>>;

fn everywhere(paths: &Paths) -> Result<LinksByPlace> {
    let mut all = BTreeMap::from([(None, netlink::links()?)]);
    for name in netns::names(paths)? {
        // One that goes just now, or may not be entered, is none to be found in.
        let Ok(_inside) = netns::enter(paths, &name) else { continue };
        all.insert(Some(name.clone()), netlink::links()?);
    }
    Ok(all)
}

fn item(
    paths: &Paths,
    name: &NsName,
    members: Vec<&Active>,
    everywhere: &LinksByPlace,
    processes: &BTreeMap<netns::Id, Vec<Resident>>,
) -> Result<NamespaceItem> {
    let instances = members
        .into_iter()
        .map(|active| Member {
            nstype: active.instance.nstype.clone(),
            state: active.condition,
            engine: Some(active.engine),
            since: active.since,
            said: if active.condition == Condition::Failed {
                engine::last_words(paths, active)
            } else {
                Vec::new()
            },
        })
        .collect();
    let links = everywhere.get(&Some(name.clone()));
    let named = netns::look(paths, name)?;
    let (routes, rules) = match netns::enter(paths, name) {
        Ok(_inside) => (netlink::routes()?, netlink::rules().ok()),
        Err(_) => (Vec::new(), None),
    };
    let interface_name =
        |index: u32| links?.iter().find(|link| link.index == index).map(|link| link.name.clone());
    Ok(NamespaceItem {
        exists: matches!(named, Named::Namespace(_)),
        instances,
        interfaces: links
            .into_iter()
            .flatten()
            .map(|link| Interface { link: link.clone(), other: other(name, link, everywhere) })
            .collect(),
        routes: routes
            .into_iter()
            .map(|route| Via { interface: route.link.and_then(interface_name), route })
            .collect(),
        files: netns::files(paths, name).into_iter().map(|file| file.display().to_string()).collect(),
        rules,
        attached: attach::attached(paths)?
            .into_iter()
            .filter(|one| one.namespace == *name)
            .map(|one| one.unit)
            .collect(),
        processes: match named {
            Named::Namespace(id) => processes.get(&id).cloned().unwrap_or_default(),
            _ => Vec::new(),
        },
        namespace: name.clone(),
    })
}

/// The other end of a veth pair, or the parent of a macvlan: the kernel tells its number alone.
fn other(name: &NsName, link: &Link, everywhere: &LinksByPlace) -> Option<Other> {
    let index = link.peer?;
    let is_other = |other: &&Link| {
        other.index == index
            && if link.kind == "veth" { other.kind == "veth" && other.peer == Some(link.index) } else { true }
    };
    let places: Vec<_> = everywhere
        .iter()
        .filter(|(place, _)| (place.as_ref() == Some(name)) != link.peer_elsewhere)
        // A parent is sought on the host alone: numbers repeat from one namespace to the next.
        .filter(|(place, _)| link.kind == "veth" || !link.peer_elsewhere || place.is_none())
        .filter_map(|(place, links)| links.iter().find(is_other).map(|found| (place, found)))
        .collect();
    match places.as_slice() {
        [(place, found)] => Some(Other { name: found.name.clone(), namespace: (*place).clone() }),
        // Several fit by their numbers: better none than the wrong one.
        _ => None,
    }
}

fn tree(item: &NamespaceItem) -> Tree<String> {
    let state = if item.exists { paint("there", output::GREEN) } else { paint("not there", output::DIM) };
    let mut tree = Tree::new(format!("{} ({state})", paint(item.namespace.as_ref(), output::BOLD)));
    let branch =
        |label: &str, leaves: Vec<Tree<String>>| Tree::new(paint(label, output::DIM)).with_leaves(leaves);
    let leaves = item.instances.iter().map(|member| {
        let since = member.since.map(|since| format!(" since {}", output::time(since))).unwrap_or_default();
        let engine = member.engine.map(|engine| format!(", {engine}")).unwrap_or_default();
        let state = paint(&member.state.to_string(), style_of(member.state));
        Tree::new(format!("{} {state}{since}{engine}", member.nstype))
            .with_leaves(member.said.iter().cloned())
    });
    tree.push(branch("instances", leaves.collect()));
    if !item.attached.is_empty() {
        tree.push(branch("attached", item.attached.iter().cloned().map(Tree::new).collect()));
    }
    if !item.exists {
        return tree;
    }
    let leaves = item.interfaces.iter().map(|interface| {
        let link = &interface.link;
        let other = interface.other.as_ref().map(|other| match &other.namespace {
            Some(namespace) => format!(" -> {} in {namespace}", other.name),
            None => format!(" -> {} on the host", other.name),
        });
        let addresses = link.addresses.join(" ");
        let state = if link.up { paint(link.state, output::GREEN) } else { paint("DOWN", output::DIM) };
        let text = format!("{} {state} {addresses}{}", link.name, other.unwrap_or_default());
        Tree::new(text.trim_end().to_owned())
    });
    tree.push(branch("interfaces", leaves.collect()));
    let leaves = item.routes.iter().map(|via| {
        let gateway = via.route.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
        let device = via.interface.as_ref().map(|name| format!(" dev {name}")).unwrap_or_default();
        Tree::new(format!("{}{gateway}{device}", via.route.destination))
    });
    tree.push(branch("routes", leaves.collect()));
    let dns = item.files.iter().any(|file| file.ends_with("/resolv.conf"));
    tree.push(Tree::new(format!(
        "{} {}",
        paint("DNS", output::DIM),
        if dns { "its own" } else { "the host's" }
    )));
    if let Some(rules) = &item.rules {
        let policies = rules.policies.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let policies = if policies.is_empty() { policies } else { format!("; {policies}") };
        tree.push(Tree::new(format!("{} {}{policies}", paint("rules", output::DIM), rules.count)));
    }
    let leaves = item.processes.iter().map(|process| {
        let unit = process.unit.as_ref().map(|unit| format!(" ({unit})")).unwrap_or_default();
        Tree::new(format!("{} {}{unit}", process.pid, escape::line(&process.name)))
    });
    tree.push(branch("processes", leaves.collect()));
    tree
}
