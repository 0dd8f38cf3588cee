//! Images put together on the device: from the running slot and a store that may be cut off, bent, swapped or gone.
//!
//! Tests only; see [`super`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use cordon_proto::update::chunks::{self, Entry, Half, Parameters};
use cordon_proto::update::release::FileRef;
use tempfile::TempDir;
use tokio::sync::mpsc;
use zstd::zstd_safe::CCtx;

use super::assembler::Assembler;
use super::cutter::Cutter;
use super::store::{Unsealed, unpack};
use super::*;
use crate::identity::tests::trusted_clock;
use crate::link::LinkError;
use crate::link::mirrors::Mirrors;
use crate::run::messages::{PIECES, Piece, ToLink};

const BOUNDS: Parameters = Parameters { least: 1024, average: 4096, most: 32_768, context: 8192 };

/// Bytes that are not all alike and yet pack, the same in every run.
fn noise(length: usize, mut seed: u32) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed.to_be_bytes()[0] & 0x3f
    };
    (0..length).map(|_| next()).collect()
}

fn file_ref(bytes: &[u8]) -> FileRef {
    FileRef { length: u64::try_from(bytes.len()).expect("small"), sha256: Sha256::of(bytes) }
}

fn cut(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut cutter = Cutter::new(bytes, &BOUNDS);
    std::iter::from_fn(|| cutter.next().expect("reads").map(<[u8]>::to_vec)).collect()
}

fn packed(piece: &[u8], context: &[u8]) -> Vec<u8> {
    let (mut packer, mut packed) = (CCtx::create(), Vec::with_capacity(piece.len() + 1024));
    packer.ref_prefix(context).expect("takes it");
    packer.compress2(&mut packed, piece).expect("packs");
    packed
}

/// Index and store of an image, as the maker's tool makes them.
fn pack(image: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut store, mut entries, mut at) = (Vec::new(), Vec::new(), 0);
    let mut known = std::collections::BTreeSet::new();
    for piece in cut(image) {
        let (id, mut form) = (Half::of(&piece), Vec::new());
        if known.insert(id) {
            form = packed(&piece, &image[at.max(8192) - 8192..at]);
        }
        let seal = if form.is_empty() { Half([0; 16]) } else { Half::of(&form) };
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("small");
        entries.push(Entry { id, seal, length: length(&piece), stored: length(&form) });
        store.extend_from_slice(&form);
        at += piece.len();
    }
    (chunks::write(&BOUNDS, file_ref(image), file_ref(&store), &entries), store)
}

/// What a server has, does, and was asked.
#[derive(Default)]
struct World {
    files: BTreeMap<Sha256, Vec<u8>>,
    /// It knows no ranges.
    whole_only: bool,
    /// The connection is cut after so many bytes of an answer.
    cut: Option<usize>,
    /// A mirror stands before the server, and bends every byte of this file from this one on.
    liar: Option<(Sha256, usize)>,
    asked: Vec<(Sha256, u64, Option<u64>)>,
    /// Which of these mirrors might have answered.
    of_mirrors: usize,
    bytes: usize,
}

/// What a server does to its own files.
type Lie = fn(&mut World, &Offer);

/// A device with an old image, half a slot, and a server.
struct Scene {
    folder: TempDir,
    image: Vec<u8>,
    offer: Offer,
    world: Arc<Mutex<World>>,
    kept: Mutex<Kept>,
    standing: Arc<Standing>,
    from: u64,
}

impl Scene {
    fn new() -> Self {
        let old = noise(1_500_000, 1);
        // Something is put in, something is taken out, and a part comes twice, far from and close to itself.
        let image = [
            &old[..400_000],
            &noise(60_000, 2),
            &old[400_000..900_000],
            &noise(60_000, 2),
            &old[1_000_000..],
            &noise(40_000, 3),
            &noise(40_000, 3),
            &noise(1_300_000, 1)[..600_000],
            &noise(60_000, 2),
        ]
        .concat();
        let (index, store) = pack(&image);
        let offer = Offer { index: file_ref(&index), store: file_ref(&store) };
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("A"), &old).expect("writes");
        fs::write(folder.path().join("B"), vec![0; image.len()]).expect("writes");
        let files = [&image, &index, &store].map(|bytes| (Sha256::of(bytes), bytes.clone()));
        let world = World { files: files.into(), ..World::default() };
        let (world, standing) = (Arc::new(Mutex::new(world)), Arc::default());
        Self { folder, image, offer, world, kept: Mutex::default(), standing, from: 0 }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().expect("no panic")
    }

    /// One try; the error that ended it, if one did. What came is in the slot.
    fn attempt(&mut self) -> Option<LinkError> {
        let (link, calls) = mpsc::channel(4);
        let (pieces, mut incoming) = mpsc::channel(PIECES);
        let mirrors = Mirrors::new(&["http://mirror".to_owned()], trusted_clock()).expect("one");
        let (world, standings) = (Arc::clone(&self.world), mirrors.clone());
        let server = thread::spawn(move || serve(&world, &standings, calls));
        let running = File::open(self.path("A")).expect("opens");
        let held = running.metadata().expect("is there").len();
        let whole = Wanted {
            sha256: Sha256::of(&self.image),
            length: self.offer_length(),
            from: self.from,
            until: None,
            mirrors: true,
        };
        let assembler = Assembler {
            whole,
            offer: self.offer,
            running: (running, held),
            written: File::open(self.path("B")).expect("opens"),
            link,
            pieces,
            standing: Arc::clone(&self.standing),
            mirrors,
        };
        let slot = File::options().write(true).open(self.path("B")).expect("opens");
        let (from, kept) = (self.from, &self.kept);
        let ended = thread::scope(|scope| {
            scope.spawn(move || assembler.run(kept));
            let mut at = from;
            loop {
                match incoming.blocking_recv() {
                    None => break (at, None),
                    Some(Err(error)) => break (at, Some(error)),
                    Some(Ok(piece)) => {
                        assert!(piece.at <= at, "a hole before {}", piece.at);
                        slot.write_all_at(&piece.bytes, piece.at).expect("writes");
                        at = at.max(piece.at + u64::try_from(piece.bytes.len()).expect("small"));
                    }
                }
            }
        });
        server.join().expect("no panic");
        self.from = ended.0;
        ended.1
    }

    fn offer_length(&self) -> u64 {
        u64::try_from(self.image.len()).expect("small")
    }

    fn is_whole(&self) -> bool {
        let mut slot = Vec::new();
        File::open(self.path("B")).expect("opens").read_to_end(&mut slot).expect("reads");
        self.from == self.offer_length() && slot == self.image
    }

    fn is_left(&self) -> bool {
        self.why_left().is_some()
    }

    fn why_left(&self) -> Option<&str> {
        self.standing.left.get().map(String::as_str)
    }
}

/// Answers until nobody asks any more.
fn serve(world: &Mutex<World>, standings: &Mirrors, mut calls: mpsc::Receiver<ToLink>) {
    while let Some(call) = calls.blocking_recv() {
        let ToLink::Image { wanted, pieces } = call else { panic!("only files are asked for") };
        let Wanted { sha256, from, until, mirrors, .. } = wanted;
        standings.forget(&wanted);
        if mirrors && world.lock().expect("no panic").liar.is_some() {
            standings.sends_part(0);
        }
        let (file, from, cut) = {
            let mut world = world.lock().expect("no panic");
            world.asked.push((sha256, from, until));
            world.of_mirrors += usize::from(mirrors);
            let Some(mut file) = world.files.get(&sha256).cloned() else {
                let gone = LinkError::Rejected { status: 404, code: String::new(), detail: String::new() };
                let _ = pieces.blocking_send(Err(gone));
                continue;
            };
            if let Some((_, at)) = world.liar.filter(|(bent, _)| mirrors && *bent == sha256) {
                file.iter_mut().skip(at).for_each(|byte| *byte ^= 1);
            }
            let (from, until) = if world.whole_only { (0, None) } else { (from, until) };
            let until =
                until.map_or(file.len(), |until| usize::try_from(until).expect("small")).min(file.len());
            (file[..until].to_vec(), usize::try_from(from).expect("small"), world.cut)
        };
        let end = cut.map_or(file.len(), |cut| file.len().min(from + cut));
        let mut at = from;
        for part in file[from..end].chunks(1500) {
            world.lock().expect("no panic").bytes += part.len();
            let piece = Piece { at: u64::try_from(at).expect("small"), bytes: part.to_vec().into() };
            if pieces.blocking_send(Ok(piece)).is_err() {
                break;
            }
            at += part.len();
        }
        if end < file.len() {
            let _ = pieces.blocking_send(Err(LinkError::Stalled { seconds: 1 }));
        }
    }
}

fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).expect("opens");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("reads");
    file.write_all_at(&[byte[0] ^ 1], at).expect("writes");
}

#[test]
fn only_what_the_running_slot_does_not_have_is_fetched_and_nothing_twice() {
    // Goal: an image from an older one. Method: an image with 140,000 new bytes among 2 MB; count what was asked for.
    let mut scene = Scene::new();
    assert_eq!(scene.attempt(), None);
    assert!(scene.is_whole() && !scene.is_left());
    let index = usize::try_from(scene.offer.index.length).expect("small");
    let world = scene.world();
    let of_store = world.bytes - index;
    assert!((75_000..180_000).contains(&of_store), "{of_store}");
    assert!(world.asked.iter().all(|(sha256, _, _)| *sha256 != Sha256::of(&scene.image)), "never the image");
    assert!(world.asked.len() < 12, "{:?}", world.asked);
}

#[test]
fn a_try_that_is_cut_off_anywhere_goes_on_there() {
    // Goal: a resume costs nothing. Method: every answer ends after 7,000 bytes, in the index as in the store.
    let mut scene = Scene::new();
    scene.attempt();
    let whole = scene.world().bytes;
    let mut scene = Scene::new();
    scene.world().cut = Some(7000);
    let mut tries = 0;
    while let Some(error) = scene.attempt() {
        assert_eq!(error, LinkError::Stalled { seconds: 1 });
        tries += 1;
        assert!(tries < 200, "it goes on");
    }
    assert!(scene.is_whole() && !scene.is_left() && tries > 10, "{tries} tries");
    // What a gap holds is skipped anew, and no more.
    let most = whole + tries * 1024;
    assert!(scene.world().bytes <= most, "{} of {most}", scene.world().bytes);
}

#[test]
fn an_index_or_a_store_that_is_not_the_signed_one_ends_the_delta_and_the_image_comes_whole() {
    // Goal: no byte but the maker's, and no update that waits for its delta. Method: one lie of the server at a time.
    let lies: [(&str, &str, Lie); 7] = [
        ("a bent index", "the index is not the one in the release", |world, offer| {
            // In a place that nothing is read from, so that only its measure tells.
            let bytes = world.files.get_mut(&offer.index.sha256).expect("is there");
            let index = chunks::Index::read(bytes.clone()).expect("is an index");
            let repeat = index.pieces().find(|piece| !piece.entry.is_stored()).expect("one comes twice");
            bytes[chunks::HEAD_BYTES + repeat.number * chunks::ENTRY_BYTES + 16] ^= 1;
        }),
        ("another index", "ended before it was whole", |world, offer| {
            let other = pack(&noise(2_000_000, 9)).0;
            world.files.insert(offer.index.sha256, other);
        }),
        ("no index", "the server does not give", |world, offer| {
            drop(world.files.remove(&offer.index.sha256))
        }),
        ("a bent store", "a piece of the store is not the one", |world, offer| {
            world.files.get_mut(&offer.store.sha256).expect("is there")[90_000] ^= 1
        }),
        ("another store", "a piece of the store is not the one", |world, offer| {
            let store = world.files.get_mut(&offer.store.sha256).expect("is there");
            store.reverse();
        }),
        ("no store", "the server does not give", |world, offer| {
            drop(world.files.remove(&offer.store.sha256))
        }),
        ("no ranges", "the server gives no parts", |world, _| world.whole_only = true),
    ];
    for (name, why, lie) in lies {
        let mut scene = Scene::new();
        let offer = scene.offer;
        if name == "a bent store" {
            // All of it is fetched, so that the bent piece is met.
            fs::write(scene.path("A"), b"nothing of use").expect("writes");
        }
        lie(&mut scene.world(), &offer);
        assert_eq!(scene.attempt(), None, "{name}");
        assert!(scene.is_whole(), "{name}: {} of {}", scene.from, scene.image.len());
        assert!(scene.why_left().is_some_and(|left| left.contains(why)), "{name}: {:?}", scene.why_left());
        let last = scene.world().asked.last().copied().expect("was asked");
        assert_eq!((last.0, last.2), (Sha256::of(&scene.image), None), "{name}");
    }
}

#[test]
fn a_mirror_that_sends_other_pieces_or_another_index_is_left_for_the_server_and_the_delta_goes_on() {
    // Goal: a lie of a mirror costs a part, not the delta. Method: a mirror that bends the index, the store from its first
    // byte, or from the middle; what was asked of whom, also after a cut.
    for bent in ["index", "store", "half the store"] {
        let mut scene = Scene::new();
        let offer = scene.offer;
        scene.world().liar = Some(match bent {
            "index" => (offer.index.sha256, 0),
            "store" => (offer.store.sha256, 0),
            _ => (offer.store.sha256, usize::try_from(offer.store.length / 2).expect("small")),
        });
        assert_eq!(scene.attempt(), None, "{bent}");
        assert!(scene.is_whole() && !scene.is_left(), "{bent}: {:?}", scene.why_left());
        assert!(!scene.standing.trusts_mirrors());
        let world = scene.world();
        let asked = world.asked.len();
        assert!((1..asked).contains(&world.of_mirrors), "{bent}: {} of {asked}", world.of_mirrors);
        assert!(world.asked.iter().all(|(sha256, _, _)| *sha256 != Sha256::of(&scene.image)), "{bent}");
    }
    let mut scene = Scene::new();
    scene.world().cut = Some(40_000);
    scene.world().liar = Some((scene.offer.store.sha256, 0));
    while scene.attempt().is_some() {}
    assert!(scene.is_whole() && !scene.is_left());
    let mut scene = Scene::new();
    assert_eq!(scene.attempt(), None);
    let world = scene.world();
    assert_eq!(world.of_mirrors, world.asked.len(), "an honest mirror is asked for everything");
}

#[test]
fn a_delta_that_never_comes_gives_the_whole_image_its_turn_now_and_then() {
    // Goal: no update waits for its delta. Method: a line that brings nothing, five times, then one that brings a little.
    let mut scene = Scene::new();
    scene.world().cut = Some(0);
    for _ in 0..5 {
        assert!(scene.standing.has_a_turn());
        assert!(scene.attempt().is_some());
    }
    assert!(!scene.standing.has_a_turn(), "the whole image is tried");
    assert!(scene.standing.has_a_turn(), "and then the delta again");
    for _ in 0..4 {
        assert!(scene.attempt().is_some());
    }
    scene.world().cut = Some(100);
    for _ in 0..8 {
        assert!(scene.attempt().is_some() && scene.standing.has_a_turn(), "something came");
    }
    assert!(!scene.is_left());
}

#[test]
fn a_running_slot_that_changes_under_way_costs_bytes_and_nothing_else() {
    // Goal: what is read is compared. Method: a first try is cut off, then the running slot is written to.
    let mut scene = Scene::new();
    scene.world().cut = Some(40_000);
    while scene.kept.lock().expect("no panic").plan.is_none() {
        assert!(scene.attempt().is_some());
    }
    for at in (0..1_500_000).step_by(50_000) {
        flip(&scene.path("A"), at);
    }
    scene.world().cut = None;
    assert_eq!(scene.attempt(), None);
    assert!(scene.is_whole() && !scene.is_left());
}

#[test]
fn what_stands_in_the_slot_is_compared_before_it_is_used_again() {
    // Goal: a repeat never spreads damage. Method: go back, bend what was written, go on; the damage is met and the rest
    // comes whole, for the read-back to judge.
    let mut scene = Scene::new();
    assert_eq!(scene.attempt(), None);
    scene.from = 1_600_000;
    for at in (400_000..460_000).step_by(500) {
        flip(&scene.path("B"), at);
    }
    assert_eq!(scene.attempt(), None);
    assert_eq!(scene.from, scene.offer_length());
    assert!(scene.is_left());
    let slot = fs::read(scene.path("B")).expect("reads");
    assert!(slot[1_600_000..] == scene.image[1_600_000..], "what came after is right");
}

#[test]
fn a_stored_form_that_is_not_sealed_is_never_unpacked() {
    // Goal: the library that unpacks sees only what the maker wrote. Method: a right form of the very piece, with another seal.
    let piece = noise(4000, 5);
    let before = &piece[..2000];
    let form = packed(&piece, before);
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("small");
    let entry = Entry { id: Half::of(&piece), seal: Half::of(&form), length: 4000, stored: length(&form) };
    assert_eq!(unpack(form.clone(), &entry, before), Ok(Some(piece.clone())));
    let unsealed = Entry { seal: Half::of(b"another form"), ..entry };
    let said = unpack(form.clone(), &unsealed, before);
    assert_eq!(said, Err(Unsealed), "it would make the piece, and is not the maker's");
    let plain = Entry { seal: Half::of(&piece), stored: 4000, ..entry };
    assert_eq!(unpack(piece.clone(), &plain, b""), Ok(Some(piece.clone())));
    let short = Entry { length: 3999, ..entry };
    assert_eq!(unpack(form, &short, before), Ok(None), "it makes more than it says");
}

#[test]
fn a_medium_is_cut_alike_however_its_bytes_come() {
    // Goal: both sides cut the same. Method: the library over all bytes at once, against readers that bring few.
    struct Slowly<'a>(&'a [u8], usize);
    impl Read for Slowly<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let length = into.len().min(self.1);
            self.0.read(&mut into[..length])
        }
    }
    let bytes = noise(3_000_000, 7);
    let expected: Vec<usize> =
        fastcdc::v2020::FastCDC::new(&bytes, 1024, 4096, 32_768).map(|piece| piece.length).collect();
    assert_eq!(cut(&bytes).iter().map(Vec::len).collect::<Vec<_>>(), expected);
    for at_once in [777, 50_000] {
        let mut cutter = Cutter::new(Slowly(&bytes, at_once), &BOUNDS);
        let mut lengths = Vec::new();
        while let Some(piece) = cutter.next().expect("reads") {
            lengths.push(piece.len());
        }
        assert_eq!(lengths, expected);
    }
}
