//! Tests of the archive of a folder: one form, and every hostile archive refused by name.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn folder(path: &str) -> (Entry, Vec<u8>) {
    (Entry::new(path, Kind::Folder).expect("a folder"), Vec::new())
}

fn file(path: &str, content: &[u8]) -> (Entry, Vec<u8>) {
    let length = u64::try_from(content.len()).expect("small");
    (Entry::new(path, Kind::File { length, program: false }).expect("a file"), content.to_vec())
}

fn link(path: &str, to: &str) -> (Entry, Vec<u8>) {
    (Entry::new(path, Kind::Link { to: to.into() }).expect("a link"), Vec::new())
}

fn archive(entries: &[(Entry, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (entry, content) in entries {
        bytes.extend(entry.header());
        bytes.extend(content);
        bytes.extend(vec![0; entry.filling()]);
    }
    bytes.extend(ENDING);
    bytes
}

fn sample() -> Vec<(Entry, Vec<u8>)> {
    vec![
        folder(""),
        folder("drugs"),
        file("drugs/adult.csv", &[7; 700]),
        file("drugs/empty", b""),
        link("drugs/latest", "adult.csv"),
        file("drugs.index", &[9; 512]),
    ]
}

fn read(bytes: &[u8], piece: usize) -> Result<Vec<(Entry, Vec<u8>)>, TreeFault> {
    let mut reader = Reader::new(u64::try_from(bytes.len()).expect("small"));
    let mut found: Vec<(Entry, Vec<u8>)> = Vec::new();
    for mut piece in bytes.chunks(piece) {
        while let Some(part) = reader.next(&mut piece)? {
            match part {
                Part::Entry(entry) => found.push((entry, Vec::new())),
                Part::Content(bytes) => found.last_mut().expect("an entry").1.extend(bytes),
                Part::End => assert!(reader.is_over()),
            }
        }
    }
    if reader.is_over() { Ok(found) } else { Err(TreeFault::Length) }
}

fn refused(entries: &[(Entry, Vec<u8>)]) -> TreeFault {
    read(&archive(entries), 512).expect_err("is refused")
}

/// A header with some bytes changed and its checksum made right again.
fn bent(entry: &Entry, changes: &[(usize, &[u8])]) -> Vec<u8> {
    let mut block = entry.header();
    for (at, bytes) in changes {
        put(&mut block, *at, bytes);
    }
    put(&mut block, CHECKSUM, b"        ");
    let sum = block.iter().map(|byte| u64::from(*byte)).sum();
    octal(&mut block, (CHECKSUM, 7), sum);
    block.to_vec()
}

fn bent_archive(entry: &Entry, changes: &[(usize, &[u8])]) -> TreeFault {
    let bytes = [folder("").0.header().to_vec(), bent(entry, changes), ENDING.to_vec()].concat();
    read(&bytes, 4096).expect_err("is refused")
}

#[test]
fn a_tree_is_read_in_whatever_pieces_it_comes() {
    // Goal: the network decides about nothing. Method: every size of piece around a block.
    for piece in [1, 3, 511, 512, 513, 1024, 100_000] {
        assert_eq!(read(&archive(&sample()), piece), Ok(sample()), "{piece}");
    }
}

#[test]
fn an_archive_that_leads_out_of_its_folder_is_refused_by_name() {
    // Goal: nothing is written elsewhere. Method: each form of such a path and of such a link.
    let one = file("one", b"").0;
    for path in
        ["./../one", "./a/../../b", "/etc/passwd", "one", "./", ".//one", "./a//b", "./..", "./a/.", "./\n"]
    {
        let field = [path.as_bytes(), &[0; 20]].concat();
        let fault = bent_archive(&one, &[(0, &field)]);
        assert!(matches!(fault, TreeFault::Path(_)), "{path}: {fault}");
    }
    let inner = link("one", "two").0;
    for to in ["/etc", "..", "../one", "a/../../x", "a/..", "", "./a", "a//b", "two/"] {
        let field = [to.as_bytes(), &[0; 20]].concat();
        let fault = bent_archive(&inner, &[(LINK, &field)]);
        assert!(matches!(fault, TreeFault::Link(_)), "{to}: {fault}");
    }
    assert!(Entry::new("a/b/c", Kind::Link { to: "../../d".into() }).is_ok(), "up to the folder itself");
    assert!(Entry::new("a/b/c", Kind::Link { to: "../../../d".into() }).is_err());
}

#[test]
fn only_folders_files_and_links_with_plain_rights_are_entries() {
    // Goal: no device node, no hard link, no set-uid program. Method: each letter of the standard, each other right.
    let one = file("one", b"").0;
    for letter in (0..=255_u8).filter(|letter| !b"025".contains(letter)) {
        let fault = bent_archive(&one, &[(KIND, &[letter])]);
        assert_eq!(fault, TreeFault::Kind { path: "./one".into(), kind: letter.into() });
    }
    for mode in (0..0o10000_u32).filter(|mode| *mode != 0o644 && *mode != 0o755) {
        let fault = bent_archive(&one, &[(MODE.0, format!("{mode:07o}").as_bytes())]);
        assert_eq!(fault, TreeFault::Mode { path: "./one".into(), mode });
    }
    let fault = bent_archive(&folder("a").0, &[(MODE.0, b"0000644")]);
    assert!(matches!(fault, TreeFault::Mode { .. }));
}

#[test]
fn a_tree_has_one_archive_only() {
    // Goal: what is written again is what was signed. Method: every other byte of a header set to another value, with
    // and without a right checksum; then filling and ending.
    let (one, _) = file("one", b"x");
    let whole = |header: Vec<u8>| {
        let bytes =
            [folder("").0.header().to_vec(), header, b"x".to_vec(), vec![0; 511], ENDING.to_vec()].concat();
        read(&bytes, 4096)
    };
    let original = whole(one.header().to_vec()).expect("is read");
    for at in 0..BLOCK {
        for value in [b'0', b'7', b' ', 0, 0xff] {
            for changed in [bent(&one, &[(at, &[value])]), {
                let mut block = one.header();
                block[at] = value;
                block.to_vec()
            }] {
                let same = changed == one.header();
                assert!(same || whole(changed).is_err_or_differs(&original), "{at}: {value}");
            }
        }
    }
    let mut filled = archive(&sample());
    filled[512 * 3 + 700] = 1;
    assert_eq!(read(&filled, 512), Err(TreeFault::Filling));
    let mut ended = archive(&sample());
    *ended.last_mut().expect("a byte") = 1;
    assert_eq!(read(&ended, 512), Err(TreeFault::Filling));
}

trait Differs {
    fn is_err_or_differs(&self, other: &[(Entry, Vec<u8>)]) -> bool;
}

impl Differs for Result<Vec<(Entry, Vec<u8>)>, TreeFault> {
    fn is_err_or_differs(&self, other: &[(Entry, Vec<u8>)]) -> bool {
        self.as_ref().is_err() || self.as_ref().is_ok_and(|found| found != other)
    }
}

#[test]
fn names_come_in_order_once_and_in_folders_that_were_named() {
    // Goal: no entry replaces another, none goes through a link or a file. Method: each kind of disorder.
    let order = |entries: &[(Entry, Vec<u8>)]| assert!(matches!(refused(entries), TreeFault::Order(_)));
    order(&[file("a", b"")]);
    order(&[folder(""), folder("")]);
    order(&[folder(""), file("a", b""), file("a", b"")]);
    order(&[folder(""), file("b", b""), file("a", b"")]);
    order(&[folder(""), file("a/b", b"")]);
    order(&[folder(""), file("a", b""), file("a/b", b"")]);
    order(&[folder(""), link("a", "c"), file("a/b", b"")]);
    order(&[folder(""), folder("a"), file("a.txt", b""), file("a/b", b"")]);
    order(&[folder(""), folder("a"), file("a/b", b""), file("ab/c", b"")]);
}

#[test]
fn no_entry_is_longer_than_what_was_signed() {
    // Goal: the disk fills no further than the signed length. Method: a length one block too great, bytes behind the
    // end, an end too early, the greatest length, and more entries than allowed.
    let bytes = archive(&sample());
    let length = u64::try_from(bytes.len()).expect("small");
    for signed in [length - 512, length + 512, length - 1, length + 1, 512, 0] {
        let mut reader = Reader::new(signed);
        let mut rest = &bytes[..];
        let fault = loop {
            match reader.next(&mut rest) {
                Err(fault) => break Some(fault),
                Ok(None) => break None,
                Ok(Some(_)) => {}
            }
        };
        assert!(fault == Some(TreeFault::Length), "{signed}: {fault:?}");
    }
    let long = bent_archive(&file("one", b"").0, &[(SIZE.0, b"77777777777")]);
    assert_eq!(long, TreeFault::Length);
    let bytes = archive(&[folder(""), file("one", &[1; 600])]);
    let mut reader = Reader::new(u64::try_from(bytes.len()).expect("small") - 512);
    let mut rest = &bytes[..];
    assert!(matches!(reader.next(&mut rest), Ok(Some(Part::Entry(_)))));
    assert_eq!(reader.next(&mut rest).err(), Some(TreeFault::Length), "not one byte of it is handed out");
    let many = (0..limits::TREE_ENTRIES).map(|number| file(&format!("{number:06}"), b""));
    let many: Vec<_> = core::iter::once(folder("")).chain(many).collect();
    assert_eq!(refused(&many), TreeFault::Entries);
    assert!(read(&archive(&many[..many.len() - 1]), 1 << 20).is_ok());
}

#[test]
fn a_path_is_no_deeper_and_no_longer_than_a_device_can_hold() {
    // Goal: bounded recursion and one way to divide a long name. Method: both sides of each bound.
    let deep = |depth: usize| vec!["d"; depth].join("/");
    assert!(Entry::new(&deep(limits::TREE_DEPTH), Kind::Folder).is_ok());
    assert!(Entry::new(&deep(limits::TREE_DEPTH + 1), Kind::Folder).is_err());
    let long = |first: usize, second: usize| format!("{}/{}", "x".repeat(first), "y".repeat(second));
    let fits = |path: &str| Entry::new(path, Kind::File { length: 0, program: true }).is_ok();
    assert!(fits(&long(153, 100)) && !fits(&long(154, 100)) && !fits(&long(153, 101)));
    assert!(fits(&"x".repeat(100)) && !fits(&"x".repeat(101)), "one name can be divided at no other slash");
    let found = read(&archive(&[folder(""), folder(&"x".repeat(97)), file(&long(97, 60), b"")]), 512);
    assert_eq!(found.expect("is read")[2].0.path(), long(97, 60));
}

/// Trees by chance: names to contents, a folder where a name has names below it.
fn trees() -> impl Strategy<Value = BTreeMap<Vec<String>, Vec<u8>>> {
    let path = proptest::collection::vec("[a-c.]{1,3}[a-z]", 1..4);
    proptest::collection::btree_map(path, proptest::collection::vec(any::<u8>(), 0..1200), 0..12)
}

fn entries(tree: &BTreeMap<Vec<String>, Vec<u8>>) -> Vec<(Entry, Vec<u8>)> {
    let mut found = BTreeMap::from([(Vec::new(), None)]);
    for (path, content) in tree {
        for depth in 1..path.len() {
            found.insert(path[..depth].to_vec(), None);
        }
        found.entry(path.clone()).or_insert_with(|| Some(content.clone()));
    }
    let made = found.into_iter().map(|(path, content)| match content {
        Some(content) => file(&path.join("/"), &content),
        None => folder(&path.join("/")),
    });
    made.collect()
}

proptest! {
    #[test]
    fn every_tree_comes_back_and_can_be_gone_on_with_anywhere(
        tree in trees(), piece in 1_usize..2000, stop in any::<prop::sample::Index>(),
    ) {
        let tree = entries(&tree);
        let bytes = archive(&tree);
        prop_assert_eq!(read(&bytes, piece), Ok(tree.clone()));

        // Cut off in the middle: a reader that is told what is held goes on from there to the same end.
        let mut reader = Reader::new(u64::try_from(bytes.len()).expect("small"));
        let cut = u64::try_from(stop.index(bytes.len())).expect("small");
        for (entry, _) in &tree {
            let content_at = reader.at() + 512;
            if cut < content_at {
                break;
            }
            let missing = (content_at + entry.length()).saturating_sub(cut);
            reader.hold(entry.clone(), missing).expect("is in order");
            if missing > 0 {
                break;
            }
        }
        let mut rest = &bytes[usize::try_from(reader.at()).expect("small")..];
        while reader.next(&mut rest).expect("goes on").is_some() {}
        prop_assert!(reader.is_over());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3000), piece in 1_usize..700) {
        let _ = read(&bytes, piece);
    }
}
