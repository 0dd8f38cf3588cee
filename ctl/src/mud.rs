//! `cordonctl mud`: makers' usage descriptions (RFC 8520).
//!
//! Checked, shown, compiled, generated, and flows held against one. Files only, no server. A file is read as a stranger's: bounded, and refused with the place of the mistake. Nothing is
//! fetched: the signature, the authority and the flows are brought. Read next: [`signature`], [`conformance`],
//! [`generate`]; `cordon_server_core::mud` for the file itself.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cordon_proto::limits;
use cordon_proto::mud::{Net, Place, Ports, Rule, Usage};
use cordon_proto::telemetry::Direction;
use cordon_server_core::mud::check::check;
use cordon_server_core::mud::compile::{Compiled, Site, compile};
use cordon_server_core::mud::read::read;
use cordon_server_core::mud::{Class, MudFile};
use serde_json::{Value, json};

use crate::arguments::read_file;
use crate::failure::Failure;
use crate::folder::write_whole;
use crate::report::{Report, plain};
use crate::session::Session;

pub mod conformance;
pub mod flows;
pub mod generate;
pub mod signature;

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read a MUD file whole: errors with entry and cure, warnings for what cannot be held to; with its signature, if brought.
    Check(Check),
    /// Show in lines what a device may do by its MUD file.
    Show(Show),
    /// Write what a device holds of a MUD file, for `mud` in its configuration and for `cordon-agent observe --mud`.
    Compile(Compile),
    /// Write a MUD file from a learned profile, or from flows that were observed.
    Generate(generate::Generate),
    /// Hold observed flows against a MUD file: which entry allows each, and which almost does.
    Conformance(conformance::Conformance),
}

/// Read a MUD file whole.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// The file.
    pub file: PathBuf,
    /// Its detached signature (CMS in DER, RFC 8520 section 13); the authority comes with --ca.
    #[arg(long, value_name = "FILE", requires = "ca")]
    pub signature: Option<PathBuf>,
    /// What the site knows.
    #[command(flatten)]
    pub site: SiteArgs,
}

/// Show what a device may do.
#[derive(Clone, Debug, Args)]
pub struct Show {
    /// The file.
    pub file: PathBuf,
    /// What the site knows.
    #[command(flatten)]
    pub site: SiteArgs,
}

/// Write what a device holds.
#[derive(Clone, Debug, Args)]
pub struct Compile {
    /// The file.
    pub file: PathBuf,
    /// The new file.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// What the site knows.
    #[command(flatten)]
    pub site: SiteArgs,
}

/// What a site knows and a maker cannot.
#[derive(Clone, Debug, Default, Args)]
pub struct SiteArgs {
    /// A network of the site beside the private ones.
    #[arg(long = "local", value_name = "CIDR", value_parser = net)]
    pub local: Vec<Net>,
    /// Who a class is, such as controller:urn:ietf:params:mud:dns=10.0.0.53 or my-controller=10.0.0.9; may be repeated.
    #[arg(long = "bind", value_name = "CLASS=CIDR", value_parser = binding)]
    pub bind: Vec<(Class, Net)>,
}

impl SiteArgs {
    fn site(&self) -> Result<Site, Failure> {
        let of_class = |class: &Class| self.bind.iter().filter(|(own, _)| own == class).count();
        let most = limits::MUD_BOUND;
        if self.local.len() > most || self.bind.iter().any(|(class, _)| of_class(class) > most) {
            return Err(Failure::Usage(format!("at most {most} networks are bound to one class: join them")));
        }
        Ok(Site { local: self.local.clone(), bound: self.bind.clone() })
    }
}

fn net(text: &str) -> Result<Net, String> {
    Net::parse(text).ok_or_else(|| format!("`{text}` is no network: write 10.0.0.0/8 or 10.0.0.7"))
}

fn binding(text: &str) -> Result<(Class, Net), String> {
    let form = || {
        format!(
            "`{text}` binds nothing: write CLASS=CIDR with controller:URI, my-controller, manufacturer:NAME, same-manufacturer, model:URL or local-networks"
        )
    };
    let (class, address) = text.rsplit_once('=').ok_or_else(form)?;
    Ok((Class::of_word(class).ok_or_else(form)?, net(address)?))
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused or wrongly used.
    pub fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        match self {
            Self::Check(check) => check.run(session),
            Self::Show(show) => show.run(),
            Self::Compile(compile) => compile.run(),
            Self::Generate(generate) => generate.run(session),
            Self::Conformance(conformance) => conformance.run(),
        }
    }
}

/// Reads a MUD file, with its bytes.
///
/// # Errors
/// It cannot be read, or is none that can be used.
pub fn opened(path: &Path) -> Result<(MudFile, Vec<u8>), Failure> {
    let bytes = read_file(path, u64::try_from(limits::MUD_BYTES).unwrap_or(u64::MAX))?;
    let file = read(&bytes)
        .map_err(|error| Failure::refused("unusable MUD file", format!("{}: {error}", path.display())))?;
    Ok((file, bytes))
}

/// Reads and compiles a MUD file for a site.
fn compiled(path: &Path, site: &SiteArgs) -> Result<(MudFile, Compiled), Failure> {
    let (file, _) = opened(path)?;
    let compiled = compile(&file, &site.site()?);
    Ok((file, compiled))
}

impl Check {
    fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let (file, bytes) = opened(&self.file)?;
        let site = self.site.site()?;
        let signer = match (&self.signature, &session.options.ca) {
            (Some(signature), Some(ca)) => Some(signature::verify(&bytes, signature, ca, session.now)?),
            (_, _) => None,
        };
        let warnings = check(&file, &site);
        let rules = compile(&file, &site).usage.rules.len();
        let mut text = head(&file);
        let entries: usize = file.lists.iter().map(|list| list.entries.len()).sum();
        text.push_str(&format!(
            "{entries} entries in {} lists, {rules} rules for connections\n",
            file.lists.len()
        ));
        match &signer {
            Some(signer) => text.push_str(&format!("signed by {}\n", plain(signer))),
            None => text.push_str("signature not checked: bring it with --signature FILE --ca FILE\n"),
        }
        for warning in &warnings {
            text.push_str(&format!("WARNING  {} {}\n", plain(&warning.place), plain(&warning.sentence)));
        }
        let told: Vec<Value> = warnings
            .iter()
            .map(|warning| json!({"place": warning.place, "sentence": warning.sentence}))
            .collect();
        let json = json!({
            "v": 1, "url": file.url, "last_update": file.last_update, "supported": file.supported,
            "lists": file.lists.len(), "entries": entries, "rules": rules, "signed_by": signer, "warnings": told,
        });
        Ok(Report::new(text, json))
    }
}

impl Show {
    fn run(&self) -> Result<Report, Failure> {
        let (file, compiled) = compiled(&self.file, &self.site)?;
        let mut text = head(&file);
        let mut rows = Vec::new();
        for (rule, name) in compiled.usage.rules.iter().zip(&compiled.names) {
            let said = said(rule);
            text.push_str(&format!("{}  [{}]\n", said, plain(name)));
            rows.push(json!({"entry": name, "rule": said}));
        }
        let words: Value = file
            .words
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Value::from(text.as_str())))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let json = json!({"v": 1, "url": file.url, "last_update": file.last_update, "cache_hours": file.cache_hours, "words": words, "extensions": file.extensions, "rules": rows});
        Ok(Report::new(text, json))
    }
}

impl Compile {
    fn run(&self) -> Result<Report, Failure> {
        let (_, compiled) = compiled(&self.file, &self.site)?;
        let bytes = compiled.usage.encode();
        if let Err(error) = Usage::decode(&bytes) {
            return Err(Failure::refused(
                "too large",
                format!("a device does not hold this many rules: {error}"),
            ));
        }
        write_whole(&self.out, &bytes)?;
        let left = compiled.notes.len();
        let text = format!(
            "{}: {} rules, {} bytes; {left} remarks, `cordonctl mud check` lists them\n",
            self.out.display(),
            compiled.usage.rules.len(),
            bytes.len()
        );
        let json = json!({"file": self.out.display().to_string(), "rules": compiled.usage.rules.len(), "bytes": bytes.len(), "remarks": left});
        Ok(Report::new(text, json))
    }
}

fn head(file: &MudFile) -> String {
    let mut text = format!(
        "{}, {}, last changed {}\n",
        plain(file.device()),
        plain(&file.url),
        plain(&file.last_update)
    );
    for (name, word) in file.words.iter().filter(|(name, _)| *name != "mud-signature") {
        text.push_str(&format!("  {name:<14} {}\n", plain(word)));
    }
    text
}

/// A rule as a sentence.
#[must_use]
pub fn said(rule: &Rule) -> String {
    let verb = match (rule.says, rule.accept) {
        (Direction::Outbound, true) => "may send",
        (Direction::Outbound, false) => "must not send",
        (Direction::Inbound, true) => "may get",
        (Direction::Inbound, false) => "must not get",
    };
    let mut text = verb.to_owned();
    match (rule.protocol, rule.family) {
        (Some(protocol), Some(family)) => text.push_str(
            &format!(" {protocol:?} over IPv{family}").to_uppercase().replace("OVER IPV", "over IPv"),
        ),
        (Some(protocol), None) => text.push_str(&format!(" {protocol:?}").to_uppercase()),
        (None, Some(family)) => text.push_str(&format!(" anything over IPv{family}")),
        (None, None) => text.push_str(" anything"),
    }
    let way = if rule.says == Direction::Outbound { "to" } else { "from" };
    text.push_str(&format!(" {way} {}", peer(rule)));
    let ports = |ports: Ports| match ports {
        Ports::Within(least, most) if least == most => format!("port {least}"),
        Ports::Within(least, most) => format!("ports {least} to {most}"),
        Ports::Not(port) => format!("any port but {port}"),
    };
    if let Some(asked) = rule.peer_port {
        text.push_str(&format!(" {}", ports(asked)));
    }
    if let Some(asked) = rule.own_port {
        text.push_str(&format!(", own {}", ports(asked)));
    }
    if let Some(kind) = rule.icmp_type {
        text.push_str(&format!(", type {kind}"));
    }
    match rule.opened {
        Some(Direction::Outbound) => text.push_str(", opened by the device"),
        Some(Direction::Inbound) => text.push_str(", opened by the peer"),
        None => {}
    }
    text
}

fn peer(rule: &Rule) -> String {
    let name = rule
        .name
        .as_ref()
        .map(|name| if name.below { format!("{} and below", plain(&name.name)) } else { plain(&name.name) });
    let place = match &rule.place {
        Place::Anywhere => None,
        Place::Local => Some("the site".to_owned()),
        Place::Bound(nets) => Some(nets.iter().map(Net::to_string).collect::<Vec<_>>().join(", ")),
    };
    let all: Vec<String> = [name, rule.net.map(|net| net.to_string()), place].into_iter().flatten().collect();
    if all.is_empty() { "anyone".to_owned() } else { all.join(" in ") }
}
