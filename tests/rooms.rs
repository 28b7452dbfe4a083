//! The rooms of `src/`: each folder is a room. A room imports only from earlier rooms.

#![allow(clippy::unwrap_used)] // a test

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use walkdir::WalkDir;

/// The order of the rooms.
const ORDER: [&str; 29] = [
    "name",
    "paths",
    "argv",
    "exit",
    "print",
    "sys", // for all rooms
    "netlink",
    "config",
    "trust",
    "bash",
    "netns",
    "systemd", // the kernel, the files, and other programs
    "firewall",
    "library",
    "hook",
    "requires",
    "engine", // bring an instance up and down
    "lifecycle",
    "attach",
    "update",
    "run",
    "leaktest",
    "gc",
    "graph",
    "status",
    "check",
    "watch", // the capabilities
    "commands",
    "main",
];

/// A source file without comments and tests, with its room.
struct Source {
    path: String,
    room: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = WalkDir::new(&all).into_iter().map(Result::unwrap);
    let rust = files.filter(|entry| entry.path().extension().is_some_and(|end| end == "rs"));
    let read = |entry: walkdir::DirEntry| {
        let path = entry.path().strip_prefix(&all).unwrap().to_str().unwrap().to_owned();
        let room = path.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        let text = fs::read_to_string(entry.path()).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap().lines();
        let code: Vec<&str> = code.filter(|line| !line.trim_start().starts_with("//")).collect();
        Source { path, room, code: code.join("\n") }
    };
    let found: Vec<Source> = rust.map(read).filter(|source| source.room != "lib").collect();
    assert!(found.len() > 100, "not all source files were found");
    found
}

/// The rooms that a file imports from, by `crate::` or by a chain of `super::` to the root.
fn imports(path: &str, code: &str) -> BTreeSet<String> {
    let above = path.trim_end_matches("/mod.rs").split('/').count();
    let roots = ["crate::".to_owned(), "super::".repeat(above)];
    let paths = roots.iter().flat_map(|root| code.split(root.as_str()).skip(1));
    paths.map(|rest| rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect()).collect()
}

fn position(room: &str) -> usize {
    ORDER
        .iter()
        .position(|known| *known == room)
        .unwrap_or_else(|| panic!("room `{room}` is missing in the order"))
}

#[test]
fn a_room_imports_from_earlier_rooms_only() {
    let mut wrong = Vec::new();
    for source in sources() {
        for other in imports(&source.path, &source.code).iter().filter(|other| **other != source.room) {
            if position(other) >= position(&source.room) {
                wrong.push(format!("src/{} imports from {other}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn imports_by_crate_and_super_are_found() {
    let code = "use crate::engine::{self, Active};\nfn f() { crate::check::check() }\n";
    assert_eq!(imports("name/mod.rs", code), BTreeSet::from(["check".to_owned(), "engine".to_owned()]));
    for (path, code) in
        [("name/unit.rs", "use super::super::engine::Active;"), ("name/mod.rs", "super::engine::up()")]
    {
        assert_eq!(imports(path, code), BTreeSet::from(["engine".to_owned()]), "{path}");
    }
    assert!(position("check") > position("engine"));
}

#[test]
fn the_root_of_the_sources_has_at_most_eight_files() {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let files: Vec<_> = files.map(Result::unwrap).filter(|entry| entry.path().is_file()).collect();
    assert!(files.len() <= 8, "{files:?}");
}

#[test]
fn each_type_has_a_unique_name() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources() {
        for line in source.code.lines() {
            let line = line.trim_start();
            let line = line.strip_prefix("pub ").unwrap_or(line);
            let line = line.strip_prefix("pub(super) ").or(line.strip_prefix("pub(crate) ")).unwrap_or(line);
            for kind in ["struct ", "enum ", "trait "] {
                if let Some(rest) = line.strip_prefix(kind) {
                    let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
                    places.entry(name).or_default().push(source.path.clone());
                }
            }
        }
    }
    assert!(places.len() > 100, "not all types were found");
    places.retain(|_, places| places.len() > 1);
    assert!(places.is_empty(), "{places:?}");
}

#[test]
fn the_host_does_not_contain_the_name_of_a_type() {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugins");
    let types: Vec<String> = fs::read_dir(plugins)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(types.len() > 3, "{types:?}");
    // These strings have another meaning: programs, a package, kinds and names of interfaces, files of the library, a key in the files of
    // wg-quick(8), an option of leaktest, a family of nftables, and templates.
    let others = [
        r#"kind == "veth""#,
        r#"kind != "veth""#,
        r#"kind == "bridge""#,
        r#"kind != "bridge""#,
        r#"kind == "ipvlan""#,
        r#"const IPVLAN: &str = "ipvlan""#,
        r#"("macvlan" | IPVLAN | "vlan", "#,
        r#"("vxlan", "#,
        r#"const LOOPBACK: &str = "lo""#,
        r#""wireguard", settings.prefix()"#,
        r#""vepa", "bridge""#,
        r#"name != "lo""#,
        r#"Program::new("nft")"#,
        r#"Command::new("nft")"#,
        r#"long = "dns""#,
        r#"default_value = "bridge""#,
        r#""type", "bridge""#,
        r#"7 => Some("bridge")"#,
        r#""dns" => items"#,
        r#"kind == "wireguard""#,
        r#"kind != "wireguard""#,
        r#"["wireguard-go", "#,
        r#"package("wireguard-tools")"#,
        r#"include_str!("library/wireguard.sh")"#,
        r#""wireguard" => [include_str!("templates/wireguard.sh"), include_str!("templates/wireguard.conf")]"#,
    ];
    let has_others = |source: &Source| source.room == "leaktest" || source.path == "graph/example.rs";
    let mut wrong = Vec::new();
    for mut source in sources() {
        let quoted = |nstype| [format!("\"{nstype}\""), format!("\"{nstype}-"), format!("\"{nstype}@")];
        source.code = others.iter().fold(source.code, |code, other| code.replace(other, ""));
        let in_quotes =
            if has_others(&source) { Vec::new() } else { types.iter().flat_map(quoted).collect() };
        let Source { path, code, .. } = source;
        wrong.extend(
            in_quotes.iter().filter(|text| code.contains(*text)).map(|text| format!("src/{path}: {text}")),
        );
        for nstype in &types {
            let uses = [
                format!("configure_{nstype}_"),
                format!("{nstype}.sh"),
                format!("{nstype}.conf"),
                format!("{nstype}.rules"),
                format!("{nstype}-{{"),
                format!("{nstype}@{{"),
            ];
            wrong.extend(
                uses.iter().filter(|text| code.contains(*text)).map(|text| format!("src/{path}: {text}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
