//! Checks the settings of interfaces as `link_add` and `link_configure` do, for plugins that call them.

use super::{Examined, Finding, Severity, settings};
use crate::bash::explain::Variable;
use crate::config::layers::Layer;
use crate::library::{Record, link};
use crate::paths::Paths;

/// Returns the name of a setting and a message for each interface with an invalid setting.
pub(super) fn problems(paths: &Paths, one: &Examined) -> Vec<(String, String)> {
    let kind = one.declaration.kind.as_deref().unwrap_or_default();
    each(one, |prefix, suffix, words| link::problem(paths, &one.instance, kind, prefix, suffix, words))
}

/// Reports the settings that a restart does not apply to the interfaces of an active instance.
pub(super) fn kept(paths: &Paths, one: &Examined, record: &Record) -> Vec<Finding> {
    let kept = each(one, |prefix, suffix, words| {
        // `problems` reports an invalid setting.
        link::kept(record, &one.instance, prefix, suffix, words).unwrap_or_default()
    });
    let finding = |(name, message): (String, String)| Finding {
        severity: Severity::Warning,
        ..settings::invalid(paths, one, &format!("{name}: {message}"))
    };
    kept.into_iter().map(finding).collect()
}

/// Calls a function of the library with the prefix, the suffix and the settings of each interface.
fn each<Found: IntoIterator<Item = (String, String)>>(
    one: &Examined,
    look: impl Fn(&str, &str, &[&str]) -> Found,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for declared in &one.declaration.links {
        let Some((prefix, end)) = declared.ifname.split_once("_IFNAME") else { continue };
        let Some(suffix) = suffix(one, prefix, end) else { continue };
        let own = format!("{prefix}_");
        let settings = one.explained.variables.iter().filter(|variable| variable.name.starts_with(&own));
        let words: Vec<String> = settings.flat_map(words).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        found.extend(look(prefix, suffix, &words));
    }
    found
}

/// A setting as `__netns_read_settings` passes it: an entry for each element that is not empty.
fn words(variable: &Variable) -> impl Iterator<Item = String> {
    let values = variable.values().iter().filter(|value| !value.is_empty());
    values.map(|value| format!("{}={value}", variable.name))
}

/// The SUFFIX of the interface with the name PREFIX_IFNAMEEND, if a file of the instance calls `link_configure PREFIX`: the END, unless a call has
/// only the PREFIX. `link_move` also has an END, the one of the name inside.
fn suffix<'a>(one: &Examined, prefix: &str, end: &'a str) -> Option<&'a str> {
    let calls = one.layers.all().filter_map(Layer::text).flat_map(|text| calls(text, &["link_configure"]));
    let with_suffix =
        calls.filter(|call| call.prefix == prefix).map(|call| call.has_suffix).reduce(bool::min);
    Some(if with_suffix? { end } else { "" })
}

/// A call of a function of the library.
struct LinkCall<'a> {
    prefix: &'a str,
    /// Whether an argument follows that can be a SUFFIX: `_INSIDE`, or an expansion.
    has_suffix: bool,
}

/// The calls of these functions in a bash text.
fn calls<'a>(text: &'a str, functions: &'a [&str]) -> impl Iterator<Item = LinkCall<'a>> {
    text.lines().flat_map(move |line| {
        let mut words = line.split_whitespace().peekable();
        std::iter::from_fn(move || {
            words.find(|word| functions.contains(word))?;
            let word = words.next()?;
            let prefix = word.trim_end_matches(';');
            let follows = words.peek().is_some_and(|next| next.starts_with(['_', '"', '$']));
            Some(LinkCall { prefix, has_suffix: follows && prefix == word })
        })
    })
}

/// The PREFIX of each call of these functions of the library in a bash text.
pub(super) fn prefixes<'a>(text: &'a str, functions: &'a [&str]) -> impl Iterator<Item = &'a str> {
    calls(text, functions).map(|call| call.prefix)
}
