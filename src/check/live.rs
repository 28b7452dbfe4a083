//! Checks the running machine: interfaces, units, and the drift of active instances.

use std::collections::BTreeSet;

use anyhow::Result;

use super::settings::place;
use super::{Examined, Finding, Subject};
use crate::bash::query::{Query, TIMEOUT, check_function, query};
use crate::config::plugin;
use crate::engine::{self, Active, Condition};
use crate::library::link::{self, LinkSite};
use crate::library::{Drift, Record, Repair};
use crate::lifecycle::loopback;
use crate::name::{Instance, NsName, Side};
use crate::netlink;
use crate::netns;
use crate::paths::Paths;
use crate::print;
use crate::requires::parents::{self, Parents};
use crate::requires::{self, Graph};
use crate::sys::capability::{self, Capability};
use crate::sys::parallel::parallel_waiting;
use crate::systemd::unit_files::{self, Action};
use crate::update;

/// Returns the findings, and whether all parts of the check could run. `up` would refuse the files of the `invalid` instances.
pub(super) fn check(
    paths: &Paths,
    active: &[Active],
    examined: &[Examined],
    invalid: &BTreeSet<Instance>,
    graph: &Graph,
    subjects: &[Subject],
    is_wanted: &dyn Fn(&Instance) -> bool,
) -> Result<(Vec<Finding>, bool)> {
    let all = subjects.is_empty();
    let mut findings = parents(paths, examined, is_wanted)?;
    findings.extend(super::programs::check(examined, is_wanted));
    if paths.systemd.is_dir() {
        findings.extend(of_systemd(paths, examined, graph, all, is_wanted)?);
    }
    if all {
        findings.extend(super::view::commands(paths)?);
    }
    findings.extend(super::required::check(paths, active, is_wanted)?);
    findings.extend(super::missing::check(paths, active, is_wanted)?);
    findings.extend(super::managers::check(paths, active, is_wanted)?);
    findings.extend(loopback(paths, active, is_wanted));
    let mut complete = true;
    let wanted = active.iter().filter(|active| is_wanted(&active.instance)).collect();
    for (active, found) in
        parallel_waiting(wanted, |active| (active, instance(paths, examined, invalid, active)))
    {
        match found {
            Ok(found) => findings.extend(found),
            Err(error) => {
                let instance = &active.instance;
                print::warn(&format!("cannot check `{instance}`, which is up: {error:#}"));
                complete = false;
            }
        }
    }
    Ok((findings, complete))
}

/// Reports missing parent interfaces of the host.
fn parents(
    paths: &Paths,
    examined: &[Examined],
    is_wanted: &dyn Fn(&Instance) -> bool,
) -> Result<Vec<Finding>> {
    let links = netlink::links()?;
    let mut findings = Vec::new();
    for one in examined.iter().filter(|one| is_wanted(&one.instance)) {
        for setting in parents::settings(&one.explained, &one.instance.nstype) {
            if links.iter().any(|link| link.name == setting.value) {
                continue;
            }
            // As `link::problem` has it, so there is one finding.
            let message = link::missing_parent(&setting.value, &LinkSite::Host);
            let finding = Finding::error(format!("{}: {message}", setting.name));
            findings.push(finding.at(place(setting, &one.instance, paths)).of(&one.instance));
        }
    }
    Ok(findings)
}

/// Reports loopback interfaces that no active instance sets up. An instance that does has its own check.
fn loopback(paths: &Paths, active: &[Active], is_wanted: &dyn Fn(&Instance) -> bool) -> Vec<Finding> {
    let up = || active.iter().filter(|one| one.condition == Condition::Up).map(|one| &one.instance);
    let provided: BTreeSet<&NsName> =
        up().filter(|one| loopback::is_provided_by(paths, one)).map(|one| &one.name).collect();
    let names: BTreeSet<&NsName> =
        up().filter(|one| is_wanted(one) && !provided.contains(&one.name)).map(|one| &one.name).collect();
    let finding =
        |name: &NsName| Some(Finding::note(format!("namespace `{name}`: {}", loopback::down(paths, name)?)));
    names.into_iter().filter_map(finding).collect()
}

/// Checks units of systemd.
fn of_systemd(
    paths: &Paths,
    examined: &[Examined],
    graph: &Graph,
    all: bool,
    is_wanted: &dyn Fn(&Instance) -> bool,
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if all {
        findings.extend(stale(paths, examined, graph)?);
        findings.extend(super::user_units::check()?);
    }
    findings.extend(super::attached::check(paths, all, is_wanted)?);
    findings.extend(super::masked::check(examined, is_wanted));
    findings.extend(super::private_mounts::check(examined, is_wanted)?);
    findings.extend(super::cycles::check(paths, examined, all, is_wanted)?);
    for problem in requires::not_found(graph)?.iter().filter(|problem| is_wanted(&problem.instance)) {
        findings.push(Finding::error(&problem.message).of(&problem.instance));
    }
    Ok(findings)
}

/// Checks one active instance.
/// Errors: permission denied.
fn instance(
    paths: &Paths,
    examined: &[Examined],
    invalid: &BTreeSet<Instance>,
    active: &Active,
) -> Result<Vec<Finding>> {
    let instance = &active.instance;
    Ok(match active.condition {
        Condition::Failed => vec![
            Finding::error("the instance has failed")
                .of(instance)
                .advice(format!("`netnsctl status {}` shows its last messages", instance.name)),
        ],
        Condition::Up => {
            if let Some(lost) = lost(paths, active) {
                return Ok(vec![lost]);
            }
            capability::require(Capability::SysAdmin, "to look into namespaces")?;
            let record = Record::read(paths, instance);
            let mut findings = record.as_ref().map(|one| notes(paths, instance, one)).unwrap_or_default();
            // There is another finding for an instance whose files cannot be read.
            if let Some(one) = examined.iter().find(|one| one.instance == *instance) {
                findings.extend(record.iter().flat_map(|record| super::links::kept(paths, one, record)));
                findings.extend(drift(paths, one, record, !invalid.contains(instance)));
            }
            findings
        }
        Condition::Changing if engine::is_interrupted(paths, active) => vec![
            Finding::error("the instance is only partially up: a command was interrupted")
                .of(instance)
                .advice(restart(instance)),
        ],
        Condition::Changing | Condition::Down => Vec::new(),
    })
}

/// Reports what is not drift, but may need attention.
fn notes(paths: &Paths, instance: &Instance, record: &Record) -> Vec<Finding> {
    let mut findings = Vec::new();
    for note in record.notes(paths) {
        let advice = format!("`netnsctl restart {instance}` clears this note");
        findings.push(Finding::note(note).of(instance).advice(advice));
    }
    for line in record.awaited_links(paths).unwrap_or_default() {
        let advice = "bring up the type that creates it, or correct the name";
        findings.push(Finding::note(line).of(instance).advice(advice));
    }
    for line in record.readable_files(paths).unwrap_or_default() {
        findings.push(Finding::warning(line).of(instance));
    }
    for setting in record.host_settings().unwrap_or_default() {
        let fix = format!("fix: `{}`", setting.fix);
        findings.push(Finding::note(setting.line).of(instance).advice(fix));
    }
    findings
}

/// Reports that the namespace of the instance was deleted or replaced by a foreign one, or that its ownership record is damaged.
fn lost(paths: &Paths, active: &Active) -> Option<Finding> {
    let message =
        engine::namespace_problem(paths, active).unwrap_or_else(|error| Some(format!("{error:#}")))?;
    Some(Finding::error(message).of(&active.instance))
}

/// Reports units that `netns-update` would change.
fn stale(paths: &Paths, examined: &[Examined], graph: &Graph) -> Result<Vec<Finding>> {
    let listing = plugin::list(paths)?;
    let templates = unit_files::templates(paths)?;
    let configured = plugin::configured(paths)?;
    let explained = examined.iter().filter(|one| configured.binary_search(&one.instance).is_ok());
    let mut parents = Parents::of(paths, explained.map(|one| (&one.instance, &one.explained)));
    // Another finding reports the files that cannot be read.
    let read: BTreeSet<&Instance> = examined.iter().map(|one| &one.instance).collect();
    let unread = configured.iter().filter(|instance| !read.contains(instance));
    parents.unknown = unread.map(|instance| (instance.clone(), String::new())).collect();
    let plan = update::plan(paths, &listing.types, &templates, graph, &parents, &[])?;
    let finding = |change: &unit_files::Change| {
        let what = match change.action {
            Action::Create | Action::Update | Action::Remove if change.is_dropin() => "this drop-in is stale",
            Action::Create => "this unit is missing",
            Action::Update => "this unit differs from its template",
            Action::ReplaceLink => "this unit is a link, not a copy of its template",
            Action::Remove => "the type of this unit does not exist any more",
            Action::Keep => return None,
        };
        Some(Finding::warning(what).at(change.path.display().to_string()).advice("run `netns-update`"))
    };
    let complaints = plan.problems.iter().map(|complaint| Finding::warning(complaint.clone()));
    Ok(plan.changes.iter().filter_map(finding).chain(complaints).collect())
}

/// The advice for an instance whose files `up` would refuse.
const CORRECT: &str = "correct the files of the instance first; it keeps its earlier settings until then";

/// Reports drift, with the check functions of the plugin. `is_valid`: whether `up` accepts the files.
pub(super) fn drift(paths: &Paths, one: &Examined, record: Result<Record>, is_valid: bool) -> Vec<Finding> {
    // Without its programs, the plugin cannot find out the state. Another finding reports them.
    if super::programs::is_incomplete(one) {
        return Vec::new();
    }
    let instance = &one.instance;
    let fix = |command: String| if is_valid { command } else { CORRECT.to_owned() };
    let mut findings = Vec::new();
    // Another finding reports files that bash cannot read.
    if one.is_sound {
        let sides = [Side::Outside, Side::Inside].into_iter();
        findings.extend(sides.flat_map(|side| drift_on(paths, one, side, &fix(restart(instance)))));
    }
    match record.and_then(|record| record.drift(paths)) {
        Ok(differences) => {
            findings.extend(differences.into_iter().map(|Drift { line, repair }| {
                let advice = match repair {
                    Repair::Restart => Some(fix(format!("fix: `netnsctl restart {instance}`"))),
                    Repair::Recreation => Some(fix(restart(instance))),
                    Repair::Host => None,
                };
                Finding { advice, ..Finding::error(line).of(instance) }
            }));
        }
        Err(error) => findings.push(Finding::error(format!("{error:#}")).of(instance)),
    }
    findings
}

/// Reports the lines of the check function of one side. `fix` is their next step.
fn drift_on(paths: &Paths, one: &Examined, side: Side, fix: &str) -> Vec<Finding> {
    let Examined { instance, layers, explained, .. } = one;
    let function = check_function(instance, side);
    let _inside = match side {
        Side::Outside => None,
        Side::Inside => match netns::enter(paths, &instance.name) {
            Ok(inside) => Some(inside),
            Err(error) => {
                return vec![Finding::error(format!("{error:#}")).of(instance).advice(fix)];
            }
        },
    };
    let output = match query(paths, instance, layers, Query::Check(side), TIMEOUT) {
        Ok(output) => output,
        Err(error) => return vec![Finding::error(format!("`{function}`: {error:#}")).of(instance)],
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    if !output.status.success() && text.is_empty() {
        return vec![Finding::error(format!("`{function}` failed without a message")).of(instance)];
    }
    // An invalid setting has its own finding, with its place.
    let lines = text.lines().filter(|line| !explained.invalid.iter().any(|invalid| invalid == line));
    lines.map(|line| Finding::error(line).of(instance).advice(fix)).collect()
}

fn restart(instance: &Instance) -> String {
    format!("fix: `netnsctl down {instance}`, then `netnsctl up {instance}`")
}
