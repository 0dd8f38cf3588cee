//! Golden pieces of pages, and sums that people can check by hand.

use cordon_server::ui::score_bar::{bar, rows};
use cordon_server_core::risk::facts::{Exposure, Finding, FindingSeverity};
use cordon_server_core::risk::model::RISK_V1;
use cordon_server_core::risk::{Kind, score};
use proptest::prelude::*;

use crate::sample::{NOW, Sample, ago};

/// The part of a page between two marks.
fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
    let begins = page.find(from).unwrap_or_else(|| panic!("no {from}"));
    let rest = &page[begins..];
    &rest[..rest.find(to).unwrap_or_else(|| panic!("no {to} after {from}")) + to.len()]
}

fn page(name: &str) -> String {
    Sample::plain().gallery().into_iter().find(|(known, _)| *known == name).unwrap().1
}

/// Lines without the drawings inside.
fn without_svg(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("<svg") {
        plain.push_str(&rest[..at]);
        let end = rest[at..].find("</svg>").map_or(rest.len(), |end| at + end + 6);
        rest = &rest[end..];
    }
    plain + rest
}

#[test]
fn a_row_of_the_device_list_leads_with_what_to_do() {
    // Goal: risk, step, whose, due, device, place, state, in that order. Method: golden row.
    let page = page("devices");
    let row = without_svg(between(&page, "<tr role=\"row\" data-row>", "</tr>"));
    assert_eq!(row, include_str!("golden/device_row.html").trim_end());
}

#[test]
fn a_finding_tells_four_things_in_order() {
    // Goal: what changed, why it matters, how sure, what to do. Method: golden list.
    let page = page("finding");
    assert_eq!(
        between(&page, "<dl class=\"four\">", "</dl>"),
        include_str!("golden/finding_four.html").trim_end()
    );
}

#[test]
fn the_question_before_an_act_is_whole() {
    // Goal: number, effect, limits of the effect, reason, button. Method: golden form.
    let page = page("act-quarantine");
    let form = without_svg(between(&page, "<form class=\"act\"", "</form>"));
    assert_eq!(form, include_str!("golden/act.html").trim_end());
}

#[test]
fn the_picture_of_the_device_adds_up() {
    // Goal: the reference picture, 79 = 31 + 3 + 2 + 1 + < 1 + 42. Method: its facts, the rows under the bar.
    let score = score(&Sample::plain().facts(), &RISK_V1, NOW);
    let rows = rows(&score, &RISK_V1, |_| None);
    let points: Vec<String> =
        rows.iter().map(|row| format!("{} {}", row.letter, row.points_words())).collect();
    assert_eq!(points, ["A 31", "B 3", "C 2", "D 1", "E < 1", "F 42"]);
    let alone: Vec<String> = rows.iter().map(|row| row.alone_words(&score)).collect();
    assert_eq!(alone[0], "79 → 24");
    assert_eq!(alone[4..], ["stays 79", "falls with A to E"]);
    assert_eq!(rows[4].reason.to_string(), "12 other known vulnerabilities");
    assert_eq!(rows[4].members.len(), 12);
}

proptest! {
    #[test]
    fn printed_points_and_hundredths_sum_to_the_score(kinds in 0..14_u32, holes in 0..20_u32, epss in 0..1_000_000_u32) {
        let mut facts = Sample::plain().facts();
        let hole = facts.exposures[0].clone();
        facts.exposures = (0..holes).map(|n| Exposure { id: format!("CVE-{n}"), epss_millionths: Some(epss / (n + 1)), ..hole.clone() }).collect();
        facts.findings = (0..kinds).map(|n| Finding {
            id: format!("f-{n}"),
            kind: format!("kind {n}"),
            title: "t".into(),
            severity: FindingSeverity::Low,
            at: ago(i64::from(n) * 40_000),
            owner: None,
        }).collect();
        let score = score(&facts, &RISK_V1, NOW);
        let rows = rows(&score, &RISK_V1, |_| None);
        prop_assert!(rows.len() <= 8);
        prop_assert_eq!(rows.iter().map(|row| row.points).sum::<u16>(), score.points());
        prop_assert_eq!(rows.iter().map(|row| row.hundredths).sum::<u16>(), score.value_hundredths);
        prop_assert!(rows.last().is_none_or(|row| row.kind == Kind::Impact));
        let drawn = bar(&rows, score.value()).to_string();
        prop_assert!(drawn.matches("class=\"letter").count() <= rows.len());
    }
}
