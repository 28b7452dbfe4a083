//! `netnsctl show`: shows the effective settings of an instance, and the file and line of each.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::arguments::OutputArgs;
use super::candidates;
use super::output::{self, paint};
use crate::bash::explain::{Function, Variable, explain};
use crate::bash::query::{TIMEOUT, Validation};
use crate::config::declaration::Declaration;
use crate::config::header::PluginHeader;
use crate::config::layers::{Layer, Layers, Role};
use crate::exit::Status;
use crate::library::{self, ports::PublishedPort};
use crate::name::Instance;
use crate::paths::Paths;
use crate::print::{self, escape, say};

/// The arguments of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The instance
    #[arg(value_parser = Instance::from_argument, value_name = "TYPE@NAME", add = ArgValueCandidates::new(candidates::instances))]
    pub instance: Instance,
    /// Options of the output.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Use the files below DIR, as in an image
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// One layer as JSON.
#[derive(Serialize)]
struct ShownLayer {
    role: Role,
    path: PathBuf,
    exists: bool,
}

impl ShownLayer {
    fn of(layer: &Layer) -> Self {
        Self { role: layer.role, path: layer.path.clone(), exists: layer.path.exists() }
    }
}

/// An instance as JSON.
#[derive(Serialize)]
struct ShownInstance {
    instance: String,
    layers: Vec<ShownLayer>,
    variables: Vec<Variable>,
    /// The functions of the hooks.
    hooks: Vec<Function>,
    /// Settings of the plugin that are not set in any file.
    unset: Vec<String>,
    /// The ports of the host that lead to the namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    published: Vec<String>,
    /// The addresses of the namespace that the host replaces with its own, while the instance is up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    masqueraded: Vec<String>,
}

pub(super) fn run(options: &ShowArgs) -> Result<Status> {
    let paths = Paths::under(&options.root);
    let instance = &options.instance;
    let layers = Layers::of(&paths, instance)?;
    let explained = explain(&paths, instance, &layers, Validation::None, TIMEOUT)?;
    let prefix = format!("configure_{}_", instance.nstype);
    let settings = PluginHeader::of(&layers.get(Role::Plugin).path, &instance.nstype)?.settings;
    let is_set = |name: &str| explained.variables.iter().any(|variable| variable.name == name);
    let item = ShownInstance {
        instance: instance.to_string(),
        unset: settings.into_iter().map(|setting| setting.name).filter(|name| !is_set(name)).collect(),
        hooks: explained
            .functions
            .iter()
            .filter(|function| function.name.starts_with(&prefix))
            .cloned()
            .collect(),
        published: published(&explained.variables, &layers.declaration(&paths, &instance.nstype)),
        masqueraded: library::masqueraded(&paths, instance),
        variables: explained.variables.clone(),
        layers: layers.all().map(ShownLayer::of).collect(),
    };
    for line in explained.output.lines() {
        print::warn(line);
    }
    if let Some(place) = &explained.exited {
        print::warn(&format!("bash stopped reading the files of the instance at {place}"));
    }
    if options.output.json {
        output::json("show", &[item])?;
    } else {
        print(&item)?;
    }
    Ok(Status::Done)
}

/// The ports in the settings that the plugin declares. `check` reports an invalid one.
fn published(variables: &[Variable], declared: &Declaration) -> Vec<String> {
    let settings = variables.iter().filter(|variable| declared.publishes.contains(&variable.name));
    let ports = settings.flat_map(Variable::values).filter_map(|text| text.parse::<PublishedPort>().ok());
    ports.map(|port| port.to_string()).collect()
}

fn print(item: &ShownInstance) -> Result<()> {
    say(&paint(&item.instance, output::BOLD));
    let heading = |text: &str| say(&paint(text, output::DIM));
    heading("layers, each overrides the layers above");
    let rows: Vec<Vec<String>> = item
        .layers
        .iter()
        .map(|layer| {
            let note = if layer.exists { String::new() } else { paint("(does not exist)", output::DIM) };
            vec![format!("  {}", layer.role), layer.path.display().to_string(), note]
        })
        .collect();
    output::plain(&rows)?;
    heading("variables");
    let rows = item.variables.iter().map(|variable| {
        vec![format!("  {}", variable.name), quoted(&variable.value), variable.place.clone()]
    });
    let unset = item
        .unset
        .iter()
        .map(|name| vec![format!("  {name}"), paint("(not set)", output::DIM), String::new()]);
    output::plain(&rows.chain(unset).collect::<Vec<_>>())?;
    if !item.published.is_empty() {
        heading("published ports: host, namespace");
        item.published.iter().for_each(|port| say(&format!("  {port}")));
    }
    if !item.masqueraded.is_empty() {
        heading("addresses that the host replaces with its own");
        item.masqueraded.iter().for_each(|network| say(&format!("  {network}")));
    }
    heading("hooks");
    let rows: Vec<Vec<String>> =
        item.hooks.iter().map(|hook| vec![format!("  {}", hook.name), hook.place.clone()]).collect();
    output::plain(&rows)
}

/// Quotes a value for bash, on one line.
fn quoted(value: &str) -> String {
    if escape::line(value) == value {
        return shell_words::quote(value).into_owned();
    }
    format!("$'{}'", escape::line(&value.replace('\\', "\\\\").replace('\'', "\\'")))
}
