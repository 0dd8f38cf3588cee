//! The demo: a hospital in one command, and every promise of the story asserted as it is told.
//!
//! Server, real agent and killed agent are processes of their own; simulated devices are loops of the same library;
//! everybody meets over mutual TLS on loopback. Nothing is asserted from inside the server: what a step claims is read
//! from the operator API or from the devices' own folders. Read next: [`story`], then [`hospital`](crate::hospital).

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::time::{Instant, sleep};

use crate::command::Folder;

pub mod boot_loader;
pub mod catalogue;
pub mod fleet;
pub mod stage;
mod story;
pub mod thief;
pub mod traffic;

/// How the demo runs.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Simulated devices.
    #[arg(long, value_name = "N", default_value_t = 50)]
    devices: usize,
    /// Assert every step, then end: for machines.
    #[arg(long)]
    check: bool,
    /// Keep everything in this new folder.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Tells the story. Without `--check` the hospital stays open until Ctrl-C.
pub fn run(options: Options) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("this program has no path")?;
    let folder = Folder::open(options.keep)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let told = story::tell(&program, folder.path(), options.devices, options.check).await;
        if let (Err(error), Folder::Scratch(_)) = (&told, &folder) {
            eprintln!("{error:#}\nserver log: {}", tail(&folder.path().join("server-1.log")));
        }
        told
    })
}

fn tail(path: &std::path::Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(12).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// Asks again and again until there is an answer; names what was awaited when time is over.
pub async fn until<T, F>(what: &str, within: Duration, mut ask: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Result<T, String>>>,
{
    let end = Instant::now() + within;
    loop {
        let last = match ask().await? {
            Ok(found) => return Ok(found),
            Err(last) => last,
        };
        anyhow::ensure!(Instant::now() < end, "waited {} s for {what}; last seen: {last}", within.as_secs());
        sleep(Duration::from_millis(200)).await;
    }
}
