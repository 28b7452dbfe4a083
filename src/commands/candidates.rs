//! Candidates for the completion of arguments in a shell.

use clap_complete::CompletionCandidate;

use crate::attach;
use crate::config::plugin;
use crate::engine;
use crate::netns;
use crate::paths::Paths;
use crate::systemd::systemctl;

/// All configured or active instances, and all names of namespaces. Files that cannot be read are ignored.
pub(super) fn targets() -> Vec<CompletionCandidate> {
    let mut values: Vec<String> = instances_of(&live()).collect();
    values.extend(names_of(&live()));
    candidates(values)
}

/// Every configured or active instance.
pub(super) fn instances() -> Vec<CompletionCandidate> {
    candidates(instances_of(&live()).collect())
}

/// Every existing or configured namespace.
pub(super) fn names() -> Vec<CompletionCandidate> {
    candidates(names_of(&live()))
}

/// Every type.
pub(super) fn types() -> Vec<CompletionCandidate> {
    candidates(types_of(&live()))
}

/// Every type and every instance.
pub(super) fn subjects() -> Vec<CompletionCandidate> {
    let mut values = types_of(&live());
    values.extend(instances_of(&live()));
    candidates(values)
}

/// Every service and socket that systemd has loaded.
pub(super) fn units() -> Vec<CompletionCandidate> {
    let units = systemctl::loaded_of_types("service,socket").unwrap_or_default().into_iter();
    candidates(units.filter(|unit| unit.parse::<attach::ServiceUnit>().is_ok()).collect())
}

/// Every attached unit.
pub(super) fn attached() -> Vec<CompletionCandidate> {
    candidates(attach::attached(&live()).unwrap_or_default().into_iter().map(|one| one.unit).collect())
}

fn live() -> Paths {
    Paths::under("/".as_ref())
}

fn instances_of(paths: &Paths) -> impl Iterator<Item = String> {
    let configured = plugin::configured(paths).unwrap_or_default();
    let active = engine::active(paths).unwrap_or_default().into_iter().map(|active| active.instance);
    configured.into_iter().chain(active).map(|instance| instance.to_string())
}

fn names_of(paths: &Paths) -> Vec<String> {
    let mut names: Vec<String> =
        netns::names(paths).unwrap_or_default().iter().map(ToString::to_string).collect();
    names.extend(
        plugin::configured(paths).unwrap_or_default().iter().map(|instance| instance.name.to_string()),
    );
    names
}

fn types_of(paths: &Paths) -> Vec<String> {
    plugin::list(paths).unwrap_or_default().types.iter().map(ToString::to_string).collect()
}

fn candidates(mut values: Vec<String>) -> Vec<CompletionCandidate> {
    values.sort();
    values.dedup();
    values.into_iter().map(CompletionCandidate::new).collect()
}
