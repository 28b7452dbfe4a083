//! `netnsctl graph`: a map of the namespaces of this machine.

use std::slice;

use anyhow::Result;
use clap::Args;
use clap::ValueEnum;
use clap_complete::ArgValueCandidates;

use super::candidates;
use super::output::{self, paint, style_of};
use crate::exit::Status;
use crate::graph::{self, Map};
use crate::name::NsName;
use crate::paths::Paths;
use crate::print::{self, say};
use crate::status::unknown_namespace;

/// The arguments of `graph`.
#[derive(Debug, Args)]
pub struct GraphArgs {
    /// The namespaces, with their neighbours; by default all
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(candidates::names))]
    pub names: Vec<NsName>,
    /// Output format
    #[arg(long, default_value = "text")]
    pub format: Format,
    /// Print JSON (described in netnsctl(8))
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

/// The output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for a terminal
    Text,
    /// Input of Graphviz
    Dot,
    /// Mermaid, for Markdown
    Mermaid,
    /// A picture (needs Graphviz)
    Svg,
}

pub(super) fn run(paths: &Paths, options: &GraphArgs) -> Result<Status> {
    let mut map = graph::gather(paths, &options.names);
    for missing in &map.missing {
        print::warn(missing);
    }
    if !options.names.is_empty() {
        let known = |map: &Map, name: &NsName| {
            map.host_names.contains(name)
                || map.places.iter().any(|place| place.namespace.as_ref() == Some(name))
        };
        if let Some(name) = options.names.iter().find(|name| !known(&map, name)) {
            return Err(unknown_namespace(name));
        }
        map = map.around(&options.names);
    }
    if options.json {
        output::json("graph", slice::from_ref(&map))?;
        return Ok(Status::Done);
    }
    let text = match options.format {
        Format::Text => graph::text(&map, |word, state| paint(word, style_of(state))),
        Format::Dot => graph::dot(&map),
        Format::Mermaid => graph::mermaid(&map),
        Format::Svg => graph::svg(&map)?,
    };
    if !text.is_empty() {
        say(text.trim_end());
    }
    Ok(Status::Done)
}
