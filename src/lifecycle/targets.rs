//! Resolves the arguments `TYPE@NAME` and `NAME` to instances.

use anyhow::{Result, anyhow, bail, ensure};

use crate::config::declaration::Declaration;
use crate::config::plugin;
use crate::engine::{self, Active};
use crate::name::{Instance, NsName, NsType, Target};
use crate::netns::{self, NameState};
use crate::paths::Paths;
use crate::print;
use crate::requires;

/// Resolves targets to instances, without duplicates. `expand` resolves a NAME.
/// Errors: a type is unknown (with a suggestion), the active instances cannot be read, or `expand` fails.
pub fn resolve(
    paths: &Paths,
    targets: &[Target],
    expand: impl Fn(&Paths, &NsName) -> Result<Vec<Instance>>,
) -> Result<Vec<Instance>> {
    let mut instances = Vec::new();
    for target in targets {
        let expanded = match target {
            Target::Instance(instance) => {
                ensure_known_type(paths, instance)?;
                vec![instance.clone()]
            }
            Target::Namespace(name) => expand(paths, name)?,
        };
        for instance in expanded {
            if !instances.contains(&instance) {
                instances.push(instance);
            }
        }
    }
    Ok(instances)
}

/// Checks that the type of an instance has a plugin. An active instance does not need a plugin.
fn ensure_known_type(paths: &Paths, instance: &Instance) -> Result<()> {
    let Err(error) = plugin::find(paths, &instance.nstype) else { return Ok(()) };
    if engine::active(paths)?.iter().any(|active| active.instance == *instance) {
        return Ok(());
    }
    Err(match closest_type(paths, &instance.nstype)? {
        Some(near) => anyhow!("{error:#}; did you mean `{near}@{}`?", instance.name),
        None => error,
    })
}

/// The type most similar to an unknown one, if any is similar.
/// Errors: a directory cannot be read.
pub fn closest_type(paths: &Paths, nstype: &NsType) -> Result<Option<String>> {
    let types: Vec<String> = plugin::list(paths)?.types.iter().map(ToString::to_string).collect();
    Ok(closest(nstype.as_ref(), &types).map(ToOwned::to_owned))
}

/// Checks that each instance is one of the `active` ones, or can come up: its plugin exists, and its `TYPE-NAME.conf` if the type
/// needs one.
/// Errors: an instance is unknown (with a suggestion), or the active instances cannot be read.
pub fn ensure_known(paths: &Paths, active: &[Active], instances: &[Instance]) -> Result<()> {
    let is_active = |instance: &Instance| active.iter().any(|one| one.instance == *instance);
    for instance in instances.iter().filter(|instance| !is_active(instance)) {
        if let Some(reason) = requires::unknown_reason(paths, instance) {
            bail!("`{instance}` is unknown: {reason}{}", suggestion(paths, &instance.name)?);
        }
    }
    Ok(())
}

/// The configured instances of a namespace.
/// Errors: nothing is configured, or a directory cannot be read.
pub fn configured(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    let instances = plugin::configured_for(paths, name)?;
    if instances.is_empty() {
        bail!(
            "nothing is configured for namespace `{name}`: cannot find TYPE-{name}.conf{} in {}{}",
            alternative_files(paths, name),
            paths.conf.display(),
            suggestion(paths, name)?
        );
    }
    Ok(instances)
}

/// The configured instances of a namespace, and those that are up without a file of their own in the directory of settings.
/// Errors: there are none, or the instances cannot be read.
pub fn configured_or_active(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    let active = active_on(paths, name)?;
    if active.is_empty() {
        return configured(paths, name);
    }
    let mut instances = plugin::configured_for(paths, name)?;
    instances.extend(active);
    Ok(instances)
}

/// The other files that can configure an instance of a namespace, as a text with ` or FILE` for each file.
fn alternative_files(paths: &Paths, name: &NsName) -> String {
    let types = plugin::known(paths).unwrap_or_default().into_iter();
    let files = types.flat_map(|nstype| {
        let instance = Instance { nstype, name: name.clone() };
        Declaration::of(paths, &instance.nstype).files_of(&instance).collect::<Vec<_>>()
    });
    files.fold(String::new(), |text, file| text + " or " + &file)
}

/// A hint with a similar namespace name, or an empty string.
fn suggestion(paths: &Paths, name: &NsName) -> Result<String> {
    let mut names: Vec<String> =
        plugin::configured(paths)?.iter().map(|instance| instance.name.to_string()).collect();
    names.extend(engine::active(paths)?.iter().map(|active| active.instance.name.to_string()));
    names.retain(|known| known != name.as_ref());
    Ok(closest(name.as_ref(), &names).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())
}

/// The active and failed instances of a namespace.
fn active_on(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    let active = engine::active(paths)?.into_iter().map(|active| active.instance);
    Ok(active.filter(|instance| instance.name == *name).collect())
}

/// The active and failed instances of a namespace, at least one.
/// Errors: no instance is active or failed, or the active instances cannot be read.
pub fn active_instances(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    let instances = active_on(paths, name)?;
    ensure!(!instances.is_empty(), "nothing is up on namespace `{name}`{}", suggestion(paths, name)?);
    Ok(instances)
}

/// The active and failed instances of a namespace. If there are none, but the namespace exists or is configured, the list is
/// empty.
/// Errors: the namespace is unknown, or the active instances cannot be read.
pub fn active_or_none(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    if active_on(paths, name)?.is_empty() && is_known(paths, name)? {
        print::stderr_lines(&format!("nothing is up on namespace `{name}`"));
        return Ok(Vec::new());
    }
    active_instances(paths, name)
}

/// Checks that each instance is known: it is active or can come up, it has remembered values, or its namespace exists or is
/// configured.
/// Errors: an instance is unknown, with the same message as for its namespace; or the active instances cannot be read.
pub fn ensure_something_known(paths: &Paths, instances: &[Instance]) -> Result<()> {
    for instance in instances {
        let is_known = is_known(paths, &instance.name)?
            || paths.remembered(instance).exists()
            || requires::unknown_reason(paths, instance).is_none();
        if !is_known {
            active_instances(paths, &instance.name)?;
        }
    }
    Ok(())
}

/// Whether a namespace exists or is configured.
fn is_known(paths: &Paths, name: &NsName) -> Result<bool> {
    Ok(plugin::configured(paths)?.iter().any(|instance| instance.name == *name)
        || netns::inspect(paths, name)? != NameState::Missing)
}

/// The candidate most similar to `wanted`, if any is similar.
fn closest<'a>(wanted: &str, candidates: &'a [String]) -> Option<&'a str> {
    let is_similar = |candidate: &&String| strsim::jaro_winkler(wanted, candidate) > 0.8;
    let by_similarity = |one: &&String, other: &&String| {
        strsim::jaro_winkler(wanted, one).total_cmp(&strsim::jaro_winkler(wanted, other))
    };
    candidates.iter().filter(is_similar).max_by(by_similarity).map(String::as_str)
}
