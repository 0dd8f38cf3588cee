//! The kernel's socket diagnosis (sock_diag, netlink): lists of sockets, and word of each one it destroys.
//!
//! No privilege is needed for either. Byte counts come from `TCP_INFO`, read here by the offsets of the kernel's
//! `struct tcp_info`, which only ever grew. Sockets never block: a dump is made while it is read, and an event that is
//! not there is not waited for. Read next: [`super::tier0`].

use std::io::{self, ErrorKind};

use cordon_agent_core::flow::{Endpoint, Traffic, Tuple};
use cordon_proto::limits;
use cordon_proto::telemetry::Protocol;
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::nlas::Nla;
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags};
use netlink_packet_sock_diag::message::SockDiagMessage;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket as Netlink, SocketAddr};

use super::procnet::stand;
use super::sockets::{Destroyed, Socket, Stand};

/// Groups of `enum sknetlink_groups`: TCP and UDP, IPv4 and IPv6.
const DESTROY_GROUPS: [u32; 4] = [1, 2, 3, 4];
const BUFFER: usize = 32 * 1024;
/// `MSG_DONTWAIT`.
const DO_NOT_WAIT: i32 = 0x40;
/// Bytes asked for the queue of events; the kernel gives at most its `rmem_max`.
const EVENT_QUEUE: i32 = 512 * 1024;

/// Lists sockets.
#[derive(Debug)]
pub struct Diag {
    socket: Netlink,
    buffer: Vec<u8>,
}

/// Hears of destroyed sockets.
#[derive(Debug)]
pub struct Events {
    socket: Netlink,
    buffer: Vec<u8>,
}

/// What was heard.
#[derive(Debug, Default)]
pub struct Heard {
    /// The destroyed sockets, in order.
    pub destroyed: Vec<Destroyed>,
    /// The kernel had to drop events because they were not read in time.
    pub overrun: bool,
}

impl Diag {
    /// Opens the socket.
    pub fn open() -> io::Result<Self> {
        let mut socket = Netlink::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        Ok(Self { socket, buffer: Vec::with_capacity(BUFFER) })
    }

    /// All sockets of TCP and UDP; those that only linger if `lingering`. Without `lingering` the end of a connection is
    /// told by [`Events`].
    pub fn list(&mut self, lingering: bool) -> io::Result<Vec<Socket>> {
        let mut sockets = Vec::new();
        for (family, protocol) in
            [(AF_INET, IPPROTO_TCP), (AF_INET6, IPPROTO_TCP), (AF_INET, IPPROTO_UDP), (AF_INET6, IPPROTO_UDP)]
        {
            self.ask(family, protocol, lingering)?;
            let protocol = if protocol == IPPROTO_TCP { Protocol::Tcp } else { Protocol::Udp };
            self.take(protocol, &mut sockets)?;
        }
        Ok(sockets)
    }

    fn ask(&self, family: u8, protocol: u8, lingering: bool) -> io::Result<()> {
        let states = if lingering { StateFlags::all() } else { StateFlags::all() - StateFlags::TIME_WAIT };
        let extensions = if protocol == IPPROTO_TCP { ExtensionFlags::INFO } else { ExtensionFlags::empty() };
        let socket_id = if family == AF_INET { SocketId::new_v4() } else { SocketId::new_v6() };
        let request = InetRequest { family, protocol, extensions, states, socket_id };
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(|_| ())
    }

    fn take(&mut self, protocol: Protocol, sockets: &mut Vec<Socket>) -> io::Result<()> {
        loop {
            self.buffer.clear();
            self.socket.recv(&mut self.buffer, 0)?;
            if listed(&self.buffer, protocol, sockets)? {
                return Ok(());
            }
        }
    }
}

impl Events {
    /// Opens the socket and joins the groups. An error if the kernel knows none of them.
    pub fn open() -> io::Result<Self> {
        let mut socket = Netlink::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        // A longer queue is a wish: without it, an overrun comes earlier and is told.
        let _ = socket.set_rx_buf_sz(EVENT_QUEUE);
        let mut joined = Err(io::Error::from(ErrorKind::Unsupported));
        for group in DESTROY_GROUPS {
            let answer = socket.add_membership(group);
            joined = if joined.is_ok() { joined } else { answer };
        }
        joined?;
        Ok(Self { socket, buffer: Vec::with_capacity(BUFFER) })
    }

    /// The queue that they come from, to wait at.
    #[must_use]
    pub fn queue(&self) -> Netlink {
        self.socket.clone()
    }

    /// Adds everything that has been told since the last call, up to `limits::FLOWS` sockets. Never waits.
    pub fn hear(&mut self, heard: &mut Heard) -> io::Result<()> {
        while heard.destroyed.len() < limits::FLOWS {
            self.buffer.clear();
            match self.socket.recv(&mut self.buffer, DO_NOT_WAIT) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // ENOBUFS: the queue overran and was emptied by the kernel.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    heard.overrun = true;
                    continue;
                }
                Err(error) => return Err(error),
            }
            told(&self.buffer, &mut heard.destroyed)?;
        }
        Ok(())
    }
}

/// Adds the sockets in one datagram of a list, up to twice `limits::FLOWS`; whether the list ends with it.
pub fn listed(datagram: &[u8], protocol: Protocol, sockets: &mut Vec<Socket>) -> io::Result<bool> {
    for message in messages(datagram) {
        match message?.payload {
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) => return Err(refusal(error.raw_code())),
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response))
                if sockets.len() < 2 * limits::FLOWS =>
            {
                sockets.extend(socket(protocol, &response));
            }
            _ => {}
        }
    }
    Ok(false)
}

/// The kernel's error, which it writes with a minus. The library's own mapping overflows on the lowest of all numbers.
fn refusal(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code.saturating_abs())
}

/// Adds the destroyed sockets in one datagram of events.
pub fn told(datagram: &[u8], sockets: &mut Vec<Destroyed>) -> io::Result<()> {
    for message in messages(datagram) {
        if let NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(response)) = message?.payload {
            sockets.extend(destroyed(&response));
        }
    }
    Ok(())
}

/// The messages of one datagram. A message that does not parse ends it with an error.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = io::Result<NetlinkMessage<SockDiagMessage>>> + '_ {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let message = match NetlinkMessage::<SockDiagMessage>::deserialize(bytes) {
            Ok(message) => message,
            Err(error) => {
                bytes = &[];
                return Some(Err(io::Error::new(ErrorKind::InvalidData, error)));
            }
        };
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX).max(1).next_multiple_of(4);
        bytes = bytes.get(length..).unwrap_or_default();
        Some(Ok(message))
    })
}

fn socket(protocol: Protocol, response: &InetResponse) -> Option<Socket> {
    let header = &response.header;
    let (local, remote) = ends(&header.socket_id);
    let stand = stand(protocol, header.state)?;
    let traffic = if stand == Stand::Open { info(response).map(|info| info.traffic()) } else { None };
    Some(Socket { protocol, local, remote, stand, inode: u64::from(header.inode), traffic })
}

/// A destroyed connection; `None` for a listener or an unconnected socket. After a blocking `connect` that failed, the
/// kernel has already forgotten the peer's port, and says 0.
fn destroyed(response: &InetResponse) -> Option<Destroyed> {
    let (local, remote) = ends(&response.header.socket_id);
    if remote.address.is_unspecified() {
        return None;
    }
    let told = response.nlas.iter().find_map(|nla| match nla {
        Nla::Protocol(number) => Some(*number),
        _ => None,
    });
    let info = info(response);
    let protocol = match told {
        Some(number) if number == IPPROTO_TCP => Protocol::Tcp,
        Some(number) if number == IPPROTO_UDP => Protocol::Udp,
        Some(_) => return None,
        None if info.is_some() => Protocol::Tcp,
        None => Protocol::Udp,
    };
    let tuple = Tuple { protocol, local, remote };
    let established = info.as_ref().is_none_or(TcpFigures::established);
    Some(Destroyed { tuple, traffic: info.map(|info| info.traffic()), established })
}

fn ends(id: &SocketId) -> (Endpoint, Endpoint) {
    let local = Endpoint { address: id.source_address.to_canonical(), port: id.source_port };
    let remote = Endpoint { address: id.destination_address.to_canonical(), port: id.destination_port };
    (local, remote)
}

fn info(response: &InetResponse) -> Option<TcpFigures> {
    response.nlas.iter().find_map(|nla| match nla {
        Nla::TcpInfo(bytes) => TcpFigures::parse(bytes),
        _ => None,
    })
}

/// The part of the kernel's `struct tcp_info` that is used (include/uapi/linux/tcp.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TcpFigures {
    bytes_acked: u64,
    bytes_received: u64,
    segments_out: u32,
    segments_in: u32,
    /// Payload sent, retransmissions not counted; older kernels than 4.19 do not say.
    bytes_sent: Option<u64>,
}

impl TcpFigures {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let long = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let bytes_sent = long(200).zip(long(208)).map(|(sent, again)| sent.saturating_sub(again));
        Some(Self {
            bytes_acked: long(120)?,
            bytes_received: long(128)?,
            segments_out: word(136)?,
            segments_in: word(140)?,
            bytes_sent,
        })
    }

    /// Whether the peer ever answered the handshake: its first acknowledgement covers our SYN.
    fn established(&self) -> bool {
        self.bytes_acked > 0 || self.bytes_received > 0
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            packets_out: self.segments_out,
            bytes_out: self.bytes_sent.unwrap_or(self.bytes_acked),
            packets_in: self.segments_in,
            bytes_in: self.bytes_received,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn figures_are_read_at_the_kernels_offsets() {
        // Goal: exact bytes, also from kernels whose structure is shorter. Method: a structure filled by position.
        let mut bytes = [0_u8; 232];
        for (at, value) in [(120, 12_347_u64), (128, 99), (200, 12_400), (208, 55)] {
            bytes[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        }
        bytes[136..140].copy_from_slice(&11_u32.to_ne_bytes());
        let info = TcpFigures::parse(&bytes).expect("whole");
        assert_eq!(
            (info.traffic().bytes_out, info.traffic().bytes_in, info.traffic().packets_out),
            (12_345, 99, 11)
        );
        assert_eq!(TcpFigures::parse(&bytes[..192]).expect("4.18 and before").traffic().bytes_out, 12_347);
        assert_eq!(TcpFigures::parse(&bytes[..104]), None, "before 4.1 there are no byte counts");
    }

    #[test]
    fn a_refusal_of_any_number_is_an_error_and_no_panic() {
        // Goal: what the fuzz driver found stays mended. Method: an error message with the lowest of all codes, and ENOENT.
        for (code, told) in [(i32::MIN, i32::MAX), (-2, 2)] {
            let bytes =
                [&20_u32.to_ne_bytes()[..], &2_u16.to_ne_bytes(), &[0; 10], &code.to_ne_bytes()].concat();
            let refused = listed(&bytes, Protocol::Tcp, &mut Vec::new()).expect_err("is refused");
            assert_eq!(refused.raw_os_error(), Some(told));
        }
    }

    proptest! {
        #[test]
        fn any_datagram_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (listed(&bytes, Protocol::Tcp, &mut Vec::new()), told(&bytes, &mut Vec::new()));
        }
    }
}
