//! Whether the layers of an instance show that it requires nothing, so that bash need not be asked.

use std::collections::BTreeSet;
use std::env;

use crate::declared::Declared;

/// The plugin that ships declares functions and does nothing else, too, but they are written in ways that [`Declared`] does not follow.
/// Known by its whole text, it costs no bash for each pair.
const VETH: &str = include_str!("../../plugins/veth.sh");

/// What a layer that does nothing but declare has to say of requirements.
#[derive(Debug, Default)]
pub(super) struct Told {
    variables: BTreeSet<String>,
    /// The lines that name a function of requirements.
    functions: usize,
    /// The lines of the function that was looked for.
    body: Option<String>,
}

impl Told {
    /// Reads a layer, and looks for the function of that name. `None` where bash has to see for itself.
    pub(super) fn read(text: &str, function: &str) -> Option<Self> {
        let declared = if text == VETH { Declared::default() } else { Declared::read(text)? };
        Some(Self {
            variables: declared.variables.iter().map(|(name, _)| (*name).to_owned()).collect(),
            functions: code(text).filter(|line| line.contains("_requires")).count(),
            body: body(text, function).map(str::to_owned),
        })
    }
}

/// Whether all layers together show that nothing is required: they do nothing but declare, so that no other file has anything
/// to say, and the function, or the setting where there is none, says nothing. In doubt bash is asked: to be wrong here would
/// bring an instance up without its firewall.
pub(super) fn has_none(layers: &[&Told]) -> bool {
    let is_set =
        |name: &str| env::var_os(name).is_some() || layers.iter().any(|layer| layer.variables.contains(name));
    let functions: usize = layers.iter().map(|layer| layer.functions).sum();
    let body = layers.iter().find_map(|layer| layer.body.as_ref());
    match (functions, body) {
        (0, _) => !is_set("NETNS_REQUIRES"),
        (1, Some(body)) => !is_set("NETNS_REQUIRES") && code(body).all(|line| is_idle(line, &is_set)),
        _ => false,
    }
}

/// The lines of bash text that are no comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The lines of a function, where its last one is the first that is a brace alone; that is none in a text that goes over several lines,
/// which [`is_idle`] does not take for idle.
fn body<'a>(text: &'a str, function: &str) -> Option<&'a str> {
    let head = format!("{function}() {{\n");
    // At the beginning of a line: it may stand in a comment.
    let rest = text.strip_prefix(&head).or_else(|| Some(text.split_once(&format!("\n{head}"))?.1))?;
    rest.split_once("\n}\n").map(|(body, _)| body)
}

/// Whether a line does nothing as long as the variable that it begins by asking for is not set: `[[ -z ${NAME-} ]] || …`.
fn is_idle(line: &str, is_set: &dyn Fn(&str) -> bool) -> bool {
    let guard = || line.strip_prefix("[[ -z ${")?.split_once("-} ]] || ");
    guard().is_some_and(|(name, rest)| {
        // Without an underscore it may be bash's own, the host's, or a word of the call.
        name.contains('_')
            && !name.starts_with("BASH")
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !is_set(name)
            && !rest.contains([';', '&', '|', '<', '(', '`'])
            && ends_with_its_line(rest)
    })
}

/// Whether no word goes on in the next line. With both kinds of quotes, or a quote that is escaped, only bash knows.
fn ends_with_its_line(text: &str) -> bool {
    let quotes = |kind| text.matches(kind).count();
    !text.ends_with('\\')
        && !text.contains("\\\"")
        && !text.contains("\\'")
        && quotes('"') % 2 == 0
        && quotes('\'') % 2 == 0
        && (quotes('"') == 0 || quotes('\'') == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silent(plugin: &str, conf: &str) -> bool {
        let layers = [plugin, conf].map(|text| Told::read(text, "configure_t_requires"));
        layers.iter().map(Option::as_ref).collect::<Option<Vec<_>>>().is_some_and(|told| has_none(&told))
    }

    #[test]
    fn bash_is_not_asked_where_the_layers_show_that_there_is_nothing() {
        let guarded = "configure_t_requires() {\n  [[ -z ${T_X-} ]] || echo \"$T_X\"\n}\n";
        for (plugin, conf) in [
            ("", ""),
            ("configure_t_up_inside() {\n  :\n}\n", "T_X=1"),
            (guarded, "T_Y=1"),
            ("# see configure_t_requires\n", ""),
        ] {
            assert!(silent(plugin, conf), "{plugin} {conf}");
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
            (guarded, "[ -r f ]&&. f"),
            ("", "export $(cat /etc/shop.env)"),
            ("", "while read -r k v; do printf -v \"$k\" %s \"$v\"; done <f"),
            ("", "while read -r k v; do declare \"$k=$v\"; done <f"),
            ("", "[[ -e x ]]||read -r _ NETNS_REQUIRES <f"),
            ("", "read -r \\\n NETNS_REQUIRES <f"),
            ("", "for  NETNS_REQUIRES in b; do :; done"),
            ("", "NETNS_REQUIRES\\\n=b"),
            ("", "declare NETNS_{REQUIRES,X}=b"),
            ("configure_t_requires() {\n  [[ -z ${1-} ]] || echo \"uplink-$1\"\n}\n", ""),
            ("configure_t_requires() {\n  [[ -z ${NSNAME-} ]] || echo \"uplink-$NSNAME\"\n}\n", ""),
            ("configure_t_requires() {\n  [[ -z ${HOSTNAME-} ]] || echo x\n}\n", ""),
            ("configure_t_requires() {\n  [[ -z ${T_X-} ]] || echo x; echo y\n}\n", ""),
            ("configure_t_requires() {\n  echo y\n}\n", ""),
            ("#configure_t_requires() {\n}\nfunction configure_t_requires {\n  echo y\n}\n", ""),
            (guarded, "NETNS_REQUIRES=b"),
            ("configure_t_requires() {\n  [[ -z ${T_X-} ]] || cat <<END\n}\nEND\n  echo y\n}\n", ""),
            ("configure_t_requires() {\n  [[ -z ${T_X-} ]] || echo \"\n}\n\"\n  echo y\n}\n", ""),
            ("configure_t_requires() {\n  [[ -z ${T_X-} ]] || echo \\\n}\n  echo y\n}\n", ""),
        ] {
            assert!(!silent(plugin, conf), "{plugin} {conf}");
        }
    }

    #[test]
    fn a_veth_pair_that_joins_the_host_starts_no_bash() {
        for (conf, is_silent) in [
            (include_str!("../../etc/veth-nstest.conf"), true),
            ("VETH_NSNAME_OUTSIDE=b", false),
            ("NETNS_REQUIRES=b", false),
        ] {
            let layers = [VETH, conf].map(|text| Told::read(text, "configure_veth_requires").unwrap());
            assert_eq!(has_none(&layers.each_ref()), is_silent, "{conf}");
        }
    }

    #[test]
    fn the_veth_plugin_does_nothing_but_declare_functions() {
        // Each of its lines belongs to a comment, or to a function from `NAME() {` to the next `}` of a line.
        let mut within = false;
        for line in VETH.lines() {
            let begins = line.ends_with("() {");
            let is_whole = line.contains("() { ") && line.ends_with("; }");
            let is_aside = line.is_empty() || line.starts_with('#');
            assert!(within || begins || is_whole || is_aside, "{line}");
            within = begins || within && line != "}";
        }
        assert!(!within);
    }
}
