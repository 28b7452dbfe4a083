//! The requirements of an instance. The function `configure_TYPE_requires` prints them. Without this function, they are in
//! `NETNS_REQUIRES`, and in those settings that the plugin declares with `Requires`.

mod graph;
pub mod parents;
mod requirement;
mod unknown_units;

use std::collections::BTreeSet;
use std::env;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

pub use graph::{Graph, Problem, instances_in, unknown_reason};
pub use requirement::Requirement;
pub use unknown_units::{not_found, stale_dropin, states, units_of};

use crate::bash::query::{Query, TIMEOUT, query};
use crate::config::layers::{Layer, LayerReader, Layers};
use crate::name::Instance;
use crate::paths::Paths;
use crate::print::quoted;

/// Reads the requirements of instances. The layers that are common to a type are read once.
#[derive(Debug)]
pub struct RequirementReader<'a> {
    paths: &'a Paths,
    layers: LayerReader<'a>,
    /// The instances that may have a parent interface.
    on_parents: Mutex<BTreeSet<Instance>>,
}

impl<'a> RequirementReader<'a> {
    /// Creates a reader, which has read nothing yet.
    #[must_use]
    pub fn new(paths: &'a Paths) -> Self {
        Self { paths, layers: LayerReader::new(paths), on_parents: Mutex::default() }
    }

    /// Reads the requirements of an instance, except its own namespace.
    /// Errors: the plugin is missing; bash cannot read the files; the function fails, times out, or prints an invalid requirement.
    pub fn of(&self, instance: &Instance) -> Result<Vec<Requirement>> {
        self.of_within(instance, TIMEOUT)
    }

    /// Reads the requirements like [`of`](Self::of), with another timeout.
    /// Errors: as for [`of`](Self::of).
    pub fn of_within(&self, instance: &Instance, timeout: Duration) -> Result<Vec<Requirement>> {
        let what = || format!("cannot read the requirements of `{instance}`");
        let layers = self.layers.read(instance).with_context(what)?;
        if parents::mentioned(&layers) {
            self.on_parents.lock().unwrap_or_else(PoisonError::into_inner).insert(instance.clone());
        }
        let declared = layers.declaration(self.paths, &instance.nstype).requires;
        if require_nothing(&layers, &declared) {
            return Ok(Vec::new());
        }
        let output = self.query(instance, &layers, &declared, timeout).with_context(what)?;
        parse(&output, instance).with_context(|| source(&layers, instance)).with_context(what)
    }

    /// The instances among those that were read whose files may name a parent interface.
    #[must_use]
    pub fn on_parents(self) -> BTreeSet<Instance> {
        self.on_parents.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn query(
        &self,
        instance: &Instance,
        layers: &Layers,
        declared: &[String],
        timeout: Duration,
    ) -> Result<String> {
        let function = function(instance);
        let output = query(self.paths, instance, layers, Query::Requirements(declared), timeout)
            .with_context(|| format!("`{function}`, or a file read before it"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let messages = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{} failed ({}){}",
            if layers.mention(&function) { format!("`{function}`") } else { "reading its files".to_owned() },
            output.status,
            quoted(messages.lines())
        )
    }
}

/// Whether the layers contain only definitions, but no requirements. `declared` are the settings whose values are
/// requirements.
fn require_nothing(layers: &Layers, declared: &[String]) -> bool {
    // In doubt bash is started: with a missed requirement, an instance could come up without its firewall.
    let Some(set) = layers.settings() else { return false };
    let is_set = |name: &str| env::var_os(name).is_some() || set.iter().any(|(known, _)| *known == name);
    let lines = || layers.all().filter_map(Layer::text).flat_map(str::lines);
    let code = || lines().map(str::trim_start).filter(|line| !line.starts_with('#'));
    !is_set("NETNS_REQUIRES")
        && !declared.iter().any(|name| is_set(name))
        && !code().any(|line| line.contains("_requires") || line.contains("NETNS_REQUIRES"))
}

fn function(instance: &Instance) -> String {
    format!("configure_{}_requires", instance.nstype)
}

/// The source of the requirements, for an error: the function, or the last file with the setting.
fn source(layers: &Layers, instance: &Instance) -> String {
    let function = function(instance);
    if layers.mention(&function) {
        return format!("`{function}`");
    }
    let mentions = |layer: &&Layer| layer.text().is_some_and(|text| text.contains("NETNS_REQUIRES"));
    layers.all().filter(mentions).last().map_or_else(
        || "NETNS_REQUIRES".to_owned(),
        |layer| format!("NETNS_REQUIRES in {}", layer.path.display()),
    )
}

fn parse(output: &str, instance: &Instance) -> Result<Vec<Requirement>> {
    let mut requirements = Vec::new();
    let mut errors = Vec::new();
    for line in output.lines().map(str::trim).filter(|line| !line.is_empty()) {
        match line.parse() {
            Ok(Requirement::Namespace(name)) if name == instance.name => {}
            Ok(requirement) if requirements.contains(&requirement) => {}
            Ok(requirement) => requirements.push(requirement),
            Err(error) => {
                let (requirement, error) = (format!("{line:?}"), format!("{error:#}"));
                // The error may quote only a part of the requirement, which may even be empty.
                errors.push(if error.contains(&requirement) {
                    error
                } else {
                    format!("the requirement {requirement}: {error}")
                });
            }
        }
    }
    ensure!(errors.is_empty(), "{}", errors.join("\n  and "));
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
        let requirements = RequirementReader::new(&paths).of(&"t@a".parse().unwrap())?;
        Ok(requirements.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_function_overrides_the_setting() {
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
            "invalid NSNAME \"*\": use letters, digits and `_`, with `.`, `:` and `-` only between them, \
             at most 200 characters"
        );
        assert_eq!(
            requires([("t.sh", ""), ("t-a.conf", "NETNS_REQUIRES='b  lo@c b a'")]).unwrap(),
            ["b", "lo@c"]
        );
        assert_eq!(requires([("t.sh", ""), ("t-a.conf", "NETNS_REQUIRES=(b lo@c)")]).unwrap(), ["b", "lo@c"]);
    }

    #[test]
    fn a_failed_function_and_a_file_with_a_syntax_error_are_reported() {
        for (plugin, conf, message) in [
            ("configure_t_requires() { echo b; echo why >&2; return 3; }", "", "why"),
            ("configure_t_requires() { false; echo b; }", "", "`configure_t_requires` failed"),
            ("", "NETNS_REQUIRES='b", "reading its files failed"),
            ("", "NETNS_REQUIRES='b", "t-a.conf: line 1"),
            ("configure_t_requires() { echo 'b c'; echo d/e; }", "", "and invalid NSNAME \"d/e\""),
        ] {
            let error = format!("{:#}", requires([("t.sh", plugin), ("t-a.conf", conf)]).unwrap_err());
            assert!(
                error.starts_with("cannot read the requirements of `t@a`: ") && error.contains(message),
                "{error}"
            );
        }
    }

    #[test]
    fn a_background_process_of_the_function_does_not_block_the_query() {
        let plugin = "configure_t_requires() { sleep 60 & echo b; }";
        assert_eq!(requires([("t.sh", plugin), ("t-a.conf", "")]).unwrap(), ["b"]);
    }

    #[test]
    fn bash_is_not_started_if_the_layers_show_that_nothing_is_required() {
        const PLUGIN: &str = "# Contains: only definitions\n# Requires: T_X\n\nconfigure_t_up_inside() {\n  echo \"$T_X\"\n}\n";
        let nothing_is_required = |plugin: &str, conf: &str| {
            let directory = tempfile::tempdir().unwrap();
            let paths = Paths::under(directory.path());
            fs::create_dir_all(&paths.conf).unwrap();
            fs::write(paths.conf.join("t.sh"), plugin).unwrap();
            fs::write(paths.conf.join("t-a.conf"), conf).unwrap();
            let layers = Layers::of(&paths, &"t@a".parse().unwrap()).unwrap();
            require_nothing(&layers, &["T_X".to_owned()])
        };
        for (plugin, conf) in
            [("", ""), (PLUGIN, ""), (PLUGIN, "T_Y=1"), ("# see configure_t_requires\n", "")]
        {
            assert!(nothing_is_required(plugin, conf), "{plugin} {conf}");
        }
        for (plugin, conf) in [
            ("source lib.sh", ""),
            ("", "NETNS_REQUIRES=b"),
            (PLUGIN, "NETNS_REQUIRES=b"),
            (PLUGIN, "T_X=1"),
            (PLUGIN, ": \"${T_X:=1}\""),
            (PLUGIN, "configure_t_requires() { echo b; }"),
            (PLUGIN, "[ -r f ]&&. f"),
            (PLUGIN, "read -r T_X <<<1"),
            (PLUGIN, "export $(cat /etc/shop.env)"),
            ("configure_t_requires() { :; }", ""),
            ("# Contains: only definitions\n\nconfigure_t_requires() {\n  echo y\n}\n", ""),
            ("# Contains: only definitions\n\nT_X=1\n", ""),
            ("# Contains: only definitions\n\nexport T_X=1\n", ""),
            ("# Contains: only definitions\n\nT_Y=1 T_X=1\n", ""),
            ("# Contains: only definitions\n\nT_X+=1\n", ""),
            ("# Contains: only definitions\n\nT_X[0]=1\n", ""),
            ("# Contains: only definitions\n\nNETNS_REQUIRES=(b)\n", ""),
        ] {
            assert!(!nothing_is_required(plugin, conf), "{plugin} {conf}");
        }
    }

    #[test]
    fn the_values_of_declared_settings_are_required() {
        let plugin = "# Requires: T_X T_Y\n";
        assert_eq!(
            requires([("t.sh", plugin), ("t-a.conf", "T_X='b c' NETNS_REQUIRES=d")]).unwrap(),
            ["d", "b", "c"]
        );
    }
}
