//! The command line: which commands there are, and the options that all of them take.
//!
//! Only names and dispatch; each command's own arguments stand beside its work. Names and flags are a contract with
//! people's scripts: add, never rename. Read next: [`crate::session`].

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::failure::Failure;
use crate::report::{Output, Report};
use crate::session::Session;
use crate::{
    advisories, approvals, audit, bundle, contacts, content, devices, evidence, exceptions, expiries, export,
    feeds, findings, holds, keys, makers, matching, mud, order, owner, receipts, release, repo, risk,
    rollouts, sbom, score, siem, tokens, version_compare, visits,
};

/// Keys, signing, approving, asking.
#[derive(Debug, Parser)]
#[command(name = "cordonctl", version, about, propagate_version = true)]
pub struct Cli {
    /// What all commands take.
    #[command(flatten)]
    pub options: Options,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What all commands take.
#[derive(Clone, Debug, Default, Args)]
pub struct Options {
    /// How to print the outcome.
    #[arg(long, global = true, value_enum, default_value_t)]
    pub output: Output,
    /// The server's operator plane, such as https://cordon.hospital.example:8080; plain http on loopback only.
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// The certificate authority that the server's certificate must come from (PEM).
    #[arg(long, global = true, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A file with the API token, readable by its owner only.
    #[arg(long, global = true, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Allow the published example keys: for a demo on loopback and nothing else.
    #[arg(long, global = true)]
    pub example_keys: bool,
    /// Do not ask before signing, also on a terminal.
    #[arg(long, global = true)]
    pub yes: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make and show signing keys.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Make, sign and publish repositories.
    #[command(subcommand)]
    Repo(repo::Command),
    /// Sign and verify a manufacturer's releases.
    #[command(subcommand)]
    Release(release::Command),
    /// Sign and verify the owner's orders.
    #[command(subcommand)]
    Order(order::Command),
    /// Propose, sign and verify the settings and thresholds of devices.
    #[command(subcommand)]
    Content(content::Command),
    /// Make, sign and verify the folder that carries an update to devices without a network.
    #[command(subcommand)]
    Bundle(bundle::Command),
    /// Hand in receipts that came back from devices without a network, and fetch all receipts for an order.
    #[command(subcommand)]
    Receipts(receipts::Command),
    /// Hand devices over to another owner: a loan, a sale, a return.
    #[command(subcommand)]
    Owner(owner::Command),
    /// Make, list and take back enrolment tokens.
    #[command(subcommand)]
    Tokens(tokens::Command),
    /// Answer keys that ask for a device's identity.
    #[command(subcommand)]
    Approvals(approvals::Command),
    /// List, import and show devices and their history; quarantine, release, retire.
    #[command(subcommand)]
    Devices(devices::Command),
    /// Pin makers: which models a repository may list, and its first root.
    #[command(subcommand)]
    Makers(makers::Command),
    /// Create, list and show rollouts; pause, halt, resume, send back, accept.
    #[command(subcommand)]
    Rollouts(rollouts::Command),
    /// Keep a ward, a site or a model from rebooting.
    #[command(subcommand)]
    Holds(holds::Command),
    /// Accept a risk for some devices until a day, with a second person's yes.
    #[command(subcommand)]
    Exceptions(exceptions::Command),
    /// Read the audit log.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Fetch and check evidence packs.
    #[command(subcommand)]
    Evidence(evidence::Command),
    /// List what ends within 90, 30 and 7 days: signatures, orders, authorities, tokens, holds, feeds.
    Expiries(expiries::Expiries),
    /// Show the fleet's risk and its reasons, what to do, what a release would change, and the model's figures.
    #[command(subcommand)]
    Risk(risk::Command),
    /// Write the risk register, a model's security sheet, the versions that run, or findings for a SIEM, as a file.
    #[command(subcommand)]
    Export(export::Command),
    /// List, bring, sign and show what the server knows of the world: advisories, what is exploited, ends of life.
    #[command(subcommand)]
    Feeds(feeds::Command),
    /// Show how the SIEM is told, and try the way to it.
    #[command(subcommand)]
    Siem(siem::Command),
    /// Find who talked to an address, a name or a port.
    #[command(subcommand)]
    Contacts(contacts::Command),
    /// List findings, compare them, preview and decide: of one device or of many that are one.
    #[command(subcommand)]
    Findings(findings::Command),
    /// Announce service visits, to which findings that begin meanwhile are tied.
    #[command(subcommand)]
    Visits(visits::Command),
    /// List weaknesses, and the devices that an advisory is about.
    #[command(subcommand)]
    Advisories(advisories::Command),
    /// Tell which known weaknesses the packages of a device have.
    Match(matching::Match),
    /// Check, show, compile and generate makers' usage descriptions (RFC 8520), and hold flows against one.
    #[command(subcommand)]
    Mud(Box<mud::Command>),
    /// Look at bills of materials, convert them, compare shipped with found.
    #[command(subcommand)]
    Sbom(sbom::Command),
    /// Compute a device's risk score from its facts, without a server.
    Score(score::Score),
    /// Tell which of two versions is newer.
    VersionCompare(version_compare::VersionCompare),
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, wrongly used, or the server was not reached.
    pub fn run(&self, session: &mut Session<'_>) -> Result<Report, Failure> {
        match self {
            Self::Keys(command) => command.run(session),
            Self::Repo(command) => command.run(session),
            Self::Release(command) => command.run(session),
            Self::Order(command) => command.run(session),
            Self::Bundle(command) => command.run(session),
            Self::Content(command) => command.run(session),
            Self::Receipts(command) => command.run(session),
            Self::Owner(command) => command.run(session),
            Self::Tokens(command) => command.run(session),
            Self::Approvals(command) => command.run(session),
            Self::Devices(command) => command.run(session),
            Self::Makers(command) => command.run(session),
            Self::Rollouts(command) => command.run(session),
            Self::Holds(command) => command.run(session),
            Self::Exceptions(command) => command.run(session),
            Self::Audit(command) => command.run(session),
            Self::Evidence(command) => command.run(session),
            Self::Expiries(expiries) => expiries.run(session),
            Self::Risk(command) => command.run(session),
            Self::Export(command) => command.run(session),
            Self::Feeds(command) => command.run(session),
            Self::Siem(command) => command.run(session),
            Self::Contacts(command) => command.run(session),
            Self::Advisories(command) => command.run(session),
            Self::Findings(command) => command.run(session),
            Self::Visits(command) => command.run(session),
            Self::Match(matching) => matching.run(session),
            Self::Mud(command) => command.run(session),
            Self::Sbom(command) => command.run(session),
            Self::Score(score) => score.run(session),
            Self::VersionCompare(compare) => compare.run(session),
        }
    }
}
