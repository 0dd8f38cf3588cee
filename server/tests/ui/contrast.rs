//! Every contrast that the look promises, computed from the style sheet in both themes (WCAG 2.2, 1.4.3 and 1.4.11).

use std::collections::BTreeMap;

use cordon_server::ui::assets::STYLE;

type Tokens = BTreeMap<String, [u8; 3]>;

const SURFACES: [&str; 6] = ["canvas", "nav", "raised", "sunken", "hover", "selected"];
const TEXT: [&str; 9] = ["ink", "ink-2", "ink-3", "accent", "critical", "high", "medium", "low", "good"];
const SHAPES: [&str; 12] = [
    "control",
    "accent-fill",
    "critical-fill",
    "high-fill",
    "medium-fill",
    "low-fill",
    "good-fill",
    "k-vuln",
    "k-behave",
    "k-fresh",
    "k-posture",
    "k-impact",
];
const PAIRS: [(&str, &str); 14] = [
    ("accent-on", "accent-fill"),
    ("danger-on", "danger"),
    ("ink", "critical-soft"),
    ("ink-2", "critical-soft"),
    ("critical", "critical-soft"),
    ("high", "high-soft"),
    ("medium", "medium-soft"),
    ("low", "low-soft"),
    ("ink-2", "low-soft"),
    ("good", "good-soft"),
    ("accent", "accent-soft"),
    ("letter", "k-vuln"),
    ("letter", "k-behave"),
    ("letter", "k-fresh"),
];

/// The colours of the block that follows `selector` in the style sheet.
fn tokens(selector: &str) -> Tokens {
    let begins = STYLE.find(selector).unwrap_or_else(|| panic!("no {selector}")) + selector.len();
    let block = STYLE[begins..].split('}').next().unwrap();
    let mut found = Tokens::new();
    for declaration in block.split([';', '{']) {
        let Some((name, value)) = declaration.trim().split_once(": #") else { continue };
        let channel = |place: usize| u8::from_str_radix(&value[place..place + 2], 16).unwrap();
        found.insert(name.trim_start_matches("--").to_owned(), [channel(0), channel(2), channel(4)]);
    }
    found
}

/// Contrast ratio of two colours (WCAG 2.2, "contrast ratio" and "relative luminance").
fn ratio(a: [u8; 3], b: [u8; 3]) -> f64 {
    let luminance = |colour: [u8; 3]| {
        let part = |channel: u8| {
            let c = f64::from(channel) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(colour[0]) + 0.7152 * part(colour[1]) + 0.0722 * part(colour[2])
    };
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

fn check(theme: &str, tokens: &Tokens) {
    let of = |name: &str| *tokens.get(name).unwrap_or_else(|| panic!("{theme}: no --{name}"));
    let mut faults = Vec::new();
    let mut require = |front: &str, back: &str, least: f64| {
        let found = ratio(of(front), of(back));
        if found < least {
            faults.push(format!("{theme}: --{front} on --{back} is {found:.2}, needs {least}"));
        }
    };
    for surface in SURFACES {
        TEXT.iter().for_each(|text| require(text, surface, 4.5));
        SHAPES.iter().for_each(|shape| require(shape, surface, 3.0));
    }
    PAIRS.iter().for_each(|(front, back)| require(front, back, 4.5));
    require("letter", "k-posture", 4.5);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn text_and_shapes_stand_out_in_both_themes() {
    // Goal: text at least 4.5, shapes at least 3, on every surface. Method: compute from the style sheet.
    check("light", &tokens(":root {"));
    check("dark", &tokens(":root[data-theme=\"dark\"] {"));
}

#[test]
fn the_chosen_and_the_systems_dark_theme_are_one() {
    // Goal: the two copies of the dark tokens cannot differ. Method: compare, and count.
    let chosen = tokens(":root[data-theme=\"dark\"] {");
    assert_eq!(chosen, tokens(":root:not([data-theme=\"light\"]) {"));
    assert_eq!(chosen.keys().collect::<Vec<_>>(), tokens(":root {").keys().collect::<Vec<_>>());
    assert!(chosen.len() > 40, "{}", chosen.len());
}

#[test]
fn the_computation_is_the_published_one() {
    // Goal: the ruler is straight. Method: three ratios of the look's own table.
    let light = tokens(":root {");
    for (front, back, published) in
        [("ink", "canvas", 17.5), ("ink-3", "canvas", 5.4), ("control", "canvas", 3.6)]
    {
        let found = ratio(light[front], light[back]);
        assert!((found - published).abs() < 0.06, "{front} on {back}: {found:.2}, published {published}");
    }
}
