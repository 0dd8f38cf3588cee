//! Packets of all interfaces, by a packet socket with the core's filter, read by a thread of their own.
//!
//! It needs `CAP_NET_RAW` when it is opened. It never switches an interface to hear what is for others, and never holds more
//! than `limits::PACKETS_WAITING_BYTES` in each of its two buffers: where those are full the kernel's queue fills, then the
//! kernel drops and counts ([`super::losses`]). No ring is mapped, for that takes unsafe code; the filter leaves so little
//! that a call for each packet is cheap. Read next: `cordon_agent_core::dissect::filter`, [`super::tier1`].

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

use cordon_agent_core::dissect::filter::PROGRAM;
use cordon_proto::limits;
use cordon_proto::time::Millis;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::sync::Notify;

use crate::clock::Clock;

/// `ETH_P_ALL`: what is sent as well as what arrives.
const ALL: u16 = 3;
/// Bytes before each packet in a batch: when it came, and its length.
const HEAD: usize = 10;
/// Bytes of the thread's stack.
const STACK: usize = 64 * 1024;
/// For how long the thread waits for a packet before it looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks at the queue: packets are taken by the handful, not one by one.
const PAUSE: Duration = Duration::from_millis(2);
/// The same while the sensor has not taken what was caught.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// Packets that wait for the sensor.
#[derive(Debug, Default)]
struct Batch(Vec<u8>);

/// What the thread and the sensor share.
#[derive(Debug)]
struct Shared {
    socket: Socket,
    caught: Mutex<Caught>,
    ends: AtomicBool,
    clock: Arc<dyn Clock>,
    hurry: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Caught {
    batch: Batch,
    trouble: Option<io::Error>,
}

/// The open socket and its thread.
#[derive(Debug)]
pub struct Packets {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// The other buffer.
    taken: Batch,
}

impl Packets {
    /// Opens the socket and begins to read. `hurry` is told when a buffer is full.
    pub fn open(clock: Arc<dyn Clock>, hurry: Arc<Notify>) -> io::Result<Self> {
        let all = Protocol::from(i32::from(ALL.to_be()));
        let socket =
            Socket::new(Domain::PACKET, Type::DGRAM, Some(all)).map_err(|error| match error.kind() {
                ErrorKind::PermissionDenied => {
                    io::Error::new(error.kind(), "the right CAP_NET_RAW is missing")
                }
                _ => error,
            })?;
        socket.attach_filter(
            &PROGRAM.map(|step| SockFilter::new(step.code, step.yes, step.no, step.operand)),
        )?;
        socket.set_recv_buffer_size(limits::PACKETS_WAITING_BYTES)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let shared = Shared { socket, caught: Mutex::default(), ends: AtomicBool::new(false), clock, hurry };
        shared.drop_unfiltered()?;
        let shared = Arc::new(shared);
        let reader = Arc::clone(&shared);
        let thread =
            Builder::new().name("packets".to_owned()).stack_size(STACK).spawn(move || reader.read())?;
        Ok(Self { shared, thread: Some(thread), taken: Batch::default() })
    }

    /// By which the kernel's diagnosis names the socket.
    pub fn inode(&self) -> io::Result<u32> {
        let inode = rustix::fs::fstat(&self.shared.socket)?.st_ino;
        u32::try_from(inode).map_err(io::Error::other)
    }

    /// Takes in what is in the kernel's queue now, so that nothing that came before a look at the sockets is behind it.
    pub fn gather(&mut self) -> io::Result<()> {
        let mut caught = self.shared.caught();
        if let Some(error) = caught.trouble.take() {
            return Err(error);
        }
        self.shared.drain(&mut caught.batch).map(drop)
    }

    /// Hands over what was gathered, in order.
    pub fn take(&mut self, mut take: impl FnMut(&[u8], Millis)) {
        std::mem::swap(&mut self.taken, &mut self.shared.caught().batch);
        self.taken.each(&mut take);
        self.taken.0.clear();
    }
}

impl Drop for Packets {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say that was not said.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn caught(&self) -> MutexGuard<'_, Caught> {
        self.caught.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What came between the opening of the socket and its filter is dropped unread.
    fn drop_unfiltered(&self) -> io::Result<()> {
        for _ in 0..limits::FLOWS {
            match recv(&self.socket, &mut [0; 1], RecvFlags::DONTWAIT) {
                Ok(_) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::other("the network does not pause"))
    }

    /// The thread's work, until it should end or the socket fails.
    fn read(&self) {
        while !self.ends.load(Ordering::Relaxed) {
            match recv(&self.socket, &mut [0; 1], RecvFlags::PEEK) {
                Ok(_) => {}
                Err(Errno::AGAIN | Errno::INTR) => continue,
                Err(error) => return self.fails(error.into()),
            }
            let drained = self.drain(&mut self.caught().batch);
            match drained {
                Ok(true) => sleep(PAUSE),
                Ok(false) => {
                    self.hurry.notify_one();
                    sleep(FULL_PAUSE);
                }
                Err(error) => return self.fails(error),
            }
        }
    }

    fn fails(&self, error: io::Error) {
        self.caught().trouble = Some(error);
    }

    /// Empties the queue into a batch; `false` if that is full before.
    fn drain(&self, batch: &mut Batch) -> io::Result<bool> {
        let mut buffer = [0; limits::PACKET_BYTES];
        let now = self.clock.now();
        while batch.has_room() {
            match recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((length, _)) => batch.push(buffer.get(..length).unwrap_or_default(), now),
                Err(Errno::AGAIN) => return Ok(true),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }
}

impl Batch {
    fn has_room(&self) -> bool {
        self.0.len() + HEAD + limits::PACKET_BYTES <= limits::PACKETS_WAITING_BYTES
    }

    fn push(&mut self, packet: &[u8], at: Millis) {
        if self.0.capacity() == 0 {
            self.0.reserve_exact(limits::PACKETS_WAITING_BYTES);
        }
        let Ok(length) = u16::try_from(packet.len()) else { return };
        self.0.extend(at.0.to_ne_bytes());
        self.0.extend(length.to_ne_bytes());
        self.0.extend(packet);
    }

    fn each(&self, take: &mut dyn FnMut(&[u8], Millis)) {
        let mut rest = self.0.as_slice();
        while let Some((at, behind)) = rest.split_first_chunk()
            && let Some((length, behind)) = behind.split_first_chunk()
            && let Some((packet, behind)) = behind.split_at_checked(usize::from(u16::from_ne_bytes(*length)))
        {
            take(packet, Millis(i64::from_ne_bytes(*at)));
            rest = behind;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_out_of_a_batch_as_they_went_in_and_it_stays_in_its_memory() {
        // Goal: order, times and bounds. Method: as many as fit, of several lengths.
        let mut batch = Batch::default();
        let mut put = 0_u16;
        while batch.has_room() {
            batch.push(&vec![7; usize::from(put % 2000)], Millis(i64::from(put)));
            put += 1;
        }
        assert_eq!(batch.0.capacity(), limits::PACKETS_WAITING_BYTES);
        let mut taken = 0;
        batch.each(&mut |packet, at| {
            assert_eq!((packet.len(), at), (usize::from(taken % 2000), Millis(i64::from(taken))));
            taken += 1;
        });
        assert_eq!(taken, put);
    }
}
