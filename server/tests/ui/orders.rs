//! The sample's orders: the list with a draft, one order with its preview, one of which nothing is known, and none.

use cordon_server::ui::device::Fact;
use cordon_server::ui::evidence::{self, Evidence, MeasureRow};
use cordon_server::ui::frame::Section;
use cordon_server::ui::orders::{
    DraftRow, Order, OrderRow, Orders, Preview, Standing, WithdrawnRow, render, render_list,
};
use cordon_server::ui::paths;

use crate::sample::{Sample, ago};

/// The orders' pages.
pub(crate) fn order_pages(sample: Sample) -> Vec<(&'static str, String)> {
    let (frame, evidence_frame) = (sample.frame(Section::Orders), sample.frame(Section::Rollouts));
    let row = row(sample);
    let over = OrderRow {
        standing: Standing::Over(ago(86_400)),
        release: (sample.said("vp-3/4.1.0"), None),
        rollouts: Vec::new(),
        ..row.clone()
    };
    let draft = DraftRow {
        name: sample.said("vp3-423"),
        by: sample.said("Ines"),
        adds: vec![sample.said("vp3-423-1"), sample.said("vp3-423-2")],
        withdraws: vec![sample.said("vp3-422-1")],
        keys: (1, 2),
        until: ago(-14 * 86_400),
    };
    let order = Order {
        row: row.clone(),
        facts: vec![
            Fact::new("In force", "from 18 Nov 08:00").note("until 2 Dec 08:00"),
            Fact::new("Reboots", "with the word of the device's application"),
            Fact::new("Go", "each device asks this server; a go is good for 15 min"),
            Fact::new("Way back", sample.text("4.1.0")).note("signed, until 10 December"),
        ],
        windows: vec!["Mon to Fri, 22:00 to 05:00 the next day".into(), "Sun, all day".into()],
        keys: vec![sample.said(&"9f2c4e81a7b03d5c".repeat(4)), sample.said(&"03b7d1c2a9f84e66".repeat(4))],
        preview: Ok(preview(sample)),
    };
    let unknown = Order {
        windows: Vec::new(),
        preview: Err("Unknown: the order holds only the root of its list.".into()),
        row: over.clone(),
        ..order.clone()
    };
    let back = Order {
        row: OrderRow { standing: Standing::Withdrawn(15), ..order.row.clone() },
        preview: Err("Nothing: devices refuse it, and its way back is closed.".into()),
        ..order.clone()
    };
    let withdrawn = withdrawn(sample);
    vec![
        ("orders", render_list(&frame, &Orders { rows: vec![row, over], drafts: vec![draft], withdrawn })),
        ("orders-empty", render_list(&frame, &Orders::default())),
        ("order", render(&frame, &order)),
        ("order-withdrawn", render(&frame, &back)),
        ("order-unknown", render(&frame, &unknown)),
        ("evidence", evidence::render(&evidence_frame, &evidence_page(sample))),
        ("evidence-reader", evidence::render(&evidence_frame, &Evidence::default())),
    ]
}

fn withdrawn(sample: Sample) -> Vec<WithdrawnRow> {
    let gone = WithdrawnRow {
        name: sample.said("vp3-420"),
        href: paths::order(&sample.text("vp3-420")),
        release: sample.said("vp-3/4.2.0"),
        reason: sample.said("Closes the hole in the pump's network service"),
        anew: false,
        by: 15,
        signed: "2 keys of at least 2, in document 15".into(),
        brought: Some((sample.said("m.okafor"), ago(7200))),
        rollouts: vec![(
            sample.text("vp3-420"),
            sample.said("VP-3 4.2.0 to 1,912 infusion pumps"),
            "ended by it",
        )],
    };
    let anew = WithdrawnRow { anew: true, brought: None, rollouts: Vec::new(), ..gone.clone() };
    vec![gone, anew]
}

fn evidence_page(sample: Sample) -> Evidence {
    Evidence {
        may_ask: true,
        by: "release".into(),
        name: sample.said("vp-3/4.2.9"),
        known: vec![sample.said("vp3-422-1"), sample.said("vp-3/4.2.2")],
        fault: sample.said("No order was ever published for vp-3/4.2.9"),
        rows: vec![MeasureRow {
            release: sample.said("vp-3/4.2.2"),
            devices: (412, 380),
            patched_permille: 922,
            deployed_s: Some((4 * 86_400, 19 * 86_400)),
        }],
    }
}

fn row(sample: Sample) -> OrderRow {
    OrderRow {
        id: sample.text("vp3-422-1"),
        name: sample.said("vp3-422-1"),
        release: (sample.said("vp-3/4.2.2"), Some("/releases/halden/vp-3%2F4.2.2".into())),
        scope: sample.said("412 devices of a signed list"),
        standing: Standing::InForce(ago(-12 * 86_400)),
        signed: "2 keys of at least 2, in document 14".into(),
        rollouts: vec![(sample.text("vp3-421"), sample.said("VP-3 4.2.1 to 1,912 infusion pumps"))],
        reason: sample.said("Closes the hole in the pump's network service that is under attack"),
    }
}

fn preview(sample: Sample) -> Preview {
    let line = |label: &str, words: &str| (label.to_owned(), sample.said(words));
    Preview {
        lines: vec![
            line("Devices", "412 devices: 380 would install it, 12 run it"),
            line(
                "Left out",
                "14 need another release first, 2 have no application that says whether they are in use",
            ),
            line("Unknown", "4 never said what they run"),
            line("In use", "61 in use now, of 9 nobody says so; a device in use does not reboot"),
            line("Risk", "18,240 points before, 15,757 after"),
        ],
        no_application: (
            vec![(sample.text("d1"), sample.said("VP3-004402"), sample.said("St. Brigid/4B"))],
            2,
        ),
    }
}
