//! The socket tables of /proc/net, for kernels and sandboxes that refuse netlink. No byte counts are there.
//!
//! The text is the kernel's, but read as if it were not: bounded, and a line that does not parse is counted, not fatal.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use cordon_agent_core::flow::{Claim, Endpoint};
use cordon_proto::limits;
use cordon_proto::telemetry::Protocol;

use super::sockets::{Socket, Stand};

/// Bytes of one line, generously, times the sockets that are read.
const TABLE_BYTES: u64 = 256 * limits::FLOWS as u64;
/// Bytes that are asked for at once: the kernel looks for its place in the table anew at every read.
const READ_BYTES: usize = 8 * 1024;

/// The flag of a neighbour that has answered (`ATF_COM` in Linux's if_arp.h).
const NEIGHBOUR_COMPLETE: u32 = 2;

/// The tables under one folder.
#[derive(Debug)]
pub struct ProcNet {
    folder: PathBuf,
}

impl ProcNet {
    /// The tables of this network namespace are in `/proc/net`.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// All sockets of TCP and UDP, and how many lines could not be read. An error if no table exists at all.
    pub fn read(&self) -> io::Result<(Vec<Socket>, usize)> {
        let mut sockets = Vec::new();
        let (mut bad, mut tables, mut trouble) = (0, 0, None);
        for (name, protocol) in
            [("tcp", Protocol::Tcp), ("tcp6", Protocol::Tcp), ("udp", Protocol::Udp), ("udp6", Protocol::Udp)]
        {
            let mut text = String::with_capacity(READ_BYTES);
            match File::open(self.folder.join(name))
                .and_then(|file| file.take(TABLE_BYTES).read_to_string(&mut text))
            {
                Ok(_) => {
                    tables += 1;
                    bad += parse(&text, protocol, &mut sockets);
                }
                Err(error) => trouble = Some(error),
            }
        }
        match trouble {
            Some(error) if tables == 0 => Err(error),
            _ => Ok((sockets, bad)),
        }
    }
}

impl ProcNet {
    /// The neighbours that the kernel knows by their hardware addresses.
    pub fn neighbours(&self) -> io::Result<Vec<Claim>> {
        let mut text = String::with_capacity(READ_BYTES);
        File::open(self.folder.join("arp"))?.take(TABLE_BYTES).read_to_string(&mut text)?;
        Ok(text.lines().skip(1).take(limits::NEIGHBOURS).filter_map(neighbour).collect())
    }
}

/// A line of the table of neighbours: address, type, flags, hardware address. One that has not answered claims nothing.
fn neighbour(line: &str) -> Option<Claim> {
    let mut words = line.split_ascii_whitespace();
    let address = words.next()?.parse().ok()?;
    let flags = words.nth(1)?.strip_prefix("0x").and_then(|flags| u32::from_str_radix(flags, 16).ok())?;
    let mac = words.next()?.parse().ok()?;
    (flags & NEIGHBOUR_COMPLETE != 0).then_some(Claim { address, mac, told: None })
}

/// Appends the sockets of one table; returns the lines that are none.
pub fn parse(text: &str, protocol: Protocol, sockets: &mut Vec<Socket>) -> usize {
    let mut bad = 0;
    for line in text.lines().skip(1) {
        match parse_line(line, protocol) {
            Some(socket) => sockets.extend(socket),
            None => bad += 1,
        }
    }
    bad
}

/// One line; `Some(None)` for a socket that is neither listening nor connected.
fn parse_line(line: &str, protocol: Protocol) -> Option<Option<Socket>> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let local = endpoint(words.next()?)?;
    let remote = endpoint(words.next()?)?;
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    let inode = words.nth(5)?.parse().ok()?;
    let stand = match stand(protocol, state) {
        Some(stand) => stand,
        None => return Some(None),
    };
    Some(Some(Socket { protocol, local, remote, stand, inode, traffic: None }))
}

/// How a socket in a kernel's state (include/net/tcp_states.h) stands; `None` for one that has nothing to do yet.
#[must_use]
pub fn stand(protocol: Protocol, state: u8) -> Option<Stand> {
    match (protocol, state) {
        // An unconnected UDP socket is in state CLOSE and takes datagrams from anyone.
        (Protocol::Udp, 7) => Some(Stand::Listens),
        (Protocol::Udp, _) => Some(Stand::Open),
        (Protocol::Tcp | Protocol::Icmp, 10) => Some(Stand::Listens),
        (Protocol::Tcp | Protocol::Icmp, 2 | 3 | 12) => Some(Stand::Opening),
        (Protocol::Tcp | Protocol::Icmp, 1 | 4 | 5 | 8 | 9 | 11) => Some(Stand::Open),
        (Protocol::Tcp | Protocol::Icmp, 6) => Some(Stand::Lingers),
        (Protocol::Tcp | Protocol::Icmp, _) => None,
    }
}

/// `0100007F:0016` or 32 hexadecimal digits: 32-bit words in the machine's own order, the port in network order.
fn endpoint(text: &str) -> Option<Endpoint> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |from: usize| u32::from_str_radix(address.get(from..from + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (place, from) in bytes.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                place.copy_from_slice(&word(from)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(Endpoint { address, port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1234 1 0000000000000000 100 0 0 10 0
   1: 0200000A:C350 097100CB:01BB 01 00000000:00000000 00:00000000 00000000  1000        0 77 1 0000000000000000 20 4 30 10 -1
   2: 0200000A:C351 097100CB:01BB 06 00000000:00000000 03:00000D5C 00000000     0        0 0 3 0000000000000000
   3: not a line
";
    const UDP6: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
 10: 00000000000000000000000000000000:14E9 00000000000000000000000000000000:0000 07 00000000:00000000 00:00000000 00000000   108        0 999 2 0000000000000000 0
 11: 0000000000000000FFFF00000200000A:9C40 0000000000000000FFFF0000097100CB:0035 01 00000000:00000000 00:00000000 00000000   108        0 998 2 0000000000000000 0
";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_tables_are_read() {
        // Goal: addresses, ports, states and inodes. Method: hand-written lines in the kernel's form.
        let mut sockets = Vec::new();
        assert_eq!(parse(TCP, Protocol::Tcp, &mut sockets), 1);
        assert_eq!(parse(UDP6, Protocol::Udp, &mut sockets), 0);
        let text: Vec<String> = sockets
            .iter()
            .map(|s| {
                let (local, remote) = (s.local, s.remote);
                format!(
                    "{}:{} {}:{} {:?} {}",
                    local.address, local.port, remote.address, remote.port, s.stand, s.inode
                )
            })
            .collect();
        assert_eq!(
            text,
            [
                "0.0.0.0:22 0.0.0.0:0 Listens 1234",
                "10.0.0.2:50000 203.0.113.9:443 Open 77",
                "10.0.0.2:50001 203.0.113.9:443 Lingers 0",
                ":::5353 :::0 Listens 999",
                "10.0.0.2:40000 203.0.113.9:53 Open 998",
            ]
        );
    }

    #[test]
    fn neighbours_that_have_answered_are_read() {
        // Goal: address and hardware address. Method: the kernel's form, with one that has not answered and a broken line.
        let text = "IP address       HW type     Flags       HW address            Mask     Device\n\
            10.0.0.1         0x1         0x2         02:00:00:00:00:01     *        eth0\n\
            10.0.0.9         0x1         0x0         00:00:00:00:00:00     *        eth0\nnonsense\n";
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("arp"), text).expect("writes");
        let claims = ProcNet::new(folder.path()).neighbours().expect("reads");
        let told: Vec<String> =
            claims.iter().map(|claim| format!("{} {}", claim.address, claim.mac)).collect();
        assert_eq!(told, ["10.0.0.1 02:00:00:00:00:01"]);
    }

    #[test]
    fn a_folder_without_tables_is_an_error() {
        // Goal: blind is told. Method: an empty folder.
        let folder = tempfile::tempdir().expect("a folder");
        assert!(ProcNet::new(folder.path()).read().is_err());
        std::fs::write(folder.path().join("udp6"), UDP6).expect("writes");
        assert_eq!(ProcNet::new(folder.path()).read().expect("one table is enough").0.len(), 2);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC{0,200}(\n[0-9A-F: ]{0,120}){0,6}") {
            let mut sockets = Vec::new();
            let bad = parse(&text, Protocol::Tcp, &mut sockets);
            prop_assert!(bad + sockets.len() <= text.lines().count());
        }
    }
}
