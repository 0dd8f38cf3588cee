//! Who speaks for the owner in a report to a maker, and the report read back by whoever got it.
//!
//! A report is signed by one of the people who sign orders or targets, as the documents of the pack prove it; any other
//! key would be one arbitrary person's word. The roots after the first one and the newest targets document go along, so
//! that a maker who knows the owner's first root can see whose signature it is. The file has one form: a byte that was
//! changed anywhere in it is found. Ends are not looked at, because a report is about what was. Read next: `judge.rs`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use cordon_proto::canonical::Value as Signed;
use cordon_proto::ids::Sha256;
use cordon_proto::time::Timestamp;
use cordon_proto::update::author::{Signer, sign};
use cordon_proto::update::document::Document;
use cordon_proto::update::metadata::Targets;
use cordon_proto::update::{Authority, PublicKey, Role, Rules, Trusted, name};
use cordon_server_core::evidence::Line;
use serde_json::{Value, json};

use super::Anchored;
use crate::arguments::read_file;
use crate::chain::ORDERS;
use crate::failure::Failure;
use crate::key::{Pens, SecretKey, describe};
use crate::report::{Report, plain};
use crate::session::Session;

/// Bytes of a report: a row of a device has some hundreds.
const REPORT_BYTES: u64 = 256 * 1024 * 1024;
/// Where the documents stand that say who the people are.
const PEOPLE: &str = "people";

/// Verify a report that an owner made.
#[derive(Clone, Debug, Args)]
pub struct VerifyReport {
    /// The report.
    #[arg(long, value_name = "FILE")]
    pub report: PathBuf,
    /// The owner's first root, as the owner gave it to you by another way than the report.
    #[arg(long, value_name = "FILE")]
    pub director_root: PathBuf,
}

/// The people who may speak for an owner.
pub(crate) struct People {
    targets: Authority,
    orders: Option<Authority>,
    /// The documents that prove it, after the first root.
    documents: Vec<String>,
}

fn odd(why: impl std::fmt::Display) -> Failure {
    Failure::refused("report not believed", format!("the report does not hold: {why}"))
}

impl People {
    /// The people by a pack that was judged: by its newest root and its newest targets document.
    pub(crate) fn of_pack(from: &Anchored, rules: &Rules<'_>) -> Result<Self, Failure> {
        let (mut roots, mut targets) = (BTreeMap::new(), BTreeMap::new());
        from.lines(|line| {
            let Ok(Line::File { repository, file, bytes }) = Line::read(line) else { return };
            let version = file.split_once('.').and_then(|(version, _)| version.parse::<u64>().ok());
            let (Some(version), "director") = (version, repository.as_str()) else { return };
            let is = |role: &Role| file == name::path(role, version, true);
            if version > 1 && is(&Role::Root) {
                roots.insert(version, bytes);
            } else if is(&Role::Targets) {
                targets.insert(version, bytes);
            }
        })?;
        let newest = targets.pop_last().map(|(_, bytes)| bytes);
        let texts = roots.into_values().chain(newest).map(String::from_utf8);
        let documents = texts.collect::<Result<Vec<_>, _>>().map_err(odd)?;
        Self::believed(&from.director_root, documents, rules)
    }

    /// The people by these documents, from an owner's first root on.
    fn believed(first: &Path, documents: Vec<String>, rules: &Rules<'_>) -> Result<Self, Failure> {
        let rules = Rules { now: Timestamp(0), ..*rules };
        let first = read_file(first, u64::try_from(rules.sizes.root).unwrap_or(u64::MAX))?;
        let mut trusted = Trusted::start(&first, &rules)?;
        let (mut earlier, mut listed) = (vec![trusted.root().targets.clone()], None);
        for text in &documents {
            let document = Document::parse(text.as_bytes(), rules.sizes.targets).map_err(odd)?;
            let fields = document.signed().map().map_err(odd)?;
            match (fields.text("_type").map_err(odd)?, listed.is_none()) {
                ("root", true) => {
                    trusted.rotate(text.as_bytes(), &rules)?;
                    earlier.push(trusted.root().targets.clone());
                }
                ("targets", true) => {
                    // After a change of people the document may still be that of the ones before.
                    if !earlier.iter().any(|people| document.demand(people, rules.verifier).is_ok()) {
                        return Err(odd("its targets document is not signed by the people of a root"));
                    }
                    listed = Some(Targets::read(document.signed()).map_err(odd)?);
                }
                (_, _) => return Err(odd("it brings a document that proves nothing here")),
            }
        }
        let orders = listed.as_ref().and_then(|targets| targets.delegations.role(ORDERS));
        let orders = orders.map(|delegation| delegation.authority.clone());
        Ok(Self { targets: trusted.root().targets.clone(), orders, documents })
    }

    /// What the holder of a key signs for this owner.
    fn role_of(&self, key: &PublicKey) -> Option<&'static str> {
        let holds = |people: &Authority| people.keys().values().any(|known| known == key);
        match &self.orders {
            Some(orders) if holds(orders) => Some("orders"),
            Some(_) | None => holds(&self.targets).then_some("targets"),
        }
    }

    /// Refuses a key of anybody else.
    pub(crate) fn speaks(&self, key: &PublicKey) -> Result<(), Failure> {
        if self.role_of(key).is_some() {
            return Ok(());
        }
        let detail = format!(
            "{} is no key of the people who sign orders or targets for this owner, by the documents of the pack: the maker \
             could not tell whose word it is",
            describe(key)
        );
        Err(Failure::refused("not the owner's", detail))
    }

    /// The report with the digest of what proves its signature, so that no byte of that can be changed either.
    pub(crate) fn bound(&self, report: Signed) -> Signed {
        insert(report, digest(&self.documents).to_string().into())
    }

    /// The report, signed, with what proves the signature.
    pub(crate) fn sign(&self, report: &Signed, key: &SecretKey) -> Result<Vec<u8>, Failure> {
        let pens = Pens::default();
        let made = |message: &[u8]| pens.sign(key, message);
        let signed = sign(report, &[Signer { key: key.public().id(), sign: &made }]);
        pens.all_made()?;
        let signed = Signed::parse(&signed, signed.len()).map_err(odd)?;
        Ok(insert(signed, Signed::list(self.documents.iter().map(String::as_str))).json())
    }
}

fn insert(into: Signed, people: Signed) -> Signed {
    match into {
        Signed::Map(mut entries) => {
            entries.insert(PEOPLE.into(), people);
            Signed::Map(entries)
        }
        other => other,
    }
}

fn digest(documents: &[String]) -> Sha256 {
    Sha256::of(&Signed::list(documents.iter().map(String::as_str)).json())
}

impl VerifyReport {
    /// Does it.
    ///
    /// # Errors
    /// A byte was changed, or nobody of this owner signed it.
    pub fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let (bytes, rules) = (read_file(&self.report, REPORT_BYTES)?, session.rules());
        let value = Signed::parse(&bytes, bytes.len()).map_err(odd)?;
        if value.json() != bytes {
            return Err(odd("it is not in the one form of a report: bytes were changed or added"));
        }
        let fields = value.map().map_err(odd)?;
        fields.only(&[PEOPLE, "signatures", "signed"]).map_err(odd)?;
        let documents = fields.texts(PEOPLE).map_err(odd)?.into_iter().map(str::to_owned).collect();
        let people = People::believed(&self.director_root, documents, &rules)?;
        let document = Document::parse(&bytes, bytes.len()).map_err(odd)?;
        let key = self.signer(&people, (&document, &rules))?;
        let signed = document.signed().map().map_err(odd)?;
        if signed.text("_type").map_err(odd)? != "maker-report" {
            return Err(odd("what was signed is no report to a maker"));
        }
        if signed.text(PEOPLE).map_err(odd)? != digest(&people.documents).to_string() {
            return Err(odd("the documents that prove the signature were changed after it was made"));
        }
        let facts: Value = serde_json::from_slice(&document.signed().json()).unwrap_or_default();
        let role = people.role_of(&key).unwrap_or_default();
        Ok(told(&facts, &describe(&key), role))
    }

    /// The one key that signed it, of the people.
    fn signer(
        &self,
        people: &People,
        (document, rules): (&Document, &Rules<'_>),
    ) -> Result<PublicKey, Failure> {
        let all = people.orders.iter().chain([&people.targets]).flat_map(|people| people.keys().values());
        let [signature] = document.signatures() else { return Err(odd("it has not one signature")) };
        let claimed = all.into_iter().find(|key| key.id() == signature.key);
        let nobody = format!(
            "the key {} is none of the people who sign orders or targets for the owner of {}",
            plain(&signature.key.0),
            self.director_root.display()
        );
        let key = claimed.ok_or_else(|| odd(nobody))?;
        let alone = Authority::new([key.clone()], 1);
        if alone.is_some_and(|alone| document.demand(&alone, rules.verifier).is_ok()) {
            return Ok(key.clone());
        }
        Err(odd("what it says was changed after it was signed, or the signature was"))
    }
}

/// What a report says, with whose word it is.
fn told(facts: &Value, key: &str, role: &str) -> Report {
    let words = |pointer: &str| {
        let listed = facts.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        let words: Vec<_> = listed.filter_map(Value::as_str).map(plain).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    };
    let count = |name: &str| facts.pointer(&format!("/counts/{name}")).and_then(Value::as_u64).unwrap_or(0);
    let rows = facts.pointer("/devices").and_then(Value::as_array).map_or(0, Vec::len);
    let text = format!(
        "signed by {key}, who signs {role} for this owner\nreleases  {}\ndevices   {} confirmed, {} rolled back, {} refused, \
         {} went back\nfields    {}, of {rows} devices\n",
        words("/releases"),
        count("confirmed"),
        count("rolled-back"),
        count("refused"),
        count("went-back"),
        words("/fields"),
    );
    Report::new(text, json!({"verified": true, "signed_by": key, "role": role, "report": facts}))
}
