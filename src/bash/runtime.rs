//! The runtime: the functions that plugins and `.conf` files may call (`runtime.sh`). Bash takes longer to parse a line than to run it,
//! so a hook has in front of its call only what its layers name.

use std::fmt::Write as _;

/// The functions, each between two blank lines.
pub(super) const RUNTIME: &str = include_str!("runtime.sh");

/// The functions of the runtime that stand in front of the call, since a layer names them, or one of
/// them does; and the others, for behind the call, which `below` lines come after. Unless the layers name all that they call, the
/// others have a stand-in in front, which reads them from there.
#[must_use]
pub fn split(layers: Vec<&str>, names_all: bool, below: usize) -> (String, Vec<&'static str>) {
    let blocks: Vec<(&str, &str)> = RUNTIME.split_inclusive("\n\n").filter_map(function_of).collect();
    let mut front = String::new();
    let mut named = vec![false; blocks.len()];
    let mut unread = layers;
    while let Some(text) = unread.pop() {
        for (at, (name, block)) in blocks.iter().enumerate() {
            if !named[at] && text.contains(name) {
                named[at] = true;
                front += &strip_comments(block);
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
pub fn has_indirect_calls(text: &str) -> bool {
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

/// Bash text without its comments, blank lines and indentation: bash looks at each character several times.
#[must_use]
pub fn strip_comments(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        bare += line;
        bare.push('\n');
    }
    bare
}

/// How many lines a text has.
#[must_use]
pub fn lines(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'\n').count()
}
