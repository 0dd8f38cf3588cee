//! All authorities of one server, exchangeable while it serves.
//!
//! Readers take a [`Standing`], which never changes under them. The verifier of client certificates asks for the present
//! one at each handshake, so a change needs no restart. Whose leaf comes from where is decided in `server/core`'s
//! `authority`. Nothing here makes a key or signs a bundle. Read next: [`Authority::for_devices`], then [`super::steps`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use cordon_proto::ids::Sha256;
use cordon_proto::time::Timestamp;
use cordon_server_core::authority::issues_new;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DistinguishedName, RootCertStore};

use super::key::{KeyPlace, KeySetting};
use super::state::{State, Tier};
use super::{Ca, CaError, certs_only};
use crate::config::Config;
use crate::files;

/// What one server knows of its authorities.
#[derive(Debug)]
pub struct Authority {
    pub(super) folder: PathBuf,
    pub(super) setting: KeySetting,
    pub(super) crl_url: Option<String>,
    standing: RwLock<Arc<Standing>>,
    changed: tokio::sync::Notify,
    /// One change at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
}

/// The authorities as they stand.
#[derive(Debug)]
pub struct Standing {
    /// What the files say.
    pub state: State,
    /// Under the root that was believed all along.
    pub present: Arc<Ca>,
    /// Under a new root on its way.
    pub next: Option<Arc<Ca>>,
    /// Issuing no more.
    pub former: Vec<FormerCa>,
    anchors: Vec<CertificateDer<'static>>,
    verifier: Arc<dyn ClientCertVerifier>,
    cacerts: Vec<u8>,
    digest: Sha256,
    bundles: BTreeMap<u64, Vec<u8>>,
}

/// An issuing authority whose leaves still live.
#[derive(Debug)]
pub struct FormerCa {
    /// Its certificate.
    pub issuing: CertificateDer<'static>,
    /// With its key, as long as that can be opened: it signs the list of its void certificates.
    pub ca: Option<Arc<Ca>>,
    /// When its last leaf has ended.
    pub until: Timestamp,
}

impl Authority {
    /// Opens what the settings name.
    pub fn open(config: &Config) -> Result<Self, CaError> {
        let setting = config.ca_key.within(&config.folder);
        Self::load(config.path(&config.ca), setting, config.enrolment.crl_url.clone())
    }

    /// Opens the authorities in a folder.
    pub fn load(folder: PathBuf, setting: KeySetting, crl_url: Option<String>) -> Result<Self, CaError> {
        let state = State::read(&folder, &setting)?;
        let source = Source { folder: &folder, setting: &setting, crl_url: crl_url.as_deref() };
        let standing = RwLock::new(Arc::new(source.standing(state)?));
        let (changed, turn) = Default::default();
        Ok(Self { folder, setting, crl_url, standing, changed, turn })
    }

    /// The authorities as they stand now.
    #[must_use]
    pub fn standing(&self) -> Arc<Standing> {
        self.standing.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// SHA-256 of the SubjectPublicKeyInfo of the root that new enrolment strings pin.
    #[must_use]
    pub fn pin(&self) -> Sha256 {
        self.standing().present.pin()
    }

    /// The authority for the next leaf of a device that last reported bundle `believes`, 0 if it never did.
    #[must_use]
    pub fn for_devices(&self, believes: u64) -> Arc<Ca> {
        let standing = self.standing();
        let state = &standing.state;
        let new = standing.next.as_ref().filter(|_| issues_new(state.phase(), state.version, believes));
        new.unwrap_or(&standing.present).clone()
    }

    /// The authority for the server's own certificate: under the old root until nobody needs that any more.
    #[must_use]
    pub fn for_server(&self) -> Arc<Ca> {
        self.standing().present.clone()
    }

    /// The certificates that clients' leaves may stand under: every issuing authority whose leaves live, and the roots.
    #[must_use]
    pub fn anchors(&self) -> Vec<CertificateDer<'static>> {
        self.standing().anchors.clone()
    }

    /// A verifier of client certificates that asks for the anchors at each handshake.
    #[must_use]
    pub fn client_verifier(self: &Arc<Self>, mandatory: bool) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Following { authority: self.clone(), mandatory })
    }

    /// Waits for the next change. Whoever keeps the server's own certificate must not be late: a device that has followed
    /// the last bundle of a change believes the new root alone.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes in what another process wrote into the folder, and says whether there was something.
    pub fn follow(&self) -> Result<bool, CaError> {
        let state = State::read(&self.folder, &self.setting)?;
        if state == self.standing().state {
            return Ok(false);
        }
        let standing = self.build(state)?;
        self.exchange(standing);
        Ok(true)
    }

    pub(super) fn build(&self, state: State) -> Result<Standing, CaError> {
        let source =
            Source { folder: &self.folder, setting: &self.setting, crl_url: self.crl_url.as_deref() };
        source.standing(state)
    }

    pub(super) fn exchange(&self, standing: Standing) {
        *self.standing.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(standing);
        self.changed.notify_one();
    }
}

impl Standing {
    /// The certs-only PKCS#7 that `cacerts` answers with, DER.
    #[must_use]
    pub fn cacerts(&self) -> &[u8] {
        &self.cacerts
    }

    /// SHA-256 of [`Standing::cacerts`].
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        self.digest
    }

    /// A signed bundle of roots.
    #[must_use]
    pub fn bundle(&self, version: u64) -> Option<&[u8]> {
        self.bundles.get(&version).map(Vec::as_slice)
    }

    /// The roots in force.
    #[must_use]
    pub fn roots(&self) -> Vec<CertificateDer<'static>> {
        self.in_force().map(|ca| ca.root().clone()).collect()
    }

    /// The authorities under a root in force.
    pub fn in_force(&self) -> impl Iterator<Item = &Arc<Ca>> {
        std::iter::once(&self.present).chain(&self.next)
    }

    /// All authorities whose key is at hand.
    pub fn signing(&self) -> impl Iterator<Item = &Arc<Ca>> {
        self.in_force().chain(self.former.iter().filter_map(|former| former.ca.as_ref()))
    }
}

/// What authorities are read from.
struct Source<'a> {
    folder: &'a Path,
    setting: &'a KeySetting,
    crl_url: Option<&'a str>,
}

impl Source<'_> {
    fn standing(&self, state: State) -> Result<Standing, CaError> {
        let present = Arc::new(self.ca(&state.present)?);
        let next = state.next.as_ref().map(|tier| self.ca(tier).map(Arc::new)).transpose()?;
        let mut former = Vec::new();
        for one in &state.former {
            let issuing = certificate(self.folder, &one.tier.issuing)?;
            let opened = self.ca(&one.tier);
            if let Err(error) = &opened {
                tracing::warn!(
                    file = one.tier.issuing,
                    error = crate::log::chain(error),
                    "a former issuing key cannot be opened: its void certificates are listed no more"
                );
            }
            former.push(FormerCa { issuing, ca: opened.ok().map(Arc::new), until: one.until });
        }
        let tiers = std::iter::once(&present).chain(&next);
        let mut anchors: Vec<_> = tiers.flat_map(|ca| [ca.issuing().clone(), ca.root().clone()]).collect();
        anchors.extend(former.iter().map(|former| former.issuing.clone()));
        let verifier = verifier(&anchors)?;
        let cacerts = certs_only::write(&anchors)?;
        let mut bundles = BTreeMap::new();
        for version in 1..=state.version {
            bundles.insert(version, files::read(&self.folder.join(State::bundle(version)))?);
        }
        let digest = Sha256::of(&cacerts);
        Ok(Standing { state, present, next, former, anchors, verifier, cacerts, digest, bundles })
    }

    fn ca(&self, tier: &Tier) -> Result<Ca, CaError> {
        let (issuing, root) =
            (certificate(self.folder, &tier.issuing)?, certificate(self.folder, &tier.root)?);
        let key = tier.key.open(self.folder, self.setting)?;
        Ok(Ca::new(key, issuing, root, &tier.issuing)?.with_crl_url(self.crl_url))
    }
}

/// Warns of what a careful owner would not leave lying about.
pub fn warn_of_open_keys(authority: &Authority) {
    let standing = authority.standing();
    let former = standing.state.former.iter().map(|former| &former.tier);
    let plain = standing.state.tiers().chain(former).any(|tier| match &tier.key {
        KeyPlace::File(_) => tier.key.word() == "plain",
        KeyPlace::Token(_) => false,
    });
    if plain {
        tracing::warn!(
            "the issuing key lies in plain in the server's folder: `cordon-server ca seal` seals it, see `ca_key`"
        );
    }
    let root_key = authority.folder.join(super::ROOT_KEY);
    if root_key.exists() {
        tracing::warn!(
            file = %root_key.display(),
            "the root's key lies on this server: carry it away to a safe place, the server never needs it"
        );
    }
}

fn certificate(folder: &Path, file: &str) -> Result<CertificateDer<'static>, CaError> {
    let bytes = files::read(&folder.join(file))?;
    let unread = |_| CaError::Pem { file: file.to_owned(), what: "certificate" };
    CertificateDer::from_pem_slice(&bytes).map_err(unread)
}

fn verifier(anchors: &[CertificateDer<'static>]) -> Result<Arc<dyn ClientCertVerifier>, CaError> {
    let mut roots = RootCertStore::empty();
    // What is no anchor for the library is caught below: an empty list is an error of its own.
    roots.add_parsable_certificates(anchors.iter().cloned());
    Ok(WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::new(default_provider())).build()?)
}

/// Verifies by whatever the anchors are at that moment.
#[derive(Debug)]
struct Following {
    authority: Arc<Authority>,
    mandatory: bool,
}

impl ClientCertVerifier for Following {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    /// None: the names would be those of this moment, and every client of ours has one certificate.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.authority.standing().verifier.verify_client_cert(leaf, between, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.authority.standing().verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        self.authority.standing().verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.authority.standing().verifier.supported_verify_schemes()
    }
}
