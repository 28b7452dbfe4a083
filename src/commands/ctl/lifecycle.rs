//! `netnsctl up`, `down` and `restart`.

use std::collections::BTreeMap;
use std::fs;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use serde::Serialize;

use super::output;
use crate::cli::Lifecycle;
use crate::commands::{Status, say};
use crate::engine::{self, Active, Condition, Engine, Kind, Outcome};
use crate::firewall;
use crate::name::{Instance, NsName, NsType, Target};
use crate::netns::{self, Named};
use crate::paths::Paths;
use crate::plugin;

/// When a wait is worth a word, the first time and from then on.
const FIRST_WORD: Duration = Duration::from_secs(1);
const NEXT_WORD: Duration = Duration::from_secs(10);

/// What is done, and the words for it.
pub(super) struct Work {
    present: &'static str,
    changed: &'static str,
    unchanged: &'static str,
    brings_up: bool,
    /// The instances that a bare name stands for.
    all_of: fn(&Paths, &NsName) -> Result<Vec<Instance>>,
    act: fn(&dyn Engine, &[Instance], recursive: bool) -> Vec<Outcome>,
    /// Whether it ends what is kept of an instance that has failed.
    forgets: bool,
}

pub(super) const UP: Work = Work {
    present: "bringing up",
    changed: "is up",
    unchanged: "was up already",
    brings_up: true,
    all_of: configured,
    act: |engine, all, _| engine.up(all),
    forgets: false,
};

pub(super) const DOWN: Work = Work {
    present: "taking down",
    changed: "is down",
    unchanged: "was down already",
    brings_up: false,
    all_of: any_active,
    act: |engine, all, recursive| engine.down(all, recursive),
    forgets: true,
};

pub(super) const RESTART: Work = Work {
    present: "restarting",
    changed: "was restarted",
    unchanged: "was up already",
    brings_up: true,
    all_of: some_active,
    act: |engine, all, _| engine.restart(all),
    forgets: false,
};

/// Brings up what is configured for a namespace, and says nothing of it unless it fails.
pub(super) fn up_quietly(paths: &Paths, name: &NsName) -> Result<()> {
    let instances = configured(paths, name)?;
    firewall::close_requested(paths, &instances);
    let engine = engine::choose(paths, None, false)?;
    let outcomes = while_telling("bringing up", &instances, || engine.up(&instances));
    outcomes.into_iter().try_for_each(|outcome| outcome.changed.map(drop))
}

pub(super) fn run(paths: &Paths, options: &Lifecycle, work: &Work, recursive: bool) -> Result<Status> {
    let instances = resolve(paths, &options.targets, work.all_of)?;
    if work.brings_up {
        firewall::close_requested(paths, &instances);
    }
    let mut outcomes = Vec::new();
    for (kind, group) in by_engine(paths, options, &instances)? {
        let engine = engine::choose(paths, Some(kind), options.adopt)?;
        outcomes
            .extend(while_telling(work.present, &group, || (work.act)(engine.as_ref(), &group, recursive)));
        if work.forgets && kind == Kind::Systemd && options.engine.is_none() {
            // It is not up under the direct engine; where it has failed under that, the log is left.
            for instance in &group {
                _ = fs::remove_file(paths.log(instance));
            }
        }
    }
    outcomes.sort_by_key(|outcome| instances.iter().position(|instance| *instance == outcome.instance));
    if options.output.json {
        output::json("lifecycle", &outcomes.iter().map(Report::of).collect::<Vec<_>>())?;
    }
    let failed: Vec<Instance> =
        outcomes.iter().filter(|one| one.changed.is_err()).map(|one| one.instance.clone()).collect();
    if work.brings_up {
        // A unit that is masked, or that systemd does not find, has closed nothing.
        firewall::close_requested(paths, &failed);
    }
    let open = if work.brings_up { firewall::after_failure(paths, &failed) } else { Vec::new() };
    let (all, mut errors) = (outcomes.len(), Vec::new());
    for Outcome { instance, changed, .. } in outcomes {
        match changed {
            Err(error) => errors.push(error),
            Ok(_) if options.output.json => {}
            Ok(changed) => {
                say(&format!("{instance} {}", if changed { work.changed } else { work.unchanged }));
            }
        }
    }
    if let Some(last) = errors.pop() {
        let lines: Vec<String> = [format!("{last:#}")].into_iter().chain(open).collect();
        errors.push(anyhow!("{}", lines.join("\n")));
    }
    match errors.len() {
        0 => Ok(Status::Done),
        1 => Err(errors.remove(0)),
        failed => {
            let errors: Vec<String> = errors.iter().map(|error| format!("{error:#}")).collect();
            bail!("{failed} of {all} failed\n{}", errors.join("\n"))
        }
    }
}

/// The engine that is asked for; else the one that an instance is up under, or this machine's.
fn by_engine(
    paths: &Paths,
    options: &Lifecycle,
    instances: &[Instance],
) -> Result<BTreeMap<Kind, Vec<Instance>>> {
    let mut groups: BTreeMap<Kind, Vec<Instance>> = BTreeMap::new();
    let active = if options.engine.is_none() && !options.adopt { engine::active(paths)? } else { Vec::new() };
    let is_there = |one: &&Active| matches!(one.condition, Condition::Up | Condition::Changing);
    for instance in instances {
        let has_it =
            active.iter().filter(is_there).find(|one| one.instance == *instance).map(|one| one.engine);
        let kind = options.engine.or(has_it).unwrap_or_else(|| engine::default(paths));
        groups.entry(kind).or_default().push(instance.clone());
    }
    Ok(groups)
}

/// One outcome as JSON.
#[derive(Serialize)]
struct Report<'a> {
    instance: String,
    engine: Kind,
    changed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(rename = "type")]
    nstype: &'a NsType,
    namespace: &'a NsName,
}

impl<'a> Report<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        Self {
            instance: outcome.instance.to_string(),
            engine: outcome.engine,
            changed: outcome.changed.as_ref().is_ok_and(|&changed| changed),
            error: outcome.changed.as_ref().err().map(|error| format!("{error:#}")),
            nstype: &outcome.instance.nstype,
            namespace: &outcome.instance.name,
        }
    }
}

/// Does something, and says so on stderr if it takes long.
fn while_telling<Done>(present: &str, instances: &[Instance], act: impl FnOnce() -> Done) -> Done {
    let (done, wait) = mpsc::channel::<()>();
    thread::scope(|scope| {
        // Where no thread can be had, it is done without a word.
        _ = thread::Builder::new().spawn_scoped(scope, move || {
            let mut patience = FIRST_WORD;
            while wait.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                crate::remark(&format!("still {present} {}...", summary(instances)));
                patience = NEXT_WORD;
            }
        });
        let result = act();
        drop(done);
        result
    })
}

fn summary(instances: &[Instance]) -> String {
    match instances {
        [one] => one.to_string(),
        [one, two] => format!("{one} and {two}"),
        [one, rest @ ..] => format!("{one} and {} more", rest.len()),
        [] => "nothing".to_owned(),
    }
}

/// The instances that are meant, each once.
pub(super) fn resolve(
    paths: &Paths,
    targets: &[Target],
    all_of: fn(&Paths, &NsName) -> Result<Vec<Instance>>,
) -> Result<Vec<Instance>> {
    let mut instances = Vec::new();
    for target in targets {
        let meant = match target {
            Target::Instance(instance) => {
                known_type(paths, instance)?;
                vec![instance.clone()]
            }
            Target::Namespace(name) => all_of(paths, name)?,
        };
        for instance in meant {
            if !instances.contains(&instance) {
                instances.push(instance);
            }
        }
    }
    Ok(instances)
}

/// That the type of an instance has a plugin, or that the instance is up all the same.
fn known_type(paths: &Paths, instance: &Instance) -> Result<()> {
    let Err(error) = plugin::find(paths, &instance.nstype) else { return Ok(()) };
    if engine::active(paths)?.iter().any(|active| active.instance == *instance) {
        return Ok(());
    }
    let types: Vec<String> = plugin::list(paths)?.types.iter().map(ToString::to_string).collect();
    Err(match nearest(instance.nstype.as_ref(), &types) {
        Some(near) => anyhow!("{error:#}; did you mean `{near}@{}`?", instance.name),
        None => error,
    })
}

/// Every type that is configured for a namespace.
pub(super) fn configured(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    let instances = plugin::configured_for(paths, name)?;
    if instances.is_empty() {
        bail!(
            "nothing is configured for namespace `{name}`: there is no TYPE-{name}.conf, and no nft-{name}.rules, in {}{}",
            paths.conf.display(),
            hint(paths, name)?
        );
    }
    Ok(instances)
}

fn hint(paths: &Paths, name: &NsName) -> Result<String> {
    let mut names: Vec<String> =
        plugin::configured(paths)?.iter().map(|instance| instance.name.to_string()).collect();
    names.extend(engine::active(paths)?.iter().map(|active| active.instance.name.to_string()));
    names.retain(|known| known != name.as_ref());
    Ok(nearest(name.as_ref(), &names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())
}

/// Every type that is up on a namespace.
fn active(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    let active = engine::active(paths)?.into_iter().map(|active| active.instance);
    Ok(active.filter(|instance| instance.name == *name).collect())
}

/// The same, where there has to be one.
fn some_active(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    let instances = active(paths, name)?;
    ensure!(!instances.is_empty(), "nothing is up on namespace `{name}`{}", hint(paths, name)?);
    Ok(instances)
}

/// The same, where none is nothing to do, unless nobody knows of such a namespace.
fn any_active(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    if active(paths, name)?.is_empty() && is_known(paths, name)? {
        crate::remark(&format!("nothing is up on namespace `{name}`"));
        return Ok(Vec::new());
    }
    some_active(paths, name)
}

/// Whether anything is configured for a namespace, or there is one of that name.
fn is_known(paths: &Paths, name: &NsName) -> Result<bool> {
    Ok(plugin::configured(paths)?.iter().any(|instance| instance.name == *name)
        || netns::look(paths, name)? != Named::Nothing)
}

/// The word that was probably meant.
fn nearest<'a>(word: &str, words: &'a [String]) -> Option<&'a str> {
    let near = |candidate: &&String| strsim::jaro_winkler(word, candidate) > 0.8;
    let by = |one: &&String, other: &&String| {
        strsim::jaro_winkler(word, one).total_cmp(&strsim::jaro_winkler(word, other))
    };
    words.iter().filter(near).max_by(by).map(String::as_str)
}
