//! The sample's vulnerabilities, feeds, drift and risk of the fleet, in the states that a reader meets.

use cordon_server::ui::DeviceState;
use cordon_server::ui::asset_import::{self, AddedRow, AssetImport, ChangeRow, ListRow, Preview};
use cordon_server::ui::device::Fact;
use cordon_server::ui::devices::{Choice, Step};
use cordon_server::ui::drift::{self, Difference, Drift};
use cordon_server::ui::exposures::{self, Exposure, Exposures, Group};
use cordon_server::ui::feeds::{self, Feed, FeedRow, Feeds, Form, Standing};
use cordon_server::ui::fleet_risk::{self, BoardRow, FleetRisk, Measure, SupportRow, Unseen};
use cordon_server::ui::frame::Section;
use cordon_server::ui::vulnerabilities::{
    self, Counts, Exploited, Fix, Ground, Vulnerabilities, VulnerabilityQuery, VulnerabilityRow,
};
use cordon_server::ui::vulnerability::{
    self, Accepted, Answered, DeviceList, Evidence, Hit, Part, Source, Statement, Vulnerability,
};
use cordon_server_core::risk::{Band, Owner, Value};

use crate::sample::{Sample, ago};

/// All pages of what is known of the world.
pub(crate) fn pages(sample: Sample) -> Vec<(&'static str, String)> {
    let frame = sample.frame(Section::Vulnerabilities);
    let list = |page: &Vulnerabilities| vulnerabilities::render(&frame, page);
    let preparing = Ground { preparing: true, ..Ground::default() };
    let devices = sample.frame(Section::Devices);
    let blind = sample.said("It told no list of software, and no advisory names its model.");
    let no_drift = Drift {
        release: sample.said(""),
        found: Err(sample.said("Its release came without one.")),
        ..drift_of(sample)
    };
    vec![
        ("vulnerabilities", list(&found(sample))),
        ("vulnerabilities-search", list(&searched(sample))),
        ("vulnerabilities-none", list(&filtered(sample))),
        ("vulnerabilities-empty", list(&Vulnerabilities::default())),
        (
            "vulnerabilities-preparing",
            list(&Vulnerabilities { ground: preparing, ..Vulnerabilities::default() }),
        ),
        ("vulnerability", vulnerability::render(&frame, &one(sample))),
        ("vulnerability-clear", vulnerability::render(&frame, &clear(sample))),
        ("exposures", exposures::render(&devices, &exposures_of(sample))),
        (
            "exposures-blind",
            exposures::render(
                &devices,
                &Exposures { groups: Vec::new(), answers: [0; 4], blind, ..exposures_of(sample) },
            ),
        ),
        ("drift", drift::render(&devices, &drift_of(sample))),
        ("drift-none", drift::render(&devices, &no_drift)),
        ("feeds", feeds::render_list(&frame, &feeds_of(sample))),
        ("feeds-empty", feeds::render_list(&frame, &Feeds { missing: missing(), ..Feeds::default() })),
        ("feed", feeds::render(&frame, &feed(sample))),
        ("feed-new", feeds::render_form(&frame, &form(sample))),
        ("asset-import", asset_import::render(&devices, &import_form(sample))),
        ("asset-import-preview", asset_import::render(&devices, &import_preview(sample))),
        ("risk", fleet_risk::render(&sample.frame(Section::Overview), &risk(sample))),
        (
            "risk-empty",
            fleet_risk::render(
                &sample.frame(Section::Overview),
                &FleetRisk { cut: "ward", ..FleetRisk::default() },
            ),
        ),
    ]
}

fn import_form(sample: Sample) -> AssetImport {
    AssetImport {
        list: sample.said("cmms"),
        site: sample.said("St. Brigid"),
        fault: sample.said("The list: it has no column `model`."),
        lists: vec![ListRow {
            name: sample.said("cmms"),
            at: ago(6 * 86_400),
            by: sample.said("ines"),
            devices: 1240,
            doubtful: 3,
        }],
        most: 32 * 1024 * 1024,
        preview: None,
    }
}

fn import_preview(sample: Sample) -> AssetImport {
    let preview = Preview {
        token: sample.text("0f3a"),
        rows: 1243,
        added: 2,
        added_rows: vec![AddedRow {
            row: 7,
            name: sample.said("T-77"),
            what: sample.said("Philips MX40"),
            place: sample.said("St. Brigid / ICU 9"),
        }],
        changed: 1,
        unchanged: 1236,
        gone: 1,
        changes: vec![
            ChangeRow {
                row: Some(9),
                name: sample.said("T-78"),
                href: "/devices/0f3a".into(),
                what: sample.said("ward 4B, was 4A"),
            },
            ChangeRow {
                row: None,
                name: sample.said("T-79"),
                href: "/devices/0f3b".into(),
                what: sample.said("not in the list any more"),
            },
        ],
        doubtful: 3,
        doubtful_rows: vec![(12, sample.said("This device stands in row 14 too: leave one of the two."))],
        passed_over: vec![sample.said("Price"), sample.said("Supplier")],
    };
    AssetImport { list: sample.said("cmms"), preview: Some(preview), ..AssetImport::default() }
}

fn install(sample: Sample) -> Step {
    Step {
        short: sample.said("Install 4.2.2"),
        owner: Owner::It,
        due: Some(ago(-2 * 86_400)),
        waiting_since: None,
    }
}

fn ground() -> Ground {
    Ground {
        preparing: false,
        feeds: 3,
        stale: 1,
        oldest: Some(ago(12 * 86_400)),
        newest: Some(ago(6 * 3600)),
        unseen: 38,
        unmatchable: 412,
    }
}

fn row(sample: Sample) -> VulnerabilityRow {
    VulnerabilityRow {
        id: sample.text("CVE-2020-1938"),
        name: sample.said("CVE-2020-1938"),
        aliases: vec![sample.said("DSA-4673-1")],
        packages: vec![sample.said("tomcat9")],
        models: vec![sample.said("VP-3")],
        cvss_tenths: Some(98),
        exploited: Exploited::Ransomware,
        epss_millionths: Some(992_700),
        affected: 41,
        unknown: 6,
        in_use: 12,
        wards: 5,
        step: Some(install(sample)),
        fix: Fix::Release,
        accepted: 0,
    }
}

fn rows(sample: Sample) -> Vec<VulnerabilityRow> {
    let other = |id: &str, package: &str, tenths, affected| VulnerabilityRow {
        id: sample.text(id),
        name: sample.said(id),
        aliases: Vec::new(),
        packages: vec![sample.said(package)],
        cvss_tenths: tenths,
        exploited: Exploited::NotListed,
        epss_millionths: Some(600),
        affected,
        unknown: 0,
        in_use: 0,
        wards: 2,
        ..row(sample)
    };
    let waits = Step {
        short: sample.said("Wait for the maker"),
        owner: Owner::Maker,
        due: None,
        waiting_since: Some(ago(80 * 86_400)),
    };
    vec![
        row(sample),
        VulnerabilityRow { step: None, accepted: 3, ..other("CVE-2026-0001", "openssl", Some(75), 214) },
        VulnerabilityRow {
            fix: Fix::None,
            step: Some(waits),
            ..other("ICSMA-26-311-01", "Aerion V5", Some(68), 9)
        },
        VulnerabilityRow {
            unknown: 17,
            exploited: Exploited::Unknown,
            epss_millionths: None,
            ..other("CVE-2025-4802", "glibc", None, 0)
        },
    ]
}

fn found(sample: Sample) -> Vulnerabilities {
    let choice =
        Choice { name: "model", label: "Model", values: vec![sample.said("VP-3"), sample.said("Aerion V5")] };
    Vulnerabilities {
        query: VulnerabilityQuery::default(),
        total: 318,
        matching: 318,
        counts: Counts { severities: [12, 96, 171, 31], exploited: 4, unknown: 23, waiting: 7, due: 3 },
        rows: rows(sample),
        choices: vec![choice],
        without: Vec::new(),
        ground: ground(),
    }
}

fn searched(sample: Sample) -> Vulnerabilities {
    let query =
        VulnerabilityQuery { text: Some(sample.text("CVE-2026-9999")), ..VulnerabilityQuery::default() };
    Vulnerabilities { query, matching: 0, rows: Vec::new(), ..found(sample) }
}

fn filtered(sample: Sample) -> Vulnerabilities {
    let query = VulnerabilityQuery {
        text: Some(sample.text("tomcat9")),
        severity: Some(Band::Low),
        fix: Some(Fix::Version),
        ..VulnerabilityQuery::default()
    };
    Vulnerabilities {
        query,
        matching: 0,
        rows: Vec::new(),
        without: vec![("severity", 4), ("fix", 1), ("q", 0)],
        ..found(sample)
    }
}

fn hit(sample: Sample, answer: Answered) -> Hit {
    Hit {
        id: sample.text("d1"),
        name: sample.said("VP3-004417"),
        kind: sample.said("Infusion pump"),
        place: sample.said("4B Cardiology, bed 12"),
        risk: Value { hundredths: 7973, band: Band::Critical },
        state: DeviceState::InUse { patient: true },
        answer,
        what: sample.said("tomcat9 9.0.31-1"),
        step: (answer == Answered::Affected).then(|| install(sample)),
        accepted: false,
    }
}

fn evidence(sample: Sample) -> Vec<Evidence> {
    let of = |answer, installed: &str, says: &str, command: Option<&str>, devices| Evidence {
        answer,
        what: sample.said("Debian:10 tomcat9"),
        installed: sample.said(installed),
        record: sample.said("DSA-4673-1"),
        says: sample.said(says),
        command: command.map(|command| sample.said(command)),
        devices,
    };
    vec![
        of(
            Answered::Affected,
            "9.0.31-1",
            "repaired in 9.0.31-1~deb10u2",
            Some("cordonctl version-compare --scheme deb 9.0.31-1 9.0.31-1~deb10u2"),
            41,
        ),
        of(Answered::Unknown, "9.0", "the installed version is no version by its own rules", None, 6),
    ]
}

fn one(sample: Sample) -> Vulnerability {
    let part = |name: &str, affected, unknown| Part {
        name: sample.said(name),
        value: sample.text(name),
        affected,
        unknown,
        in_use: 4,
    };
    let accepted = Accepted {
        href: "/vulnerabilities".into(),
        devices: sample.said("2 devices"),
        until: ago(-103 * 86_400),
        by: sample.said("A. Lindqvist, second approver J. Weiss"),
        reason: sample.said("isolated network"),
    };
    Vulnerability {
        row: row(sample),
        summary: sample.said("The AJP connector trusts incoming connections, which lets a caller read files of the web application."),
        facts: vec![
            Fact::new("Exploited", "By ransomware").note("since 3 Mar 2022"),
            Fact::new("EPSS", "99.2\u{202f}%").note("chance within 30 days"),
            Fact::new("CVSS", sample.text("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H").as_str()),
            Fact::new("Also named", sample.text("DSA-4673-1")),
        ],
        answers: [41, 6, 120, 3],
        query: DeviceList { ward: Some(sample.text("4B Cardiology")), ..DeviceList::default() },
        matching: 14,
        devices: vec![hit(sample, Answered::Affected), hit(sample, Answered::Unknown), Hit { accepted: true, ..hit(sample, Answered::NotAffected) }],
        steps: vec![(install(sample), 41)],
        rollout: Some("cordonctl devices select --where advisory=CVE-2020-1938 --out scope.tsv".into()),
        wards: vec![part("4B Cardiology", 14, 0), part("Intensive care 2", 20, 6)],
        models: vec![part("VP-3", 41, 6)],
        evidence: evidence(sample),
        statements: vec![
            Statement { of: sample.said("Aerion V5"), says: sample.said("not affected"), reason: sample.said("vulnerable code not in execute path"), issuer: sample.said("Aerion"), at: Some(ago(20 * 86_400)), devices: 3 },
            Statement { of: sample.said("pkg:deb/debian/tomcat8"), says: sample.said("fixed"), reason: sample.said(""), issuer: sample.said("Aerion"), at: None, devices: 0 },
        ],
        exceptions: vec![accepted],
        sources: vec![
            Source { feed: sample.said("debian"), records: vec![sample.said("DSA-4673-1")], as_of: Some(ago(12 * 86_400)), stale: true, says: vec![sample.said("Debian:10 tomcat9: repaired in 9.0.31-1~deb10u2")] },
            Source { feed: sample.said("kev"), records: vec![sample.said("CVE-2020-1938")], as_of: None, stale: false, says: Vec::new() },
        ],
        ground: ground(),
    }
}

/// A weakness that feeds name and no device has.
fn clear(sample: Sample) -> Vulnerability {
    let row = VulnerabilityRow {
        affected: 0,
        unknown: 0,
        in_use: 0,
        wards: 0,
        step: None,
        fix: Fix::None,
        ..row(sample)
    };
    Vulnerability { row, ground: ground(), ..Vulnerability::default() }
}

fn exposures_of(sample: Sample) -> Exposures {
    let exposure = |id: &str, answer| Exposure {
        id: sample.text(id),
        name: sample.said(id),
        cvss_tenths: Some(98),
        exploited: Exploited::Listed,
        epss_millionths: Some(992_700),
        answer,
        says: sample.said("below 9.0.31-1~deb10u2, which repairs it"),
        command: Some(sample.said("cordonctl version-compare --scheme deb 9.0.31-1 9.0.31-1~deb10u2")),
        step: (answer == Answered::Affected).then(|| install(sample)),
        since: Some(ago(14 * 86_400)),
        accepted: answer == Answered::Unknown,
    };
    let group = |name: &str, rows| Group {
        name: sample.said(name),
        installed: sample.said("9.0.31-1"),
        kind: sample.said("Debian:10"),
        rows,
    };
    let many = (0..14).map(|n| exposure(&format!("CVE-2026-{n:04}"), Answered::Affected)).collect();
    Exposures {
        head: sample.device().head,
        answers: [15, 1, 84, 2],
        answer: Answered::Open,
        groups: vec![
            group(
                "tomcat9",
                vec![
                    exposure("CVE-2020-1938", Answered::Affected),
                    exposure("CVE-2021-1", Answered::Unknown),
                ],
            ),
            group("openssl", many),
        ],
        unmatchable: vec![(sample.said("packages of a system whose release is not known"), 3)],
        blind: sample.said(""),
        exceptions: Vec::new(),
        ground: ground(),
    }
}

fn drift_of(sample: Sample) -> Drift {
    let found = Difference {
        declared: sample.said("198 of 200"),
        files: vec![(sample.said("opt/pump/therapy"), sample.said("missing"))],
        same: 208,
        missing: vec![(sample.said("pkg:deb/debian/rsyslog"), sample.said("8.2302.0-1"))],
        extra: vec![(sample.said("pkg:deb/debian/netcat"), sample.said("1.10-47"))],
        other: vec![(
            sample.said("pkg:deb/debian/tomcat9"),
            sample.said("9.0.43-1"),
            sample.said("9.0.31-1"),
        )],
        unnamed: 3,
    };
    Drift { head: sample.device().head, release: sample.said("vp-3/4.1.0"), found: Ok(found) }
}

fn feed_row(sample: Sample) -> FeedRow {
    FeedRow {
        name: sample.said("debian"),
        kind: "OSV records",
        as_of: ago(6 * 3600),
        dated_by: "by its own word",
        standing: Standing::Fresh,
        records: 48_201,
        refused: 12,
        signer: sample.said("9f2c4e81a7b03d5c"),
        received: ago(3600),
        by: sample.said("M. Okafor"),
    }
}

fn missing() -> Vec<(&'static str, &'static str)> {
    vec![(
        "EPSS",
        "How likely an attack is stays assumed at 1 % for everything that is not listed as exploited.",
    )]
}

fn feeds_of(sample: Sample) -> Feeds {
    let old = FeedRow {
        name: sample.said("kev"),
        standing: Standing::Stale,
        as_of: ago(12 * 86_400),
        refused: 0,
        signer: sample.said(""),
        ..feed_row(sample)
    };
    let ahead = FeedRow { name: sample.said("eol"), standing: Standing::Ahead, ..feed_row(sample) };
    let vex = FeedRow { name: sample.said("halden"), standing: Standing::Lasting, ..feed_row(sample) };
    Feeds {
        rows: vec![feed_row(sample), old, ahead, vex],
        missing: missing(),
        turned_away: vec![(sample.said("wrongly signed"), 2)],
        preparing: true,
        size: "61,204 records about 31,877 packages.".into(),
        may_bring: true,
    }
}

fn feed(sample: Sample) -> Feed {
    Feed {
        row: feed_row(sample),
        facts: vec![
            Fact::new("Of when", "20 Nov").note("by its own word"),
            Fact::new("SHA-256", "9f2c4e81a7b0"),
        ],
        refused: vec![(sample.said("too many ranges"), 12)],
        mended: vec![(sample.said("withdrawn records left out"), 301)],
        first_refused: Some((
            sample.said("CVE-2017-0001.json"),
            sample.said("a range of 4,000 events is too long"),
        )),
        length: 48_201_113,
        silent: vec![sample.said("CVE-2022-1 of pkg:deb/debian/zlib")],
    }
}

fn form(sample: Sample) -> Form {
    Form {
        typed: vec![("kind".into(), "osv".into()), ("name".into(), sample.text("debian"))],
        kinds: vec![("osv", "OSV records"), ("kev", "CISA KEV: what is exploited")],
        fault: sample.said("it has 12 records where 48,201 are in force: see whether it is whole"),
        can_confirm: true,
        most: 256 << 20,
    }
}

fn risk(sample: Sample) -> FleetRisk {
    let board = |name: &str, bands: [u64; 4], step: bool| BoardRow {
        name: sample.said(name),
        href: "/devices?ward=4B".into(),
        bands,
        critical_href: "/devices?band=critical&ward=4B".into(),
        hundredths: 412_300,
        step: step.then(|| (install(sample), 41)),
    };
    FleetRisk {
        cut: "ward",
        hundredths: 8_180_400,
        devices: 4812,
        index: Some(17),
        critical: 63,
        due: 1,
        rows: vec![
            board("Intensive care 2", [19, 40, 80, 73], true),
            board("4B Cardiology", [12, 22, 60, 54], true),
            board("Neonatal", [0, 1, 20, 100], false),
        ],
        support: vec![
            SupportRow {
                what: sample.said("Debian GNU/Linux 10"),
                stage: sample.said("security updates"),
                at: ago(500 * 86_400),
                devices: 12,
                href: "/devices".into(),
                next: sample.said(""),
            },
            SupportRow {
                what: sample.said("VP-3 4.1.0"),
                stage: sample.said("limited support"),
                at: ago(-200 * 86_400),
                devices: 912,
                href: "/devices".into(),
                next: sample.said("4.2.2"),
            },
        ],
        unseen: vec![
            Unseen {
                count: 300,
                what: sample.said("devices known from an asset list alone"),
                means: sample.said("nothing of them was measured"),
                href: Some("/devices".into()),
            },
            Unseen {
                count: 1,
                what: sample.said("feed is too old"),
                means: sample.said("what came out since is not known"),
                href: None,
            },
        ],
        measures: vec![
            Measure { figure: "41.2 %".into(), means: sample.said("Patched: devices that proved it.") },
            Measure {
                figure: "half within 9 days, all within 61".into(),
                means: sample.said("Available to deployed."),
            },
        ],
        exports: vec![("Register as CSV", "/api/v1/risk/register?form=csv".into())],
    }
}
