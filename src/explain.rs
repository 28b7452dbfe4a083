//! Where the variables and functions of an instance come from: its layers are read as in a hook, and followed.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use duct::cmd;
use serde::Serialize;

use crate::name::Instance;
use crate::paths::{BASH, Paths};
use crate::{plugin, wrapper};

/// How long reading the files of an instance may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The bash that follows the layers.
const SHOW: &str = include_str!("show.sh");

/// One of the files that a hook reads.
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    /// What it is for: `plugin`, `default`, `type`, `instance`.
    pub role: &'static str,
    /// Where it is, or would be.
    pub path: PathBuf,
    /// Whether it is there.
    pub exists: bool,
}

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
    /// `FILE:LINE` of a command that ended the reading.
    pub exited: Option<String>,
    /// What the files, and bash, said meanwhile.
    pub said: String,
}

/// The files that a hook of an instance reads, in their order.
///
/// # Errors
/// There is no plugin.
pub fn layers(paths: &Paths, instance: &Instance) -> Result<Vec<Layer>> {
    let layer = |role, path: PathBuf| Layer { role, exists: path.exists(), path };
    Ok(vec![
        layer("plugin", plugin::find(paths, &instance.nstype)?),
        layer("default", paths.default_conf()),
        layer("type", paths.conf_of_type(&instance.nstype)),
        layer("instance", paths.conf_of(instance)),
    ])
}

/// What stands in front of bash text that reads the layers which are there.
///
/// # Errors
/// There is no plugin.
pub fn reader(paths: &Paths, instance: &Instance) -> Result<String> {
    let files: Vec<PathBuf> =
        layers(paths, instance)?.into_iter().filter(|layer| layer.exists).map(|layer| layer.path).collect();
    Ok(wrapper::reader(paths, instance, &files))
}

/// Reads the layers and follows them. What they do besides setting variables, they do.
///
/// # Errors
/// There is no plugin, or bash cannot be run.
pub fn explain(paths: &Paths, instance: &Instance) -> Result<Explained> {
    let text = reader(paths, instance)? + SHOW;
    let words = [instance.nstype.as_ref(), instance.name.as_ref(), "up", "outside"];
    let output = bash(&text, &words)?;
    let mut explained = parse(&String::from_utf8_lossy(&output.stdout))?;
    explained.said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(explained)
}

/// Runs bash text with these words, in the namespace of this thread; what it prints is kept.
///
/// # Errors
/// bash cannot be run, or does not come to an end.
pub fn bash(text: &str, words: &[&str]) -> Result<Output> {
    let script = tempfile::NamedTempFile::new().context("cannot create a temporary file")?;
    fs::write(script.path(), text).context("cannot write a temporary file")?;
    let handle = cmd(BASH, [script.path().as_os_str()].into_iter().chain(words.iter().map(AsRef::as_ref)))
        .stdin_null()
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .start()
        .with_context(|| format!("cannot run {BASH}"))?;
    if let Some(output) = handle.wait_timeout(PATIENCE).with_context(|| format!("cannot wait for {BASH}"))? {
        return Ok(output.clone());
    }
    handle.kill().with_context(|| format!("cannot end {BASH}"))?;
    bail!("its files do not come to an end: they were read for {} seconds", PATIENCE.as_secs())
}

/// Reads what `show.sh` prints.
///
/// # Errors
/// It is cut short.
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
            "exited" => explained.exited = Some(field()?),
            _ => ensure!(false, "the layers were not read to their end"),
        }
    }
    explained.variables.sort_by(|one, other| one.name.cmp(&other.name));
    explained.functions.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(explained)
}
