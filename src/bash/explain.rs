//! Finds the places where the layers of an instance set variables and define functions. Bash reads the layers as it does for
//! a hook.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::query::{Query, Validation, query};
use crate::config::layers::Layers;
use crate::name::Instance;
use crate::paths::Paths;
use crate::trust;

/// A variable that a layer sets.
#[derive(Clone, Debug, Serialize)]
pub struct Variable {
    /// The name.
    pub name: String,
    /// The value; for an array, the elements in parentheses.
    pub value: String,
    /// `FILE:LINE` of the last command that has set the variable.
    pub place: String,
    /// The elements of an array.
    #[serde(skip)]
    pub elements: Option<Vec<String>>,
}

impl Variable {
    /// The elements of an array, or the single value.
    #[must_use]
    pub fn values(&self) -> &[String] {
        self.elements.as_deref().unwrap_or(std::slice::from_ref(&self.value))
    }
}

/// A function that a layer defines.
#[derive(Clone, Debug, Serialize)]
pub struct Function {
    /// The name.
    pub name: String,
    /// `FILE:LINE` of the definition.
    pub place: String,
}

/// The variables and functions of an instance.
#[derive(Clone, Debug, Default)]
pub struct Explained {
    /// The variables, sorted by name.
    pub variables: Vec<Variable>,
    /// The functions, sorted by name.
    pub functions: Vec<Function>,
    /// The messages of `configure_TYPE_validate`, one per line.
    pub invalid: Vec<String>,
    /// `FILE:LINE` of a command in a layer that has called `exit`.
    pub exited: Option<String>,
    /// The output of the layers, and the messages of bash.
    pub output: String,
}

/// Lets bash read the layers, and returns the variables and functions with their places. Commands in the layers are executed.
/// The plugin also validates the settings, as `validation` says.
/// Errors: as for [`query`]; or the output of bash is incomplete.
pub fn explain(
    paths: &Paths,
    instance: &Instance,
    layers: &Layers,
    validation: Validation,
    timeout: Duration,
) -> Result<Explained> {
    let output = query(paths, instance, layers, Query::Values(validation), timeout);
    let output = output.map_err(|error| {
        if error.is::<trust::Refused>() {
            error
        } else {
            error.context("cannot read the files of the instance")
        }
    })?;
    let mut explained = parse(&String::from_utf8_lossy(&output.stdout))?;
    explained.output = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(explained)
}

/// Parses the output of `show.sh`.
/// Errors: the output is incomplete, or has an unknown record.
pub fn parse(text: &str) -> Result<Explained> {
    let mut explained = Explained::default();
    let mut fields = text.split_terminator('\0').map(str::to_owned);
    while let Some(kind) = fields.next() {
        let mut field = || fields.next().context("the output of bash is incomplete");
        match kind.as_str() {
            "variable" => {
                let (name, value, place) = (field()?, field()?, field()?);
                explained.variables.push(Variable { name, value, place, elements: None });
            }
            "array" => {
                let (name, place) = (field()?, field()?);
                let count: usize = field()?.parse().context("the output of bash is incomplete")?;
                let elements = (0..count).map(|_| field()).collect::<Result<Vec<String>>>()?;
                let value = format!("({})", elements.join(" "));
                explained.variables.push(Variable { name, value, place, elements: Some(elements) });
            }
            "function" => explained.functions.push(Function { name: field()?, place: field()? }),
            "invalid" => explained.invalid.push(field()?),
            "exited" => explained.exited = Some(field()?),
            _ => ensure!(false, "the output of bash is incomplete"),
        }
    }
    explained.variables.sort_by(|a, b| a.name.cmp(&b.name));
    explained.functions.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(explained)
}
