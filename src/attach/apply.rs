//! Writes and removes the drop-in of a unit.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;

use anyhow::{Context, Result, bail, ensure};

use super::{DropIn, DropInFile, ServiceUnit, attached, drop_in_path, follow, read};
use crate::paths::Paths;
use crate::sys::file::{Draft, sync_directory};
use crate::systemd::unit_files::{self, Plan};

/// Writes or replaces the drop-in of a unit. Returns whether the file has changed.
/// Errors: the file is foreign, or its directory is a link; reading, writing or syncing fails.
pub fn write(paths: &Paths, unit: &ServiceUnit, drop_in: &DropIn) -> Result<bool> {
    let path = drop_in_path(paths, unit);
    let text = drop_in.to_string();
    match read(paths, unit)? {
        DropInFile::Foreign => bail!("{}", foreign(paths, unit)),
        DropInFile::Ours(old) if old == text => return Ok(false),
        DropInFile::Ours(_) | DropInFile::Missing => {}
    }
    let directory = path.parent().with_context(|| format!("no directory for {}", path.display()))?;
    ensure!(
        !directory.is_symlink(),
        "{} is a link, so a drop-in there could also apply to other units; replace the link with a directory",
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

/// Writes and removes the drop-ins of `follow`, so that they match the attached units.
/// Errors: a drop-in cannot be written or removed.
pub fn update_followers(paths: &Paths) -> Result<()> {
    let mut plan = Plan::default();
    plan.add_followers(paths, &unit_files::present(paths)?, follow::drop_ins(&attached(paths)?));
    let applied = plan.apply(paths, |_| ());
    let errors = plan.problems.into_iter().chain(applied.errors.iter().map(|error| format!("{error:#}")));
    let errors: Vec<String> = errors.collect();
    ensure!(errors.is_empty(), "{}", errors.join("\n"));
    Ok(())
}

/// Removes the drop-in of a unit, and its directory if empty. Returns whether the drop-in existed.
/// Errors: the file is foreign; reading, removing or syncing fails.
pub fn remove(paths: &Paths, unit: &ServiceUnit) -> Result<bool> {
    let path = drop_in_path(paths, unit);
    match read(paths, unit)? {
        DropInFile::Missing => return Ok(false),
        DropInFile::Foreign => bail!("{}", foreign(paths, unit)),
        DropInFile::Ours(_) => {}
    }
    fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    if let Some(directory) = path.parent() {
        match fs::remove_dir(directory) {
            // A link, and other files in the directory, are foreign.
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

/// The error message if a foreign file is at the path of the drop-in.
pub(super) fn foreign(paths: &Paths, unit: &ServiceUnit) -> String {
    format!(
        "{} was not written by `netnsctl attach`, and is not changed; check its contents, then rename it",
        drop_in_path(paths, unit).display()
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::{Attached, Follow, attached};
    use super::*;
    use crate::name::Instance;

    fn test_unit() -> (tempfile::TempDir, Paths, ServiceUnit) {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::under(root.path());
        fs::create_dir_all(&paths.units).unwrap();
        (root, paths, "nginx".parse().unwrap())
    }

    fn drop_in(paths: &Paths, unit: &ServiceUnit, instance: &str) -> DropIn {
        let instance: Instance = instance.parse().unwrap();
        DropIn::of(paths, unit, std::slice::from_ref(&instance), &instance.name)
    }

    #[test]
    fn an_attached_unit_is_listed_and_detach_leaves_nothing() {
        let (_root, paths, unit) = test_unit();
        assert!(write(&paths, &unit, &drop_in(&paths, &unit, "veth@a")).unwrap());
        assert!(!write(&paths, &unit, &drop_in(&paths, &unit, "veth@a")).unwrap());
        assert!(write(&paths, &unit, &drop_in(&paths, &unit, "veth@b")).unwrap());
        let (instance, namespace) = ("veth@b".parse().unwrap(), "b".parse().unwrap());
        assert_eq!(
            attached(&paths).unwrap(),
            [Attached {
                unit: "nginx.service".to_owned(),
                instances: vec![instance],
                namespace,
                follow: Some(Follow::Yes)
            }]
        );
        assert!(remove(&paths, &unit).unwrap());
        assert!(!remove(&paths, &unit).unwrap());
        assert_eq!(fs::read_dir(&paths.units).unwrap().count(), 0);
    }

    #[test]
    fn a_foreign_file_is_not_changed_and_a_directory_with_other_files_is_not_removed() {
        let (_root, paths, unit) = test_unit();
        let path = drop_in_path(&paths, &unit);
        let directory = path.parent().unwrap();
        fs::create_dir_all(directory).unwrap();
        fs::write(&path, "[Service]\n").unwrap();
        let message = write(&paths, &unit, &drop_in(&paths, &unit, "lo@a")).unwrap_err().to_string();
        assert!(message.contains("50-netns.conf was not written by"), "{message}");
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
    fn attach_refuses_a_linked_directory_and_detach_keeps_the_link() {
        let (root, paths, unit) = test_unit();
        let directory = drop_in_path(&paths, &unit).parent().unwrap().to_owned();
        let shared = root.path().join("shared.d");
        symlink(&shared, &directory).unwrap();
        for exists in [false, true] {
            if exists {
                fs::create_dir(&shared).unwrap();
            }
            let message = write(&paths, &unit, &drop_in(&paths, &unit, "lo@a")).unwrap_err().to_string();
            assert!(message.contains("nginx.service.d is a link"), "{message}");
        }
        // The directory can become a link later: systemd still reads the drop-in.
        fs::write(shared.join("50-netns.conf"), drop_in(&paths, &unit, "lo@a").to_string()).unwrap();
        assert_eq!(attached(&paths).unwrap().len(), 1);
        assert!(remove(&paths, &unit).unwrap());
        assert!(directory.is_symlink() && fs::read_dir(&shared).unwrap().count() == 0);
    }

    #[test]
    fn a_fifo_is_foreign_and_does_not_block() {
        let (_root, paths, unit) = test_unit();
        let path = drop_in_path(&paths, &unit);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(write(&paths, &unit, &drop_in(&paths, &unit, "lo@a")).is_err());
        assert_eq!(attached(&paths).unwrap(), []);
    }
}
