//! What is fetched of an audit log: heads to keep, and the export.
//!
//! Nothing fetched here is believed: a head replaces a kept one only with a proof, and an export is checked while it is
//! written. An export of a log that was tampered with is written all the same, because it is evidence; the command then
//! ends with the refusal. Read next: [`super::verify`].

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use cordon_proto::audit::SignedHead;
use cordon_proto::canonical::Value as Document;
use cordon_proto::canonical::fields::decode_hex;
use cordon_proto::limits;
use cordon_proto::merkle::{Consistency, Hash};
use cordon_server_core::audit::export::Examination;
use serde_json::json;

use super::verify::{facts, read_head, tampered};
use crate::api::Api;
use crate::failure::Failure;
use crate::folder::write_whole;
use crate::report::Report;

/// Fetches the newest head into `out`.
pub(super) fn head(api: &Api, out: &Path) -> Result<Report, Failure> {
    let newest = newest(api)?;
    let kept = if out.exists() { Some(read_head(out)?) } else { None };
    if let Some(kept) = &kept {
        continues(api, kept, &newest)?;
    }
    let line = [newest.to_bytes().as_slice(), b"\n"].concat();
    write_whole(out, &line)?;
    let continued = match &kept {
        Some(kept) => format!("it continues the log of the head that was kept ({kept})\n"),
        None => String::new(),
    };
    let text = format!("kept {}: {newest}\n{continued}", out.display());
    Ok(Report::new(text, json!({"kept": facts(&newest), "before": kept.as_ref().map(facts)})))
}

/// Fetches everything that is sealed into `out`.
pub(super) fn export(api: &Api, out: &Path) -> Result<Report, Failure> {
    let newest = newest(api)?;
    let wrong = |error: std::io::Error| Failure::file("write", out, &error);
    let partial = out.with_extension("partial");
    let mut export = Export {
        file: BufWriter::new(File::create(&partial).map_err(wrong)?),
        check: Examination::default(),
    };
    let mut after = 0;
    while after < newest.size() {
        let page = [("after", after), ("size", newest.size())];
        export.take(&api.bytes(&["audit", "export"], &page)?.unwrap_or_default()).map_err(wrong)?;
        after = after.saturating_add(limits::AUDIT_EXPORT_ROWS).min(newest.size());
    }
    for head in heads(api, &newest)? {
        export.take(&[head.to_bytes().as_slice(), b"\n"].concat()).map_err(wrong)?;
    }
    let file = export.file.into_inner().map_err(|error| wrong(error.into_error()))?;
    file.sync_all().and_then(|()| std::fs::rename(&partial, out)).map_err(wrong)?;
    let verified =
        export.check.finish(std::slice::from_ref(&newest), None).map_err(|found| tampered(&found))?;
    let text = format!(
        "wrote {} with {} entries under {} heads; newest: {newest}\ncheck it against a head that was kept before: \
         cordonctl audit verify --export {} --head FILE\n",
        out.display(),
        verified.entries,
        verified.heads.saturating_sub(1),
        out.display()
    );
    Ok(Report::new(text, json!({"entries": verified.entries, "head": facts(&newest)})))
}

/// An export being written, and checked on the way.
struct Export {
    file: BufWriter<File>,
    check: Examination,
}

impl Export {
    fn take(&mut self, lines: &[u8]) -> std::io::Result<()> {
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            self.check.line(line.strip_suffix(b"\n").unwrap_or(line));
        }
        self.file.write_all(lines)
    }
}

fn newest(api: &Api) -> Result<SignedHead, Failure> {
    let nothing =
        || Failure::refused("nothing sealed", "the server has sealed nothing yet: try again in a second");
    let bytes = api.bytes(&["audit", "head"], &[])?.ok_or_else(nothing)?;
    SignedHead::parse(&bytes).map_err(|error| Failure::refused("not a head", error))
}

/// The heads up to the newest, which stands last.
fn heads(api: &Api, newest: &SignedHead) -> Result<Vec<SignedHead>, Failure> {
    let (mut heads, mut after) = (Vec::new(), 0);
    loop {
        let page = api.bytes(&["audit", "heads"], &[("after", after)])?.unwrap_or_default();
        let mut more = false;
        for line in page.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let head = SignedHead::parse(line).map_err(|error| Failure::refused("not a head", error))?;
            more = head.size() > after;
            after = after.max(head.size());
            if head.size() < newest.size() {
                heads.push(head);
            }
        }
        if !more || after >= newest.size() {
            heads.push(newest.clone());
            return Ok(heads);
        }
    }
}

/// Whether the log of `newest` begins as the log of `kept`.
fn continues(api: &Api, kept: &SignedHead, newest: &SignedHead) -> Result<(), Failure> {
    let refused = |detail: String| {
        let advice = "the kept head stays; fetch an export and run `cordonctl audit verify` with it";
        Err(Failure::refused("not the same log", format!("{detail}: {advice}")))
    };
    if kept.head().log != newest.head().log {
        return refused("the server signs with another key than that of the kept head".to_owned());
    }
    if newest.size() < kept.size() {
        let (now, then) = (newest.size(), kept.size());
        return refused(format!("the server shows {now} entries, the kept head covers {then}"));
    }
    let (first, second) = (kept.size(), newest.size());
    let path = if first == second { Some(Vec::new()) } else { proof(api, first, second)? };
    let proved = path.is_some_and(|path| {
        Consistency { first, second, path }.proves(&kept.head().root, &newest.head().root)
    });
    if proved {
        return Ok(());
    }
    refused(format!(
        "the server does not prove that its log still begins with the {first} entries of the kept head"
    ))
}

fn proof(api: &Api, from: u64, to: u64) -> Result<Option<Vec<Hash>>, Failure> {
    let query = [("from", from), ("to", to)];
    let Some(bytes) = api.bytes(&["audit", "proof", "consistency"], &query)? else { return Ok(None) };
    let Ok(document) = Document::parse(&bytes, limits::BODY_BYTES) else { return Ok(None) };
    let Ok(texts) = document.map().and_then(|fields| fields.texts("path")) else { return Ok(None) };
    let hash = |text: &str| decode_hex(text).and_then(|bytes| bytes.try_into().ok());
    Ok(texts.into_iter().map(hash).collect())
}
