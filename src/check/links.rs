//! Checks the settings of interfaces as `link_add` and `link_configure` do, for plugins that call them.

use super::Examined;
use crate::bash::explain::Variable;
use crate::config::layers::Layer;
use crate::library::link;

/// Returns the name of a setting and a message for each interface with an invalid setting.
pub(super) fn problems(one: &Examined) -> Vec<(String, String)> {
    let mut problems = Vec::new();
    for declared in &one.declaration.links {
        let Some((prefix, suffix)) = declared.ifname.split_once("_IFNAME") else { continue };
        if !calls_library(one, prefix) {
            continue;
        }
        let own = format!("{prefix}_");
        let settings = one.explained.variables.iter().filter(|variable| variable.name.starts_with(&own));
        let words: Vec<String> = settings.flat_map(words).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        problems.extend(link::problem(prefix, suffix, &words));
    }
    problems
}

/// A setting as `__netns_read_settings` passes it: an entry for each element that is not empty.
fn words(variable: &Variable) -> impl Iterator<Item = String> {
    let values = variable.values().iter().filter(|value| !value.is_empty());
    values.map(|value| format!("{}={value}", variable.name))
}

/// Whether a file of the instance calls `link_configure PREFIX`.
fn calls_library(one: &Examined, prefix: &str) -> bool {
    let mut texts = one.layers.all().filter_map(Layer::text);
    texts.any(|text| prefixes(text, &["link_configure"]).any(|found| found == prefix))
}

/// The PREFIX of each call of these functions of the library in a bash text.
pub(super) fn prefixes<'a>(text: &'a str, functions: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let mut words = text.split_whitespace();
    std::iter::from_fn(move || {
        words.find(|word| functions.contains(word))?;
        words.next()
    })
    .map(|prefix| prefix.trim_end_matches(';'))
}
