//! Where the variables and functions of an instance come from: its layers are read as in a hook, and followed.

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::query::{Query, query};
use crate::config::layers::Layers;
use crate::name::Instance;
use crate::paths::Paths;
use crate::trust;

/// Something that a layer sets.
#[derive(Clone, Debug, Serialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; the elements of an array stand between parentheses.
    pub value: String,
    /// `FILE:LINE` of the command that set it last.
    pub place: String,
}

/// A function that a layer defines.
#[derive(Clone, Debug, Serialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// `FILE:LINE`.
    pub place: String,
}

/// All that the layers of an instance come to.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    /// In the order of their names.
    pub variables: Vec<Variable>,
    /// In the order of their names.
    pub functions: Vec<Function>,
    /// What `configure_TYPE_validate` has against the settings, a line each.
    pub invalid: Vec<String>,
    /// `FILE:LINE` of a command that ended the reading.
    pub exited: Option<String>,
    /// What the files, and bash, said meanwhile.
    pub said: String,
}

/// Has bash read the layers and follow them. Commands in the layers are executed. If `validate`, the plugin also checks the values.
/// Errors: as for [`ask`].
pub fn explain(paths: &Paths, instance: &Instance, layers: &Layers, validate: bool) -> Result<Explained> {
    let asked = query(paths, instance, layers, Query::Values { validate });
    let output = asked.map_err(|error| {
        if error.is::<trust::Refused>() { error } else { error.context("cannot read its files") }
    })?;
    let mut explained = parse(&String::from_utf8_lossy(&output.stdout))?;
    explained.output = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(explained)
}

/// Reads what `show.sh` prints.
/// Errors: it is cut short.
pub fn parse(text: &str) -> Result<Explained> {
    let mut explained = Explained::default();
    let mut fields = text.split_terminator('\0').map(str::to_owned);
    while let Some(kind) = fields.next() {
        let mut field = || fields.next().context("the layers were not read to their end");
        match kind.as_str() {
            "variable" => {
                explained.variables.push(Variable { name: field()?, value: field()?, place: field()? });
            }
            "function" => explained.functions.push(Function { name: field()?, place: field()? }),
            "invalid" => explained.invalid.push(field()?),
            "exited" => explained.exited = Some(field()?),
            _ => ensure!(false, "the layers were not read to their end"),
        }
    }
    explained.variables.sort_by(|one, other| one.name.cmp(&other.name));
    explained.functions.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(explained)
}
