//! The agent as a task of a test: stopped, awaited, or cut off as a power cut would.
//!
//! Tests only; [`super::Rig`] starts it.

use std::collections::BTreeMap;
use std::time::Duration;

use cordon_proto::time::Timestamp;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::clock::{Clock, SystemClock};
use crate::fake::Reply;
use crate::interlock::Shared;
use crate::run::Exit;

/// A running agent.
pub(crate) struct Running {
    pub(super) stop: Option<oneshot::Sender<()>>,
    pub(crate) task: JoinHandle<Exit>,
    pub(crate) interlock: Shared,
}

impl Running {
    pub(crate) async fn stop(mut self) -> Exit {
        let _ = self.stop.take().map(|stop| stop.send(()));
        self.ended().await
    }

    pub(crate) async fn ended(self) -> Exit {
        let _open = self.stop;
        timeout(Duration::from_secs(60), self.task).await.expect("ends").expect("no panic")
    }

    /// Cuts the agent off after this time, as a power cut would, unless it ended by itself: its end. What is held is held
    /// as long as it lives.
    pub(crate) async fn cut_off<T>(mut self, after: Duration, held: impl Future<Output = T>) -> Option<Exit> {
        let held = async {
            let _held = held.await;
            std::future::pending::<()>().await;
        };
        let lives = async {
            tokio::select! { exit = &mut self.task => exit, () = held => unreachable!("it is held on") }
        };
        let exit = match timeout(after, lives).await {
            Ok(exit) => exit,
            Err(_) => {
                self.task.abort();
                self.task.await
            }
        };
        match exit {
            Ok(exit) => Some(exit),
            Err(error) => {
                assert!(error.is_cancelled(), "{error}");
                None
            }
        }
    }
}

pub(crate) fn now() -> Timestamp {
    SystemClock::new().now().seconds()
}

/// A file of a repository, or that there is none.
pub(super) fn found(files: &BTreeMap<String, Vec<u8>>, file: &str) -> Reply {
    files.get(file).cloned().map_or_else(|| Reply::problem(404, "no_such_file"), Reply::ok)
}
