//! What an instance requires: the function `configure_TYPE_requires` prints it, else `NETNS_REQUIRES` lists it.

mod graph;
mod units;

use std::env;
use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

pub use graph::{Graph, Problem, instances_in, unknown};
pub use units::{not_found, states};

use crate::declared::Declared;
use crate::layers::Layers;
use crate::name::{Instance, NsName, Phase};
use crate::paths::Paths;
use crate::{explain, wrapper};

/// The bash that follows the layers.
const REQUIRES: &str = include_str!("../requires.sh");

/// What the name of a unit ends with (systemd.unit(5)).
const SUFFIXES: [&str; 11] = [
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "slice",
    "scope",
];

/// The longest name of a unit in bytes (`UNIT_NAME_MAX` in systemd's src/basic/unit-name.h, less the NUL).
const UNIT_MAX: usize = 255;

/// Something that is complete before `up outside` starts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Requirement {
    /// `NAME`: the namespace exists.
    Namespace(NsName),
    /// `TYPE@NAME`: the instance is up.
    Instance(Instance),
    /// `x.service`: the unit is active.
    Unit(String),
}

impl Requirement {
    /// The unit that has to be active for it.
    #[must_use]
    pub fn unit(&self) -> String {
        match self {
            Self::Namespace(name) => name.unit(),
            Self::Instance(instance) => instance.unit(),
            Self::Unit(unit) => unit.clone(),
        }
    }
}

impl FromStr for Requirement {
    type Err = anyhow::Error;

    /// A unit of ours is what it stands for; any other word with the suffix of a unit is one, also where it could be a name.
    fn from_str(word: &str) -> Result<Self> {
        if let Some(stem) = word.strip_suffix(".service") {
            if let Some(name) = stem.strip_prefix("netns_name@") {
                return name.parse().map(Self::Namespace);
            }
            if let Some(Ok(instance)) = stem.strip_prefix("netns-").map(str::parse) {
                return Ok(Self::Instance(instance));
            }
        }
        if word.rsplit_once('.').is_some_and(|(_, suffix)| SUFFIXES.contains(&suffix)) {
            ensure!(is_unit(word), "{word:?} is no name of a unit");
            Ok(Self::Unit(word.to_owned()))
        } else if word.contains('@') {
            word.parse().map(Self::Instance)
        } else {
            word.parse().map(Self::Namespace)
        }
    }
}

/// Whether systemd takes a word for the name of a unit that can be started, not of a template.
fn is_unit(word: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    word.len() <= UNIT_MAX
        && word.bytes().all(allowed)
        && !word.starts_with(['.', '@', '-'])
        && !word.contains("@.")
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Namespace(name) => name.fmt(f),
            Self::Instance(instance) => instance.fmt(f),
            Self::Unit(unit) => f.write_str(unit),
        }
    }
}

impl From<Requirement> for String {
    fn from(requirement: Requirement) -> Self {
        requirement.to_string()
    }
}

impl TryFrom<String> for Requirement {
    type Error = anyhow::Error;

    fn try_from(word: String) -> Result<Self> {
        word.parse()
    }
}

/// Asks the layers of an instance what it requires: each thing once, and not its own namespace, which comes first anyway.
/// bash is not started where the layers show that there is nothing to ask.
///
/// # Errors
/// There is no plugin, bash cannot read the files, the function fails or does not come to an end, or prints what is no
/// requirement.
pub fn of(paths: &Paths, instance: &Instance) -> Result<Vec<Requirement>> {
    let what = || format!("cannot tell what `{instance}` requires");
    let layers = Layers::of(paths, instance, Phase::Up).with_context(what)?;
    if has_none(&layers, instance) {
        return Ok(Vec::new());
    }
    let said = ask(paths, instance).with_context(what)?;
    parse(&said, instance).with_context(|| source(paths, &layers, instance)).with_context(what)
}

fn ask(paths: &Paths, instance: &Instance) -> Result<String> {
    let text = explain::reader(paths, instance)? + REQUIRES;
    let function = function(instance);
    let output = explain::bash(&text, &[instance.nstype.as_ref(), instance.name.as_ref(), "up", "outside"])
        .with_context(|| format!("`{function}`, or a file that is read before it"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    bail!(
        "`{function}` failed ({}){}",
        output.status,
        said.lines().flat_map(|line| ["\n  | ", line]).collect::<String>()
    )
}

fn function(instance: &Instance) -> String {
    format!("configure_{}_requires", instance.nstype)
}

/// Where words come from: the function, or the last file that names the setting.
fn source(paths: &Paths, layers: &Layers, instance: &Instance) -> String {
    let texts = || layers.texts.iter().flatten();
    let function = function(instance);
    if texts().flatten().any(|text| text.contains(&function)) {
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

/// Whether the texts of the layers show that nothing is required: no other file is read that could have anything to say, and the
/// function, or the setting where there is none, says nothing.
fn has_none(layers: &Layers, instance: &Instance) -> bool {
    let Some(texts) = &layers.texts else { return false };
    let texts = || texts.iter().flatten();
    if texts().any(|text| Declared::read(text).is_none() && wrapper::calls_unnamed(text)) {
        return false;
    }
    let may_be_set = |name: &str| {
        env::var_os(name).is_some() || texts().any(|text| code(text).any(|line| may_set(line, name)))
    };
    let functions = texts().flat_map(|text| code(text)).filter(|line| line.contains("_requires")).count();
    let mut bodies = texts().filter_map(|text| body(text, &function(instance)));
    match (functions, bodies.next()) {
        (0, _) => !may_be_set("NETNS_REQUIRES"),
        (1, Some(body)) => code(body).all(|line| is_idle(line, &may_be_set)),
        _ => false,
    }
}

/// The lines of bash text that are no comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Whether a line may give a variable a value.
fn may_set(line: &str, name: &str) -> bool {
    const SETTERS: [&str; 10] = [
        "read",
        "-v",
        "mapfile",
        "readarray",
        "declare",
        "local",
        "typeset",
        "export",
        "readonly",
        "getopts",
    ];
    line.match_indices(name).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + name.len()..]);
        if before.ends_with("${") {
            after.starts_with(":=") || after.starts_with('=')
        } else {
            // Behind a quote it is part of a message, or of a word for one of those.
            let assigned =
                !before.ends_with(['"', '\'']) && ["=", "+=", "["].iter().any(|sign| after.starts_with(sign));
            !before.ends_with('$')
                && (assigned
                    || before.ends_with("for ")
                    || line.split_whitespace().any(|word| SETTERS.contains(&word)))
        }
    })
}

/// The lines of a function, where its last one is the first that is a brace alone.
fn body<'a>(text: &'a str, function: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("{function}() {{\n"))?;
    rest.split_once("\n}\n").map(|(body, _)| body)
}

/// Whether a line does nothing as long as the variable that it begins by asking for is not set: `[[ -z ${NAME-} ]] || …`.
fn is_idle(line: &str, is_set: &dyn Fn(&str) -> bool) -> bool {
    let guard = || line.strip_prefix("[[ -z ${")?.split_once("-} ]] || ");
    guard().is_some_and(|(name, rest)| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !is_set(name)
            && !rest.contains([';', '&', '|'])
            && !rest.ends_with('\\')
    })
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
        let requirements = of(&paths, &"t@a".parse().unwrap())?;
        Ok(requirements.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_word_is_a_namespace_an_instance_or_a_unit_by_its_suffix() {
        for (word, unit) in [
            ("my-net", "netns_name@my-net.service"),
            ("veth@my-net", "netns-veth@my-net.service"),
            ("nginx.service", "nginx.service"),
            ("getty@tty1.service", "getty@tty1.service"),
            ("sys-subsystem-net-devices-eth0.device", "sys-subsystem-net-devices-eth0.device"),
            ("a.b", "netns_name@a.b.service"),
        ] {
            let requirement: Requirement = word.parse().unwrap();
            assert_eq!((requirement.to_string().as_str(), requirement.unit().as_str()), (word, unit));
        }
        for word in
            ["", "a b", "-x", "@", "a@", "veth@", "getty@.service", ".service", "a/b.service", "a%b.service"]
        {
            assert!(word.parse::<Requirement>().is_err(), "{word:?}");
        }
    }

    #[test]
    fn units_of_ours_are_what_they_stand_for() {
        for (word, meant) in [("netns_name@a.service", "a"), ("netns-veth@my-net.service", "veth@my-net")] {
            assert_eq!(word.parse::<Requirement>().unwrap().to_string(), meant);
        }
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

    #[test]
    fn bash_is_not_asked_where_the_layers_show_that_there_is_nothing() {
        let nothing = |plugin: &str, conf: &str| {
            let directory = tempfile::tempdir().unwrap();
            let paths = Paths::under(directory.path());
            fs::create_dir_all(&paths.conf).unwrap();
            fs::write(paths.conf.join("t.sh"), plugin).unwrap();
            fs::write(paths.conf.join("t-a.conf"), conf).unwrap();
            let instance = "t@a".parse().unwrap();
            has_none(&Layers::of(&paths, &instance, Phase::Up).unwrap(), &instance)
        };
        let guarded = "configure_t_requires() {\n  [[ -z ${T_X-} ]] || echo \"$T_X\"\n}\n";
        for (plugin, conf) in [
            ("", ""),
            ("configure_t_up_inside() {\n  :\n}\n", "T_X=1"),
            ("case $1 in (x) A=1;; esac", ""),
            (guarded, "T_Y=1"),
            ("# see configure_t_requires\n", ""),
        ] {
            assert!(nothing(plugin, conf), "{plugin} {conf}");
        }
        for (plugin, conf) in [
            ("source lib.sh", ""),
            (". ./lib.sh", ""),
            ("", "NETNS_REQUIRES=b"),
            ("configure_t_requires() { :; }", ""),
            (guarded, "T_X=1"),
            (guarded, ": \"${T_X:=1}\""),
            (guarded, "read -r T_X <<<1"),
            (guarded, "configure_t_requires() { echo b; }"),
            (guarded, "source x"),
            ("configure_t_requires() {\n  [[ -z ${T_X-} ]] || echo x; echo y\n}\n", ""),
            ("configure_t_requires() {\n  echo y\n}\n", ""),
        ] {
            assert!(!nothing(plugin, conf), "{plugin} {conf}");
        }
    }

    #[test]
    fn a_veth_pair_that_joins_the_host_starts_no_bash() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::under(directory.path());
        fs::create_dir_all(&paths.conf).unwrap();
        fs::write(paths.conf.join("veth.sh"), include_str!("../../plugins/veth.sh")).unwrap();
        let instance = "veth@a".parse().unwrap();
        for (conf, silent) in [
            (include_str!("../../etc/veth-nstest.conf"), true),
            ("VETH_NSNAME_OUTSIDE=b", false),
            ("NETNS_REQUIRES=b", false),
        ] {
            fs::write(paths.conf.join("veth-a.conf"), conf).unwrap();
            assert_eq!(
                has_none(&Layers::of(&paths, &instance, Phase::Up).unwrap(), &instance),
                silent,
                "{conf}"
            );
        }
    }
}
