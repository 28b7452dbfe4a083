//! The runtime: the functions that plugins and `.conf` files can call (`runtime.sh`). Bash takes longer to parse a line than to
//! run it, so bash reads only the functions whose names are in the layers before it calls the hook.

use std::fmt::Write as _;

/// The text of the runtime. Blank lines separate the functions.
pub(super) const RUNTIME: &str = concat!(include_str!("runtime.sh"), "\n", include_str!("link.sh"));

/// Splits the runtime into a text, which bash reads before it calls the hook, and blocks, which follow that call.
///
/// The text has the functions whose names are in a layer, and the functions that they call. Each other function is a block.
/// `names_all`: the layers call only functions whose names they contain. Otherwise the text has a stub for each block, which
/// loads the function from the block.
/// `lines_below` is the number of lines after the blocks.
#[must_use]
pub fn split(layers: Vec<&str>, names_all: bool, lines_below: usize) -> (String, Vec<&'static str>) {
    let blocks: Vec<(&str, &str)> = RUNTIME.split_inclusive("\n\n").filter_map(function_of).collect();
    let mut before = String::new();
    let mut is_needed = vec![false; blocks.len()];
    let mut unread = layers;
    while let Some(text) = unread.pop() {
        for (index, (name, block)) in blocks.iter().enumerate() {
            if !is_needed[index] && text.contains(name) {
                is_needed[index] = true;
                before += &strip_comments(block);
                unread.push(block);
            }
        }
    }
    let after = || blocks.iter().zip(&is_needed).filter(|(_, needed)| !**needed).map(|(block, _)| *block);
    if !names_all {
        let mut last = lines_below + after().map(|(_, block)| lines(block)).sum::<usize>();
        for (name, block) in after() {
            let count = lines(block);
            writeln!(before, "{name}() {{ __netns_load {last} {count} && {name} \"$@\"; }}")
                .expect("writing to a String cannot fail");
            last -= count;
        }
    }
    (before, after().map(|(_, block)| block).collect())
}

/// Whether bash text can call functions whose names are not in the text: it sources other files, or computes names.
#[must_use]
pub fn has_indirect_calls(text: &str) -> bool {
    ["source", "eval", "_$", "_\"", "_'", "_\\", "}_", "\"_", "'_"].iter().any(|sign| text.contains(sign))
        || text
            .split_ascii_whitespace()
            .any(|word| word.trim_start_matches([';', '&', '|', '(', '{', '!']) == ".")
}

/// The name of the function in a block of bash, with the block; `None` if the block has only comments.
fn function_of(block: &'static str) -> Option<(&'static str, &'static str)> {
    let line = block.lines().find(|line| !line.starts_with('#'))?;
    Some((line.split_once("()")?.0, block))
}

/// Removes comments, blank lines and indentation from bash text, because bash reads each character several times.
#[must_use]
pub fn strip_comments(text: &str) -> String {
    let mut stripped = String::with_capacity(text.len());
    for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        stripped += line;
        stripped.push('\n');
    }
    stripped
}

/// The number of lines in a text.
#[must_use]
pub fn lines(text: &str) -> usize {
    text.bytes().filter(|&byte| byte == b'\n').count()
}
