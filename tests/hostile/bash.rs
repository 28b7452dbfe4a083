//! Compares the parser of bash text with bash itself.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use systemd_netns::internals::assignments;

const ORACLE: &str = include_str!("oracle.sh");

/// The variables of a text, with their unexpanded values.
type Variables<'a> = Vec<(&'a str, &'a str)>;

/// If the parser accepts a text, bash sets the same variables and does nothing else: it prints nothing, creates no file, and
/// defines no function. Returns the number of accepted texts.
pub fn compare_with_bash(texts: &[String]) -> usize {
    let accepted: Vec<(&String, Variables)> = texts
        .iter()
        .filter_map(|text| Some((text, assignments(text)?)))
        .filter(|(_, variables)| variables.iter().all(|(name, _)| does_not_affect_bash(name)))
        .collect();
    // The first text is empty. Its record is the baseline.
    let empty = String::new();
    let cases: Vec<(&String, Variables)> = [(&empty, Variables::new())].into_iter().chain(accepted).collect();
    let records = run_bash(&cases);
    assert_eq!(records.len(), 4 * cases.len(), "bash has not completed");
    let records: Vec<&[String]> = records.chunks(4).collect();
    for ((text, variables), record) in cases.iter().zip(&records) {
        if let Err(error) = compare(variables, record, records[0]) {
            panic!("{error}\nin the text {text:?}\nbash: {record:?}\nparser: {variables:?}\n{text}");
        }
    }
    cases.len() - 1
}

/// Whether a variable has no meaning for bash itself. Files that set other variables are not tested here: `layers` leaves them
/// to bash.
fn does_not_affect_bash(name: &str) -> bool {
    name.contains('_')
        && name != "_"
        && !["BASH", "LC_", "POSIXLY_", "COMP_"].iter().any(|prefix| name.starts_with(prefix))
}

/// Runs `oracle.sh` on the texts, and returns the fields of its records.
fn run_bash(cases: &[(&String, Variables)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    fs::create_dir(file("created")).unwrap();
    fs::write(file("oracle.sh"), ORACLE).unwrap();
    for (at, (text, variables)) in cases.iter().enumerate() {
        fs::write(file(&at.to_string()), text).unwrap();
        let constant = variables.iter().filter(|(_, value)| !value.contains('$'));
        let names: Vec<String> = constant.map(|(name, _)| format!("{name}\n")).collect();
        fs::write(file(&format!("{at}.names")), names.concat()).unwrap();
    }
    // The locale alternates, because bash reads characters, not bytes.
    let locale = ["C", "C.UTF-8"][cases.len() % 2];
    let output = Command::new("/bin/bash")
        .arg(file("oracle.sh"))
        .arg(directory.path())
        .arg(cases.len().to_string())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("LC_ALL", locale)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).split_terminator('\0').map(str::to_owned).collect()
}

/// Compares the variables of the parser with the record of bash.
fn compare(variables: &Variables, record: &[String], empty: &[String]) -> Result<(), &'static str> {
    if record[0] != empty[0] {
        return Err("bash fails or prints something");
    }
    if !record[1].is_empty() {
        return Err("bash creates a file");
    }
    let found = |at: usize| -> BTreeSet<&str> {
        let before: BTreeSet<&str> = empty[at].lines().collect();
        record[at].lines().filter(|line| !line.contains('=') && !before.contains(line)).collect()
    };
    if !found(2).is_empty() || found(3) != variables.iter().map(|(name, _)| *name).collect() {
        return Err("bash defines other variables or functions");
    }
    let last: std::collections::BTreeMap<_, _> = variables.iter().copied().collect();
    let is_equal = |(name, value): (&&str, &&str)| {
        value.contains('$') || record[3].lines().any(|line| line == format!("{name}={value}"))
    };
    if last.iter().all(is_equal) { Ok(()) } else { Err("bash sets another value") }
}
