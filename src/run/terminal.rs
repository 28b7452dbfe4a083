//! The terminal of the user, and the pseudoterminal that is created for a command.

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

/// The device number of /dev/tty (Documentation/admin-guide/devices.txt): the controlling terminal, whichever device this is.
const DEV_TTY: u64 = nix::sys::stat::makedev(5, 0);

/// The terminal of the user.
#[derive(Debug)]
pub struct Terminal {
    /// A separate open file description, so that O_NONBLOCK does not affect other processes.
    file: File,
    /// For each of stdin, stdout and stderr: whether it is this terminal.
    pub standard: [bool; 3],
    saved: Option<Termios>,
}

impl Terminal {
    /// Returns the terminal of stdin, stdout or stderr, or else the controlling terminal; `None` without a terminal.
    /// Errors: the terminal cannot be opened. Then the command must not be run, because it would use this terminal directly.
    pub fn find() -> Result<Option<Self>> {
        let standard = [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()];
        let device =
            |stream| rustix::fs::fstat(stream).ok().filter(|_| isatty(stream)).map(|found| found.st_rdev);
        let devices = standard.map(device);
        let Some(first) = devices.iter().position(Option::is_some) else {
            return match open("/dev/tty") {
                Ok(file) => Ok(Some(Self { file, standard: [false; 3], saved: None })),
                // ENXIO: this process has no controlling terminal.
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
                && (number == devices[first] || [number, devices[first]].contains(&Some(DEV_TTY)))
        };
        let file = open(&format!("/proc/self/fd/{first}"))
            .or_else(|_| standard[first].try_clone_to_owned().map(File::from))
            .context("cannot open the terminal")?;
        Ok(Some(Self { file, standard: devices.map(same), saved: None }))
    }

    /// Whether this process is in the foreground and can read from the terminal.
    #[must_use]
    pub fn in_foreground(&self) -> bool {
        // A terminal that is not the controlling terminal has no foreground process group: everyone can read from it.
        tcgetpgrp(&self.file).map_or(true, |group| group.as_raw_nonzero().get() == getpgrp().as_raw())
    }

    /// Whether the terminal is in raw mode.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.saved.is_some()
    }

    /// Switches to raw mode. All keys are passed on unchanged; the terminal of the command interprets them.
    pub fn make_raw(&mut self) {
        if self.saved.is_none() {
            if let Ok(settings) = tcgetattr(&self.file) {
                let mut raw = settings.clone();
                raw.make_raw();
                // On failure the keys are read line by line, which still works.
                if tcsetattr(&self.file, OptionalActions::Drain, &raw).is_ok() {
                    self.saved = Some(settings);
                }
            }
        }
    }

    /// Restores the settings from before raw mode, if this process is in the foreground.
    pub fn restore(&mut self) {
        if let Some(settings) = self.saved.take().filter(|_| self.in_foreground()) {
            // An error means that the terminal no longer exists.
            _ = tcsetattr(&self.file, OptionalActions::Drain, &settings);
        }
    }

    /// Copies the window size to the terminal of a command.
    pub fn copy_size(&self, other: impl AsFd) {
        if let Ok(size) = tcgetwinsize(&self.file) {
            // A terminal without a window size is usable.
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

/// Creates a pseudoterminal with the settings and size of `model`. Returns the relay's and the command's end.
/// Errors: /dev/pts is not mounted, or no terminal is left.
pub fn create(model: &Terminal) -> Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).context("cannot create a terminal for the command (is /dev/pts mounted?)")?;
    unlockpt(&master).context("cannot unlock the terminal of the command")?;
    let slave = ioctl_tiocgptpeer(&master, flags).context("cannot open the terminal of the command")?;
    rustix::io::ioctl_fionbio(&master, true).context("cannot set up the terminal of the command")?;
    if let Ok(settings) = tcgetattr(model) {
        tcsetattr(&slave, OptionalActions::Now, &settings)
            .context("cannot set up the terminal of the command")?;
    }
    model.copy_size(&master);
    Ok((master, slave))
}

/// Sets whether a terminal translates line feeds (OPOST). If it does not, the terminal of the user translates them.
pub fn translate_output(terminal: impl AsFd, on: bool) {
    let terminal = terminal.as_fd();
    if let Ok(mut settings) = tcgetattr(terminal) {
        settings.output_modes.set(OutputModes::OPOST, on);
        // Failure is harmless: line feeds that are translated twice look the same.
        _ = tcsetattr(terminal, OptionalActions::Now, &settings);
    }
}
