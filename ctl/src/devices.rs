//! `cordonctl devices`: list, import, show, what a device is made of, and what people do to identities.
//!
//! Every act needs a reason, which stands in the audit log; none touches therapy or network. What a device does about
//! an end (it wipes what it knows of its owner) is said before a person agrees. Read next: [`crate::api`].

use std::path::PathBuf;

use clap::Subcommand;
use cordon_proto::ids::DeviceId;
use cordon_proto::limits;
use serde_json::{Value, json};

use crate::api::{Api, Pages};
use crate::assets::{Import, coverage};
use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;

/// What the list shows.
const COLUMNS: [&str; 10] =
    ["id", "model", "serial", "asset_tag", "site", "ward", "source", "state", "band", "seen"];
/// Where they are.
const FLEET: Pages<'static> = Pages { path: &["devices"], rows: "devices", cursor: "after" };

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List devices.
    List {
        /// Words to look for.
        #[arg(long)]
        search: Option<String>,
        /// Only in this state.
        #[arg(long)]
        state: Option<String>,
        /// Only known like this: agent, observed, imported.
        #[arg(long)]
        source: Option<String>,
        /// Only those that have this weakness, or one that this advisory is about.
        #[arg(long, value_name = "ID")]
        advisory: Option<String>,
        /// So many at most.
        #[arg(long, default_value_t = limits::PAGE_ROWS)]
        limit: usize,
    },
    /// Import devices from a list of assets (a CMMS export as CSV): devices without an agent, too, are known then.
    Import(Import),
    /// Tell of which devices how much is known, and what cannot be seen.
    Coverage,
    /// Show one device.
    Show {
        /// Its id.
        id: DeviceId,
    },
    /// Show the history of one identity: its certificates, its tokens, and what the audit log says, newest first.
    History {
        /// Its id.
        id: DeviceId,
        /// So many entries of the log at most.
        #[arg(long, default_value_t = limits::PAGE_ROWS)]
        limit: usize,
    },
    /// Take the last receipt that a device signed before it wiped itself.
    Farewell {
        /// Its id.
        id: DeviceId,
        /// The file to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Take the bill of materials of a device as found, in CycloneDX 1.6.
    Sbom {
        /// Its id.
        id: DeviceId,
        /// The file to write.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Tell what differs between what a device was shipped with and what is found on it, by the SBOM of the release that it
    /// runs.
    Drift {
        /// Its id.
        id: DeviceId,
    },
    /// Stop trusting a device within a second; it may only check status and take updates. Therapy and network stay
    /// untouched.
    Quarantine {
        /// Its id.
        id: DeviceId,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Trust a device again.
    Release {
        /// Its id.
        id: DeviceId,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// End a device's use: at its next contact it wipes what it knows of its owner and leaves a last signed receipt.
    Retire {
        /// Its id.
        id: DeviceId,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Report a device lost: at its next contact it wipes what it knows of its owner and leaves a last signed receipt.
    Lost {
        /// Its id.
        id: DeviceId,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// A lost device turned up; it stays in quarantine until it is released.
    Find {
        /// Its id.
        id: DeviceId,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Say that a device's identity is one machine after all; its certificate may be renewed again.
    ClearDoubt {
        /// Its id.
        id: DeviceId,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, or the server was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let api = Api::new(session.options)?;
        match self {
            Self::List { search, state, source, advisory, limit } => {
                let given = [("q", search), ("state", state), ("source", source), ("advisory", advisory)]
                    .map(|(name, text)| text.clone().map(|text| (name, text)));
                let query: Vec<_> = given.into_iter().flatten().collect();
                let rows = api.list(&FLEET, &query, *limit)?;
                Ok(Report::table(&COLUMNS, &rows, Value::Array(rows.clone())))
            }
            Self::Import(import) => import.run(session),
            Self::Coverage => coverage(session),
            Self::Show { id } => Ok(Report::document(api.get(&["devices", &id.to_string()], &[])?)),
            Self::History { id, limit } => history(&api, id, *limit),
            Self::Farewell { id, out } => {
                let bytes = api.bytes(&["devices", &id.to_string(), "farewell"], &[])?;
                let none = || Failure::refused("no farewell", format!("{id} has not taken leave"));
                crate::folder::write_whole(out, &bytes.ok_or_else(none)?)?;
                let out = out.display().to_string();
                Ok(Report::new(format!("{out} written"), json!({"file": out})))
            }
            Self::Sbom { id, out } => {
                crate::folder::write_whole(out, &api.lines(&["devices", &id.to_string(), "sbom"], &[])?)?;
                let out = out.display().to_string();
                Ok(Report::new(format!("{out} written"), json!({"file": out})))
            }
            Self::Drift { id } => {
                let answer = api.get(&["devices", &id.to_string(), "drift"], &[])?;
                Ok(Report::new(crate::sbom::told(&answer), answer))
            }
            Self::Quarantine { id, reason } => act(&api, id, "quarantine", reason),
            Self::Release { id, reason } => act(&api, id, "release", reason),
            Self::Retire { id, reason } => {
                session.agree(&end_words(id, "retire it"), "Retire it?")?;
                act(&api, id, "retire", reason)
            }
            Self::Lost { id, reason } => {
                session.agree(&end_words(id, "report it lost"), "Report it lost?")?;
                act(&api, id, "report-lost", reason)
            }
            Self::Find { id, reason } => act(&api, id, "find", reason),
            Self::ClearDoubt { id, reason } => act(&api, id, "clear-doubt", reason),
        }
    }
}

/// What the end of a device's use does to it.
fn end_words(id: &DeviceId, doing: &str) -> String {
    format!(
        "Device {id}: you are about to {doing}.\n\
         At once nothing of it is trusted any more. At its next contact it wipes its identity, profile, content and\n\
         spool, and leaves a last signed receipt. Therapy, network and the running release stay untouched. To use it\n\
         again it must be enrolled anew.\n"
    )
}

/// The history of one identity, page by page up to `most` entries.
fn history(api: &Api, id: &DeviceId, most: usize) -> Result<Report, Failure> {
    let id = id.to_string();
    let mut whole = api.get(&["devices", &id, "history"], &[])?;
    let list =
        |page: &Value, name: &str| page.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let mut entries = list(&whole, "entries");
    let mut next = whole.get("next").and_then(Value::as_u64);
    while let Some(before) = next.filter(|_| entries.len() < most) {
        let page = api.get(&["devices", &id, "history"], &[("before", before.to_string())])?;
        entries.extend(list(&page, "entries"));
        next = page.get("next").and_then(Value::as_u64).filter(|further| *further < before);
    }
    entries.truncate(most);
    let table = |columns: &[&str], rows: &[Value]| Report::table(columns, rows, Value::Null).text;
    let text = format!(
        "CERTIFICATES\n{}\nTOKENS\n{}\nHISTORY\n{}",
        table(&["standing", "from", "until", "fingerprint", "why"], &list(&whole, "certificates")),
        table(&["state", "created", "expires", "by", "id"], &list(&whole, "tokens")),
        table(&["at", "action", "actor", "reason", "before", "after"], &entries),
    );
    if let Value::Object(fields) = &mut whole {
        fields.insert("entries".to_owned(), Value::Array(entries));
        fields.insert("next".to_owned(), json!(next));
    }
    Ok(Report::new(text, whole))
}

fn act(api: &Api, id: &DeviceId, act: &str, reason: &str) -> Result<Report, Failure> {
    let answer = api.post(&["devices", &id.to_string(), act], &json!({"reason": reason}))?;
    Ok(Report::new(format!("{id}: {act} done"), answer))
}
