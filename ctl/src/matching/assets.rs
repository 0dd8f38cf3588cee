//! `cordonctl match --devices`, a hospital's own list.
//!
//! Each device of the list stands in the answer, also one that no advisory names: that is no promise, and counted. What is
//! unknown stands beside what is affected, with what to do. Read next: [`super::world`] for what is read,
//! `cordon_server_core::feeds::devices` for what is decided.

use std::collections::BTreeMap;
use std::path::Path;

use cordon_server_core::feeds::asset::{Asset, Assets};
use cordon_server_core::feeds::csaf::RemedyKind;
use cordon_server_core::feeds::devices::{Answer, Catalogue, Verdict};
use cordon_server_core::feeds::naming::Aliases;
use cordon_server_core::feeds::vex::subject::Thing;
use serde_json::{Value, json};

use super::world::{Known, World, refused, rows};
use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;

/// Columns of the table.
const COLUMNS: [&str; 9] =
    ["device", "ward", "model", "version", "answer", "weaknesses", "cvss", "advisory", "what_to_do"];
/// Characters of a maker's advice that stand in the table.
const ADVICE: usize = 60;

/// Matches the list; `all` shows also what is fixed and what never was affected.
pub(super) fn run(world: &World, list: &Path, all: bool, session: &Session<'_>) -> Result<Report, Failure> {
    let aliases = aliases(world)?;
    let assets = read(list)?;
    let mut known = world.read(session.now, aliases.clone())?;
    let catalogue = Catalogue::new(std::mem::take(&mut known.advisories), aliases);
    let (mut table, mut devices, mut counts) = (Vec::new(), Vec::new(), BTreeMap::from(COUNTS));
    for asset in &assets.assets {
        let verdicts = catalogue.judge(asset);
        let thing = thing(asset);
        let judged: Vec<Judged<'_>> = verdicts
            .into_iter()
            .map(|verdict| {
                let names: Vec<&str> = std::iter::once(&verdict.weakness.id)
                    .chain(&verdict.weakness.aliases)
                    .map(String::as_str)
                    .collect();
                Judged { suppressed: known.suppression(&names, &thing), verdict }
            })
            .collect();
        *counts.entry(word(&judged)).or_default() += 1;
        table.extend(lines(asset, &judged, &known, all));
        let verdicts: Vec<Value> = judged.iter().map(|judged| judged.document(asset, &known)).collect();
        devices.push(json!({"device": asset, "answer": word(&judged), "verdicts": verdicts}));
    }
    let (advisories, products) = catalogue.counts();
    let json = json!({
        "v": 1, "feeds": known.feeds.iter().map(super::world::Feed::document).collect::<Vec<_>>(),
        "advisories": advisories, "products": products,
        "left_out": assets.refused, "columns_passed_over": assets.passed_over,
        "counts": counts, "devices": devices, "silent_vex": known.silent(),
    });
    let mut report = Report::table(&COLUMNS, &table, json);
    let count = |word: &str| counts.get(word).copied().unwrap_or_default();
    report.text.push_str(&format!(
        "{} devices: {} affected, {} unknown, {} fixed, {} not affected, {} of a model that no advisory names, which is no promise\n",
        assets.assets.len(),
        count("affected"),
        count("unknown"),
        count("fixed"),
        count("not-affected"),
        count("not-named"),
    ));
    for (why, count) in &assets.refused {
        report.text.push_str(&format!("{count} rows of the list left out: {why}\n"));
    }
    report.text.push_str(&known.lines());
    Ok(report)
}

const COUNTS: [(&str, usize); 5] =
    [("affected", 0), ("unknown", 0), ("fixed", 0), ("not-affected", 0), ("not-named", 0)];

/// A verdict, and the VEX statement that stands beside it.
struct Judged<'a> {
    verdict: Verdict<'a>,
    suppressed: Value,
}

impl Judged<'_> {
    /// The word of the records: a statement stands beside it and hides nothing.
    fn word(&self) -> &'static str {
        self.verdict.answer.word()
    }

    /// For programs; `docs/schemas/match-devices.json`.
    fn document(&self, asset: &Asset, known: &Known) -> Value {
        let Verdict { advisory, weakness, product, place, likeness, answer, bound } = &self.verdict;
        let (fixed, why) = match answer {
            Answer::Affected { fixed } => (*fixed, None),
            Answer::Unknown(why) => (None, Some(why.word())),
            Answer::Fixed | Answer::NotAffected => (None, None),
        };
        let remedies = weakness.remedies_for(*place).map(|remedy| {
            json!({"kind": remedy.kind.word(), "details": remedy.details, "url": remedy.url, "date": remedy.date.map(|at| at.to_string())})
        });
        let cvss = weakness.score_for(*place);
        let mut document = json!({
            "id": weakness.id, "answer": answer.word(), "fixed_version": fixed, "why": why,
            "evidence": {
                "advisory": advisory.id, "title": advisory.title, "maker": product.maker, "product": product.model,
                "by": likeness.word(), "versions": product.versions_text, "narrowed": product.narrowed,
                "installed": asset.version, "bound": bound,
            },
            "cvss": cvss.map(|score| json!({"vector": score.vector, "tenths": score.base_tenths})),
            "remedies": remedies.collect::<Vec<_>>(),
            "suppressed_by": self.suppressed,
        });
        if let Some(fields) = document.as_object_mut() {
            fields.extend(known.facts(&weakness.id));
        }
        document
    }
}

/// The worst word about a device.
fn word(judged: &[Judged<'_>]) -> &'static str {
    let words: Vec<&str> = judged.iter().map(Judged::word).collect();
    let worst =
        ["affected", "unknown", "fixed", "not-affected"].into_iter().find(|word| words.contains(word));
    worst.unwrap_or("not-named")
}

/// For people: a line for each advisory about a device and each answer that it gives.
fn lines(asset: &Asset, judged: &[Judged<'_>], known: &Known, all: bool) -> Vec<Value> {
    let mut groups: BTreeMap<(&str, &str), Vec<&Judged<'_>>> = BTreeMap::new();
    for one in judged.iter().filter(|one| all || matches!(one.word(), "affected" | "unknown")) {
        groups.entry((one.verdict.advisory.id.as_str(), one.word())).or_default().push(one);
    }
    let name = [&asset.tag, &asset.serial, &asset.hostname].into_iter().find(|name| !name.is_empty());
    let line = |((advisory, word), group): ((&str, &str), Vec<&Judged<'_>>)| {
        let highest = group.iter().filter_map(|one| one.verdict.weakness.score_for(one.verdict.place));
        let tenths = highest.map(|score| score.base_tenths).max();
        let exploited = group.iter().any(|one| known.is_exploited(&one.verdict.weakness.id));
        let mut answer = match (word, exploited) {
            ("affected", true) => "AFFECTED, exploited".to_owned(),
            ("affected", false) => "AFFECTED".to_owned(),
            (word, _) => word.to_owned(),
        };
        let stated = group.iter().filter(|one| !one.suppressed.is_null()).count();
        if stated > 0 {
            answer.push_str(&format!("; VEX denies {stated} of {}", group.len()));
        }
        json!({
            "device": name,
            "ward": said(&asset.ward), "model": format!("{} {}", asset.maker, asset.model).trim(),
            "version": said(&asset.version), "answer": answer, "weaknesses": group.len(),
            "cvss": tenths.map(|tenths| format!("{}.{}", tenths / 10, tenths % 10)),
            "advisory": advisory, "what_to_do": group.first().map(|one| advice(one)),
        })
    };
    groups.into_iter().map(line).collect()
}

fn said(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// What to do, in one line: about the doubt, else what the maker offers.
fn advice(one: &Judged<'_>) -> String {
    let Verdict { weakness, place, answer, .. } = &one.verdict;
    match answer {
        Answer::Unknown(why) => why.sentence().to_owned(),
        Answer::Affected { fixed: Some(version) } => format!("install {version} or later"),
        Answer::Affected { fixed: None } => match weakness.remedies_for(*place).next() {
            None => "ask the maker: the advisory names no remedy".to_owned(),
            Some(remedy) => {
                let words: String = remedy.details.split_whitespace().collect::<Vec<_>>().join(" ");
                let short: String = words.chars().take(ADVICE).collect();
                let dots = if short.len() < words.len() { "…" } else { "" };
                let kind = match remedy.kind {
                    RemedyKind::VendorFix => "repair",
                    RemedyKind::Mitigation | RemedyKind::Workaround => "no repair; meanwhile",
                    RemedyKind::NoFixPlanned => "the maker will not repair it",
                    RemedyKind::NoneAvailable => "waiting for the maker",
                };
                format!("{kind}: {short}{dots}")
            }
        },
        Answer::Fixed | Answer::NotAffected => "nothing".to_owned(),
    }
}

fn thing(asset: &Asset) -> Thing {
    let version = Some(asset.version.clone()).filter(|version| !version.is_empty());
    Thing { maker: asset.maker.clone(), name: asset.model.clone(), version, ..Thing::default() }
}

fn read(list: &Path) -> Result<Assets, Failure> {
    let mut assets = Assets::default();
    rows(list, |cells| assets.row(cells).map_err(|why| refused(list, why)))?;
    assets.finish().map_err(|why| refused(list, why))
}

/// The built-in aliases and the site's own: rows of maker, model, alias; without a model it is the maker's name.
fn aliases(world: &World) -> Result<Aliases, Failure> {
    let mut aliases = Aliases::default();
    let Some(path) = &world.aliases else { return Ok(aliases) };
    let mut first = true;
    rows(path, |cells| {
        let header = std::mem::take(&mut first);
        match cells {
            ["maker", "model", "alias"] if header => Ok(()),
            _ if header => Err(refused(path, "its first row is `maker,model,alias`")),
            [maker, "", alias] if !maker.is_empty() && !alias.is_empty() => {
                aliases.add_maker(alias, maker);
                Ok(())
            }
            [maker, model, alias] if [maker, model, alias].iter().all(|cell| !cell.is_empty()) => {
                aliases.add_model(maker, alias, model);
                Ok(())
            }
            _ => Err(refused(
                path,
                format!("write maker, model, alias in each row, not `{}`", cells.join(",")),
            )),
        }
    })?;
    Ok(aliases)
}
