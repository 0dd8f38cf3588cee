//! The sample's releases: the list, one with every file, and none.

use cordon_server::ui::device::Fact;
use cordon_server::ui::frame::Section;
use cordon_server::ui::releases::{FileRow, Release, ReleaseRow, Releases, Standing, render, render_list};

use crate::sample::{Sample, ago};

/// The releases' pages.
pub(crate) fn release_pages(sample: Sample) -> Vec<(&'static str, String)> {
    let frame = sample.frame(Section::Rollouts);
    let row = ReleaseRow {
        id: (sample.text("halden"), sample.text("vp-3/4.2.2")),
        name: sample.said("vp-3/4.2.2"),
        model: (sample.said("VP-3"), "/devices?model=VP-3".to_owned()),
        standing: Standing::Newest,
        counter: 42,
        signers: 2,
        documents: vec!["SBOM", "VEX", "MUD file"],
        imported: ago(3 * 86_400),
        runs_on: 412,
    };
    let [older, gone] = [Standing::Older, Standing::Delisted].map(|standing| ReleaseRow {
        standing,
        documents: Vec::new(),
        signers: 0,
        ..row.clone()
    });
    let file = |part, form: &str, counts: &str, here| FileRow {
        part,
        form: sample.said(form),
        counts: counts.to_owned(),
        length: 48_201_113,
        sha256: "9f2c4e81a7b03d5c".repeat(4),
        here,
    };
    let release = Release {
        row: row.clone(),
        facts: vec![
            Fact::new("Maker's signature", "2 keys").note(sample.said("of halden, until 3 Sep").raw()),
            Fact::new("Hardware", sample.said("C, D").raw()),
            Fact::new("Counter", "42").note("from 30 on; nothing below 41 afterwards"),
        ],
        files: vec![
            file("image", "", "", true),
            file("SBOM", "CycloneDX 1.6", "213 components", true),
            file("VEX", "not readable", "", false),
        ],
        orders: vec![sample.said("vp3-422-1")],
        effect: vec![
            ("Devices".to_owned(), "412 run it, 1,391 run an older one".into()),
            ("Vulnerabilities".to_owned(), "Unknown: no advisories have been matched yet.".into()),
        ],
    };
    let best = Some((sample.said("vp-3/4.2.2"), 248_300));
    vec![
        ("releases", render_list(&frame, &Releases { rows: vec![row, older, gone], models: 1, best })),
        ("releases-empty", render_list(&frame, &Releases::default())),
        ("release", render(&frame, &release)),
    ]
}
