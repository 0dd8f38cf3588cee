//! `cordonctl tokens`: enrolment strings, with the director root's hash from the person's own copy.
//!
//! The server makes the secret; what a device shall trust is put in here. If `--ca` is given, the pin of the server's
//! authority must be the one of that file. Read next: `cordon_proto::enrol`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cordon_proto::enrol::EnrolmentString;
use cordon_proto::ids::Sha256;
use cordon_proto::limits;
use cordon_proto::update::Trusted;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::api::Api;
use crate::arguments::read_file;
use crate::chain::no_example;
use crate::failure::Failure;
use crate::report::Report;
use crate::session::Session;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an enrolment token and print the enrolment string.
    Create(Create),
}

/// Make an enrolment token.
#[derive(Clone, Debug, Args)]
pub struct Create {
    /// The model that may enrol with it.
    #[arg(long)]
    pub model: String,
    /// Only this maker's.
    #[arg(long)]
    pub manufacturer: Option<String>,
    /// Only the device with this serial number.
    #[arg(long, conflicts_with = "count", required_unless_present = "count")]
    pub serial: Option<String>,
    /// So many devices.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::TOKEN_COUNT)))]
    pub count: Option<u32>,
    /// Where they will stand.
    #[arg(long)]
    pub site: Option<String>,
    /// Where they will stand, closer.
    #[arg(long)]
    pub ward: Option<String>,
    /// What they are for, such as infusion-pump or kiosk.
    #[arg(long)]
    pub kind: Option<String>,
    /// Who reaches them over the network: isolated, segmented, flat or internet.
    #[arg(long)]
    pub zone: Option<String>,
    /// Who can stand before them: locked-room, clinical-area or public.
    #[arg(long)]
    pub place: Option<String>,
    /// The device may come with a new key, after a factory reset.
    #[arg(long, requires = "serial")]
    pub replaces: bool,
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
        }
    }
}

impl Create {
    fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        let rules = session.rules();
        let root = read_file(&self.director_root, u64::try_from(rules.sizes.root).unwrap_or(u64::MAX))?;
        let trusted = Trusted::start(&root, &rules)?;
        no_example(trusted.root(), session.options.example_keys)?;
        let answer = Api::new(session.options)?.post(&["tokens"], &self.body())?;
        let enrolment = enrolment(&answer, Sha256::of(&root))?;
        if let Some(ca) = &session.options.ca {
            same_authority(ca, &enrolment.ca_pin)?;
        }
        let fact = |name: &str| answer.get(name).cloned().unwrap_or(Value::Null);
        let json =
            json!({"id": fact("id"), "enrolment_string": enrolment.to_string(), "expires": fact("expires")});
        Ok(Report::new(enrolment.to_string(), json))
    }

    fn body(&self) -> Value {
        let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
        let fields = [
            ("model", Some(json!(self.model))),
            ("manufacturer", text(&self.manufacturer)),
            ("serial", text(&self.serial)),
            ("replaces", self.replaces.then_some(Value::Bool(true))),
            ("count", self.count.map(|count| json!(count))),
            ("site", text(&self.site)),
            ("ward", text(&self.ward)),
            ("kind", text(&self.kind)),
            ("zone", text(&self.zone)),
            ("place", text(&self.place)),
            ("hours", self.hours.map(|hours| json!(hours))),
        ];
        let given =
            fields.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)));
        Value::Object(given.collect())
    }
}

/// The enrolment string of an answer, with our own hash of the director root.
fn enrolment(answer: &Value, director_root: Sha256) -> Result<EnrolmentString, Failure> {
    let odd = || {
        Failure::refused("unexpected answer", "the server sent no usable token; is it of another version?")
    };
    let text = |name: &str| answer.get(name).and_then(Value::as_str).ok_or_else(odd);
    let port = |name: &str| {
        answer.get(name).and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok()).ok_or_else(odd)
    };
    let made = EnrolmentString {
        host: text("host")?.to_owned(),
        enrolment_port: port("enrolment_port")?,
        device_port: port("device_port")?,
        ca_pin: text("ca_pin")?.parse().map_err(|_| odd())?,
        director_root,
        token: text("token")?.to_owned(),
    };
    // What devices cannot read must not be handed out.
    made.to_string().parse().map_err(|_| odd())
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
