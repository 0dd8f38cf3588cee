//! The lines of a pack, from bytes and to bytes: canonical JSON, one form for one meaning.
//!
//! A reader takes only the very bytes that [`Line::to_bytes`] makes, so that a changed byte is never the same line. What
//! a line holds is a claim until the verifier has judged it. Read next: [`super::Examination`].

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use cordon_proto::canonical::fields::{Fields, decode_hex, encode_hex};
use cordon_proto::canonical::{FieldError, FieldProblem, ParseError, Value};
use cordon_proto::enrol::{base64url, from_base64url};
use cordon_proto::ids::{DeviceId, Name};
use cordon_proto::limits;
use cordon_proto::merkle::Hash;
use cordon_proto::time::Timestamp;

use crate::audit::Recorded;

const HEADER: &str = "evidence";
const FILE: &str = "evidence-file";
const RELEASE: &str = "evidence-release";
const ROLLOUT: &str = "evidence-rollout";
const PROGRESS: &str = "evidence-progress";
const ISSUER: &str = "evidence-issuer";
const RECEIPT: &str = "evidence-receipt";
const AUDIT: &str = "evidence-audit";
const INDEX: &str = "evidence-index";
const SEAL: &str = "evidence-seal";
const PROOF: &str = "evidence-proof";
const EARLIER: &str = "evidence-earlier";
const VERSION: u64 = 1;

/// One line but the last, which is the signed head of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The first line: whose pack it is and what was asked for.
    Header {
        /// The server that made it.
        owner: String,
        /// What was asked for, such as `order:vp3-422-1`.
        asked: String,
        /// When, by the server's clock.
        made: Timestamp,
        /// The orders that it is about.
        orders: Vec<Name>,
    },
    /// A signed document of one of the parties, as it was received.
    File {
        /// `director`, or the maker's repository.
        repository: Name,
        /// Its name there.
        file: String,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// When a release came to this server, by the server's word.
    Release {
        /// The maker's repository.
        repository: Name,
        /// The release.
        release: String,
        /// When.
        available: Timestamp,
    },
    /// A rollout as it is stored, by the server's word.
    Rollout {
        /// Its name.
        id: Name,
        /// The document.
        document: String,
    },
    /// What is remembered of a device in a rollout, by the server's word.
    Progress {
        /// The rollout.
        rollout: Name,
        /// The device.
        device: DeviceId,
        /// The document.
        document: String,
    },
    /// An authority that issued certificates of devices.
    Issuer {
        /// Its certificate, DER.
        certificate: Vec<u8>,
    },
    /// A receipt.
    Receipt {
        /// The order that it answers.
        order: Name,
        /// The device.
        device: DeviceId,
        /// When it came, by the server's word.
        received: Timestamp,
        /// As the device signed it.
        receipt: Vec<u8>,
        /// The device's certificate, DER.
        leaf: Vec<u8>,
    },
    /// An entry of the audit log.
    Audit {
        /// As it is stored.
        entry: String,
    },
    /// Names for lines of the body.
    Index {
        /// The first of them, from 1.
        first: u64,
        /// The leaf hashes of RFC 9162.
        hashes: Vec<Hash>,
        /// What each line is.
        labels: Vec<String>,
    },
    /// The entry of the audit log that holds the root over the index.
    Seal {
        /// As it is stored.
        entry: String,
        /// The proof that it stands under the head.
        path: Vec<Hash>,
    },
    /// The proof that an entry of the body stands under the head.
    Proof {
        /// The entry.
        sequence: u64,
        /// The proof.
        path: Vec<Hash>,
    },
    /// A head of the audit log that somebody kept, and the proof that the log goes on from it.
    Earlier {
        /// As it was signed.
        head: String,
        /// The proof of RFC 9162 section 2.1.4.
        path: Vec<Hash>,
    },
}

/// Why bytes are no line of a pack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON.
    #[error("not a line of an evidence pack: {0}")]
    Json(#[from] ParseError),
    /// A field that is missing or of another form.
    #[error("not a line of an evidence pack: {0}")]
    Field(#[from] FieldError),
    /// A kind or version that is not known here.
    #[error("the line is of a kind or version that is not known here")]
    Kind,
    /// The same meaning in other bytes.
    #[error("the line is not in the one form that a pack has")]
    Form,
}

impl Line {
    /// Reads the bytes of [`Line::to_bytes`], and no others.
    pub fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let value = Value::parse(bytes, limits::EVIDENCE_LINE_BYTES)?;
        let line = Self::of(&value.map()?)?;
        if line.to_bytes() == bytes { Ok(line) } else { Err(Unreadable::Form) }
    }

    fn of(fields: &Fields<'_>) -> Result<Self, Unreadable> {
        Ok(match fields.text("_type")? {
            HEADER if fields.unsigned("v")? == VERSION => {
                let orders = fields.texts("orders")?.into_iter().map(|name| parsed(fields, "orders", name));
                Self::Header {
                    owner: fields.text("owner")?.into(),
                    asked: fields.text("asked")?.into(),
                    made: fields.time("made")?,
                    orders: orders.collect::<Result<_, _>>()?,
                }
            }
            FILE => Self::File {
                repository: name(fields, "repository")?,
                file: fields.text("file")?.into(),
                bytes: bytes(fields, "bytes")?,
            },
            RELEASE => Self::Release {
                repository: name(fields, "repository")?,
                release: fields.text("release")?.into(),
                available: fields.time("available")?,
            },
            ROLLOUT => {
                Self::Rollout { id: name(fields, "rollout")?, document: fields.text("document")?.into() }
            }
            PROGRESS => Self::Progress {
                rollout: name(fields, "rollout")?,
                device: parsed(fields, "device", fields.text("device")?)?,
                document: fields.text("document")?.into(),
            },
            ISSUER => Self::Issuer { certificate: bytes(fields, "certificate")? },
            RECEIPT => Self::Receipt {
                order: name(fields, "order")?,
                device: parsed(fields, "device", fields.text("device")?)?,
                received: fields.time("received")?,
                receipt: bytes(fields, "receipt")?,
                leaf: bytes(fields, "leaf")?,
            },
            AUDIT => Self::Audit { entry: fields.text("entry")?.into() },
            INDEX => Self::Index {
                first: fields.unsigned("first")?,
                hashes: hashes(fields, "hashes")?,
                labels: fields.texts("labels")?.into_iter().map(Into::into).collect(),
            },
            SEAL => Self::Seal { entry: fields.text("entry")?.into(), path: hashes(fields, "path")? },
            PROOF => Self::Proof { sequence: fields.unsigned("sequence")?, path: hashes(fields, "path")? },
            EARLIER => Self::Earlier { head: fields.text("head")?.into(), path: hashes(fields, "path")? },
            _ => return Err(Unreadable::Kind),
        })
    }

    /// The line's bytes, without its end. Texts may hold no control character but in escaped form, so a line has one end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut fields = self.fields();
        fields.push(("_type", self.kind().into()));
        Value::object(fields).json()
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Header { .. } => HEADER,
            Self::File { .. } => FILE,
            Self::Release { .. } => RELEASE,
            Self::Rollout { .. } => ROLLOUT,
            Self::Progress { .. } => PROGRESS,
            Self::Issuer { .. } => ISSUER,
            Self::Receipt { .. } => RECEIPT,
            Self::Audit { .. } => AUDIT,
            Self::Index { .. } => INDEX,
            Self::Seal { .. } => SEAL,
            Self::Proof { .. } => PROOF,
            Self::Earlier { .. } => EARLIER,
        }
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::Header { owner, asked, made, orders } => Vec::from([
                ("owner", owner.as_str().into()),
                ("asked", asked.as_str().into()),
                ("made", (*made).into()),
                ("orders", Value::list(orders.iter().map(Name::as_str))),
                ("v", VERSION.into()),
            ]),
            Self::File { repository, file, bytes } => Vec::from([
                ("repository", repository.as_str().into()),
                ("file", file.as_str().into()),
                ("bytes", base64url(bytes).into()),
            ]),
            Self::Release { repository, release, available } => Vec::from([
                ("repository", repository.as_str().into()),
                ("release", release.as_str().into()),
                ("available", (*available).into()),
            ]),
            Self::Rollout { id, document } => {
                Vec::from([("rollout", id.as_str().into()), ("document", document.as_str().into())])
            }
            Self::Progress { rollout, device, document } => Vec::from([
                ("rollout", rollout.as_str().into()),
                ("device", device.to_string().into()),
                ("document", document.as_str().into()),
            ]),
            Self::Issuer { certificate } => Vec::from([("certificate", base64url(certificate).into())]),
            Self::Receipt { order, device, received, receipt, leaf } => Vec::from([
                ("order", order.as_str().into()),
                ("device", device.to_string().into()),
                ("received", (*received).into()),
                ("receipt", base64url(receipt).into()),
                ("leaf", base64url(leaf).into()),
            ]),
            Self::Audit { entry } => Vec::from([("entry", entry.as_str().into())]),
            Self::Index { first, hashes, labels } => Vec::from([
                ("first", (*first).into()),
                ("hashes", digits(hashes)),
                ("labels", Value::list(labels.iter().map(String::as_str))),
            ]),
            Self::Seal { entry, path } => {
                Vec::from([("entry", entry.as_str().into()), ("path", digits(path))])
            }
            Self::Proof { sequence, path } => {
                Vec::from([("sequence", (*sequence).into()), ("path", digits(path))])
            }
            Self::Earlier { head, path } => {
                Vec::from([("head", head.as_str().into()), ("path", digits(path))])
            }
        }
    }

    /// What the line is, in a few words: the index names it so.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Header { asked, .. } => alloc::format!("the header, {asked}"),
            Self::File { repository, file, .. } => alloc::format!("the signed document {repository}/{file}"),
            Self::Release { repository, release, .. } => {
                alloc::format!("the release {repository}/{release}")
            }
            Self::Rollout { id, .. } => alloc::format!("the rollout {id}"),
            Self::Progress { rollout, device, .. } => {
                alloc::format!("device {device} in the rollout {rollout}")
            }
            Self::Issuer { .. } => "the certificate of an authority".into(),
            Self::Receipt { order, device, .. } => {
                alloc::format!("the receipt of device {device} for order {order}")
            }
            Self::Audit { entry } => match Recorded::from_bytes(entry.as_bytes()) {
                Ok(recorded) => alloc::format!("entry {} of the audit log", recorded.sequence),
                Err(_) => "an entry of the audit log".into(),
            },
            Self::Index { .. } => "the index".into(),
            Self::Seal { .. } => "the seal".into(),
            Self::Proof { .. } => "a proof".into(),
            Self::Earlier { .. } => "an earlier head of the audit log".into(),
        }
    }

    /// Whether it belongs to the body.
    #[must_use]
    pub fn is_body(&self) -> bool {
        match self {
            Self::Index { .. } | Self::Seal { .. } | Self::Proof { .. } | Self::Earlier { .. } => false,
            Self::Header { .. }
            | Self::File { .. }
            | Self::Release { .. }
            | Self::Rollout { .. }
            | Self::Progress { .. }
            | Self::Issuer { .. }
            | Self::Receipt { .. }
            | Self::Audit { .. } => true,
        }
    }
}

fn name(fields: &Fields<'_>, field: &'static str) -> Result<Name, FieldError> {
    parsed(fields, field, fields.text(field)?)
}

fn parsed<T: core::str::FromStr>(
    fields: &Fields<'_>,
    field: &'static str,
    text: &str,
) -> Result<T, FieldError> {
    text.parse().map_err(|_| fields.error(field, FieldProblem::Form("a name")))
}

fn bytes(fields: &Fields<'_>, field: &'static str) -> Result<Vec<u8>, FieldError> {
    let read = from_base64url(fields.text(field)?);
    read.ok_or_else(|| fields.error(field, FieldProblem::Form("base64url without padding")))
}

fn hashes(fields: &Fields<'_>, field: &'static str) -> Result<Vec<Hash>, FieldError> {
    let wrong = || fields.error(field, FieldProblem::Form("hashes in hexadecimal digits"));
    let bytes = decode_hex(fields.text(field)?).ok_or_else(wrong)?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    if rest.is_empty() { Ok(hashes.to_vec()) } else { Err(wrong()) }
}

fn digits(hashes: &[Hash]) -> Value {
    encode_hex(hashes.as_flattened()).into()
}
