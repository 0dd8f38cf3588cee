//! A maker's side: releases are signed, verified, and refused where they would confuse devices.

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
