//! Bundles at the desk: two people make one, and every reason not to.

use cordon_proto::update::author::{self, Signer};
use cordon_proto::update::bundle::{Bundle, Listed};
use cordon_proto::update::metadata::{MetaFile, Snapshot, Timestamp as Newest};

use super::*;
use crate::bundle::make::fat_note;
use crate::key::SecretKey;

/// A snapshot and a timestamp of a server.
pub(super) struct Published {
    pub(super) version: u64,
    pub(super) snapshot: Vec<u8>,
    pub(super) timestamp: Vec<u8>,
}

impl Published {
    fn lay(&self, folder: &Path) {
        std::fs::write(folder.join(format!("{}.snapshot.json", self.version)), &self.snapshot).unwrap();
        std::fs::write(folder.join("timestamp.json"), &self.timestamp).unwrap();
    }
}

impl Desk {
    /// A desk with an order for one pump that needs no permit, and a snapshot of the server that ended yesterday.
    pub(super) fn offline() -> Self {
        let desk = Self::stocked();
        desk.waves();
        let list = desk.path("wave1.tsv");
        done(desk.new_order("air", &["--scope-list", &list, "--offline"]));
        done(desk.order("orders2", &["--add", "--scope-list", &list]));
        desk.snapshot();
        desk
    }

    /// What a server signs over the owner's newest documents, in the owner's folder; it ended yesterday.
    fn snapshot(&self) {
        self.published(1, -86_400, ["snapshot", "timestamp"]).lay(&self.folder.path().join("director"));
    }

    /// The same as files, of a version, with an end so many seconds from now, signed by these keys.
    pub(super) fn published(&self, version: u64, seconds: i64, [first, second]: [&str; 2]) -> Published {
        let director = self.folder.path().join("director");
        let read = |file: &str| std::fs::read(director.join(file)).unwrap();
        let expires = crate::clock::now().plus_seconds(seconds);
        let sign = |value, name: &str| {
            let key = SecretKey::read(Path::new(&self.path(name)), false).unwrap();
            let sign = |message: &[u8]| key.sign(message).unwrap();
            author::sign(&value, &[Signer { key: key.public().id(), sign: &sign }])
        };
        let meta = [("targets.json", "1.targets.json"), ("orders.json", "1.orders.json")];
        let meta = meta.map(|(name, file)| (name.to_owned(), MetaFile::of(1, &read(file)))).into();
        let snapshot = sign(author::snapshot(&Snapshot { version, expires, meta }), first);
        let newest = Newest { version, expires, snapshot: MetaFile::of(version, &snapshot) };
        Published { version, snapshot, timestamp: sign(author::timestamp(&newest), second) }
    }

    /// Puts what was done to a finished bundle into its index, and signs that with both people's keys.
    fn sign_again(&self, change: impl FnOnce(&mut Bundle)) {
        let place = self.stick("bundle.json");
        let mut index = Bundle::claim(&std::fs::read(&place).unwrap()).unwrap();
        change(&mut index);
        let keys =
            ["orders1", "orders2"].map(|name| SecretKey::read(Path::new(&self.path(name)), false).unwrap());
        let [first, second] = &keys;
        let (one, two) =
            (|message: &[u8]| first.sign(message).unwrap(), |message: &[u8]| second.sign(message).unwrap());
        let signers = [
            Signer { key: first.public().id(), sign: &one },
            Signer { key: second.public().id(), sign: &two },
        ];
        std::fs::write(place, author::sign(&index.value(), &signers)).unwrap();
    }

    /// Takes a file out of a bundle, or puts other bytes in its place, in the folder and in the index.
    fn bend(&self, index: &mut Bundle, path: &str, bytes: Option<&[u8]>) {
        let listed = bytes.map(|bytes| Listed { length: bytes.len() as u64, sha256: Sha256::of(bytes) });
        let (place, path) = (self.stick(path), path.parse().unwrap());
        match (bytes, listed) {
            (Some(bytes), Some(listed)) => {
                std::fs::write(place, bytes).unwrap();
                index.files.insert(path, listed);
            }
            _ => {
                std::fs::remove_file(place).unwrap();
                index.files.remove(&path);
            }
        }
    }

    fn make(&self, key: &str, more: &[&str]) -> Outcome {
        let [director, image, out, list, key] = [
            self.path("director"),
            self.path("image"),
            self.path("stick"),
            self.path("wave1.tsv"),
            self.path(key),
        ];
        let mut arguments = vec!["bundle", "make", "--director", &director, "--image", &image, "--out", &out];
        arguments.extend(["--scope-list", &list, "--key", &key]);
        arguments.extend(more);
        cordonctl(&arguments)
    }

    fn verify_bundle(&self) -> Outcome {
        let [director, stick] = [self.path("director"), self.path("stick")];
        cordonctl(&["bundle", "verify", "--bundle", &stick, "--director", &director])
    }

    fn stick(&self, file: &str) -> PathBuf {
        self.folder.path().join("stick").join(file)
    }
}

#[test]
fn two_people_make_a_bundle_that_is_whole_although_the_servers_snapshot_has_ended() {
    // Goal: the whole of a bundle. Method: two keys, what is shown, what lies in the folder, the own verification.
    let desk = Desk::offline();
    let (status, out, shown) = desk.make("orders1", &["--order", "air"]);
    assert_eq!(status, 0, "{shown}");
    assert!(out.contains("1 of 2 signatures"), "{out}");
    for line in ["bundle with counter", "order air", "Halden VP-3 1", "permit     NOT NEEDED"] {
        assert!(shown.contains(line), "{line} not in {shown}");
    }
    assert!(refused(desk.verify_bundle()).contains("only 1 of the 2 signatures"));
    assert!(refused(desk.make("orders1", &["--add"])).contains("already signed"), "one person is not two");
    assert!(refused(desk.make("content1", &["--add"])).contains("none of the role orders"));
    assert!(done(desk.make("orders2", &["--add"])).contains("2 of 2 signatures, complete"));
    assert!(done(desk.verify_bundle()).contains("a whole bundle"));
    let list = std::fs::read(desk.stick("install/air")).unwrap();
    assert_eq!(list, hardware("1").0);
    let files = ["director/1.root.json", "director/timestamp.json", "director/1.orders.json"];
    for file in files.into_iter().chain(["image/halden/1.root.json", "image/halden/timestamp.json"]) {
        assert!(desk.stick(file).is_file(), "{file}");
    }
    let image = Sha256::of(b"firmware 4.2.2");
    assert_eq!(std::fs::read(desk.stick(&format!("targets/{image}"))).unwrap(), b"firmware 4.2.2");
    assert_eq!(
        std::fs::read_dir(desk.stick("targets")).unwrap().count(),
        1,
        "the other release stays at home"
    );
}

#[test]
fn a_bundle_that_no_device_could_take_is_not_made() {
    // Goal: told at the desk, not in the ward. Method: one thing wrong each; nothing is written.
    let desk = Desk::offline();
    let with = |more: &[&str]| desk.make("orders1", more);
    assert!(refused(with(&["--order", "other"])).contains("no live order other"));
    assert!(refused(with(&["--back", "air"])).contains("no way back"));
    assert!(misused(with(&["--order", "air", "--expires", "15d"])).contains("14 days"));
    assert!(misused(with(&[])).contains("--order"));
    let foreign = desk.make("content1", &["--order", "air"]);
    assert!(refused(foreign).contains("none of the role orders"));
    std::fs::remove_file(desk.folder.path().join("director/timestamp.json")).unwrap();
    assert!(refused(with(&["--order", "air"])).contains("timestamp"));
    assert!(!desk.stick("bundle.json").exists());
    desk.snapshot();
    let image = Sha256::of(b"firmware 4.2.2");
    std::fs::write(desk.folder.path().join(format!("image/targets/{image}")), b"firmware 4.2.3").unwrap();
    assert!(refused(with(&["--order", "air"])).contains("not the one that was signed"));
    assert!(!desk.stick("bundle.json").exists(), "the index comes last");
    assert!(refused(with(&["--order", "air"])).contains("is not empty"));
    let permit = Desk::stocked();
    permit.waves();
    let list = permit.path("wave1.tsv");
    done(permit.new_order("asks", &["--scope-list", &list]));
    done(permit.order("orders2", &["--add", "--scope-list", &list]));
    permit.snapshot();
    assert!(refused(permit.make("orders1", &["--order", "asks"])).contains("--offline"));
}

#[test]
fn the_second_person_signs_only_what_the_own_folders_hold_and_every_byte_of_it() {
    // Goal: the first person's folder is not believed. Method: an index over other files; files bent, added, taken away.
    let desk = Desk::offline();
    done(desk.make("orders1", &["--order", "air"]));
    let bend = |file: &str, bytes: Option<&[u8]>| {
        let place = desk.stick(file);
        let before = std::fs::read(&place).ok();
        match bytes {
            Some(bytes) => std::fs::write(&place, bytes).unwrap(),
            None => std::fs::remove_file(&place).unwrap(),
        }
        let told = refused(desk.make("orders2", &["--add"]));
        match before {
            Some(before) => std::fs::write(&place, before).unwrap(),
            None => std::fs::remove_file(&place).unwrap(),
        }
        told
    };
    assert!(bend("install/air", None).contains("install/air is missing"));
    assert!(bend("install/air", Some(&[7; 32])).contains("not the one that was signed"));
    assert!(bend("install/air", Some(b"")).contains("has not the 32 bytes"));
    assert!(bend("director/2.root.json", Some(b"{}")).contains("not in its signed index"));
    let index = std::fs::read_to_string(desk.stick("bundle.json")).unwrap();
    let other = index.replace(&hash_of(&hardware("1").0), &hash_of(&[7; 32]));
    assert_ne!(other, index);
    assert!(bend("bundle.json", Some(other.as_bytes())).contains("your own folders"));
    done(desk.make("orders2", &["--add"]));
    done(desk.verify_bundle());
}

#[test]
fn the_second_person_signs_although_the_server_signed_anew_in_between() {
    // Goal: two people on two machines and two days make one bundle. Method: a newer snapshot in the second one's folder,
    // none at all, and one in the bundle that another key signed.
    let desk = Desk::offline();
    done(desk.make("orders1", &["--order", "air"]));
    let first = std::fs::read(desk.stick("bundle.json")).unwrap();
    let director = desk.folder.path().join("director");
    desk.published(2, 86_400, ["snapshot", "timestamp"]).lay(&director);
    done(desk.make("orders2", &["--add"]));
    done(desk.verify_bundle());
    std::fs::write(desk.stick("bundle.json"), &first).unwrap();
    for file in ["1.snapshot.json", "2.snapshot.json", "timestamp.json"] {
        std::fs::remove_file(director.join(file)).unwrap();
    }
    done(desk.make("orders2", &["--add"]));
    done(desk.verify_bundle());
    let forged = desk.published(1, 86_400, ["content1", "content2"]);
    desk.sign_again(|index| {
        desk.bend(index, "director/timestamp.json", Some(&forged.timestamp));
        desk.bend(index, "director/1.snapshot.json", Some(&forged.snapshot));
    });
    assert!(refused(desk.make("orders2", &["--add"])).contains("timestamp"), "by no key of the root");
    let told = misused(desk.make("orders2", &["--add", "--expires", "3d"]));
    assert!(told.contains("cannot be used with"), "the bundle has its end already: {told}");
}

#[test]
fn what_every_device_would_refuse_is_named_before_the_stick_leaves_the_desk() {
    // Goal: verify says what a device would say, not only that the index is signed. Method: whole bundles, signed by both
    // people, each with one thing in it that the devices' own walk or decision refuses.
    let stranger = hardware("99").0;
    let cases: [(&str, Option<&[u8]>, &str); 6] = [
        ("install/air", Some(&stranger), "not in the scope"),
        ("director/1.root.json", None, "director/1.root.json is not in the bundle"),
        ("director/timestamp.json", None, "timestamp"),
        ("director/1.orders.json", None, "orders"),
        ("image/halden/3.vp-3.json", None, "vp-3"),
        ("image/halden/1.root.json", None, "image/halden/1.root.json is missing"),
    ];
    for (path, bytes, wanted) in cases {
        let desk = Desk::offline();
        done(desk.make("orders1", &["--order", "air"]));
        done(desk.make("orders2", &["--add"]));
        let told = done(desk.verify_bundle());
        assert!(told.contains("halden, first root SHA-256"), "{told}");
        desk.sign_again(|index| desk.bend(index, path, bytes));
        let told = refused(desk.verify_bundle());
        assert!(told.contains(wanted), "{path}: {told}");
    }
    let desk = Desk::offline();
    done(desk.make("orders1", &["--order", "air"]));
    let image = format!("targets/{}", Sha256::of(b"firmware 4.2.2"));
    desk.sign_again(|index| desk.bend(index, &image, None));
    assert!(refused(desk.verify_bundle()).contains("is missing"));
    let desk = Desk::offline();
    done(desk.make("orders1", &["--order", "air"]));
    std::fs::rename(desk.stick("install/air"), desk.stick("install/gas")).unwrap();
    desk.sign_again(|index| {
        let list = index.files.remove(&"install/air".parse().unwrap()).unwrap();
        index.files.insert("install/gas".parse().unwrap(), list);
    });
    assert!(refused(desk.verify_bundle()).contains("every device would refuse this bundle"));
}

#[test]
fn the_makers_root_is_the_own_copy_where_it_is_given() {
    // Goal: a bundle with another maker's chain is not good because it is whole. Method: another maker's folder beside it.
    let (desk, other) = (Desk::offline(), Desk::new());
    done(other.init_image());
    done(desk.make("orders1", &["--order", "air"]));
    done(desk.make("orders2", &["--add"]));
    let verify = |image: &str| {
        let [director, stick] = [desk.path("director"), desk.path("stick")];
        cordonctl(&["bundle", "verify", "--bundle", &stick, "--director", &director, "--image", image])
    };
    assert!(done(verify(&desk.path("image"))).contains("your own copy"));
    refused(verify(&other.path("image")));
}

#[test]
fn what_ends_before_the_bundle_is_said_to_all_who_sign_and_check() {
    // Goal: nobody walks to a ward with a stick that is half dead. Method: an order of five days and a maker's document of
    // three in a bundle of fourteen, and the same in one of two days.
    let desk = Desk::stocked();
    done(desk.sign_release("vp-3/4.2.3", "new.img", &["--counter", "43", "--expires", "3d"]));
    desk.waves();
    let list = desk.path("wave1.tsv");
    let order = ["--id", "air", "--release", "vp-3/4.2.2", "--repository", "halden", "--expires", "5d"];
    let more = ["--window", "daily 22:00-05:00", "--reason", "r", "--scope-list", &list, "--offline"];
    done(desk.order("orders1", &[&order[..], &more].concat()));
    done(desk.order("orders2", &["--add", "--scope-list", &list]));
    desk.snapshot();
    let warned = |told: &str| {
        let lines: Vec<_> = told.lines().filter(|line| line.contains("warning")).collect();
        assert_eq!(lines.len(), 2, "{told}");
        assert!(lines[0].contains("halden's vp-3 metadata ends"), "the earliest first: {told}");
        assert!(lines[1].contains("order air ends"), "{told}");
    };
    let (status, _, shown) = desk.make("orders1", &["--order", "air"]);
    assert_eq!(status, 0, "{shown}");
    warned(&shown);
    let (status, _, shown) = desk.make("orders2", &["--add"]);
    assert_eq!(status, 0, "{shown}");
    warned(&shown);
    warned(&done(desk.verify_bundle()));
    std::fs::remove_dir_all(desk.stick("")).unwrap();
    let (status, _, shown) = desk.make("orders1", &["--order", "air", "--expires", "2d"]);
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains("warning"), "{shown}");
}

fn hash_of(bytes: &[u8]) -> String {
    Sha256::of(bytes).to_string()
}

#[test]
fn an_image_that_no_fat_stick_holds_is_said() {
    // Goal: nobody copies for an hour in vain. Method: the largest file that fits and one byte more.
    let with = |length| Bundle {
        director: Sha256([0; 32]),
        counter: 1,
        issued: Timestamp(0),
        expires: Timestamp(1),
        files: [("targets/x".parse().unwrap(), Listed { length, sha256: Sha256([0; 32]) })].into(),
    };
    assert_eq!(fat_note(&with(u32::MAX.into())), None);
    assert!(fat_note(&with(u64::from(u32::MAX) + 1)).is_some_and(|note| note.contains("exFAT")));
}
