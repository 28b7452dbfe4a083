//! What the plugins that ship may depend on.

use std::fs;

/// pipefail is off in hooks, so a failing producer would go unnoticed.
#[test]
fn shipped_plugins_have_no_pipelines() {
    let plugins = fs::read_dir("plugins").unwrap().map(|entry| entry.unwrap().path());
    let plugins: Vec<_> = plugins.filter(|path| path.extension().is_some_and(|end| end == "sh")).collect();
    assert!(plugins.len() >= 5, "{plugins:?}");
    for path in plugins {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let found: Vec<&str> =
            code.filter(|line| [" | ", " |& ", "<(", ">("].iter().any(|sign| line.contains(sign))).collect();
        assert!(found.is_empty(), "{}: {found:?}", path.display());
    }
}
