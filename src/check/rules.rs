//! Checks files of nftables rules before a type loads them. The rules are checked in a new namespace, never in a namespace in use.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Examined, Finding};
use crate::config::declaration::Declaration;
use crate::engine::{Active, Condition};
use crate::firewall::nft;
use crate::name::Instance;
use crate::netns;
use crate::paths::Paths;
use crate::print;
use crate::sys::capability::{self, Capability};
use crate::sys::parallel::parallel;
use crate::sys::program::Program;
use crate::trust;

/// The message of nft for an interface that does not exist yet: `up` creates it before the rules are loaded.
const NO_INTERFACE: &str = "Interface does not exist";

/// Returns the findings, and whether all files could be checked. The check function of the plugin checks the rules of active
/// instances.
pub(super) fn check(
    paths: &Paths,
    active: &[Active],
    examined: &[Examined],
    is_wanted: &dyn Fn(&Instance) -> bool,
) -> (Vec<Finding>, bool) {
    let is_up = |instance: &Instance| {
        active.iter().any(|one| one.instance == *instance && one.condition == Condition::Up)
    };
    let mut findings = Vec::new();
    let mut files = BTreeSet::new();
    for Examined { instance, .. } in examined.iter().filter(|one| is_wanted(&one.instance)) {
        if is_up(instance) {
            continue;
        }
        let choices = Declaration::rules_of(paths, instance);
        match choices.iter().find(|file| file.symlink_metadata().is_ok()) {
            Some(file) => _ = files.insert(file.clone()),
            None if choices.is_empty() => {}
            None => {
                let choices: Vec<String> = choices.iter().map(|file| file.display().to_string()).collect();
                let message = format!("no rules to load: {} does not exist", choices.join(" or "));
                findings.push(Finding::error(message).of(instance));
            }
        }
    }
    // `files` reports a file that other users can write.
    files.retain(|file| trust::check(&paths.root, [file]).is_empty());
    match check_files(files) {
        Ok(found) => findings.extend(found),
        Err(error) if paths.is_live() => {
            print::warn(&format!("cannot check the rules of instances that are down: {error:#}"));
            return (findings, false);
        }
        Err(_) => {} // an image can be checked without privileges
    }
    (findings, true)
}

/// Checks all files in one new namespace.
/// Errors: permission denied.
fn check_files(files: BTreeSet<PathBuf>) -> Result<Vec<Finding>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    capability::require(Capability::SysAdmin, "to create a namespace")?;
    let _inside = netns::enter_new()?;
    Ok(parallel(files.into_iter().collect(), |file| check_file(&file)).into_iter().flatten().collect())
}

/// Reports the first error of a file.
fn check_file(file: &Path) -> Option<Finding> {
    let at_file = |message: String| Some(Finding::error(message).at(file.display().to_string()));
    match file.metadata() {
        Ok(found) if found.is_file() => {}
        Ok(_) => return at_file("the rules are not a regular file".to_owned()),
        Err(error) => return at_file(format!("cannot read the rules: {error}")),
    }
    let output = match output(file) {
        Ok(output) => output,
        Err(error) => return at_file(format!("cannot check the rules: {error:#}")),
    };
    let errors = NftError::all(&output);
    if errors.is_empty() {
        return output.lines().next().and_then(|line| at_file(line.to_owned()));
    }
    let mut errors = errors.into_iter().filter(|error| !error.depends_on_network());
    let NftError { place, message, source, .. } = errors.next()?;
    let more = match errors.count() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Some(Finding::error(format!("{message}: `{}`{more}", source.trim())).at(place))
}

/// Runs `nft --check`, and returns its errors. Each interface that the rules name, and that does not exist, gets a substitute:
/// `up` creates the interfaces before it loads the rules.
fn output(file: &Path) -> Result<String> {
    let mut created = BTreeSet::new();
    loop {
        let output = nft::check(file)?;
        let missing: BTreeSet<String> =
            NftError::all(&output).iter().filter_map(NftError::missing_interface).collect();
        if missing.is_subset(&created) {
            return Ok(output);
        }
        for name in missing.difference(&created) {
            Program::new("ip").args(["link", "add", "name", name, "type", "bridge"]).run()?;
        }
        created.extend(missing);
    }
}

/// An error of nft.
struct NftError<'a> {
    /// `FILE:LINE:COLUMN`
    place: String,
    message: &'a str,
    /// The line of the file.
    source: &'a str,
    /// The part of the line that is wrong.
    part: &'a str,
}

impl<'a> NftError<'a> {
    /// Reads `FILE:LINE:FIRST-LAST: Error: MESSAGE`, each with the line of the file.
    fn all(output: &'a str) -> Vec<Self> {
        let mut lines = output.lines().peekable();
        let mut errors = Vec::new();
        while let Some(line) = lines.next() {
            let Some((place, message)) = line.split_once(": Error: ") else { continue };
            let source = lines.peek().copied().unwrap_or_default();
            errors.extend(Self::parse(place, message, source));
        }
        errors
    }

    fn parse(place: &str, message: &'a str, source: &'a str) -> Option<Self> {
        let (line, columns) = place.rsplit_once(':')?;
        let (first, last) = columns.split_once('-')?;
        let start = first.parse::<usize>().ok()?.checked_sub(1)?;
        let part = source.get(start..last.parse().ok()?).unwrap_or_default();
        Some(Self { place: format!("{line}:{first}"), message, source, part })
    }

    fn missing_interface(&self) -> Option<String> {
        (self.message == NO_INTERFACE).then(|| self.part.trim_matches('"').to_owned())
    }

    /// Whether the error can be caused by the new namespace: it has no interfaces, and no name can be resolved in it.
    fn depends_on_network(&self) -> bool {
        let is_name =
            self.part.contains(|letter: char| letter.is_ascii_alphabetic()) && !self.part.contains(':');
        self.message == NO_INTERFACE || (is_name && self.message.starts_with("Could not resolve hostname"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_nft_have_their_place_and_the_wrong_part() {
        let output = "r:2:7-11: Error: Interface does not exist\n  iif \"foo\" x y\n      ^^^^^\n\
                      r:3:3-3: Error: Could not resolve hostname: x\n  a.example\n  ^\n\
                      r:4:1-4: Error: syntax error\n1.2. \n";
        let errors = NftError::all(output);
        let found: Vec<(&str, bool)> =
            errors.iter().map(|error| (error.place.as_str(), error.depends_on_network())).collect();
        assert_eq!(found, [("r:2:7", true), ("r:3:3", true), ("r:4:1", false)]);
        assert_eq!(errors[0].missing_interface().as_deref(), Some("foo"));
        assert_eq!(errors[2].source, "1.2. ");
    }
}
