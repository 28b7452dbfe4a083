//! What can be seen on the machine itself: its interfaces and units, and what has changed since an instance came up.

use anyhow::Result;

use super::settings::{place, settings};
use super::{Examined, Finding, Subject};
use crate::bash::query::{Query, check_function, query};
use crate::config::plugin;
use crate::engine::{self, Active, Condition, EngineKind};
use crate::name::{Instance, Side};
use crate::netlink;
use crate::netns;
use crate::netns::ownership;
use crate::paths::Paths;
use crate::print;
use crate::requires::{self, Graph};
use crate::sys::capability::{self, Capability};
use crate::systemd::unit_files::{self, Action};
use crate::update;

/// What is found, and whether all could be looked at.
pub(super) fn check(
    paths: &Paths,
    examined: &[Examined],
    graph: &Graph,
    subjects: &[Subject],
    meant: &dyn Fn(&Instance) -> bool,
) -> Result<(Vec<Finding>, bool)> {
    let all = subjects.is_empty();
    let mut findings = parents(paths, examined, meant)?;
    if paths.systemd.is_dir() {
        findings.extend(of_systemd(paths, examined, graph, all, meant)?);
    }
    if all {
        findings.extend(super::view::commands(paths)?);
    }
    let active = engine::active(paths)?;
    findings.extend(super::required::check(paths, &active, meant)?);
    findings.extend(super::missing::check(paths, &active, meant)?);
    let mut whole = true;
    for active in active.iter().filter(|active| meant(&active.instance)) {
        match instance(paths, examined, active) {
            Ok(found) => findings.extend(found),
            Err(error) => {
                let instance = &active.instance;
                print::warn(&format!("`{instance}` is up, and is not looked at: {error:#}"));
                whole = false;
            }
        }
    }
    Ok((findings, whole))
}

/// Interfaces of the host that settings name, and that are not there.
fn parents(paths: &Paths, examined: &[Examined], meant: &dyn Fn(&Instance) -> bool) -> Result<Vec<Finding>> {
    let links = netlink::links()?;
    let mut findings = Vec::new();
    for one in examined.iter().filter(|one| meant(&one.instance)) {
        for setting in settings(one).filter(|setting| setting.name.ends_with("_PARENT_IFNAME")) {
            if links.iter().any(|link| link.name == setting.value) {
                continue;
            }
            let message = format!("{}: the host has no interface `{}`", setting.name, setting.value);
            let finding = Finding::error(message).at(place(setting, &one.instance, paths)).of(&one.instance);
            findings.push(finding.advice("`ip link` lists those that there are"));
        }
    }
    Ok(findings)
}

/// What systemd has, and has not.
fn of_systemd(
    paths: &Paths,
    examined: &[Examined],
    graph: &Graph,
    all: bool,
    meant: &dyn Fn(&Instance) -> bool,
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if all {
        findings.extend(stale(paths, graph)?);
        findings.extend(super::user_units::check()?);
    }
    findings.extend(super::attached::check(paths, all, meant)?);
    findings.extend(super::cycles::check(paths, examined, all, meant)?);
    for problem in requires::not_found(graph)?.iter().filter(|problem| meant(&problem.instance)) {
        findings.push(Finding::error(&problem.message).of(&problem.instance));
    }
    Ok(findings)
}

/// One instance that an engine knows of. An error: it may not be looked at.
fn instance(paths: &Paths, examined: &[Examined], active: &Active) -> Result<Vec<Finding>> {
    let instance = &active.instance;
    Ok(match active.condition {
        Condition::Failed => vec![
            Finding::error("it has failed")
                .of(instance)
                .advice(format!("`netnsctl status {}` has its last lines", instance.name)),
        ],
        Condition::Up => {
            let is_systemds = active.engine == EngineKind::Systemd;
            if let Some(lost) = is_systemds.then(|| lost(paths, instance)).flatten() {
                return Ok(vec![lost]);
            }
            capability::require(Capability::SysAdmin, "to look into namespaces")?;
            drift(paths, examined, instance)
        }
        Condition::Changing | Condition::Down => Vec::new(),
    })
}

/// An instance whose namespace is not the one that was made; or of which that cannot be told.
fn lost(paths: &Paths, instance: &Instance) -> Option<Finding> {
    let message =
        ownership::lost(paths, &instance.name).unwrap_or_else(|error| Some(format!("{error:#}")))?;
    Some(Finding::error(message).of(instance))
}

/// Units that netns-update would change.
fn stale(paths: &Paths, graph: &Graph) -> Result<Vec<Finding>> {
    let listing = plugin::list(paths)?;
    let templates = unit_files::templates(paths)?;
    let plan = update::plan(paths, &listing.types, &templates, graph, &[])?;
    let finding = |change: &unit_files::Change| {
        let what = match change.action {
            Action::Create | Action::Update | Action::Remove if change.is_dropin() => {
                "this drop-in is out of date"
            }
            Action::Create => "this unit is missing",
            Action::Update => "this unit is not a copy of its template",
            Action::ReplaceLink => "this unit is a link, not a copy of its template",
            Action::Remove => "this unit's type is gone",
            Action::Keep => return None,
        };
        Some(Finding::warning(what).at(change.path.display().to_string()).advice("run `netns-update`"))
    };
    let complaints = plan.complaints.iter().map(|complaint| Finding::warning(complaint.clone()));
    Ok(plan.changes.iter().filter_map(finding).chain(complaints).collect())
}

/// What the plugin's own check functions find to be other than `up` left it.
fn drift(paths: &Paths, examined: &[Examined], instance: &Instance) -> Vec<Finding> {
    // Of one whose files are not read, there is a finding already.
    let Some(one) = examined.iter().find(|one| one.instance == *instance) else { return Vec::new() };
    let sides = [Side::Outside, Side::Inside].into_iter();
    sides.flat_map(|side| drift_on(paths, one, side)).collect()
}

fn drift_on(paths: &Paths, Examined { instance, layers, .. }: &Examined, side: Side) -> Vec<Finding> {
    let function = check_function(instance, side);
    let _inside = match side {
        Side::Outside => None,
        Side::Inside => match netns::enter(paths, &instance.name) {
            Ok(inside) => Some(inside),
            Err(error) => {
                return vec![Finding::error(format!("{error:#}")).of(instance).advice(restart(instance))];
            }
        },
    };
    let output = match query(paths, instance, layers, Query::Check(side)) {
        Ok(output) => output,
        Err(error) => return vec![Finding::error(format!("`{function}`: {error:#}")).of(instance)],
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    if !output.status.success() && text.is_empty() {
        return vec![Finding::error(format!("`{function}` failed and said nothing")).of(instance)];
    }
    text.lines().map(|line| Finding::error(line).of(instance).advice(restart(instance))).collect()
}

fn restart(instance: &Instance) -> String {
    format!("`netnsctl down {instance}`, then `up`, make it anew")
}
