//! Tries to reach a target from the namespace of the thread: sends a few bytes, and waits one second for an answer.
//!
//! A raw socket also receives the pings of other processes. Until a socket is connected, it receives packets from any sender.
//! So an answer must come from the target, and the reply to a ping must repeat the request.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvfrom, recvmsg, setsockopt};
use socket2::{Domain, Protocol as Number, Socket, Type};

use super::targets::{Attempt, Destination, Protocol};
use super::trace::Flow;
use super::{AttemptEnd, Verdict};

/// Time limit for an answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Type of an echo request and of an echo reply (RFC 792, RFC 4443).
const ECHO_V4: (u8, u8) = (8, 0);
const ECHO_V6: (u8, u8) = (128, 129);

/// The values that identify a ping. Only a reply to this ping repeats them.
#[derive(Clone, Copy, Debug)]
struct Echo {
    id: u16,
    sequence: u16,
    /// Random bytes that no other program can guess. But a program that captures packets on this machine can read the id, the
    /// sequence number and the nonce.
    nonce: [u8; 16],
}

/// Generates the values of each ping.
pub(super) struct Echoes {
    next_id: u16,
}

impl Echoes {
    /// Starts with a random id, so that two runs of the program rarely use the same ids.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { next_id: u16::from_ne_bytes(random()?) })
    }

    /// Returns an echo. The ids of the first 65536 echoes differ.
    fn generate(&mut self) -> io::Result<Echo> {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        Ok(Echo { id, sequence: u16::from_ne_bytes(random()?), nonce: random()? })
    }
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(bytes)
}

/// The source of the packets of a probe.
enum Source {
    /// The local port of a connection or a datagram.
    Port(u16),
    Ping(Echo),
}

/// A socket with a local port or a ping id. It has not sent any packet yet.
pub(super) struct Probe {
    socket: Socket,
    protocol: Protocol,
    to: SocketAddr,
    source: Source,
}

impl Probe {
    /// Opens a socket for an attempt; `None` if the target is a name.
    pub(super) fn prepare(attempt: &Attempt, echoes: &mut Echoes) -> Option<Result<Self, AttemptEnd>> {
        let to = match attempt.target {
            Destination::Port(to) => to,
            Destination::Address(address) => SocketAddr::new(address, 0),
            Destination::Name(_) => return None,
        };
        Some(Self::open(attempt.protocol, to, echoes).map_err(|error| blocked(&error)))
    }

    fn open(protocol: Protocol, to: SocketAddr, echoes: &mut Echoes) -> io::Result<Self> {
        let (kind, number) = match (protocol, to.is_ipv4()) {
            (Protocol::Tcp, _) => (Type::STREAM, Number::TCP),
            (Protocol::Udp, _) => (Type::DGRAM, Number::UDP),
            (_, true) => (Type::RAW, Number::ICMPV4),
            (_, false) => (Type::RAW, Number::ICMPV6),
        };
        let socket = Socket::new(Domain::for_address(to), kind, Some(number))?;
        socket.set_nonblocking(true)?;
        let source = if kind == Type::RAW {
            // With this option, an error quotes the packet that caused it. Without the option, the kernel reports the errors of
            // other pings, too.
            if to.is_ipv4() {
                setsockopt(&socket, Ipv4RecvErr, &true)?;
            } else {
                setsockopt(&socket, Ipv6RecvErr, &true)?;
            }
            Source::Ping(echoes.generate()?)
        } else {
            let any: IpAddr =
                if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            socket.bind(&SocketAddr::new(any, 0).into())?;
            Source::Port(socket.local_addr()?.as_socket().map_or(0, |local| local.port()))
        };
        Ok(Self { socket, protocol, to, source })
    }

    /// Returns the values that identify the packets of this probe.
    pub(super) fn flow(&self) -> Flow {
        let protocol = match (self.protocol, self.to.is_ipv4()) {
            (Protocol::Tcp, _) => 6,
            (Protocol::Udp, _) => 17,
            (_, true) => 1,
            (_, false) => 58,
        };
        let local = match self.source {
            Source::Port(port) => port,
            Source::Ping(echo) => echo.id,
        };
        Flow { protocol, remote: self.to.ip(), remote_port: self.to.port(), local }
    }

    /// Makes the attempt.
    pub(super) fn run(&self) -> AttemptEnd {
        // An immediate error comes from this namespace.
        if let Err(error) = self.send() {
            return blocked(&error);
        }
        match self.wait() {
            Ok(true) => AttemptEnd::new(Verdict::Passes, None),
            Ok(false) => AttemptEnd::new(Verdict::Unanswered, None),
            // A router or this namespace can report this if no machine has the address.
            Err(error) if error.raw_os_error() == Some(Errno::EHOSTUNREACH as i32) => {
                AttemptEnd::new(Verdict::Unanswered, message(&error))
            }
            Err(error) => AttemptEnd::new(Verdict::Refused, message(&error)),
        }
    }

    fn send(&self) -> io::Result<()> {
        match self.socket.connect(&self.to.into()) {
            Err(error) if error.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return Err(error),
            _ => {}
        }
        match self.source {
            Source::Port(_) if self.protocol == Protocol::Tcp => Ok(()),
            Source::Port(_) => self.socket.send(b"\n").map(|_| ()),
            Source::Ping(echo) => self.socket.send(&echo.request(self.to.is_ipv4())).map(|_| ()),
        }
    }

    /// Waits for an answer. Returns `false` after the time limit. An error is an answer, too.
    fn wait(&self) -> io::Result<bool> {
        let end = Instant::now() + TIMEOUT;
        let ready = if self.protocol == Protocol::Tcp { PollFlags::POLLOUT } else { PollFlags::POLLIN };
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO);
            if poll(&mut [PollFd::new(self.socket.as_fd(), ready)], left)? == 0 {
                return Ok(false);
            }
            match self.source {
                Source::Port(_) => {
                    if let Some(error) = self.socket.take_error()? {
                        return Err(error);
                    }
                    if self.protocol == Protocol::Tcp || self.receive()?.is_some() {
                        return Ok(true);
                    }
                }
                Source::Ping(echo) => {
                    if let Some(error) = self.error_of(echo)? {
                        return Err(error);
                    }
                    // Discard the pending error of the socket: another ping may have caused it.
                    self.socket.take_error()?;
                    let packet = self.receive().ok().flatten();
                    if packet.is_some_and(|packet| echo.is_reply(&packet, self.to.is_ipv4())) {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Receives a packet from the target; `None` if no packet is available or the packet has another source.
    fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        let mut packet = vec![0; 256];
        let (length, from) = match recvfrom::<SockaddrStorage>(self.socket.as_raw_fd(), &mut packet) {
            Err(Errno::EAGAIN) => return Ok(None),
            received => received?,
        };
        packet.truncate(length);
        let is_target = from.is_some_and(|from| match self.source {
            // The port of a raw socket has no meaning.
            Source::Ping(_) => ip_of(&from) == Some(self.to.ip()),
            Source::Port(_) => port_of(&from) == Some(self.to),
        });
        Ok(is_target.then_some(packet))
    }

    /// Reads the error queue (ip(7), `IP_RECVERR`) up to the first error that this ping caused.
    fn error_of(&self, echo: Echo) -> io::Result<Option<io::Error>> {
        loop {
            let mut quoted = [0; 64];
            let mut parts = [IoSliceMut::new(&mut quoted)];
            let mut control = cmsg_space!([u8; 256]);
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let message =
                recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), flags);
            let message = match message {
                Err(Errno::EAGAIN) => return Ok(None),
                message => message?,
            };
            let number = message.cmsgs()?.find_map(|control| match control {
                ControlMessageOwned::Ipv4RecvErr(error, _) | ControlMessageOwned::Ipv6RecvErr(error, _) => {
                    i32::try_from(error.ee_errno).ok()
                }
                _ => None,
            });
            // The address of the message is the destination of the quoted packet.
            let target = message.address.as_ref().and_then(ip_of);
            let length = message.bytes;
            if target == Some(self.to.ip())
                && echo.is_quoted(quoted.get(..length).unwrap_or_default(), self.to.is_ipv4())
            {
                return Ok(number.map(io::Error::from_raw_os_error));
            }
        }
    }
}

impl Echo {
    /// Builds the echo request. For IPv6 the kernel computes the checksum.
    fn request(&self, is_ipv4: bool) -> [u8; 24] {
        let mut packet = [0; 24];
        packet[0] = if is_ipv4 { ECHO_V4.0 } else { ECHO_V6.0 };
        packet[4..6].copy_from_slice(&self.id.to_be_bytes());
        packet[6..8].copy_from_slice(&self.sequence.to_be_bytes());
        packet[8..].copy_from_slice(&self.nonce);
        let sum: u32 = packet.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or(0);
        packet[2..4].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    /// Whether a packet is the reply. An IPv4 packet begins with the IP header.
    fn is_reply(&self, packet: &[u8], is_ipv4: bool) -> bool {
        let (skip, reply) = match packet.first() {
            Some(first) if is_ipv4 => (usize::from(first & 0xf) * 4, ECHO_V4.1),
            _ => (0, ECHO_V6.1),
        };
        let message = packet.get(skip..).unwrap_or_default();
        message.get(..2) == Some(&[reply, 0]) && message.get(4..24) == self.request(is_ipv4).get(4..24)
    }

    /// Whether an error quotes the request. Some routers quote only eight bytes (RFC 792).
    fn is_quoted(&self, quoted: &[u8], is_ipv4: bool) -> bool {
        let request = self.request(is_ipv4);
        quoted.get(..2) == request.get(..2) && quoted.get(4..8) == request.get(4..8)
    }
}

fn port_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    let four = address.as_sockaddr_in().map(|four| SocketAddr::from((four.ip(), four.port())));
    four.or_else(|| address.as_sockaddr_in6().map(|six| SocketAddr::from((six.ip(), six.port()))))
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    port_of(address).map(|address| address.ip())
}

fn blocked(error: &io::Error) -> AttemptEnd {
    AttemptEnd::new(Verdict::Blocked, message(error))
}

/// Returns the message of an error as errno(3) has it.
fn message(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |code| Errno::from_raw(code).desc().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ECHO: Echo = Echo { id: 0x1234, sequence: 0x5678, nonce: [7; 16] };

    fn reply() -> Vec<u8> {
        let mut packet = vec![0x45; 20];
        packet.extend([0, 0, 0, 0, 0x12, 0x34, 0x56, 0x78]);
        packet.extend([7; 16]);
        packet
    }

    #[test]
    fn an_echo_request_has_the_right_checksum() {
        assert_eq!(ECHO.request(true)[..8], [8, 0, 0x57, 0x1b, 0x12, 0x34, 0x56, 0x78]);
    }

    #[test]
    fn a_reply_repeats_id_sequence_and_payload() {
        assert!(ECHO.is_reply(&reply(), true));
        assert!(!ECHO.is_reply(&reply()[..43], true));
        for byte in [20, 21, 24, 25, 26, 27, 28, 43] {
            let mut other = reply();
            other[byte] ^= 1;
            assert!(!ECHO.is_reply(&other, true), "{byte}");
        }
        let mut six = reply().split_off(20);
        six[0] = 129;
        assert!(ECHO.is_reply(&six, false));
        six[0] = 128;
        assert!(!ECHO.is_reply(&six, false));
        assert!(!ECHO.is_reply(&[], true) && !ECHO.is_reply(&[0x4f], true));
    }

    #[test]
    fn an_error_quotes_id_and_sequence_of_the_request() {
        assert!(ECHO.is_quoted(&[8, 0, 0xff, 0xff, 0x12, 0x34, 0x56, 0x78], true));
        assert!(!ECHO.is_quoted(&[8, 0, 0xff, 0xff, 0x12, 0x34, 0x56, 0x79], true));
        assert!(!ECHO.is_quoted(&[8, 0, 0xff, 0xff, 0x12, 0x34, 0x56], true));
    }

    #[test]
    fn each_echo_has_a_different_id() {
        let mut echoes = Echoes { next_id: 0xffff };
        let ids: Vec<u16> = (0..3).map(|_| echoes.generate().unwrap().id).collect();
        assert_eq!(ids, [0xffff, 0, 1]);
    }
}
