//! `netnsctl types`: lists the types, their plugins and their settings.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::arguments::OutputArgs;
use super::candidates;
use super::output;
use crate::config::header::PluginHeader;
use crate::config::plugin;
use crate::exit::Status;
use crate::name::NsType;
use crate::paths::Paths;

/// The arguments of `types`.
#[derive(Debug, Args)]
pub struct TypesArgs {
    /// The types; by default all
    #[arg(value_name = "TYPE", add = ArgValueCandidates::new(candidates::types))]
    pub types: Vec<NsType>,
    /// Options of the output.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Use the files below DIR, as in an image
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// One type as JSON.
#[derive(Serialize)]
struct TypeItem {
    #[serde(rename = "type")]
    nstype: NsType,
    path: String,
    /// The shipped plugin that the administrator's plugin overrides.
    #[serde(skip_serializing_if = "Option::is_none")]
    overrides: Option<String>,
    #[serde(flatten)]
    about: PluginHeader,
}

pub(super) fn run(options: &TypesArgs) -> Result<Status> {
    let paths = Paths::under(&options.root);
    let types: Vec<NsType> = if options.types.is_empty() {
        plugin::list(&paths)?.types.into_iter().collect()
    } else {
        options.types.clone()
    };
    let mut items = Vec::new();
    for nstype in types {
        let path = plugin::find(&paths, &nstype)?;
        let [own, shipped] = paths.plugin(&nstype);
        let overrides = (path == own && shipped.is_file()).then(|| shipped.display().to_string());
        let about = PluginHeader::of(&path, &nstype)?;
        items.push(TypeItem { nstype, path: path.display().to_string(), overrides, about });
    }
    if options.output.json {
        output::json("types", &items)?;
    } else if options.types.is_empty() {
        let rows: Vec<Vec<String>> = items
            .iter()
            .map(|item| {
                let place = match &item.overrides {
                    Some(shipped) => format!("{} (instead of {shipped})", item.path),
                    None => item.path.clone(),
                };
                vec![item.nstype.to_string(), item.about.description.clone(), place]
            })
            .collect();
        let legend = ["TYPE", "DESCRIPTION", "FROM"];
        output::table((!options.output.no_legend).then_some(&legend[..]), &rows)?;
    } else {
        for item in &items {
            describe(item)?;
        }
    }
    Ok(Status::Done)
}

fn describe(item: &TypeItem) -> Result<()> {
    use crate::print::say;
    say(&format!("{}: {}", item.nstype, item.about.description));
    say(&format!("  from   {}", item.path));
    if let Some(shipped) = &item.overrides {
        say(&format!("         instead of {shipped}"));
    }
    say(&format!("  hooks  {}", item.about.hooks.join(", ")));
    if !item.about.settings.is_empty() {
        say("  settings");
    }
    let rows: Vec<Vec<String>> = item
        .about
        .settings
        .iter()
        .map(|setting| vec![format!("    {}", setting.name), setting.description.clone()])
        .collect();
    output::plain(&rows)
}
