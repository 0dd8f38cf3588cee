//! Images whose lengths no longer fit 31 or 32 bits: 2 GiB, and 4 GiB and a byte.
//!
//! The files are holes but for their ends, so nothing of that size is written; everything is read, more than once. What
//! is shown: a slot that goes on behind such an offset, by the threads that write it on a device, is read back to the last
//! byte, and is found out when it is one byte longer; and a server that hands out such a file from any offset over mutual TLS. openssl is the judge of
//! the hashes. Read next: `cordon_agent::slot`, `cordon_server`'s `http::repository`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use cordon_agent::slot::writing::{Piece, Sink, Told, Writing};
use cordon_agent::slot::{SlotError, Slots};
use cordon_agent_core::update::Slot;
use cordon_proto::ids::Sha256;

use crate::hospital::Hospital;
use crate::one_device::OneDevice;
use crate::program::program;
use crate::skip::look_up;
use crate::soak::{Outcome, Rounds};

/// The lengths.
const LENGTHS: [u64; 2] = [2 << 30, (4 << 30) + 1];
/// Bytes at the end that are no hole.
const TAIL: usize = 70_001;

/// The rounds.
#[derive(Debug)]
pub struct Sparse {
    sim: PathBuf,
}

impl Sparse {
    /// `sim` is this program.
    #[must_use]
    pub fn new(sim: &Path) -> Self {
        Self { sim: sim.to_owned() }
    }
}

/// The last bytes of an image.
fn tail(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; TAIL];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

/// Writes bytes of an image where they belong, by the threads that write and sync on a device.
///
/// # Errors
/// If the runtime cannot be had; what the threads say is the answer: nothing where the image is whole.
pub(super) fn through_the_threads(
    sink: Box<dyn Sink>,
    bytes: &[u8],
) -> std::io::Result<Result<(), Option<SlotError>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut at = sink.offset();
    Ok(runtime.block_on(async {
        let mut writing = Writing::begin(sink);
        for piece in bytes.chunks(9000) {
            // One that is not taken has its reason in the last word.
            let _ = writing.put(Piece { at, bytes: piece.to_vec().into() }).await;
            at += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        }
        writing.end();
        loop {
            match writing.told().await {
                Some(Told::Synced(_)) => {}
                Some(Told::Whole) => return Ok(()),
                Some(Told::Failed(error)) => return Err(Some(error)),
                Some(Told::Ended) | None => return Err(None),
            }
        }
    }))
}

/// Writes the end of an image behind its hole, as a resumed update does, and reads all of it back.
fn through_a_slot(folder: &Path, length: u64, tail: &[u8]) -> anyhow::Result<(PathBuf, Sha256)> {
    std::fs::write(folder.join("a"), b"the running image")?;
    let path = folder.join("b");
    let hole = length.saturating_sub(u64::try_from(tail.len())?);
    File::create(&path)?.set_len(hole)?;
    let slots = Slots::new([folder.join("a"), path.clone()]);
    let writer = slots.write(Slot::B, Slot::A, (length, hole))?;
    ensure!(writer.offset() == hole, "the slot goes on at {}, not at {hole}", writer.offset());
    let longer = [tail, &[0]].concat();
    let refused = through_the_threads(Box::new(writer), &longer)?;
    ensure!(refused.is_err(), "a byte behind the end was taken");
    let writer = slots.write(Slot::B, Slot::A, (length, hole))?;
    through_the_threads(Box::new(writer), tail)?
        .map_err(|error| anyhow::anyhow!("not written: {error:?}"))?;
    let back = slots.hash(Slot::B, length)?;
    let found = std::fs::metadata(&path)?.len();
    ensure!(found == length, "the slot has {found} bytes of {length}");
    let cut = length & u64::from(u32::MAX);
    for other in [length - 1, length + 1, cut].into_iter().filter(|other| *other != length) {
        ensure!(slots.hash(Slot::B, other).is_err(), "a slot of {length} bytes passed for one of {other}");
    }
    Ok((path, back))
}

/// The hash by openssl.
fn judged(path: &Path) -> anyhow::Result<Sha256> {
    let openssl = look_up("openssl").context("openssl: apt-get install openssl")?;
    let output = program(openssl).args(["dgst", "-sha256", "-r"]).arg(path).output()?;
    ensure!(output.status.success(), "openssl dgst: {}", String::from_utf8_lossy(&output.stderr).trim());
    let said = String::from_utf8(output.stdout)?;
    said.split(' ').next().unwrap_or_default().parse().context("a hash")
}

/// Reads a device's image from these offsets to its end over the real planes; the bytes read.
async fn from_a_server(sim: &Path, images: &[(PathBuf, Sha256, u64)], tail: &[u8]) -> anyhow::Result<u64> {
    let folder = tempfile::tempdir()?;
    let mut hospital = Hospital::open(sim, &folder.path().join("owner"), &[]).await?;
    let mut device = OneDevice::enrol(&hospital, &folder.path().join("states"), "VP3-9001").await?;
    let mut bytes = 0;
    for (path, sha256, length) in images {
        let name = sha256.to_string();
        let shelf = hospital.folder().join("server/blobs").join(name.get(..2).context("a hash")?);
        std::fs::create_dir_all(&shelf)?;
        std::fs::hard_link(path, shelf.join(&name)).or_else(|_| std::fs::rename(path, shelf.join(&name)))?;
        let mut all = vec![0; 30_000];
        all.extend_from_slice(tail);
        let near = u64::try_from(all.len())?;
        for back in [near, u64::try_from(tail.len())?, 4097, 2, 1] {
            let from = length - back;
            let mut download = device.link().target(sha256, from).await?;
            ensure!(download.start() == from, "asked from {from}, answered from {}", download.start());
            let mut got = Vec::new();
            while let Some(piece) = download.next().await? {
                got.extend_from_slice(&piece);
            }
            let wanted = all.get(all.len() - usize::try_from(back)?..).context("within the end")?;
            ensure!(got == wanted, "from byte {from} of {length}: {} other bytes", got.len());
            bytes += back;
        }
    }
    hospital.stop().await?;
    Ok(bytes)
}

impl Rounds for Sparse {
    fn title(&self) -> &'static str {
        "images of 2 GiB, and of 4 GiB and a byte"
    }

    fn play(&mut self, seed: u64) -> anyhow::Result<Outcome> {
        let (tail, mut images) = (tail(seed), Vec::new());
        let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
        let mut hashed = 0;
        for (length, folder) in LENGTHS.into_iter().zip(&folders) {
            let (path, sha256) = through_a_slot(folder.path(), length, &tail)?;
            let judged = judged(&path)?;
            if judged != sha256 {
                let fault = Some(format!("{length} bytes: we hash {sha256}, openssl {judged}"));
                return Ok(Outcome { counts: Vec::new(), fault });
            }
            hashed += length;
            images.push((path, sha256, length));
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let served = runtime.block_on(from_a_server(&self.sim, &images, &tail))?;
        let counts = vec![
            ("bytes that went through a slot", hashed),
            ("bytes served from behind large offsets", served),
        ];
        Ok(Outcome { counts, fault: None })
    }

    fn control(&mut self, seed: u64) -> anyhow::Result<String> {
        // The judge sees one byte of a large hole.
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("hole");
        let file = File::create(&path)?;
        file.set_len(LENGTHS[0])?;
        let before = judged(&path)?;
        file.write_all_at(&[1], LENGTHS[0] - 1 - seed % 4096)?;
        ensure!(judged(&path)? != before, "openssl does not see a byte of a hole");
        Ok("one byte at the end of a hole of 2 GiB changes the judge's hash".to_owned())
    }
}
