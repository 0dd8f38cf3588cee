//! Changing the authorities, step by step: a new issuing authority, a new root, the end of the old one.
//!
//! A person's command holds the root's key and signs; here is only checked, written down and exchanged. Of each step
//! all new files are written first, then the journal's entry, then the one file that makes them count, so a kill in
//! between leaves a server that starts; what it leaves behind is tidied up by [`super::leftovers`]. A running server and a command beside a stopped one come through the same
//! [`Desk`]. Read next: [`Desk::answer`], `command/ca.rs` for the person's side.

use std::path::Path;

use cordon_proto::authorities::{AuthoritiesError, Believed};
use cordon_proto::enrol::{base64url, from_base64url};
use cordon_proto::ids::{DeviceId, Sha256, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::audit::{Entry, Summary};
use cordon_server_core::authority::{
    Phase, Refused, Seen, Tally, may_finish, may_stage, may_switch, warning,
};
use cordon_server_core::change::{Commit, Malformed};
use cordon_server_core::device::{Device, Report, State as DeviceState};
use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use serde::{Deserialize, Serialize};

use super::authority::Standing;
use super::key::{KeyError, KeyPlace, KeySetting, PLAIN, SEALED};
use super::leftovers::tidy;
use super::make::{self, Reading};
use super::state::{Former, State, Tier};
use super::{Authority, Ca, CaError, DAY_S, Subject, hex};
use crate::app::{name, server};
use crate::files::{self, FileError};
use crate::store::{Store, StoreError};

#[cfg(test)]
mod tests;

/// Days that the last leaf of an authority may live on: the most that the settings allow.
const LEAF_DAYS_MAX: i64 = 90;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "step")]
pub enum Ask {
    /// How it stands.
    Status,
    /// A new issuing key, or the one in the token that this URI names.
    Prepare {
        /// The URI.
        token: Option<String>,
    },
    /// A new issuing authority under a root in force.
    Renew {
        /// Its key.
        key: KeyPlace,
        /// Its certificate, DER in base64url.
        issuing: String,
    },
    /// A new root beside the present one.
    Stage {
        /// The key of the issuing authority under it.
        key: KeyPlace,
        /// That authority's certificate.
        issuing: String,
        /// The root.
        root: String,
        /// The signed bundle with both roots.
        bundle: String,
    },
    /// Leaves come from the new root.
    Switch {
        /// Why it is done before enough devices know it.
        force: Option<String>,
    },
    /// The old root goes.
    Finish {
        /// The signed bundle with the new root alone.
        bundle: String,
        /// Why it is done although devices are stranded.
        force: Option<String>,
    },
    /// Plain keys are sealed for the identity of the settings.
    Seal,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// How it stands.
    Status(Box<Status>),
    /// A key waits for its certificate.
    Prepared {
        /// Where it lies.
        key: KeyPlace,
        /// Its SubjectPublicKeyInfo, base64url.
        spki: String,
    },
    /// It is done, in words.
    Done(String),
}

/// How the authorities stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Where the change of roots stands.
    pub phase: Phase,
    /// Version of the newest signed bundle: the same at every server of one store, or their folders differ.
    pub bundle: u64,
    /// The pin in new enrolment strings, base64url.
    pub pin: String,
    /// The authorities under a root in force, the old one first.
    pub authorities: Vec<Tells>,
    /// Issuing authorities whose leaves still live: identifier and end.
    pub former: Vec<(String, Timestamp)>,
    /// Who has the newest bundle.
    pub tally: Tally,
    /// What ends soon, in words.
    pub warnings: Vec<String>,
}

/// One authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tells {
    /// Pin of its root, base64url.
    pub root_pin: String,
    /// Root certificate, DER in base64url.
    pub root: String,
    /// When the root ends.
    pub root_ends: Timestamp,
    /// Identifier of the issuing key.
    pub issuing: String,
    /// When the issuing certificate ends.
    pub issuing_ends: Timestamp,
    /// `plain`, `sealed` or `token`.
    pub key: String,
}

/// Why a step is not taken.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The order of steps, or devices that would be lost.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// What was sent is not what the step needs.
    #[error("{0}")]
    Unfit(&'static str),
    /// Something lies in plain still, or may.
    #[error("{0}")]
    Unsealed(String),
    /// The signed bundle.
    #[error("the bundle is not one that devices would follow")]
    Bundle(#[from] AuthoritiesError),
    /// The authorities.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The journal.
    #[error("the step could not be written into the journal, so it was not taken")]
    Journal(#[from] StoreError),
    /// Cannot happen with one small entry, and is still no panic.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// A device of the fleet, as far as roots concern it.
#[derive(Clone, Debug)]
pub struct SeenDevice {
    /// Its maker's number.
    pub serial: Text,
    /// Where its identity is in its life.
    pub state: DeviceState,
    /// The bundle that it last reported.
    pub believes: Option<u64>,
}

/// Where steps are taken.
pub struct Desk<'a> {
    /// The authorities.
    pub authority: &'a Authority,
    /// The journal's store.
    pub store: &'a dyn Store,
    /// The fleet.
    pub devices: Vec<SeenDevice>,
    /// Where the root certificates lie for people's tools.
    pub roots_file: &'a Path,
    /// The time.
    pub now: Timestamp,
}

/// A step that was checked and whose files are written.
struct Plan {
    state: State,
    action: &'static str,
    words: String,
    force: Option<String>,
}

impl Desk<'_> {
    /// Answers one question.
    pub async fn answer(&self, ask: &Ask) -> Result<Told, StepError> {
        let _turn = self.authority.turn.lock().await;
        self.authority.follow()?;
        let plan = match ask {
            Ask::Status => return Ok(Told::Status(Box::new(self.status()))),
            Ask::Prepare { token } => return self.prepare(token.as_deref()),
            Ask::Renew { key, issuing } => self.renew(key, issuing)?,
            Ask::Stage { key, issuing, root, bundle } => {
                self.is_fresh(key)?;
                let tier = self.new_tier(key, issuing, &certificate(root)?)?;
                self.stage(tier, bundle)?
            }
            Ask::Switch { force } => self.switch(force.as_deref())?,
            Ask::Finish { bundle, force } => self.finish(bundle, force.as_deref())?,
            Ask::Seal => match self.seal() {
                Err(StepError::Unsealed(words)) => {
                    // Files may be gone already: that is in the journal although the step was not done.
                    self.journal("ca.seal", &words, None).await?;
                    return Err(StepError::Unsealed(words));
                }
                plan => plan?,
            },
        };
        self.take(plan).await
    }

    /// Makes a checked step so: the journal first, then the one file that counts.
    async fn take(&self, mut plan: Plan) -> Result<Told, StepError> {
        let kept = self.now.plus_seconds(-i64::from(limits::GRACE_DAYS) * DAY_S);
        plan.state.former.retain(|former| former.until >= kept);
        let standing = self.authority.build(plan.state.clone())?;
        self.journal(plan.action, &plan.words, plan.force.as_deref()).await?;
        plan.state.write(&self.authority.folder)?;
        self.authority.exchange(standing);
        // The step is taken, whatever becomes of what it leaves behind.
        let tidied = tidy(self.authority, self.roots_file, self.now);
        Ok(Told::Done(format!("{}{}", plan.words, tidied.told())))
    }

    async fn journal(&self, action: &'static str, words: &str, force: Option<&str>) -> Result<(), StepError> {
        let entry = Entry {
            reason: force.map(Text::lossy),
            after: Some(Summary::of(words)),
            ..Entry::new(name(action), Text::lossy("authority:certificates"))
        };
        let commit = Commit::draft(self.now, server("authority")).audit(entry).finish()?;
        self.store.commit(commit).await?;
        Ok(())
    }

    fn prepare(&self, token: Option<&str>) -> Result<Told, StepError> {
        let Authority { folder, setting, .. } = self.authority;
        let (key, spki) = match (setting, token) {
            (_, Some(uri)) => {
                let place = KeyPlace::Token(uri.to_owned());
                let spki = place.open(folder, setting)?.subject_public_key_info();
                (place, spki)
            }
            (KeySetting::Token(_), None) => return Err(KeyError::MakeInToken.into()),
            (KeySetting::Plain | KeySetting::Sealed(_), None) => {
                let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(CaError::from)?;
                let spki = key.subject_public_key_info();
                let file = setting.name(&format!("issuing-{}", short(&spki)));
                setting.write(&folder.join(&file), &key.serialize_pem())?;
                (KeyPlace::File(file), spki)
            }
        };
        Ok(Told::Prepared { key, spki: base64url(&spki) })
    }

    fn renew(&self, key: &KeyPlace, issuing: &str) -> Result<Plan, StepError> {
        let standing = self.authority.standing();
        let mut state = standing.state.clone();
        let tiers = standing.in_force().zip(std::iter::once(&mut state.present).chain(&mut state.next));
        let signed = certificate(issuing)?;
        let mut above = tiers.filter(|(ca, _)| is_signed_by(&signed, ca.root()));
        let Some((ca, tier)) = above.next() else {
            return Err(StepError::Unfit(
                "the new issuing certificate is not signed by a root in force: sign it with the key of one",
            ));
        };
        // Whatever is wrong with it now is no matter of roots, and is named as what it is.
        let new = self.new_tier(key, issuing, ca.root())?;
        let old = std::mem::replace(tier, Tier { root: tier.root.clone(), ..new });
        let words = format!("a new issuing authority under root {}", base64url(&ca.pin().0));
        let former = self.former(old, ca);
        state.former.push(former);
        Ok(Plan { state, action: "ca.renew-issuing", words, force: None })
    }

    fn stage(&self, tier: Tier, bundle: &str) -> Result<Plan, StepError> {
        let standing = self.authority.standing();
        let mut state = standing.state.clone();
        may_stage(state.phase())?;
        let new = self.read(&tier)?;
        let version = state.version.saturating_add(1);
        let bytes = bytes(bundle)?;
        let present = pins(&standing);
        let both: Vec<Sha256> = present.iter().copied().chain([new]).collect();
        self.follows(&present, &bytes, &both)?;
        files::replace(&self.authority.folder.join(State::bundle(version)), &bytes)?;
        (state.next, state.version) = (Some(tier), version);
        let words = format!("root {} staged, bundle {version} with both roots", base64url(&new.0));
        Ok(Plan { state, action: "ca.stage", words, force: None })
    }

    fn switch(&self, force: Option<&str>) -> Result<Plan, StepError> {
        let mut state = self.authority.standing().state.clone();
        let tally = self.tally(state.version);
        let force = reason(force)?;
        may_switch(state.phase(), state.version, &tally, force.is_some())?;
        state.switched = true;
        let words = format!(
            "leaves come from the new root; {} of {} active devices have bundle {}",
            tally.ready, tally.active, state.version
        );
        Ok(Plan { state, action: "ca.switch", words, force })
    }

    fn finish(&self, bundle: &str, force: Option<&str>) -> Result<Plan, StepError> {
        let standing = self.authority.standing();
        let mut state = standing.state.clone();
        let tally = self.tally(state.version);
        let force = reason(force)?;
        may_finish(state.phase(), state.version, &tally, force.is_some())?;
        let (Some(next), Some(ca)) = (state.next.take(), &standing.next) else {
            return Err(Refused::NotStaged.into());
        };
        let (bytes, alone) = (bytes(bundle)?, [ca.pin()]);
        self.follows(&pins(&standing), &bytes, &alone)?;
        // A device that first comes after this knows the new root only.
        self.follows(&alone, &bytes, &alone)?;
        state.version = state.version.saturating_add(1);
        files::replace(&self.authority.folder.join(State::bundle(state.version)), &bytes)?;
        let old = std::mem::replace(&mut state.present, next);
        state.former.push(self.former(old, &standing.present));
        state.switched = false;
        let mut words = format!("root {} alone, bundle {}", base64url(&ca.pin().0), state.version);
        if tally.missing > 0 {
            words.push_str(&format!("; given up: {}", tally.named()));
        }
        Ok(Plan { state, action: "ca.finish", words, force })
    }

    fn seal(&self) -> Result<Plan, StepError> {
        let Authority { folder, setting, .. } = self.authority;
        let KeySetting::Sealed(_) = setting else {
            return Err(StepError::Unfit(
                "set `ca_key = \"age:FILE\"` first: FILE is the identity to seal for",
            ));
        };
        setting.identity(true)?;
        let mut state = self.authority.standing().state.clone();
        let former = state.former.iter_mut().map(|former| &mut former.tier);
        let mut sealed = 0;
        for tier in std::iter::once(&mut state.present).chain(&mut state.next).chain(former) {
            let KeyPlace::File(file) = &tier.key else { continue };
            let Some(stem) = file.strip_suffix(PLAIN) else { continue };
            let plain = files::read_secret(&folder.join(file))?;
            let name = format!("{stem}{SEALED}");
            // What lies there under this name is of an attempt that was cut off: nothing refers to it.
            files::remove(&folder.join(&name))?;
            setting.write(&folder.join(&name), &String::from_utf8_lossy(&plain))?;
            tier.key = KeyPlace::File(name);
            sealed += 1;
        }
        let mut words = format!("{sealed} issuing keys were sealed; nothing uses their plain files any more");
        if sealed == 0 {
            words = self.nothing_in_use_to_seal()?;
        }
        Ok(Plan { state, action: "ca.seal", words, force: None })
    }

    /// An attempt may have been cut off before it removed the plain files: that is made good, or said.
    fn nothing_in_use_to_seal(&self) -> Result<String, StepError> {
        let tidied = tidy(self.authority, self.roots_file, self.now);
        let words = format!(
            "no issuing key in use lay in plain; {} files of unused ones were removed{}",
            tidied.removed,
            tidied.told()
        );
        match (tidied.removed, tidied.failed.as_slice(), tidied.plain.as_slice()) {
            (0, [], []) => Err(StepError::Unfit("no issuing key lies in plain: there is nothing to seal")),
            (_, [], []) => Ok(words),
            (_, _, _) => Err(StepError::Unsealed(words)),
        }
    }

    /// A new root's issuing key is new too: whoever holds the one that is in force now must not issue under the new root.
    fn is_fresh(&self, key: &KeyPlace) -> Result<(), StepError> {
        let Authority { folder, setting, .. } = self.authority;
        let key = Sha256::of(&key.open(folder, setting)?.subject_public_key_info());
        let standing = self.authority.standing();
        let known = standing.signing().any(|ca| ca.key() == key || ca.pin() == key);
        (!known).then_some(()).ok_or(StepError::Unfit(
            "the key of the new issuing authority is in force already: make a new one for the new root",
        ))
    }

    /// Checks that a key, its certificate and a root make an authority whose leaves hold, and writes the certificates.
    fn new_tier(
        &self,
        key: &KeyPlace,
        issuing: &str,
        root: &CertificateDer<'static>,
    ) -> Result<Tier, StepError> {
        let Authority { folder, setting, .. } = self.authority;
        let issuing = certificate(issuing)?;
        let key_of = key.open(folder, setting)?;
        let ca = match Ca::new(key_of, issuing.clone(), root.clone(), "the new certificate") {
            Err(CaError::Mismatch { .. }) => {
                return Err(StepError::Unfit("the new issuing certificate is not for its key"));
            }
            other => other?,
        };
        proved(&ca, self.now)?;
        let root_file = self.write_once("root", root)?;
        Ok(Tier { root: root_file, issuing: self.write_once("issuing", &issuing)?, key: key.clone() })
    }

    /// Writes a certificate under a name of its own; the same again changes nothing.
    fn write_once(&self, stem: &str, certificate: &CertificateDer<'_>) -> Result<String, StepError> {
        let file = format!("{stem}-{}.pem", short(certificate));
        let path = self.authority.folder.join(&file);
        files::replace(&path, make::pem(certificate).as_bytes())?;
        Ok(file)
    }

    fn read(&self, tier: &Tier) -> Result<Sha256, StepError> {
        let standing = self.authority.standing();
        let mut state = standing.state.clone();
        state.next = Some(tier.clone());
        let built = self.authority.build(state)?;
        let pin = built.next.as_ref().map(|ca| ca.pin());
        let pin = pin.filter(|pin| *pin != standing.present.pin());
        pin.ok_or(StepError::Unfit("the new root has the present root's key: make a new key"))
    }

    /// Whether who believes `pins` would follow these bytes to exactly `wanted`.
    fn follows(&self, pins: &[Sha256], bytes: &[u8], wanted: &[Sha256]) -> Result<(), StepError> {
        let standing = self.authority.standing();
        let roots = standing.roots();
        let known: Vec<&[u8]> = roots.iter().map(|root| root.as_ref()).collect();
        let believed = Believed { version: standing.state.version, pins: pins.to_vec() };
        let (next, _) = believed.step(bytes, &known, &Reading)?;
        let same = next.pins.len() == wanted.len() && wanted.iter().all(|pin| next.pins.contains(pin));
        same.then_some(()).ok_or(StepError::Unfit("the bundle holds other roots than this step is about"))
    }

    fn former(&self, tier: Tier, ca: &Ca) -> Former {
        let until = self.now.plus_seconds(LEAF_DAYS_MAX * DAY_S).min(ca.ends().0);
        Former { tier, until }
    }

    fn tally(&self, version: u64) -> Tally {
        if version == 0 {
            let active = self.devices.iter().filter(|device| device.state == DeviceState::Active).count();
            return Tally { active, ready: active, ..Tally::default() };
        }
        let seen = self.devices.iter();
        let seen = seen.map(|one| Seen { serial: &one.serial, state: one.state, believes: one.believes });
        Tally::of(seen, version)
    }

    fn status(&self) -> Status {
        let standing = self.authority.standing();
        let tells = |(ca, tier): (&std::sync::Arc<Ca>, &Tier)| {
            let (issuing_ends, root_ends) = ca.ends();
            Tells {
                root_pin: base64url(&ca.pin().0),
                root: base64url(ca.root()),
                root_ends,
                issuing: ca.key_identifier(),
                issuing_ends,
                key: tier.key.word().to_owned(),
            }
        };
        let former = standing.former.iter().map(|former| (short(&former.issuing), former.until));
        Status {
            phase: standing.state.phase(),
            bundle: standing.state.version,
            pin: base64url(&standing.present.pin().0),
            authorities: standing.in_force().zip(standing.state.tiers()).map(tells).collect(),
            former: former.collect(),
            tally: self.tally(standing.state.version),
            warnings: warnings(&standing, self.now),
        }
    }
}

/// What of the authorities ends soon, in words.
#[must_use]
pub fn warnings(standing: &Standing, now: Timestamp) -> Vec<String> {
    let mut words = Vec::new();
    for ca in standing.in_force() {
        let (issuing, root) = ca.ends();
        let cures = [
            (issuing, "issuing certificate", "`ca renew-issuing`"),
            (root, "root certificate", "`ca stage`, `ca switch`, `ca finish`"),
        ];
        for (end, what, cure) in cures {
            if let Some(days) = warning(end, now) {
                words.push(format!("the {what} ends at {end}, within {days} days: {cure}"));
            }
        }
    }
    words
}

impl SeenDevice {
    /// A device with the newest of its reports.
    #[must_use]
    pub fn of(device: &Device, report: Option<&Report>) -> Self {
        let serial = device.hardware.serial.clone();
        Self { serial, state: device.state, believes: report.map(|report| report.ca_version) }
    }
}

/// Whether the key of `root` signed a certificate, whatever else is to be said of that.
fn is_signed_by(certificate: &CertificateDer<'_>, root: &CertificateDer<'_>) -> bool {
    let Ok((_, read)) = x509_parser::parse_x509_certificate(certificate) else { return false };
    let (body, signature) = (read.tbs_certificate.as_ref(), &read.signature_value.data);
    super::PeerLeaf::of(root).is_some_and(|root| root.verifies(body, signature))
}

fn pins(standing: &Standing) -> Vec<Sha256> {
    standing.in_force().map(|ca| ca.pin()).collect()
}

/// A leaf of this authority holds under its root alone: certificates, dates and uses fit together.
fn proved(ca: &Ca, now: Timestamp) -> Result<(), StepError> {
    let unfit = StepError::Unfit("a leaf of the new issuing authority would not hold under that root");
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(CaError::from)?;
    let serial = Text::lossy("proof");
    let subject = Subject { device: DeviceId::from_random([0; 16]), serial: &serial };
    let leaf = ca.issue(&key, subject, 1, now)?;
    let mut roots = rustls::RootCertStore::empty();
    if roots.add(ca.root().clone()).is_err() {
        return Err(unfit);
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
    let verifier = verifier.map_err(CaError::from)?;
    let seconds = u64::try_from(now.0).unwrap_or_default();
    let at = rustls::pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    verifier.verify_client_cert(&leaf.der, &[ca.issuing().clone()], at).map(|_| ()).map_err(|_| unfit)
}

fn reason(force: Option<&str>) -> Result<Option<String>, StepError> {
    match force.map(str::trim) {
        Some("") => Err(StepError::Unfit("say why with `--reason`: it goes into the journal")),
        force => Ok(force.map(str::to_owned)),
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, StepError> {
    from_base64url(text).ok_or(StepError::Unfit("what was sent is not base64url"))
}

fn certificate(text: &str) -> Result<CertificateDer<'static>, StepError> {
    Ok(bytes(text)?.into())
}

/// Eight bytes of a digest, for names of files.
fn short(bytes: &[u8]) -> String {
    hex(Sha256::of(bytes).0.get(..8).unwrap_or_default())
}
