//! The runtime: the functions that plugins and `.conf` files can call (`library/*.sh`). Bash takes longer to parse a line than to
//! run it, so bash reads only the functions whose names are in the layers before it calls the hook.
//!
//! Names that begin with `__netns_` belong to the host. Plugins can use all other names, also those of functions of the runtime:
//! the layers are read later, so their functions replace these. So a function of the runtime calls only helpers `__netns_...`.
//!
//! Blank lines separate the blocks. A block has one function, which gives the block its name, and the helpers that only this
//! function calls. A helper of several functions has a block of its own.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text of the runtime. The first block of each file is a comment.
pub(super) const RUNTIME: &str = concat!(
    include_str!("library/assert.sh"),
    "\n",
    include_str!("library/input.sh"),
    "\n",
    include_str!("library/running.sh"),
    "\n",
    include_str!("library/undo.sh"),
    "\n",
    include_str!("library/routers.sh"),
    "\n",
    include_str!("library/remembered.sh"),
    "\n",
    include_str!("library/link.sh"),
    "\n",
    include_str!("library/sysctls.sh"),
    "\n",
    include_str!("library/host_table.sh"),
    "\n",
    include_str!("library/forward.sh"),
    "\n",
    include_str!("library/host_firewall.sh"),
    "\n",
    include_str!("library/daemon.sh"),
    "\n",
    include_str!("library/ports.sh"),
    "\n",
    include_str!("library/resolver.sh"),
    "\n",
    include_str!("library/lease.sh"),
    "\n",
    include_str!("library/wireguard.sh"),
    "\n",
    include_str!("library/help.sh"),
);

/// Splits the runtime into a text, which bash reads before it calls the hook, and blocks, which follow that call.
///
/// The text has the functions whose names are in a layer, and the functions that they call. Each other function is a block.
/// `names_all`: the layers call only functions whose names they contain. Otherwise the text has a stub for each block, which
/// loads the function from the block.
/// `lines_below` is the number of lines after the blocks.
#[must_use]
pub fn split(layers: Vec<&str>, names_all: bool, lines_below: usize) -> (String, Vec<&'static str>) {
    let blocks: Vec<(&str, &str)> = blocks().collect();
    let mut before = String::new();
    let mut is_needed = vec![false; blocks.len()];
    let mut unread: Vec<Cow<str>> = layers.into_iter().map(Cow::Borrowed).collect();
    while let Some(text) = unread.pop() {
        for (index, (name, block)) in blocks.iter().enumerate() {
            if !is_needed[index] && mentions(&text, name) {
                is_needed[index] = true;
                let code = strip_comments(block);
                before += &code;
                unread.push(Cow::Owned(code));
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

/// The blocks of the runtime with functions, each after the name of its first function.
fn blocks() -> impl Iterator<Item = (&'static str, &'static str)> {
    RUNTIME.split_inclusive("\n\n").filter_map(|block| Some((functions(block).next()?, block)))
}

/// The names of the functions that a bash text defines.
fn functions(text: &str) -> impl Iterator<Item = &str> {
    let heads = text.lines().filter_map(|line| Some(line.split_once("() ")?.0));
    heads.filter(|name| !name.is_empty() && name.chars().all(is_part_of_name))
}

/// Whether a bash text contains a name as a whole word.
fn mentions(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(start, _)| {
        !text[..start].ends_with(is_part_of_name) && !text[start + name.len()..].starts_with(is_part_of_name)
    })
}

fn is_part_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_calls_only_its_own_functions_and_helpers_with_their_own_blocks() {
        let all: Vec<&str> = blocks().flat_map(|(_, block)| functions(block)).collect();
        for (name, block) in blocks() {
            let own: Vec<&str> = functions(block).collect();
            assert_eq!(own.iter().filter(|name| !name.starts_with("__netns_")).count().max(1), 1, "{own:?}");
            // The word after `__netns_library` is a function of the program, which no plugin can replace.
            let code = strip_comments(block).replace("__netns_library ", "__netns_library_");
            for word in all.iter().filter(|word| !own.contains(word) && mentions(&code, word)) {
                assert!(word.starts_with("__netns_"), "{name} calls {word}, which a plugin can replace");
                assert!(
                    blocks().any(|(name, _)| name == *word),
                    "{name} calls {word}, a helper of another block"
                );
            }
        }
    }

    #[test]
    fn the_text_before_the_call_has_the_functions_that_the_layers_name_and_their_helpers() {
        let (before, after) = split(vec!["assert_ifname X"], true, 0);
        let names: Vec<&str> = functions(&before).collect();
        assert_eq!(names, ["assert_ifname", "__netns_assert_non_empty"]);
        assert_eq!(after.len(), blocks().count() - 2);
    }

    #[test]
    fn a_stub_loads_each_function_that_no_layer_names() {
        let (before, after) = split(vec!["remember X"], false, 7);
        assert_eq!(functions(&before).count(), blocks().count());
        let last = after.last().unwrap();
        let (name, count) = (functions(last).next().unwrap(), lines(last));
        assert!(before.contains(&format!("{name}() {{ __netns_load {} {count} &&", count + 7)), "{before}");
    }
}
