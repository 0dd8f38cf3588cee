//! A good pack, every way to spoil it, and what a captured server cannot put into one.

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::audit::{Head, SignedHead};
use cordon_proto::ids::Sha256;
use cordon_proto::receipt::Outcome;
use cordon_proto::update::metadata::TargetFile;
use cordon_proto::update::order::Order;
use cordon_proto::update::scope::Scope;
use ed25519_dalek::Signer as _;
use proptest::prelude::*;

use super::fixture::{
    NOW, StandIn, anchors, body, device, examined, head, kept, lines, listing, log, order, order_file,
    orders_document, receipt, rules, sealed, sealed_after, signed, stated,
};
use super::*;

/// The line that a refusal names.
fn named(broken: &Broken) -> Option<u64> {
    match broken {
        Broken::Form { line, .. }
        | Broken::Cut { line, .. }
        | Broken::Changed { line, .. }
        | Broken::Dropped { line, .. }
        | Broken::Moved { line, .. }
        | Broken::Added { line }
        | Broken::Index { line }
        | Broken::IndexMissing { line }
        | Broken::Seal { line, .. }
        | Broken::Audit { line, .. }
        | Broken::Head { line, .. }
        | Broken::Rewritten { line, .. }
        | Broken::NotContinued { line, .. }
        | Broken::Continued { line, .. }
        | Broken::Receipt { line, .. } => Some(*line),
        Broken::OtherLog { .. }
        | Broken::KeptOtherLog { .. }
        | Broken::KeptLater { .. }
        | Broken::Document(_)
        | Broken::Order { .. } => None,
    }
}

fn spoilt(lines: &[&[u8]]) -> Broken {
    examined(lines).expect_err("a spoilt pack")
}

#[test]
fn a_pack_proves_who_approved_what_and_how_each_device_ended() {
    // Goal: the whole of it from one file, years later. Method: the good pack; every fact that comes out.
    let pack = sealed(&body());
    let verified = examined(&lines(&pack)).expect("a good pack");
    let [approved] = verified.orders.as_slice() else { panic!("one order") };
    assert_eq!((&approved.order, approved.document, approved.threshold), (&order(), 1, 2));
    assert_eq!(approved.signed_by.len(), 2);
    assert_eq!(verified.silent(approved), Some(1), "three devices, two of them proved something");
    assert_eq!(verified.ended(&verified.orders[0], Outcome::Confirmed), 1);
    assert_eq!(verified.ended(&verified.orders[0], Outcome::RolledBack), 1);
    assert_eq!((verified.lines, verified.entries, verified.others), (14, 2, 0));
    assert_eq!((verified.owner.as_str(), verified.asked.as_str()), ("cordon.example", "order:o-1"));
    let known = Known { name: "CVE-2026-1".to_string(), at: NOW.plus_seconds(-7200) };
    let found = measures(&cases(&verified, &[known]), NOW);
    assert_eq!(found.patched_permille, Some(333));
    assert_eq!(found.identified_to_available.map(|times| times.median_s), Some(3600));
    assert_eq!(found.available_to_deployed.map(|times| times.most_s), Some(4200));
}

#[test]
fn every_flipped_byte_is_refused_and_its_line_is_named() {
    // Goal: nothing can be altered, and a person finds the place. Method: one bit of every byte of a small pack, of the
    // long documents of every fifth; the lines before it are read once.
    let pack = sealed(&body());
    let whole = lines(&pack);
    let mut before = Examination::default();
    let mut start = 0;
    for (place, line) in whole.iter().enumerate() {
        let number = u64::try_from(place).expect("few") + 1;
        let step = if line.starts_with(br#"{"_type":"evidence-file""#) { 5 } else { 1 };
        for at in (start..=start + line.len()).filter(|at| (start + line.len() - at) % step == 0) {
            let mut bent = pack[start..].to_vec();
            bent[at - start] ^= 1 << (at % 8);
            let mut examination = before.clone();
            lines(&bent).iter().for_each(|line| examination.line(line, &StandIn));
            let broken = examination.finish(&anchors(), &rules()).expect_err("a bent byte");
            let found = named(&broken).unwrap_or_else(|| panic!("byte {at} of line {number}: {broken}"));
            // A line's end that is no end any more joins two lines; a new end parts one.
            assert!((number..=number + 1).contains(&found), "byte {at} of line {number}: {broken}");
        }
        before.line(line, &StandIn);
        start += line.len() + 1;
    }
    assert_eq!(start, pack.len());
}

#[test]
fn every_line_that_is_dropped_doubled_or_moved_is_named() {
    // Goal: no receipt is left out unseen. Method: each line dropped, doubled, and exchanged with the next.
    let pack = sealed(&body());
    let whole = lines(&pack);
    let labels: Vec<String> = body().iter().map(Line::label).collect();
    for place in 0..whole.len() {
        let number = u64::try_from(place).expect("few") + 1;
        let mut dropped = whole.clone();
        dropped.remove(place);
        let broken = spoilt(&dropped);
        match labels.get(place) {
            Some(label) => assert!(
                matches!(&broken, Broken::Dropped { line, label: lost } if *line == number && lost == label),
                "{label}: {broken}"
            ),
            None => assert!(named(&broken).is_some(), "line {number}: {broken}"),
        }
        let mut doubled = whole.clone();
        doubled.insert(place, whole[place]);
        let broken = spoilt(&doubled);
        let found = named(&broken).expect("a line");
        assert!((number..=number + 1).contains(&found), "line {number} twice: {broken}");
        if place + 1 < whole.len() {
            let mut moved = whole.clone();
            moved.swap(place, place + 1);
            let broken = spoilt(&moved);
            assert!(named(&broken).is_some(), "line {number} moved: {broken}");
        }
    }
    let receipt = spoilt(&[&whole[..10], &whole[11..]].concat());
    let wanted =
        alloc::format!("the receipt of device {} for order o-1 is missing: it stood in line 11", device(1));
    assert_eq!(receipt.to_string(), wanted);
}

/// The refusal of a body that a server sealed with its own log's key.
fn forged(change: impl FnOnce(&mut Vec<Line>)) -> Broken {
    let mut lines_of = body();
    change(&mut lines_of);
    let pack = sealed(&lines_of);
    spoilt(&lines(&pack))
}

fn set_file(lines: &mut [Line], wanted: &str, with: Vec<u8>) {
    for line in lines {
        if let Line::File { file, bytes, .. } = line
            && file == wanted
        {
            *bytes = with.clone();
        }
    }
}

#[test]
fn a_captured_server_can_seal_but_not_prove_what_people_and_devices_did_not_sign() {
    // Goal: the seal alone proves nothing. Method: bodies that a server could seal: one signature of two, an order that
    // nobody signed, another image, a receipt of another authority, of another device, with another outcome.
    let one = forged(|lines| {
        set_file(lines, "1.orders.json", signed(&orders_document(&order()), &[3]));
    });
    assert!(
        matches!(&one, Broken::Document(Untrusted::Document { file, .. }) if file == "1.orders.json"),
        "{one}"
    );
    let unsigned =
        forged(|lines| lines.retain(|line| line.label() != "the signed document director/1.orders.json"));
    assert!(matches!(unsigned, Broken::Order { .. }), "{unsigned}");
    let unknown =
        forged(|lines| lines.retain(|line| line.label() != "the signed document halden/1.vp-3.json"));
    assert!(matches!(unknown, Broken::Order { .. }), "{unknown}");
    let stray = forged(|lines| {
        let file = Line::File {
            repository: "halden".parse().expect("a name"),
            file: "1.other.json".to_string(),
            bytes: Vec::new(),
        };
        lines.insert(6, file);
    });
    assert!(matches!(stray, Broken::Document(_)), "{stray}");
    let issuer = forged(|lines| lines.retain(|line| !matches!(line, Line::Issuer { .. })));
    assert!(matches!(issuer, Broken::Receipt { .. }), "{issuer}");
    let claimed = forged(|lines| {
        if let Line::Receipt { device: claimed, .. } = &mut lines[11] {
            *claimed = device(3);
        }
    });
    assert!(matches!(claimed, Broken::Receipt { line: 12, .. }), "{claimed}");
    let bent = forged(|lines| {
        let Line::Receipt { receipt: bytes, .. } = receipt(&stated(2, Outcome::Confirmed)) else { return };
        if let Line::Receipt { receipt, .. } = &mut lines[11] {
            let last = receipt.len() - 40;
            receipt[..last].copy_from_slice(&bytes[..last]);
        }
    });
    assert!(matches!(bent, Broken::Receipt { line: 12, .. }), "{bent}");
}

#[test]
fn a_reader_with_other_anchors_believes_nothing() {
    // Goal: a pack brings no anchor of its own. Method: each anchor another, or none.
    let pack = sealed(&body());
    let with = |anchors: &Anchors| {
        let mut examination = Examination::default();
        lines(&pack).iter().for_each(|line| examination.line(line, &StandIn));
        examination.finish(anchors, &rules()).expect_err("another anchor")
    };
    let director = with(&Anchors { director: Sha256([1; 32]), ..anchors() });
    assert!(matches!(director, Broken::Document(Untrusted::OtherRoot { .. })), "{director}");
    let maker =
        with(&Anchors { makers: [("halden".parse().expect("a name"), Sha256([1; 32]))].into(), ..anchors() });
    assert!(matches!(maker, Broken::Document(Untrusted::OtherRoot { .. })), "{maker}");
    let none = with(&Anchors { makers: [].into(), ..anchors() });
    assert!(matches!(none, Broken::Document(Untrusted::NoAnchor { .. })), "{none}");
    assert!(matches!(with(&Anchors { log: [7; 32], ..anchors() }), Broken::OtherLog { .. }));
}

/// What the seal of a pack with these earlier heads says to a reader who kept this one.
fn held(earlier: &[SignedHead], kept: &SignedHead) -> Result<(), Broken> {
    let pack = sealed_after(&body(), earlier);
    let mut examination = Examination::default();
    lines(&pack).iter().for_each(|line| examination.line(line, &StandIn));
    let kept = core::slice::from_ref(kept);
    let whole = examination.clone().finish(&Anchors { kept: kept.to_vec(), ..anchors() }, &rules());
    let sealed = examination.seal(anchors().log, kept);
    assert_eq!(sealed.as_ref().err(), whole.as_ref().err(), "with the contents and without");
    whole.map(|verified| assert_eq!(verified.kept, kept))
}

#[test]
fn a_head_that_was_kept_holds_the_log_of_a_pack_to_its_past() {
    // Goal: the content of a kept head counts, not its key alone. Method: heads that the pack goes on from, the pack's own;
    // then a log that was rewritten since, by each way that its server has; an older pack; a foreign log.
    let (good, rewritten) = ([kept(2), kept(4)], head(99, 2, "another"));
    for kept in &good {
        held(&good, kept).expect("the log goes on from it");
    }
    let pack = sealed(&body());
    let own = SignedHead::parse(lines(&pack).last().expect("a head")).expect("a head");
    held(&[], &own).expect("the pack's own head");
    let refused = |earlier: &[SignedHead], kept: &SignedHead| held(earlier, kept).expect_err("not this log");
    assert_eq!(refused(&good, &rewritten), Broken::Rewritten { line: 19, size: 2 });
    assert_eq!(
        refused(core::slice::from_ref(&rewritten), &rewritten),
        Broken::Continued { line: 19, size: 2 }
    );
    assert_eq!(refused(&[kept(4)], &rewritten), Broken::NotContinued { line: 20, size: 2 });
    assert_eq!(refused(&[], &kept(2)), Broken::NotContinued { line: 19, size: 2 });
    let foreign = head(98, 2, "a");
    assert!(matches!(refused(&good, &foreign), Broken::KeptOtherLog { size: 2, .. }));
    let inside = refused(&[foreign], &kept(2)).to_string();
    assert!(inside.contains("line 19 is not believed: it is of another log"), "{inside}");
    let unordered = refused(&[kept(4), kept(2)], &kept(2));
    assert!(matches!(unordered, Broken::Form { line: 20, .. }), "{unordered}");
    assert_eq!(refused(&good, &head_of(9)), Broken::KeptLater { found: 5, kept: 9 });
    assert!(refused(&good, &rewritten).to_string().contains("the audit log was rewritten"));
}

/// A head of the pack's log over more entries than it has.
fn head_of(size: u64) -> SignedHead {
    let own = Head { size, ..*kept(4).head() };
    SignedHead::new(own, log().sign(&own.signed_bytes()).to_bytes()).expect("our own")
}

#[test]
fn a_receipt_of_before_or_of_another_image_counts_for_nothing_and_breaks_nothing() {
    // Goal: an older order of the same name proves nothing now. Method: one from before, one of another image, and the
    // last word of a device that went back.
    let mut lines_of = body();
    let mut before = stated(3, Outcome::Confirmed);
    before.time = NOW.plus_seconds(-1);
    let mut other = stated(4, Outcome::Confirmed);
    other.sha256 = Sha256([9; 32]);
    let mut back = stated(1, Outcome::WentBack);
    (back.sha256, back.time) = (Sha256::of(b"image one"), NOW.plus_seconds(9000));
    lines_of.extend([before, other, back].iter().map(receipt));
    let pack = sealed(&lines_of);
    let verified = examined(&lines(&pack)).expect("a good pack");
    assert_eq!((verified.others, verified.words.len()), (2, 2));
    assert_eq!(verified.ended(&verified.orders[0], Outcome::Confirmed), 0);
    assert_eq!(verified.ended(&verified.orders[0], Outcome::WentBack), 1);
    let found = measures(&cases(&verified, &[Known { name: "CVE-2026-1".into(), at: NOW }]), NOW);
    assert_eq!(found.patched_permille, Some(0), "what went back is not patched");
}

/// Bodies with a second issue of the order, a thousand seconds later, for a longer list; and that issue.
fn issued_anew() -> (Vec<Line>, Order) {
    let issued = NOW.plus_seconds(1000);
    let scope = Scope::Set { root: Sha256([6; 32]), count: 4 };
    let anew = Order { issued, not_before: issued, scope, ..order() };
    let file = TargetFile::new(anew.image.length, anew.image.sha256, Some(anew.custom()));
    let bytes = signed(&listing(2, alloc::vec![(anew.path().to_string(), file)]), &[3, 4]);
    let (repository, file) = ("director".parse().expect("a name"), "2.orders.json".to_string());
    let mut lines = body();
    lines.insert(4, Line::File { repository, file, bytes });
    (lines, anew)
}

#[test]
fn a_receipt_counts_for_the_very_issue_that_it_answers() {
    // Goal: who took the first issue has not confirmed the second. Method: an order signed anew under its name; a device
    // that confirmed before, one that fell back and one that confirmed after; each issue, and the measures of both.
    let (mut lines_of, anew) = issued_anew();
    lines_of.push(receipt(&stated(3, Outcome::Confirmed)));
    let pack = sealed(&lines_of);
    let verified = examined(&lines(&pack)).expect("a good pack");
    let [first, second] = verified.orders.as_slice() else { panic!("two issues") };
    assert_eq!((&first.order, &second.order), (&order(), &anew));
    let of = |one| [Outcome::Confirmed, Outcome::RolledBack].map(|outcome| verified.ended(one, outcome));
    assert_eq!((of(first), verified.silent(first)), ([1, 0], Some(2)), "of three");
    assert_eq!((of(second), verified.silent(second)), ([1, 1], Some(2)), "of four");
    let known = Known { name: "CVE-2026-1".into(), at: NOW };
    let found = measures(&cases(&verified, &[known]), NOW);
    assert_eq!(found.patched_permille, Some(500), "two of the four of the last issue");
}

#[test]
fn a_receipt_of_another_image_answers_the_issue_of_that_image_although_it_came_late() {
    // Goal: what a device proves is not thrown away. Method: the second issue installs the image of the way back.
    let (mut lines_of, mut anew) = issued_anew();
    (anew.image, anew.back) = (order().back.expect("a way back").image, None);
    let file = TargetFile::new(anew.image.length, anew.image.sha256, Some(anew.custom()));
    let listed = alloc::vec![(anew.path().to_string(), file)];
    set_file(&mut lines_of, "2.orders.json", signed(&listing(2, listed), &[3, 4]));
    lines_of.push(receipt(&stated(3, Outcome::Confirmed)));
    let pack = sealed(&lines_of);
    let verified = examined(&lines(&pack)).expect("a good pack");
    let confirmed = |place: usize| verified.ended(&verified.orders[place], Outcome::Confirmed);
    assert_eq!((confirmed(0), confirmed(1), verified.others), (2, 0, 0));
}

#[test]
fn a_device_that_was_enrolled_twice_is_one_device() {
    // Goal: nobody is missing behind somebody who counts twice. Method: the hardware of device 1 under another identity,
    // which fell back later.
    let mut lines_of = body();
    let mut again = stated(4, Outcome::RolledBack);
    again.hardware = stated(1, Outcome::Confirmed).hardware;
    lines_of.push(receipt(&again));
    let pack = sealed(&lines_of);
    let verified = examined(&lines(&pack)).expect("a good pack");
    let [approved] = verified.orders.as_slice() else { panic!("one order") };
    assert_eq!(verified.ended(approved, Outcome::Confirmed), 0, "its last word is that it fell back");
    assert_eq!(verified.ended(approved, Outcome::RolledBack), 2);
    assert_eq!((verified.silent(approved), verified.renamed), (Some(1), 1));
}

#[test]
fn only_the_listed_count_once_a_list_is_there() {
    // Goal: certificates for hardware that nobody ordered for prove nothing. Method: a list without device 1.
    let pack = sealed(&body());
    let mut verified = examined(&lines(&pack)).expect("a good pack");
    let stranger = stated(1, Outcome::Confirmed).hardware;
    verified.only(|of, device| of.id == order().id && *device != stranger);
    let [approved] = verified.orders.as_slice() else { panic!("one order") };
    assert_eq!((verified.ended(approved, Outcome::Confirmed), verified.outside), (0, 1));
    assert_eq!(verified.silent(approved), Some(2));
}

#[test]
fn a_makers_report_holds_no_field_that_nobody_approved() {
    // Goal: nothing of a device leaves by accident. Method: golden text of none and of two fields; each field alone.
    let pack = sealed(&body());
    let verified = examined(&lines(&pack)).expect("a good pack");
    let text = |fields: &[Field]| {
        let report = maker_report(&verified, &fields.iter().copied().collect::<BTreeSet<_>>());
        String::from_utf8(report.canonical()).expect("UTF-8")
    };
    let head =
        r#"{"_type":"maker-report","counts":{"confirmed":1,"refused":0,"rolled-back":1,"went-back":0},"#;
    let none = alloc::format!(r#"{head}"devices":[],"fields":[],"releases":["vp-3/2"],"v":1}}"#);
    assert_eq!(text(&[]), none);
    let rows = concat!(
        r#""devices":[{"boots":1,"interlock":"standby","outcome":"confirmed"},"#,
        r#"{"boots":1,"interlock":"standby","outcome":"rolled-back"}],"fields":["boots","interlock"],"#
    );
    let two = alloc::format!(r#"{head}{rows}"releases":["vp-3/2"],"v":1}}"#);
    assert_eq!(text(&[Field::Interlock, Field::Boots]), two);
    let secrets = [device(1).to_string(), stated(1, Outcome::Confirmed).hardware.to_string()];
    for field in Field::ALL {
        let told = text(&[field]);
        let tells = |secret: &String| told.contains(secret.as_str());
        assert_eq!(tells(&secrets[0]), field == Field::Device, "{told}");
        assert_eq!(tells(&secrets[1]), field == Field::Hardware, "{told}");
        assert_eq!(told.contains("\"o-1\""), field == Field::Order, "{told}");
    }
}

#[test]
fn only_what_a_chosen_order_needs_goes_along_and_a_withdrawn_order_is_still_found() {
    // Goal: small packs that can be judged. Method: the order in versions 1 and 2, withdrawn in 3; an unrelated document
    // of the maker; each way to ask.
    let files = |repository: &str| -> alloc::collections::BTreeMap<String, Vec<u8>> {
        let file = |line: Line| match line {
            Line::File { repository: of, file, bytes } if of.as_str() == repository => Some((file, bytes)),
            _ => None,
        };
        body().into_iter().filter_map(file).collect()
    };
    let mut owner = files("director");
    let listed = || alloc::vec![(order().path().to_string(), order_file())];
    owner.insert("2.orders.json".to_string(), signed(&listing(2, listed()), &[3, 4]));
    owner.insert("3.orders.json".to_string(), signed(&listing(3, Vec::new()), &[3, 4]));
    owner.insert("timestamp.json".to_string(), Vec::new());
    let names = |chosen: &BTreeSet<String>| chosen.iter().cloned().collect::<Vec<_>>().join(" ");
    let rollout = Asked::Rollout("r-1".parse().expect("a name"), [order().id].into());
    for asked in [Asked::Order(order().id), Asked::Release(order().image.release), rollout] {
        let chosen = choose(&owner, &asked);
        assert_eq!(names(&chosen.files), "1.root.json 1.targets.json 2.orders.json", "{}", asked.word());
        assert_eq!(chosen.orders, [order()]);
    }
    let nobody = Asked::Order("o-2".parse().expect("a name"));
    assert_eq!(choose(&owner, &nobody), Chosen::default());
    let mut maker = files("halden");
    maker.insert("1.other.json".to_string(), signed(&listing(1, Vec::new()), &[13]));
    let chosen = choose_maker(&maker, &[&order().image]);
    assert_eq!(names(&chosen), "1.root.json 1.targets.json 1.vp-3.json");
}

#[test]
fn lines_read_back_in_one_form_only() {
    // Goal: one meaning, one form. Method: every line of a pack, and the same with a blank.
    for line in body() {
        let bytes = line.to_bytes();
        assert!(!bytes.contains(&b'\n'));
        assert_eq!(Line::read(&bytes).as_ref(), Ok(&line));
        let spaced = [&bytes[..1], b" ", &bytes[1..]].concat();
        assert_eq!(Line::read(&spaced), Err(Unreadable::Form));
    }
}

proptest! {
    #[test]
    fn any_lines_are_refused_without_a_panic(lines: Vec<Vec<u8>>) {
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        prop_assert!(examined(&lines).is_err());
    }

    #[test]
    fn any_choice_of_lines_of_a_good_pack_but_all_is_refused(
        choice in proptest::collection::vec(any::<prop::sample::Index>(), 0..30)
    ) {
        let pack = sealed(&body());
        let whole = lines(&pack);
        let chosen: Vec<&[u8]> = choice.iter().map(|index| *index.get(&whole)).collect();
        prop_assert_eq!(examined(&chosen).is_ok(), chosen == whole);
    }
}
