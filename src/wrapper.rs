//! The wrapper: the bash text of one hook. The runtime, then `source` lines, then the call.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use crate::foreign;
use crate::layers::{Layers, Settled};
use crate::name::{Instance, Phase, Side};
use crate::paths::Paths;
use crate::plugin::Declared;

/// The functions that plugins may call, each between two blank lines.
const RUNTIME: &str = include_str!("runtime.sh");

/// What every hook needs.
const HOST: &str = include_str!("host.sh");

/// What few hooks need, and is read from behind the call by then. These two are its last lines.
const TRAP: &str = include_str!("trap.sh");
const FAILURE: &str = include_str!("failure.sh");

/// Stands before the builtin, so that a plugin that lists its traps does not find the host's.
const STAND_IN: &str = "trap() { if __netns_load $__netns_trap $__netns_trap; then __netns_trap \"$@\"; else builtin trap \"$@\"; fi; }\n";

/// What is said where no layer defines the function.
pub const NOTHING: &str = "No configuration required.";

/// Before `up outside`: an instance whose `down outside` has not come to its end may have left something.
const CLEAR: &str = "[[ ! -f $__netns_state ]] || __netns_failed __netns_clear \"$@\"\n";

/// Before `down outside`: from now on it has not come to its end. Where there is no space for that, it goes on all the same.
const MARK: &str =
    "[[ ! -f $__netns_state ]] || { printf '__netns_left\\0' >>\"$__netns_state\"; } 2>/dev/null || :\n";

/// The instance is gone, and what it remembered with it.
const FORGET: &str = "[[ ! -e $__netns_state ]] || rm -f -- \"$__netns_state\"\n";

/// The hook has come to its end. A signal from here on would have it taken for one that has failed, with nothing undone;
/// what a trap for EXIT starts can be ended by one all the same.
const DONE: &str = "builtin trap : HUP INT TERM\n__netns_done=y\n";

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

    /// What is said before anything is done.
    #[must_use]
    pub fn starting(&self) -> String {
        format!("Starting '{}' for netns '{}'.", self.function(), self.instance.name)
    }

    /// What the function is called with.
    fn arguments(&self) -> String {
        let mut words = self.instance.name.to_string();
        for word in &self.extra {
            write!(words, " {}", quote(word)).expect("a String takes all");
        }
        words
    }

    /// The whole command line, as the files see it in `$1…`.
    fn words(&self) -> String {
        format!("{} {} {} {}", self.instance.nstype, self.arguments(), self.phase, self.side)
    }
}

/// Who runs a hook.
#[derive(Clone, Debug)]
pub struct Caller {
    /// netnsinit's own path, for `$0`.
    pub program: PathBuf,
    /// The one binary, which answers to the name of netnsinit, too.
    pub binary: PathBuf,
    /// Whether bash tells all that it does.
    pub trace: bool,
    /// How long the command that a signal meets is waited for.
    pub patience: Duration,
    /// What is left for the wrapper to do.
    pub kind: CallerKind,
}

/// The ways in which a hook is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerKind {
    /// By netnsinit, which becomes bash.
    Netnsinit,
    /// By the direct engine, which has bash as a child: what an instance remembers it removes itself, at less cost.
    Engine,
    /// By hand: nobody has looked which namespace this is.
    Hand,
}

/// Writes the wrapper of a hook; `whereabouts` is the line that tells it where it runs.
#[must_use]
pub fn wrapper(paths: &Paths, hook: &Hook, layers: &Layers, whereabouts: &str, caller: &Caller) -> String {
    let Hook { instance, phase, side, .. } = hook;
    let (nstype, name) = (&instance.nstype, &instance.name);
    let failure = format!(
        "__netns_what='{instance}: {phase} {side} ({})' __netns_phase={phase} __netns_patience={}\n\
         __netns_netnsinit=(-a netnsinit {} --root {})\n{FAILURE}",
        hook.function(),
        caller.patience.as_millis(),
        quote(caller.binary.as_os_str()),
        quote(paths.root.as_os_str())
    );
    let below = [TRAP, &failure];
    let mut text = String::with_capacity(16 * 1024);
    writeln!(
        text,
        "#!/bin/bash\n\
         # {instance}, {phase} {side}: written by netnsinit, can be run by hand with bash\n\
         BASH_ARGV0={program}\n\
         NSTYPE={nstype} NSNAME={name} UPDOWN={phase} INOUT={side}\n\
         {whereabouts}\n\
         __netns_dir={dir} __netns_state={state} __netns_trap={trap} __netns_failure={failure}",
        program = quote(caller.program.as_os_str()),
        dir = quote(paths.netns.as_os_str()),
        state = quote(paths.memory(instance).as_os_str()),
        trap = lines(TRAP) + lines(&failure),
        failure = lines(&failure),
    )
    .expect("a String takes all");
    text += &bare(HOST);
    let texts: Vec<&str> = layers.texts.iter().flatten().flatten().map(String::as_str).collect();
    let names_all = layers.texts.is_some() && !texts.iter().any(|text| calls_unnamed(text));
    if !names_all || texts.iter().any(|text| text.contains("trap")) {
        text += STAND_IN;
    }
    let (front, behind) = split_runtime(texts, names_all, below.map(lines).iter().sum());
    text += &front;
    text += &autoconfigure(paths, hook, layers, caller.kind);
    if caller.trace {
        text += "PS4='+ ${BASH_SOURCE[0]##*/}:$LINENO: '\nset -x\n";
    }
    writeln!(text, "set -e\nautoconfigure {}\nbuiltin exit", hook.words()).expect("a String takes all");
    text.extend(behind.into_iter().chain(below));
    text
}

/// The functions of the runtime that stand in front of the call, since a layer names them, or one of
/// them does; and the others, for behind the call, which `below` lines come after. Unless the layers name all that they call, the
/// others have a stand-in in front, which reads them from there.
fn split_runtime(layers: Vec<&str>, names_all: bool, below: usize) -> (String, Vec<&'static str>) {
    let blocks: Vec<(&str, &str)> = RUNTIME.split_inclusive("\n\n").filter_map(function_of).collect();
    let mut front = String::new();
    let mut named = vec![false; blocks.len()];
    let mut unread = layers;
    while let Some(text) = unread.pop() {
        for (at, (name, block)) in blocks.iter().enumerate() {
            if !named[at] && text.contains(name) {
                named[at] = true;
                front += &bare(block);
                unread.push(block);
            }
        }
    }
    let behind = || blocks.iter().zip(&named).filter(|(_, named)| !**named).map(|(block, _)| *block);
    if !names_all {
        let mut last = below + behind().map(|(_, block)| lines(block)).sum::<usize>();
        for (name, block) in behind() {
            let count = lines(block);
            writeln!(front, "{name}() {{ __netns_load {last} {count} && {name} \"$@\"; }}")
                .expect("a String takes all");
            last -= count;
        }
    }
    (front, behind().map(|(_, block)| block).collect())
}

/// Whether bash text may call functions whose names do not stand in it: those that other files do, and those that it puts
/// together.
#[must_use]
pub fn calls_unnamed(text: &str) -> bool {
    ["source", "eval", "_$", "_\"", "_'", "_\\", "}_", "\"_", "'_"].iter().any(|sign| text.contains(sign))
        || text
            .split_ascii_whitespace()
            .any(|word| word.trim_start_matches([';', '&', '|', '(', '{', '!']) == ".")
}

/// The name of the function in a block of bash, and the block; `None` for one of comments alone.
fn function_of(block: &'static str) -> Option<(&'static str, &'static str)> {
    let line = block.lines().find(|line| !line.starts_with('#'))?;
    Some((line.split_once("()")?.0, block))
}

/// Without its comments, blank lines and indentation: bash looks at each character several times.
fn bare(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        bare += line;
        bare.push('\n');
    }
    bare
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'\n').count()
}

/// What stands in front of bash text that reads the layers of an instance and calls no hook.
#[must_use]
pub fn reader(paths: &Paths, instance: &Instance, layers: &[PathBuf]) -> String {
    let Instance { nstype, name } = instance;
    let files: Vec<String> = layers.iter().map(|layer| quote(layer.as_os_str())).collect();
    format!(
        "NSTYPE={nstype} NSNAME={name} UPDOWN=up INOUT=outside\n\
         __netns_dir={} __netns_state={} __netns_layers=({})\n{RUNTIME}\n\
         remember() {{ :; }} # what the live instance remembers is not touched\n",
        quote(paths.netns.as_os_str()),
        quote(paths.memory(instance).as_os_str()),
        files.join(" ")
    )
}

fn declared(paths: &Paths, hook: &Hook, layers: &Layers) -> Declared {
    let plugin = layers.texts.as_ref().and_then(|[plugin, ..]| plugin.as_ref());
    plugin.map_or_else(|| Declared::of(paths, &hook.instance.nstype), |text| Declared::read(text))
}

/// The function that sources the layers and calls the hook. Files are sourced in it, so `local` is legal in them and
/// what they declare so lives until the hook is done.
fn autoconfigure(paths: &Paths, hook: &Hook, layers: &Layers, caller: CallerKind) -> String {
    let mut text = "autoconfigure() {\n".to_owned();
    text += match (hook.phase, hook.side) {
        (_, Side::Inside) if caller != CallerKind::Hand => "",
        // Whoever runs a wrapper by hand must not configure the host's own network with it.
        (Phase::Up, Side::Inside) => {
            "[[ /proc/self/ns/net -ef $__netns_dir/$NSNAME ]] || \
             __netns_failed __netns_fail \"this is not the namespace '$NSNAME'\"\n"
        }
        (Phase::Down, Side::Inside) => {
            "[[ ! /proc/self/ns/net -ef /proc/1/ns/net ]] || \
             __netns_failed __netns_fail 'this is the namespace of PID 1'\n"
        }
        (Phase::Up, Side::Outside) => CLEAR,
        (Phase::Down, Side::Outside) => MARK,
    };
    writeln!(text, "echo \"{}\"", hook.starting()).expect("a String takes all");
    match &layers.settled {
        Some(settled) => call_settled(&mut text, hook, settled),
        None => call(&mut text, paths, &hook.instance, layers),
    }
    if (hook.phase, hook.side) == (Phase::Down, Side::Outside) && caller != CallerKind::Engine {
        text += FORGET;
    }
    if (hook.phase, hook.side) == (Phase::Up, Side::Inside) && declared(paths, hook, layers).firewall {
        let plugin = quote(layers.plugin.as_os_str());
        writeln!(text, "__netns_failed __netns_open {} {plugin}", hook.instance.name)
            .expect("a String takes all");
    }
    text + DONE + "}\n"
}

/// Sources layers that may do anything, and calls the hook if it is there by then.
fn call(text: &mut String, paths: &Paths, instance: &Instance, layers: &Layers) {
    let conf = quote(layers.conf.as_os_str());
    let mut line = |line: &str| {
        *text += line;
        text.push('\n');
    };
    line("declare -gA __netns_traps");
    line("builtin trap \"$__netns_on_error\" ERR");
    line("args=(\"$@\")");
    line(&format!("__netns_layer={}", quote(layers.plugin.as_os_str())));
    line("source \"$__netns_layer\"");
    if let Some(default) = &layers.default {
        line(&format!("__netns_layer={}", quote(default.path.as_os_str())));
        line(if default.plain {
            "source \"$__netns_layer\""
        } else {
            // errexit has to be on in default.conf, and then a syntax error in it ends bash.
            "if __netns_failed __netns_parses \"$__netns_layer\"; then source \"$__netns_layer\"; \
             else source \"$__netns_layer\" || __netns_sourced $? \"$__netns_layer\"; fi"
        });
    }
    line(&format!(
        "[[ ${{NO_CONFIG_REQUIRED-}} || -f {conf}/$NSTYPE.conf || -f {conf}/$NSTYPE-$NSNAME.conf ]] || \
         __netns_failed __netns_no_conf {conf}"
    ));
    let judged = [paths.conf_of_type(&instance.nstype), paths.conf_of(instance)];
    for (name, judged) in ["$NSTYPE.conf", "$NSTYPE-$NSNAME.conf"].iter().zip(judged) {
        line(&format!("__netns_layer={conf}/{name}"));
        // A layer may have changed either.
        let judged = quote(judged.as_os_str());
        line(&format!("[[ $__netns_layer == {judged} ]] || __netns_failed __netns_judge_layer"));
        line(
            "if [[ -r $__netns_layer ]]; then source \"$__netns_layer\" || \
             __netns_failed __netns_sourced $? \"$__netns_layer\"; \
             elif [[ -e $__netns_layer || -L $__netns_layer ]]; then __netns_failed __netns_unreadable; fi",
        );
    }
    // ERR moves into the hook's frame, but not where a plugin would notice, which has traps or follows what is run.
    line(
        "__netns_hook=configure_${NSTYPE}_${UPDOWN}_$INOUT\n\
         if declare -F -- \"$__netns_hook\" >/dev/null; then\n\
         [[ -v __netns_traps[ERR] ]] || builtin trap '' ERR\n\
         if [[ $- != *[xET]* && ! -v __netns_traps[DEBUG] && ! -v __netns_traps[RETURN] ]]; then\n\
         declare -ft \"$__netns_hook\"\n\
         builtin trap \"$__netns_on_entry\" DEBUG\n\
         fi\n\
         \"$__netns_hook\" \"${args[@]:1:${#args[@]} > 3 ? ${#args[@]} - 3 : 0}\"\n\
         else",
    );
    line(&format!("echo '{NOTHING}'\nfi"));
}

/// Sources layers that do nothing but declare, and calls the hook if it is among that. The plugin alone can fail, by a syntax
/// error in a function.
fn call_settled(text: &mut String, hook: &Hook, settled: &Settled) {
    *text += "args=(\"$@\")\n";
    for file in &settled.files {
        writeln!(text, "__netns_layer={}\nsource \"$__netns_layer\"", quote(file.as_os_str()))
            .expect("a String takes all");
    }
    let function = hook.function();
    if settled.defines(&function) {
        writeln!(
            text,
            "__netns_hook={function}\n\
             if [[ $- != *x* ]]; then declare -ft {function}; builtin trap \"$__netns_on_entry\" DEBUG; fi\n\
             {function} {}",
            hook.arguments()
        )
    } else {
        writeln!(text, "echo '{NOTHING}'")
    }
    .expect("a String takes all");
}

/// A word as bash reads it back, byte for byte. What is no UTF-8, or a terminal could act on, goes between `$'…'`, so that the text
/// can be printed.
fn quote(word: &OsStr) -> String {
    let mut quoted = String::new();
    let is_active = |character: char| foreign::is_active(character) && !"\n\t".contains(character);
    let escape = |quoted: &mut String, bytes: &[u8]| {
        for byte in bytes {
            write!(quoted, "$'\\x{byte:02x}'").expect("a String takes all");
        }
    };
    for chunk in word.as_bytes().utf8_chunks() {
        for piece in chunk.valid().split_inclusive(is_active) {
            let plain = piece.trim_end_matches(is_active);
            if !plain.is_empty() {
                quoted += &match shell_words::quote(plain) {
                    // shell_words has sh in mind, which knows no brace expansion.
                    Cow::Borrowed(text) if text.contains('{') => format!("'{text}'").into(),
                    done => done,
                };
            }
            escape(&mut quoted, &piece.as_bytes()[plain.len()..]);
        }
        escape(&mut quoted, chunk.invalid());
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
        assert_eq!(quote(OsStr::new("a\x1b b\u{9b}")), "a$'\\x1b'' b'$'\\xc2'$'\\x9b'");
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
