//! Bundles at the desk: two people make one, and every reason not to.

use cordon_proto::update::author::{self, Signer};
use cordon_proto::update::bundle::{Bundle, Listed};
use cordon_proto::update::metadata::{MetaFile, Snapshot, Timestamp as Newest};

use super::*;
use crate::bundle::make::fat_note;
use crate::key::SecretKey;

impl Desk {
    /// A desk with an order for one pump that needs no permit, and a snapshot of the server that ended yesterday.
    fn offline() -> Self {
        let desk = Self::stocked();
        desk.waves();
        let list = desk.path("wave1.tsv");
        done(desk.new_order("air", &["--scope-list", &list, "--offline"]));
        done(desk.order("orders2", &["--add", "--scope-list", &list]));
        desk.snapshot();
        desk
    }

    /// What a server signs over the owner's newest documents.
    fn snapshot(&self) {
        let director = self.folder.path().join("director");
        let read = |file: &str| std::fs::read(director.join(file)).unwrap();
        let expires = crate::clock::now().plus_seconds(-86_400);
        let sign = |value, name: &str| {
            let key = SecretKey::read(Path::new(&self.path(name)), false).unwrap();
            let sign = |message: &[u8]| key.sign(message);
            author::sign(&value, &[Signer { key: key.public().id(), sign: &sign }])
        };
        let meta = [("targets.json", "1.targets.json"), ("orders.json", "1.orders.json")];
        let meta = meta.map(|(name, file)| (name.to_owned(), MetaFile::of(1, &read(file)))).into();
        let snapshot = sign(author::snapshot(&Snapshot { version: 1, expires, meta }), "snapshot");
        let newest = Newest { version: 1, expires, snapshot: MetaFile::of(1, &snapshot) };
        std::fs::write(director.join("1.snapshot.json"), &snapshot).unwrap();
        std::fs::write(director.join("timestamp.json"), sign(author::timestamp(&newest), "timestamp"))
            .unwrap();
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
