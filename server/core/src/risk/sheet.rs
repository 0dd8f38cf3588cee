//! A security sheet of one model from live data: questions that a buyer asks a maker, answered by what is measured.
//!
//! The questions are our own wording of what an MDS2 form and NIST IR 8259A ask about; the answers are counts of devices, each
//! `yes`, `no` or `unknown`, with where the answer comes from. Nobody fills anything in, and what nobody looked at stays
//! unknown. Read next: [`super::facts`] for the answers' source.

use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::time::Timestamp;
use serde::Serialize;

use super::facts::{Answer, Facts, KeyProtection, PatientData, ReleaseAge};
use super::hazard::DAY_S;
use super::support::{Stage, Support};

/// A question of the sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its name, which never changes.
    pub id: &'static str,
    /// What it is about.
    pub topic: &'static str,
    /// The question; yes is what a careful buyer hopes for, unless it is about data.
    pub text: &'static str,
    /// Where the answer comes from.
    pub from: &'static str,
}

/// What is known of one device beside its facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Around {
    /// Whether it runs our agent.
    pub has_agent: bool,
    /// Whether its sensor sees connections.
    pub sensor: Answer,
    /// Whether something on it says whether it is in use.
    pub interlock: Answer,
    /// Whether the running release came with a bill of materials; unknown where the release is.
    pub sbom: Answer,
    /// The same for exploitability statements.
    pub vex: Answer,
    /// The same for a description of its network use.
    pub mud: Answer,
    /// The maker's support of what runs.
    pub support: Support,
}

/// Answers of all devices to one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answers {
    /// The question's name.
    pub id: &'static str,
    /// What it is about.
    pub topic: &'static str,
    /// The question.
    pub question: &'static str,
    /// Devices of which it is so.
    pub yes: u32,
    /// Devices of which it is not so.
    pub no: u32,
    /// Devices of which nobody knows.
    pub unknown: u32,
    /// Where the answers come from.
    pub from: &'static str,
}

/// The sheet of one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sheet {
    /// The model.
    pub model: String,
    /// Devices of it.
    pub devices: u32,
    /// The answers.
    pub answers: Vec<Answers>,
}

const QUESTIONS: [Question; 19] = [
    question("data-held", "Data", "Can it reach data of patients?", "stated by the owner"),
    question("data-encrypted", "Data", "Is its disk encrypted?", "inventory of the device"),
    question(
        "agent",
        "Identity",
        "Has it an identity of its own that the owner can revoke?",
        "the device's certificate",
    ),
    question(
        "key-hardware",
        "Identity",
        "Is the key of its identity kept in hardware?",
        "told by the device",
    ),
    question(
        "own-passwords",
        "Access",
        "Is every password of the maker's replaced?",
        "checked on the device",
    ),
    question(
        "passwords-set",
        "Access",
        "Does every account that may sign in need a password?",
        "inventory of the device",
    ),
    question(
        "encrypted-services",
        "Access",
        "Are all its remote services encrypted?",
        "checked on the device",
    ),
    question(
        "expected-services",
        "Access",
        "Is every service that is open to all expected?",
        "checked on the device",
    ),
    question("debug-closed", "Access", "Are its debug ports closed?", "checked on the device"),
    question("secure-boot", "Integrity", "Does it start signed software only?", "inventory of the device"),
    question(
        "measured-boot",
        "Integrity",
        "Did it start what its release should measure?",
        "inventory of the device",
    ),
    question(
        "newest-release",
        "Updates",
        "Does it run the newest release of its maker?",
        "check-in and signed releases",
    ),
    question(
        "system-repaired",
        "Updates",
        "Is its operating system still repaired?",
        "inventory of the device",
    ),
    question("maker-support", "Updates", "Does its maker support what it runs?", "dates signed by the maker"),
    question("sbom", "Papers", "Did what it runs come with a bill of materials?", "signed release"),
    question("vex", "Papers", "Did what it runs come with exploitability statements?", "signed release"),
    question(
        "mud",
        "Papers",
        "Did what it runs come with a description of its network use?",
        "signed release",
    ),
    question(
        "watched",
        "Watching",
        "Is its network behaviour watched, and did it report within a week?",
        "sensor and check-in",
    ),
    question(
        "in-use-known",
        "Watching",
        "Does it say whether it is in use, before anything restarts?",
        "its interlock",
    ),
];

const fn question(id: &'static str, topic: &'static str, text: &'static str, from: &'static str) -> Question {
    Question { id, topic, text, from }
}

impl Sheet {
    /// A sheet into which no device was counted.
    #[must_use]
    pub fn of(model: &str) -> Self {
        let answers = QUESTIONS.iter().map(|question| Answers {
            id: question.id,
            topic: question.topic,
            question: question.text,
            yes: 0,
            no: 0,
            unknown: 0,
            from: question.from,
        });
        Self { model: model.into(), devices: 0, answers: answers.collect() }
    }

    /// Counts a device in.
    pub fn add(&mut self, facts: &Facts, around: &Around, now: Timestamp) {
        self.devices += 1;
        for (row, answer) in self.answers.iter_mut().zip(answers(facts, around, now)) {
            *match answer {
                Answer::Yes => &mut row.yes,
                Answer::No => &mut row.no,
                Answer::Unknown => &mut row.unknown,
            } += 1;
        }
    }
}

/// The answers of one device, in the order of the questions.
fn answers(facts: &Facts, around: &Around, now: Timestamp) -> [Answer; 19] {
    let (posture, fresh) = (&facts.posture, &facts.freshness);
    let is = |yes: bool| if yes { Answer::Yes } else { Answer::No };
    let holds = match facts.impact.patient_data {
        Some(PatientData::None) => Answer::No,
        Some(PatientData::Limited | PatientData::Bulk) => Answer::Yes,
        None => Answer::Unknown,
    };
    let key = match posture.key_protection {
        KeyProtection::Unknown => Answer::Unknown,
        KeyProtection::File => Answer::No,
        KeyProtection::Pkcs11 | KeyProtection::Tpm => Answer::Yes,
    };
    let newest = match &fresh.release {
        ReleaseAge::Unknown => Answer::Unknown,
        ReleaseAge::Current => Answer::Yes,
        ReleaseAge::Behind { .. } => Answer::No,
    };
    let supported = |support: Support| match support.stage {
        Stage::Supported => Answer::Yes,
        Stage::LimitedSupport | Stage::EndOfSupport => Answer::No,
        Stage::Unknown => Answer::Unknown,
    };
    let seen = fresh.last_seen.map_or(Answer::Unknown, |at| is(now.seconds_since(at) <= 7 * DAY_S));
    let watched = match (around.sensor, seen) {
        (Answer::Unknown, _) | (_, Answer::Unknown) => Answer::Unknown,
        (Answer::Yes, Answer::Yes) => Answer::Yes,
        (Answer::No, _) | (_, Answer::No) => Answer::No,
    };
    [
        holds,
        not(posture.disk_unencrypted),
        is(around.has_agent),
        key,
        not(posture.default_credentials),
        not(posture.empty_password),
        not(posture.cleartext_service),
        posture.open_services.as_ref().map_or(Answer::Unknown, |services| is(services.is_empty())),
        not(posture.debug_port),
        not(posture.secure_boot_off),
        not(posture.measured_boot_mismatch),
        newest,
        supported(Support::of_system(posture.os_support, now)),
        supported(around.support),
        around.sbom,
        around.vex,
        around.mud,
        watched,
        around.interlock,
    ]
}

/// The facts ask whether a weakness is there, the sheet whether it is not.
fn not(weak: Answer) -> Answer {
    match weak {
        Answer::Unknown => Answer::Unknown,
        Answer::No => Answer::Yes,
        Answer::Yes => Answer::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::risk::examples::{NOW, flat_pump};
    use crate::risk::order_tests::any_facts;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    fn row<'a>(sheet: &'a Sheet, id: &str) -> (u32, u32, u32) {
        let row: &'a Answers = sheet.answers.iter().find(|row| row.id == id).expect(id);
        (row.yes, row.no, row.unknown)
    }

    #[test]
    fn what_nobody_looked_at_is_unknown_and_what_was_measured_is_counted() {
        // Goal: a sheet that is never filled in by hope. Method: one device of which nothing is known, and the pump of example 3.
        let mut sheet = Sheet::of("VP-3");
        sheet.add(&Facts::unknown("x"), &Around::default(), NOW);
        let known: Vec<&str> =
            sheet.answers.iter().filter(|row| row.unknown == 0).map(|row| row.id).collect();
        assert_eq!(known, ["agent"], "that it has no identity of ours is known");
        let around = Around { has_agent: true, sensor: Answer::Yes, sbom: Answer::Yes, ..Around::default() };
        let mut pump = flat_pump();
        pump.freshness.last_seen = Some(NOW.plus_seconds(-8 * DAY_S));
        sheet.add(&pump, &around, NOW);
        assert_eq!((row(&sheet, "secure-boot"), row(&sheet, "newest-release")), ((0, 1, 1), (0, 1, 1)));
        assert_eq!((row(&sheet, "sbom"), row(&sheet, "data-held")), ((1, 0, 1), (1, 0, 1)));
        assert_eq!(
            row(&sheet, "watched"),
            (0, 1, 1),
            "a sensor that has been silent for a week watches nothing"
        );
        let ids: BTreeSet<&str> = QUESTIONS.iter().map(|question| question.id).collect();
        assert_eq!(ids.len(), QUESTIONS.len());
    }

    proptest! {
        #[test]
        fn every_device_answers_every_question_once(all in proptest::collection::vec(any_facts(), 0..8)) {
            let mut sheet = Sheet::of("any");
            all.iter().for_each(|facts| sheet.add(facts, &Around::default(), NOW));
            prop_assert!(sheet.answers.iter().all(|row| row.yes + row.no + row.unknown == sheet.devices));
        }
    }
}
