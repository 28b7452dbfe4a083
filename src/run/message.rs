//! The messages between the relay and the monitor: two bytes each, over a socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

/// An order of the relay to the monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Send this signal to the command's process group.
    Signal(u8),
    /// Start or continue the command in the foreground of its terminal.
    Foreground,
    /// Start or continue the command in the background of its terminal.
    Background,
}

/// A report of the monitor to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The command was stopped by this signal.
    Stopped(u8),
    /// The command has exited with this status.
    Exited(u8),
    /// The command was killed by this signal.
    Killed(u8),
}

/// A message that is encoded in two bytes.
pub trait Message: Sized {
    /// Encodes the message.
    fn encode(self) -> [u8; 2];
    /// Decodes a message; `None` if the bytes are invalid.
    fn decode(bytes: [u8; 2]) -> Option<Self>;
}

impl Message for Order {
    fn encode(self) -> [u8; 2] {
        match self {
            Self::Signal(signal) => [b's', signal],
            Self::Foreground => [b'f', 0],
            Self::Background => [b'b', 0],
        }
    }

    fn decode(bytes: [u8; 2]) -> Option<Self> {
        match bytes {
            [b's', signal] => Some(Self::Signal(signal)),
            [b'f', _] => Some(Self::Foreground),
            [b'b', _] => Some(Self::Background),
            _ => None,
        }
    }
}

impl Message for Event {
    fn encode(self) -> [u8; 2] {
        match self {
            Self::Stopped(signal) => [b't', signal],
            Self::Exited(status) => [b'e', status],
            Self::Killed(signal) => [b'k', signal],
        }
    }

    fn decode(bytes: [u8; 2]) -> Option<Self> {
        match bytes {
            [b't', signal] => Some(Self::Stopped(signal)),
            [b'e', status] => Some(Self::Exited(status)),
            [b'k', signal] => Some(Self::Killed(signal)),
            _ => None,
        }
    }
}

/// Sends a message.
/// Errors: the other end is closed, or the socket cannot be written to.
pub fn send(mut socket: &UnixStream, message: impl Message) -> io::Result<()> {
    socket.write_all(&message.encode())
}

/// Waits for a message.
/// Errors: the other end is closed, the socket cannot be read, or the bytes are not a message.
pub fn receive<M: Message>(mut socket: &UnixStream) -> io::Result<M> {
    let mut bytes = [0; 2];
    socket.read_exact(&mut bytes)?;
    M::decode(bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
