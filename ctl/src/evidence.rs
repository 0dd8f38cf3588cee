//! `cordonctl evidence`: a pack fetched from a server, and everything that is read of one, without any server.
//!
//! `pack` asks a server; the others work on files alone, on any machine: the pack, the parties' first roots, the authority
//! of the devices, and a head of the audit log that was kept. What they print is what the pack proves from those, and
//! nothing else. Read next: `evidence/judge.rs` for the anchors, [`cordon_server_core::evidence`] for the check.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use cordon_proto::audit::SignedHead;
use cordon_proto::canonical::fields::encode_hex;
use cordon_proto::ids::HardwareId;
use cordon_proto::receipt::Outcome;
use cordon_proto::time::Timestamp;
use cordon_server_core::evidence::{
    Approved, Field, Known, Quartiles, Verified, cases, maker_report, measures,
};
use serde_json::{Value, json};

use crate::api::Api;
use crate::audit::{facts as facts_of, read_head};
use crate::failure::Failure;
use crate::folder::write_whole;
use crate::key::SecretKey;
use crate::order::receipts::{absent_facts, absent_lines, list_of};
use crate::report::{Report, plain};
use crate::session::Session;
use judge::Judged;

mod judge;
pub mod people;

pub use judge::From as Anchored;

use people::{People, VerifyReport};

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fetch a pack: what was ordered, by whose keys, and what became of it, in one sealed file.
    Pack(Pack),
    /// Check a pack without the server: names the line that was changed, dropped, moved or added.
    ///
    /// With the orders' lists it also names the devices that proved nothing, and counts nobody else.
    Verify(judge::From),
    /// How fast holes were closed, by the pack's receipts: the share of patched devices, and the times to get there.
    Measures(MeasuresOf),
    /// Write what the maker may know of its release's rollout, signed.
    MakerReport(ReportTo),
    /// Read a report to a maker back, on any machine: whose word it is, and that no byte of it was changed.
    VerifyReport(VerifyReport),
}

/// Fetch a pack.
#[derive(Clone, Debug, Args)]
pub struct Pack {
    /// Of one order, also one that is withdrawn.
    #[arg(long, value_name = "NAME")]
    pub order: Option<String>,
    /// Of all orders that install this release.
    #[arg(long, value_name = "NAME")]
    pub release: Option<String>,
    /// Of all orders of this rollout.
    #[arg(long, value_name = "NAME")]
    pub rollout: Option<String>,
    /// Of all orders that close this advisory.
    #[arg(long, value_name = "NAME")]
    pub advisory: Option<String>,
    /// A head of the audit log that was kept: the pack proves that the log goes on from it. Repeat.
    #[arg(long, value_name = "FILE")]
    pub head: Vec<PathBuf>,
    /// Where to write it.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// The measures of a pack.
#[derive(Clone, Debug, Args)]
pub struct MeasuresOf {
    /// The pack and what is believed.
    #[command(flatten)]
    pub from: judge::From,
    /// A hole that the pack's release closes, and when it became known: `CVE-2026-1234=2026-01-03`. Repeat.
    #[arg(long, value_name = "NAME=TIME", required = true)]
    pub known: Vec<String>,
}

/// A report to a maker.
#[derive(Clone, Debug, Args)]
pub struct ReportTo {
    /// The pack and what is believed.
    #[command(flatten)]
    pub from: judge::From,
    /// A field of single devices that the maker may see: boots, device, hardware, interlock, order, reason, slot or time.
    /// Repeat; without any only counts are told.
    #[arg(long, value_name = "FIELD")]
    pub approve: Vec<String>,
    /// Your private key, which signs the report: of the people who sign orders or targets.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Where to write it.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, wrongly used, or the server was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        match self {
            Self::Pack(pack) => pack.fetch(session),
            Self::Verify(from) => Ok(told(&from.judged(session)?)),
            Self::Measures(of) => of.told(session),
            Self::MakerReport(to) => to.write(session),
            Self::VerifyReport(of) => of.run(session),
        }
    }
}

impl Pack {
    fn fetch(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let asked = [
            ("order", &self.order),
            ("release", &self.release),
            ("rollout", &self.rollout),
            ("advisory", &self.advisory),
        ];
        if asked.iter().filter(|(_, value)| value.is_some()).count() != 1 {
            let one = "give one of --order, --release, --rollout and --advisory";
            return Err(Failure::Usage(one.to_owned()));
        }
        let kept = self.head.iter().map(|path| read_head(path)).collect::<Result<Vec<_>, _>>()?;
        let line = |head: &SignedHead| String::from_utf8_lossy(&head.to_bytes()).into_owned();
        let heads: Vec<_> = kept.iter().map(line).collect();
        let given =
            asked.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?))));
        // A server that has not heard of heads yet is still asked for a pack without any.
        let heads = Some(("heads".to_owned(), json!(heads))).filter(|_| !kept.is_empty());
        let body = Value::Object(given.chain(heads).collect());
        let pack = Api::new(session.options)?.post_for_lines(&["evidence"], &body)?;
        write_whole(&self.out, &pack)?;
        // A pack that does not go on from them is written all the same: it is evidence.
        judge::goes_on(&pack, &kept)?;
        let (out, lines) = (self.out.display(), pack.split_inclusive(|byte| *byte == b'\n').count());
        let believed = if kept.is_empty() { "--log-key FILE" } else { "--head FILE" };
        let check = format!(
            "check it on any machine: cordonctl evidence verify --pack {out} --director-root FILE --image-root \
             NAME=FILE --ca FILE {believed}"
        );
        let text = format!("wrote {out} with {lines} lines\n{}{check}", held(&kept));
        Ok(Report::new(text, json!({"lines": lines, "kept": kept.iter().map(facts_of).collect::<Vec<_>>()})))
    }
}

/// The heads to which a log was held.
fn held(kept: &[SignedHead]) -> String {
    match kept {
        [] => "held to no kept head: the log's key alone is believed, not its past\n".to_owned(),
        _ => kept.iter().map(|head| format!("held to the kept head: {head}\n")).collect(),
    }
}

/// What a pack proves.
fn told(judged: &Judged) -> Report {
    let verified = &judged.verified;
    let mut text = format!(
        "verified: all {} lines are as they were sealed, with {} entries of the audit log\nasked {} of {} at {}\n",
        verified.lines,
        verified.entries,
        plain(&verified.asked),
        plain(&verified.owner),
        verified.made
    );
    let mut orders = Vec::new();
    for approved in &verified.orders {
        let (lines, facts) = order(judged, approved);
        text += &lines;
        orders.push(facts);
    }
    let Verified { others, outside, renamed, head, kept, .. } = verified;
    if *others > 0 {
        text += &format!("{others} receipts prove nothing for these orders\n");
    }
    if *outside > 0 {
        text += &format!("{outside} receipts are of devices outside the lists: they count for nothing\n");
    }
    if *renamed > 0 {
        text += &format!(
            "{renamed} devices spoke under more than one identity: they were enrolled again, or somebody made one for them\n"
        );
    }
    text += &format!("sealed: {head}\n{}log: {}\n", held(kept), encode_hex(&head.head().log));
    let json = json!({
        "verified": true, "lines": verified.lines, "asked": verified.asked, "made": verified.made.to_string(),
        "orders": orders, "others": others, "outside": outside, "renamed": renamed,
        "kept": kept.iter().map(facts_of).collect::<Vec<_>>(),
    });
    Report::new(text, json)
}

fn order(judged: &Judged, approved: &Approved) -> (String, Value) {
    let Judged { verified, lists } = judged;
    let Approved { order, document, signed_by, threshold } = approved;
    let ended = |outcome| verified.ended(approved, outcome);
    let counts = [Outcome::Confirmed, Outcome::RolledBack, Outcome::Refused, Outcome::WentBack].map(ended);
    let [confirmed, rolled_back, refused, went_back] = counts;
    let missing = verified.silent(approved);
    let proved: BTreeSet<HardwareId> = verified.of(approved).map(|body| body.hardware).collect();
    let absent = list_of(order, lists).map(|list| list.without(|device| proved.contains(device)));
    // Without its list nobody knows whose devices these are, and one that is not of the order may hide one that is.
    let least = if absent.is_some() { "" } else { "at least " };
    let unproved = missing.map(|count| format!(", {least}{count} without a proof")).unwrap_or_default();
    let keys: Vec<&str> = signed_by.iter().map(|key| key.0.as_str()).collect();
    let text = format!(
        "order {}: {} of {}\n  approved   {} of {threshold} needed keys, document {document}, issued {}\n{}  devices    \
         {confirmed} confirmed, {rolled_back} rolled back, {refused} refused, {went_back} went back{unproved}\n{}",
        order.id,
        order.image.release,
        order.repository,
        keys.len(),
        order.issued,
        keys.iter().map(|key| format!("    key      {}\n", plain(key))).collect::<String>(),
        absent.as_deref().map(absent_lines).unwrap_or_default(),
    );
    let facts = json!({
        "order": order.id.as_str(), "release": order.image.release.as_str(), "document": document,
        "issued": order.issued.to_string(), "signed_by": keys, "threshold": threshold, "confirmed": confirmed,
        "rolled_back": rolled_back, "refused": refused, "went_back": went_back, "missing": missing,
        "absent": absent.as_deref().map(absent_facts),
    });
    (text, facts)
}

impl MeasuresOf {
    fn told(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let known = self.known.iter().map(|text| known(text)).collect::<Result<Vec<_>, _>>()?;
        let Judged { verified, .. } = self.from.judged(session)?;
        let found = measures(&cases(&verified, &known), verified.made);
        let share = found
            .patched_permille
            .map_or("unknown".to_owned(), |share| format!("{}.{} %", share / 10, share % 10));
        let mut text = format!(
            "as of {}, by receipts; when a hole became known is your own statement\npatched                  {share}\n",
            verified.made
        );
        text += &format!("identified to available  {}\n", spread(found.identified_to_available));
        text += &format!("available to deployed    {}\n", spread(found.available_to_deployed));
        for open in &found.open {
            let days = open.for_s / 86_400;
            text += &format!(
                "open: {}, {} devices without a proof, known for {days} days\n",
                plain(&open.name),
                open.devices
            );
        }
        let open = found
            .open
            .iter()
            .map(|open| json!({"name": open.name, "devices": open.devices, "for_s": open.for_s}));
        let json = json!({
            "patched_permille": found.patched_permille,
            "identified_to_available": found.identified_to_available.map(facts),
            "available_to_deployed": found.available_to_deployed.map(facts),
            "open": open.collect::<Vec<_>>(),
        });
        Ok(Report::new(text, json))
    }
}

fn known(text: &str) -> Result<Known, Failure> {
    let wrong =
        || Failure::Usage(format!("`{text}`: write a name and a time, such as CVE-2026-1234=2026-01-03"));
    let (name, at) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
    let whole = if at.contains('T') { at.to_owned() } else { format!("{at}T00:00:00Z") };
    let at = Timestamp::parse(&whole).map_err(|_| wrong())?;
    Ok(Known { name: name.to_owned(), at })
}

/// "half within 3.5 d, three quarters within 6.0 d, all within 9.2 d".
fn spread(times: Option<Quartiles>) -> String {
    let Some(times) = times else { return "unknown".to_owned() };
    let days = |seconds: i64| format!("{}.{} d", seconds / 86_400, seconds.abs() % 86_400 / 8640);
    let (half, most, all) = (days(times.median_s), days(times.upper_s), days(times.most_s));
    format!("half within {half}, three quarters within {most}, all within {all}")
}

fn facts(times: Quartiles) -> Value {
    json!({
        "lower_s": times.lower_s, "median_s": times.median_s, "upper_s": times.upper_s, "most_s": times.most_s,
    })
}

impl ReportTo {
    fn write(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let fields = self.approve.iter().map(|name| field(name)).collect::<Result<BTreeSet<_>, _>>()?;
        let key = SecretKey::read(&self.key, session.options.example_keys)?;
        let verified = self.from.judged(session)?.verified;
        let people = People::of_pack(&self.from, &session.rules())?;
        people.speaks(key.public())?;
        let report = people.bound(maker_report(&verified, &fields));
        let shown = String::from_utf8_lossy(&report.json()).into_owned();
        session.about_to_sign(&format!("{}\n", plain(&shown)))?;
        write_whole(&self.out, &people.sign(&report, &key)?)?;
        let names: Vec<_> = fields.iter().map(|field| field.name()).collect();
        let told = if names.is_empty() { "counts alone".to_owned() } else { names.join(", ") };
        let text = format!("wrote {}: {told}", self.out.display());
        Ok(Report::new(text, json!({"fields": names, "key": key.public().id().0})))
    }
}

fn field(name: &str) -> Result<Field, Failure> {
    let unknown = || {
        let names: Vec<_> = Field::ALL.iter().map(|field| field.name()).collect();
        Failure::Usage(format!("--approve `{name}`: write one of {}", names.join(", ")))
    };
    Field::ALL.into_iter().find(|field| field.name() == name).ok_or_else(unknown)
}

#[cfg(test)]
mod tests;
