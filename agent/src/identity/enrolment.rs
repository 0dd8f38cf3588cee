//! How a device comes in: one token, one key, and a person's approval where the server wants one.
//!
//! The token is sent only over a connection whose chain ended in the pinned root. It is kept on disk (0600) only while
//! the server says that a person must approve, and removed with success or refusal. A second try uses the same key and
//! gets the same certificate. An identity is replaced only at its own site, only after the server said that it does not
//! know it, and only on a person's command. Read next: [`super::slots`], [`super::binding`].

use std::net::IpAddr;
use std::sync::Arc;

use cordon_proto::enrol::EnrolmentString;
use cordon_proto::ids::{Hardware, Sha256};
use rustls::pki_types::CertificateDer;

use super::binding::Exporter;
use super::slots::{Attempt, Home};
use super::{Identity, IdentityError, Site, authority, est};
use crate::clock::TrustedClock;
use crate::link::LinkError;
use crate::link::proxy::Proxy;
use crate::tls::{self, Route, Trust};

/// Tries where the HTTP client took another connection than the one that the request was bound to.
const BINDING_TRIES: u32 = 3;
/// The server's word for that.
const BINDING_REFUSED: &str = "binding_refused";

/// What enrolment needs besides the enrolment string.
#[derive(Clone, Debug)]
pub struct Applicant {
    /// What the device is.
    pub hardware: Hardware,
    /// Addresses of the server where they are configured.
    pub addresses: Vec<IpAddr>,
    /// The configured proxy.
    pub proxy: Option<Proxy>,
    /// Whether every byte is paid for.
    pub metered: bool,
    /// The time certificates are judged by.
    pub clock: TrustedClock,
}

impl Applicant {
    /// The way to the server.
    #[must_use]
    pub fn route(&self, host: &str) -> Route {
        Route {
            host: host.to_owned(),
            addresses: self.addresses.clone(),
            proxy: self.proxy.clone(),
            metered: self.metered,
        }
    }
}

/// Enrols once, or goes on where an earlier try stopped. Enrolling again at the same site is no error.
pub async fn enrol(
    home: impl Into<Home>,
    string: &EnrolmentString,
    applicant: &Applicant,
) -> Result<Identity, IdentityError> {
    let home = home.into();
    match admissible(&home, string)? {
        Some(identity) => {
            home.end_joining()?;
            Ok(identity)
        }
        None => join(&home, (string, false), applicant).await,
    }
}

/// Enrols anew at the same site, in the place of an identity that the server does not know any more. The present one
/// stands until there is another.
pub async fn enrol_anew(
    home: &Home,
    string: &EnrolmentString,
    applicant: &Applicant,
) -> Result<Identity, IdentityError> {
    admissible(home, string)?;
    join(home, (string, true), applicant).await
}

/// Goes on with an enrolment that waits for a person; `None` where none waits.
pub async fn go_on(home: &Home, applicant: &Applicant) -> Result<Option<Identity>, IdentityError> {
    let Some(joining) = home.joining()? else { return Ok(None) };
    let Ok(string) = joining.line.parse::<EnrolmentString>() else {
        home.end_joining()?;
        return Err(IdentityError::Damaged("joining.json"));
    };
    if joining.anew {
        join(home, (&string, true), applicant).await.map(Some)
    } else {
        enrol(home, &string, applicant).await.map(Some)
    }
}

/// The present identity if it is of this very site; an error if the device belongs, or asks to belong, to another.
fn admissible(home: &Home, string: &EnrolmentString) -> Result<Option<Identity>, IdentityError> {
    if let Some(identity) = Identity::load(home)? {
        return match identity.is_at(string) {
            true => Ok(Some(identity)),
            false => Err(IdentityError::Enrolled { host: identity.site.host, device: identity.device }),
        };
    }
    let waiting = home.joining()?.and_then(|joining| joining.line.parse::<EnrolmentString>().ok());
    match waiting {
        Some(other) if Site::from(&other) != Site::from(string) => {
            Err(IdentityError::Joining { host: other.host })
        }
        Some(_) | None => Ok(None),
    }
}

async fn join(
    home: &Home,
    (string, anew): (&EnrolmentString, bool),
    applicant: &Applicant,
) -> Result<Identity, IdentityError> {
    let site = Site::from(string);
    let attempt = home.begin(&applicant.hardware, None)?;
    let obtained = obtain(applicant, &attempt, Purpose::Enrol(string)).await;
    let (leaf, authorities) = match obtained {
        Ok(obtained) => obtained,
        Err(IdentityError::Server { source: LinkError::Busy { status: 202, retry_after_s }, .. }) => {
            home.note_joining(string.to_string(), anew)?;
            let fingerprint = Sha256::of(attempt.key.spki());
            return Err(IdentityError::Waiting { fingerprint, retry_after_s });
        }
        Err(error) => return refused(home, &attempt, error),
    };
    let roots: Vec<_> =
        authorities.into_iter().filter(|ca| tls::key_hash(ca) == Some(string.ca_pin)).collect();
    if roots.is_empty() {
        return Err(IdentityError::NoPinnedRoot);
    }
    home.enrolled(&attempt, &site, (leaf, roots)).or_else(|error| refused(home, &attempt, error))
}

/// Keeps of an attempt what another one may need: the token's key stays, unless it is the key that is refused.
fn refused(home: &Home, attempt: &Attempt, error: IdentityError) -> Result<Identity, IdentityError> {
    if matches!(error, IdentityError::Token | IdentityError::Denied { .. }) {
        home.end_joining()?;
    }
    if error.is_about_the_key() {
        home.give_up()?;
    } else if error.is_about_the_request() {
        home.ask_anew(attempt)?;
    }
    Err(error)
}

/// Why a certificate is asked for.
pub(super) enum Purpose<'a> {
    /// A join file.
    Enrol(&'a EnrolmentString),
    /// The present certificate is to be followed.
    Renew(&'a Identity),
}

/// The two requests of EST, on one connection. The pin is held by the client's verifier, so the first of them, which
/// carries no secret, fails where the server is not the pinned one.
pub(super) async fn obtain(
    applicant: &Applicant,
    attempt: &Attempt,
    purpose: Purpose<'_>,
) -> Result<(CertificateDer<'static>, Vec<CertificateDer<'static>>), IdentityError> {
    let (site, token) = match &purpose {
        Purpose::Enrol(string) => (Site::from(*string), Some(string.token.as_str())),
        Purpose::Renew(present) => (present.site.clone(), None),
    };
    let host = site.enrolment_host()?;
    let authority = authority(&host, site.enrolment_port);
    let base = format!("https://{authority}/.well-known/est");
    let mut tries = 0;
    loop {
        tries += 1;
        let exporter = Arc::new(Exporter::default());
        let (trust, shown) = match &purpose {
            Purpose::Enrol(string) => (first_trust(string, &applicant.clock), None),
            Purpose::Renew(present) => {
                (present.trust(applicant.clock.clone()), Some(present.certified_key()))
            }
        };
        // A fresh client has one connection, whose exporter is the one that was heard last.
        let client = tls::client_heard(&applicant.route(&host), trust, shown, Arc::clone(&exporter) as _)?;
        let failed = |source| IdentityError::Server { host: authority.clone(), source };
        let authorities = est::cacerts(&client, &base).await.map_err(failed)?;
        let asking = est::Asking {
            hardware: &applicant.hardware,
            token,
            request: &attempt.request,
            binding: exporter.header(attempt.key.as_ref(), &attempt.request)?,
        };
        return match est::ask(&client, &base, asking).await {
            Ok(leaf) => Ok((leaf, authorities)),
            Err(LinkError::Rejected { code, .. }) if code == BINDING_REFUSED && tries < BINDING_TRIES => {
                continue;
            }
            Err(LinkError::Rejected { status: 401, .. }) if token.is_some() => Err(IdentityError::Token),
            Err(LinkError::Rejected { status: 403, code, detail })
                if token.is_some() && code != BINDING_REFUSED =>
            {
                Err(IdentityError::Denied { code, detail })
            }
            Err(source) => Err(failed(source)),
        };
    }
}

/// Whom a device believes that knows nothing but its enrolment string.
fn first_trust(string: &EnrolmentString, clock: &TrustedClock) -> Trust {
    Trust { pins: vec![string.ca_pin], roots: Vec::new(), clock: clock.clone(), own_end: None }
}
