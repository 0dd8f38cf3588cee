//! A change of owner: the signed word that the devices in its scope obey another director root from now on.
//!
//! It is signed by the threshold of the present director root; where that owner is gone, by the threshold of a maker's
//! root, and then only a person at the device completes it ([`Judged::complete`]): neither the maker from afar nor
//! presence alone is enough. A device takes none that is not newer than the last one it took, so that an old one cannot
//! be replayed after a return. A closed document: an older reader must not skip a field that narrows it. Nothing here
//! stores or forgets. Read next: [`judge`], decision 0010 "Change of owner".

use alloc::vec::Vec;

use super::decide::Device;
use super::deny::is_example_root;
use super::document::Document;
use super::fault::{Fault, TrustError};
use super::metadata::Root;
use super::release::digest_value;
use super::scope::{Scope, ScopeMiss};
use super::trust::{AtRoot, Rules, Trusted};
use super::unreadable::{Unreadable, parsed, version_one};
use crate::canonical::{FieldError, FieldProblem, Fields, ParseError, Value};
use crate::ids::{HardwareId, Sha256};
use crate::time::Timestamp;
use crate::{limits, merkle};

const KIND: &str = "hand-over";
const DEVICES: &str = "devices";
const DAY_S: i64 = 86_400;

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOver {
    /// The devices it is for.
    pub scope: Scope,
    /// SHA-256 of the director root that the devices trust now.
    pub from: Sha256,
    /// SHA-256 of the director root that they are to trust.
    pub to: Sha256,
    /// When it was signed.
    pub issued: Timestamp,
    /// The first second in which it holds no more.
    pub expires: Timestamp,
}

impl HandOver {
    /// Reads the signed part of a document.
    ///
    /// # Errors
    /// The first field that is unknown, missing, out of bounds, or at odds with another.
    pub fn read(signed: &Value) -> Result<Self, Unreadable> {
        let fields = signed.map()?;
        match fields.text("_type")? {
            KIND => {}
            other => return Err(Unreadable::word("_type", other)),
        }
        version_one(&fields)?;
        fields.only(&["_type", "v", "scope", "from", "to", "issued", "expires"])?;
        let form = "a SHA-256 in 64 lower-case hexadecimal digits";
        let read = Self {
            scope: Scope::read(&fields.map("scope")?)?,
            from: parsed(&fields, "from", form)?,
            to: parsed(&fields, "to", form)?,
            issued: fields.time("issued")?,
            expires: fields.time("expires")?,
        };
        read.check(&fields)?;
        Ok(read)
    }

    fn check(&self, fields: &Fields<'_>) -> Result<(), FieldError> {
        let wrong = |name, form| Err(fields.error(name, FieldProblem::Form(form)));
        if self.from == self.to {
            return wrong("to", "another root than from");
        }
        let life_s = self.expires.seconds_since(self.issued);
        if life_s <= 0 || life_s > limits::HAND_OVER_DAYS * DAY_S {
            return wrong("expires", "later than issued, by 90 days at most");
        }
        Ok(())
    }

    /// The signed part, to be signed.
    #[must_use]
    pub fn value(&self) -> Value {
        Value::object([
            ("_type", Value::from(KIND)),
            ("v", 1_u64.into()),
            ("scope", self.scope.value()),
            ("from", digest_value(self.from)),
            ("to", digest_value(self.to)),
            ("issued", self.issued.into()),
            ("expires", self.expires.into()),
        ])
    }
}

/// A change of owner as a person carries it: the signed document, and the list of its devices where its scope is a set.
/// The list needs no signature: it must make the signed root.
#[derive(Clone, Debug)]
pub struct Carried {
    document: Document,
    devices: Vec<HardwareId>,
}

impl Carried {
    /// Reads a file. Nothing of it is believed yet.
    ///
    /// # Errors
    /// It is too long, no strict JSON, or not of this form.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > limits::HAND_OVER_BYTES {
            return Err(Fault::TooLong { limit: limits::HAND_OVER_BYTES });
        }
        let value = Value::parse(bytes, limits::HAND_OVER_BYTES).map_err(Fault::Json)?;
        let devices = devices(&value).map_err(Fault::Envelope)?;
        Ok(Self { document: Document::of(value)?, devices })
    }

    /// The file of a signed document and the devices of its list.
    ///
    /// # Errors
    /// The document is no JSON.
    pub fn write<'a>(
        document: &[u8],
        devices: impl IntoIterator<Item = &'a HardwareId>,
    ) -> Result<Vec<u8>, ParseError> {
        let mut value = Value::parse(document, limits::HAND_OVER_BYTES)?;
        let list = Value::list(devices.into_iter().map(|device| digest_value(Sha256(device.0))));
        if let Value::Map(entries) = &mut value {
            entries.insert(DEVICES.into(), list);
        }
        Ok(value.json())
    }

    /// The signed document.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// What it states. Until its signatures are checked that is a claim.
    ///
    /// # Errors
    /// The statement cannot be read.
    pub fn states(&self) -> Result<HandOver, Unreadable> {
        HandOver::read(self.document.signed())
    }

    /// Whether the list makes the root that the scope states; a scope of facts has no list.
    #[must_use]
    pub fn lists(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Match { .. } => self.devices.is_empty(),
            Scope::Set { root, count } => {
                self.devices.is_sorted_by(|earlier, later| earlier < later)
                    && u64::try_from(self.devices.len()) == Ok(*count)
                    && merkle::root_of(&self.devices, |device| device.0) == root.0
            }
        }
    }

    /// The devices of the list, as carried.
    #[must_use]
    pub fn devices(&self) -> &[HardwareId] {
        &self.devices
    }

    /// Whose threshold signed it.
    fn signer(&self, present: &Root, case: &Case<'_>, rules: &Rules<'_>) -> Result<By, Refused> {
        let counts = |root: &Root| {
            (case.loopback || !is_example_root(root))
                && self.document.demand(&root.root, rules.verifier).is_ok()
        };
        if counts(present) {
            return Ok(By::Owner);
        }
        if case.makers.iter().map(Trusted::root).any(counts) {
            return Ok(By::Maker);
        }
        let valid = self.document.count(&present.root, rules.verifier);
        Err(Refused::NotSigned { valid, needed: present.root.threshold() })
    }

    fn covers(&self, scope: &Scope, device: &Device<'_>) -> Result<(), Refused> {
        match scope {
            Scope::Match { .. } => scope.covers(device, None).map_err(Refused::NotInScope),
            Scope::Set { .. } if !self.lists(scope) => Err(Refused::ListDiffers),
            Scope::Set { .. } if !self.devices.contains(&device.identity) => Err(Refused::NotListed),
            Scope::Set { .. } => Ok(()),
        }
    }
}

fn devices(value: &Value) -> Result<Vec<HardwareId>, FieldError> {
    let fields = value.map()?;
    if fields.optional(DEVICES).is_none() {
        return Ok(Vec::new());
    }
    let texts = fields.texts(DEVICES)?;
    if texts.len() > limits::HAND_OVER_DEVICES {
        return Err(fields.error(DEVICES, FieldProblem::Range));
    }
    let wrong = |_| fields.error(DEVICES, FieldProblem::Form("hardware identities of 64 digits"));
    texts.iter().map(|text| text.parse().map_err(wrong)).collect()
}

/// Whose threshold signed a change of owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The present owner's.
    Owner,
    /// A maker's, because that owner is gone.
    Maker,
}

/// One question: may this device obey another owner from now on?
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The device.
    pub device: &'a Device<'a>,
    /// The director root that it trusts, as received.
    pub present: &'a [u8],
    /// The makers' roots that it trusts.
    pub makers: &'a [Trusted<AtRoot>],
    /// The director root that was brought.
    pub brought: &'a [u8],
    /// When the last change of owner that it took was signed.
    pub last: Option<Timestamp>,
    /// Whether it belongs to a server on loopback, the only place where example keys count.
    pub loopback: bool,
}

/// What a person at the device has done, for a change of owner that a maker signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// The site is forgotten: there is no identity, and none is asked for.
    pub forgotten: bool,
    /// The person is the machine's administrator.
    pub root: bool,
    /// The device is said not to be in use.
    pub free: bool,
}

/// A change of owner that holds for this device, by its signatures and its facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    by: By,
    hand_over: HandOver,
}

impl Judged {
    /// Whose threshold signed it.
    #[must_use]
    pub fn by(&self) -> By {
        self.by
    }

    /// What the device is to do. Where a maker signed, only with a person's presence.
    ///
    /// # Errors
    /// What the person has not done.
    pub fn complete(self, presence: Presence) -> Result<HandOver, Refused> {
        match self.by {
            By::Maker if !presence.forgotten => Err(Refused::NotForgotten),
            By::Maker if !presence.root => Err(Refused::NotRoot),
            By::Maker if !presence.free => Err(Refused::InUse),
            By::Maker | By::Owner => Ok(self.hand_over),
        }
    }
}

/// Judges a change of owner: signatures first, then the two roots, the times, the replay, the scope.
///
/// # Errors
/// The first reason against it.
pub fn judge(file: &[u8], case: &Case<'_>, rules: &Rules<'_>) -> Result<Judged, Refused> {
    let carried = Carried::parse(file).map_err(Refused::Unreadable)?;
    let present = Trusted::start(case.present, rules).map_err(Refused::Present)?;
    let by = carried.signer(present.root(), case, rules)?;
    if by == By::Owner {
        // An owner who is there can renew its root; a maker's stands in the system image, as old as that is.
        present.final_root(rules).map_err(Refused::Present)?;
    }
    let hand_over = carried.states().map_err(Refused::Statement)?;
    let (trusted, brought) = (Sha256::of(case.present), Sha256::of(case.brought));
    if hand_over.from != trusted {
        return Err(Refused::OtherOwner { from: hand_over.from, trusted });
    }
    if hand_over.to != brought {
        return Err(Refused::OtherRoot { to: hand_over.to, brought });
    }
    let next = Trusted::start(case.brought, rules).map_err(Refused::Brought)?;
    next.final_root(rules).map_err(Refused::Brought)?;
    if is_example_root(next.root()) && !case.loopback {
        return Err(Refused::ExampleKeys);
    }
    let HandOver { issued, expires, .. } = hand_over;
    if rules.now < issued {
        return Err(Refused::NotYet { issued });
    }
    if rules.now >= expires {
        return Err(Refused::Expired { expires });
    }
    if let Some(last) = case.last.filter(|last| issued <= *last) {
        return Err(Refused::Replayed { issued, last });
    }
    carried.covers(&hand_over.scope, case.device)?;
    Ok(Judged { by, hand_over })
}

/// Of two director roots the one to go on with, where they are of one owner: a threshold of the older one signed the
/// newer one. What a device held of an owner who comes back must not fall.
#[must_use]
pub fn newer_of<'a>(held: &'a [u8], brought: &'a [u8], rules: &Rules<'_>) -> Option<&'a [u8]> {
    let read =
        |bytes| Some((Trusted::start(bytes, rules).ok()?, Document::parse(bytes, rules.sizes.root).ok()?));
    let ((old, old_document), (new, new_document)) = (read(held)?, read(brought)?);
    let follows = |document: &Document, root: &Root| document.demand(&root.root, rules.verifier).is_ok();
    if new.root().version >= old.root().version {
        follows(&new_document, old.root()).then_some(brought)
    } else {
        follows(&old_document, new.root()).then_some(held)
    }
}

/// Why a device does not obey another owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The file is no change of owner.
    #[error("the hand-over cannot be read: {0}")]
    Unreadable(Fault),
    /// It is signed, but its statement cannot be read.
    #[error("the hand-over is signed, but not usable: {0}")]
    Statement(Unreadable),
    /// Neither the present owner nor a maker signed it.
    #[error(
        "the hand-over has {valid} of the {needed} signatures that the present owner's root asks for, and no maker's threshold; add the others with `cordonctl owner hand-over --add`"
    )]
    NotSigned {
        /// Different root keys of the present owner that signed it.
        valid: u64,
        /// How many must have.
        needed: u64,
    },
    /// The present owner's root cannot be used.
    #[error(
        "the present owner's {0}; bring that owner's newer root first: `cordon-agent trust-director FILE`"
    )]
    Present(TrustError),
    /// It is from another owner, or from another version of the owner's root.
    #[error(
        "the hand-over is from director root {from}, this device trusts {trusted}; bring that owner's newer root first, or have the hand-over signed from the root that is trusted"
    )]
    OtherOwner {
        /// The root it names.
        from: Sha256,
        /// The root that the device trusts.
        trusted: Sha256,
    },
    /// It is to another root than the one that was brought.
    #[error("the hand-over is to director root {to}, the file brought is {brought}; bring the root it names")]
    OtherRoot {
        /// The root it names.
        to: Sha256,
        /// The root that was brought.
        brought: Sha256,
    },
    /// The root that was brought cannot be used.
    #[error("the new owner's {0}")]
    Brought(TrustError),
    /// The new owner's root holds example keys.
    #[error(
        "the new owner's root holds example keys, which everyone has; they are accepted on loopback demos only"
    )]
    ExampleKeys,
    /// The clock is before the time at which it was signed.
    #[error("the clock is before {issued}, when the hand-over was signed; set the clock")]
    NotYet {
        /// When it was signed.
        issued: Timestamp,
    },
    /// Its time is over.
    #[error("the hand-over ended {expires}; have a new one signed")]
    Expired {
        /// When it ended.
        expires: Timestamp,
    },
    /// This device took the same or a later one already.
    #[error(
        "the hand-over was signed {issued}, and this device took one that was signed {last}: an old one is not taken again; have a new one signed"
    )]
    Replayed {
        /// When it was signed.
        issued: Timestamp,
        /// When the last one was that the device took.
        last: Timestamp,
    },
    /// The list in the file is not the one that was signed.
    #[error("the list of devices in the hand-over is missing, or not the one that was signed")]
    ListDiffers,
    /// The device is not on the list.
    #[error("this device is not on the list of the hand-over; have one signed that lists it")]
    NotListed,
    /// The device is not what the scope asks for.
    #[error("this device is not in the scope of the hand-over ({0:?}); have one signed that names it")]
    NotInScope(ScopeMiss),
    /// A maker signed it, and the device still belongs to somebody.
    #[error(
        "the hand-over is signed by the maker, not by the present owner: the site must be forgotten first, with `cordon-agent forget-site`"
    )]
    NotForgotten,
    /// A maker signed it, and the person is not the administrator.
    #[error("the hand-over is signed by the maker: only root on this machine may complete it")]
    NotRoot,
    /// A maker signed it, and the device may be in use.
    #[error(
        "the hand-over is signed by the maker: the device's own software must say that it is not in use, and has not"
    )]
    InUse,
}

#[cfg(test)]
mod tests;
