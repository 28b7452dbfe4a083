//! What hooks print under the direct engine: a file for each instance, in memory, of which the end is kept.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Once;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use crate::print::{self, escape};
use crate::sys::file;

/// What is kept of a log, its end; the log is in memory.
const KEPT: u64 = 1 << 20;

/// How many of the last lines of a failed hook are shown, and how far back they are looked for.
const LINES: usize = 10;
const LOOK_BACK: u64 = 1 << 16;

/// Opens the log of an instance, and tells how long it is already.
/// Errors: it cannot be written to.
pub fn open(path: &Path) -> Result<(File, u64)> {
    let what = || format!("cannot write {}", path.display());
    let mut options = OpenOptions::new();
    let log = file::open(path, options.append(true).create(true).mode(0o600)).with_context(what)?;
    let length = log.metadata().with_context(what)?.len();
    Ok((log, length))
}

/// Gives the memory of all but the end of a log back. It turns into a hole: whoever writes to the log does not notice, and
/// no line changes its place.
pub fn bound(log: &File) {
    let Ok(found) = log.metadata() else { return };
    let Ok(surplus) = found.len().saturating_sub(KEPT).try_into() else { return };
    if found.blocks() * 512 > 2 * KEPT {
        // A file system that has no holes keeps all of it, which is not worth a failure.
        _ = fallocate(
            log,
            FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE,
            0,
            surplus,
        );
    }
}

/// What a tear-down prints to: nothing where the disk is full. It would fail because it cannot say what it does.
pub fn takes_output(log: File) -> Result<File> {
    let Ok(end) = log.metadata().context("cannot look at a log")?.len().try_into() else { return Ok(log) };
    match fallocate(&log, FallocateFlags::FALLOC_FL_KEEP_SIZE, end, 1 << 16) {
        Err(Errno::ENOSPC) => {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| print::warn("there is no space for what hooks print, which is lost"));
            OpenOptions::new().write(true).open("/dev/null").context("cannot open /dev/null")
        }
        _ => Ok(log),
    }
}

/// The last lines of a log, from that byte on.
pub fn last_words(log: &Path, from: u64) -> Vec<String> {
    let text = read_end(log, from).unwrap_or_default();
    let text = escape::text(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(ToString::to_string).collect()
}

fn read_end(log: &Path, from: u64) -> io::Result<Vec<u8>> {
    let mut file = file::open(log, OpenOptions::new().read(true))?;
    let from = from.max(file.metadata()?.len().saturating_sub(LOOK_BACK));
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(LOOK_BACK).read_to_end(&mut text)?;
    Ok(text)
}
