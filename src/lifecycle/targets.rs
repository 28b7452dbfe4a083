//! What people mean by `TYPE@NAME` and `NAME`.

use anyhow::{Result, anyhow, bail, ensure};

use crate::config::declaration::Declaration;
use crate::config::plugin;
use crate::engine;
use crate::name::{Instance, NsName, Target};
use crate::netns::{self, Named};
use crate::paths::Paths;
use crate::print;

/// The instances that are meant, each once. `all_of` tells what a bare name stands for.
/// Errors: there is no such type or namespace; the message may have the word that was probably meant.
pub fn resolve(
    paths: &Paths,
    targets: &[Target],
    all_of: impl Fn(&Paths, &NsName) -> Result<Vec<Instance>>,
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
/// Errors: there is none.
pub fn configured(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    let instances = plugin::configured_for(paths, name)?;
    if instances.is_empty() {
        bail!(
            "nothing is configured for namespace `{name}`: there is no TYPE-{name}.conf{} in {}{}",
            others(paths, name),
            paths.conf.display(),
            hint(paths, name)?
        );
    }
    Ok(instances)
}

/// The other files that could configure one.
fn others(paths: &Paths, name: &NsName) -> String {
    let types = plugin::known(paths).unwrap_or_default().into_iter();
    let files = types.flat_map(|nstype| {
        let instance = Instance { nstype, name: name.clone() };
        Declaration::of(paths, &instance.nstype).files_of(&instance).collect::<Vec<_>>()
    });
    files.fold(String::new(), |text, file| text + ", and no " + &file + ",")
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

/// Every type that is up on a namespace, where there has to be one.
/// Errors: there is none.
pub fn some_active(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    let instances = active(paths, name)?;
    ensure!(!instances.is_empty(), "nothing is up on namespace `{name}`{}", hint(paths, name)?);
    Ok(instances)
}

/// Every type that is up on a namespace; none is nothing to do, unless nobody knows of such a namespace.
/// Errors: nobody knows of it.
pub fn any_active(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    if active(paths, name)?.is_empty() && is_known(paths, name)? {
        print::stderr_lines(&format!("nothing is up on namespace `{name}`"));
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
