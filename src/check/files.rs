//! Checks the files themselves: syntax, shellcheck, permissions.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::Deserialize;

use super::{Finding, Severity, Subject};
use crate::bash::syntax;
use crate::config::declaration::Declaration;
use crate::config::plugin;
use crate::name::NsType;
use crate::paths::Paths;
use crate::sys::file;
use crate::sys::program::Program;
use crate::trust;

/// Checks of shellcheck that do not fit these files: other files use the settings (SC2034) or set them (SC2154), and sourced files
/// may be missing (SC1090, SC1091).
const EXCLUDED: &str = "SC2034,SC2154,SC1090,SC1091";

/// Returns the findings, and the files with a syntax error.
pub(super) fn check(
    paths: &Paths,
    types: &[NsType],
    subjects: &[Subject],
) -> Result<(Vec<Finding>, BTreeSet<PathBuf>)> {
    let files = files(paths, types, subjects)?;
    let mut findings = Vec::new();
    let mut sound = Vec::new();
    let mut unsound = BTreeSet::new();
    let errors = syntax::errors(&files)?;
    for path in &files {
        match errors.get(path) {
            None => sound.push(path.clone()),
            Some(error) => {
                findings.push(syntax_error(path, error));
                unsound.insert(path.clone());
            }
        }
    }
    findings.extend(shellcheck(&sound)?);
    findings.extend(types.iter().filter_map(|nstype| undeclared(paths, nstype)));
    findings.extend(writers(
        paths,
        &files,
        types.iter().any(|nstype| Declaration::of(paths, nstype).firewall),
    )?);
    Ok((findings, unsound))
}

/// Reports a copy of a shipped firewall plugin without the declaration `# Provides: firewall`. Plugins of older versions did
/// not have it.
fn undeclared(paths: &Paths, nstype: &NsType) -> Option<Finding> {
    let [own, shipped] = paths.plugin(nstype);
    let lacks_it = own.is_file()
        && !Declaration::of(paths, nstype).firewall
        && Declaration::of_file(&shipped).is_some_and(|declared| declared.firewall);
    lacks_it.then(|| {
        Finding::warning("this copy of a firewall plugin does not declare that it is a firewall: the namespace is open until the \
                          rules are loaded")
            .at(own.display().to_string())
            .advice(format!("add the line `# Provides: firewall` to the first comment, as in {}", shipped.display()))
    })
}

/// The plugins in use, and the `.conf` files.
fn files(paths: &Paths, types: &[NsType], subjects: &[Subject]) -> Result<BTreeSet<PathBuf>> {
    let mut files: BTreeSet<PathBuf> =
        types.iter().filter_map(|nstype| plugin::find(paths, nstype).ok()).collect();
    if !paths.conf.exists() {
        return Ok(files);
    }
    for entry in file::entries(&paths.conf)? {
        let Some((stem, "conf")) = entry.file_name().to_str().and_then(|name| name.rsplit_once('.')) else {
            continue;
        };
        let (word, name) = stem.split_once('-').map_or((stem, None), |(word, name)| (word, Some(name)));
        let is_wanted = subjects.is_empty()
            || word == "default"
            || subjects.iter().any(|subject| match subject {
                Subject::Type(nstype) => nstype.as_ref() == word,
                Subject::Instance(instance) => {
                    instance.nstype.as_ref() == word && name.is_none_or(|name| instance.name.as_ref() == name)
                }
            });
        if is_wanted && entry.path().is_file() {
            files.insert(entry.path().to_owned());
        }
    }
    Ok(files)
}

/// The finding for the error of bash: `FILE: line N: MESSAGE`.
pub(super) fn syntax_error(path: &Path, error: &str) -> Finding {
    let name = path.display().to_string();
    let rest = error.strip_prefix(&name).and_then(|rest| rest.strip_prefix(": line "));
    let finding = match rest.and_then(|rest| rest.split_once(": ")) {
        Some((line, message)) => Finding::error(message).at(format!("{name}:{line}")),
        None => Finding::error(error).at(name),
    };
    let dos = fs::read(path).is_ok_and(|text| text.windows(2).any(|pair| pair == b"\r\n"));
    if dos { finding.advice("the file has DOS line ends; convert it with `dos2unix`") } else { finding }
}

/// The output of `shellcheck --format=json1`.
#[derive(Deserialize)]
struct ShellcheckReport {
    comments: Vec<Comment>,
}

#[derive(Deserialize)]
struct Comment {
    file: String,
    line: u32,
    column: u32,
    level: String,
    code: u32,
    message: String,
}

/// Runs shellcheck, if it is installed.
fn shellcheck(files: &[PathBuf]) -> Result<Vec<Finding>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let options = ["--format=json1", "--shell=bash", "--severity=warning", "--exclude", EXCLUDED, "--"];
    let Some(answer) = Program::new("shellcheck").args(options).args(files).run_if_installed()? else {
        return Ok(Vec::new());
    };
    let Ok(report) = serde_json::from_slice::<ShellcheckReport>(&answer.stdout) else {
        bail!("shellcheck failed: {}", answer.message());
    };
    let finding = |comment: Comment| {
        let severity = if comment.level == "error" { Severity::Error } else { Severity::Warning };
        Finding::new(severity, format!("{} (SC{})", comment.message.trim_end_matches('.'), comment.code))
            .at(format!("{}:{}:{}", comment.file, comment.line, comment.column))
    };
    Ok(report.comments.into_iter().map(finding).collect())
}

/// Reports files that root runs or loads into the kernel, if users other than root can write them.
fn writers(paths: &Paths, files: &BTreeSet<PathBuf>, rules: bool) -> Result<Vec<Finding>> {
    let mut places: Vec<PathBuf> = files.iter().cloned().collect();
    for directory in [&paths.conf, &paths.share].into_iter().filter(|directory| directory.exists()) {
        places.push(directory.clone());
    }
    if rules && paths.conf.exists() {
        let rules = file::entries(&paths.conf)?.into_iter().map(|entry| entry.path().to_owned());
        places.extend(rules.filter(|path| path.extension().is_some_and(|extension| extension == "rules")));
    }
    let finding = |file: trust::Unsafe| {
        Finding::error(file.why).at(file.path.display().to_string()).advice(file.advice)
    };
    Ok(trust::check(&paths.root, places).into_iter().map(finding).collect())
}
