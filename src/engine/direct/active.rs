//! Lists the instances of the direct engine.

use anyhow::Result;
use jiff::Timestamp;

use crate::engine::state::{self, Stage, StateFile};
use crate::engine::{Active, Condition, EngineKind};
use crate::name::Instance;
use crate::paths::Paths;
use crate::print;

/// Lists the instances of the direct engine, from its state files and logs. The kernel is not queried.
pub(crate) fn active(paths: &Paths) -> Result<Vec<Active>> {
    let mut active: Vec<Active> = Vec::new();
    let mut failed = Vec::new();
    if !paths.direct.exists() {
        return Ok(active);
    }
    for entry in crate::sys::file::entries(&paths.direct)? {
        let file = entry.file_name().to_string_lossy();
        let is_file = entry.file_type().is_file();
        let log_name = file.strip_suffix(".log").filter(|_| is_file);
        if let Some(instance) = log_name.and_then(|name| name.parse::<Instance>().ok()) {
            failed.push((instance, entry.metadata().ok().and_then(|found| found.modified().ok())));
        }
        let Some(name) = state::namespace_of_file(&entry) else { continue };
        match state::read(paths, &name)? {
            Some(StateFile::Valid(state)) => active.extend(state.instances.into_iter().map(|entry| Active {
                instance: Instance { nstype: entry.nstype, name: name.clone() },
                engine: EngineKind::Direct,
                condition: if entry.stage == Stage::Up { Condition::Up } else { Condition::Changing },
                since: Some(entry.since),
                namespace: state.namespace,
            })),
            Some(StateFile::Unusable(error)) => print::warn(&format!("{error:#}")),
            Some(StateFile::Unreadable(error)) => crate::sys::file::warn_skipped(entry.path(), error),
            None => {}
        }
    }
    // A log without an active instance is a leftover of a failed instance: a successful `down` removes the log.
    failed.retain(|(instance, _)| !active.iter().any(|active| active.instance == *instance));
    active.extend(failed.into_iter().map(|(instance, time)| Active {
        instance,
        engine: EngineKind::Direct,
        condition: Condition::Failed,
        since: time.and_then(|time| Timestamp::try_from(time).ok()),
        namespace: None,
    }));
    Ok(active)
}
