//! A network namespace of one test: a machine with one cable, and this machine at its other end.
//!
//! Inside there is no route beyond the cable, so whoever runs there reaches what listens at [`Namespace::gate`] and
//! nothing else. What passes over the cable is counted by the kernel. It needs the superuser and the kernel's leave;
//! without either the test is skipped by name. Everything goes away with the value.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, ensure};

use crate::program::program;
use crate::skip::{require_package, require_right, require_root};

/// One namespace with its cable.
#[derive(Debug)]
pub struct Namespace {
    ip: PathBuf,
    name: String,
    outer: String,
    gate: Ipv4Addr,
    /// What is different of each.
    number: u32,
}

impl Namespace {
    /// Opens one for `test`; `None` after saying that the test is skipped.
    pub fn open(test: &str) -> anyhow::Result<Option<Self>> {
        let Some(ip) = require_package("ip") else { return Ok(None) };
        if !require_root(test) {
            return Ok(None);
        }
        // Addresses of the range for benchmarks (RFC 2544), another net for each value of each process.
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), OPENED.fetch_add(1, Ordering::Relaxed));
        let [_, _, high, low] = process.wrapping_mul(8).wrapping_add(number).wrapping_mul(4).to_be_bytes();
        let [gate, device] = [1, 2].map(|end| Ipv4Addr::new(198, 18 | (high & 1), high, low | end));
        let name = format!("cordon-{process}-{number}");
        let [outer, inner] = ["o", "i"].map(|end| format!("cd{end}{process}x{number}"));
        // What a killed process of the same number left behind.
        for left in [["netns", "del", name.as_str()], ["link", "del", outer.as_str()]] {
            let _ = program(&ip).args(left).output()?;
        }
        let held = program(&ip).args(["netns", "add", &name]).output()?.status.success();
        if !require_right("to make network namespaces", test, held) {
            return Ok(None);
        }
        let number = process.wrapping_mul(8).wrapping_add(number);
        let namespace = Self { ip, name, outer, gate, number };
        let (outer, name) = (namespace.outer.as_str(), namespace.name.as_str());
        // Segments as they would be on a real cable: none is sent as a part of a larger one.
        let whole = ["gso_max_segs", "1"];
        let cable = ["link", "add", outer, "type", "veth", "peer", "name", &inner];
        let held = namespace.ip(&cable).is_ok();
        if !require_right("to lay a cable into a network namespace", test, held) {
            return Ok(None);
        }
        namespace.ip(&["link", "set", &inner, "netns", name])?;
        namespace.ip(&[["link", "set", outer].as_slice(), &whole].concat())?;
        namespace.ip(&["address", "add", &format!("{gate}/30"), "dev", outer])?;
        namespace.ip(&["link", "set", outer, "up"])?;
        namespace.ip(&["-n", name, "address", "add", &format!("{device}/30"), "dev", &inner])?;
        namespace.ip(&[["-n", name, "link", "set", inner.as_str()].as_slice(), &whole].concat())?;
        namespace.ip(&["-n", name, "link", "set", &inner, "up"])?;
        namespace.ip(&["-n", name, "link", "set", "lo", "up"])?;
        Ok(Some(namespace))
    }

    /// This machine's end of the cable.
    #[must_use]
    pub fn gate(&self) -> Ipv4Addr {
        self.gate
    }

    /// The program that runs another one inside, and its first words.
    #[must_use]
    pub fn door(&self) -> (PathBuf, Vec<String>) {
        (self.ip.clone(), ["netns", "exec", &self.name].map(ToOwned::to_owned).into())
    }

    /// Lays a second cable, which nobody counts, to so many peers (at most 13): their addresses on this machine.
    pub fn second_cable(&self, peers: u16) -> anyhow::Result<Vec<Ipv4Addr>> {
        // Addresses of the range for documentation (RFC 5737), of which there are sixteen such nets.
        let [.., low] = self.number.wrapping_mul(16).to_be_bytes();
        let at = |place: u8| Ipv4Addr::new(192, 0, 2, low | place);
        let (outer, inner) = (format!("{}s", self.outer), format!("{}t", self.outer));
        let name = self.name.as_str();
        self.ip(&["link", "add", &outer, "type", "veth", "peer", "name", &inner])?;
        self.ip(&["link", "set", &inner, "netns", name])?;
        let peers: Vec<Ipv4Addr> = (1..=13).take(peers.into()).map(at).collect();
        for peer in &peers {
            self.ip(&["address", "add", &format!("{peer}/28"), "dev", &outer])?;
        }
        self.ip(&["link", "set", &outer, "up"])?;
        self.ip(&["-n", name, "address", "add", &format!("{}/28", at(14)), "dev", &inner])?;
        self.ip(&["-n", name, "link", "set", &inner, "up"])?;
        Ok(peers)
    }

    /// Bytes and packets that have passed over the cable, both ways together, frames whole.
    pub fn passed(&self) -> anyhow::Result<(u64, u64)> {
        let [(sent, sent_packets), (received, received_packets)] = self.ways()?;
        Ok((sent + received, sent_packets + received_packets))
    }

    /// The same from inside, and to inside.
    pub fn ways(&self) -> anyhow::Result<[(u64, u64); 2]> {
        let read = |what: &str| -> anyhow::Result<u64> {
            let path = format!("/sys/class/net/{}/statistics/{what}", self.outer);
            Ok(std::fs::read_to_string(&path).with_context(|| path)?.trim().parse()?)
        };
        Ok([(read("rx_bytes")?, read("rx_packets")?), (read("tx_bytes")?, read("tx_packets")?)])
    }

    fn ip(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let done = program(&self.ip).args(arguments).output()?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "ip {}: {}", arguments.join(" "), said.trim());
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The cable goes with either of its ends.
        let _ = self.ip(&["link", "del", &self.outer]);
        let _ = self.ip(&["netns", "del", &self.name]);
    }
}
