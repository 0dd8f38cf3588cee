//! Word of destroyed sockets, taken from the kernel by a thread of its own, so that a burst between two looks is not lost.
//!
//! The kernel's queue holds a few hundred of them; here wait as many as there may be flows. Read next: [`super::diag`].

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::Duration;

use netlink_sys::Socket as Netlink;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use socket2::SockRef;

use super::diag::{Events, Heard};

/// Bytes of the thread's stack.
const STACK: usize = 64 * 1024;
/// For how long the thread waits for word before it looks whether it should end.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two looks at the queue: word is taken by the handful.
const PAUSE: Duration = Duration::from_millis(10);

/// The thread and what it has heard.
#[derive(Debug)]
pub struct Hearing {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    ear: Mutex<Ear>,
    /// The queue of `ear`, to wait at.
    queue: Netlink,
    ends: AtomicBool,
}

#[derive(Debug)]
struct Ear {
    events: Events,
    heard: Heard,
    trouble: Option<io::Error>,
}

impl Hearing {
    /// Begins to listen. An error if the kernel tells nothing.
    pub fn open() -> io::Result<Self> {
        let events = Events::open()?;
        let queue = events.queue();
        SockRef::from(&queue).set_read_timeout(Some(PATIENCE))?;
        let ear = Ear { events, heard: Heard::default(), trouble: None };
        let shared = Arc::new(Shared { ear: Mutex::new(ear), queue, ends: AtomicBool::new(false) });
        let listener = Arc::clone(&shared);
        let thread =
            Builder::new().name("sockets".to_owned()).stack_size(STACK).spawn(move || listener.listen())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Everything that was told until now.
    pub fn hear(&mut self) -> io::Result<Heard> {
        let mut ear = self.shared.ear();
        if let Some(error) = ear.trouble.take() {
            return Err(error);
        }
        let Ear { events, heard, .. } = &mut *ear;
        events.hear(heard)?;
        Ok(std::mem::take(heard))
    }
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say that was not said.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn ear(&self) -> MutexGuard<'_, Ear> {
        self.ear.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self) {
        while !self.ends.load(Ordering::Relaxed) {
            let waits = recv(&self.queue, &mut [0; 1], RecvFlags::PEEK);
            let mut ear = self.ear();
            let Ear { events, heard, trouble } = &mut *ear;
            let done = match waits {
                Ok(_) => events.hear(heard),
                Err(Errno::AGAIN | Errno::INTR) => Ok(()),
                // The kernel says it once, to whoever asks first.
                Err(Errno::NOBUFS) => {
                    heard.overrun = true;
                    Ok(())
                }
                Err(error) => Err(error.into()),
            };
            if let Err(error) = done {
                *trouble = Some(error);
                return;
            }
            drop(ear);
            sleep(PAUSE);
        }
    }
}
