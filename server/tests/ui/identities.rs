//! Samples of the pages about identities: keys that wait, tokens, one device's identity, and their questions.

use cordon_server::ui::act::{self, Act, Input, Thing};
use cordon_server::ui::approvals::{self, Approvals, Waiting};
use cordon_server::ui::frame::Section;
use cordon_server::ui::identity::{self, Asking, Certificate, Doubt, Event, Identity};
use cordon_server::ui::tokens::{self, Form, Made, Row, Tokens};
use cordon_server::ui::{DeviceState, Said};

use crate::sample::{Sample, ago};

/// A fingerprint of four different beginnings.
fn print(n: u8) -> String {
    format!("{n:02x}4f91c2e07ab36d").repeat(4)
}

/// The pages by file name.
pub(crate) fn pages(sample: Sample) -> Vec<(&'static str, String)> {
    let (waiting, list) = (sample.frame(Section::Waiting), sample.frame(Section::Tokens));
    let devices = sample.frame(Section::Devices);
    let keys = vec![key(sample, 1), key(sample, 2)];
    let model = Input {
        name: "model",
        label: "Model",
        note: "nobody has said what it is",
        value: sample.text("VP-3"),
    };
    let asked = Act::approve(keys.clone(), 1, vec![model]);
    let faults = asked.faults_of("short", None);
    let mut doubted = whole(sample);
    doubted.answer = "Not sure.".into();
    doubted.doubt = Some(Doubt {
        what: "One certificate is in use from two addresses at the same time",
        evidence: sample.said("boot 7 from 10.20.4.17 and boot 7 from 10.20.9.3"),
        since: ago(5400),
    });
    vec![
        ("waiting", approvals::render(&waiting, &all(sample))),
        ("waiting-none", approvals::render(&waiting, &Approvals::default())),
        ("act-approve", act::render(&waiting, &asked)),
        ("act-approve-refused", act::render(&waiting, &asked.refused("short", faults))),
        ("act-deny", act::render(&waiting, &Act::deny(keys))),
        ("tokens", tokens::render(&list, &some_tokens(sample))),
        ("tokens-none", tokens::render(&list, &Tokens::default())),
        ("token-new", tokens::render_form(&list, &form(sample))),
        ("token-made", tokens::render_made(&list, &made(sample))),
        (
            "act-revoke",
            act::render(&list, &Act::revoke_token("t1", "for VP-3 VP3-004417, used 0 of 1 times")),
        ),
        ("identity", identity::render(&devices, &whole(sample))),
        ("identity-doubted", identity::render(&devices, &doubted)),
        ("act-retire", act::render(&devices, &Act::retire(sample.thing("d1")))),
        ("act-lost", act::render(&devices, &Act::report_lost(sample.thing("d1")))),
        ("act-find", act::render(&devices, &Act::find(sample.thing("d1")))),
        ("act-clear-doubt", act::render(&devices, &Act::clear_doubt(sample.thing("d1")))),
    ]
}

fn key(sample: Sample, n: u8) -> Thing {
    Thing { key: Some(print(n)), ..sample.thing("d1") }
}

fn all(sample: Sample) -> Approvals {
    let row = |n: u8, name: &str, replaces, state| Waiting {
        id: format!("d{n}"),
        name: sample.said(name),
        model: sample.said("VP-3"),
        place: sample.said("4B, St. Brigid"),
        state,
        key: print(n),
        from: sample.said("10.20.4.17"),
        with: sample.said("nothing"),
        since: ago(600 * i64::from(n)),
        replaces,
    };
    Approvals {
        rows: vec![
            row(3, "VP3-004417", true, DeviceState::Standby),
            row(2, "VP3-004502", false, DeviceState::ToApprove),
            row(1, "K1-0231", false, DeviceState::ToApprove),
        ],
        approved: 1,
    }
}

fn some_tokens(sample: Sample) -> Tokens {
    let row = |id: &str, state, whom: &str, count, used| Row {
        id: id.into(),
        state,
        whom: sample.said(whom),
        model: sample.said("VP-3"),
        place: sample.said("4B, St. Brigid"),
        count,
        used,
        expires: ago(-20 * 3600),
        created: ago(4 * 3600),
        by: sample.said("M. Okafor"),
    };
    Tokens {
        total: 812,
        open: 2,
        rows: vec![
            row("t1", "open", "VP3-004417", 1, 0),
            row("t2", "open", "40 devices", 40, 12),
            row("t3", "used", "VP3-004418", 1, 1),
            row("t4", "revoked", "VP3-004419", 1, 0),
            row("t5", "expired", "VP3-004420", 1, 0),
        ],
        newer: None,
        older: Some("/tokens?page=2".into()),
    }
}

fn form(sample: Sample) -> Form {
    Form {
        typed: vec![("model".into(), sample.text("VP-3")), ("kind".into(), "kiosk".into())],
        kinds: vec![("other", "Not said"), ("kiosk", "Kiosk")],
        fault: Some("a token is for one `serial` or for a `count` of devices".into()),
        once: "once".into(),
    }
}

fn made(sample: Sample) -> Made {
    Made {
        whom: sample.said("VP-3 VP3-004417"),
        text: format!("cordon1:cordon.example:8444:8443#{}##{}", "A".repeat(43), "b".repeat(43)),
        file: "VP3-004417.join".into(),
        expires: ago(-86_400),
    }
}

fn whole(sample: Sample) -> Identity {
    let certificate = |standing, n: u8, days: i64, why: &str| Certificate {
        standing,
        print: print(n),
        from: Some(ago(days * 86_400)),
        until: Some(ago((days - 30) * 86_400)),
        why: sample.said(why),
    };
    let event = |seconds, what: &str, who: &str, reason: &str, change: &str| Event {
        at: ago(seconds),
        what: sample.said(what),
        who: sample.said(who),
        reason: if reason.is_empty() { Said::default() } else { sample.said(reason) },
        change: if change.is_empty() { Said::default() } else { sample.said(change) },
    };
    Identity {
        head: sample.device().head,
        answer: "Yes, and a second key asks for it.".into(),
        means: "Its certificate is in force and stays so until a person answers the key below.".into(),
        asking: Some(Asking {
            key: print(9),
            from: sample.said("10.20.4.17"),
            with: sample.said("nothing"),
            since: ago(3600),
            approved: false,
        }),
        doubt: None,
        farewell: Some(ago(7200)),
        certificates: vec![
            certificate("In force", 2, 4, "renewal, birth certificate or approval"),
            certificate("Replaced", 1, 24, ""),
        ],
        protection: Some(sample.said("file")),
        acts: vec![
            ("Quarantine", "/devices/d1/quarantine".into(), true),
            ("Report lost", "/devices/d1/report-lost".into(), true),
            ("Retire", "/devices/d1/retire".into(), true),
        ],
        events: vec![
            event(
                7200,
                "Quarantine lifted",
                "M. Okafor",
                "the peer is our print server",
                "quarantined → active",
            ),
            event(9000, "Quarantined", "M. Okafor", "unknown peer since 14:02", "active → quarantined"),
            event(4 * 86_400, "Certificate renewed", "the device", "", ""),
            event(24 * 86_400, "Enrolled", "a token", "enrolled with a token", ""),
            event(25 * 86_400, "Token made", "J. Weiss", "", "for VP-3 VP3-004417"),
        ],
        older: Some("/devices/d1/identity?before=12".into()),
    }
}
