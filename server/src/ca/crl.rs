//! Lists of void certificates (RFC 5280 section 5) for third parties, such as a network that asks by 802.1X.
//!
//! The server itself never reads them: its own check is the device table, on every request. Each issuing authority has
//! a list of its own, signed on demand and kept until something on it changes or half of its life is over. Which
//! certificates stand on it is decided in `server/core`'s `authority`. Nothing here asks a store. Read next: [`Lists`].

use std::collections::{BTreeMap, HashMap};

use cordon_proto::ids::Sha256;
use cordon_proto::limits;
use cordon_proto::time::{Millis, Timestamp};
use cordon_server_core::authority::{Reason, Revoked};
use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber,
};
use time::OffsetDateTime;
use x509_parser::prelude::ParsedExtension;

use super::{Ca, CaError, hex};

/// Seconds that a list lives.
pub const LIFE_S: i64 = 86_400;
/// Milliseconds for which a list is handed out without a look at the fleet: whoever asks ten thousand times a second
/// costs no more than two looks, and a quarantine is on it well within a second.
const CALM_MS: i64 = 400;

/// What of a leaf stands on a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafFacts {
    serial: Vec<u8>,
    not_before: Timestamp,
    not_after: Timestamp,
    issuer: String,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    serial: Vec<u8>,
    reason: Reason,
    since: Timestamp,
}

/// The lists that were signed, and what was read for them.
#[derive(Debug, Default)]
pub struct Lists {
    held: tokio::sync::Mutex<Held>,
}

/// The inside of [`Lists`], while one asks.
#[derive(Debug, Default)]
pub struct Held {
    leaves: HashMap<Sha256, Option<LeafFacts>>,
    made: BTreeMap<String, Made>,
    number: i64,
}

#[derive(Debug)]
struct Made {
    lines: Vec<Line>,
    der: Vec<u8>,
    at: Timestamp,
    looked: Millis,
}

impl LeafFacts {
    /// Reads a leaf that was handed out.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, read) = x509_parser::parse_x509_certificate(der).ok()?;
        let issuer = read.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(identifier) => {
                Some(hex(identifier.key_identifier.as_ref()?.0))
            }
            _ => None,
        })?;
        let at = |time: &x509_parser::time::ASN1Time| Timestamp(time.timestamp());
        let (not_before, not_after) = (at(&read.validity().not_before), at(&read.validity().not_after));
        Some(Self { serial: read.raw_serial().to_vec(), not_before, not_after, issuer })
    }
}

impl Lists {
    /// One asker at a time, so that a change is signed once.
    pub async fn hold(&self) -> tokio::sync::MutexGuard<'_, Held> {
        self.held.lock().await
    }
}

impl Held {
    /// The list of this issuer, if it was looked at a moment ago.
    #[must_use]
    pub fn recent(&self, ca: &Ca, now: Millis) -> Option<Vec<u8>> {
        let made = self.made.get(&ca.key_identifier())?;
        let fresh = (0..CALM_MS).contains(&(now.0.saturating_sub(made.looked.0)));
        fresh.then(|| made.der.clone())
    }

    /// Those of these certificates that have not been read yet. What is on no list any more is forgotten.
    #[must_use]
    pub fn unread(&mut self, revoked: &[Revoked]) -> Vec<Sha256> {
        let wanted: std::collections::HashSet<Sha256> = revoked.iter().map(|one| one.leaf).collect();
        self.leaves.retain(|leaf, _| wanted.contains(leaf));
        wanted.into_iter().filter(|leaf| !self.leaves.contains_key(leaf)).collect()
    }

    /// Takes in a certificate that was read; `None` for one that this server has not got.
    pub fn read(&mut self, leaf: Sha256, facts: Option<LeafFacts>) {
        self.leaves.insert(leaf, facts);
    }

    /// The list of this issuer as of `now`: the one that was signed before, if it still says the same.
    pub fn list(&mut self, ca: &Ca, revoked: &[Revoked], now: Millis) -> Result<Vec<u8>, CaError> {
        let at = now.seconds();
        let issuer = ca.key_identifier();
        let mut lines: Vec<Line> = revoked.iter().filter_map(|one| self.line(one, &issuer, at)).collect();
        lines.sort_by(|one, other| (&one.serial, one.reason).cmp(&(&other.serial, other.reason)));
        // Of two reasons for one certificate the graver one stands.
        lines.dedup_by(|later, first| later.serial == first.serial);
        if let Some(made) = self.made.get_mut(&issuer)
            && made.lines == lines
            && (0..LIFE_S / 2).contains(&at.seconds_since(made.at))
        {
            made.looked = now;
            return Ok(made.der.clone());
        }
        // Milliseconds rise over restarts and beside other servers; within one they must rise whatever the clock does.
        self.number = self.number.saturating_add(1).max(now.0);
        let der = sign(ca, &lines, self.number, at)?;
        self.made.insert(issuer, Made { lines, der: der.clone(), at, looked: now });
        Ok(der)
    }

    fn line(&self, revoked: &Revoked, issuer: &str, now: Timestamp) -> Option<Line> {
        let facts = self.leaves.get(&revoked.leaf)?.as_ref()?;
        let stands = facts.issuer == issuer && facts.not_after >= now;
        // Where nobody knows when it became void, it is so from its beginning: a date that stays the same.
        let since = revoked.since.unwrap_or(facts.not_before);
        stands.then(|| Line { serial: facts.serial.clone(), reason: revoked.reason, since })
    }
}

fn sign(ca: &Ca, lines: &[Line], number: i64, now: Timestamp) -> Result<Vec<u8>, CaError> {
    let instant = |at: Timestamp| {
        OffsetDateTime::from_unix_timestamp(at.0).map_err(|_| CaError::Making(rcgen::Error::Time))
    };
    let mut revoked_certs = Vec::with_capacity(lines.len());
    for line in lines {
        revoked_certs.push(RevokedCertParams {
            serial_number: SerialNumber::from_slice(&line.serial),
            revocation_time: instant(line.since.min(now))?,
            reason_code: Some(reason(line.reason)),
            invalidity_date: None,
        });
    }
    let params = CertificateRevocationListParams {
        // For readers whose clock runs late.
        this_update: instant(now.plus_seconds(-limits::BACKDATE_S))?,
        next_update: instant(now.plus_seconds(LIFE_S))?,
        crl_number: SerialNumber::from_slice(&number.to_be_bytes()),
        issuing_distribution_point: None,
        revoked_certs,
        key_identifier_method: KeyIdMethod::PreSpecified(ca.facts.identifier.clone()),
    };
    Ok(params.signed_by(&ca.issuer)?.der().to_vec())
}

fn reason(reason: Reason) -> RevocationReason {
    match reason {
        Reason::KeyCompromise => RevocationReason::KeyCompromise,
        Reason::Superseded => RevocationReason::Superseded,
        Reason::Ceased => RevocationReason::CessationOfOperation,
        Reason::Hold => RevocationReason::CertificateHold,
    }
}
