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
use crate::bash::query::TIMEOUT;
use crate::config::header::PluginHeader;
use crate::config::layers::{Layer, Layers, Role};
use crate::exit::Status;
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
}

pub(super) fn run(options: &ShowArgs) -> Result<Status> {
    let paths = Paths::under(&options.root);
    let instance = &options.instance;
    let layers = Layers::of(&paths, instance)?;
    let explained = explain(&paths, instance, &layers, false, TIMEOUT)?;
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
