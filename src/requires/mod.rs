//! What an instance requires: the function `configure_TYPE_requires` prints it, else `NETNS_REQUIRES` lists it.

mod graph;
mod none;
mod requirement;
mod units;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};

pub use graph::{Graph, Problem, instances_in, unknown};
pub use requirement::Requirement;
pub use units::{not_found, states};

use crate::layers::{self, Layers};
use crate::name::{Instance, NsType, Phase};
use crate::paths::Paths;
use crate::{explain, plugin};
use none::Told;

/// The bash that follows the layers.
const REQUIRES: &str = include_str!("../requires.sh");

/// Asks instances what they require. What those of a type have in common is read once.
#[derive(Debug)]
pub struct Asker<'a> {
    paths: &'a Paths,
    /// What plugin, `default.conf` and `TYPE.conf` say; `None` where bash has to see for itself.
    types: Mutex<BTreeMap<NsType, Arc<Option<[Told; 3]>>>>,
}

impl<'a> Asker<'a> {
    /// Has read nothing yet.
    #[must_use]
    pub fn new(paths: &'a Paths) -> Self {
        Self { paths, types: Mutex::default() }
    }

    /// Asks the layers of an instance: each thing once, and not its own namespace, which comes first anyway.
    /// bash is not started where the layers show that there is nothing to ask.
    ///
    /// # Errors
    /// There is no plugin, bash cannot read the files, the function fails or does not come to an end, or prints what is no
    /// requirement.
    pub fn of(&self, instance: &Instance) -> Result<Vec<Requirement>> {
        if self.shows_none(instance) {
            return Ok(Vec::new());
        }
        let what = || format!("cannot tell what `{instance}` requires");
        let layers = Layers::of(self.paths, instance, Phase::Up).with_context(what)?;
        let said = ask(self.paths, &layers, instance).with_context(what)?;
        parse(&said, instance).with_context(|| source(self.paths, &layers, instance)).with_context(what)
    }

    fn shows_none(&self, instance: &Instance) -> bool {
        let of_type = self.of_type(&instance.nstype);
        let Some([plugin, default, of_type]) = &*of_type else { return false };
        let own = read(&self.paths.conf_of(instance), &instance.nstype);
        own.is_some_and(|own| none::has_none(&[plugin, default, of_type, &own]))
    }

    fn of_type(&self, nstype: &NsType) -> Arc<Option<[Told; 3]>> {
        let mut types = self.types.lock().unwrap_or_else(PoisonError::into_inner);
        let look = || {
            let plugin = read(&plugin::find(self.paths, nstype).ok()?, nstype)?;
            let default = read(&self.paths.default_conf(), nstype)?;
            Some([plugin, default, read(&self.paths.conf_of_type(nstype), nstype)?])
        };
        types.entry(nstype.clone()).or_insert_with(|| Arc::new(look())).clone()
    }
}

/// What one layer says; nothing, where it is not there.
fn read(layer: &Path, nstype: &NsType) -> Option<Told> {
    let text = layers::text_of(layer).ok()?;
    text.map_or(Some(Told::default()), |text| Told::read(&text, &function(nstype)))
}

fn ask(paths: &Paths, layers: &Layers, instance: &Instance) -> Result<String> {
    let text = explain::reader(paths, instance)? + REQUIRES;
    let function = function(&instance.nstype);
    let output = explain::bash(&text, &[instance.nstype.as_ref(), instance.name.as_ref(), "up", "outside"])
        .with_context(|| format!("`{function}`, or a file that is read before it"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    bail!(
        "{} failed ({}){}",
        if is_named(&function, layers) { format!("`{function}`") } else { "reading its files".to_owned() },
        output.status,
        said.lines().flat_map(|line| ["\n  | ", line]).collect::<String>()
    )
}

fn function(nstype: &NsType) -> String {
    format!("configure_{nstype}_requires")
}

fn is_named(function: &str, layers: &Layers) -> bool {
    layers.texts.iter().flatten().flatten().any(|text| text.contains(function))
}

/// Where words come from: the function, or the last file that names the setting.
fn source(paths: &Paths, layers: &Layers, instance: &Instance) -> String {
    let texts = || layers.texts.iter().flatten();
    let function = function(&instance.nstype);
    if is_named(&function, layers) {
        return format!("`{function}`");
    }
    let files = [
        layers.plugin.clone(),
        paths.default_conf(),
        paths.conf_of_type(&instance.nstype),
        paths.conf_of(instance),
    ];
    let named = |text: &Option<String>| text.as_ref().is_some_and(|text| text.contains("NETNS_REQUIRES"));
    let found = files.iter().zip(texts()).filter(|(_, text)| named(text)).last();
    found.map_or_else(
        || "NETNS_REQUIRES".to_owned(),
        |(file, _)| format!("NETNS_REQUIRES in {}", file.display()),
    )
}

fn parse(said: &str, instance: &Instance) -> Result<Vec<Requirement>> {
    let mut requirements = Vec::new();
    let mut wrong = Vec::new();
    for line in said.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.parse() {
            Ok(Requirement::Namespace(name)) if name == instance.name => {}
            Ok(requirement) if requirements.contains(&requirement) => {}
            Ok(requirement) => requirements.push(requirement),
            Err(error) => {
                let (word, error) = (format!("{line:?}"), format!("{error:#}"));
                // The name of a part alone, which may be empty, does not tell where to look.
                wrong.push(if error.contains(&word) { error } else { format!("the word {word}: {error}") });
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n  and "));
    Ok(requirements)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn requires(files: [(&str, &str); 2]) -> Result<Vec<String>> {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::under(directory.path());
        fs::create_dir_all(&paths.conf).unwrap();
        for (name, text) in files {
            fs::write(paths.conf.join(name), text).unwrap();
        }
        let requirements = Asker::new(&paths).of(&"t@a".parse().unwrap())?;
        Ok(requirements.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_function_counts_and_without_it_the_words_of_the_setting() {
        let function = "configure_t_requires() { echo \"lo@$1\"; echo b; echo \"$T_X\"; }\n";
        assert_eq!(
            requires([("t.sh", function), ("t-a.conf", "T_X=c NETNS_REQUIRES=d")]).unwrap(),
            ["lo@a", "b", "c"]
        );
        assert_eq!(
            requires([("t.sh", ""), ("t-a.conf", "NETNS_REQUIRES='b  lo@c b * a'")])
                .unwrap_err()
                .root_cause()
                .to_string(),
            "\"*\" is no namespace name: use letters, digits and `_`, inside also `.`, `:` and `-`, at most 200 characters"
        );
        assert_eq!(
            requires([("t.sh", ""), ("t-a.conf", "NETNS_REQUIRES='b  lo@c b a'")]).unwrap(),
            ["b", "lo@c"]
        );
        assert_eq!(requires([("t.sh", ""), ("t-a.conf", "NETNS_REQUIRES=(b lo@c)")]).unwrap(), ["b", "lo@c"]);
    }

    #[test]
    fn a_function_that_fails_and_a_file_that_bash_cannot_read_are_errors() {
        for (plugin, conf, said) in [
            ("configure_t_requires() { echo b; echo why >&2; return 3; }", "", "why"),
            ("configure_t_requires() { false; echo b; }", "", "`configure_t_requires` failed"),
            ("", "NETNS_REQUIRES='b", "reading its files failed"),
            ("", "NETNS_REQUIRES='b", "t-a.conf: line 1"),
            ("configure_t_requires() { echo 'b c'; echo d/e; }", "", "and \"d/e\""),
        ] {
            let error = format!("{:#}", requires([("t.sh", plugin), ("t-a.conf", conf)]).unwrap_err());
            assert!(
                error.starts_with("cannot tell what `t@a` requires: ") && error.contains(said),
                "{error}"
            );
        }
    }

    #[test]
    fn what_the_function_leaves_in_the_background_is_not_waited_for() {
        let plugin = "configure_t_requires() { sleep 60 & echo b; }";
        assert_eq!(requires([("t.sh", plugin), ("t-a.conf", "")]).unwrap(), ["b"]);
    }
}
