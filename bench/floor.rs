//! The floors that need a separate program.

use std::fs;
use std::io;

use anyhow::{Result, bail};

pub fn run(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["stat", directories @ ..] => stat(directories),
        ["write", directory, count] => {
            each_unit(directory, count.parse()?, |path, content| fs::write(path, content))
        }
        ["replace", directory, count] => {
            let mut drafts = Vec::new();
            each_unit(directory, count.parse()?, |path, content| {
                let draft = format!("{path}.draft");
                fs::write(&draft, content)?;
                drafts.push((draft, path.to_owned()));
                Ok(())
            })?;
            Ok(drafts.iter().try_for_each(|(draft, path)| fs::rename(draft, path))?)
        }
        _ => bail!("unknown floor: expected `stat`, `write` or `replace`"),
    }
}

/// Calls lstat() for every file of some directories.
fn stat(directories: &[&str]) -> Result<()> {
    for directory in directories {
        for entry in fs::read_dir(directory)? {
            fs::symlink_metadata(entry?.path())?;
        }
    }
    Ok(())
}

/// Calls `write` for each unit file of `count` types.
fn each_unit(
    directory: &str,
    count: usize,
    mut write: impl FnMut(&str, &[u8]) -> io::Result<()>,
) -> Result<()> {
    for (kind, template) in [("netns", "netns@.service"), ("netns_outside", "netns_outside@.service")] {
        let content = fs::read(format!("/usr/lib/systemd/system/{template}"))?;
        for number in 0..count {
            write(&format!("{directory}/{kind}-type{number}@.service"), &content)?;
        }
    }
    Ok(())
}
