//! Samples of the pages of accepted risks: the list, none, one of each standing, and their questions.

use cordon_server::ui::act::{self, Act};
use cordon_server::ui::exceptions::{self, Covered, Exceptions, Row, Whole};
use cordon_server::ui::frame::Section;

use crate::sample::{NOW, Sample, ago};

/// The pages by file name.
pub(crate) fn pages(sample: Sample) -> Vec<(&'static str, String)> {
    let frame = sample.frame(Section::Expiries);
    let rows = vec![row(sample, "Waits for a second person"), row(sample, "Accepted"), row(sample, "Over")];
    let asked =
        Act::request_exception(
            |name| if name == "days" { "400".into() } else { sample.text("posture:os-support") },
        );
    let faults = vec![("days", "An exception ends at most 366 days from now.".to_owned())];
    vec![
        ("exceptions", exceptions::render(&frame, &Exceptions { rows })),
        ("exceptions-none", exceptions::render(&frame, &Exceptions::default())),
        ("exception", exceptions::render_one(&frame, &whole(sample))),
        ("act-exception", act::render(&frame, &asked)),
        ("act-exception-refused", act::render(&frame, &asked.refused("short", faults))),
        (
            "act-exception-approve",
            act::render(&frame, &Act::approve_exception("x-1", &sample.text("CVE-2026-1107"))),
        ),
        (
            "act-exception-withdraw",
            act::render(&frame, &Act::withdraw_exception("x-1", &sample.text("CVE-2026-1107"))),
        ),
    ]
}

fn row(sample: Sample, state: &'static str) -> Row {
    Row {
        id: "x-1".into(),
        about: sample.said("CVE-2026-1107"),
        state,
        devices: sample.said("model=VP-3, ward=ICU 2"),
        owner: sample.said("Clinical engineering"),
        control: sample.said("The pumps stand in a segment of their own."),
        until: NOW.plus_seconds(40 * 86_400),
    }
}

fn whole(sample: Sample) -> Whole {
    let covered = |id: &str, name: &str, has| Covered {
        id: id.into(),
        name: sample.said(name),
        place: sample.said("ICU 2, St. Anna"),
        has,
    };
    Whole {
        row: row(sample, "Waits for a second person"),
        reason: sample.said("The maker repairs it in spring."),
        words: vec![(
            "Asked for",
            sample.said("I. Brandt"),
            ago(7200),
            sample.said("The maker repairs it in spring."),
        )],
        count: (96, 40),
        devices: vec![covered("d1", "VP3-004417", true), covered("d2", "VP3-004418", false)],
        acts: vec![("Approve…", "approve"), ("Take back…", "withdraw")],
    }
}
