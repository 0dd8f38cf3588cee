//! Tests of the folder alone: what is opened, from which byte on, and what is never opened.

use std::collections::BTreeMap;
use std::os::unix::net::UnixListener;

use cordon_proto::time::Timestamp;
use cordon_proto::update::author;

use super::*;

/// A folder with an index over these files, whether they are there or not.
fn stick(files: &[(&str, u64)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let listed = |length| Listed { length, sha256: Sha256([5; 32]) };
    let mut all = BTreeMap::from([("install/7".parse().expect("a path"), listed(0))]);
    all.extend(files.iter().map(|(path, length)| (path.parse().expect("a path"), listed(*length))));
    let (issued, expires) = (Timestamp(0), Timestamp(60));
    let bundle = Bundle { director: Sha256([1; 32]), counter: 1, issued, expires, files: all };
    fs::write(folder.path().join(INDEX), author::sign(&bundle.value(), &[])).expect("writes");
    for inside in ["targets", "director"] {
        fs::create_dir(folder.path().join(inside)).expect("makes");
    }
    folder
}

fn code(refused: Result<Option<Vec<u8>>, BundleFault>) -> &'static str {
    refused.expect_err("is refused").code()
}

#[test]
fn an_image_beyond_four_gibibytes_is_read_from_where_the_slot_ends() {
    // Goal: no 32 bits anywhere. Method: a sparse image, its last byte.
    let image = Sha256([5; 32]);
    let path = format!("targets/{image}");
    let length = (1_u64 << 32) + 2;
    let folder = stick(&[(&path, length)]);
    let file = File::create(folder.path().join(&path)).expect("creates");
    file.set_len(length).expect("is sparse");
    let stick = Stick::open(folder.path()).expect("opens");
    let mut rest = Vec::new();
    let mut file = stick.image(image, length - 1).expect("opens").expect("is listed");
    assert_eq!(file.read_to_end(&mut rest).expect("reads"), 1);
    assert!(stick.image(Sha256([6; 32]), 0).expect("nothing fails").is_none(), "another image");
}

#[test]
fn only_listed_ordinary_files_are_opened() {
    // Goal: nothing waits on a pipe, nothing follows a link, nothing else is read. Method: a socket, a folder and a linked
    // folder in a file's place; a file that is not listed.
    let folder = stick(&[("director/a", 1), ("director/b", 1), ("image/halden/c", 1)]);
    let place = |path: &str| folder.path().join(path);
    let _socket = UnixListener::bind(place("director/a")).expect("binds");
    fs::create_dir(place("director/b")).expect("makes");
    fs::create_dir_all(place("elsewhere/halden")).expect("makes");
    fs::write(place("elsewhere/halden/c"), b"x").expect("writes");
    std::os::unix::fs::symlink(place("elsewhere"), place("image")).expect("links");
    fs::write(place("director/d"), b"x").expect("writes");
    let stick = Stick::open(folder.path()).expect("opens");
    for path in ["director/a", "director/b", "image/halden/c"] {
        assert_eq!(code(stick.file(path, 10)), "bundle-not-a-file", "{path}");
    }
    for path in ["director/d", "../director/d", "/etc/hostname", ""] {
        assert_eq!(stick.file(path, 10), Ok(None), "{path:?}");
    }
}

#[test]
fn a_file_longer_than_its_reader_takes_is_refused_by_its_length() {
    // Goal: bounded memory. Method: a listed length that is true and too long for whoever asks.
    let folder = stick(&[("director/a", 100)]);
    fs::write(folder.path().join("director/a"), [0; 100]).expect("writes");
    let stick = Stick::open(folder.path()).expect("opens");
    assert_eq!(code(stick.file("director/a", 10)), "bundle-file-length");
}
