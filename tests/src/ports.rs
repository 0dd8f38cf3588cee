//! Ports for programs that must be told one before they can open it.
//!
//! A port that the kernel picked and that was let go again is soon given to somebody else. These lie below those that the
//! kernel gives out by itself, so between the look and the use only another caller of this file could take one, and each
//! draws from many. Who can listen at port 0 does that instead.

use std::net::Ipv4Addr;

use anyhow::bail;
use tokio::net::TcpSocket;

/// Where they are drawn from: above the well-known ones, below Linux's own range, which begins at 32768.
const RANGE: std::ops::Range<u16> = 10_000..30_000;

/// A port that nobody listens at on this address.
pub fn free(host: Ipv4Addr) -> anyhow::Result<u16> {
    free_row(host, 1)
}

/// The first of so many ports beside each other that nobody listens at on this address.
pub fn free_row(host: Ipv4Addr, length: u16) -> anyhow::Result<u16> {
    for _ in 0..200 {
        let first = fastrand::u16(RANGE);
        if (first..first.saturating_add(length)).all(|port| is_free(host, port)) {
            return Ok(first);
        }
    }
    bail!("no {length} free ports beside each other on {host}")
}

/// Bound, and never listened at: a listener that is merely dropped goes on while a program that this process is just
/// starting has a copy of it, in the way of whoever the port is for.
fn is_free(host: Ipv4Addr, port: u16) -> bool {
    let bound = TcpSocket::new_v4().and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind((host, port).into())
    });
    bound.is_ok()
}
