//! Names of files in the directories that are read, and the text of files that the program itself has written.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use systemd_netns::engine::state::{self, Known};
use systemd_netns::name::NsName;
use systemd_netns::paths::Paths;
use systemd_netns::units::{self, Loaded};
use systemd_netns::{netns, plugin};

const TEMPLATE: &str = "[Service]\nExecStart=netnsinit \"%j\" \"%i\" up inside\n";

/// A machine's directories, with the template units, below `root`.
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

/// Whatever the files are called, there are only good types, instances and namespaces, each from a file of its name, and
/// units only where units are.
pub fn file_names(words: &[Vec<u8>]) {
    let root = tempfile::tempdir().unwrap();
    let paths = machine(root.path());
    for (at, word) in words.iter().enumerate() {
        let dotted = [word, [".sh", ".conf", "", "-a.conf"][at % 4].as_bytes()].concat();
        let unit = [b"netns-", word.as_slice(), b"@.service"].concat();
        let named =
            [(&paths.conf, &dotted), (&paths.share, &dotted), (&paths.units, &unit), (&paths.netns, word)];
        for (directory, name) in named {
            // What the kernel takes for the name of a file.
            let is_file_name = !name.is_empty() && name.len() < 256 && !name.iter().all(|&byte| byte == b'.');
            if is_file_name && !name.contains(&b'/') && !name.contains(&0) {
                fs::write(directory.join(OsStr::from_bytes(name)), TEMPLATE).unwrap();
            }
        }
    }
    let before = fs::read_dir(&paths.units).unwrap().count();

    let listing = plugin::list(&paths).unwrap();
    for complaint in &listing.complaints {
        assert!(!complaint.chars().any(char::is_control), "{complaint:?}");
    }
    for instance in plugin::configured(&paths).unwrap() {
        assert!(paths.conf_of(&instance).is_file() && listing.types.contains(&instance.nstype));
    }
    for name in netns::names(&paths).unwrap() {
        assert!(paths.namespace(&name).is_file());
    }
    let templates = units::templates(&paths).unwrap();
    let held = Loaded { name: "netns-lo@a.service".to_owned(), active: "active".to_owned() };
    for (types, loaded) in [(&listing.types, vec![]), (&BTreeSet::new(), vec![held])] {
        let present = units::present(&paths).unwrap();
        let plan = units::plan(&paths, &present, types, &templates, &loaded).unwrap();
        for change in &plan.changes {
            assert_eq!(change.path.parent(), Some(paths.units.as_path()));
        }
        let outcome = plan.apply(&paths, |_| {});
        assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
    }
    // None is left whose name is that of a type, but for those that are held; what is somebody else's is.
    assert!(fs::read_dir(&paths.units).unwrap().count() <= before + 2);
    let types = listing.types.iter();
    for unit in types.map(|nstype| paths.units.join(format!("netns-{nstype}@.service"))) {
        assert!(!unit.exists() || unit.ends_with("netns-lo@.service"), "{}", unit.display());
    }
}

/// A file of the direct engine's that cannot be used is told to be so; what can is written as it was read.
pub fn state(text: &[u8]) {
    let root = tempfile::tempdir().unwrap();
    let paths = machine(root.path());
    let name: NsName = "a".parse().unwrap();
    fs::write(paths.state(&name), text).unwrap();
    match state::read(&paths, &name) {
        Ok(Some(Known::State(read))) => {
            let written = serde_json::to_string(&read).unwrap();
            fs::write(paths.state(&name), written).unwrap();
            assert!(matches!(state::read(&paths, &name), Ok(Some(Known::State(again))) if again == read));
        }
        Ok(Some(Known::Unusable(_))) => {}
        other => panic!("there is a file: {other:?}"),
    }
    // Whatever is in it, it is in nobody's way.
    drop(state::hold(&paths, &name).unwrap());
}

/// A true file, with some bytes of it replaced.
pub fn state_nearly(changes: &[u8]) {
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
