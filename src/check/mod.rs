//! Finds mistakes in files and drift in the running state, without changing anything.

mod attached;
mod bus;
mod clashes;
mod cycles;
mod files;
mod links;
mod live;
mod managers;
mod masked;
mod missing;
mod private_mounts;
mod programs;
mod required;
mod rules;
mod settings;
mod subjects;
mod user_units;
mod view;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::bash::explain::{Explained, explain};
use crate::bash::query::{TIMEOUT, TIMEOUT_OF_OTHERS, Validation, require_readable};
use crate::bash::syntax;
use crate::config::declaration::Declaration;
use crate::config::layers::{Defined, LayerReader, Layers};
use crate::config::plugin;
use crate::engine::{self, Active, Condition};
use crate::hook::validate_function;
use crate::library::Record;
use crate::name::{Instance, NsName, NsType};
use crate::paths::Paths;
use crate::requires::{Graph, Problem};
use crate::sys::parallel::parallel_waiting;
use crate::trust;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Something does not work.
    Error,
    /// It works, but probably not as intended.
    Warning,
    /// It works, and can be intended. The check succeeds.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// A mistake or a drift.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// `FILE`, `FILE:LINE` or `FILE:LINE:COLUMN`, if the finding is about a file.
    pub place: Option<String>,
    /// Its severity.
    pub severity: Severity,
    /// The instance, if the finding is about one instance.
    pub instance: Option<String>,
    /// The problem.
    pub message: String,
    /// The next step for the user.
    pub advice: Option<String>,
}

impl Finding {
    fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self { place: None, severity, instance: None, message: message.into(), advice: None }
    }

    fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message)
    }

    fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message)
    }

    fn note(message: impl Into<String>) -> Self {
        Self::new(Severity::Note, message)
    }

    fn at(mut self, place: impl Into<String>) -> Self {
        self.place = Some(place.into());
        self
    }

    fn of(mut self, instance: &Instance) -> Self {
        self.instance = Some(instance.to_string());
        self
    }

    fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: ", self.severity)?;
        if let Some(instance) = &self.instance {
            write!(f, "{instance}: ")?;
        }
        f.write_str(&self.message)?;
        self.advice.as_ref().map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

/// The result of a check.
#[derive(Debug)]
pub struct Checked {
    /// The findings, sorted by place.
    pub findings: Vec<Finding>,
    /// Whether all parts of the check could run.
    pub complete: bool,
}

/// A type or an instance to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A type, with all its instances.
    Type(NsType),
    /// One instance.
    Instance(Instance),
}

impl Subject {
    fn covers(&self, instance: &Instance) -> bool {
        match self {
            Self::Type(nstype) => instance.nstype == *nstype,
            Self::Instance(this) => this == instance,
        }
    }

    fn nstype(&self) -> &NsType {
        match self {
            Self::Type(nstype) | Self::Instance(Instance { nstype, .. }) => nstype,
        }
    }
}

impl FromStr for Subject {
    type Err = anyhow::Error;

    fn from_str(argument: &str) -> Result<Self> {
        if argument.contains('@') {
            Instance::from_argument(argument).map(Self::Instance)
        } else {
            argument.parse().map(Self::Type)
        }
    }
}

/// An instance with the result of reading its files.
struct Examined {
    instance: Instance,
    layers: Layers,
    /// The declarations of the plugin.
    declaration: Declaration,
    explained: Explained,
    /// Whether bash can read all files to the end.
    is_sound: bool,
}

/// Checks everything, or only the given subjects.
/// Errors: a subject is unknown; or a directory, systemd or the kernel cannot be queried.
pub fn check(paths: &Paths, subjects: &[Subject]) -> Result<Checked> {
    let listing = plugin::list(paths)?;
    let active = if paths.is_live() { engine::active(paths)? } else { Vec::new() };
    subjects::ensure_known(paths, &listing.types, &active, subjects)?;
    let known = settings::known(paths, &listing.types);
    let is_wanted =
        |instance: &Instance| subjects.is_empty() || subjects.iter().any(|subject| subject.covers(instance));
    let types: Vec<NsType> = listing
        .types
        .into_iter()
        .filter(|nstype| subjects.is_empty() || subjects.iter().any(|subject| subject.nstype() == nstype))
        .collect();

    let (mut findings, unsound) = files::check(paths, &types, subjects)?;
    if subjects.is_empty() {
        findings.extend(listing.problems.into_iter().map(Finding::error));
    }
    let Read { examined, broken, errors } =
        read(paths, instances(paths, &active, subjects)?, &unsound, &is_wanted);
    // `files` has already reported files that other users can write.
    let reported = errors.into_iter().filter(|(one, error)| !error.is::<trust::Refused>() && is_wanted(one));
    findings.extend(reported.map(|(one, error)| unreadable(&one, &error)));
    let mut invalid = broken.clone();
    for one in examined.iter().filter(|one| is_wanted(&one.instance)) {
        let found = settings::check(paths, one, &known);
        if found.iter().any(|finding| finding.severity == Severity::Error) {
            invalid.insert(one.instance.clone());
        }
        findings.extend(found);
    }
    findings.extend(clashes::check(paths, &examined, &is_wanted));
    let graph = Graph::of_configured(paths, is_wanted)?;
    let reported = |problem: &&Problem| is_wanted(&problem.instance) && !broken.contains(&problem.instance);
    for problem in graph.problems.iter().filter(reported) {
        findings.push(Finding::error(&problem.message).of(&problem.instance));
    }
    let (found, mut complete) = rules::check(paths, &active, &examined, &is_wanted);
    findings.extend(found);
    if paths.is_live() {
        let (found, all) = live::check(paths, &active, &examined, &invalid, &graph, subjects, &is_wanted)?;
        findings.extend(found);
        complete &= all;
    }
    findings.sort();
    findings.dedup();
    Ok(Checked { findings, complete })
}

/// Whether an active instance differs from its state after `up`, as far as its plugin can find out.
/// Errors: the files of the instance cannot be read.
pub fn has_drift(paths: &Paths, instance: &Instance) -> Result<bool> {
    let one = examine(paths, Layers::of(paths, instance)?, instance, Validation::None, TIMEOUT)?;
    Ok(!live::drift(paths, &one, Record::read(paths, instance), true).is_empty())
}

/// The findings with which a restart of these instances would fail: errors in their files, the lines of `configure_TYPE_validate`, and
/// settings of interfaces. Bash does not read the files of a type without the last two.
///
/// The namespace of a firewall must be closed before bash runs commands in its files, so these files are only read if they only define
/// functions and set variables. A firewall that is not up is left to the restart: that closes the namespace.
/// Errors: bash cannot be run, or the active instances cannot be read.
pub fn restart_problems(paths: &Paths, instances: &[Instance]) -> Result<Vec<Finding>> {
    let reader = LayerReader::new(paths);
    let mut problems = Vec::new();
    let mut readable = Vec::new();
    let are_firewalls = |one: &&Instance| Declaration::of(paths, &one.nstype).firewall;
    let firewalls: Vec<&Instance> = instances.iter().filter(are_firewalls).collect();
    let active = if firewalls.is_empty() { Vec::new() } else { engine::active(paths)? };
    let is_up = |instance: &Instance| {
        active.iter().any(|one| one.instance == *instance && one.condition == Condition::Up)
    };
    for instance in instances.iter().filter(|one| !firewalls.contains(one) || is_up(one)) {
        match reader.read(instance).and_then(|layers| require_readable(paths, &layers).map(|()| layers)) {
            Ok(layers) => readable.push((instance, layers)),
            Err(error) => problems.push(unreadable(instance, &error)),
        }
    }
    let files = readable.iter().flat_map(|(_, layers)| layers.present()).map(|layer| layer.path.clone());
    // A FIFO has its contents only once.
    let unsound = syntax::errors(&files.filter(|path| path.is_file()).collect())?;
    problems.extend(unsound.iter().map(|(path, error)| files::syntax_error(path, error)));
    for (instance, layers) in readable {
        if !layers.present().any(|layer| unsound.contains_key(&layer.path)) {
            let found = problems_of(paths, instance, layers, instances);
            problems.extend(found.unwrap_or_else(|error| vec![unreadable(instance, &error)]));
        }
    }
    Ok(problems)
}

/// The finding for an instance whose files cannot be read.
fn unreadable(instance: &Instance, error: &anyhow::Error) -> Finding {
    Finding::error(format!("{error:#}")).of(instance)
}

/// The findings of [`restart_problems`] for one of the `restarted` instances, whose files bash can parse.
fn problems_of(
    paths: &Paths,
    instance: &Instance,
    layers: Layers,
    restarted: &[Instance],
) -> Result<Vec<Finding>> {
    let declaration = layers.declaration(paths, &instance.nstype);
    let validates = match layers.define(&validate_function(&instance.nstype)) {
        Defined::Yes => true,
        Defined::Unknown => !declaration.firewall,
        Defined::No => false,
    };
    if !validates && (declaration.firewall || declaration.links.is_empty()) {
        return Ok(Vec::new());
    }
    // The network is another one after the restart of another type.
    let has_other = restarted.iter().any(|other| other.name == instance.name && other != instance);
    let validation = if has_other { Validation::Settings } else { Validation::Network };
    let one = examine(paths, layers, instance, validation, TIMEOUT)?;
    if let Some(finding) = settings::unused(paths, &one) {
        return Ok(vec![finding]);
    }
    let mut lines = one.explained.invalid.clone();
    for (name, message) in links::problems(paths, &one) {
        let setting = format!("{name}: ");
        // A setting has one finding.
        if !lines.iter().any(|line| line.starts_with(&setting)) {
            lines.push(setting + &message);
        }
    }
    Ok(lines.iter().map(|line| settings::invalid(paths, &one, line)).collect())
}

/// The result of reading the files of all instances.
#[derive(Default)]
struct Read {
    examined: Vec<Examined>,
    /// Instances whose files cannot be read to the end. Another finding reports the cause. The requirements of these instances
    /// are unknown, so findings about requirements are left out.
    broken: BTreeSet<Instance>,
    errors: Vec<(Instance, anyhow::Error)>,
}

/// Reads all instances, because an instance can conflict with one that is not checked. `unsound` are the files with a syntax error.
fn read(
    paths: &Paths,
    instances: Vec<Instance>,
    unsound: &BTreeSet<PathBuf>,
    is_wanted: &(impl Fn(&Instance) -> bool + Sync),
) -> Read {
    let instances = instances.into_iter();
    let work = instances.filter(|one| plugin::find(paths, &one.nstype).is_ok()).collect();
    let reader = LayerReader::new(paths);
    let timeout = |instance: &Instance| if is_wanted(instance) { TIMEOUT } else { TIMEOUT_OF_OTHERS };
    let examine = |instance: &Instance| {
        examine(paths, reader.read(instance)?, instance, Validation::Network, timeout(instance))
    };
    let mut examined = parallel_waiting(work, |instance| (examine(&instance), instance));
    examined.sort_by(|(_, one), (_, other)| one.cmp(other));
    let mut read = Read::default();
    for (found, instance) in examined {
        match found {
            Ok(mut found) => {
                found.is_sound &= !found.layers.all().any(|layer| unsound.contains(&layer.path));
                if !found.is_sound {
                    read.broken.insert(instance);
                }
                read.examined.push(found);
            }
            Err(error) => {
                read.broken.insert(instance.clone());
                read.errors.push((instance, error));
            }
        }
    }
    read
}

fn examine(
    paths: &Paths,
    layers: Layers,
    instance: &Instance,
    validation: Validation,
    timeout: Duration,
) -> Result<Examined> {
    let explained = explain(paths, instance, &layers, validation, timeout)?;
    let declaration = layers.declaration(paths, &instance.nstype);
    let is_sound = explained.exited.is_none();
    Ok(Examined { instance: instance.clone(), layers, declaration, explained, is_sound })
}

/// All configured, active and named instances. An instance whose type needs no `.conf` file may have no file at all.
fn instances(paths: &Paths, active: &[Active], subjects: &[Subject]) -> Result<Vec<Instance>> {
    let mut instances = plugin::configured(paths)?;
    instances.extend(active.iter().map(|active| active.instance.clone()));
    instances.extend(subjects.iter().filter_map(|subject| match subject {
        Subject::Instance(instance) => Some(instance.clone()),
        Subject::Type(_) => None,
    }));
    instances.sort();
    instances.dedup();
    Ok(instances)
}

/// The place of an interface: a named namespace, or the host (`None`).
type Where = Option<NsName>;
