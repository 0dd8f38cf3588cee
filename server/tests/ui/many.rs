//! The pages of findings of many devices and of service visits.

use cordon_server::ui::act::{self, Act, FindingVerb, GroupAsked};
use cordon_server::ui::finding_group::{self, FindingGroup, Part};
use cordon_server::ui::findings::{Compared, GroupRow, Past, Step};
use cordon_server::ui::frame::Section;
use cordon_server::ui::visits::{self, Row, Visits};
use cordon_server_core::risk::facts::FindingSeverity;
use cordon_server_core::triage::Preview;

use crate::sample::{Sample, ago};

pub(crate) fn group_rows(sample: Sample) -> Vec<GroupRow> {
    vec![GroupRow {
        id: sample.text("g-0123456789ab"),
        severity: FindingSeverity::Medium,
        title: sample.said("Opens connections to a new name"),
        devices: sample.said("200 of 412 VP-3"),
        last: ago(600),
    }]
}

pub(crate) fn compared(sample: Sample) -> Vec<Compared> {
    let link = Some(("Visits", "/visits".to_owned()));
    vec![
        Compared { words: sample.said("Only this one of 41 K-1 reported it."), link: None },
        Compared { words: sample.said("It began during the announced visit of K. Lang."), link },
    ]
}

pub(crate) fn verdicts(sample: Sample) -> Vec<Past> {
    let step = Step {
        at: ago(20 * 86_400),
        by: sample.said("M. Okafor"),
        what: sample.said("Closed"),
        reason: sample.prose("The vendor moved its metrics; they confirmed it by phone"),
    };
    vec![Past { like: sample.said("The same on K1-0230"), href: "/findings/f-20102".into(), step }]
}

pub(crate) fn pages(sample: Sample) -> Vec<(&'static str, String)> {
    let frame = sample.frame(Section::Findings);
    let part = |device, severity, state| Part {
        id: sample.text("f-20871"),
        device: sample.said(device),
        place: sample.said("4B, St. Brigid"),
        title: sample.said("Opens connections to a new name"),
        severity,
        first: ago(86_400),
        state,
    };
    let group = FindingGroup {
        id: sample.text("g-0123456789ab"),
        title: sample.said("Post-update drift: vp-3/4.2.1"),
        severity: FindingSeverity::Critical,
        kind: "After an update",
        devices: sample.said("2 of 12 VP-3"),
        what_changed: sample
            .prose("2 of the 12 VP-3 that took it showed 3 things they had not shown before."),
        what_to_do: sample.prose("Ask the maker whether vp-3/4.2.1 is meant to do this."),
        rollouts: vec![sample.said("vp3-421")],
        parts: vec![
            part("VP3-0001", FindingSeverity::Critical, "Open"),
            part("VP3-0002", FindingSeverity::Low, "Muted"),
        ],
        count: 3,
        critical: 1,
    };
    let asked = GroupAsked {
        id: sample.text("g-0123456789ab"),
        title: sample.said("Opens connections to a new name"),
        model: sample.said("VP-3"),
        devices: 200,
        critical: 1,
    };
    let preview = Preview {
        findings: 199,
        devices: 199,
        critical: 0,
        past_alerts: 203,
        past_devices: 200,
        past_raised: 1,
    };
    let visit = |state, may_end| Row {
        id: sample.text("v-01020304"),
        state,
        who: sample.said("K. Lang, Halden field service"),
        why: sample.said("battery exchange, WO-1187"),
        devices: sample.said("ward=4B, model=VP-3"),
        count: 12,
        from: ago(3600),
        until: ago(-3600),
        by: sample.said("M. Okafor"),
        may_end,
    };
    let list = Visits { rows: vec![visit("Now", true), visit("Over", false)] };
    let announce = Act::announce_visit(|name| sample.text(name));
    vec![
        ("finding-group", finding_group::render(&frame, &group)),
        ("act-allow-group", act::render(&frame, &Act::group(FindingVerb::Allow, &asked, &preview))),
        ("visits", visits::render(&frame, &list)),
        ("visits-none", visits::render(&frame, &Visits::default())),
        ("act-announce-visit", act::render(&frame, &announce)),
        ("act-end-visit", act::render(&frame, &Act::end_visit("v-01020304", &sample.said("K. Lang")))),
    ]
}
