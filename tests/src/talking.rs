//! A device's ordinary talk, in a process of its own: short TCP connections to a few peers, at an even pace.
//!
//! It runs inside a namespace, beside the agent whose sensor watches it, and says for itself how many connections were
//! answered. Read next: [`crate::sensor_soak`].

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

/// Bytes that are said in a connection, and heard.
pub const BYTES: usize = 1200;
/// How long a connection is open: long enough to be a connection of some use, and not the same for all.
const OPEN_MS: std::ops::Range<u64> = 50..400;
/// How long a peer may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is said to whom.
#[derive(Clone, Debug, Args)]
pub struct Task {
    /// The peers, called in turn.
    #[arg(long = "to", value_name = "ADDRESS:PORT", required = true)]
    pub peers: Vec<SocketAddr>,
    /// Connections in a minute.
    #[arg(long, value_name = "N")]
    pub a_minute: u32,
    /// Connections altogether.
    #[arg(long, value_name = "N")]
    pub connections: u32,
    /// What chance begins with.
    #[arg(long, value_name = "N")]
    pub seed: u64,
}

/// Talks, and prints how many connections were answered in full.
///
/// # Errors
/// Never: a peer that does not answer is counted as that.
pub fn run(task: &Task) -> anyhow::Result<()> {
    let mut chance = fastrand::Rng::with_seed(task.seed);
    let (begun, pace) = (Instant::now(), Duration::from_secs(60) / task.a_minute.max(1));
    let mut answered = 0;
    for (number, peer) in (0..task.connections).zip(task.peers.iter().cycle()) {
        sleep((pace * number).saturating_sub(begun.elapsed()));
        answered += u32::from(talk(*peer, Duration::from_millis(chance.u64(OPEN_MS))).is_ok());
    }
    println!("{answered}");
    Ok(())
}

fn talk(peer: SocketAddr, open: Duration) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&peer, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[b'.'; BYTES])?;
    stream.read_exact(&mut [0; BYTES])?;
    sleep(open);
    stream.shutdown(Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new()).map(|_| ())
}
