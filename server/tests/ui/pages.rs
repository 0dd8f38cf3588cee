//! What every page must be, whoever fills it: whole, linked, labelled, without inline anything, deaf to device text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cordon_server::ui::assets;

use crate::html::{Element, read};
use crate::sample::Sample;

/// Addresses that exist: `*` is one segment.
const ROUTES: [&str; 65] = [
    "/",
    "/devices",
    "/devices/enrol",
    "/devices/import",
    "/devices/quarantine",
    "/devices/*",
    "/devices/*/software",
    "/devices/*/quarantine",
    "/devices/*/release",
    "/devices/*/retire",
    "/devices/*/report-lost",
    "/devices/*/find",
    "/devices/*/clear-doubt",
    "/devices/*/identity",
    "/api/v1/devices/*/farewell",
    "/approvals",
    "/approvals/approve",
    "/approvals/deny",
    "/tokens",
    "/tokens/new",
    "/tokens/*/revoke",
    "/findings",
    "/findings/*",
    "/findings/*/*",
    "/findings/groups/*/*",
    "/visits",
    "/visits/new",
    "/visits/*/end",
    "/vulnerabilities",
    "/api/v1/vulnerabilities",
    "/vulnerabilities/*",
    "/devices/*/vulnerabilities",
    "/devices/*/drift",
    "/api/v1/devices/*/sbom",
    "/api/v1/devices/*/drift",
    "/feeds",
    "/feeds/new",
    "/feeds/*",
    "/risk",
    "/api/v1/risk/register",
    "/releases",
    "/releases/*/*",
    "/api/v1/targets/*",
    "/orders",
    "/orders/*",
    "/rollouts",
    "/rollouts/*",
    "/rollouts/*/*",
    "/rollouts/*/devices/*/accept",
    "/holds/new",
    "/holds/*/lift",
    "/evidence",
    "/expiries",
    "/exceptions",
    "/exceptions/new",
    "/exceptions/*",
    "/exceptions/*/*",
    "/calendar",
    "/contacts",
    "/audit",
    "/sign-in",
    "/sign-in/*",
    "/sign-out",
    "/theme",
    "/assets/*",
];

/// Texts that a hostile device would try.
const CANARIES: [&str; 6] = [
    "\"><script>alert(1)</script>",
    "'><img src=x onerror=alert(1)>",
    "</title><svg onload=alert(1)>",
    "javascript:alert(1)//<b>",
    "{{7*7}}{% raw %}<!--",
    "\u{202e}<i>\0\n&lt;",
];

fn is_route(address: &str) -> bool {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    ROUTES.iter().any(|route| {
        let (mut a, mut b) = (route.split('/'), path.split('/'));
        loop {
            match (a.next(), b.next()) {
                (None, None) => return true,
                (Some("*"), Some(segment)) if !segment.is_empty() => {}
                (Some(x), Some(y)) if x == y => {}
                _ => return false,
            }
        }
    })
}

/// What must hold for a page, as faults.
fn faults(elements: &[Element]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut ids = BTreeSet::new();
    for element in elements {
        let mut fault = |words: String| faults.push(format!("<{}>: {words}", element.name));
        for (name, value) in &element.attributes {
            match name.as_str() {
                "style" => fault("a style attribute".into()),
                _ if name.starts_with("on") => fault(format!("a handler {name}")),
                "id" if !ids.insert(value.clone()) => fault(format!("id {value} stands twice")),
                "href" | "action"
                    if element.name != "link" && !value.starts_with('#') && !is_route(value) =>
                {
                    fault(format!("{name} leads to {value:?}, which is no page"));
                }
                _ => {}
            }
        }
        let named = element.attribute("aria-label").is_some_and(|label| !label.trim().is_empty())
            || element.attribute("aria-labelledby").is_some();
        match element.name.as_str() {
            "script" if !element.text.is_empty() || !element.attributes.contains_key("src") => {
                fault("an inline script".into())
            }
            "style" | "iframe" | "object" | "base" | "img" => {
                fault("an element that pages do not have".into())
            }
            "a" | "button"
                if !named && element.text.trim().is_empty() && element.attribute("aria-hidden").is_none() =>
            {
                fault("no name".into());
            }
            "svg"
                if !named
                    && element.attribute("aria-hidden") != Some("true")
                    && !element.within.contains(&"svg".into()) =>
            {
                fault("neither named nor hidden".into());
            }
            "form" if element.attribute("method").is_none() => fault("no method".into()),
            "th" if element.attribute("scope").is_none() => fault("no scope".into()),
            _ => {}
        }
    }
    faults
}

fn count(elements: &[Element], name: &str) -> usize {
    elements.iter().filter(|element| element.name == name).count()
}

#[test]
fn every_page_is_whole_linked_and_named() {
    // Goal: valid structure, no inline style or script, only existing addresses. Method: read every sample page.
    for (name, page) in Sample::plain().gallery() {
        let elements = read(&page);
        assert_eq!(faults(&elements), [""; 0], "{name}");
        assert_eq!(count(&elements, "h1"), 1, "{name}: one h1");
        assert_eq!(count(&elements, "main"), 1, "{name}: one main");
        assert_eq!(
            count(&elements, "table"),
            count(&elements, "caption"),
            "{name}: each table has its caption"
        );
        let mut words = page.split(|c: char| c.is_whitespace() || matches!(c, '<' | '>'));
        assert!(words.all(|word| word != "N/A"), "{name}");
    }
}

#[test]
fn every_form_that_changes_something_carries_the_sessions_token() {
    // Goal: no forged request. Method: each posting form holds a csrf field; acts also ask for a reason.
    let mut posts = 0;
    for (name, page) in Sample::plain().gallery() {
        for form in page.split("<form ").skip(1).map(|rest| rest.split("</form>").next().unwrap_or_default())
        {
            if form.starts_with("class=\"act\"") {
                assert!(form.contains("name=\"reason\"") && form.contains("required"), "{name}");
            }
            if form.contains("method=\"post\"") {
                posts += 1;
                assert!(form.contains("name=\"csrf\" value=\""), "{name}: {form:.200}");
            }
        }
    }
    assert!(posts > 40, "{posts}");
}

#[test]
fn nothing_a_device_says_acts_on_the_page() {
    // Goal: device text is data everywhere. Method: a canary in place of every such text, on every page; then the
    // page must have the very elements and attributes of the harmless one, and only its own addresses.
    let harmless: Vec<_> =
        Sample::plain().gallery().into_iter().map(|(name, page)| (name, shape(&read(&page)))).collect();
    for canary in CANARIES {
        for ((name, page), (_, expected)) in Sample::hostile(canary).gallery().into_iter().zip(&harmless) {
            let elements = read(&page);
            let found: Vec<String> =
                faults(&elements).into_iter().filter(|fault| !fault.contains("stands twice")).collect();
            assert_eq!(found, [""; 0], "{name} with {canary:?}");
            assert_eq!(&shape(&elements), expected, "{name} with {canary:?}");
            assert!(!page.contains(canary), "{name} shows {canary:?} unescaped");
            for element in &elements {
                let shown = [
                    Some(element.text.as_str()),
                    element.attribute("title"),
                    element.attribute("aria-label"),
                ];
                let acts =
                    shown.into_iter().flatten().flat_map(str::chars).find(|c| c.is_control() && *c != '\n');
                assert_eq!(acts, None, "{name} with {canary:?}: a control character in <{}>", element.name);
            }
        }
    }
}

/// How many elements of each name a page has; labels of a chart's events give way when they are long.
fn shape(elements: &[Element]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for element in elements.iter().filter(|element| element.name != "text") {
        *counts.entry(element.name.clone()).or_default() += 1;
    }
    counts
}

#[test]
fn every_count_has_its_link() {
    // Goal: a count leads to exactly what it counts. Method: the counts of the overview and the strip stand in links.
    let gallery = Sample::plain().gallery();
    let page = |wanted: &str| &gallery.iter().find(|(name, _)| *name == wanted).unwrap().1;
    for (name, texts) in [
        (
            "overview",
            ["4,812", "63", "27", "38", "81\u{202f}%", "4", "214", "1,102", "3,433", "212", "19 critical"]
                .as_slice(),
        ),
        ("devices", &["4,812", "63", "214", "1,102", "3,433", "38", "4", "6"]),
        ("findings", &["27", "14", "31", "112"]),
        ("vulnerabilities", &["318", "12", "96", "171", "31", "4", "23", "7", "3", "41", "6", "214", "17"]),
        ("vulnerability", &["41", "6", "47", "120"]),
        ("risk", &["19 critical", "212", "300"]),
    ] {
        let elements = read(page(name));
        let links: Vec<&Element> = elements.iter().filter(|element| element.name == "a").collect();
        for text in texts {
            let linked = links.iter().any(|link| {
                link.text
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
                    .contains(text.replace('\u{202f}', " ").as_str())
            });
            assert!(linked, "{name}: {text} has no link");
        }
    }
}

#[test]
fn the_gallery_can_be_looked_at() {
    // Goal: somebody can look at every page. Method: write all of them and the files they need into the build folder.
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gallery");
    std::fs::create_dir_all(folder.join("assets")).unwrap();
    for name in ["app.css", "app.js", "icon.svg"] {
        std::fs::write(folder.join("assets").join(name), &assets::asset(name).unwrap().body).unwrap();
    }
    for (name, page) in Sample::plain().gallery() {
        std::fs::write(folder.join(format!("{name}.html")), page).unwrap();
    }
    assert!(folder.join("overview.html").exists());
}
