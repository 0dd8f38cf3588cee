//! The sample's releases: the list, one with every file, and none.

use cordon_server::ui::device::Fact;
use cordon_server::ui::frame::Section;
use cordon_server::ui::releases::{
    FileRow, How, Release, ReleaseRow, Releases, Standing, WhatIf, WhatIfRow, render, render_list,
};

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
        what_if: Some(what_if(sample)),
        sbom: vec![("Components".to_owned(), sample.said("213, of which 4 cannot be matched"))],
    };
    let best = Some((sample.said("vp-3/4.2.2"), 248_300));
    vec![
        ("releases", render_list(&frame, &Releases { rows: vec![row, older, gone], models: 1, best })),
        ("releases-empty", render_list(&frame, &Releases::default())),
        ("release", render(&frame, &release)),
    ]
}

fn what_if(sample: Sample) -> WhatIf {
    let row = |how, what: &str, href: Option<&str>| WhatIfRow {
        how,
        what: sample.said(what),
        href: href.map(Into::into),
        devices: 40,
    };
    WhatIf {
        words: sample.said("Release 4.2.2 lowers fleet risk by 2,483 points on 40 devices"),
        devices: 40,
        before: [12, 28, 0, 0],
        after: [0, 1, 4, 35],
        rows: vec![
            row(How::Removed, "CVE-2020-1938 in tomcat9", Some("/vulnerabilities/CVE-2020-1938")),
            row(How::Added, "CVE-2026-9 in zlib", Some("/vulnerabilities/CVE-2026-9")),
            row(How::Changed, "Behind the newest release for 90 days", None),
        ],
        more: 11,
        vulnerabilities: [31, 1],
        by_bill: true,
        unknown: sample.said("Of 4 components nobody could say afterwards whether they are hit."),
    }
}
