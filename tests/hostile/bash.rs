//! What bash makes of text that this program reads or writes. Bash itself is asked.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use systemd_netns::internals::assignments;

const ORACLE: &str = include_str!("oracle.sh");

/// The variables of a text, with their values as they are written.
type Variables<'a> = Vec<(&'a str, &'a str)>;

/// Where text is understood, bash finds those variables in it, and nothing else happens: nothing is printed, no file is made, no
/// function is defined. Returns how many of the texts are understood.
pub fn sets_what_bash_finds(texts: &[String]) -> usize {
    let understood: Vec<(&String, Variables)> = texts
        .iter()
        .filter_map(|text| Some((text, assignments(text)?)))
        .filter(|(_, variables)| variables.iter().all(|(name, _)| harmless(name)))
        .collect();
    // The first one has nothing in it: what it shows is there in any case.
    let empty = String::new();
    let cases: Vec<(&String, Variables)> =
        [(&empty, Variables::new())].into_iter().chain(understood).collect();
    let records = ask(&cases);
    assert_eq!(records.len(), 4 * cases.len(), "bash has not come to its end");
    let records: Vec<&[String]> = records.chunks(4).collect();
    for ((text, variables), record) in cases.iter().zip(&records) {
        if let Err(error) = judge(variables, record, records[0]) {
            panic!("{error}\nin the text {text:?}\nbash: {record:?}\nread: {variables:?}\n{text}");
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

fn ask(cases: &[(&String, Variables)]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    fs::create_dir(file("made")).unwrap();
    fs::write(file("oracle.sh"), ORACLE).unwrap();
    for (at, (text, variables)) in cases.iter().enumerate() {
        fs::write(file(&at.to_string()), text).unwrap();
        let plain = variables.iter().filter(|(_, value)| !value.contains('$'));
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
fn judge(variables: &Variables, record: &[String], empty: &[String]) -> Result<(), &'static str> {
    if record[0] != empty[0] {
        return Err("it does something");
    }
    if !record[1].is_empty() {
        return Err("it makes a file");
    }
    let found = |at: usize| -> BTreeSet<&str> {
        let before: BTreeSet<&str> = empty[at].lines().collect();
        record[at].lines().filter(|line| !line.contains('=') && !before.contains(line)).collect()
    };
    if !found(2).is_empty() || found(3) != variables.iter().map(|(name, _)| *name).collect() {
        return Err("it declares something else");
    }
    let last: std::collections::BTreeMap<_, _> = variables.iter().copied().collect();
    let is_so = |(name, value): (&&str, &&str)| {
        value.contains('$') || record[3].lines().any(|line| line == format!("{name}={value}"))
    };
    if last.iter().all(is_so) { Ok(()) } else { Err("a value is another one") }
}
