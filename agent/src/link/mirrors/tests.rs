//! Parts of files from mirrors: the same turns as for a whole image, and the server behind them at the very byte.
//!
//! Whole images are tested with the whole agent, in `crate::run::tests`.

use std::time::Duration;

use super::*;
use crate::fake::mirror::{Manner, Mirror};
use crate::fake::{Asked, Reply, Server};
use crate::identity::tests::trusted_clock;
use crate::link::Patience;
use crate::link::tests::{MUTUAL, Site};

fn file() -> Vec<u8> {
    (0..50_000_u32).flat_map(u32::to_be_bytes).collect()
}

fn wanted(from: u64, until: u64) -> Wanted {
    let (sha256, length) = (Sha256::of(&file()), u64::try_from(file().len()).expect("small"));
    Wanted { sha256, length, from, until: Some(until), mirrors: true }
}

/// What the server answers to a part: the part.
fn part(asked: &Asked) -> Reply {
    let (file, range) = (file(), asked.headers.get("range").expect("a part is asked for"));
    let (from, last) = range.trim_start_matches("bytes=").split_once('-').expect("two bytes");
    let (from, last): (usize, usize) = (from.parse().expect("a byte"), last.parse().expect("a byte"));
    Reply::Ranged(from, file.len(), file[from..=last].to_vec())
}

/// A device with these mirrors before its server, which was asked for these ranges.
struct Scene {
    link: Link,
    mirrors: Mirrors,
    server: Server,
    _site: Site,
}

impl Scene {
    async fn new(mirrors: &[&Mirror]) -> Self {
        let site = Site::new().await;
        let server = Server::start(&site.authority, MUTUAL, part);
        let urls: Vec<String> = mirrors.iter().map(|mirror| mirror.url.clone()).collect();
        let mirrors = Mirrors::new(&urls, trusted_clock()).expect("is built");
        // Long enough for a machine that has much else to do.
        let long = Duration::from_secs(60);
        let patience = Patience { answer: long, stall: long };
        let link = site.link_at(server.port, patience).mirrored(mirrors.clone());
        Self { link, mirrors, server, _site: site }
    }

    /// The bytes that came.
    async fn came(&self, wanted: Wanted) -> Vec<u8> {
        let (pieces, mut incoming) = mpsc::channel(1000);
        let mut at = wanted.from;
        forward(&self.link, wanted, &pieces).await.expect("it comes");
        drop(pieces);
        let mut bytes = Vec::new();
        while let Some(piece) = incoming.recv().await {
            let piece = piece.expect("no error");
            assert_eq!(piece.at, at, "a hole");
            at += u64::try_from(piece.bytes.len()).expect("small");
            bytes.extend_from_slice(&piece.bytes);
        }
        bytes
    }

    fn faults(&self) -> Vec<Option<MirrorFault>> {
        self.mirrors.view().borrow().iter().map(|standing| standing.fault.clone()).collect()
    }
}

#[tokio::test]
async fn a_part_comes_from_the_first_mirror_that_has_it_and_else_from_the_server_at_the_very_byte() {
    // Goal: the pieces of a delta spare the server as a whole image does. Method: one mirror of each manner, alone; what
    // came, whether the server was asked, and why the mirror was left.
    let cases = [
        (Manner::Well, None, 0),
        (Manner::Cut(10_000), Some("cannot be reached"), 1),
        (Manner::Missing, Some("answers 404"), 1),
        (Manner::WithoutRanges, Some("no parts of files"), 1),
        (Manner::Short, Some("no parts of files"), 1),
        (Manner::Endless, Some("no parts of files"), 1),
    ];
    for (manner, fault, asked) in cases {
        let mirror = Mirror::start(file(), manner);
        let scene = Scene::new(&[&mirror]).await;
        assert!(scene.came(wanted(70_000, 150_000)).await == file()[70_000..150_000], "{manner:?}");
        let faults = scene.faults();
        let told = faults[0].as_ref().map(ToString::to_string);
        assert_eq!(told.is_some(), fault.is_some(), "{manner:?}: {told:?}");
        assert!(
            fault.is_none_or(|fault| told.is_some_and(|told| told.contains(fault))),
            "{manner:?}: {faults:?}"
        );
        assert_eq!(scene.server.lines().len(), asked, "{manner:?}");
        assert!(mirror.heads()[0].contains("range: bytes=70000-149999"));
        // The server is asked on, without another turn of a mirror that failed; and one that serves is asked again.
        assert!(scene.came(wanted(0, 100)).await == file()[..100], "{manner:?}");
        assert_eq!(scene.server.lines().len(), 2 * asked, "{manner:?}");
    }
}

#[tokio::test]
async fn where_mirrors_may_not_be_asked_the_server_is() {
    // Goal: distrust holds for parts too. Method: a good mirror, and a part for which it may not be asked.
    let mirror = Mirror::start(file(), Manner::Well);
    let scene = Scene::new(&[&mirror]).await;
    assert!(scene.came(Wanted { mirrors: false, ..wanted(5, 60) }).await == file()[5..60]);
    assert_eq!((mirror.heads().len(), scene.server.lines().len()), (0, 1));
}

#[tokio::test]
async fn only_who_sent_of_the_last_part_is_blamed_for_it() {
    // Goal: the right mirror is named. Method: two mirrors, of which the second serves alone; the blame after its part,
    // and after one of the server.
    let (first, second) =
        (Mirror::start(file(), Manner::Missing), Mirror::start(file(), Manner::Lie(80_000)));
    let scene = Scene::new(&[&first, &second]).await;
    assert!(scene.came(wanted(70_000, 90_000)).await != file()[70_000..90_000]);
    assert_eq!(scene.faults(), [Some(MirrorFault::Answers(404)), None]);
    assert!(scene.came(Wanted { mirrors: false, ..wanted(70_000, 90_000) }).await == file()[70_000..90_000]);
    assert!(!scene.mirrors.blame_lately(), "that was the server's");
    assert_eq!(scene.faults()[1], None);
    scene.came(wanted(70_000, 90_000)).await;
    assert!(scene.mirrors.blame_lately());
    assert_eq!(scene.faults(), [Some(MirrorFault::Answers(404)), Some(MirrorFault::Wrong)]);
}
