//! Usage descriptions over real files and real traffic.
//!
//! Every file is read, every recorded flow is explained, an entry
//! that is taken out is missed, and what is generated from a recording allows all of it.
//!
//! Files and recordings are no part of the project: where `CORDON_DATA` does not name them, the tests are skipped. The
//! signature is made by OpenSSL, the peer.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use cordon_agent_core::detect::Detectors;
use cordon_agent_core::mud::{Verdict, judge, nearest};
use cordon_agent_core::profile::{Learning, Profile};
use cordon_proto::mud::Usage;
use cordon_proto::telemetry::{Direction, Protocol};
use cordon_server_core::mud::check::check;
use cordon_server_core::mud::compile::{Compiled, Site, compile};
use cordon_server_core::mud::generate::{About, Seen, generate};
use cordon_server_core::mud::read::read;
use cordon_sim::program::program;
use cordon_sim::recorded::{self, PAIRS, Row};
use cordon_sim::skip;
use cordonctl::mud::flows::Flow;
use cordonctl::mud::generate::{of_flows, of_profile};
use tempfile::TempDir;

fn recordings() -> Option<PathBuf> {
    let folder = recorded::folder();
    if folder.is_none() {
        skip::skip("no MUD files and flows: name a folder with anomaly in CORDON_DATA");
    }
    folder
}

fn say(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).expect("stderr is open");
}

fn opened(path: &Path) -> Compiled {
    let bytes = fs::read(path).expect("reads");
    let file = read(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    compile(&file, &Site::default())
}

fn pair(folder: &Path, (device, mud): (&str, &str)) -> (Vec<Row>, Compiled) {
    (recorded::rows(folder, device), opened(&folder.join("mud-unsw").join(mud)))
}

#[test]
fn every_mud_file_is_read_checked_and_held_by_a_device() {
    // Goal: files as makers and tools write them. Method: all of both collections; entries, rules and warnings printed.
    let Some(folder) = recordings() else { return };
    let mut table = String::from("file, entries, rules, warnings, bytes on a device\n");
    let mut files = 0;
    for collection in ["mud-unsw", "mud-nist"] {
        let listed = folder.join(collection).read_dir().expect("lists");
        let mut paths: Vec<PathBuf> = listed.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.extension() == Some(OsStr::new("json"))) {
            let file = read(&fs::read(path).expect("reads"))
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let Compiled { usage, names, .. } = compile(&file, &Site::default());
            let bytes = usage.encode();
            assert_eq!(Usage::decode(&bytes).as_ref(), Ok(&usage), "{}", path.display());
            assert_eq!(names.len(), usage.rules.len());
            let entries: usize = file.lists.iter().map(|list| list.entries.len()).sum();
            assert!(!usage.rules.is_empty(), "{}", path.display());
            let warnings = check(&file, &Site::default()).len();
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or("?");
            table.push_str(&format!(
                "{name}, {entries}, {}, {warnings}, {}\n",
                usage.rules.len(),
                bytes.len()
            ));
            files += 1;
        }
    }
    say(&table);
    assert_eq!(files, 18, "fourteen of UNSW and four of NIST");
}

/// Rows by what is said of them: by entry where one allows them.
fn explained(rows: &[Row], compiled: &Compiled) -> (usize, BTreeMap<usize, usize>, BTreeMap<String, usize>) {
    let (mut conform, mut used, mut others) = (0, BTreeMap::new(), BTreeMap::new());
    for row in rows {
        let way = row.way();
        match judge(&compiled.usage, &way, true) {
            Verdict::Allowed(place) => {
                conform += 1;
                *used.entry(place).or_default() += 1;
            }
            Verdict::Stopped(_) | Verdict::Unjudged(_) | Verdict::Unlisted => {
                let near = nearest(&compiled.usage, &way).and_then(|(place, _)| compiled.names.get(place));
                let service = row.flow.service_port();
                let who = row
                    .flow
                    .name
                    .as_deref()
                    .map_or_else(|| row.flow.tuple.remote.address.to_string(), str::to_owned);
                let near = near.map_or("no entry", String::as_str);
                let says = if row.says == Direction::Outbound { "out" } else { "in" };
                *others.entry(format!("{says} {who} {service}, near: {near}")).or_default() += 1;
            }
        }
    }
    (conform, used, others)
}

#[test]
fn recorded_flows_conform_and_each_other_one_is_explained() {
    // Goal: evidence target T4. Method: each pair of a trace and its file; what does not conform is printed with the entry
    // that is nearest. The 96.4 % of the evidence are of eleven traces, of which six are here; of these 95.9 % conform, and
    // half of the rest is one device whose file forgets its time servers. The figure is kept: a judge that drifts is seen.
    let Some(folder) = recordings() else { return };
    let (mut all, mut conforming) = (0, 0);
    for names in PAIRS {
        let (rows, compiled) = pair(&folder, names);
        let (conform, used, others) = explained(&rows, &compiled);
        (all, conforming) = (all + rows.len(), conforming + conform);
        say(&format!(
            "{}: {conform} of {} flows conform, {} of {} rules used\n",
            names.0,
            rows.len(),
            used.len(),
            compiled.names.len()
        ));
        assert_eq!(conform + others.values().sum::<usize>(), rows.len());
        for (what, count) in others.iter().take(12) {
            say(&format!("  {count:>5} x {what}\n"));
        }
    }
    say(&format!(
        "all: {conforming} of {all} flows conform, {:.2} %\n",
        100.0 * f64::from(u32::try_from(conforming).expect("few"))
            / f64::from(u32::try_from(all).expect("few"))
    ));
    assert_eq!((conforming, all), (27_500, 28_669), "the judge became looser or stricter");
}

#[test]
fn an_entry_that_is_taken_out_is_missed() {
    // Goal: no entry is there for nothing. Method: of every entry that allowed a flow, the file without it: fewer flows
    // conform, or all of its flows are allowed by another entry, which then says the same and is named.
    let Some(folder) = recordings() else { return };
    let (mut dropped, mut twice) = (0, 0);
    for names in PAIRS {
        let (rows, compiled) = pair(&folder, names);
        let (conform, used, _) = explained(&rows, &compiled);
        for place in used.keys() {
            let mut without = compiled.clone();
            without.usage.rules.remove(*place);
            without.names.remove(*place);
            let (fewer, now, _) = explained(&rows, &without);
            dropped += 1;
            if fewer < conform {
                continue;
            }
            twice += 1;
            let before = used.get(place).copied().unwrap_or(0);
            let rest: usize = used.iter().filter(|(other, _)| *other != place).map(|(_, count)| count).sum();
            assert_eq!(now.values().sum::<usize>(), rest + before, "its flows are somebody's");
            say(&format!(
                "{}: {} is not missed: other entries allow its {before} flows\n",
                names.0, compiled.names[*place]
            ));
        }
    }
    say(&format!(
        "{dropped} used entries taken out one by one, {twice} not missed because others say the same\n"
    ));
    assert_eq!((dropped, twice), (45, 0));
}

fn about(device: &str) -> About {
    About {
        url: format!("https://maker.example/{device}"),
        made: "2026-01-02T03:04:05Z".to_owned(),
        system: device.to_owned(),
        maker: None,
        model: None,
    }
}

fn reloaded(device: &str, seen: &[Seen]) -> Compiled {
    let text = generate(&about(device), seen).expect("a file holds so many");
    let file = read(text.as_bytes()).expect("what is written is read");
    compile(&file, &Site::default())
}

#[test]
fn what_is_generated_allows_all_of_its_own_window() {
    // Goal: generate, reload, 100 %. Method: from the flows of each recording, and from the profile that was learned of it.
    let Some(folder) = recordings() else { return };
    for (device, _) in PAIRS {
        let rows = recorded::rows(&folder, device);
        let flows: Vec<Flow> = rows.iter().map(observed).collect();
        let made = reloaded(device, &of_flows(&flows));
        for flow in &flows {
            for says in flow.ways() {
                let verdict = judge(&made.usage, &flow.way(says), true);
                assert!(matches!(verdict, Verdict::Allowed(_)), "{device}: {flow:?} {says:?}: {verdict:?}");
            }
        }
        let mut detectors = Detectors::new(Profile::new(), Learning { least_s: i64::MAX, most_s: i64::MAX });
        rows.iter().for_each(|row| drop(detectors.observe(&row.flow, row.flow.start)));
        let learned = reloaded(device, &of_profile(detectors.profile()));
        for flow in &flows {
            for says in flow.ways() {
                let verdict = judge(&learned.usage, &flow.way(says), true);
                assert!(
                    matches!(verdict, Verdict::Allowed(_)),
                    "{device}, profile: {flow:?} {says:?}: {verdict:?}"
                );
            }
        }
        say(&format!(
            "{device}: {} rules from {} flows, {} from its profile\n",
            made.names.len(),
            flows.len(),
            learned.names.len()
        ));
    }
}

/// A row as `observe` would tell of it, answered.
fn observed(row: &Row) -> Flow {
    let tuple = row.flow.tuple;
    let outbound = row.flow.direction == Direction::Outbound;
    Flow {
        start: row.flow.start.seconds().to_string(),
        protocol: tuple.protocol,
        opened: row.flow.direction,
        peer: tuple.remote.address,
        peer_port: tuple.remote.port,
        own_port: tuple.local.port,
        name: row.flow.name.as_deref().filter(|_| outbound).map(str::to_owned),
        went: [true, tuple.protocol != Protocol::Icmp],
    }
}

/// A folder with a MUD file, a CA, a signer below it, and a signature of the signer, all by OpenSSL.
fn signed(usage: &str) -> Option<TempDir> {
    let openssl = skip::require_package("openssl")?;
    let folder = tempfile::tempdir().expect("a scratch folder");
    let about = About { model: Some("Pump".to_owned()), ..about("pump") };
    fs::write(folder.path().join("pump.json"), generate(&about, &[]).expect("short")).expect("writes");
    fs::write(folder.path().join("leaf.ext"), format!("basicConstraints=CA:FALSE\nkeyUsage={usage}\n"))
        .expect("writes");
    let ec = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let steps = [
        format!("req -x509 -days 30 -subj /CN=Maker-CA -keyout ca.key -out ca.pem {ec}"),
        format!("req -subj /CN=MUD-signer -keyout leaf.key -out leaf.csr {ec}"),
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 20 -extfile leaf.ext -out leaf.pem".to_owned(),
        "cms -sign -binary -in pump.json -signer leaf.pem -inkey leaf.key -outform DER -md sha256 -out pump.p7s".to_owned(),
    ];
    for step in steps {
        let run = program(&openssl)
            .args(step.split(' '))
            .current_dir(folder.path())
            .output()
            .expect("openssl runs");
        assert!(run.status.success(), "openssl {step}: {}", String::from_utf8_lossy(&run.stderr));
    }
    Some(folder)
}

fn checked(folder: &TempDir, [file, signature, ca]: [&str; 3]) -> (u8, String) {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let words = ["cordonctl", "mud", "check"].map(str::to_owned);
    let more = [path(file), "--signature".to_owned(), path(signature), "--ca".to_owned(), path(ca)];
    let status = cordonctl::run_with(words.into_iter().chain(more), &mut out, &mut err);
    (status, String::from_utf8([out, err].concat()).expect("text"))
}

#[test]
fn a_signature_of_openssl_is_believed_and_nothing_else_is() {
    // Goal: RFC 8520, section 13, against a live peer. Method: OpenSSL signs; then another file, another authority, a
    // flipped byte, a key that may not sign, and a file that is no signature.
    let Some(desk) = signed("digitalSignature") else { return };
    let refused = |folder: &TempDir, files, words: &str| {
        let (status, told) = checked(folder, files);
        assert!(status == 1 && told.contains(words), "{status} {told}");
    };
    let (status, told) = checked(&desk, ["pump.json", "pump.p7s", "ca.pem"]);
    assert!(status == 0 && told.contains("signed by CN=MUD-signer"), "{status} {told}");
    let file = fs::read_to_string(desk.path().join("pump.json")).expect("reads");
    fs::write(desk.path().join("other.json"), file.replace("48", "47")).expect("writes");
    refused(&desk, ["other.json", "pump.p7s", "ca.pem"], "is of another file");
    let mut bytes = fs::read(desk.path().join("pump.p7s")).expect("reads");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(desk.path().join("bent.p7s"), &bytes).expect("writes");
    refused(
        &desk,
        ["pump.json", "bent.p7s", "ca.pem"],
        "does not verify under the certificate of CN=MUD-signer",
    );
    refused(&desk, ["pump.json", "pump.json", "ca.pem"], "is no CMS signature in DER");
    let other = signed("keyAgreement").expect("OpenSSL was there before");
    fs::copy(other.path().join("ca.pem"), desk.path().join("other.pem")).expect("copies");
    refused(&desk, ["pump.json", "pump.p7s", "other.pem"], "who is not certified by the authority");
    refused(&other, ["pump.json", "pump.p7s", "ca.pem"], "lacks digitalSignature");
}
