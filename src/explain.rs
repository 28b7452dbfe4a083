//! Where the variables and functions of an instance come from: its layers are read as in a hook, and followed.

use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use duct::cmd;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Serialize;

use crate::hook::UNWANTED;
use crate::name::Instance;
use crate::paths::{BASH, Paths};
use crate::{plugin, trust, wrapper};

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
/// There is no plugin, or others can write one of the files.
pub fn reader(paths: &Paths, instance: &Instance) -> Result<String> {
    let files: Vec<PathBuf> =
        layers(paths, instance)?.into_iter().filter(|layer| layer.exists).map(|layer| layer.path).collect();
    trust::require(&paths.root, [&paths.conf].into_iter().chain(&files))?;
    Ok(wrapper::reader(paths, instance, &files))
}

/// Reads the layers and follows them. What they do besides setting variables, they do.
///
/// # Errors
/// There is no plugin, others can write one of the files, or bash cannot be run.
pub fn explain(paths: &Paths, instance: &Instance) -> Result<Explained> {
    let text = reader(paths, instance)? + SHOW;
    let words = [instance.nstype.as_ref(), instance.name.as_ref(), "up", "outside"];
    let output = bash(&text, &words).context("cannot read its files")?;
    let mut explained = parse(&String::from_utf8_lossy(&output.stdout))?;
    explained.said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(explained)
}

/// Runs bash text with these words, in the namespace of this thread; what it prints is kept, and what it has started and left is
/// ended.
///
/// # Errors
/// bash cannot be run, or does not come to an end.
pub fn bash(text: &str, words: &[&str]) -> Result<Output> {
    // Files, as whatever is left in the background would keep a pipe open; without names, so that none is left of a kill.
    let file = || tempfile::tempfile().context("cannot create a temporary file");
    let mut script = file()?;
    script.write_all(text.as_bytes()).context("cannot write a temporary file")?;
    let (mut stdout, mut stderr) = (file()?, file()?);
    let (out, err) = (stdout.try_clone()?, stderr.try_clone()?);
    let place = format!("/proc/{}/fd/{}", std::process::id(), script.as_raw_fd());
    let bash = cmd(BASH, [place.as_str()].iter().chain(words)).stdin_null().stdout_file(out).stderr_file(err);
    let handle = UNWANTED
        .iter()
        .fold(bash, |bash, name| bash.env_remove(name))
        .unchecked()
        .before_spawn(|command| {
            command.process_group(0);
            Ok(())
        })
        .start()
        .with_context(|| format!("cannot run {BASH}"))?;
    let ended = handle
        .wait_timeout(PATIENCE)
        .with_context(|| format!("cannot wait for {BASH}"))?
        .map(|output| output.status);
    if let Some(pid) = handle.pids().first().and_then(|&pid| i32::try_from(pid).ok()) {
        // That the group is gone by now is what is wanted.
        _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let Some(status) = ended else {
        handle.wait().with_context(|| format!("cannot end {BASH}"))?;
        bail!("no end was reached in {} seconds", PATIENCE.as_secs())
    };
    let mut output = Output { status, stdout: Vec::new(), stderr: Vec::new() };
    for (file, text) in [(&mut stdout, &mut output.stdout), (&mut stderr, &mut output.stderr)] {
        file.rewind().and_then(|()| file.read_to_end(text)).context("cannot read what bash has printed")?;
    }
    Ok(output)
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
