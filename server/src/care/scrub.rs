//! The scrub: reads every image again in its turn, so that rot is found by us before a device finds it.
//!
//! Slow on purpose: a bounded rate, one image at a time. A damaged one is set aside by its folder, where it is not
//! served and a new upload replaces it; log, metrics and console name it. What was read when is kept in memory only:
//! after a restart all images are read again, at the same rate. Read next: `store::blobs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cordon_proto::ids::Sha256;
use cordon_proto::time::Timestamp;
use sha2::{Digest, Sha256 as Hasher};

use crate::app::App;
use crate::store::blobs::{Blob, BlobError};

const DAY_S: i64 = 86_400;

/// When each image was last found sound.
pub type Scrubbed = Mutex<BTreeMap<Sha256, Timestamp>>;

/// Reads every image that is due, and says how many were sound and how many were set aside.
pub async fn run(app: &Arc<App>) -> Result<(u64, u64), BlobError> {
    let (mut sound, mut damaged) = (0, 0);
    let here = app.blobs.list().await?;
    seen(app).retain(|sha256, _| here.binary_search(sha256).is_ok());
    for sha256 in here {
        let due =
            |read: &Timestamp| app.clock.now() >= read.plus_seconds(i64::from(app.config.scrub.days) * DAY_S);
        let is_due = seen(app).get(&sha256).is_none_or(due);
        if !is_due {
            continue;
        }
        let Some(blob) = app.blobs.get(sha256).await? else { continue };
        match read(app, &blob).await {
            None => break,
            Some(true) => {
                seen(app).insert(sha256, app.clock.now());
                sound += 1;
            }
            Some(false) => damaged += u64::from(app.blobs.set_aside(sha256).await?),
        }
    }
    app.metrics.damaged_blobs(app.blobs.damaged().len());
    Ok((sound, damaged))
}

/// Whether an image is sound; nothing if the server drains meanwhile.
async fn read(app: &App, blob: &Blob) -> Option<bool> {
    let rate = app.config.scrub.mib_per_s.saturating_mul(1024 * 1024).max(1);
    let (mut hasher, mut at) = (Hasher::new(), 0_u64);
    while !app.is_draining() {
        let Ok(piece) = blob.piece(at).await else { return Some(false) };
        if piece.is_empty() {
            return Some(Sha256(hasher.finalize().into()) == blob.info().sha256);
        }
        hasher.update(&piece);
        let bytes = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        at = at.saturating_add(bytes);
        let pause = Duration::from_micros(bytes.saturating_mul(1_000_000) / rate);
        tokio::select! {
            () = app.drained() => return None,
            () = tokio::time::sleep(pause) => {}
        }
    }
    None
}

fn seen(app: &App) -> std::sync::MutexGuard<'_, BTreeMap<Sha256, Timestamp>> {
    app.care.scrubbed.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    async fn put(bench: &Bench, byte: u8) -> Sha256 {
        let incoming = bench.app().blobs.put(1 << 20).await.expect("begun");
        let incoming = incoming.write(vec![byte; 100_000].into()).await.expect("written");
        incoming.finish(None).await.expect("kept").sha256
    }

    #[tokio::test]
    async fn each_image_is_read_again_in_its_turn_and_a_damaged_one_is_named_and_set_aside() {
        // Goal: rot is found by us. Method: two images, one damaged behind our back; a week later, and a day too early.
        let bench = Bench::start(&["scrub.days=7", "scrub.mib_per_s=1000"]).await;
        let (sound, rotten) = (put(&bench, 1).await, put(&bench, 2).await);
        let app = bench.app();
        // The server's own first scrub may take its part of the two.
        while run(app).await.expect("read") != (0, 0) {}
        assert_eq!(seen(app).len(), 2, "all were read and nothing is due");
        let name = rotten.to_string();
        let path = app.config.path(&app.config.blobs).join(&name[..2]).join(&name);
        std::fs::write(&path, vec![3; 100_000]).expect("damaged");
        let week = bench.clock.now_ms().plus(7 * 86_400_000);
        bench.clock.hold_at(week.plus(-60_000));
        assert_eq!(run(app).await.expect("read"), (0, 0), "not yet");
        bench.clock.hold_at(week);
        assert_eq!(run(app).await.expect("read"), (1, 1));
        assert_eq!(app.blobs.list().await.expect("listed"), [sound]);
        assert_eq!(app.blobs.damaged(), [rotten]);
        assert!(app.metrics.text().contains("cordon_blobs_damaged 1"));
        assert_eq!(put(&bench, 2).await, rotten);
        bench.clock.hold_at(week.plus(3_600_000));
        assert_eq!(run(app).await.expect("read"), (1, 0), "the new upload is looked at");
        assert!(app.metrics.text().contains("cordon_blobs_damaged 0"));
    }

    #[tokio::test]
    async fn the_scrub_keeps_to_its_rate() {
        // Goal: images are read slowly. Method: 100 kB at 1 MiB/s take a tenth of a second and not less.
        let bench = Bench::start(&["scrub.mib_per_s=1"]).await;
        put(&bench, 1).await;
        let begin = tokio::time::Instant::now();
        run(bench.app()).await.expect("read");
        assert!(begin.elapsed() >= Duration::from_millis(90), "{:?}", begin.elapsed());
    }
}
