//! `netnsctl status`: a namespace with all that is in it.

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
use crate::paths::Paths;
use crate::print::{escape, say};
use crate::status::{self, NamespaceStatus};

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

pub(super) fn run(paths: &Paths, options: &StatusArgs) -> Result<Status> {
    let items = status::look(paths, &options.names)?;
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
