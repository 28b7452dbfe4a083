//! What the direct engine has up, as its files tell.

use anyhow::Result;
use jiff::Timestamp;

use crate::engine::state::{self, Known, Stage};
use crate::engine::{Active, Condition, EngineKind};
use crate::name::Instance;
use crate::paths::Paths;
use crate::print;

/// What this engine has up, by its files alone.
pub(crate) fn active(paths: &Paths) -> Result<Vec<Active>> {
    let mut active: Vec<Active> = Vec::new();
    let mut failed = Vec::new();
    if !paths.direct.exists() {
        return Ok(active);
    }
    for entry in crate::sys::file::entries(&paths.direct)? {
        let file = entry.file_name().to_string_lossy();
        let is_file = entry.file_type().is_file();
        let log = file.strip_suffix(".log").filter(|_| is_file);
        if let Some(instance) = log.and_then(|word| word.parse::<Instance>().ok()) {
            failed.push((instance, entry.metadata().ok().and_then(|found| found.modified().ok())));
        }
        let Some(name) = state::name_of(&entry) else { continue };
        match state::read(paths, &name)? {
            Some(Known::State(state)) => active.extend(state.instances.into_iter().map(|entry| Active {
                instance: Instance { nstype: entry.nstype, name: name.clone() },
                engine: EngineKind::Direct,
                condition: if entry.stage == Stage::Up { Condition::Up } else { Condition::Changing },
                since: Some(entry.since),
            })),
            Some(Known::Unusable(error)) => print::warn(&format!("{error:#}")),
            Some(Known::Odd(error)) => crate::sys::file::warn_skipped(entry.path(), error),
            None => {}
        }
    }
    // Of what is neither up nor was taken down in order, the log is left.
    failed.retain(|(instance, _)| !active.iter().any(|active| active.instance == *instance));
    active.extend(failed.into_iter().map(|(instance, time)| Active {
        instance,
        engine: EngineKind::Direct,
        condition: Condition::Failed,
        since: time.and_then(|time| Timestamp::try_from(time).ok()),
    }));
    Ok(active)
}
