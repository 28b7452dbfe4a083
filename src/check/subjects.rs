//! Checks the arguments: an unknown type or instance would have no findings.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::Subject;
use crate::config::plugin;
use crate::engine::Active;
use crate::lifecycle;
use crate::name::NsType;
use crate::paths::Paths;

/// Checks that each subject exists. `types` have a plugin.
/// Errors: a subject is unknown (with a suggestion), or a directory cannot be read.
pub(super) fn ensure_known(
    paths: &Paths,
    types: &BTreeSet<NsType>,
    active: &[Active],
    subjects: &[Subject],
) -> Result<()> {
    for subject in subjects {
        match subject {
            Subject::Type(nstype) => {
                let is_active = active.iter().any(|active| active.instance.nstype == *nstype);
                if !types.contains(nstype) && !is_active {
                    ensure_type(paths, nstype)?;
                }
            }
            Subject::Instance(instance) => {
                lifecycle::ensure_known(paths, active, std::slice::from_ref(instance))?;
            }
        }
    }
    Ok(())
}

fn ensure_type(paths: &Paths, nstype: &NsType) -> Result<()> {
    let Err(error) = plugin::find(paths, nstype) else { return Ok(()) };
    let name = nstype.as_ref().parse();
    let of_namespace = name.map_or(Ok(Vec::new()), |name| plugin::configured_for(paths, &name))?;
    let instances: Vec<String> = of_namespace.iter().map(ToString::to_string).collect();
    if !instances.is_empty() {
        bail!("`{nstype}` is a namespace, not a type; hint: `netnsctl check {}`", instances.join(" "));
    }
    match lifecycle::closest_type(paths, nstype)? {
        Some(near) => bail!("{error:#}; did you mean `{near}`?"),
        None => Err(error),
    }
}
