//! `cordonctl tokens`: enrolment strings, with the director root's hash from the person's own copy.
//!
//! The server makes the secret of a single token; what a device shall trust is put in here. For a whole list the
//! secrets are drawn here and only their hashes leave. If `--ca` is given, the pin of the server's authority must be
//! the one of that file. Read next: `bulk` for lists, `join` for tokens that the console showed, `cordon_proto::enrol`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cordon_proto::enrol::EnrolmentString;
use cordon_proto::ids::{DeviceId, Sha256};
use cordon_proto::limits;
use cordon_proto::update::Trusted;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::api::{Api, Pages};
use crate::arguments::read_file;
use crate::chain::no_example;
use crate::failure::Failure;
use crate::placing::Placing;
use crate::report::Report;
use crate::session::Session;

mod bulk;
mod join;
mod roster;

/// What the list shows.
const COLUMNS: [&str; 8] = ["id", "state", "model", "serial", "used", "count", "expires", "by"];
/// Where they are.
const ALL: Pages<'static> = Pages { path: &["tokens"], rows: "tokens", cursor: "after" };

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an enrolment token and print the enrolment string; or one join file for each device of a list.
    Create(Box<Create>),
    /// List tokens, the newest first.
    List {
        /// Only in this state: open, used, expired or revoked.
        #[arg(long)]
        state: Option<String>,
        /// Only tokens for this serial.
        #[arg(long)]
        serial: Option<String>,
        /// So many at most.
        #[arg(long, default_value_t = limits::PAGE_ROWS)]
        limit: usize,
    },
    /// Take a token back: it lets nobody in any more. Devices that came in with it stay.
    Revoke {
        /// Its id.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Make a join file from a token that the console showed, with your own copy of the director root.
    Join(join::Join),
}

/// Make an enrolment token.
#[derive(Clone, Debug, Args)]
pub struct Create {
    /// The model that may enrol with it.
    #[arg(long, required_unless_present = "from")]
    pub model: Option<String>,
    /// Only this maker's.
    #[arg(long)]
    pub manufacturer: Option<String>,
    /// Only the device with this serial number.
    #[arg(long, conflicts_with_all = ["count", "from"], required_unless_present_any = ["count", "from"])]
    pub serial: Option<String>,
    /// So many devices.
    #[arg(long, value_name = "N", conflicts_with = "from",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::TOKEN_COUNT)))]
    pub count: Option<u32>,
    /// One token and one join file for each row of this list (CSV with a header row; columns: serial, and if you like
    /// model, manufacturer, site, ward, kind, tags). May be run again after any failure.
    #[arg(long, value_name = "FILE", requires = "out")]
    pub from: Option<PathBuf>,
    /// The folder for the join files and summary.csv. They are secrets: remove it when the devices have them.
    #[arg(long, value_name = "DIR", requires = "from")]
    pub out: Option<PathBuf>,
    /// Where they will stand and what they are for.
    #[command(flatten)]
    pub placing: Placing,
    /// The device may come with a new key, after a factory reset: the next key replaces the present one.
    #[arg(long, conflicts_with = "count")]
    pub replaces: bool,
    /// The serial is a new main board's: the record of this device goes on with it.
    #[arg(long, value_name = "DEVICE", requires = "serial", conflicts_with = "replaces")]
    pub instead_of: Option<DeviceId>,
    /// Hours for which the token is good.
    #[arg(long, value_name = "N")]
    pub hours: Option<u32>,
    /// Your own copy of a director root that the server serves: devices will start their trust from it.
    #[arg(long, value_name = "FILE")]
    pub director_root: PathBuf,
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, wrongly used, or the server was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        match self {
            Self::Create(create) => create.run(session),
            Self::List { state, serial, limit } => {
                let given = [("state", state), ("serial", serial)]
                    .map(|(name, text)| text.clone().map(|text| (name, text)));
                let query: Vec<_> = given.into_iter().flatten().collect();
                let rows = Api::new(session.options)?.list(&ALL, &query, *limit)?;
                Ok(Report::table(&COLUMNS, &rows, Value::Array(rows.clone())))
            }
            Self::Revoke { id, reason } => {
                let answer =
                    Api::new(session.options)?.post(&["tokens", id, "revoke"], &json!({"reason": reason}))?;
                Ok(Report::new(format!("{id}: taken back"), answer))
            }
            Self::Join(join) => join.run(session),
        }
    }
}

impl Create {
    fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let director_root = own_root(session, &self.director_root)?;
        if let (Some(from), Some(out)) = (&self.from, &self.out) {
            return bulk::Intake { create: self, from, out, director_root }.run(session);
        }
        let answer = Api::new(session.options)?.post(&["tokens"], &self.body())?;
        let enrolment = Way::of(&answer)?.enrolment(director_root, text(&answer, "token")?)?;
        if let Some(ca) = &session.options.ca {
            same_authority(ca, &enrolment.ca_pin)?;
        }
        let fact = |name: &str| answer.get(name).cloned().unwrap_or(Value::Null);
        let json =
            json!({"id": fact("id"), "enrolment_string": enrolment.to_string(), "expires": fact("expires")});
        Ok(Report::new(enrolment.to_string(), json))
    }

    /// What is asked of the server, for one token or as what all rows of a list have in common.
    fn body(&self) -> Value {
        let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
        let fields = [
            ("model", text(&self.model)),
            ("manufacturer", text(&self.manufacturer)),
            ("serial", text(&self.serial)),
            ("replaces", self.replaces.then_some(Value::Bool(true))),
            ("instead_of", self.instead_of.map(|device| json!(device.to_string()))),
            ("count", self.count.map(|count| json!(count))),
            ("hours", self.hours.map(|hours| json!(hours))),
        ];
        let given =
            fields.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)));
        Value::Object(given.chain(self.placing.given()).collect())
    }
}

/// The hash of the person's own director root, which is believed only as far as it is one.
fn own_root(session: &Session<'_>, path: &Path) -> Result<Sha256, Failure> {
    let rules = session.rules();
    let root = read_file(path, u64::try_from(rules.sizes.root).unwrap_or(u64::MAX))?;
    let trusted = Trusted::start(&root, &rules)?;
    no_example(trusted.root(), session.options.example_keys)?;
    Ok(Sha256::of(&root))
}

/// Where devices call, by the server's answer.
struct Way {
    host: String,
    enrolment_port: u16,
    device_port: u16,
    ca_pin: Sha256,
}

impl Way {
    fn of(answer: &Value) -> Result<Self, Failure> {
        let port = |name: &str| {
            let port = answer.get(name).and_then(Value::as_u64);
            port.and_then(|port| u16::try_from(port).ok()).ok_or_else(odd)
        };
        Ok(Self {
            host: text(answer, "host")?.to_owned(),
            enrolment_port: port("enrolment_port")?,
            device_port: port("device_port")?,
            ca_pin: text(answer, "ca_pin")?.parse().map_err(|_| odd())?,
        })
    }

    /// The enrolment string of a secret, with our own hash of the director root.
    fn enrolment(&self, director_root: Sha256, token: &str) -> Result<EnrolmentString, Failure> {
        let made = EnrolmentString {
            host: self.host.clone(),
            enrolment_port: self.enrolment_port,
            device_port: self.device_port,
            ca_pin: self.ca_pin,
            director_root,
            token: token.to_owned(),
        };
        // What devices cannot read must not be handed out.
        made.to_string().parse().map_err(|_| odd())
    }
}

fn odd() -> Failure {
    Failure::refused("unexpected answer", "the server sent no usable token; is it of another version?")
}

fn text<'a>(answer: &'a Value, name: &str) -> Result<&'a str, Failure> {
    answer.get(name).and_then(Value::as_str).ok_or_else(odd)
}

fn same_authority(ca: &Path, pin: &Sha256) -> Result<(), Failure> {
    let bytes = read_file(ca, 1 << 20)?;
    let pinned = |der: &CertificateDer<'_>| {
        X509Certificate::from_der(der)
            .is_ok_and(|(_, certificate)| Sha256::of(certificate.public_key().raw) == *pin)
    };
    if CertificateDer::pem_slice_iter(&bytes).flatten().any(|der| pinned(&der)) {
        return Ok(());
    }
    let detail =
        format!("the server pins an authority that is not in {}: do not hand this token out", ca.display());
    Err(Failure::refused("foreign authority", detail))
}
