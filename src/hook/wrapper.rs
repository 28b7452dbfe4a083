//! The wrapper: the bash text of one hook. It has the functions for plugins, the `source` lines, and the call.

use std::fmt::Write as _;

use anyhow::Result;

use super::{Caller, CallerKind, Hook};
use crate::bash::runtime::{self, has_indirect_calls, lines, strip_comments};
use crate::bash::{FAILURE, HOST, PARSER, SYNTAX, TRAP, quote};
use crate::config::layers::{Defined, Layer, Layers, Role};
use crate::name::{Phase, Side};
use crate::paths::Paths;
use crate::print;

/// This function replaces the builtin `trap`, so that a plugin that lists the traps does not see the traps of the wrapper.
const TRAP_FUNCTION: &str = "trap() { if __netns_load $__netns_trap $__netns_trap; then __netns_trap \"$@\"; else builtin trap \"$@\"; fi; }\n";

/// The message if no layer defines the function.
pub(super) const NO_CONFIGURATION: &str = "No configuration required.";

/// Runs before `up outside`. Removes the leftovers of an earlier instance whose `down outside` has not finished.
const CLEAR: &str = "[[ ! -f $__netns_state ]] || __netns_failed __netns_clear \"$@\"\n";

/// Runs before `down outside`. Marks the remembered values, because the hook has not finished yet. Without space in /run, the hook
/// continues without the mark.
const MARK: &str =
    "[[ ! -f $__netns_state ]] || { printf '__netns_left\\0' >>\"$__netns_state\"; } 2>/dev/null || :\n";

/// Removes the remembered values of an instance that is down.
const FORGET: &str = "__netns_forget\n";

/// Runs at the end of a successful hook. After this, a signal must not make the hook fail. The signals get an empty handler, and
/// are not ignored (SIG_IGN): the commands of an EXIT trap would inherit SIG_IGN.
const DONE: &str = "builtin trap : HUP INT TERM\n__netns_done=y\n";

/// Runs before the layers of `up inside`, on a restart. So all subshells of the hook have the same ID.
const START: &str = "__netns_hook_id=$$.$EPOCHREALTIME\n__netns_on_failure __netns_library undo\n";

/// Runs at the end of a successful `up inside`, on a restart. Removes what the hook has not made again.
const FINISH: &str = "__netns_library finish || { __netns_reported=y; builtin exit 1; }\n";

/// Writes the wrapper of a hook. `location` is the line with the variables of the namespace. `must_finish`: see
/// [`crate::library::must_finish`].
/// Errors: on `up`, `default.conf` cannot be read.
pub(super) fn wrapper(
    paths: &Paths,
    hook: &Hook,
    layers: &Layers,
    location: &str,
    caller: &Caller,
    must_finish: bool,
) -> Result<String> {
    let failure = failure(paths, hook, caller);
    let tail = [TRAP, &failure];
    let mut text = head(paths, hook, location, caller, tail.map(lines));
    text += &strip_comments(PARSER);
    text += &strip_comments(HOST);
    let texts = layers.texts();
    let names_all = texts.as_ref().is_some_and(|texts| !texts.iter().any(|text| has_indirect_calls(text)));
    if !names_all || layers.mention("trap") {
        text += TRAP_FUNCTION;
    }
    let (start, finish) = if must_finish { (START, FINISH) } else { ("", "") };
    let known = layers.all().filter_map(Layer::text).chain([finish]).collect();
    let (front, back) = runtime::split(known, names_all, tail.map(lines).iter().sum());
    text += &front;
    text += &autoconfigure(paths, hook, layers, caller.kind, (start, finish))?;
    if caller.trace {
        text += "PS4='+ ${BASH_SOURCE[0]##*/}:$LINENO: '\nset -x\n";
    }
    writeln!(text, "set -e\nautoconfigure {}\nbuiltin exit", hook.command_line())?;
    text.extend(back.into_iter().chain(tail));
    Ok(text)
}

/// The first lines of the wrapper. `tail` has the lengths of its last two parts, in lines. bash loads these parts only if it
/// needs them.
fn head(paths: &Paths, hook: &Hook, location: &str, caller: &Caller, tail: [usize; 2]) -> String {
    let Hook { instance, phase, side, .. } = hook;
    let mut text = String::with_capacity(16 * 1024);
    text += &format!(
        "#!/bin/bash\n\
         # {instance}, {phase} {side}: written by netnsinit, can be run manually with bash\n\
         BASH_ARGV0={program}\n\
         NSTYPE={nstype} NSNAME={name} UPDOWN={phase} INOUT={side}\n\
         {location}\n\
         __netns_root={root} __netns_dir={dir} __netns_state={state} __netns_trap={trap} __netns_failure={failure}\n",
        program = quote(caller.program.as_os_str()),
        nstype = instance.nstype,
        name = instance.name,
        root = quote(paths.root.as_os_str()),
        dir = quote(paths.netns.as_os_str()),
        state = quote(paths.remembered(instance).as_os_str()),
        trap = tail[0] + tail[1],
        failure = tail[1],
    );
    text
}

/// The functions that report a failure, and their variables.
fn failure(paths: &Paths, hook: &Hook, caller: &Caller) -> String {
    let Hook { instance, phase, side, .. } = hook;
    format!(
        "__netns_what='{instance}: {phase} {side} ({})' __netns_phase={phase} __netns_patience={}\n\
         __netns_netnsinit=(-a netnsinit {} --root {}) __netns_conf={}\n{FAILURE}{SYNTAX}",
        hook.function(),
        caller.timeout.as_millis(),
        quote(caller.binary.as_os_str()),
        quote(paths.root.as_os_str()),
        quote(paths.conf.as_os_str())
    )
}

/// The function that sources the layers and calls the hook. In a function, the layers can use `local`. Such variables exist until
/// the hook ends.
fn autoconfigure(
    paths: &Paths,
    hook: &Hook,
    layers: &Layers,
    caller: CallerKind,
    (start, finish): (&str, &str),
) -> Result<String> {
    let mut text = "autoconfigure() {\n".to_owned();
    text += preamble(hook, caller);
    text += start;
    text += &format!("echo \"{}\"\n", hook.starting());
    let defined = layers.define(&hook.function());
    text += &match defined {
        Defined::Unknown => source_and_call(paths, hook, layers)?,
        Defined::Yes | Defined::No => source_definitions_and_call(hook, layers, defined),
    };
    if (hook.phase, hook.side) == (Phase::Down, Side::Outside) && caller != CallerKind::Engine {
        text += FORGET;
    }
    text += finish;
    let is_last = (hook.phase, hook.side) == (Phase::Up, Side::Inside);
    if is_last && layers.declaration(paths, &hook.instance.nstype).firewall {
        let plugin = quote(layers.get(Role::Plugin).path.as_os_str());
        text += &format!("__netns_failed __netns_open {} {plugin}\n", hook.instance.name);
    }
    Ok(text + DONE + "}\n")
}

/// The code before the first layer.
fn preamble(hook: &Hook, caller: CallerKind) -> &'static str {
    match (hook.phase, hook.side) {
        (_, Side::Inside) if caller != CallerKind::Manual => "",
        // A wrapper that is run manually must not configure the network of the host.
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
    }
}

/// Calls `configure_TYPE_validate` before the first hook, if it is defined, and ends the hook if it prints anything. It runs in a
/// subshell, because it may set variables or call `exit`.
fn validate(hook: &Hook) -> String {
    if hook.validation().is_none() {
        return String::new();
    }
    "if declare -F \"configure_${NSTYPE}_validate\" >/dev/null; then\n\
     __netns_invalid=$(! declare -F \"configure_${NSTYPE}_defaults\" >/dev/null || \"configure_${NSTYPE}_defaults\" \"$NSNAME\" >&2; \
     \"configure_${NSTYPE}_validate\" \"$NSNAME\") || :\n\
     [[ ! $__netns_invalid ]] || __netns_failed __netns_refuse \"$__netns_invalid\"\n\
     fi\n"
        .to_owned()
}

/// Sources the plugin or `default.conf`. If a command in it fails, errexit ends the hook.
fn source(layer: &Layer) -> String {
    format!("__netns_layer={}\nsource \"$__netns_layer\"\n", quote(layer.path.as_os_str()))
}

/// Sources layers that may run any commands. Calls the hook function if a layer has defined it.
fn source_and_call(paths: &Paths, hook: &Hook, layers: &Layers) -> Result<String> {
    let mut text = "declare -gA __netns_traps\n\
                    builtin trap \"$__netns_on_error\" ERR\n\
                    args=(\"$@\")\n"
        .to_owned();
    text += &source(layers.get(Role::Plugin));
    text += &source_default(layers.get(Role::Default), hook.phase)?;
    let conf = quote(paths.conf.as_os_str());
    text += &format!(
        "[[ ${{NO_CONFIG_REQUIRED-}} || -f {conf}/$NSTYPE.conf || -f {conf}/$NSTYPE-$NSNAME.conf ]] || \
         __netns_failed __netns_no_conf {conf}\n"
    );
    for (name, role) in [("$NSTYPE.conf", Role::Type), ("$NSTYPE-$NSNAME.conf", Role::Instance)] {
        // A layer may have changed NSTYPE or NSNAME. Then another file is sourced, which must be trusted, too.
        let checked = quote(layers.get(role).path.as_os_str());
        text += &format!(
            "__netns_layer={conf}/{name}\n\
             [[ $__netns_layer == {checked} ]] || __netns_failed __netns_check_layer_trust\n\
             if [[ -r $__netns_layer ]]; then source \"$__netns_layer\" || \
             __netns_failed __netns_sourced $? \"$__netns_layer\"; \
             elif [[ -e $__netns_layer || -L $__netns_layer ]]; then __netns_failed __netns_unreadable; fi\n"
        );
    }
    text += &validate(hook);
    // The trap for ERR moves into the frame of the hook function. A plugin with own traps, or with a trace, would notice this.
    text += "__netns_hook=configure_${NSTYPE}_${UPDOWN}_$INOUT\n\
             if declare -F -- \"$__netns_hook\" >/dev/null; then\n\
             [[ -v __netns_traps[ERR] ]] || builtin trap '' ERR\n\
             if [[ $- != *[xET]* && ! -v __netns_traps[DEBUG] && ! -v __netns_traps[RETURN] ]]; then\n\
             declare -ft \"$__netns_hook\"\n\
             builtin trap \"$__netns_on_entry\" DEBUG\n\
             fi\n\
             \"$__netns_hook\" \"${args[@]:1:${#args[@]} > 3 ? ${#args[@]} - 3 : 0}\"\n\
             else\n";
    text += &format!("echo '{NO_CONFIGURATION}'\nfi\n");
    Ok(text)
}

/// Sources `default.conf`, if it exists.
fn source_default(layer: &Layer, phase: Phase) -> Result<String> {
    let is_file = match layer.is_usable() {
        Err(error) if phase == Phase::Down => {
            print::warn(&format!("{error:#}; continuing without it"));
            return Ok(String::new());
        }
        Ok(None) => return Ok(String::new()),
        found => found? == Some(true),
    };
    if phase == Phase::Up || !is_file || layer.only_defines() {
        return Ok(source(layer));
    }
    // errexit is on in default.conf, so a syntax error would end bash, and the file is parsed first. A FIFO is not parsed, because
    // this would consume its contents.
    Ok(format!(
        "__netns_layer={}\n\
         if __netns_failed __netns_parses \"$__netns_layer\"; then source \"$__netns_layer\"; \
         else source \"$__netns_layer\" || __netns_failed __netns_sourced $? \"$__netns_layer\"; fi\n",
        quote(layer.path.as_os_str())
    ))
}

/// Sources layers that contain only definitions. Calls the hook function if a layer defines it. Only the plugin can fail, with a
/// syntax error in a function.
fn source_definitions_and_call(hook: &Hook, layers: &Layers, defined: Defined) -> String {
    let mut text = "args=(\"$@\")\n".to_owned();
    text.extend(layers.present().map(source));
    if hook.validation().is_some_and(|function| layers.mention(&function)) {
        text += &validate(hook);
    }
    if defined == Defined::No {
        return text + &format!("echo '{NO_CONFIGURATION}'\n");
    }
    let function = hook.function();
    text + &format!(
        "__netns_hook={function}\n\
         if [[ $- != *x* ]]; then declare -ft {function}; builtin trap \"$__netns_on_entry\" DEBUG; fi\n\
         {function} {}\n",
        hook.arguments()
    )
}
