//! Checks the syntax of files.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use anyhow::Result;

use super::{SYNTAX, UNWANTED_VARIABLES};
use crate::paths::BASH;
use crate::sys::program::Program;

/// Prints each file of stdin that bash cannot parse, and the error.
const SCRIPT: &str = "mapfile -d '' files\n\
    for file in \"${files[@]}\"; do __netns_parses \"$file\" || printf '%s\\0' \"$file\" \"$__netns_syntax_error\"; done";

/// Lets bash parse files, and returns the error of each one that it cannot parse.
/// Errors: bash cannot be run.
pub fn errors(files: &BTreeSet<PathBuf>) -> Result<BTreeMap<PathBuf, String>> {
    let input: Vec<u8> =
        files.iter().flat_map(|path| [path.as_os_str().as_bytes(), b"\0"].concat()).collect();
    let script = format!("{SYNTAX}{SCRIPT}");
    let bash = Program::new(BASH).env_remove(&UNWANTED_VARIABLES).args(["-c", &script]).input(input);
    let output = bash.run()?.success()?;
    let mut fields = output.stdout.split(|&byte| byte == 0);
    let mut errors = BTreeMap::new();
    while let (Some(path), Some(error)) = (fields.next(), fields.next()) {
        errors.insert(OsStr::from_bytes(path).into(), String::from_utf8_lossy(error).into_owned());
    }
    Ok(errors)
}
