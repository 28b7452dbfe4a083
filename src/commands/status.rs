//! `netnsctl status`: shows the contents of a namespace.

use anyhow::Result;
use clap::Args;
use clap_complete::ArgValueCandidates;
use termtree::Tree;

use super::arguments::OutputArgs;
use super::candidates;
use super::output::{self, paint, style_of};
use crate::engine::Condition;
use crate::exit::Status;
use crate::name::NsName;
use crate::netns::processes::NamespaceProcess;
use crate::paths::Paths;
use crate::print::{escape, say};
use crate::status::{self, InstanceStatus, InterfaceStatus, NamedRoute, NamespaceStatus};

/// The arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The namespaces; by default all with an active instance
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(candidates::names))]
    pub names: Vec<NsName>,
    /// Options of the output.
    #[command(flatten)]
    pub output: OutputArgs,
}

pub(super) fn run(paths: &Paths, options: &StatusArgs) -> Result<Status> {
    let items = status::read(paths, &options.names)?;
    if options.output.json {
        output::json("status", &items)?;
    } else {
        for item in &items {
            say(tree(item).to_string().trim_end());
        }
    }
    let instances = items.iter().flat_map(|item| &item.instances);
    let failed = instances.into_iter().any(|instance| instance.state == Condition::Failed);
    Ok(if failed { Status::Failed } else { Status::Done })
}

fn tree(item: &NamespaceStatus) -> Tree<String> {
    let state =
        if item.exists { paint("exists", output::GREEN) } else { paint("does not exist", output::DIM) };
    let mut tree = Tree::new(format!("{} ({state})", paint(item.namespace.as_ref(), output::BOLD)));
    tree.push(branch("instances").with_leaves(item.instances.iter().map(instance)));
    if !item.attached.is_empty() {
        tree.push(branch("attached").with_leaves(item.attached.iter().cloned()));
    }
    if !item.exists {
        return tree;
    }
    tree.push(branch("interfaces").with_leaves(item.interfaces.iter().map(interface)));
    if let Some(text) = &item.loopback {
        tree.push(Tree::new(format!("{} {text}", paint("loopback", output::DIM))));
    }
    tree.push(branch("routes").with_leaves(item.routes.iter().map(route)));
    let dns = item.files.iter().any(|file| file.ends_with("/resolv.conf"));
    let whose = if dns { "its own" } else { "the host's" };
    tree.push(Tree::new(format!("{} {whose}", paint("DNS", output::DIM))));
    if let Some(rules) = &item.rules {
        let policies: String = rules.policies.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let policies = if policies.is_empty() { policies } else { format!("; {policies}") };
        tree.push(Tree::new(format!("{} {}{policies}", paint("rules", output::DIM), rules.count)));
    }
    tree.push(branch("processes").with_leaves(item.processes.iter().map(process)));
    tree
}

fn branch(label: &str) -> Tree<String> {
    Tree::new(paint(label, output::DIM))
}

fn instance(one: &InstanceStatus) -> Tree<String> {
    let since = one.since.map(|since| format!(" since {}", output::time(since))).unwrap_or_default();
    let engine = one.engine.map(|engine| format!(", {engine}")).unwrap_or_default();
    let state = paint(&one.state.to_string(), style_of(one.state));
    let ways = |what, values: &[String]| -> Vec<String> {
        values.iter().map(|value| format!("{} {value}", paint(what, output::DIM))).collect()
    };
    let (published, masqueraded) = (ways("published", &one.published), ways("masquerades", &one.masqueraded));
    Tree::new(format!("{} {state}{since}{engine}", one.nstype))
        .with_leaves(published.into_iter().chain(masqueraded).chain(one.log.iter().cloned()))
}

fn interface(one: &InterfaceStatus) -> String {
    let link = &one.link;
    let other = one.other.as_ref().map(|other| match &other.namespace {
        Some(namespace) => format!(" -> {} in {namespace}", other.name),
        None => format!(" -> {} on the host", other.name),
    });
    let addresses = link.addresses.join(" ");
    let state = if link.up { paint(link.state, output::GREEN) } else { paint("DOWN", output::DIM) };
    let text = format!("{} {state} {addresses}{}", link.name, other.unwrap_or_default());
    text.trim_end().to_owned()
}

fn route(NamedRoute { route, interface }: &NamedRoute) -> String {
    let gateway = route.gateway.map(|gateway| format!(" via {gateway}")).unwrap_or_default();
    let device = interface.as_ref().map(|name| format!(" dev {name}")).unwrap_or_default();
    format!("{}{gateway}{device}", route.destination)
}

fn process(one: &NamespaceProcess) -> String {
    let unit = one.unit.as_ref().map(|unit| format!(" ({unit})")).unwrap_or_default();
    let place = if one.sockets_only { ", only sockets" } else { "" };
    format!("{} {}{unit}{place}", one.pid, escape::line(&one.name))
}
