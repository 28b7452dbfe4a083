//! Writes and removes the drop-in of a unit.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;

use anyhow::{Context, Result, bail, ensure};

use super::{DropIn, Found, ServiceUnit, look, place};
use crate::paths::Paths;
use crate::sys::file::{Draft, sync_directory};

/// Writes the drop-in of a unit, in place of an earlier one. Returns whether that made a difference.
/// Errors: there is a file of somebody else's, or it cannot be written.
pub fn write(paths: &Paths, unit: &ServiceUnit, drop_in: &DropIn) -> Result<bool> {
    let path = place(paths, unit);
    let text = drop_in.to_string();
    match look(paths, unit)? {
        Found::Foreign => bail!("{}", foreign(paths, unit)),
        Found::Ours(old) if old == text => return Ok(false),
        Found::Ours(_) | Found::Nothing => {}
    }
    let directory = path.parent().with_context(|| format!("no directory for {}", path.display()))?;
    ensure!(
        !directory.is_symlink(),
        "{} is a link, and what is written there would be read for every unit that shares it: make it a directory of its own",
        directory.display()
    );
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    Draft::synced(&path, text.as_bytes())?.commit()?;
    sync_directory(directory)?;
    Ok(true)
}

/// Removes the drop-in of a unit, and its directory if nothing else is in it. Returns whether there was one.
/// Errors: the file is somebody else's, or cannot be removed.
pub fn remove(paths: &Paths, unit: &ServiceUnit) -> Result<bool> {
    let path = place(paths, unit);
    match look(paths, unit)? {
        Found::Nothing => return Ok(false),
        Found::Foreign => bail!("{}", foreign(paths, unit)),
        Found::Ours(_) => {}
    }
    fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    if let Some(directory) = path.parent() {
        match fs::remove_dir(directory) {
            // A link is somebody else's, as is what is left in there.
            Err(error)
                if ![ErrorKind::DirectoryNotEmpty, ErrorKind::NotADirectory].contains(&error.kind()) =>
            {
                return Err(error).with_context(|| format!("cannot remove {}", directory.display()));
            }
            _ => {}
        }
    }
    sync_directory(&paths.units)?;
    Ok(true)
}

/// What is said of a file of somebody else's.
pub(super) fn foreign(paths: &Paths, unit: &ServiceUnit) -> String {
    format!(
        "{} was not written by `netnsctl attach`, and is left alone: look at it, and give it another name",
        place(paths, unit).display()
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::{Attached, attached};
    use super::*;
    use crate::name::Instance;

    fn world() -> (tempfile::TempDir, Paths, ServiceUnit) {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::under(root.path());
        fs::create_dir_all(&paths.units).unwrap();
        (root, paths, "nginx".parse().unwrap())
    }

    fn drop_in(paths: &Paths, unit: &ServiceUnit, word: &str) -> DropIn {
        let instance: Instance = word.parse().unwrap();
        DropIn::of(paths, unit, std::slice::from_ref(&instance), &instance.name)
    }

    #[test]
    fn what_is_attached_is_listed_and_detach_leaves_nothing() {
        let (_root, paths, unit) = world();
        assert!(write(&paths, &unit, &drop_in(&paths, &unit, "veth@a")).unwrap());
        assert!(!write(&paths, &unit, &drop_in(&paths, &unit, "veth@a")).unwrap());
        assert!(write(&paths, &unit, &drop_in(&paths, &unit, "veth@b")).unwrap());
        let (instance, namespace) = ("veth@b".parse().unwrap(), "b".parse().unwrap());
        assert_eq!(
            attached(&paths).unwrap(),
            [Attached { unit: "nginx.service".to_owned(), instances: vec![instance], namespace }]
        );
        assert!(remove(&paths, &unit).unwrap());
        assert!(!remove(&paths, &unit).unwrap());
        assert_eq!(fs::read_dir(&paths.units).unwrap().count(), 0);
    }

    #[test]
    fn a_file_of_somebody_elses_is_left_alone_and_so_is_a_directory_with_others() {
        let (_root, paths, unit) = world();
        let path = place(&paths, &unit);
        let directory = path.parent().unwrap();
        fs::create_dir_all(directory).unwrap();
        fs::write(&path, "[Service]\n").unwrap();
        let said = write(&paths, &unit, &drop_in(&paths, &unit, "lo@a")).unwrap_err().to_string();
        assert!(said.contains("50-netns.conf was not written by"), "{said}");
        assert!(remove(&paths, &unit).is_err());
        assert_eq!(attached(&paths).unwrap(), []);
        assert_eq!(fs::read_to_string(&path).unwrap(), "[Service]\n");

        fs::remove_file(&path).unwrap();
        fs::write(directory.join("override.conf"), "").unwrap();
        assert!(write(&paths, &unit, &drop_in(&paths, &unit, "lo@a")).unwrap());
        assert!(remove(&paths, &unit).unwrap());
        assert!(directory.join("override.conf").exists());
    }

    #[test]
    fn a_directory_that_is_a_link_is_not_written_to_and_stays_on_detach() {
        let (root, paths, unit) = world();
        let directory = place(&paths, &unit).parent().unwrap().to_owned();
        let shared = root.path().join("shared.d");
        symlink(&shared, &directory).unwrap();
        for make in [false, true] {
            if make {
                fs::create_dir(&shared).unwrap();
            }
            let said = write(&paths, &unit, &drop_in(&paths, &unit, "lo@a")).unwrap_err().to_string();
            assert!(said.contains("nginx.service.d is a link"), "{said}");
        }
        // It was made a link later: systemd reads the file.
        fs::write(shared.join("50-netns.conf"), drop_in(&paths, &unit, "lo@a").to_string()).unwrap();
        assert_eq!(attached(&paths).unwrap().len(), 1);
        assert!(remove(&paths, &unit).unwrap());
        assert!(directory.is_symlink() && fs::read_dir(&shared).unwrap().count() == 0);
    }

    #[test]
    fn what_is_no_file_is_somebody_elses_and_nobody_waits_for_it() {
        let (_root, paths, unit) = world();
        let path = place(&paths, &unit);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(write(&paths, &unit, &drop_in(&paths, &unit, "lo@a")).is_err());
        assert_eq!(attached(&paths).unwrap(), []);
    }
}
