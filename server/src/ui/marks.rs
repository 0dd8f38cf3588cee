//! The product's own marks: logo, icons, risk glyph, state shapes. Markup made of fixed text and numbers only.
//!
//! Nothing here takes text from outside. Colours come from classes in the style sheet. Read next: [`super::chart`].

use std::fmt;

use askama::filters::HtmlSafe;
use cordon_server_core::risk::Band;

/// Markup that is safe to put into a page as it is, because no outside text went into it unescaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markup(String);

impl Markup {
    /// Takes markup made by this module tree. Not public: nobody outside may vouch for markup.
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HtmlSafe for Markup {}

/// Escapes text for element content and quoted attributes.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => safe.push_str("&#60;"),
            '>' => safe.push_str("&#62;"),
            '&' => safe.push_str("&#38;"),
            '"' => safe.push_str("&#34;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// The logo: a ring of three open arcs round a point, 20 × 20.
#[must_use]
pub fn logo() -> Markup {
    Markup::new(format!(
        "<svg class=\"logo\" width=\"20\" height=\"20\" viewBox=\"0 0 20 20\" aria-hidden=\"true\">{LOGO_PATHS}</svg>"
    ))
}

/// The logo as a file of its own, for the browser's tab.
#[must_use]
pub fn logo_file() -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"20\" height=\"20\" viewBox=\"0 0 20 20\" color=\"#2A55C0\">{LOGO_PATHS}</svg>"
    )
}

const LOGO_PATHS: &str = "<g fill=\"none\" stroke=\"currentColor\" stroke-width=\"2.2\" stroke-linecap=\"round\">\
<path d=\"M10 2.2a7.8 7.8 0 016.75 3.9\"/><path d=\"M17.8 10a7.8 7.8 0 01-3.9 6.75\"/>\
<path d=\"M10 17.8a7.8 7.8 0 01-7.8-7.8 7.8 7.8 0 013.9-6.75\"/></g>\
<circle cx=\"10\" cy=\"10\" r=\"2.7\" fill=\"currentColor\"/>";

/// The risk glyph: four bars from the base line, as many filled as the band is grave; 15 × 12.
#[must_use]
pub fn glyph(band: Band) -> Markup {
    let filled = match band {
        Band::Low => 1,
        Band::Medium => 2,
        Band::High => 3,
        Band::Critical => 4,
    };
    let bar = |n: u8| {
        let (x, height) = (n * 4, n * 3 + 3);
        let class = if n < filled { "g-on" } else { "g-off" };
        format!(
            "<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"3\" height=\"{height}\" rx=\"0.5\"/>",
            12 - height
        )
    };
    let bars: String = (0..4).map(bar).collect();
    let class = band_class(band);
    Markup::new(format!(
        "<svg class=\"glyph {class}\" width=\"15\" height=\"12\" viewBox=\"0 0 15 12\" aria-hidden=\"true\">{bars}</svg>"
    ))
}

/// The word of a band.
#[must_use]
pub fn band_word(band: Band) -> &'static str {
    match band {
        Band::Low => "Low",
        Band::Medium => "Medium",
        Band::High => "High",
        Band::Critical => "Critical",
    }
}

/// The class and query value of a band.
#[must_use]
pub fn band_class(band: Band) -> &'static str {
    match band {
        Band::Low => "low",
        Band::Medium => "medium",
        Band::High => "high",
        Band::Critical => "critical",
    }
}

/// State shapes, 10 × 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Online, standby.
    Dot,
    /// In use.
    RingDot,
    /// Updating, waiting, to approve.
    HalfRing,
    /// Silent.
    DashedRing,
    /// Quarantined.
    BarredSquare,
    /// Failed, rolled back, refused.
    Cross,
    /// Confirmed, passed, done.
    Tick,
    /// Retired, not started.
    ThinRing,
    /// Halted.
    Octagon,
}

/// A state shape; its colour is `currentColor`.
#[must_use]
pub fn shape(shape: Shape) -> Markup {
    let drawn = match shape {
        Shape::Dot => "<circle cx=\"5\" cy=\"5\" r=\"3\" fill=\"currentColor\"/>",
        Shape::RingDot => {
            "<circle cx=\"5\" cy=\"5\" r=\"4\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.5\"/>\
             <circle cx=\"5\" cy=\"5\" r=\"1.6\" fill=\"currentColor\"/>"
        }
        Shape::HalfRing => {
            "<circle cx=\"5\" cy=\"5\" r=\"4\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.5\"/>\
             <path d=\"M5 1.5a3.5 3.5 0 000 7z\" fill=\"currentColor\"/>"
        }
        Shape::DashedRing => {
            "<circle cx=\"5\" cy=\"5\" r=\"3.9\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.7\" \
             stroke-dasharray=\"2.4 1.68\"/>"
        }
        Shape::BarredSquare => {
            "<rect x=\"0.5\" y=\"0.5\" width=\"9\" height=\"9\" rx=\"2\" fill=\"currentColor\"/>\
             <rect class=\"cut\" x=\"2.5\" y=\"4.1\" width=\"5\" height=\"1.8\" rx=\"0.5\"/>"
        }
        Shape::Cross => {
            "<path d=\"M1.8 1.8l6.4 6.4M8.2 1.8L1.8 8.2\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.9\" \
             stroke-linecap=\"round\"/>"
        }
        Shape::Tick => {
            "<path d=\"M1.4 5.4l2.5 2.5 4.7-5.6\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.8\" \
             stroke-linecap=\"round\" stroke-linejoin=\"round\"/>"
        }
        Shape::ThinRing => {
            "<circle cx=\"5\" cy=\"5\" r=\"3.6\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.1\"/>"
        }
        Shape::Octagon => {
            "<path d=\"M3 .3h4L9.7 3v4L7 9.7H3L.3 7V3z\" fill=\"currentColor\"/>\
             <rect class=\"cut\" x=\"2.3\" y=\"4.1\" width=\"5.4\" height=\"1.8\" rx=\"0.5\"/>"
        }
    };
    Markup::new(format!(
        "<svg class=\"shape\" width=\"10\" height=\"10\" viewBox=\"0 0 10 10\" aria-hidden=\"true\">{drawn}</svg>"
    ))
}

/// The octagon of the halt banner, 36 × 36.
#[must_use]
pub fn octagon() -> Markup {
    Markup::new(
        "<svg class=\"octagon\" width=\"36\" height=\"36\" viewBox=\"0 0 36 36\" aria-hidden=\"true\">\
         <path d=\"M11 2h14l9 9v14l-9 9H11l-9-9V11z\" fill=\"currentColor\"/>\
         <rect class=\"cut\" x=\"9\" y=\"15.8\" width=\"18\" height=\"4.6\" rx=\"1.2\"/></svg>"
            .into(),
    )
}

/// A key's fingerprint as people compare it: groups of four digits, of which the first and the last stand out; the
/// whole of it is always there. Anything else than hexadecimal digits is escaped.
#[must_use]
pub fn fingerprint(digits: &str) -> Markup {
    let characters: Vec<char> = digits.chars().collect();
    let last = characters.len().div_ceil(4).saturating_sub(1);
    let group = |(place, four): (usize, &[char])| {
        let four = escape(&four.iter().collect::<String>());
        if place == 0 || place == last { format!("<b>{four}</b>") } else { format!("<span>{four}</span>") }
    };
    let groups: Vec<String> = characters.chunks(4).enumerate().map(group).collect();
    Markup::new(format!("<code class=\"fingerprint\">{}</code>", groups.join(" ")))
}

/// Digits that stand for a whole digest or token in running text.
const SHORT_DIGITS: usize = 8;
/// Digits of a whole one.
const WHOLE_DIGITS: usize = 64;

/// Text with each digest or token id in it cut to its first digits; the whole of it is its title, and can be searched
/// for. Everything is escaped.
#[must_use]
pub fn short_ids(text: &str) -> Markup {
    let (mut html, mut rest) = (String::new(), text);
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(from.len());
        let (digits, after) = from.split_at(end);
        html.push_str(&escape(before));
        match digits.get(..SHORT_DIGITS).filter(|_| digits.len() == WHOLE_DIGITS) {
            Some(short) => html.push_str(&format!("<code class=\"id\" title=\"{digits}\">{short}…</code>")),
            None => html.push_str(&escape(digits)),
        }
        rest = after;
    }
    html.push_str(&escape(rest));
    Markup::new(html)
}

/// Icons, 16 × 16, stroke 1.5, always beside a word except close, copy and more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    /// The overview.
    Overview,
    /// Devices.
    Devices,
    /// Findings.
    Findings,
    /// Vulnerabilities: a shield with a mark.
    Vulnerabilities,
    /// Rollouts.
    Rollouts,
    /// Signed orders: a sheet with a signature.
    Orders,
    /// Keys that wait for a person.
    Waiting,
    /// Enrolment tokens.
    Tokens,
    /// The audit log.
    Audit,
    /// Search.
    Search,
    /// Add.
    Plus,
    /// Close or remove.
    Close,
    /// Copy.
    Copy,
    /// Order of a list.
    Sort,
    /// Filter of a list.
    Filter,
    /// Opens a menu.
    Down,
    /// Between the parts of a path.
    Right,
    /// Back to the list.
    Left,
    /// From before to after.
    Arrow,
    /// Not now.
    Clock,
    /// The menu of small screens.
    Menu,
    /// Light or dark.
    Theme,
    /// Leave.
    Leave,
    /// A file to be saved.
    Export,
    /// Something is wrong.
    Warning,
}

/// An icon.
#[must_use]
pub fn icon(icon: Icon) -> Markup {
    let drawn = match icon {
        Icon::Overview => {
            "<rect x=\"2\" y=\"2\" width=\"4.6\" height=\"4.6\" rx=\".8\"/><rect x=\"9.4\" y=\"2\" width=\"4.6\" \
             height=\"4.6\" rx=\".8\"/><rect x=\"2\" y=\"9.4\" width=\"4.6\" height=\"4.6\" rx=\".8\"/>\
             <rect x=\"9.4\" y=\"9.4\" width=\"4.6\" height=\"4.6\" rx=\".8\"/>"
        }
        Icon::Devices => {
            "<rect x=\"1.8\" y=\"2.3\" width=\"12.4\" height=\"9\" rx=\"1.6\"/>\
             <path d=\"M4.2 7h1.9l1-2 1.7 3.6L10 7h1.8M5.6 13.7h4.8\"/>"
        }
        Icon::Findings => "<path d=\"M3.4 14V2.4M3.4 3h9.2l-2 3.2 2 3.2H3.4\"/>",
        Icon::Rollouts => {
            "<path d=\"M1.8 13.4h3.4v-3.6h3.6V6.2h3.4V2.8\"/><path d=\"M9.9 4.6l2.3-2.3 2.2 2.3\"/>"
        }
        Icon::Orders => {
            "<path d=\"M12.6 7V3.2a1.4 1.4 0 00-1.4-1.4H4.4A1.4 1.4 0 003 3.2v9.6a1.4 1.4 0 001.4 1.4h2.4M5.8 5.2h4M5.8 8h2.4\"/>\
             <path d=\"M8.8 13.8c1.6-4.4 2.6-4.2 2.2-1.6-.2 1.4.8 1.4 1.4.4.4-.6.8 1 2 .6\"/>"
        }
        Icon::Waiting => {
            "<path d=\"M4 2.2h8M4 13.8h8M4.8 2.2c0 3.4 3.2 3.6 3.2 5.8s-3.2 2.4-3.2 5.8M11.2 2.2c0 3.4-3.2 3.6-3.2 5.8s3.2 2.4 3.2 5.8\"/>"
        }
        Icon::Tokens => "<circle cx=\"5.2\" cy=\"8\" r=\"3\"/><path d=\"M8.2 8h6M11.4 8v2.6M13.8 8v1.8\"/>",
        Icon::Audit => {
            "<rect x=\"3\" y=\"1.8\" width=\"10\" height=\"12.4\" rx=\"1.4\"/><path d=\"M5.6 5.2h4.8M5.6 8h4.8M5.6 10.8h4.8\"/>"
        }
        Icon::Search => "<circle cx=\"7\" cy=\"7\" r=\"4.4\"/><path d=\"M10.4 10.4l3.4 3.4\"/>",
        Icon::Plus => "<path d=\"M8 3.2v9.6M3.2 8h9.6\"/>",
        Icon::Close => "<path d=\"M4.2 4.2l7.6 7.6M11.8 4.2l-7.6 7.6\"/>",
        Icon::Copy => {
            "<rect x=\"5.4\" y=\"5.4\" width=\"8\" height=\"8\" rx=\"1.4\"/><path d=\"M10.6 5.2V4a1.4 1.4 0 00-1.4-1.4H4A1.4 1.4 0 002.6 4v5.2A1.4 1.4 0 004 10.6h1.2\"/>"
        }
        Icon::Sort => "<path d=\"M3.8 2.6v10.2M1.8 10.8l2 2.2 2-2.2M8 3.6h6.4M8 7.4h4.6M8 11.2h2.8\"/>",
        Icon::Filter => "<path d=\"M2 4.2h12M4.4 8h7.2M6.6 11.8h2.8\"/>",
        Icon::Down => "<path d=\"M4.6 6.4L8 9.8l3.4-3.4\"/>",
        Icon::Right => "<path d=\"M6.2 4.4L9.8 8l-3.6 3.6\"/>",
        Icon::Left => "<path d=\"M9.8 4.4L6.2 8l3.6 3.6\"/>",
        Icon::Arrow => "<path d=\"M2.8 8h10M9.6 4.8L12.8 8l-3.2 3.2\"/>",
        Icon::Clock => "<circle cx=\"8\" cy=\"8\" r=\"5.6\"/><path d=\"M8 4.8V8l2.2 1.5\"/>",
        Icon::Menu => "<path d=\"M2.2 4.2h11.6M2.2 8h11.6M2.2 11.8h11.6\"/>",
        Icon::Theme => {
            "<circle cx=\"8\" cy=\"8\" r=\"5.6\"/><path d=\"M8 2.4a5.6 5.6 0 010 11.2z\" fill=\"currentColor\"/>"
        }
        Icon::Leave => {
            "<path d=\"M9.4 2.6H4a1.4 1.4 0 00-1.4 1.4v8A1.4 1.4 0 004 13.4h5.4M6.6 8h7M11 5.2L13.8 8 11 10.8\"/>"
        }
        Icon::Vulnerabilities => {
            "<path d=\"M8 1.8l5.4 2v4.1c0 3.1-2.2 5.2-5.4 6.3-3.2-1.1-5.4-3.2-5.4-6.3V3.8zM8 5.2v3.2M8 10.6v.2\"/>"
        }
        Icon::Export => "<path d=\"M8 2.2v7.6M4.9 7L8 10.1 11.1 7M2.6 13.6h10.8\"/>",
        Icon::Warning => "<path d=\"M8 2.2l6.4 11.4H1.6zM8 6.4v3.4M8 11.6v.2\"/>",
    };
    Markup::new(format!(
        "<svg class=\"icon\" width=\"16\" height=\"16\" viewBox=\"0 0 16 16\" fill=\"none\" stroke=\"currentColor\" \
         stroke-width=\"1.5\" stroke-linecap=\"round\" stroke-linejoin=\"round\" aria-hidden=\"true\">{drawn}</svg>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glyph_fills_as_many_bars_as_the_band_is_grave() {
        // Goal: risk reads without colour. Method: golden drawing of medium, counts of the others.
        assert_eq!(
            glyph(Band::Medium).to_string(),
            "<svg class=\"glyph medium\" width=\"15\" height=\"12\" viewBox=\"0 0 15 12\" aria-hidden=\"true\">\
             <rect class=\"g-on\" x=\"0\" y=\"9\" width=\"3\" height=\"3\" rx=\"0.5\"/>\
             <rect class=\"g-on\" x=\"4\" y=\"6\" width=\"3\" height=\"6\" rx=\"0.5\"/>\
             <rect class=\"g-off\" x=\"8\" y=\"3\" width=\"3\" height=\"9\" rx=\"0.5\"/>\
             <rect class=\"g-off\" x=\"12\" y=\"0\" width=\"3\" height=\"12\" rx=\"0.5\"/></svg>"
        );
        let filled = [Band::Low, Band::Medium, Band::High, Band::Critical];
        assert_eq!(filled.map(|band| glyph(band).to_string().matches("g-on").count()), [1, 2, 3, 4]);
    }

    #[test]
    fn a_fingerprint_is_whole_and_in_groups() {
        // Goal: people compare all of it. Method: golden of eight and nine digits, and text that is none.
        assert_eq!(
            fingerprint("0123456789ab").to_string(),
            "<code class=\"fingerprint\"><b>0123</b> <span>4567</span> <b>89ab</b></code>"
        );
        assert_eq!(fingerprint("<i>").to_string(), "<code class=\"fingerprint\"><b>&#60;i&#62;</b></code>");
    }

    #[test]
    fn a_digest_in_a_sentence_is_short_and_whole_in_its_title() {
        // Goal: no line breaks the page, and nothing is lost. Method: golden of text round a digest, of two, of almost one,
        // and of markup in the text.
        let id = "8b8dff12".repeat(8);
        let short = format!("<code class=\"id\" title=\"{id}\">8b8dff12…</code>");
        let golden = [
            (format!("token {id}, café"), format!("token {short}, café")),
            (format!("{id}→{id}"), format!("{short}→{short}")),
            (format!("{id}0"), format!("{id}0")),
            ("<b>fade".to_owned(), "&#60;b&#62;fade".to_owned()),
            (String::new(), String::new()),
        ];
        for (text, wanted) in golden {
            assert_eq!(short_ids(&text).to_string(), wanted);
        }
    }

    #[test]
    fn escaped_text_opens_nothing() {
        // Goal: no element, attribute or entity from text. Method: all five characters.
        assert_eq!(escape("<a b=\"c\" d='e'>&"), "&#60;a b=&#34;c&#34; d=&#39;e&#39;&#62;&#38;");
    }
}
