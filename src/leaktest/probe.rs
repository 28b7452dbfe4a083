//! One attempt to reach something, in the namespace of the thread: few bytes, and a second at most.

use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, Protocol as Number, Socket, Type};

use super::targets::{Attempt, Protocol, Target};
use super::trace::Flow;
use super::{Outcome, Verdict};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// A socket that has its number, and has sent nothing yet.
pub(super) struct Probe {
    socket: Socket,
    protocol: Protocol,
    to: SocketAddr,
    /// The port that it is from; of a ping, its number.
    number: u16,
}

impl Probe {
    /// Gets a socket for an attempt; `None` where that is for a name.
    pub(super) fn prepare(attempt: &Attempt) -> Option<Result<Self, Outcome>> {
        let to = match attempt.target {
            Target::Port(to) => to,
            Target::Address(address) => SocketAddr::new(address, 0),
            Target::Name(_) => return None,
        };
        Some(Self::open(attempt.protocol, to).map_err(|error| blocked(&error)))
    }

    fn open(protocol: Protocol, to: SocketAddr) -> io::Result<Self> {
        let (kind, number) = match (protocol, to.is_ipv4()) {
            (Protocol::Tcp, _) => (Type::STREAM, Number::TCP),
            (Protocol::Udp, _) => (Type::DGRAM, Number::UDP),
            (_, true) => (Type::RAW, Number::ICMPV4),
            (_, false) => (Type::RAW, Number::ICMPV6),
        };
        let socket = Socket::new(Domain::for_address(to), kind, Some(number))?;
        socket.set_nonblocking(true)?;
        let number = if kind == Type::RAW {
            // Nobody else's pings have it, as far as that can be.
            let [high, low] = [process::id() >> 8, process::id()].map(|part| part.to_le_bytes()[0]);
            u16::from_be_bytes([high, low]) ^ 0x8000
        } else {
            let any: IpAddr =
                if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            socket.bind(&SocketAddr::new(any, 0).into())?;
            socket.local_addr()?.as_socket().map_or(0, |local| local.port())
        };
        Ok(Self { socket, protocol, to, number })
    }

    /// What its packets can be told by.
    pub(super) fn flow(&self) -> Flow {
        let protocol = match (self.protocol, self.to.is_ipv4()) {
            (Protocol::Tcp, _) => 6,
            (Protocol::Udp, _) => 17,
            (_, true) => 1,
            (_, false) => 58,
        };
        Flow { protocol, remote: self.to.ip(), remote_port: self.to.port(), local: self.number }
    }

    /// Tries it.
    pub(super) fn run(&self) -> Outcome {
        // What fails at once is this namespace's doing.
        if let Err(error) = self.begin() {
            return blocked(&error);
        }
        match self.wait() {
            Ok(true) => Outcome::new(Verdict::Passes, None),
            Ok(false) => Outcome::new(Verdict::Unanswered, None),
            // It may be the word of a router, or of this namespace, where no machine answers to the address.
            Err(error) if error.raw_os_error() == Some(Errno::EHOSTUNREACH as i32) => {
                Outcome::new(Verdict::Unanswered, said(&error))
            }
            Err(error) => Outcome::new(Verdict::Refused, said(&error)),
        }
    }

    fn begin(&self) -> io::Result<()> {
        match self.socket.connect(&self.to.into()) {
            Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return Err(error),
            _ => {}
        }
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => self.socket.send(b"\n").map(|_| ()),
            _ => self.socket.send(&self.echo()).map(|_| ()),
        }
    }

    /// Waits for an answer; `false` when none comes in time. An error is an answer, too.
    fn wait(&self) -> io::Result<bool> {
        let end = Instant::now() + PATIENCE;
        let ready = if self.protocol == Protocol::Tcp { PollFlags::POLLOUT } else { PollFlags::POLLIN };
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            if poll(&mut [PollFd::new(self.socket.as_fd(), ready)], left)? == 0 {
                return Ok(false);
            }
            if let Some(error) = self.socket.take_error()? {
                return Err(error);
            }
            if self.protocol == Protocol::Tcp {
                return Ok(true);
            }
            let mut packet = [0; 256];
            match (&self.socket).read(&mut packet) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok(length) if self.is_answer(packet.get(..length).unwrap_or_default()) => return Ok(true),
                Ok(_) => {}
            }
        }
    }

    /// An echo request (RFC 792; RFC 4443, where the kernel fills in the checksum).
    fn echo(&self) -> [u8; 8] {
        let [high, low] = self.number.to_be_bytes();
        let mut packet = [if self.to.is_ipv4() { 8 } else { 128 }, 0, 0, 0, high, low, 0, 1];
        let sum: u32 = packet.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
        let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or(0);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    /// Whether it answers what was sent: of a ping it is the echo reply with the same number, behind the header of IPv4.
    fn is_answer(&self, packet: &[u8]) -> bool {
        if self.protocol == Protocol::Udp {
            return true;
        }
        let (skip, reply) = match packet.first() {
            Some(first) if self.to.is_ipv4() => (usize::from(first & 0xf) * 4, 0),
            _ => (0, 129),
        };
        let message = packet.get(skip..).unwrap_or_default();
        message.first() == Some(&reply) && message.get(4..6) == Some(&self.number.to_be_bytes()[..])
    }
}

fn blocked(error: &io::Error) -> Outcome {
    Outcome::new(Verdict::Blocked, said(error))
}

/// What the kernel says, in the words of errno(3).
fn said(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |code| Errno::from_raw(code).desc().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(to: &str) -> Probe {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        Probe {
            socket,
            protocol: Protocol::Icmp,
            to: SocketAddr::new(to.parse().unwrap(), 0),
            number: 0x1234,
        }
    }

    #[test]
    fn an_echo_request_has_its_checksum() {
        assert_eq!(probe("192.0.2.1").echo(), [8, 0, 0xe5, 0xca, 0x12, 0x34, 0, 1]);
    }

    #[test]
    fn a_reply_to_another_ping_is_no_answer() {
        let mut packet = vec![0x45; 20];
        packet.extend([0, 0, 0, 0, 0x12, 0x34, 0, 1]);
        assert!(probe("192.0.2.1").is_answer(&packet));
        packet[25] = 0;
        assert!(!probe("192.0.2.1").is_answer(&packet));
        assert!(probe("2001:db8::1").is_answer(&[129, 0, 0, 0, 0x12, 0x34, 0, 1]));
        assert!(!probe("2001:db8::1").is_answer(&[128, 0, 0, 0, 0x12, 0x34, 0, 1]));
        assert!(!probe("192.0.2.1").is_answer(&[]));
    }
}
