//! What things are measured against, where that is a program of its own.

use std::fs;

use anyhow::{Result, bail};

pub fn run(words: &[&str]) -> Result<()> {
    match words {
        ["stat", directories @ ..] => stat(directories),
        ["write", directory, count] => write(directory, count.parse()?),
        _ => bail!("no such floor"),
    }
}

/// Looks at every file of some directories.
fn stat(directories: &[&str]) -> Result<()> {
    for directory in directories {
        for entry in fs::read_dir(directory)? {
            fs::symlink_metadata(entry?.path())?;
        }
    }
    Ok(())
}

/// Writes the units of so many types.
fn write(directory: &str, count: usize) -> Result<()> {
    for (kind, template) in [("netns", "netns@.service"), ("netns_outside", "netns_outside@.service")] {
        let content = fs::read(format!("/usr/lib/systemd/system/{template}"))?;
        for number in 0..count {
            fs::write(format!("{directory}/{kind}-type{number}@.service"), &content)?;
        }
    }
    Ok(())
}
