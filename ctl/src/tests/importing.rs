//! A maker's bundle on its way to an owner: packed, verified on the workstation, published; and what is refused.

use std::fs;

use super::online::server;
use super::*;

impl Desk {
    fn pack(&self, out: &str, more: &[&str]) -> Outcome {
        let [image, out] = [self.path("image"), self.path(out)];
        cordonctl(&[&["release", "pack", "--repository", &image, "--out", &out], more].concat())
    }

    fn import(&self, server: &str, bundle: &str, into: &str) -> Outcome {
        let root = self.path("image/1.root.json");
        self.import_from(server, bundle, &[into, "--root", &root])
    }

    /// The same with what is said of the root.
    fn import_from(&self, server: &str, bundle: &str, into: &[&str]) -> Outcome {
        let [bundle, own] = [self.path(bundle), self.path(into[0])];
        let flags = ["release", "import", "--bundle", &bundle, "--into", &own, "--name", "halden"];
        self.online(server, &[&flags[..], &into[1..]].concat())
    }
}

#[test]
fn a_packed_publication_arrives_whole_at_the_server_and_in_the_own_copy() {
    // Goal: one file carries all that an owner needs. Method: pack, import over a server that keeps files; compare every
    // file; import again; a later bundle of one release only, and by the folder.
    let desk = Desk::stocked();
    let (address, stored) = server::start("");
    assert!(done(desk.pack("one.bundle", &[])).contains("vp-3/4.2.1, vp-3/4.2.2"));
    assert!(refused(desk.pack("one.bundle", &[])).contains("there already"));
    let said = done(desk.import(&address, "one.bundle", "copy"));
    assert!(said.contains("halden lists 2 releases"), "{said}");
    for file in ["1.root.json", "3.vp-3.json", "timestamp.json"] {
        let bytes = fs::read(desk.path(&format!("image/{file}"))).unwrap();
        assert_eq!(fs::read(desk.path(&format!("copy/{file}"))).unwrap(), bytes, "{file}");
        let kept = stored.lock().unwrap()[&format!("/api/v1/repositories/image/halden/{file}")].clone();
        assert_eq!(kept, bytes, "{file}");
    }
    assert!(!fs::exists(desk.path("copy.incoming")).unwrap());
    assert!(done(desk.import(&address, "one.bundle", "copy")).contains("has it all"));
    desk.file("third.img", b"firmware 4.2.3");
    done(desk.sign_release("vp-3/4.2.3", "third.img", &["--counter", "43"]));
    done(desk.pack("two.bundle", &["--release", "vp-3/4.2.3"]));
    assert!(refused(desk.pack("no.bundle", &["--release", "vp-3/9"])).contains("lists no release vp-3/9"));
    assert!(done(desk.import(&address, "two.bundle", "copy")).contains("lists 3 releases"));
    let old = refused(desk.import(&address, "one.bundle", "copy"));
    assert!(old.contains("rollback"), "{old}");
    let image = desk.path("copy");
    assert!(
        done(desk.online(&address, &["release", "import", &image, "--name", "halden"]))
            .contains("has it all")
    );
    misused(desk.online(&address, &["release", "import", "--name", "halden"]));
}

#[test]
fn what_a_bundle_lacks_or_adds_is_refused_before_a_server_sees_it() {
    // Goal: outside bytes prove themselves here first. Method: a missing file at packing; a flipped byte of an image and of
    // a signature; a cut; something that is no bundle; another maker's for the same copy. The server hears nothing.
    let desk = Desk::stocked();
    let (address, stored) = server::start("");
    done(desk.pack("good.bundle", &[]));
    let good = fs::read(desk.path("good.bundle")).unwrap();
    let damaged = |piece: &[u8]| {
        let at = good.windows(piece.len()).position(|window| window == piece).expect("in the bundle");
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        desk.file("bad.bundle", &bytes);
        refused(desk.import(&address, "bad.bundle", "copy"))
    };
    let image = damaged(b"firmware 4.2.2");
    assert!(image.contains("is not the file that vp-3/4.2.2 names"), "{image}");
    damaged(b"\"counter\":42");
    desk.file("bad.bundle", &good[..good.len() - 512]);
    assert!(refused(desk.import(&address, "bad.bundle", "copy")).contains("signed length"));
    desk.file("bad.bundle", b"PK");
    refused(desk.import(&address, "bad.bundle", "copy"));
    assert!(!fs::exists(desk.path("copy")).unwrap() && !fs::exists(desk.path("copy.incoming")).unwrap());
    let other = Desk::stocked();
    done(other.pack("other.bundle", &[]));
    done(desk.import(&address, "good.bundle", "copy"));
    fs::copy(other.path("other.bundle"), desk.path("other.bundle")).unwrap();
    let before = stored.lock().unwrap().len();
    assert!(refused(desk.import_from(&address, "other.bundle", &["copy"])).contains("another root"));
    let gone = desk.path(&format!("image/targets/{}", Sha256::of(b"firmware 4.2.2")));
    fs::remove_file(gone).unwrap();
    assert!(refused(desk.pack("lacks.bundle", &[])).contains("vp-3/4.2.2 names a file that is not here"));
    assert_eq!(stored.lock().unwrap().len(), before, "the server heard nothing of it");
}

/// A screen on which nothing can be read: the person is asked and has not agreed.
struct Dark;

impl std::io::Write for Dark {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::Error::other("dark"))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Every file below a folder, with its bytes.
fn held(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(held(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

#[test]
fn the_own_copy_stays_as_it_is_until_the_person_has_agreed() {
    // Goal: orders are signed over that copy; "no" means no. Method: a newer bundle, not agreed to: every file of the copy
    // is as it was and the server heard nothing; the same for a copy that is not there yet; then agreed to.
    let desk = Desk::stocked();
    let (address, stored) = server::start("");
    let root = desk.path("image/1.root.json");
    done(desk.pack("one.bundle", &[]));
    let not_agreed = |bundle: &str, into: &str| {
        let [bundle, into] = [desk.path(bundle), desk.path(into)];
        let line = ["cordonctl", "--yes", "--server", &address, "release", "import", "--name", "halden"];
        let line = [&line[..], &["--bundle", &bundle, "--into", &into, "--root", &root]].concat();
        let token = desk.file("admin-token", b"cordon_api_x").to_str().unwrap().to_owned();
        let line = [&line[..], &["--token-file", &token]].concat();
        let cli = <crate::cli::Cli as clap::Parser>::try_parse_from(line).unwrap();
        let mut dark = Dark;
        let mut session =
            crate::session::Session { now: crate::clock::now(), options: &cli.options, shown: &mut dark };
        let told = cli.command.run(&mut session).map(|report| report.text).unwrap_err().to_string();
        assert!(told.contains("could not be written to the screen"), "{told}");
    };
    not_agreed("one.bundle", "copy");
    assert!(!fs::exists(desk.path("copy")).unwrap() && stored.lock().unwrap().is_empty());
    done(desk.import(&address, "one.bundle", "copy"));
    let copy = desk.folder.path().join("copy");
    let before = (held(&copy), stored.lock().unwrap().len());
    desk.file("third.img", b"firmware 4.2.3");
    done(desk.sign_release("vp-3/4.2.3", "third.img", &["--counter", "43"]));
    done(desk.pack("two.bundle", &[]));
    not_agreed("two.bundle", "copy");
    assert!(before == (held(&copy), stored.lock().unwrap().len()), "nothing changed anywhere");
    assert!(!fs::exists(desk.path("copy.incoming")).unwrap());
    assert!(done(desk.import(&address, "two.bundle", "copy")).contains("lists 3 releases"));
}

#[test]
fn the_first_copy_begins_with_the_root_that_the_person_was_given() {
    // Goal: nobody's bundle is believed because it came first. Method: no root said, another maker's said as a file and as
    // a digest; the right digest; the next import needs none, and is still held to one that is said.
    let (desk, other) = (Desk::stocked(), Desk::stocked());
    let (address, stored) = server::start("");
    done(desk.pack("one.bundle", &[]));
    let import = |more: &[&str]| desk.import_from(&address, "one.bundle", &[&["copy"], more].concat());
    let told = misused(import(&[]));
    assert!(told.contains("give --root"), "{told}");
    let [right, wrong] = [&desk, &other].map(|desk| desk.path("image/1.root.json"));
    let [digest, foreign] = [&right, &wrong].map(|root| Sha256::of(&fs::read(root).unwrap()).to_string());
    for given in [&wrong, &foreign] {
        let told = refused(import(&["--root", given]));
        assert!(told.contains(&digest) && told.contains(&foreign), "both are named: {told}");
    }
    assert!(!fs::exists(desk.path("copy")).unwrap() && stored.lock().unwrap().is_empty());
    done(import(&["--root", &digest]));
    done(import(&[]));
    refused(import(&["--root", &foreign]));
}

/// A bundle without one of its files, as if it had never been packed.
fn without(bundle: &[u8], file: &[u8]) -> Vec<u8> {
    let name = format!("./targets/{}", Sha256::of(file));
    let at = bundle.windows(name.len()).position(|window| window == name.as_bytes()).expect("in the bundle");
    let blocks = 512 * (1 + file.len().div_ceil(512));
    assert_eq!(at % 512, 0, "a header begins with the name");
    [&bundle[..at], &bundle[at + blocks..]].concat()
}

#[test]
fn a_bundle_that_lacks_a_target_is_refused_at_import_by_the_name_of_what_is_missing() {
    // Goal: no release without its image, however the bundle was made. Method: a whole bundle; the image of a release that
    // has a bill of materials cut out, the bill cut out, every file cut out. The server hears nothing of any.
    let desk = Desk::stocked();
    let (address, stored) = server::start("");
    let bill = br#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}"#;
    let sbom = desk.file("sbom.json", bill).to_str().unwrap().to_owned();
    desk.file("third.img", b"firmware 4.2.3");
    done(desk.sign_release("vp-3/4.2.3", "third.img", &["--counter", "43", "--sbom", &sbom]));
    done(desk.pack("third.bundle", &["--release", "vp-3/4.2.3"]));
    let whole = fs::read(desk.path("third.bundle")).unwrap();
    for missing in [&b"firmware 4.2.3"[..], bill] {
        desk.file("lacks.bundle", &without(&whole, missing));
        let told = refused(desk.import(&address, "lacks.bundle", "copy"));
        assert!(told.contains("vp-3/4.2.3 names a file that is not here"), "{told}");
    }
    desk.file("lacks.bundle", &without(&without(&whole, b"firmware 4.2.3"), bill));
    let told = refused(desk.import(&address, "lacks.bundle", "copy"));
    assert!(told.contains("no file of any release"), "{told}");
    assert!(stored.lock().unwrap().is_empty() && !fs::exists(desk.path("copy")).unwrap());
    desk.file("lacks.bundle", &whole);
    done(desk.import(&address, "lacks.bundle", "copy"));
}

#[test]
fn a_bundle_comes_from_an_address_too() {
    // Goal: no second tool for the download. Method: our small server hands the bundle out; another path is not there.
    let desk = Desk::stocked();
    let (address, stored) = server::start("");
    done(desk.pack("one.bundle", &[]));
    let bytes = fs::read(desk.path("one.bundle")).unwrap();
    stored.lock().unwrap().insert("/one.bundle".to_owned(), bytes);
    let [into, root] = [desk.path("copy"), desk.path("image/1.root.json")];
    let import = |url: &str| {
        let flags = ["release", "import", "--url", url, "--into", &into, "--name", "halden", "--root", &root];
        desk.online(&address, &flags)
    };
    assert!(refused(import(&format!("{address}/two.bundle"))).contains("status 404"));
    misused(import("http://maker.example/one.bundle"));
    misused(import("https://maker.example/one.bundle"));
    assert!(done(import(&format!("{address}/one.bundle"))).contains("lists 2 releases"));
    assert!(!fs::exists(desk.path("copy.bundle")).unwrap());
}

#[test]
fn makers_are_pinned_by_the_root_that_the_person_has() {
    // Goal: the digest is computed here. Method: the file, the digest, and what was sent.
    let desk = Desk::stocked();
    let (address, stored) = server::start("");
    let root = desk.path("image/1.root.json");
    let digest = Sha256::of(&fs::read(&root).unwrap()).to_string();
    for given in [&root, &digest] {
        done(desk.online(&address, &["makers", "pin", "halden", "--model", "VP-3", "--root", given]));
        let sent: Value = serde_json::from_slice(&stored.lock().unwrap()["/api/v1/makers/halden"]).unwrap();
        assert_eq!(sent, serde_json::json!({"models": ["VP-3"], "root_sha256": digest}));
    }
    let makers =
        serde_json::json!({"makers": [{"repository": "halden", "models": ["VP-3"], "root_sha256": digest}]});
    stored.lock().unwrap().insert("/api/v1/makers".to_owned(), makers.to_string().into_bytes());
    assert!(done(desk.online(&address, &["makers", "list"])).contains("halden"));
}

#[test]
fn the_commands_of_the_empty_pages_are_commands() {
    // Goal: what the console tells people to type exists. Method: every command of the page is parsed as typed.
    let page =
        [include_str!("../../../server/ui/rollouts.html"), include_str!("../../../server/ui/releases.html")]
            .concat();
    let mut found = 0;
    for text in
        page.split("<code>").skip(1).filter_map(|rest| rest.split_once("</code>")).map(|(text, _)| text)
    {
        let words = words(&text.replace("&quot;", "\""));
        assert_eq!(words[0], "cordonctl");
        let parsed = <crate::cli::Cli as clap::Parser>::try_parse_from(&words);
        assert!(parsed.is_ok(), "{text}: {}", parsed.err().unwrap());
        found += 1;
    }
    assert_eq!(found, 8);
}

/// A command line in its words, as a shell divides it.
fn words(text: &str) -> Vec<String> {
    let parts = text.split('"').enumerate();
    let divided = parts.flat_map(|(at, part)| -> Vec<String> {
        if at % 2 == 1 { vec![part.to_owned()] } else { part.split_whitespace().map(str::to_owned).collect() }
    });
    divided.collect()
}
