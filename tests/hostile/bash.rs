//! What bash makes of text that this program reads or writes. Bash itself is asked.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use systemd_netns::declared::Declared;

const ORACLE: &str = include_str!("oracle.sh");

/// Where text is understood, bash finds those functions and variables in it, and nothing else happens: nothing is printed, no file
/// is made. Only functions with a syntax error may fail. Returns how many of the texts are understood.
pub fn declares_what_bash_finds(texts: &[String]) -> usize {
    let understood: Vec<(&String, Declared)> = texts
        .iter()
        .filter_map(|text| Some((text, Declared::read(text)?)))
        .filter(|(_, declared)| names(declared).all(harmless))
        .collect();
    // The first one has nothing in it: what it shows is there in any case.
    let empty = String::new();
    let cases: Vec<(&String, Declared)> =
        [(&empty, Declared::default())].into_iter().chain(understood).collect();
    let records = ask(&cases);
    assert_eq!(records.len(), 4 * cases.len(), "bash has not come to its end");
    let records: Vec<&[String]> = records.chunks(4).collect();
    for ((text, declared), record) in cases.iter().zip(&records) {
        if let Err(error) = judge(declared, record, records[0]) {
            panic!("{error}\nin the text {text:?}\nbash: {record:?}\nread: {declared:?}\n{text}");
        }
    }
    cases.len() - 1
}

/// A variable that means something to bash itself is not for this to judge; `layers` gives such files to bash.
fn harmless(name: &str) -> bool {
    name.contains('_')
        && name != "_"
        && !["BASH", "LC_", "POSIXLY_", "COMP_"].iter().any(|start| name.starts_with(start))
}

fn names<'a>(declared: &'a Declared) -> impl Iterator<Item = &'a str> {
    declared.variables.iter().map(|(name, _)| *name).chain(declared.functions.iter().copied())
}

fn ask(cases: &[(&String, Declared)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    fs::create_dir(file("made")).unwrap();
    fs::write(file("oracle.sh"), ORACLE).unwrap();
    for (at, (text, declared)) in cases.iter().enumerate() {
        fs::write(file(&at.to_string()), text).unwrap();
        let plain = declared.variables.iter().filter(|(_, value)| !value.contains('$'));
        let names: Vec<String> = plain.map(|(name, _)| format!("{name}\n")).collect();
        fs::write(file(&format!("{at}.names")), names.concat()).unwrap();
    }
    // In one locale or the other: bash reads characters.
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

/// Compares what was read with what bash did.
fn judge(declared: &Declared, record: &[String], empty: &[String]) -> Result<(), &'static str> {
    let (status, said) = record[0].split_once(' ').unwrap();
    // Of all that bash complains of, this alone is not of something that it does.
    let failed = status != "0" || !said.is_empty();
    let syntax = |line: &str| {
        ["syntax error", ": `", "unexpected ", "conditional "].iter().any(|sign| line.contains(sign))
    };
    if failed && (declared.functions.is_empty() || status == "0" || !said.lines().all(syntax)) {
        return Err("it does something");
    }
    if !record[1].is_empty() {
        return Err("it makes a file");
    }
    let found = |at: usize| -> BTreeSet<&str> {
        let before: BTreeSet<&str> = empty[at].lines().collect();
        record[at].lines().filter(|line| !line.contains('=') && !before.contains(line)).collect()
    };
    let functions: BTreeSet<&str> = declared.functions.iter().copied().collect();
    let variables: BTreeSet<&str> = declared.variables.iter().map(|(name, _)| *name).collect();
    if failed {
        let inside = found(2).is_subset(&functions) && found(3).is_subset(&variables);
        return inside.then_some(()).ok_or("it declares something else");
    }
    if found(2) != functions || found(3) != variables {
        return Err("it declares something else");
    }
    let last: std::collections::BTreeMap<_, _> = declared.variables.iter().copied().collect();
    let is_so = |(name, value): (&&str, &&str)| {
        value.contains('$') || record[3].lines().any(|line| line == format!("{name}={value}"))
    };
    if last.iter().all(is_so) { Ok(()) } else { Err("a value is another one") }
}
