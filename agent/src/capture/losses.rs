//! Packets that the kernel dropped because nobody read them in time, by its diagnosis of packet sockets (packet_diag).
//!
//! Asked over netlink, like [`super::diag`]: the socket's own option would need unsafe code. What the kernel answers is read
//! as if it were hostile: bounded, and what does not parse is an error. A kernel without this diagnosis is said to have none.

use std::io::{self, ErrorKind};

use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket as Netlink, SocketAddr};

const BUFFER: usize = 16 * 1024;
/// Answers that are read for one question.
const ANSWERS: usize = 64;
/// Types of messages (linux/netlink.h), and of the one that asks (linux/sock_diag.h).
const ERROR: u16 = 2;
const DONE: u16 = 3;
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST` and `NLM_F_DUMP`.
const DUMP: u16 = 0x301;
/// `AF_PACKET`.
const PACKET: u8 = 17;
/// `PACKET_SHOW_MEMINFO`, the attribute that it brings, and the place of the drops in it (linux/packet_diag.h, sock_diag.h).
const SHOW_MEMORY: u32 = 0x10;
const MEMORY: u16 = 6;
const DROPS: usize = 8;

/// Asks what was dropped.
#[derive(Debug)]
pub struct Losses {
    socket: Netlink,
    buffer: Vec<u8>,
    inode: u32,
}

/// What a datagram of the answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Packets that the socket has dropped since it was opened, if it was in this datagram.
    pub dropped: Option<u32>,
    /// Whether the answer ends here.
    pub done: bool,
}

impl Losses {
    /// Of the packet socket with this inode.
    pub fn of(inode: u32) -> io::Result<Self> {
        let mut socket = Netlink::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        Ok(Self { socket, buffer: Vec::with_capacity(BUFFER), inode })
    }

    /// Packets dropped since the socket was opened.
    pub fn count(&mut self) -> io::Result<u32> {
        self.socket.send(&question(), 0)?;
        let mut dropped = None;
        for _ in 0..ANSWERS {
            self.buffer.clear();
            self.socket.recv(&mut self.buffer, 0)?;
            let told = read(&self.buffer, self.inode)?;
            dropped = told.dropped.or(dropped);
            if told.done {
                break;
            }
        }
        dropped.ok_or_else(|| ErrorKind::NotFound.into())
    }
}

/// `struct nlmsghdr` and `struct packet_diag_req`.
fn question() -> [u8; 36] {
    let mut bytes = [0; 36];
    let mut put = |at: usize, value: &[u8]| {
        bytes.iter_mut().skip(at).zip(value).for_each(|(to, from)| *to = *from);
    };
    put(0, &36_u32.to_ne_bytes());
    put(4, &BY_FAMILY.to_ne_bytes());
    put(6, &DUMP.to_ne_bytes());
    put(16, &[PACKET]);
    put(24, &SHOW_MEMORY.to_ne_bytes());
    bytes
}

/// Reads one datagram of the answer, for the socket with this inode.
pub fn read(mut bytes: &[u8], inode: u32) -> io::Result<Told> {
    let damaged = || io::Error::from(ErrorKind::InvalidData);
    let mut told = Told { dropped: None, done: false };
    while !bytes.is_empty() {
        let length = word(bytes, 0).and_then(|length| usize::try_from(length).ok()).ok_or_else(damaged)?;
        let body = bytes.get(16..length).ok_or_else(damaged)?;
        match half(bytes, 4) {
            Some(DONE) => return Ok(Told { done: true, ..told }),
            Some(ERROR) => {
                let number = word(body, 0).ok_or_else(damaged)?.wrapping_neg();
                return Err(io::Error::from_raw_os_error(i32::try_from(number).unwrap_or(0)));
            }
            // Family, type, number; inode; cookie.
            Some(BY_FAMILY) if word(body, 4) == Some(inode) => {
                told.dropped = dropped(body.get(16..).unwrap_or_default()).or(told.dropped);
            }
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(told)
}

/// The drops among the attributes of a socket.
fn dropped(mut attributes: &[u8]) -> Option<u32> {
    loop {
        let length = usize::from(half(attributes, 0)?);
        let value = attributes.get(4..length)?;
        if half(attributes, 2)? == MEMORY {
            return word(value, DROPS * 4);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An answer for a socket: what it says of its memory behind another attribute.
    fn answer(inode: u32, drops: u32) -> Vec<u8> {
        let attributes = [
            &8_u16.to_ne_bytes()[..],
            &5_u16.to_ne_bytes(),
            &[0; 4],
            &40_u16.to_ne_bytes(),
            &6_u16.to_ne_bytes(),
        ]
        .concat();
        let body =
            [&[17, 2, 0, 3][..], &inode.to_ne_bytes(), &[0; 8], &attributes, &[9; 32], &drops.to_ne_bytes()];
        message(BY_FAMILY, &body.concat())
    }

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + body.len()).expect("short");
        [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10], body].concat()
    }

    #[test]
    fn the_drops_of_the_own_socket_are_told_and_an_error_is_one() {
        // Goal: not another's drops, and no silence about an error. Method: two sockets and the end; then EPERM; then cuts.
        let both = [answer(4, 99), answer(7, 3), message(DONE, &[0; 4])].concat();
        assert_eq!(read(&both, 7).expect("reads"), Told { dropped: Some(3), done: true });
        assert_eq!(read(&both, 8).expect("reads"), Told { dropped: None, done: true });
        let error = read(&message(ERROR, &(-1_i32).to_ne_bytes()), 7).expect_err("an error");
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(read(&both[..both.len() - 1], 7).is_err() && read(&both[..3], 7).is_err());
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..90) {
            let _ = read(&bytes, 7);
            let mut bent = answer(7, 3);
            bent.truncate(cut);
            bent.extend(bytes);
            let _ = read(&bent, 7);
        }
    }
}
