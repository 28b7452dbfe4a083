//! Any file names in the directories that the program reads, and damaged files of the program itself.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use systemd_netns::internals::NsName;
use systemd_netns::internals::Paths;
use systemd_netns::internals::engine;
use systemd_netns::internals::engine::state::{self, StateFile};
use systemd_netns::internals::gc::{self, OrphanKind};
use systemd_netns::internals::netns;
use systemd_netns::internals::plugin;
use systemd_netns::internals::requires::{Graph, Parents};
use systemd_netns::internals::systemd::Loaded;
use systemd_netns::internals::systemd::templates;
use systemd_netns::internals::update;

const TEMPLATE: &str = "[Service]\nExecStart=netnsinit \"%j\" \"%i\" up inside\n";

/// Creates the directories of a machine below `root`, with the template units.
fn machine(root: &Path) -> Paths {
    let paths = Paths::under(root);
    for directory in
        [&paths.conf, &paths.share, &paths.templates[1], &paths.units, &paths.netns, &paths.direct]
    {
        fs::create_dir_all(directory).unwrap();
    }
    for kind in ["netns", "netns_outside"] {
        fs::write(paths.templates[1].join(format!("{kind}@.service")), TEMPLATE).unwrap();
    }
    paths
}

/// With any file names, only valid types, instances and namespaces are found, each from its own file, and units are written
/// only to the unit directory.
pub fn file_names(names: &[Vec<u8>]) {
    let root = tempfile::tempdir().unwrap();
    let paths = machine(root.path());
    for (index, name) in names.iter().enumerate() {
        let dotted = [name, [".sh", ".conf", "", "-a.conf"][index % 4].as_bytes()].concat();
        let unit = [b"netns-", name.as_slice(), b"@.service"].concat();
        let files =
            [(&paths.conf, &dotted), (&paths.share, &dotted), (&paths.units, &unit), (&paths.netns, name)];
        for (directory, name) in files {
            // The kernel accepts these file names.
            let is_file_name = !name.is_empty() && name.len() < 256 && !name.iter().all(|&byte| byte == b'.');
            if is_file_name && !name.contains(&b'/') && !name.contains(&0) {
                fs::write(directory.join(OsStr::from_bytes(name)), TEMPLATE).unwrap();
            }
        }
    }
    let before = fs::read_dir(&paths.units).unwrap().count();

    let listing = plugin::list(&paths).unwrap();
    for problem in &listing.problems {
        assert!(!problem.chars().any(char::is_control), "{problem:?}");
    }
    for instance in plugin::configured(&paths).unwrap() {
        assert!(paths.conf_of(&instance).is_file() && listing.types.contains(&instance.nstype));
    }
    for name in netns::names(&paths).unwrap() {
        assert!(paths.namespace(&name).is_file());
    }
    let templates = templates(&paths).unwrap();
    let active = Loaded { name: "netns-lo@a.service".to_owned(), active: "active".to_owned() };
    for (types, loaded) in [(&listing.types, vec![]), (&BTreeSet::new(), vec![active])] {
        let plan =
            update::plan(&paths, types, &templates, &Graph::default(), &Parents::default(), &loaded).unwrap();
        for change in &plan.changes {
            assert_eq!(change.path.parent(), Some(paths.units.as_path()));
        }
        let outcome = plan.apply(&paths, |_| {});
        assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
    }
    // The units of all types are removed, except those of an active instance. Foreign files are not removed.
    assert!(fs::read_dir(&paths.units).unwrap().count() <= before + 2);
    let types = listing.types.iter();
    for unit in types.map(|nstype| paths.units.join(format!("netns-{nstype}@.service"))) {
        assert!(!unit.exists() || unit.ends_with("netns-lo@.service"), "{}", unit.display());
    }
}

/// Creates an entry that is not a readable regular file. `kind` selects its file type.
fn create_unusable(path: &Path, kind: usize) {
    match kind % 6 {
        0 => fs::create_dir(path).unwrap(),
        1 => mkfifo(path, Mode::S_IRWXU).unwrap(),
        2 => drop(UnixListener::bind(path).unwrap()),
        3 => symlink(path.file_name().unwrap(), path).unwrap(),
        4 => symlink("nothing", path).unwrap(),
        _ => symlink("victim", path).unwrap(),
    }
}

/// An unusable entry in place of a record is reported. It does not block, and the other records are found.
pub fn unusable_entries(kinds: &[u8]) {
    let root = tempfile::Builder::new().prefix("o").tempdir_in("/tmp").unwrap(); // the path of a socket has to be short
    let paths = machine(root.path());
    for directory in [&paths.ownership, &paths.remembered] {
        fs::create_dir_all(directory).unwrap();
    }
    let mut unusable = Vec::new();
    for (index, kind) in kinds.iter().map(|&kind| usize::from(kind)).enumerate() {
        let name = ["x", "y-1", "z.a"][index % 3].to_owned() + &index.to_string();
        let (directory, file) = match kind / 6 % 6 {
            0 => (&paths.netns, name),
            1 => (&paths.ownership, name),
            2 => (&paths.remembered, format!("lo@{name}")),
            3 => (&paths.direct, format!("{name}.json")),
            4 => (&paths.direct, format!("{name}.lock")),
            _ => (&paths.direct, format!("lo@{name}.log")),
        };
        create_unusable(&directory.join(&file), kind);
        unusable.push(directory.join(file));
    }
    // Invalid names of records.
    for file in [paths.ownership.join("a b"), paths.remembered.join("-"), paths.direct.join("@.log")] {
        fs::write(&file, "").unwrap();
        unusable.push(file);
    }
    let victim = "not ours";
    for directory in [&paths.netns, &paths.ownership, &paths.remembered, &paths.direct] {
        fs::write(directory.join("victim"), victim).unwrap();
    }
    let good: NsName = "good".parse().unwrap();
    let text = r#"{"version":1,"namespace":null,"adopted":false,"instances":[{"type":"lo","stage":"up","since":"2026-01-01T00:00:00Z"}]}"#;
    fs::write(paths.state(&good), text).unwrap();

    let found = gc::find(&paths).unwrap();
    for path in &unusable {
        let reported = found.iter().filter(|orphan| orphan.path == *path);
        let kinds: Vec<&OrphanKind> = reported.map(|orphan| &orphan.kind).collect();
        let expected =
            if path.starts_with(&paths.netns) { OrphanKind::Foreign } else { OrphanKind::Unusable };
        assert_eq!(kinds, [&expected], "{}", path.display());
    }
    assert!(
        found.iter().any(|orphan| matches!(&orphan.kind, OrphanKind::PartiallyUp(name, _) if *name == good))
    );
    assert_eq!(state::entries(&paths).unwrap().len(), 1);
    assert!(engine::active(&paths).unwrap().iter().any(|active| active.instance.name == good));
    for path in unusable.iter().filter(|path| path.starts_with(&paths.direct)) {
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if let Ok(name) = stem.parse::<NsName>() {
            // An entry in place of a state file is renamed; in place of a lock file it is an error.
            assert_eq!(
                state::lock(&paths, &name).is_ok(),
                path.extension().unwrap() == "json",
                "{}",
                path.display()
            );
        }
    }
    drop(state::lock(&paths, &good).unwrap());
    for directory in [&paths.netns, &paths.ownership, &paths.remembered, &paths.direct] {
        assert_eq!(fs::read_to_string(directory.join("victim")).unwrap(), victim);
    }
}

/// An unusable state file of the direct engine is reported. A usable one has the same contents after it was read and written.
pub fn state(text: &[u8]) {
    let root = tempfile::tempdir().unwrap();
    let paths = machine(root.path());
    let name: NsName = "a".parse().unwrap();
    fs::write(paths.state(&name), text).unwrap();
    match state::read(&paths, &name) {
        Ok(Some(StateFile::Valid(read))) => {
            let written = serde_json::to_string(&read).unwrap();
            fs::write(paths.state(&name), written).unwrap();
            assert!(matches!(state::read(&paths, &name), Ok(Some(StateFile::Valid(again))) if again == read));
        }
        Ok(Some(StateFile::Unusable(_))) => {}
        other => panic!("there is a file: {other:?}"),
    }
    // With any contents of the file, the lock is available.
    drop(state::lock(&paths, &name).unwrap());
}

/// A valid state file with some bytes replaced.
pub fn mutated_state(changes: &[u8]) {
    let mut text = br#"{"version":1,"namespace":{"device":4,"inode":4026532000,"cookie":4711},"adopted":false,"instances":[{"type":"veth","stage":"up","since":"2026-01-01T00:00:00Z","hook":{"pid":7,"started":9}}]}"#.to_vec();
    for pair in changes.chunks_exact(2) {
        let length = text.len();
        text[usize::from(pair[0]) % length] = pair[1];
    }
    if changes.len() % 2 == 1 {
        text.truncate(usize::from(changes[0]));
    }
    state(&text);
}
