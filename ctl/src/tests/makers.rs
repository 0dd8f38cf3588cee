//! A maker's side: releases are signed, verified, and refused where they would confuse devices.

use cordon_proto::update::chunks::{Half, Index};

use super::*;

#[test]
fn a_release_is_signed_and_verified_down_to_the_image() {
    // Goal: what the maker signs is what devices read. Method: the devices' own search, a right and a wrong image.
    let desk = Desk::stocked();
    let folder = desk.folder.path().join("image");
    let now = crate::clock::now();
    let root = std::fs::read(folder.join("1.root.json")).unwrap();
    let mut files = Files(folder.clone());
    let trusted = Refresh::run(&root, &rules(now), &mut files).unwrap();
    let found = Search::run(&trusted, "vp-3/4.2.2", &rules(now), &mut files).unwrap().expect("listed");
    assert_eq!(found.role, Role::Delegated("vp-3".to_owned()));
    assert_eq!(found.file.check(b"firmware 4.2.2"), Ok(()));
    let kept = folder.join("targets").join(Sha256::of(b"firmware 4.2.2").to_string());
    assert_eq!(std::fs::read(kept).unwrap(), b"firmware 4.2.2");
    let [image, good, bad] = [desk.path("image"), desk.path("new.img"), desk.path("old.img")];
    let verify = |file: &str| {
        cordonctl(&["release", "verify", "--repository", &image, "--release", "vp-3/4.2.2", "--image", file])
    };
    assert!(done(verify(&good)).contains("is this image"));
    assert!(refused(verify(&bad)).contains("it is not this release"));
    let one_byte = desk.file("flipped.img", b"firmware 4.2.3").to_str().unwrap().to_owned();
    assert!(refused(verify(&one_byte)).contains("it is not this release"));
}

#[test]
fn a_release_with_a_delta_names_index_and_store_and_the_image_comes_out_of_them() {
    // Goal: what is made is what a device needs. Method: sign, read the custom, put the image together from the store alone;
    // a file that an earlier run left behind is in the way, and another name of a published one.
    let desk = Desk::stocked();
    let folder = desk.folder.path().join("image");
    let published = folder.join("targets").join(Sha256::of(b"firmware 4.2.2").to_string());
    std::fs::hard_link(&published, folder.join("delta.store.partial")).unwrap();
    let part: Vec<u8> =
        (0..100_000_u32).flat_map(|number| (number / 3).wrapping_mul(77_711).to_be_bytes()).collect();
    let image = [&part[..], b"something", &part].concat();
    desk.file("third.img", &image);
    let said = done(desk.sign_release("vp-3/4.2.3", "third.img", &["--counter", "43", "--delta"]));
    let now = crate::clock::now();
    let root = std::fs::read(folder.join("1.root.json")).unwrap();
    let mut files = Files(folder.clone());
    let trusted = Refresh::run(&root, &rules(now), &mut files).unwrap();
    let found = Search::run(&trusted, "vp-3/4.2.3", &rules(now), &mut files).unwrap().expect("listed");
    let release = crate::chain::release_of(&"vp-3/4.2.3".parse().unwrap(), &found.file).unwrap();
    let [listed, stored] = release.deltas[..] else { panic!("two files: {said}") };
    let kept = |sha256: Sha256| std::fs::read(folder.join("targets").join(sha256.to_string())).unwrap();
    let index = Index::read(kept(listed.sha256)).unwrap();
    assert_eq!((index.image.sha256, index.store), (Sha256::of(&image), stored));
    let store = kept(stored.sha256);
    assert!(store.len() < image.len() / 2 && Sha256::of(&store) == stored.sha256, "{} bytes", store.len());
    let mut whole: Vec<u8> = Vec::new();
    let size = |number: u64| usize::try_from(number).unwrap();
    for piece in index.pieces() {
        let (at, length) = (size(piece.stored_at), size(piece.entry.stored.into()));
        let form = &store[at..at + length];
        let context = &whole[whole.len().saturating_sub(size(index.parameters.context.into()))..];
        let bytes = if !piece.entry.is_stored() {
            let first = index.pieces().nth(index.find(&piece.entry.id).unwrap()).unwrap().at;
            whole[size(first)..size(first) + size(piece.entry.length.into())].to_vec()
        } else if piece.entry.is_plain() {
            form.to_vec()
        } else {
            let mut bytes = Vec::with_capacity(size(piece.entry.length.into()));
            let mut unpacker = zstd::zstd_safe::DCtx::create();
            unpacker.ref_prefix(context).unwrap();
            unpacker.decompress(&mut bytes, form).unwrap();
            assert_eq!(Half::of(form), piece.entry.seal);
            bytes
        };
        assert_eq!(Half::of(&bytes), piece.entry.id);
        whole.extend_from_slice(&bytes);
    }
    assert!(whole == image);
    assert_eq!(std::fs::read(published).unwrap(), b"firmware 4.2.2", "what was published stays what it was");
    assert!(!folder.join("delta.store.partial").exists() && !folder.join("delta.index.partial").exists());
}

#[test]
fn releases_that_would_confuse_devices_are_not_signed() {
    // Goal: one name, one counter, one meaning. Method: taken names and counters, contradictions, foreign models.
    let desk = Desk::stocked();
    desk.file("third.img", b"firmware 4.2.3");
    let sign = |name: &str, more: &[&str]| desk.sign_release(name, "third.img", more);
    assert!(refused(sign("vp-3/4.2.2", &["--counter", "43"])).contains("used once"));
    assert!(refused(sign("vp-3/4.2.3", &["--counter", "42"])).contains("taken by vp-3/4.2.2"));
    assert!(refused(sign("vp-3/4.2.3", &["--counter", "43", "--floor", "44"])).contains("floor"));
    assert!(refused(sign("vp-3/4.2.3", &["--counter", "43", "--confirm", "never"])).contains("never"));
    assert!(refused(sign("kiosk/1.0", &["--counter", "1"])).contains("no role may list"));
    assert!(misused(sign("VP-3/4.2.3", &["--counter", "43"])).contains("no release's name"));
}

#[test]
fn a_release_is_added_with_its_notes_and_every_release_can_be_verified_at_once() {
    // Goal: what people read is signed too, and goes along. Method: `release add` with notes and papers, read back from the
    // signed document; all releases verified; an image that is gone, one that was swapped.
    let desk = Desk::stocked();
    desk.file("third.img", b"firmware 4.2.3");
    let notes = desk.file("notes.txt", b"Mends the alarm tone.\n").to_str().unwrap().to_owned();
    let sbom = desk.file("sbom.json", br#"{"bomFormat":"CycloneDX","specVersion":"1.6"}"#);
    let sbom = sbom.to_str().unwrap();
    let keys =
        ["image", "third.img", "model1", "model2", "isnapshot", "itimestamp"].map(|name| desk.path(name));
    let [image, third, one, two, snapshot, timestamp] = &keys;
    let mut add = vec!["release", "add", "--repository", image, "--release", "vp-3/4.2.3", "--image", third];
    add.extend(["--model", "VP-3", "--hardware", "C", "--interlock", "idle", "--counter", "43"]);
    add.extend(["--key", one, "--key", two, "--snapshot-key", snapshot, "--timestamp-key", timestamp]);
    let (status, _, shown) = cordonctl(&[&add[..], &["--notes", &notes, "--sbom", sbom]].concat());
    assert_eq!(status, 0, "{shown}");
    let digest = Sha256::of(b"Mends the alarm tone.\n").to_string();
    assert!(shown.contains("notes      22 bytes") && shown.contains(&digest), "{shown}");
    let folder = desk.folder.path().join("image");
    let signed = json(&folder.join("4.vp-3.json"));
    let custom = &signed["signed"]["targets"]["vp-3/4.2.3"]["custom"];
    assert_eq!(custom["notes"]["sha256"], digest);
    assert!(folder.join("targets").join(&digest).exists());
    let (server, stored) = online::server::start("");
    done(desk.online(&server, &["repo", "publish", "--image", image, "--name", "halden"]));
    assert!(stored.lock().unwrap().contains_key(&format!("/api/v1/targets/{digest}")), "notes go along");

    let verify = || cordonctl(&["release", "verify", "--repository", image, "--all"]);
    assert_eq!(done(verify()).matches("its image is here").count(), 3);
    let kept = folder.join("targets").join(Sha256::of(b"firmware 4.2.3").to_string());
    std::fs::remove_file(&kept).unwrap();
    assert!(done(verify()).contains("NO IMAGE HERE"));
    std::fs::write(&kept, b"firmware 6.6.6").unwrap();
    assert!(refused(verify()).contains("is not the image of vp-3/4.2.3"));
}

#[test]
fn papers_and_models_that_are_not_what_they_are_named_for_are_not_signed() {
    // Goal: a swapped file or a foreign model is seen at the desk. Method: each paper with the notes' bytes; another model
    // in the role of this one; nothing is written.
    let desk = Desk::stocked();
    desk.file("third.img", b"firmware 4.2.3");
    let wrong = desk.file("wrong", b"not\x1b a paper").to_str().unwrap().to_owned();
    for paper in ["--sbom", "--vex", "--mud", "--notes"] {
        let told = refused(desk.sign_release("vp-3/4.2.3", "third.img", &["--counter", "43", paper, &wrong]));
        assert!(told.contains("nothing was signed"), "{told}");
    }
    let foreign = desk.sign_release("vp-3/4.2.3", "third.img", &["--counter", "43", "--model", "VP-4"]);
    assert_ne!(foreign.0, 0, "one model alone: {}", foreign.2);
    let paths = ["image", "third.img", "model1", "model2"].map(|name| desk.path(name));
    let [image, third, one, two] = &paths;
    let mut sign =
        vec!["release", "sign", "--repository", image, "--release", "vp-3/4.2.3", "--image", third];
    sign.extend(["--model", "VP-4", "--hardware", "C", "--interlock", "idle", "--counter", "43"]);
    sign.extend(["--key", one, "--key", two]);
    assert!(refused(cordonctl(&sign)).contains("the role vp-3 does not speak for the model VP-4"));
    assert!(!desk.folder.path().join("image/4.vp-3.json").exists());
}

#[test]
fn one_persons_release_waits_for_the_second_signature() {
    // Goal: the model's threshold holds. Method: one key, then `repo sign`, then `repo snapshot`.
    let desk = Desk::stocked();
    desk.file("third.img", b"firmware 4.2.3");
    let [image, third, key, second] = ["image", "third.img", "model1", "model2"].map(|name| desk.path(name));
    let mut arguments =
        vec!["release", "sign", "--repository", &image, "--release", "vp-3/4.2.3", "--image", &third];
    arguments.extend([
        "--model",
        "VP-3",
        "--hardware",
        "C",
        "--interlock",
        "idle",
        "--counter",
        "43",
        "--key",
        &key,
    ]);
    assert!(done(cordonctl(&arguments)).contains("1 of 2 signatures, 1 more needed"));
    let [snapshot, timestamp] = [desk.path("isnapshot"), desk.path("itimestamp")];
    let publish = [
        "repo",
        "snapshot",
        "--repository",
        &image,
        "--snapshot-key",
        &snapshot,
        "--timestamp-key",
        &timestamp,
    ];
    assert!(refused(cordonctl(&publish)).contains("too few signatures"));
    let sign = |key: &str| {
        cordonctl(&["repo", "sign", "--repository", &image, "--file", "4.vp-3.json", "--key", key])
    };
    assert!(refused(sign(&key)).contains("already signed"));
    assert!(refused(sign(&desk.path("itargets1"))).contains("none of the role vp-3"));
    assert!(done(sign(&second)).contains("2 of 2 signatures, complete"));
    done(cordonctl(&publish));
    assert!(
        done(cordonctl(&["release", "verify", "--repository", &image, "--release", "vp-3/4.2.3"]))
            .contains("counter    43")
    );
}
