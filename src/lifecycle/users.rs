//! Processes that keep using a namespace after `down` has deleted its name.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{Instance, NsName};
use crate::netns::processes::{self, NamespaceProcess};
use crate::netns::{self, Id, NameState};
use crate::paths::Paths;
use crate::print::{self, escape};

/// The namespaces of instances before `down`, with the sockets in each.
pub(super) struct Users(BTreeMap<NsName, (Id, BTreeSet<u64>)>);

impl Users {
    pub(super) fn of(paths: &Paths, instances: &[Instance]) -> Self {
        let names: BTreeSet<&NsName> = instances.iter().map(|instance| &instance.name).collect();
        let found = names.into_iter().filter_map(|name| {
            let _inside = netns::enter(paths, name).ok()?;
            Some((name.clone(), (netns::current().ok()?, processes::sockets())))
        });
        Self(found.collect())
    }

    /// Warns about each process that is in a deleted namespace, or has sockets in it.
    pub(super) fn warn(self, paths: &Paths) {
        let is_deleted = |name: &NsName| matches!(netns::inspect(paths, name), Ok(NameState::Missing));
        let deleted: Vec<_> = self.0.into_iter().filter(|(name, _)| is_deleted(name)).collect();
        if deleted.is_empty() {
            return;
        }
        let inside = processes::by_namespace();
        for (name, (id, sockets)) in deleted {
            let inside = inside.get(&id).cloned().unwrap_or_default();
            let with_sockets = processes::holders(&sockets).into_iter();
            let outside = with_sockets.filter(|one| inside.iter().all(|other| other.pid != one.pid));
            for process in inside.iter().cloned().chain(outside) {
                print::warn(&text(&name, &process));
            }
        }
    }
}

fn text(
    name: &NsName,
    NamespaceProcess { pid, name: program, unit, sockets_only }: &NamespaceProcess,
) -> String {
    let what = if *sockets_only { "has sockets" } else { "runs" };
    let next = match unit.as_deref().filter(|unit| unit.ends_with(".service")) {
        Some(unit) => format!("restart it after `netnsctl up {name}`: `systemctl restart {unit}`"),
        None => "end it, or restart it in a namespace".to_owned(),
    };
    format!(
        "process {pid} ({}) still {what} in the deleted namespace `{name}`; {next}",
        escape::line(program)
    )
}
