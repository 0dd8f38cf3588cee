//! `cordonctl audit verify`: an export against a head that was kept, on files alone.
//!
//! The head is the only thing believed, and `--key` if it is given; the export is an opponent's until it is checked.
//! What is wrong is named by entry. Memory: about 130 bytes an entry. Read next: [`cordon_server_core::audit::export`].

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use cordon_proto::audit::SignedHead;
use cordon_proto::canonical::Value as Document;
use cordon_proto::canonical::fields::encode_hex;
use cordon_proto::limits;
use cordon_proto::update::key::{PublicKey, Scheme};
use cordon_server_core::audit::export::{Examination, Tampering};
use serde_json::{Value, json};

use crate::arguments::read_file;
use crate::failure::Failure;
use crate::key::parse_public;
use crate::report::Report;

/// Bytes of a file with a key.
const KEY_BYTES: u64 = 16 * 1024;

/// Checks `export` against the heads in `kept`.
pub(super) fn run(export: &Path, kept: &[PathBuf], key: Option<&Path>) -> Result<Report, Failure> {
    let kept = kept.iter().map(|path| read_head(path)).collect::<Result<Vec<_>, _>>()?;
    let log = key.map(read_key).transpose()?;
    let mut check = Examination::default();
    lines(export, |line| check.line(line))?;
    let verified = check.finish(&kept, log).map_err(|found| tampered(&found))?;
    let held: String = kept.iter().map(|head| format!("held to the kept head: {head}\n")).collect();
    let text = format!(
        "verified: all {} entries are as they were sealed\n{held}newest head: {}\nlog: {}\n",
        verified.entries,
        verified.head,
        encode_hex(&verified.head.head().log)
    );
    let heads: Vec<Value> = kept.iter().map(facts).collect();
    let json =
        json!({"verified": true, "entries": verified.entries, "head": facts(&verified.head), "kept": heads});
    Ok(Report::new(text, json))
}

/// A head as programs read it.
pub(crate) fn facts(head: &SignedHead) -> Value {
    let what = head.head();
    json!({
        "size": what.size, "root": encode_hex(&what.root), "at": what.at.to_string(), "log": encode_hex(&what.log),
    })
}

/// The refusal of an export that is not as it was sealed.
pub(super) fn tampered(found: &Tampering) -> Failure {
    let mut problem = json!({
        "type": "urn:cordon:problem:audit_tampered",
        "title": "The audit log was tampered with",
        "detail": found.to_string(),
    });
    if let (Some((first, last)), Some(fields)) = (found.entries(), problem.as_object_mut()) {
        fields.insert("first".to_owned(), first.into());
        fields.insert("last".to_owned(), last.into());
    }
    Failure::Refused(problem)
}

/// A head from a file.
pub(crate) fn read_head(path: &Path) -> Result<SignedHead, Failure> {
    let limit = u64::try_from(limits::AUDIT_HEAD_BYTES).unwrap_or(u64::MAX);
    let bytes = read_file(path, limit)?;
    let wrong = |error| Failure::refused("not a head", format!("{}: {error}", path.display()));
    SignedHead::parse(&bytes).map_err(wrong)
}

/// The log's key: the server's `audit-key.json`, a PEM file, or hexadecimal digits.
pub(crate) fn read_key(path: &Path) -> Result<[u8; 32], Failure> {
    let bytes = read_file(path, KEY_BYTES)?;
    let document = Document::parse(bytes.trim_ascii(), limits::BODY_BYTES).ok();
    let read = |document: Document| PublicKey::read(&document.map().ok()?).ok();
    let key = document.and_then(read).or_else(|| parse_public(&bytes));
    let key = key.filter(|key| key.scheme == Scheme::Ed25519).and_then(|key| key.bytes.try_into().ok());
    key.ok_or_else(|| {
        Failure::refused("not a key", format!("{} holds no Ed25519 public key", path.display()))
    })
}

/// Calls `take` with each line of a file, without its end; a line beyond the limit comes in pieces.
fn lines(path: &Path, mut take: impl FnMut(&[u8])) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| Failure::file("read", path, &error);
    let limit = u64::try_from(limits::AUDIT_LINE_BYTES).unwrap_or(u64::MAX);
    let mut file = BufReader::new(File::open(path).map_err(wrong)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if file.by_ref().take(limit).read_until(b'\n', &mut line).map_err(wrong)? == 0 {
            return Ok(());
        }
        take(line.strip_suffix(b"\n").unwrap_or(&line));
    }
}
