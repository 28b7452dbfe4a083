//! The wrapper: the bash text of one hook. The runtime, then `source` lines, then the call.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::layers::Layers;
use crate::name::{Instance, Phase, Side};
use crate::netns::Whereabouts;
use crate::paths::Paths;

/// The helper functions for plugins, and the host's own bash.
const RUNTIME: &str = include_str!("runtime.sh");

/// What the runtime reads when it needs it, from behind the call.
const REST: &str = concat!(include_str!("failure.sh"), "\n", include_str!("trap.sh"));

/// One call of one function, with all that the wrapper has to know of it.
#[derive(Debug)]
pub struct Hook {
    /// The instance that it is for.
    pub instance: Instance,
    /// The words between the name and the phase.
    pub extra: Vec<OsString>,
    /// Up or down.
    pub phase: Phase,
    /// Outside or inside.
    pub side: Side,
}

impl Hook {
    /// The function that is looked for.
    #[must_use]
    pub fn function(&self) -> String {
        format!("configure_{}_{}_{}", self.instance.nstype, self.phase, self.side)
    }

    /// The whole command line, as the files see it in `$1…`.
    fn words(&self) -> String {
        let mut words = format!("{} {}", self.instance.nstype, self.instance.name);
        for word in &self.extra {
            write!(words, " {}", quote(word)).expect("a String takes all");
        }
        format!("{words} {} {}", self.phase, self.side)
    }
}

/// Writes the wrapper of a hook. `program` is netnsinit's own path, for `$0`; `whereabouts` is known inside alone.
#[must_use]
pub fn wrapper(
    paths: &Paths,
    hook: &Hook,
    layers: &Layers,
    whereabouts: Option<&Whereabouts>,
    program: &Path,
    trace: bool,
) -> String {
    let Hook { instance, phase, side, .. } = hook;
    let (nstype, name) = (&instance.nstype, &instance.name);
    let mut text = format!(
        "#!/bin/bash\n\
         # {instance}, {phase} {side}: written by netnsinit, can be run by hand with bash\n\
         BASH_ARGV0={program}\n\
         NSTYPE={nstype} NSNAME={name} UPDOWN={phase} INOUT={side}\n\
         {whereabouts}\n\
         __netns_what='{instance}: {phase} {side} ({function})' __netns_phase={phase}\n\
         __netns_dir={dir} __netns_state={state} __netns_rest={rest}\n\
         __netns_hook='' __netns_layer='' __netns_at='' __netns_at_status='' __netns_at_command='' __netns_done='' __netns_told='' __netns_undo=()\n\
         \n{RUNTIME}\n",
        program = quote(program.as_os_str()),
        function = hook.function(),
        whereabouts = whereabouts.map_or(
            "unset -v GLOBAL_NETNS_ID CURRENT_NETNS_ID CURRENT_NETNS_NAME".into(),
            Whereabouts::assignments
        ),
        dir = quote(paths.netns.as_os_str()),
        rest = REST.lines().count(),
        state = quote(paths.memory(instance).as_os_str()),
    );
    text += &autoconfigure(hook, layers);
    if trace {
        text += "PS4='+ ${BASH_SOURCE[0]##*/}:$LINENO: '\nset -x\n";
    }
    writeln!(text, "set -e\nautoconfigure {}\nbuiltin exit", hook.words()).expect("a String takes all");
    text += REST;
    text
}

/// What stands in front of bash text that reads the layers of an instance and calls no hook.
#[must_use]
pub fn reader(paths: &Paths, instance: &Instance, layers: &[PathBuf]) -> String {
    let Instance { nstype, name } = instance;
    let files: Vec<String> = layers.iter().map(|layer| quote(layer.as_os_str())).collect();
    format!(
        "NSTYPE={nstype} NSNAME={name} UPDOWN=up INOUT=outside\n\
         __netns_dir={} __netns_state={} __netns_layers=({})\n{RUNTIME}\n",
        quote(paths.netns.as_os_str()),
        quote(paths.memory(instance).as_os_str()),
        files.join(" ")
    )
}

/// The function that sources the layers and calls the hook. Files are sourced in it, so `local` is legal in them and
/// what they declare so lives until the hook is done.
fn autoconfigure(hook: &Hook, layers: &Layers) -> String {
    let function = hook.function();
    let conf = quote(layers.conf.as_os_str());
    let mut lines = Vec::new();
    match (hook.phase, hook.side) {
        // Whoever runs a wrapper by hand must not configure the host's own network with it.
        (Phase::Up, Side::Inside) => lines.push(
            "inside_check \"$NSNAME\" || __netns_fail \"this is not the namespace '$NSNAME'\"".to_owned(),
        ),
        (Phase::Down, Side::Inside) => lines.push(
            "[[ ! /proc/self/ns/net -ef /proc/1/ns/net ]] || __netns_fail 'this is the namespace of PID 1'"
                .to_owned(),
        ),
        (Phase::Up, Side::Outside) => lines.push("__netns_forget".to_owned()),
        (Phase::Down, Side::Outside) => {}
    }
    lines.push(format!("echo \"Starting '{function}' for netns '{}'.\"", hook.instance.name));
    lines.push("args=(\"$@\")".to_owned());

    let plugin = quote(layers.plugin.as_os_str());
    lines.push(format!("__netns_layer={plugin}\n  source {plugin}"));
    if let Some(default) = &layers.default {
        let path = quote(default.path.as_os_str());
        lines.push(format!("__netns_layer={path}"));
        lines.push(if default.plain {
            format!("source {path}")
        } else {
            // errexit has to be on in default.conf, and then a syntax error in it ends bash.
            format!(
                "if __netns_parses {path}; then source {path}; \
                 else source {path} || __netns_sourced $? {path}; fi"
            )
        });
    }
    lines.push(format!("__netns_require_conf {conf}"));
    for name in ["$NSTYPE.conf", "$NSTYPE-$NSNAME.conf"] {
        lines.push(format!("__netns_layer={conf}/\"{name}\""));
        lines.push(format!(
            "if __netns_readable \"$__netns_layer\"; then source {conf}/\"{name}\" || \
             __netns_sourced $? \"$__netns_layer\"; fi"
        ));
    }

    lines.push("__netns_hook=configure_${NSTYPE}_${UPDOWN}_$INOUT".to_owned());
    lines.push(
        "if declare -F -- \"$__netns_hook\" >/dev/null; then\n    \
         __netns_watch_hook\n    \
         \"$__netns_hook\" \"${args[@]:1:${#args[@]} > 3 ? ${#args[@]} - 3 : 0}\"\n  \
         else\n    echo 'No configuration required.'\n  fi"
            .to_owned(),
    );
    if (hook.phase, hook.side) == (Phase::Down, Side::Outside) {
        lines.push("__netns_forget".to_owned());
    }
    lines.push("__netns_done=y".to_owned());
    format!("autoconfigure() {{\n  __netns_exit_trap\n  __netns_error_trap\n  {}\n}}\n", lines.join("\n  "))
}

/// A word as bash reads it back, byte for byte. What is no UTF-8 goes between `$'…'`, so that the text can be printed.
fn quote(word: &OsStr) -> String {
    let mut quoted = String::new();
    for chunk in word.as_bytes().utf8_chunks() {
        if !chunk.valid().is_empty() {
            quoted += &match shell_words::quote(chunk.valid()) {
                // shell_words has sh in mind, which knows no brace expansion.
                Cow::Borrowed(text) if text.contains('{') => format!("'{text}'").into(),
                done => done,
            };
        }
        for byte in chunk.invalid() {
            write!(quoted, "$'\\x{byte:02x}'").expect("a String takes all");
        }
    }
    if quoted.is_empty() { "''".to_owned() } else { quoted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_no_utf8_are_quoted_byte_by_byte() {
        assert_eq!(quote(OsStr::from_bytes(b"a b\xff\xfec")), "'a b'$'\\xff'$'\\xfe'c");
        assert_eq!(quote(OsStr::from_bytes(b"{a\xff,b}")), "'{a'$'\\xff',b}");
    }

    #[test]
    fn words_that_bash_would_expand_are_quoted() {
        for (word, quoted) in [
            ("", "''"),
            ("plain-1.2", "plain-1.2"),
            ("{a,b}", "'{a,b}'"),
            ("~", "'~'"),
            ("it's", r"'it'\''s'"),
        ] {
            assert_eq!(quote(OsStr::new(word)), quoted);
        }
    }
}
