//! The console's files and the policy under which its pages run.
//!
//! Style sheet, script and icon are compiled in; there is no build step and nothing from anybody else. Each address
//! carries a hash of the content, so browsers may keep a file for ever. Read next: `server/ui`.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::marks::logo_file;

/// The content security policy of every page and file (CONSOLE section 10): nothing inline, nothing from elsewhere.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Further headers of every page.
pub const HEADERS: [(&str, &str); 5] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

/// `cache-control` of a file asked for with its hash.
pub const CACHE_FOR_EVER: &str = "public, max-age=31536000, immutable";
/// `cache-control` of pages.
pub const CACHE_NEVER: &str = "no-store";

/// The style sheet, in the order in which its parts apply.
pub const STYLE: &str = concat!(
    include_str!("../../ui/tokens.css"),
    include_str!("../../ui/app.css"),
    include_str!("../../ui/pages.css"),
    include_str!("../../ui/reflow.css"),
    include_str!("../../ui/knowledge.css")
);
const SCRIPT: &str = include_str!("../../ui/app.js");

/// One file of the console.
#[derive(Clone, Debug)]
pub struct Asset {
    /// Its name below `/assets/`.
    pub name: &'static str,
    /// Its content type.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: String,
    /// The first 12 hexadecimal digits of its SHA-256: the value of `v` in its address, and its entity tag.
    pub hash: String,
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    let file = |name, content_type, body: String| {
        let digest = Sha256::digest(body.as_bytes());
        let hash = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Asset { name, content_type, body, hash }
    };
    [
        file("app.css", "text/css; charset=utf-8", STYLE.into()),
        file("app.js", "text/javascript; charset=utf-8", SCRIPT.into()),
        file("icon.svg", "image/svg+xml", logo_file()),
    ]
});

/// A file by its name below `/assets/`.
#[must_use]
pub fn asset(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

/// The address of a file with its hash.
#[must_use]
pub fn address(name: &str) -> String {
    let hash = asset(name).map_or("", |asset| asset.hash.as_str());
    format!("/assets/{name}?v={hash}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_served_with_its_hash() {
        // Goal: a changed file has a new address. Method: look each up, and one that does not exist.
        for name in ["app.css", "app.js", "icon.svg"] {
            let asset = asset(name).unwrap();
            assert_eq!(asset.hash.len(), 12);
            assert_eq!(address(name), format!("/assets/{name}?v={}", asset.hash));
        }
        assert!(asset("../app.css").is_none());
    }

    #[test]
    fn the_script_is_small_and_evaluates_nothing() {
        // Goal: the policy needs no exception and the page stays light. Method: size, and the forbidden words.
        assert!(SCRIPT.len() < 16_000, "{} bytes", SCRIPT.len());
        for word in [
            "eval(",
            "new Function",
            "innerHTML",
            "outerHTML",
            "document.write",
            ".style.",
            "setAttribute('style",
        ] {
            assert!(!SCRIPT.contains(word), "{word}");
        }
        assert!(!STYLE.contains("@import") && !STYLE.contains("url(http"));
    }
}
