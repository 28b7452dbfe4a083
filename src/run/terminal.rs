//! The user's terminal, and the one that is made for a command.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::getpgrp;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
    tcsetwinsize,
};

/// The number of /dev/tty (Documentation/admin-guide/devices.txt): which terminal it is, is not known by it.
const CONTROLLING: u64 = nix::sys::stat::makedev(5, 0);

/// The terminal that the user types at.
#[derive(Debug)]
pub struct Terminal {
    /// A description of its own, which may be non-blocking.
    file: File,
    /// Which of stdin, stdout and stderr lead to it.
    pub standard: [bool; 3],
    saved: Option<Termios>,
}

impl Terminal {
    /// The terminal of stdin, stdout or stderr, or the controlling one; `None` if there is neither.
    /// Errors: there is one, and it cannot be opened: a command must not have it then.
    pub fn find() -> Result<Option<Self>> {
        let standard = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
        let device =
            |stream| rustix::fs::fstat(stream).ok().filter(|_| isatty(stream)).map(|found| found.st_rdev);
        let devices = standard.map(device);
        let Some(first) = devices.iter().position(Option::is_some) else {
            return match open("/dev/tty") {
                Ok(file) => Ok(Some(Self { file, standard: [false; 3], saved: None })),
                // ENXIO: this process has none.
                Err(error)
                    if [Some(Errno::ENXIO as i32), Some(Errno::ENOENT as i32)]
                        .contains(&error.raw_os_error()) =>
                {
                    Ok(None)
                }
                Err(error) => Err(error).context("cannot open the terminal /dev/tty"),
            };
        };
        let same = |number: Option<u64>| {
            number.is_some()
                && (number == devices[first] || [number, devices[first]].contains(&Some(CONTROLLING)))
        };
        let file = open(&format!("/proc/self/fd/{first}"))
            .or_else(|_| standard[first].try_clone_to_owned().map(File::from))
            .context("cannot open the terminal")?;
        Ok(Some(Self { file, standard: devices.map(same), saved: None }))
    }

    /// Whether this process may read from it.
    #[must_use]
    pub fn in_foreground(&self) -> bool {
        // One that is not the controlling terminal has no foreground.
        tcgetpgrp(&self.file).map_or(true, |group| group.as_raw_nonzero().get() == getpgrp().as_raw())
    }

    /// Whether its keys are passed on as they are.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.saved.is_some()
    }

    /// Passes keys on as they are: what they mean, the terminal of the command decides.
    pub fn make_raw(&mut self) {
        if self.saved.is_none() {
            if let Ok(settings) = tcgetattr(&self.file) {
                let mut raw = settings.clone();
                raw.make_raw();
                // Without it the keys are read line by line, which is no reason to stop.
                if tcsetattr(&self.file, OptionalActions::Drain, &raw).is_ok() {
                    self.saved = Some(settings);
                }
            }
        }
    }

    /// Gives it back the settings that it had.
    pub fn restore(&mut self) {
        if let Some(settings) = self.saved.take().filter(|_| self.in_foreground()) {
            // A terminal that is gone needs no settings.
            _ = tcsetattr(&self.file, OptionalActions::Drain, &settings);
        }
    }

    /// Copies the size of its window to the terminal of a command.
    pub fn copy_size(&self, other: impl AsFd) {
        if let Ok(size) = tcgetwinsize(&self.file) {
            // A terminal without a size is a terminal still.
            _ = tcsetwinsize(other, size);
        }
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.restore();
    }
}

fn open(path: &str) -> io::Result<File> {
    let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    File::options().read(true).write(true).custom_flags(flags.bits()).open(path)
}

/// Creates a terminal with the settings and the size of the user's: the end to relay, and the end of the command.
/// Errors: the kernel has none left.
pub fn create(like: &Terminal) -> Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).context("cannot create a terminal for the command (is /dev/pts mounted?)")?;
    unlockpt(&master).context("cannot unlock the terminal of the command")?;
    let slave = ioctl_tiocgptpeer(&master, flags).context("cannot open the terminal of the command")?;
    rustix::io::ioctl_fionbio(&master, true).context("cannot set up the terminal of the command")?;
    if let Ok(settings) = tcgetattr(like) {
        tcsetattr(&slave, OptionalActions::Now, &settings)
            .context("cannot set up the terminal of the command")?;
    }
    like.copy_size(&master);
    Ok((master, slave))
}

/// Has a terminal translate line feeds, or leaves that to the one behind it.
pub fn translate_output(terminal: impl AsFd, on: bool) {
    let terminal = terminal.as_fd();
    if let Ok(mut settings) = tcgetattr(terminal) {
        settings.output_modes.set(OutputModes::OPOST, on);
        // Line feeds that are translated twice look the same.
        _ = tcsetattr(terminal, OptionalActions::Now, &settings);
    }
}
