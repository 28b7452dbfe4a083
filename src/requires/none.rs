//! Whether the layers of an instance show that it requires nothing, so that bash need not be asked.

use std::env;

use crate::declared::Declared;
use crate::layers::Layers;
use crate::name::Instance;
use crate::wrapper;

/// Whether the texts of the layers show that nothing is required: no other file is read that could have anything to say, and the
/// function, or the setting where there is none, says nothing.
pub(super) fn has_none(layers: &Layers, instance: &Instance) -> bool {
    let Some(texts) = &layers.texts else { return false };
    let texts = || texts.iter().flatten();
    if texts().any(|text| wrapper::calls_unnamed(text) && Declared::read(text).is_none()) {
        return false;
    }
    let may_be_set = |name: &str| {
        let texts_with_it = || texts().filter(|text| text.contains(name));
        env::var_os(name).is_some() || texts_with_it().any(|text| code(text).any(|line| may_set(line, name)))
    };
    let functions = texts().filter(|text| text.contains("_requires")).flat_map(|text| code(text));
    let functions = functions.filter(|line| line.contains("_requires")).count();
    let mut bodies = texts().filter_map(|text| body(text, &super::function(instance)));
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
    use crate::name::Phase;
    use crate::paths::Paths;

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
