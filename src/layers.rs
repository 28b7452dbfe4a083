//! The layers of an instance: plugin, `default.conf`, `TYPE.conf`, `TYPE-NAME.conf`.
//!
//! The first two are settled here. The names of the other two are put together by the wrapper, as a plugin may change
//! `NSTYPE`, or `TYPE.conf` `NSNAME`, and whether they have to exist is for `NO_CONFIG_REQUIRED` to say, which any
//! file may set.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use nix::unistd::{AccessFlags, access};

use crate::name::{Instance, Phase};
use crate::paths::Paths;
use crate::plugin;

/// What is sourced for an instance, in this order.
#[derive(Debug)]
pub struct Layers {
    /// `TYPE.sh`
    pub plugin: PathBuf,
    /// `default.conf`, where there is one.
    pub default: Option<DefaultConf>,
    /// The directory of `TYPE.conf` and `TYPE-NAME.conf`.
    pub conf: PathBuf,
}

/// `default.conf` and whether it needs to be parsed before it can be trusted to be sourced.
#[derive(Debug)]
pub struct DefaultConf {
    /// The file.
    pub path: PathBuf,
    /// It holds blank lines, comments and simple assignments alone, so it cannot have a syntax error.
    pub plain: bool,
}

impl Layers {
    /// Finds the layers of an instance.
    ///
    /// # Errors
    /// No usable plugin. On `up`, a `default.conf` that is there but cannot be read; on `down` that is only warned of.
    pub fn of(paths: &Paths, instance: &Instance, phase: Phase) -> Result<Self> {
        let plugin = plugin::find(paths, &instance.nstype)?;
        let default = match (default_conf(paths.default_conf(), phase), phase) {
            (Err(error), Phase::Down) => {
                crate::warn(&format!("{error:#}; going on without it"));
                None
            }
            (found, _) => found?,
        };
        Ok(Self { plugin, default, conf: paths.conf.clone() })
    }
}

fn default_conf(path: PathBuf, phase: Phase) -> Result<Option<DefaultConf>> {
    let found = match fs::metadata(&path) {
        Ok(found) if found.is_dir() => bail!("{} is a directory, not a file", path.display()),
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
            bail!("{} is a symbolic link to nothing", path.display())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot look at {}", path.display())),
    };
    access(&path, AccessFlags::R_OK).with_context(|| format!("cannot read {}", path.display()))?;
    // Asked on `down` alone, and of a regular file alone: reading a FIFO would take its content from bash.
    let plain = phase == Phase::Up || !found.is_file() || fs::read(&path).is_ok_and(|text| is_plain(&text));
    Ok(Some(DefaultConf { path, plain }))
}

/// Whether every line is blank, a comment, or `NAME=value` with nothing in it that bash would look at twice.
fn is_plain(text: &[u8]) -> bool {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:,@%+- ".contains(&byte);
    let assignment = |line: &[u8]| {
        let Some(equals) = line.iter().position(|&byte| byte == b'=') else { return false };
        let (name, value) = (&line[..equals], &line[equals + 1..]);
        let quoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        name.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
            && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && quoted.unwrap_or(value).iter().all(|&byte| harmless(byte))
    };
    text.split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .all(|line| line.is_empty() || line.starts_with(b"#") || assignment(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_simple_assignments_are_plain() {
        assert!(is_plain(b""));
        assert!(is_plain(
            b"# a comment with \"\n\n  A=1\nHOST_ADDR=\"192.0.2.1/24 broadcast 192.0.2.255\"\nB=\n"
        ));
        assert!(is_plain(b"A=1\r\n"));
    }

    #[test]
    fn anything_that_bash_would_parse_is_not_plain() {
        for text in [
            "if", "A=(", "A=\"x", "A='x'", "A=$B", "A=`id`", "f() {", "A=1; fi", "1A=2", "A = 1", "A=\"", "{",
        ] {
            assert!(!is_plain(text.as_bytes()), "{text}");
        }
    }
}
