//! Who may come in: the one policy over every request for a certificate, whatever it brings.
//!
//! A request brings a token, a birth certificate under a maker's anchor, or nothing; [`decide`] answers *issue*, *the
//! same as before*, *wait for a person*, or a named refusal. It never re-keys a device silently: a serial that has an
//! identity and comes with another key waits for a person while the old certificate lives on, unless a person said
//! beforehand that the key may change. A repetition by the same key gets the same certificate, so a lost answer costs
//! nothing. Nothing of the request but key, serial and stated hardware has any weight here.
//!
//! Read next: `token` and `anchor` for what is brought, `queue` for waiting, `renew` for the next certificate,
//! [`crate::device`] for what comes out, and `docs/decisions/0010-identity.md`.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;

use cordon_proto::ids::{DeviceId, Hardware, Sha256, Text, TokenId};
use cordon_proto::time::Timestamp;

use crate::device::{Asking, Device, Identity, Source, State};

mod anchor;
mod newcomer;
mod queue;
mod renew;
#[cfg(test)]
mod tests;
mod token;

pub use anchor::{Admit, Anchor};
pub use newcomer::is_the_one;
use newcomer::newcomer;
pub use queue::{Denied, Left, NotAsking, approve, cleared, deny, stale, waiting};
pub use renew::{Renewal, RenewalRefused, Renewed, Renewing, first_word, renew};
pub use token::{Binding, OrderRefused, Token, TokenOrder, VERSION};

/// One request for enrolment, reduced to what may weigh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it brings.
    pub credential: Credential,
    /// SHA-256 of the SubjectPublicKeyInfo that was proved.
    pub key: Sha256,
    /// The serial in the certification request.
    pub serial: Text,
    /// What our own agent says the device is made of; other clients say nothing.
    pub hardware: Option<Hardware>,
    /// Where it came from, for people.
    pub from: Text,
    /// Whether it proved that it was made for the connection that carried it.
    pub bound: bool,
}

/// What a request brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The hash of a one-time secret.
    Token(TokenId),
    /// A birth certificate that the connection proved.
    Birth {
        /// The anchor that it stands under.
        anchor: Arc<Anchor>,
        /// The serial in it.
        serial: Text,
    },
    /// Nothing.
    Nothing,
}

/// What the owner configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Whether a request that brings nothing may wait for a person.
    pub approval_queue: bool,
    /// Whether a token alone is not enough: the request must be bound to its connection.
    pub require_binding: bool,
    /// Days after its end in which a certificate may still ask for the next one.
    pub grace_days: u32,
    /// Whether everybody may keep the key when renewing.
    pub same_key_renewal: bool,
}

/// What is stored about the parties of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known<'a> {
    /// The token of that hash.
    pub token: Option<&'a Token>,
    /// The device of the model with the request's serial; for a new board the device that it was built into.
    pub device: Option<&'a Device>,
    /// For a new board: another device that stands under its serial already.
    pub holder: Option<&'a Device>,
    /// The model that the serial is known under, for a request that states none.
    pub model: Option<&'a Text>,
    /// Whether this serial of the maker has an identity under another model: the model is the device's own word.
    pub elsewhere: bool,
    /// Whether a person said no to this key.
    pub denied: bool,
    /// Whether no more may wait.
    pub queue_full: bool,
}

/// What becomes of a request that is not refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It was answered before: hand out this certificate again.
    Same(Sha256),
    /// A certificate is to be made and written down with [`Admitted::with`].
    Issue(Box<Admitted>),
    /// A person has to decide first. The device is to be written down, if there is one.
    Wait(Option<Box<Device>>),
}

/// A device that may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    device: Device,
    /// The token, spent once more.
    token: Option<Token>,
    key: Sha256,
    paid_by: Option<TokenId>,
    /// Whether the certificate in force lives until the new one has spoken.
    follows: bool,
}

/// What stands in the store after a certificate was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The device.
    pub device: Device,
    /// The token, if one was spent.
    pub token: Option<Token>,
}

/// Why nobody comes in. Each is shown to the asking side but [`Refused::UnknownToken`] and [`Refused::NoCredential`],
/// which say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such token.
    #[error("no such token")]
    UnknownToken,
    /// It brings nothing, and nobody is let in like that.
    #[error("no credential")]
    NoCredential,
    /// A person took it back.
    #[error("this token was taken back: ask the owner for a new one")]
    TokenRevoked,
    /// Its time is over.
    #[error("this token has expired: ask the owner for a new one")]
    TokenExpired,
    /// It has paid for all the devices it was made for.
    #[error(
        "this token was used: each device needs its own; if this device never got its certificate, ask for a new token"
    )]
    TokenUsed,
    /// The request is for another serial than token or birth certificate, or names two serials.
    #[error(
        "the request's serial is not the one that the token or the birth certificate is for, or request and stated \
         hardware differ"
    )]
    SerialMismatch,
    /// The device says it is another model.
    #[error("the token or the birth certificate is for another model than the device states")]
    ModelMismatch,
    /// The device says it is of another maker.
    #[error("the token or the birth certificate is for another manufacturer than the device states")]
    ManufacturerMismatch,
    /// A new board's serial is a device of its own.
    #[error(
        "this serial belongs to another device of the owner: ask the owner to retire it, or for another token"
    )]
    SerialTaken,
    /// A birth certificate of a device that nobody announced.
    #[error("the owner does not expect this serial: ask the owner to announce it or to make a token for it")]
    NotExpected,
    /// Not bound to its connection.
    #[error(
        "the owner lets in only requests that are bound to their connection, as Cordon's own agent sends them"
    )]
    BindingRequired,
    /// A person said no to this key.
    #[error(
        "a person said no to this key: ask the owner's security team, and make a new key before you ask again"
    )]
    ApprovalDenied,
    /// Too many wait already.
    #[error("too many devices wait for approval: ask the owner to look at the list, and come again")]
    QueueFull,
}

impl Refused {
    /// The word for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::UnknownToken => "unknown_token",
            Self::NoCredential => "no_credential",
            Self::TokenRevoked => "token_revoked",
            Self::TokenExpired => "token_expired",
            Self::TokenUsed => "token_used",
            Self::SerialMismatch => "serial_mismatch",
            Self::ModelMismatch => "model_mismatch",
            Self::ManufacturerMismatch => "manufacturer_mismatch",
            Self::SerialTaken => "serial_taken",
            Self::NotExpected => "not_expected",
            Self::BindingRequired => "binding_required",
            Self::ApprovalDenied => "approval_denied",
            Self::QueueFull => "approval_queue_full",
        }
    }
}

/// Decides one request.
///
/// `fresh` becomes the name of a device that has none. The caller commits the outcome under the precondition that
/// token and device are still what was read, and decides again when they are not: so a token is used once, however
/// many ask at the same time.
pub fn decide(
    request: &Request,
    known: Known<'_>,
    terms: &Terms,
    fresh: DeviceId,
    now: Timestamp,
) -> Result<Admission, Refused> {
    let warrant = warrant(request, known, terms, now)?;
    if let Some(leaf) = known.device.and_then(|device| answered(device, request, now)) {
        return Ok(Admission::Same(leaf));
    }
    if known.holder.is_some_and(|holder| holder.identity.is_some()) {
        return Err(Refused::SerialTaken);
    }
    if let Some(device) = known.device.filter(|device| queue::is_approved(device, &request.key, now)) {
        return Ok(Admission::Issue(Box::new(approved(device, &warrant, request, now))));
    }
    if let Warrant::Token(token) = warrant {
        token.pays(now)?;
    }
    let may_come_in = match known.device {
        Some(device) if !device.is_listed_only() => returning(device, &warrant, request),
        // A list of assets announces nobody and keeps nobody out: the serial counts as one that nobody knows.
        Some(_) | None if known.elsewhere => Verdict::Ask,
        Some(_) | None => unknown(&warrant),
    };
    match may_come_in {
        Verdict::In => Ok(Admission::Issue(Box::new(admitted(&warrant, request, known, fresh, now)))),
        Verdict::Unlisted if !terms.approval_queue => Err(Refused::NotExpected),
        Verdict::Unlisted | Verdict::Ask => wait(&warrant, request, known, fresh, now),
    }
}

/// What was brought, as far as it stands by itself.
#[derive(Clone, Copy)]
enum Warrant<'a> {
    Token(&'a Token),
    Birth(&'a Anchor),
    Nothing,
}

/// What is to be done with a key that has no certificate yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Let it in.
    In,
    /// Ask a person.
    Ask,
    /// Proved to be what it says, and nobody announced it.
    Unlisted,
}

fn warrant<'a>(
    request: &'a Request,
    known: Known<'a>,
    terms: &Terms,
    now: Timestamp,
) -> Result<Warrant<'a>, Refused> {
    match &request.credential {
        Credential::Token(_) => {
            let token = known.token.ok_or(Refused::UnknownToken)?;
            if token.revoked.is_some() {
                return Err(Refused::TokenRevoked);
            }
            token.fits(request)?;
            if token.order.binding.instead_of().is_some() && known.device.is_none() {
                return Err(Refused::SerialMismatch);
            }
            if terms.require_binding && !request.bound {
                return Err(Refused::BindingRequired);
            }
            Ok(Warrant::Token(token))
        }
        Credential::Birth { anchor, serial } => {
            anchor.fits(serial, request)?;
            if anchor.require_binding && !request.bound {
                return Err(Refused::BindingRequired);
            }
            Ok(Warrant::Birth(anchor))
        }
        Credential::Nothing => {
            request.agrees()?;
            // Whoever is announced has something better to show, and nobody else takes its place in the line.
            let announced = known.device.is_some_and(|device| device.state == State::Expected);
            let decided = known.device.is_some_and(|device| {
                queue::is_approved(device, &request.key, now) || answered(device, request, now).is_some()
            });
            let heard = decided || (terms.approval_queue && !announced);
            if heard { Ok(Warrant::Nothing) } else { Err(Refused::NoCredential) }
        }
    }
}

/// The certificate that this very key was answered with before, by the same token or by none.
fn answered(device: &Device, request: &Request, now: Timestamp) -> Option<Sha256> {
    let trusted = matches!(device.state, State::Active | State::Quarantined);
    let paid = |identity: &Identity| match (&request.credential, identity.token) {
        (Credential::Token(asked), Some(paid)) => *asked == paid,
        (Credential::Token(_), None) | (Credential::Birth { .. } | Credential::Nothing, _) => true,
    };
    let mut held = device.next.iter().chain(&device.identity);
    let same = held.find(|held| held.key == request.key && paid(held) && now <= held.not_after);
    same.filter(|_| trusted).map(|identity| identity.leaf)
}

/// A serial that nobody knows.
fn unknown(warrant: &Warrant<'_>) -> Verdict {
    match warrant {
        Warrant::Token(_) => Verdict::In,
        Warrant::Nothing => Verdict::Ask,
        Warrant::Birth(anchor) => match anchor.admit {
            Admit::All => Verdict::In,
            Admit::Expected => Verdict::Unlisted,
            Admit::Approval => Verdict::Ask,
        },
    }
}

/// A serial that is known already.
fn returning(known: &Device, warrant: &Warrant<'_>, request: &Request) -> Verdict {
    if !is_of_its_maker(known, warrant, request) {
        return Verdict::Ask;
    }
    // Of two machines with one key neither is let in by that key.
    let same_key =
        known.doubt.is_none() && known.identity.as_ref().is_some_and(|identity| identity.key == request.key);
    let welcome = match (warrant, known.state) {
        (Warrant::Nothing, _) | (_, State::Quarantined) => false,
        (Warrant::Token(_), State::Listed | State::Expected | State::Pending) => true,
        (Warrant::Token(token), State::Active) => same_key || token.order.binding.replaces(),
        (Warrant::Token(token), State::Retired | State::Lost) => {
            token.order.binding.serial().is_some() && token.created >= known.since
        }
        (Warrant::Birth(anchor), State::Expected) => anchor.admit != Admit::Approval,
        (Warrant::Birth(anchor), State::Active) => same_key && anchor.admit != Admit::Approval,
        (Warrant::Birth(anchor), State::Listed | State::Pending) => anchor.admit == Admit::All,
        (Warrant::Birth(_), State::Retired | State::Lost) => false,
    };
    if welcome { Verdict::In } else { Verdict::Ask }
}

/// Whether the request is of the maker that is known: stated by the device, or announced by a person.
fn is_of_its_maker(known: &Device, warrant: &Warrant<'_>, request: &Request) -> bool {
    let maker = &known.hardware.manufacturer;
    match warrant {
        Warrant::Birth(anchor) => {
            let unsaid = !known.stated && *maker == Text::lossy("");
            unsaid || *maker == anchor.manufacturer
        }
        Warrant::Token(_) | Warrant::Nothing => {
            let stated = request.hardware.as_ref().filter(|_| known.stated);
            stated.is_none_or(|hardware| hardware.manufacturer == *maker)
        }
    }
}

/// A device that comes in by what it brought.
fn admitted(
    warrant: &Warrant<'_>,
    request: &Request,
    known: Known<'_>,
    fresh: DeviceId,
    now: Timestamp,
) -> Admitted {
    let newcomer = newcomer(warrant, request, known.model);
    let token = match warrant {
        Warrant::Token(token) => Some(Token { used: token.used.saturating_add(1), ..(*token).clone() }),
        Warrant::Birth(_) | Warrant::Nothing => None,
    };
    let board = token.as_ref().is_some_and(|token| token.order.binding.instead_of().is_some());
    let device = match known.device {
        None => newcomer.device(fresh, State::Active, now),
        Some(device) => newcomer.taking_over(device, request, board),
    };
    let reason = match warrant {
        Warrant::Birth(anchor) => format!("enrolled with a birth certificate of {}", anchor.name),
        Warrant::Token(_) | Warrant::Nothing => "enrolled with a token".to_string(),
    };
    let paid_by = match &request.credential {
        Credential::Token(id) => Some(*id),
        Credential::Birth { .. } | Credential::Nothing => None,
    };
    let state = known.device.map_or(State::Pending, |device| device.state);
    let follows = state == State::Active && !board;
    let (asking, doubt) = (device.asking.clone(), device.doubt.clone());
    let device = trusted(device, state, Text::lossy(&reason), now);
    // Only a person decides about another key and about a doubt: by a token for this very serial, or by a yes.
    let decided = token.as_ref().is_some_and(|token| token.order.binding.serial().is_some());
    let device = match decided {
        true => device,
        false => Device { asking: asking.filter(|asking| asking.key != request.key), doubt, ..device },
    };
    Admitted { device, token, key: request.key, paid_by, follows }
}

/// A device whose very key a person said yes to. A quarantined one stays so: that is another question.
fn approved(device: &Device, warrant: &Warrant<'_>, request: &Request, now: Timestamp) -> Admitted {
    let by = device.asking.as_ref().and_then(|asking| asking.approved.as_ref());
    let reason = by.map_or_else(|| "approved".to_string(), |approval| format!("approved by {}", approval.by));
    let state = device.state;
    let board = match warrant {
        Warrant::Token(token) if token.order.binding.instead_of().is_some() => Some(*token),
        Warrant::Token(_) | Warrant::Birth(_) | Warrant::Nothing => None,
    };
    let follows = board.is_none() && matches!(state, State::Active | State::Quarantined);
    let device = match board {
        Some(_) => newcomer(warrant, request, None).taking_over(device, request, true),
        None => {
            let hardware = request.hardware.clone().filter(|_| !device.stated);
            let stated = device.stated || hardware.is_some();
            let hardware = hardware.unwrap_or_else(|| device.hardware.clone());
            Device { hardware, stated, source: Source::Agent, ..device.clone() }
        }
    };
    // A token for a new board is spent by it, if its time was not over while a person thought.
    let token = board.filter(|token| token.pays(now).is_ok());
    let token = token.map(|token| Token { used: token.used.saturating_add(1), ..token.clone() });
    let device = trusted(device, state, Text::lossy(&reason), now);
    Admitted { device, token, key: request.key, paid_by: None, follows }
}

/// The device as it is trusted with a new key: what asked and what was doubted is decided.
fn trusted(device: Device, before: State, reason: Text, now: Timestamp) -> Device {
    let state = if before == State::Quarantined { before } else { State::Active };
    let since = if state == before { device.since } else { now };
    let reason = if state == State::Quarantined { device.reason.clone() } else { reason };
    // What it once took leave of is over.
    Device { state, since, reason, asking: None, doubt: None, farewell: None, ..device }
}

/// A key that a person has to look at.
fn wait(
    warrant: &Warrant<'_>,
    request: &Request,
    known: Known<'_>,
    fresh: DeviceId,
    now: Timestamp,
) -> Result<Admission, Refused> {
    if known.denied {
        return Err(Refused::ApprovalDenied);
    }
    let asking = request.asking(now);
    let noted = match known.device {
        Some(device) => queue::noted(device, asking, now),
        None => {
            let device = newcomer(warrant, request, known.model).device(fresh, State::Pending, now);
            Some(Device { asking: Some(asking), reason: Text::lossy("asks to come in"), ..device })
        }
    };
    // Tokens are counted by those who make them.
    let counted = !matches!(warrant, Warrant::Token(_));
    if noted.is_some() && counted && known.queue_full {
        return Err(Refused::QueueFull);
    }
    Ok(Admission::Wait(noted.map(Box::new)))
}

impl Request {
    /// Whether the serial in the request is the one that our agent stated beside it.
    fn agrees(&self) -> Result<(), Refused> {
        match &self.hardware {
            Some(hardware) if hardware.serial != self.serial => Err(Refused::SerialMismatch),
            Some(_) | None => Ok(()),
        }
    }

    fn asking(&self, now: Timestamp) -> Asking {
        let with = match &self.credential {
            Credential::Token(id) => format!("token {id}"),
            Credential::Birth { anchor, .. } => format!("birth certificate of {}", anchor.name),
            Credential::Nothing => "nothing".to_string(),
        };
        Asking { key: self.key, at: now, from: self.from.clone(), with: Text::lossy(&with), approved: None }
    }
}

impl Admitted {
    /// The device that the certificate is for.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What stands in the store once the certificate is handed out. `leaf` is its SHA-256; `not_after` its end.
    #[must_use]
    pub fn with(self, leaf: Sha256, issued: Timestamp, not_after: Timestamp) -> Outcome {
        let Self { mut device, token, key, paid_by, follows } = self;
        let identity = Identity { leaf, key, token: paid_by, renews: false, issued, not_after };
        if follows && device.identity.is_some() {
            renew::follow(&mut device, identity);
        } else {
            let former = device.identity.replace(identity);
            renew::void(&mut device, former.as_ref());
            renew::supersede(&mut device, former);
            let silent = device.next.take();
            renew::void(&mut device, silent.as_ref());
            renew::supersede(&mut device, silent);
        }
        Outcome { device, token }
    }
}
