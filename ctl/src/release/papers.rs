//! The papers of a release: bill of materials, exploitability statements, usage description, notes.
//!
//! They are signed with the image and shown to people for years, so a file that is not what it is named for must be
//! seen before the signature. Only the form is looked at: which standard it claims, and the fields without which nobody
//! can read it; a bill of materials is read by the servers' own reader. What it says is the maker's word. Read next: [`super::sign`].

use std::path::Path;

use cordon_proto::limits;
use cordon_server_core::sbom;
use serde_json::Value;

use crate::arguments::read_file;
use crate::failure::Failure;

/// What a paper is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paper {
    /// The bill of materials: CycloneDX or SPDX.
    Sbom,
    /// The exploitability statements: OpenVEX, CSAF or CycloneDX.
    Vex,
    /// The usage description (RFC 8520).
    Mud,
    /// Notes for people.
    Notes,
}

impl Paper {
    /// Refuses a file that is not such a paper.
    ///
    /// # Errors
    /// It cannot be read or has another form.
    pub fn check(self, path: &Path) -> Result<(), Failure> {
        let bytes = read_file(path, self.limit())?;
        self.form(&bytes).map_err(|wanted| {
            let detail = format!("{} is {wanted}; nothing was signed", path.display());
            Failure::refused("wrong paper", detail)
        })?;
        if self == Self::Sbom {
            // Signed, it stays for years: one that no server reads would say nothing about any weakness in all that time.
            sbom::read(&bytes).map_err(|why| {
                let detail = format!(
                    "{} cannot be read by the owners' servers: {why}. Nothing was signed. `cordonctl sbom check FILE` says \
                     whether a file is read; `cordonctl sbom convert FILE --out NEW` writes what is read as CycloneDX 1.6",
                    path.display()
                );
                Failure::refused("unreadable sbom", detail)
            })?;
        }
        Ok(())
    }

    /// The most bytes that it may have.
    #[must_use]
    pub fn limit(self) -> u64 {
        if self == Self::Notes { limits::NOTES_BYTES } else { limits::PAPER_BYTES }
    }

    /// The word before it where a release is shown.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Sbom => "sbom",
            Self::Vex => "vex",
            Self::Mud => "mud",
            Self::Notes => "notes",
        }
    }

    /// The standard that such a paper claims; nothing for bytes that are no such paper.
    #[must_use]
    pub fn standard(self, bytes: &[u8]) -> Option<&'static str> {
        self.form(bytes).ok()?;
        let said = json(bytes);
        let has = |pointer: &str| said.as_ref().is_some_and(|value| !text(value, pointer).is_empty());
        Some(match self {
            Self::Notes => "plain text",
            Self::Mud => "RFC 8520",
            Self::Sbom | Self::Vex if has("/bomFormat") => "CycloneDX (JSON)",
            Self::Vex if has("/document/category") => "CSAF",
            Self::Vex => "OpenVEX",
            Self::Sbom if said.is_some() => "SPDX (JSON)",
            Self::Sbom if bytes.windows(4).any(|word| word == b"<bom") => "CycloneDX (XML)",
            Self::Sbom => "SPDX (tag-value)",
        })
    }

    /// What is wrong with the bytes.
    fn form(self, bytes: &[u8]) -> Result<(), &'static str> {
        match self {
            Self::Sbom if is_sbom(bytes) => Ok(()),
            Self::Sbom => {
                Err("no bill of materials: give CycloneDX (JSON or XML) or SPDX (JSON or tag-value)")
            }
            Self::Vex if json(bytes).is_some_and(|value| is_vex(&value)) => Ok(()),
            Self::Vex => Err(
                "no exploitability statement: give OpenVEX, CSAF of the category csaf_vex, or CycloneDX, in JSON",
            ),
            Self::Mud if json(bytes).is_some_and(|value| is_mud(&value)) => Ok(()),
            Self::Mud => Err(
                "no usage description: RFC 8520 wants `ietf-mud:mud` with mud-version 1, an https mud-url, last-update and is-supported",
            ),
            Self::Notes if is_notes(bytes) => Ok(()),
            Self::Notes => Err("no plain text in UTF-8 without control characters"),
        }
    }
}

fn json(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn is_sbom(bytes: &[u8]) -> bool {
    if let Some(value) = json(bytes) {
        let cyclone = text(&value, "/bomFormat") == "CycloneDX" && !text(&value, "/specVersion").is_empty();
        let linked = text(&value, "/@context").starts_with("https://spdx.org/rdf/3");
        return cyclone || linked || text(&value, "/spdxVersion").starts_with("SPDX-");
    }
    let Ok(words) = std::str::from_utf8(bytes) else { return false };
    let tagged = words.lines().any(|line| line.starts_with("SPDXVersion: SPDX-"));
    tagged || (words.contains("<bom") && words.contains("http://cyclonedx.org/schema/bom/"))
}

fn is_vex(value: &Value) -> bool {
    let list = |pointer: &str| value.pointer(pointer).is_some_and(Value::is_array);
    let open = text(value, "/@context").starts_with("https://openvex.dev/ns") && list("/statements");
    let csaf = text(value, "/document/category") == "csaf_vex" && list("/vulnerabilities");
    open || csaf || (text(value, "/bomFormat") == "CycloneDX" && list("/vulnerabilities"))
}

fn is_mud(value: &Value) -> bool {
    let Some(mud) = value.get("ietf-mud:mud") else { return false };
    let version = mud.get("mud-version").and_then(Value::as_u64) == Some(1);
    let supported = mud.get("is-supported").is_some_and(Value::is_boolean);
    version
        && supported
        && text(mud, "/mud-url").starts_with("https://")
        && !text(mud, "/last-update").is_empty()
}

fn is_notes(bytes: &[u8]) -> bool {
    let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    std::str::from_utf8(bytes).is_ok_and(|text| !text.trim().is_empty() && text.chars().all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_of_materials_that_no_server_reads_is_not_signed() {
        // Goal: the maker hears it, not the hospital a year later. Method: forms of the standards that are read and that are not,
        // and what each is told to do.
        let folder = tempfile::tempdir().expect("a folder");
        let checked = |text: &str| {
            let file = folder.path().join("sbom");
            std::fs::write(&file, text).expect("written");
            Paper::Sbom.check(&file).map_err(|failure| failure.to_string())
        };
        for read in [
            r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}"#,
            r#"{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","packages":[]}"#,
            "SPDXVersion: SPDX-2.3\nDataLicense: CC0-1.0\nPackageName: a\nSPDXID: SPDXRef-1\n",
        ] {
            assert_eq!(checked(read), Ok(()), "{read}");
        }
        for (text, word) in [
            (
                r#"<?xml version="1.0"?><bom xmlns="http://cyclonedx.org/schema/bom/1.6"/>"#,
                "write it as JSON",
            ),
            (
                r#"{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld"}"#,
                "write SPDX 2.3 or CycloneDX 1.6",
            ),
            (r#"{"bomFormat":"CycloneDX","specVersion":"2.9"}"#, "CycloneDX 1.2 to 1.6"),
        ] {
            let told = checked(text).expect_err("refused");
            assert!(told.contains(word) && told.contains("Nothing was signed"), "{told}");
            assert!(told.contains("cordonctl sbom convert"), "{told}");
        }
    }

    #[test]
    fn a_paper_is_what_it_is_named_for() {
        // Goal: a swapped or broken file is seen before it is signed. Method: one of each standard; every paper under every
        // other name; nothing, and half a file.
        let sbom = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}"#;
        let spdx = "SPDXVersion: SPDX-2.3\nDataLicense: CC0-1.0\n";
        let xml = r#"<?xml version="1.0"?><bom xmlns="http://cyclonedx.org/schema/bom/1.6"/>"#;
        let vex = r#"{"@context":"https://openvex.dev/ns/v0.2.0","statements":[]}"#;
        let csaf = r#"{"document":{"category":"csaf_vex"},"vulnerabilities":[]}"#;
        let mud = r#"{"ietf-mud:mud":{"mud-version":1,"mud-url":"https://m.example/p","last-update":"2026-01-01T00:00:00Z","is-supported":true}}"#;
        let good = [
            (Paper::Sbom, sbom),
            (Paper::Sbom, r#"{"spdxVersion":"SPDX-2.3"}"#),
            (Paper::Sbom, r#"{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld"}"#),
            (Paper::Sbom, spdx),
            (Paper::Sbom, xml),
            (Paper::Vex, vex),
            (Paper::Vex, csaf),
            (Paper::Vex, r#"{"bomFormat":"CycloneDX","vulnerabilities":[]}"#),
            (Paper::Mud, mud),
            (Paper::Notes, "Fixes the alarm.\n\tSee the manual.\r\n"),
        ];
        for (paper, text) in good {
            assert_eq!(paper.form(text.as_bytes()), Ok(()), "{text}");
        }
        for (paper, text) in [
            (Paper::Sbom, vex),
            (Paper::Sbom, mud),
            (Paper::Sbom, r#"{"bomFormat":"CycloneDX"}"#),
            (Paper::Vex, sbom),
            (Paper::Vex, mud),
            (Paper::Vex, r#"{"document":{"category":"csaf_base"},"vulnerabilities":[]}"#),
            (Paper::Mud, sbom),
            (Paper::Mud, &mud.replace("https:", "http:")),
            (Paper::Mud, &mud.replace(":1,", ":2,")),
            (Paper::Notes, "\u{1b}[2Jall is well"),
            (Paper::Notes, " \n"),
        ] {
            assert!(paper.form(text.as_bytes()).is_err(), "{text}");
        }
        for paper in [Paper::Sbom, Paper::Vex, Paper::Mud, Paper::Notes] {
            assert!(paper.form(b"").is_err() && paper.form(&[0xff, 0xfe]).is_err());
            assert!(paper == Paper::Notes || paper.form(&mud.as_bytes()[..20]).is_err());
        }
    }
}
