//! The security team's side: contents are proposed, signed by two, verified and sent, and refused where devices would
//! refuse them.

use cordon_proto::update::content::Content;

use super::*;

impl Desk {
    /// A draft whose check-ins are an hour apart, with one text replaced.
    pub(super) fn draft(&self, name: &str, from: &str, to: &str) -> String {
        let text = r#"{"v": 1, "id": "icu-quiet", "version": 1, "model": "VP-3",
            "settings": {"checkin_s": 3600},
            "detectors": {"beacon": {"starts": 12, "score": 850}, "allow-list": {"networks": null}},
            "windows": [{"days": ["sat", "sun"], "from": "01:00", "to": "05:00"}]}"#;
        assert!(text.contains(from), "{from}");
        self.file(name, text.replacen(from, to, 1).as_bytes()).to_str().unwrap().to_owned()
    }

    pub(super) fn propose(&self, draft: &str, out: &str) -> Outcome {
        let [out, director] = [self.path(out), self.path("director")];
        cordonctl(&["content", "propose", "--file", draft, "--director", &director, "--out", &out])
    }

    pub(super) fn sign_content(&self, key: &str, more: &[&str]) -> Outcome {
        let [director, key] = [self.path("director"), self.path(key)];
        cordonctl(&[&["content", "sign", "--director", &director, "--key", &key], more].concat())
    }

    /// A content for wave 1, signed by two.
    pub(super) fn with_content(&self) -> String {
        self.waves();
        done(self.propose(&self.draft("draft.json", "3600", "3600"), "icu.json"));
        let [file, list] = [self.path("icu.json"), self.path("wave1.tsv")];
        let flags = ["--file", &file, "--scope-list", &list, "--reason", "fewer calls at night"];
        let first = done(self.sign_content("content1", &flags));
        assert!(first.contains("1 of 2 signatures"), "{first}");
        assert!(
            done(self.sign_content("content2", &[&["--add"], &flags[..4]].concat())).contains("complete")
        );
        file
    }
}

#[test]
fn a_content_is_proposed_signed_by_two_and_verified_with_its_document() {
    // Goal: the whole way on the desk. Method: propose, two signers, verify; the bytes in the folder are a device's.
    let desk = Desk::stocked();
    let file = desk.with_content();
    let director = desk.path("director");
    let told = done(cordonctl(&[
        "content",
        "verify",
        "--director",
        &director,
        "--scope-list",
        &desk.path("wave1.tsv"),
    ]));
    for part in ["icu-quiet version 1", "3600 s", "850 of 1000", "only within", "1 devices", "Halden VP-3 1"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(Content::read(&bytes).unwrap().value().canonical(), bytes, "one canonical form");
    assert!(done(cordonctl(&["repo", "verify", &director])).contains("1 contents can be read"));
    let kept = desk.folder.path().join("director/targets").join(Sha256::of(&bytes).to_string());
    assert_eq!(std::fs::read(&kept).unwrap(), bytes);
    assert!(done(cordonctl(&["content", "show", &file])).contains("beacon     starts: 12"));
    std::fs::write(&kept, [&bytes[..], b" "].concat()).unwrap();
    let verify = || cordonctl(&["content", "verify", "--director", &director]);
    assert!(refused(verify()).contains("names the document"), "another byte is another document");
    std::fs::remove_file(&kept).unwrap();
    refused(verify());
}

#[test]
fn what_devices_would_refuse_is_refused_at_the_desk() {
    // Goal: a field too many, too few or out of bounds never gets a signature. Method: one fault each, by name.
    let desk = Desk::stocked();
    for (from, to, named) in [
        ("\"checkin_s\": 3600", "\"checkin_s\": 3601", "settings.checkin_s"),
        ("\"starts\": 12, ", "", "detectors.beacon.starts"),
        ("\"v\": 1", "\"v\": 1, \"floor\": 0", "floor"),
        ("\"score\": 850", "\"score\": 999", "detectors.beacon.score"),
        ("\"networks\": null", "\"networks\": 17", "allow-list.networks"),
        ("\"from\": \"01:00\"", "\"from\": \"25:00\"", "windows[0].from"),
    ] {
        let told = refused(desk.propose(&desk.draft("bad.json", from, to), "bad.out"));
        assert!(told.contains(named), "{named}: {told}");
        assert!(!desk.folder.path().join("bad.out").exists());
        let [bad, list] = [desk.path("bad.json"), desk.path("wave1.tsv")];
        desk.waves();
        let told =
            refused(desk.sign_content("content1", &["--file", &bad, "--scope-list", &list, "--reason", "r"]));
        assert!(told.contains(named), "{named}: {told}");
    }
    let many = desk.draft("bad.json", "\"starts\": 12", "\"starts\": 21");
    assert!(refused(desk.propose(&many, "bad.out")).contains("a beacon an hour is never reported"));
    let flags = ["--file", &many, "--scope-list", &desk.path("wave1.tsv"), "--reason", "r"];
    assert!(refused(desk.sign_content("content1", &flags)).contains("Set 20 or less"));
    assert!(done(cordonctl(&["content", "show", &many])).contains("21, devices speak from 20 on"));
    let [out, director] = [desk.path("bare.json"), desk.path("director")];
    let bare =
        ["content", "propose", "--id", "bare", "--model", "VP-3", "--director", &director, "--out", &out];
    assert!(done(cordonctl(&bare)).contains("as the device has it"));
    assert!(refused(cordonctl(&bare)).contains("exists already"));
}

#[test]
fn the_second_signer_signs_only_what_the_own_files_say() {
    // Goal: two people, two readings. Method: no document, another one, no list, the generic command, a foreign key.
    let desk = Desk::stocked();
    desk.waves();
    done(desk.propose(&desk.draft("draft.json", "3600", "3600"), "icu.json"));
    done(desk.propose(&desk.draft("draft.json", "3600", "300"), "other.json"));
    let [file, other, list] = [desk.path("icu.json"), desk.path("other.json"), desk.path("wave1.tsv")];
    let flags = ["--file", &file, "--scope-list", &list, "--reason", "r"];
    assert!(refused(desk.sign_content("orders1", &flags)).contains("is none of the role content"));
    let foreign = desk.path("wave2.tsv");
    done(desk.sign_content("content1", &flags));
    let add = |more: &[&str]| desk.sign_content("content2", &[&["--add"], more].concat());
    assert!(refused(add(&[])).contains("is new: give its document"));
    assert!(refused(add(&["--file", &other, "--scope-list", &list])).contains("names the document"));
    assert!(refused(add(&["--file", &file])).contains("no list given"));
    assert!(refused(add(&["--file", &file, "--scope-list", &foreign])).contains("no list given"));
    let [director, key] = [desk.path("director"), desk.path("content2")];
    let generic = ["repo", "sign", "--repository", &director, "--file", "1.content.json", "--key", &key];
    assert!(refused(cordonctl(&generic)).contains("content sign --add"));
    let pending = refused(cordonctl(&["content", "verify", "--director", &director]));
    assert!(pending.contains("1.content.json waits for another signature"), "{pending}");
    assert!(done(add(&flags[..4])).contains("complete"));
}

#[test]
fn versions_only_rise_and_a_withdrawn_content_is_listed_no_more() {
    // Goal: what devices count on. Method: the same version again, the next one, a withdrawal with both signatures.
    let desk = Desk::stocked();
    desk.with_content();
    assert!(
        refused(desk.propose(&desk.draft("again.json", "3600", "300"), "again.out")).contains("not above 1")
    );
    let [again, list] = [desk.path("again.json"), desk.path("wave1.tsv")];
    let sign =
        |file: &str| desk.sign_content("content1", &["--file", file, "--scope-list", &list, "--reason", "r"]);
    assert!(refused(sign(&again)).contains("not above 1"));
    let next = desk.draft("next.json", "\"version\": 1", "\"version\": 2");
    assert!(done(desk.propose(&next, "next.out")).contains("in place of"));
    let next = desk.path("next.out");
    done(sign(&next));
    done(desk.sign_content("content2", &["--add", "--file", &next, "--scope-list", &list]));
    let listed = json(&desk.folder.path().join("director/2.content.json"));
    assert_eq!(listed["signed"]["targets"]["content/icu-quiet"]["custom"]["version"], 2);
    assert!(refused(desk.sign_content("content1", &["--withdraw", "nobody"])).contains("no live content"));
    done(desk.sign_content("content1", &["--withdraw", "icu-quiet"]));
    done(desk.sign_content("content2", &["--add"]));
    let listed = json(&desk.folder.path().join("director/3.content.json"));
    assert_eq!(listed["signed"]["targets"], serde_json::json!({}));
    // Devices that hold version 2 would take no lower one, and say that they are further.
    assert!(refused(sign(&next)).contains("not above 2"));
    assert!(refused(desk.propose(&next, "late.out")).contains("not above 2"));
}

#[test]
fn publishing_sends_the_documents_before_the_list_that_names_them() {
    // Goal: a server never lists what it has not got. Method: a server that keeps files; a half-signed list.
    let desk = Desk::stocked();
    desk.two_signers();
    let file = desk.with_content();
    let (server, stored) = online::server::start("");
    let director = desk.path("director");
    let publish = || desk.online(&server, &["repo", "publish", "--director", &director]);
    assert_eq!(done(publish()), "sent 1.root.json, 1.targets.json, 1.content.json, 1.orders.json\n");
    let bytes = std::fs::read(&file).unwrap();
    let sha256 = Sha256::of(&bytes);
    assert_eq!(stored.lock().unwrap()[&format!("/api/v1/targets/{sha256}")], bytes);
    let next = desk.draft("next.json", "\"version\": 1", "\"version\": 2");
    let list = desk.path("wave1.tsv");
    done(desk.sign_content("content1", &["--file", &next, "--scope-list", &list, "--reason", "r"]));
    assert!(refused(publish()).contains("2.content.json waits for another signature"));
}
