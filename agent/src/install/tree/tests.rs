//! Trees under good and hostile archives, cuts at every byte, and changes behind the agent's back.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// An archive by its entries, as [`cordon_proto::update::tree`] writes them.
pub(crate) fn archive(entries: &[(&str, Kind, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (path, kind, content) in entries {
        let entry = Entry::new(path, kind.clone()).expect("an entry");
        bytes.extend(entry.header());
        bytes.extend(*content);
        bytes.extend(vec![0; entry.filling()]);
    }
    bytes.extend(ENDING);
    bytes
}

pub(crate) fn file(content: &[u8], program: bool) -> Kind {
    Kind::File { length: u64::try_from(content.len()).expect("small"), program }
}

/// A small application: a program, a library of drugs, an empty file, a link.
pub(crate) fn application(version: &str) -> Vec<u8> {
    let (program, drugs) = (format!("#!/bin/sh\necho {version}\n"), version.repeat(300));
    archive(&[
        ("", Kind::Folder, b""),
        ("bin", Kind::Folder, b""),
        ("bin/pump", file(program.as_bytes(), true), program.as_bytes()),
        ("drugs", Kind::Folder, b""),
        ("drugs/adult.csv", file(drugs.as_bytes(), false), drugs.as_bytes()),
        ("drugs/none", file(b"", false), b""),
        ("library", Kind::Link { to: "drugs/adult.csv".into() }, b""),
        ("version", file(version.as_bytes(), false), version.as_bytes()),
    ])
}

/// Something done behind the agent's back, below a tree.
type Change = fn(&Path);
/// A field of a header, by its place.
type Field<'a> = (usize, &'a [u8]);

struct Scene {
    folder: tempfile::TempDir,
    tree: Tree,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let tree = Tree::new(folder.path().to_owned());
        Self { folder, tree }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self, length: usize, offset: u64) -> TreeWriter {
        let length = u64::try_from(length).expect("small");
        self.tree.write(Slot::B, Slot::A, (length, offset)).expect("opens")
    }

    fn write(&self, bytes: &[u8]) -> Result<(), SlotError> {
        let mut writer = self.open(bytes.len(), 0);
        writer.write(0, bytes)?;
        assert!(writer.is_whole() && (writer.apart().expect("opens"))().is_ok());
        Ok(())
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        self.tree.hash(Slot::B).is_ok_and(|found| found == Sha256::of(bytes))
    }
}

#[test]
fn an_archive_becomes_a_tree_that_hashes_as_it_was_signed() {
    // Goal: unpack, read back. Method: write in pieces of a prime; then look at rights, link and contents.
    let (scene, bytes) = (Scene::new(), application("4.2.2"));
    let mut writer = scene.open(bytes.len(), 0);
    for piece in bytes.chunks(97) {
        writer.write(writer.offset(), piece).expect("writes");
    }
    assert!(writer.is_whole());
    assert!(scene.holds(&bytes));
    let mode = |name: &str| fs::metadata(scene.path(name)).expect("is there").permissions().mode() & 0o7777;
    assert_eq!([mode("B"), mode("B/bin/pump"), mode("B/version")], [0o755, 0o755, 0o644]);
    assert_eq!(fs::read_to_string(scene.path("B/library")).expect("reads"), "4.2.2".repeat(300));
    let measured = scene.tree.measure(Slot::B).expect("reads");
    assert_eq!(measured, (u64::try_from(bytes.len()).expect("small"), Sha256::of(&bytes)));
}

#[test]
fn an_attempt_that_was_cut_off_anywhere_is_gone_on_with() {
    // Goal: little more than a block twice, none missing, nothing left of what came behind the last sync. Method: for many bytes at which
    // it is cut and two syncs before each: what no sync covered is there half, and goes.
    let bytes = application("4.2.2");
    for cut in (0..bytes.len()).step_by(61) {
        for synced in [cut, cut / 2] {
            let scene = Scene::new();
            let mut writer = scene.open(bytes.len(), 0);
            writer.write(0, &bytes[..cut]).expect("writes");
            drop(writer);
            let mut writer = scene.open(bytes.len(), u64::try_from(synced).expect("small"));
            let from = usize::try_from(writer.offset()).expect("small");
            assert!(from.abs_diff(synced) < 1024, "{cut}: {synced}: {from}");
            writer.write(writer.offset(), &bytes[from..]).expect("goes on");
            assert!(writer.is_whole());
            assert!(scene.holds(&bytes), "{cut}: {synced}");
        }
    }
}

#[test]
fn a_tree_that_does_not_hold_what_was_synced_is_begun_anew() {
    // Goal: no bytes pass for held that are not there. Method: half an archive, and all but a byte; then a file of it has
    // other rights, or everything is gone; and the same with nothing changed.
    let bytes = application("4.2.2");
    let changes: [(Change, bool); 3] = [
        (|_| (), true),
        (|root| rights(&root.join("bin/pump"), 0o600), false),
        (|root| fs::remove_dir_all(root).expect("removes"), false),
    ];
    for (change, held) in changes {
        for cut in [bytes.len() / 2, bytes.len() - 1] {
            let scene = Scene::new();
            let mut writer = scene.open(bytes.len(), 0);
            writer.write(0, &bytes[..cut]).expect("writes");
            drop(writer);
            change(&scene.path("B"));
            let writer = scene.open(bytes.len(), u64::try_from(cut).expect("small"));
            assert_eq!(writer.offset() > 0, held, "{cut}");
        }
    }
}

#[test]
fn an_older_longer_tree_leaves_nothing_behind() {
    // Goal: what runs is what was signed and nothing else. Method: a tree with more files, a link in the way.
    let (scene, bytes) = (Scene::new(), application("4.2.2"));
    fs::create_dir_all(scene.path("B/drugs/old")).expect("makes");
    fs::write(scene.path("B/drugs/old/file"), "old").expect("writes");
    scene.write(&bytes).expect("is written");
    assert!(scene.holds(&bytes) && !scene.path("B/drugs/old").exists());
    fs::remove_dir_all(scene.path("B")).expect("removes");
    fs::create_dir(scene.path("precious")).expect("makes");
    fs::write(scene.path("precious/file"), "precious").expect("writes");
    symlink("precious", scene.path("B")).expect("links");
    scene.write(&bytes).expect("is written");
    assert!(scene.holds(&bytes));
    assert_eq!(fs::read(scene.path("precious/file")).expect("reads"), b"precious", "a link is not followed");
}

#[test]
fn every_change_behind_the_agents_back_shows_in_the_read_back() {
    // Goal: the written tree is believed for what it is. Method: one change of each kind to a tree that was whole.
    let bytes = application("4.2.2");
    let changes: [(&str, Change); 9] = [
        ("content", |root| fs::write(root.join("version"), "4.2.3").expect("writes")),
        ("longer", |root| fs::write(root.join("drugs/none"), "x").expect("writes")),
        ("gone", |root| fs::remove_file(root.join("version")).expect("removes")),
        ("more", |root| fs::write(root.join("drugs/more"), "").expect("writes")),
        ("renamed", |root| fs::rename(root.join("version"), root.join("versions")).expect("renames")),
        ("set-uid", |root| rights(&root.join("bin/pump"), 0o4755)),
        ("writable", |root| rights(&root.join("bin/pump"), 0o777)),
        ("another link", |root| {
            fs::remove_file(root.join("library")).expect("removes");
            symlink("version", root.join("library")).expect("links");
        }),
        ("a link for a file", |root| {
            fs::rename(root.join("version"), root.join("../version")).expect("renames");
            symlink("../version", root.join("version")).expect("links");
        }),
    ];
    for (what, change) in changes {
        let scene = Scene::new();
        scene.write(&bytes).expect("is written");
        change(&scene.path("B"));
        assert!(!scene.holds(&bytes), "{what}");
    }
}

fn rights(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("sets");
}

#[test]
fn a_hostile_archive_makes_nothing_outside_its_tree() {
    // Goal: what is not proven yet can do no harm. Method: headers bent to each trick, their checksums made right, and
    // the neighbours of the tree afterwards.
    let bend = |changes: &[Field<'_>]| {
        let mut bytes = archive(&[("", Kind::Folder, b""), ("one", file(b"", false), b"")]);
        for (at, field) in changes {
            bytes[512 + at..512 + at + field.len()].copy_from_slice(field);
        }
        bytes[512 + 148..512 + 156].copy_from_slice(b"        ");
        let sum: u32 = bytes[512..1024].iter().map(|byte| u32::from(*byte)).sum();
        bytes[512 + 148..512 + 155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        bytes
    };
    let tricks: [(&str, &[Field<'_>]); 7] = [
        ("..", &[(0, b"./../evil\0")]),
        ("absolute", &[(0, b"/tmp/cordon-evil\0")]),
        ("link out", &[(156, b"2"), (157, b"../evil\0"), (100, b"0000755")]),
        ("hard link", &[(156, b"1"), (157, b"/etc/passwd\0")]),
        ("device", &[(156, b"3"), (329, b"0000010")]),
        ("set-uid", &[(100, b"0004755")]),
        ("sparse giant", &[(124, b"77777777777")]),
    ];
    for (what, changes) in tricks {
        let scene = Scene::new();
        let error = scene.write(&bend(changes)).expect_err(what);
        assert!(matches!(error, SlotError::Tree(_)), "{what}: {error}");
        let left: Vec<_> =
            fs::read_dir(scene.path("")).expect("lists").map(|e| e.expect("lists").file_name()).collect();
        assert_eq!(left, ["B"], "{what}");
        assert_eq!(fs::read_dir(scene.path("B")).expect("lists").count(), 0, "{what}");
    }
    assert!(!Path::new("/tmp/cordon-evil").exists());
}

#[test]
fn the_tree_that_runs_is_never_written() {
    // Goal: not even under another name. Method: the slot itself; then both names for one folder.
    let (scene, bytes) = (Scene::new(), application("4.2.2"));
    let asked = |slot, running| scene.tree.write(slot, running, (1, 0)).map(drop);
    assert!(matches!(asked(Slot::A, Slot::A), Err(SlotError::Running { .. })));
    scene.write(&bytes).expect("is written");
    symlink("B", scene.path("A")).expect("links");
    assert!(matches!(asked(Slot::B, Slot::A), Err(SlotError::Running { .. })));
    assert!(scene.holds(&bytes));
}
