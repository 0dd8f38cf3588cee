//! Tests of exceptions: the table of their states, whose yes counts, and what they say of a device.

use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::order_plan::fixture::{NOW, pump};
use crate::risk::Band;

fn asked(about: &str) -> Asked {
    Asked {
        about: about.to_string(),
        filter: vec!["model=VP-3".to_string(), "ward=ICU 2".to_string()],
        owner: Text::lossy("Clinical engineering"),
        reason: Text::lossy("the maker repairs it in spring"),
        control: Text::lossy("the pumps stand in a segment of their own"),
        until: NOW.plus_seconds(90 * DAY_S),
    }
}

fn request(asked: Asked) -> Result<Exception, Refused> {
    Exception::request("x-1".parse().expect("a name"), asked, "person:ines".to_string(), NOW)
}

fn word(by: &str, days: i64) -> Word {
    Word {
        by: by.to_string(),
        at: NOW.plus_seconds(days * DAY_S),
        reason: Text::lossy("looked at it together"),
    }
}

fn part(id: &str, kind: Kind) -> Contribution {
    Contribution {
        id: id.to_string(),
        kind,
        reason: String::new(),
        evidence: String::new(),
        hazard_micronepers: 0,
        hundredths: 0,
        points: 0,
        alone_hundredths: None,
    }
}

#[test]
fn an_exception_needs_a_second_person() {
    // Goal: nobody accepts a risk alone. Method: the asking one, another one, another one again.
    let exception = request(asked("cve-2026-1107")).expect("asked for");
    assert_eq!(exception.standing(NOW), Standing::Requested);
    assert_eq!(exception.approve(word("person:ines", 1)), Err(Refused::SamePerson));
    let approved = exception.approve(word("person:joy", 1)).expect("approved");
    assert_eq!(approved.standing(NOW.plus_seconds(2 * DAY_S)), Standing::Approved);
    assert_eq!(approved.approve(word("person:max", 2)), Err(Refused::State(Standing::Approved)));
}

#[test]
fn it_lapses_on_its_day_once_and_loudly() {
    // Goal: no end passes unseen. Method: the last second, the end, the note, a clock that was ahead; one that nobody approved.
    let requested = request(asked("posture:os-support")).expect("asked for");
    let approved = requested.approve(word("person:joy", 1)).expect("approved");
    let end = approved.until;
    assert_eq!(approved.standing(end.plus_seconds(-1)), Standing::Approved);
    assert_eq!((approved.standing(end), approved.lapsing(end.plus_seconds(-1))), (Standing::Lapsed, None));
    let noted = approved.lapsing(end).expect("news");
    assert_eq!((noted.lapsed, noted.lapsing(end.plus_seconds(9))), (Some(end), None));
    let ahead = Exception { lapsed: Some(end.plus_seconds(DAY_S)), ..approved.clone() };
    assert!(ahead.lapsing(end).is_some());
    assert_eq!((requested.standing(end), requested.lapsing(end)), (Standing::Lapsed, None));
    assert!(noted.is_announced() && !requested.is_announced());
    assert!(!noted.withdraw(word("person:joy", 91)).expect("seen").is_announced());
    assert_eq!(requested.approve(word("person:joy", 90)), Err(Refused::State(Standing::Lapsed)));
}

#[test]
fn what_is_asked_for_must_say_what_for_whom_why_and_until_when() {
    // Goal: every refusal. Method: one fault each.
    let refused = |change: fn(&mut Asked)| {
        let mut asked = asked("CVE-2026-1107");
        change(&mut asked);
        request(asked).map(drop).map_err(|refused| refused.code())
    };
    assert_eq!(refused(|_| {}), Ok(()));
    assert_eq!(refused(|asked| asked.filter.clear()), Err("bad_filter"));
    assert_eq!(refused(|asked| asked.filter = vec!["colour=red".to_string()]), Err("bad_filter"));
    assert_eq!(refused(|asked| asked.reason = Text::lossy("later")), Err("reason_missing"));
    assert_eq!(refused(|asked| asked.control = Text::lossy("none")), Err("reason_missing"));
    assert_eq!(refused(|asked| asked.until = NOW.plus_seconds(3599)), Err("bad_end"));
    assert_eq!(refused(|asked| asked.until = NOW.plus_seconds(366 * DAY_S)), Ok(()));
    assert_eq!(refused(|asked| asked.until = NOW.plus_seconds(366 * DAY_S + 1)), Err("bad_end"));
    for about in
        ["", "everything", "f-0123456789ab:x", "posture:measured-boot", "freshness:rolled-back", "a b-1"]
    {
        assert!(matches!(About::read(about), Err(Refused::About(_))), "{about}");
    }
    assert!(request(asked("all")).unwrap_err().to_string().contains("posture:os-support"));
}

#[test]
fn an_exception_chooses_no_devices_by_an_advisory() {
    // Goal: a feed of tomorrow does not widen a yes of today. Method: the filter by an advisory, and by a ward.
    let by = |pair: &str| request(Asked { filter: vec![pair.to_string()], ..asked("CVE-2026-1107") });
    assert_eq!(by("advisory=CVE-2026-1107"), Err(Refused::ByAdvisory));
    assert!(by("ward=ICU 2").is_ok());
}

#[test]
fn it_names_the_parts_of_a_score_and_the_devices_it_is_for() {
    // Goal: it stands beside the right row. Method: rows of the same and of other names and kinds; devices inside and outside.
    let is = |about: &str, id: &str, kind| About::read(about).expect("a name").is(&part(id, kind));
    assert!(is("cve-2026-1107", "CVE-2026-1107:openssl 3.0.1", Kind::Vulnerability));
    assert!(!is("CVE-2026-1107", "CVE-2026-11070:openssl 3.0.1", Kind::Vulnerability));
    assert!(!is("CVE-2026-1107", "CVE-2026-1107", Kind::Behaviour));
    assert!(is("posture:os-support", "posture:os-support", Kind::Posture));
    assert!(is("posture:open-service", "posture:open-service:4444/tcp", Kind::Posture));
    assert!(is("posture:open-service:22/tcp", "posture:open-service:22/tcp", Kind::Posture));
    assert!(!is("posture:open-service:22/tcp", "posture:open-service:2200/tcp", Kind::Posture));
    let exception = request(asked("CVE-2026-1107")).expect("asked for");
    let covers = |device: &crate::device::Device| {
        exception.covers(&Seen { device, report: None, band: Band::Low, is_affected: false })
    };
    let (inside, mut outside) = (pump("1"), pump("2"));
    outside.placement.ward = Text::lossy("4B");
    assert!(covers(&inside) && !covers(&outside));
    let broken = Exception { filter: vec!["colour=red".to_string()], ..exception.clone() };
    assert!(!broken.covers(&Seen { device: &inside, report: None, band: Band::Low, is_affected: false }));
}

#[test]
fn an_exception_reads_for_ever() {
    // Goal: an auditor reads it in ten years. Method: golden JSON there and back.
    let exception = request(asked("CVE-2026-1107")).expect("asked for");
    let golden = concat!(
        r#"{"v":1,"id":"x-1","about":{"kind":"weakness","name":"CVE-2026-1107"},"filter":["model=VP-3","ward=ICU 2"],"#,
        r#""owner":"Clinical engineering","reason":"the maker repairs it in spring","#,
        r#""control":"the pumps stand in a segment of their own","until":1803027906,"#,
        r#""requested":{"by":"person:ines","at":1795251906,"reason":"the maker repairs it in spring"}}"#
    );
    assert_eq!(String::from_utf8(exception.to_body()).expect("UTF-8"), golden);
    assert_eq!(Exception::from_body(golden.as_bytes()), Some(exception.clone()));
    let approved = exception.approve(word("person:joy", 1)).expect("approved");
    assert_eq!(Exception::from_body(&approved.to_body()), Some(approved));
    assert_eq!(Exception::from_body(golden.replace("\"v\":1", "\"v\":2").as_bytes()), None);
}

proptest! {
    #[test]
    fn no_order_of_words_puts_one_in_force_without_two_people(
        words in prop::collection::vec((0_usize..3, 0_usize..2, 0_i64..400), 0..12)
    ) {
        // Goal: the table has no way round. Method: random people approve and withdraw at random times.
        let mut exception = request(asked("CVE-2026-1107")).expect("asked for");
        for (who, act, days) in words {
            let word = word(["person:ines", "person:joy", "token:7"][who], days);
            let after = if act == 0 { exception.approve(word) } else { exception.withdraw(word) };
            let was = exception.clone();
            exception = after.unwrap_or(exception);
            if was.withdrawn.is_some() {
                prop_assert_eq!(&exception, &was, "taken back stays taken back");
            }
            let forced = exception.standing(NOW.plus_seconds(days * DAY_S)) == Standing::Approved;
            let by = exception.approved.as_ref().map(|word| word.by.clone());
            prop_assert!(!forced || by.is_some_and(|by| by != exception.requested.by));
            prop_assert!(!forced || exception.until > NOW.plus_seconds(days * DAY_S));
        }
    }

    #[test]
    fn any_text_is_a_name_or_refused(text in ".{0,100}") {
        // Goal: outside text never panics and never passes for a rule. Method: random text.
        if let Ok(about) = About::read(&text) {
            prop_assert!(!about.name().is_empty() && !about.name().contains(' '));
        }
    }
}
