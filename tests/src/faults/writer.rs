//! The writer: a process that commits and appends until it is killed, and says each answer as it comes.
//!
//! One line an answer, `writer step`, straight to stdout; nothing is said before the store has answered, unless the
//! control asks for just that mistake. It opens the store through the server's own door. Read next: [`super::plan`].

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use cordon_server::store::Store;
use cordon_server::store::open::{self, Terms};

use super::plan::{Scribe, Step};

/// Said once the store is open.
pub const OPEN: &str = "open";

/// What stays free under sled: one that meets the last byte of its disk was seen to lose all it held. A server keeps four
/// times as much free by itself.
const SLED_RESERVE: u64 = 16 * 1024 * 1024;

/// What a writer process does.
#[derive(Clone, Debug, Args)]
pub struct Task {
    /// The store, as a server's configuration names it.
    #[arg(long, value_name = "STORE")]
    pub store: String,
    /// What is written.
    #[arg(long)]
    pub seed: u64,
    /// Which run on this store it is.
    #[arg(long)]
    pub run: u32,
    /// Writers at once.
    #[arg(long, default_value_t = 8)]
    pub writers: u32,
    /// Steps of each writer; without it they go on until the process is killed.
    #[arg(long)]
    pub steps: Option<u64>,
    /// The control of power cuts: answers do not wait for the disk.
    #[arg(long)]
    pub unsynced: bool,
    /// The control of kills: a step is said before the store has answered it.
    #[arg(long)]
    pub early: bool,
}

/// Writes until it is stopped, or all steps are answered.
///
/// # Errors
/// If the store does not open, or refuses a step.
pub fn run(task: &Task) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let reserve_bytes = if task.store.starts_with("sled:") { SLED_RESERVE } else { 0 };
        let terms = Terms { reserve_bytes: Some(reserve_bytes), unsynced: task.unsynced };
        let store = open::open(&task.store, Path::new(""), terms).await?;
        say(OPEN)?;
        let writers: Vec<_> = (0..task.writers)
            .map(|writer| {
                let scribe = Scribe { seed: task.seed, run: task.run, writer };
                tokio::spawn(write(store.clone(), scribe, task.steps, task.early))
            })
            .collect();
        for writer in writers {
            writer.await??;
        }
        Ok(())
    })
}

async fn write(store: Arc<dyn Store>, scribe: Scribe, steps: Option<u64>, early: bool) -> anyhow::Result<()> {
    let mut head = None;
    for number in 0..steps.unwrap_or(u64::MAX) {
        let line = format!("{} {number}", scribe.writer);
        if early {
            say(&line)?;
        }
        match scribe.step(number, head) {
            Step::Commit(commit) => head = Some(store.commit(*commit).await?.revision),
            Step::Append(delivery) => drop(store.append(delivery).await?),
        }
        if !early {
            say(&line)?;
        }
    }
    Ok(())
}

/// One line, one write: a line that is said is whole.
fn say(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush()
}
