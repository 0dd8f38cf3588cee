//! Tests of the blobs folder on a real disk.

use std::os::unix::fs::PermissionsExt;

use futures_util::TryStreamExt;
use proptest::prelude::*;

use super::*;

async fn put(blobs: &Blobs, pieces: &[&[u8]], expected: Option<Sha256>) -> Result<Stored, BlobError> {
    let mut incoming = blobs.put(1000).await?;
    for piece in pieces {
        incoming = incoming.write(Bytes::copy_from_slice(piece)).await?;
    }
    incoming.finish(expected).await
}

async fn read(blob: &Blob, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let pieces: Vec<Bytes> = blob.stream(offset, length).try_collect().await?;
    Ok(pieces.concat())
}

fn files_in(folder: &Path) -> usize {
    fs::read_dir(folder).expect("folder").count()
}

#[tokio::test]
async fn a_blob_is_found_by_its_hash_and_read_in_ranges() {
    // Goal: the way of an image. Method: put in pieces, put again, read ranges inside, across and beyond the end.
    let folder = tempfile::tempdir().expect("folder");
    let blobs = Blobs::open(folder.path().join("blobs")).await.expect("opened");
    let sha256 = Sha256::of(b"hello world");
    let info = put(&blobs, &[b"hello ", b"world"], Some(sha256)).await.expect("put");
    assert_eq!(info, Stored { sha256, length: 11 });
    assert_eq!(put(&blobs, &[b"hello world"], None).await.expect("the same blob again"), info);
    let blob = blobs.get(sha256).await.expect("read").expect("there");
    assert_eq!(blob.info(), info);
    for (offset, length, wanted) in
        [(0, 11, "hello world"), (6, 3, "wor"), (6, 99, "world"), (11, 1, ""), (99, 1, "")]
    {
        assert_eq!(read(&blob, offset, length).await.expect("read"), wanted.as_bytes(), "{offset}+{length}");
    }
    assert_eq!(blobs.verify(sha256).await.expect("read"), Some(info));
    assert_eq!(blobs.list().await.expect("listed"), [sha256]);
    assert!(blobs.get(Sha256([0; 32])).await.expect("read").is_none());
    assert_eq!(files_in(&blobs.incoming()), 0);
}

#[tokio::test]
async fn bytes_of_another_hash_never_get_a_name() {
    // Goal: a forged or damaged image is refused. Method: a wrong expectation; the folder stays empty.
    let folder = tempfile::tempdir().expect("folder");
    let blobs = Blobs::open(folder.path().to_owned()).await.expect("opened");
    let expected = Sha256::of(b"image");
    let refused = put(&blobs, &[b"imagf"], Some(expected)).await;
    assert!(matches!(refused, Err(BlobError::WrongHash { expected: e, .. }) if e == expected));
    assert!(blobs.list().await.expect("listed").is_empty());
    assert_eq!(files_in(&blobs.incoming()), 0);
}

#[tokio::test]
async fn a_stream_over_its_limit_or_given_up_leaves_nothing() {
    // Goal: the length cap, and no litter. Method: at the limit, one above, dropped half-way, left by a crash.
    let folder = tempfile::tempdir().expect("folder");
    let blobs = Blobs::open(folder.path().to_owned()).await.expect("opened");
    assert!(put(&blobs, &[&[1; 600], &[1; 400]], None).await.is_ok());
    assert!(matches!(
        put(&blobs, &[&[2; 600], &[2; 401]], None).await,
        Err(BlobError::TooLong { limit: 1000 })
    ));
    drop(blobs.put(10).await.expect("begun").write(Bytes::from_static(b"half")).await.expect("written"));
    assert_eq!(files_in(&blobs.incoming()), 0);
    fs::write(blobs.incoming().join("left"), b"by a crash").expect("written");
    Blobs::open_beside(folder.path().to_owned()).await.expect("opened by another server");
    assert_eq!(files_in(&blobs.incoming()), 1, "it may be another server's, and at work");
    let blobs = Blobs::open(folder.path().to_owned()).await.expect("opened again");
    assert_eq!((files_in(&blobs.incoming()), blobs.list().await.expect("listed").len()), (0, 1));
}

#[tokio::test]
async fn damage_on_disk_is_found_by_verify_and_by_a_short_file() {
    // Goal: a scrub names the damaged blob. Method: flip a byte behind its back; cut the file while it is read.
    let folder = tempfile::tempdir().expect("folder");
    let blobs = Blobs::open(folder.path().to_owned()).await.expect("opened");
    let info = put(&blobs, &[&[7; 900]], None).await.expect("put");
    let path = blobs.path(info.sha256);
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    let blob = blobs.get(info.sha256).await.expect("read").expect("there");
    fs::write(&path, [&[7; 450][..], &[8; 450]].concat()).expect("damaged");
    assert!(matches!(blobs.verify(info.sha256).await, Err(BlobError::WrongHash { .. })));
    fs::write(&path, [7; 450]).expect("cut");
    assert!(read(&blob, 0, 900).await.is_err(), "a short file is not taken for a whole one");
}

#[tokio::test]
async fn a_damaged_blob_is_never_served_to_its_end_and_comes_back_by_a_new_upload() {
    // Goal: nobody takes rotten bytes for whole ones. Method: flip a byte; read whole; look where it went; put it anew.
    let folder = tempfile::tempdir().expect("folder");
    let blobs = Blobs::open(folder.path().to_owned()).await.expect("opened");
    let bytes = vec![7; 3 * PIECE_BYTES];
    let incoming =
        blobs.put(1 << 20).await.expect("begun").write(bytes.clone().into()).await.expect("written");
    let info = incoming.finish(None).await.expect("kept");
    assert!(!blobs.set_aside(info.sha256).await.expect("read"), "a sound blob keeps its name");
    let mut rotten = bytes.clone();
    rotten[100] ^= 1;
    fs::write(blobs.path(info.sha256), &rotten).expect("damaged");
    let blob = blobs.get(info.sha256).await.expect("read").expect("there");
    let pieces: Vec<io::Result<Bytes>> = futures_util::StreamExt::collect(blob.stream(0, info.length)).await;
    let sent: usize = pieces.iter().flatten().map(Bytes::len).sum();
    assert!(pieces.last().is_some_and(Result::is_err) && sent < bytes.len(), "{sent} bytes were sent");
    assert!(blobs.get(info.sha256).await.expect("read").is_none(), "it has no name any more");
    assert_eq!(blobs.damaged(), [info.sha256]);
    let again = Blobs::open(folder.path().to_owned()).await.expect("opened again");
    assert_eq!(again.damaged(), [info.sha256], "a restart forgets nothing");
    let incoming = again.put(1 << 20).await.expect("begun").write(bytes.into()).await.expect("written");
    incoming.finish(Some(info.sha256)).await.expect("kept");
    assert!(again.damaged().is_empty() && again.verify(info.sha256).await.expect("read").is_some());
}

#[tokio::test]
async fn blobs_do_not_eat_the_reserve_of_the_store() {
    // Goal: images cannot fill the disk to the brim. Method: a reserve that no disk has, before and in the middle.
    let folder = tempfile::tempdir().expect("folder");
    let blobs = Blobs::open(folder.path().to_owned()).await.expect("opened");
    let incoming = blobs.put(1000).await.expect("begun");
    let full = blobs.clone().with_reserve(u64::MAX);
    assert!(matches!(full.put(1000).await, Err(BlobError::Full { .. })));
    let incoming = Incoming { blobs: full, ..incoming };
    assert!(matches!(incoming.write(Bytes::from_static(b"x")).await, Err(BlobError::Full { .. })));
    assert_eq!(files_in(&blobs.incoming()), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(16)))]
    #[test]
    fn any_bytes_in_any_pieces_read_back_in_any_range(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..5),
        offset in 0_u64..1100, length in 0_u64..1100,
    ) {
        // Goal: what goes in comes out. Method: against slices of the joined bytes.
        let whole = pieces.concat();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        let folder = tempfile::tempdir().expect("folder");
        let bytes = runtime.block_on(async {
            let blobs = Blobs::open(folder.path().to_owned()).await.expect("opened");
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let info = put(&blobs, &pieces, Some(Sha256::of(&whole))).await.expect("put");
            let blob = blobs.get(info.sha256).await.expect("read").expect("there");
            read(&blob, offset, length).await.expect("read")
        });
        let from = usize::try_from(offset).expect("small").min(whole.len());
        let until = from.saturating_add(usize::try_from(length).expect("small")).min(whole.len());
        prop_assert_eq!(&bytes[..], &whole[from..until]);
    }
}

#[tokio::test]
async fn a_blob_of_4_gib_and_a_byte_is_read_at_the_offset_that_was_asked_for() {
    // Goal: no offset is cut to 32 bits. Method: a file of holes under some name, marked where a cut offset would lead
    // and where it should; nothing of its size is written or read.
    let folder = tempfile::tempdir().expect("folder");
    let blobs = Blobs::open(folder.path().join("blobs")).await.expect("opened");
    let (sha256, length) = (Sha256([7; 32]), (4_u64 << 30) + 1);
    let path = blobs.path(sha256);
    fs::create_dir_all(path.parent().expect("a shelf")).expect("made");
    let file = OpenOptions::new().create_new(true).write(true).open(&path).expect("made");
    file.set_len(length).expect("a hole");
    for (at, mark) in [(0, b'a'), (1 << 31, b'b'), (length - 2, b'c'), (length - 1, b'd')] {
        file.write_all_at(&[mark], at).expect("marked");
    }
    let blob = blobs.get(sha256).await.expect("read").expect("there");
    assert_eq!(blob.info().length, length);
    for (offset, wanted) in [(1_u64 << 31, "b\0"), (length - 2, "cd"), (length - 1, "d"), (length, "")] {
        assert_eq!(read(&blob, offset, 2).await.expect("read"), wanted.as_bytes(), "{offset}");
    }
}
