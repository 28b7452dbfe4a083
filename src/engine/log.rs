//! The logs of the direct engine: one file for each instance, with the output of its hooks. The file is in memory (`/run`), and
//! only the end is kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Once;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use crate::print::{self, escape, excerpt};
use crate::sys::file;

/// Bytes at the end of a log from which the lines for a message are read.
const TAIL_SIZE: u64 = 1 << 16;

/// Opens the log of an instance, and returns the current length.
/// Errors: the log cannot be created or opened.
pub fn open(path: &Path) -> Result<(File, u64)> {
    let context = || format!("cannot write {}", path.display());
    let mut options = OpenOptions::new();
    let log = file::open(path, options.append(true).create(true).mode(0o600)).with_context(context)?;
    let length = log.metadata().with_context(context)?.len();
    Ok((log, length))
}

/// Returns the log for a teardown, or /dev/null on a full disk: a failed write must not fail the hook.
/// Errors: the size of the log cannot be read, or /dev/null cannot be opened.
pub fn for_teardown(log: File) -> Result<File> {
    let Ok(end) = log.metadata().context("cannot read the size of a log")?.len().try_into() else {
        return Ok(log);
    };
    match fallocate(&log, FallocateFlags::FALLOC_FL_KEEP_SIZE, end, 1 << 16) {
        Err(Errno::ENOSPC) => {
            static WARNED: Once = Once::new();
            WARNED.call_once(|| print::warn("no space left for the output of hooks, which is discarded"));
            OpenOptions::new().write(true).open("/dev/null").context("cannot open /dev/null")
        }
        _ => Ok(log),
    }
}

/// The length of a log in bytes; 0 if it does not exist.
pub fn length(log: &Path) -> u64 {
    fs::metadata(log).map_or(0, |found| found.len())
}

/// The lines of a log, after the offset `from`. Of a long log, only the end is read.
pub fn lines(log: &Path, from: u64) -> Vec<String> {
    let text = read_end(log, from).unwrap_or_default();
    escape::text(&text).lines().map(ToOwned::to_owned).collect()
}

/// The last lines of a log, after the offset `from`.
pub fn last_lines(log: &Path, from: u64) -> Vec<String> {
    excerpt(lines(log, from))
}

fn read_end(log: &Path, from: u64) -> io::Result<Vec<u8>> {
    let mut file = file::open(log, OpenOptions::new().read(true))?;
    let from = from.max(file.metadata()?.len().saturating_sub(TAIL_SIZE));
    file.seek(SeekFrom::Start(from))?;
    // Without the capacity, the number of system calls would depend on the length.
    let mut text = Vec::with_capacity(1 << 16);
    file.take(TAIL_SIZE).read_to_end(&mut text)?;
    Ok(text)
}
