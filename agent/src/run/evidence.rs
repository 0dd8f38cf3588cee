//! What both repositories say about the offered order, gathered once and judged anew at every look.
//!
//! Fetching metadata is dear and judging is cheap: the order and the release are kept as they were verified, and the
//! decision is taken again whenever the clock, the installed image or the floor may have moved. Gathered again when
//! the offer or the director's version changed, after an hour, or after a minute where something was missing. It only asks `cordon_proto::update`; a chain that is
//! not believed is a refusal like any other. Read next: [`super::tuf`], [`super::updating`].

use std::time::Duration;

use cordon_agent_core::update::Record;
use cordon_agent_core::update::gate::Verdict;
use cordon_proto::canonical::Value;
use cordon_proto::checkin::{Action, Blocked, CheckinAnswer, ContentOffer, OrderOffer};
use cordon_proto::ids::{Hardware, Name, TargetPath, Text};
use cordon_proto::time::Timestamp;
use cordon_proto::update::content::{Assignment, ContentCase, ContentRefusal, Taken, admit, decide_content};
use cordon_proto::update::decide::{Case, decide, decide_back};
use cordon_proto::update::order::Order;
use cordon_proto::update::refusal::{Party, Refusal};
use cordon_proto::update::release::{Listed, Release};
use cordon_proto::update::unreadable::Unreadable;
use cordon_proto::update::{Found, TrustError};

use super::tuf::{Repositories, TufError};
use crate::link::Repository;

/// After this the metadata is asked for again although nothing says that it changed.
const STALE: Duration = Duration::from_secs(3600);
/// The same where newer metadata could lift the refusal: the maker's repository changes without the server's word.
const STALE_REFUSED: Duration = Duration::from_secs(60);

/// What was gathered for one offer.
pub(crate) struct Evidence {
    offer: OrderOffer,
    director_version: u64,
    gathered: Duration,
    said: Said,
    /// Versions of the metadata that was believed, to be noted in the security state.
    pub(crate) versions: Vec<(Text, u64)>,
}

/// What the chains say.
enum Said {
    /// Both were verified as far as needed.
    Verified(Box<Verified>),
    /// One of them is not believed.
    Refused(Refusal),
}

impl Said {
    /// Whether order and release are both there and readable.
    fn is_whole(&self) -> bool {
        match self {
            Self::Refused(_) => false,
            Self::Verified(verified) => {
                matches!((&verified.order, &verified.release), (Some(Ok(_)), Some(Ok(_))))
            }
        }
    }
}

struct Verified {
    order: Option<Result<Order, Unreadable>>,
    release: Option<Result<Release, Unreadable>>,
}

/// Why nothing could be gathered: trouble that may pass, told in the words of `status`.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) Blocked);

impl Evidence {
    /// Whether this is still what one would gather now.
    pub(crate) fn holds(&self, answer: &CheckinAnswer, monotonic: Duration) -> bool {
        let stale = if self.said.is_whole() { STALE } else { STALE_REFUSED };
        answer.order.as_ref() == Some(&self.offer)
            && answer.director_version == self.director_version
            && monotonic.saturating_sub(self.gathered) < stale
    }

    /// The same for what came in a bundle: nobody says that it changed, so only its age counts.
    pub(crate) fn is_stale(&self, monotonic: Duration) -> bool {
        monotonic.saturating_sub(self.gathered) >= if self.said.is_whole() { STALE } else { STALE_REFUSED }
    }

    /// The release and the order as both signatures have them, where they could be read.
    pub(crate) fn read(&self) -> Option<(&Order, &Release)> {
        match &self.said {
            Said::Verified(verified) => match (&verified.order, &verified.release) {
                (Some(Ok(order)), Some(Ok(release))) => Some((order, release)),
                _ => None,
            },
            Said::Refused(_) => None,
        }
    }

    /// The decision now.
    pub(crate) fn verdict(&self, record: &Record, hardware: &Hardware, now: Timestamp) -> Verdict {
        let outcome = match &self.said {
            Said::Refused(refusal) => Err(refusal.clone()),
            Said::Verified(verified) => {
                let device = record.device(hardware);
                let case = Case {
                    id: &self.offer.order,
                    order: verified.order.as_ref(),
                    release: verified.release.as_ref(),
                    proof: self.offer.proof.as_ref(),
                    device: &device,
                };
                match self.offer.action {
                    Action::Install => decide(&case, now),
                    Action::Back => decide_back(&case, now),
                }
            }
        };
        Verdict { order: self.offer.order.clone(), action: self.offer.action, outcome }
    }
}

/// Follows both chains for an offer.
pub(crate) async fn gather(
    repositories: &Repositories,
    (offer, director_version): (&OrderOffer, u64),
    record: &Record,
    (now, gathered): (Timestamp, Duration),
) -> Result<Evidence, Missing> {
    let mut versions = Vec::new();
    let said = match chains(repositories, offer, (record, now), &mut versions).await {
        Ok(verified) => Said::Verified(Box::new(verified)),
        Err(Stop::Refused(refusal)) => Said::Refused(refusal),
        Err(Stop::Missing(missing)) => return Err(missing),
    };
    Ok(Evidence { offer: offer.clone(), director_version, gathered, said, versions })
}

enum Stop {
    Refused(Refusal),
    Missing(Missing),
}

async fn chains(
    repositories: &Repositories,
    offer: &OrderOffer,
    (record, now): (&Record, Timestamp),
    versions: &mut Vec<(Text, u64)>,
) -> Result<Verified, Stop> {
    let path = Order::path_of(&offer.order);
    let director = party(Party::Director);
    let fresh = repositories.refresh(Repository::Director, now).await.map_err(director)?;
    note(fresh.versions(), repositories.director(), (record, versions))?;
    let found = repositories.find(&fresh, path.as_str()).await.map_err(director)?;
    let listing = found.as_ref().and_then(|found| fresh.version_of(found));
    note(listing, repositories.director(), (record, versions))?;
    drop(fresh);
    let Some(found) = found else { return Ok(Verified { order: None, release: None }) };
    let order =
        Order::read(listed(&path, &found).map_err(|e| chain(Party::Director, e))?, found.document_expires);
    let Ok(read) = &order else { return Ok(Verified { order: Some(order), release: None }) };
    let Some(wanted) = wanted_release(read, offer.action) else {
        return Ok(Verified { order: Some(order), release: None });
    };
    let release = release(repositories, (&read.repository, wanted), (record, now), versions).await?;
    Ok(Verified { order: Some(order), release })
}

/// The release that the maker must list: the order's own, or the one of its way back.
fn wanted_release(order: &Order, action: Action) -> Option<&TargetPath> {
    match action {
        Action::Install => Some(&order.image.release),
        Action::Back => order.back.as_ref().map(|back| &back.image.release),
    }
}

async fn release(
    repositories: &Repositories,
    (repository, path): (&Name, &TargetPath),
    (record, now): (&Record, Timestamp),
    versions: &mut Vec<(Text, u64)>,
) -> Result<Option<Result<Release, Unreadable>>, Stop> {
    let image = party(Party::Image);
    let fresh = repositories.refresh(Repository::Image(repository.clone()), now).await.map_err(image)?;
    let named = format!("image/{repository}");
    note(fresh.versions(), &named, (record, versions))?;
    let Some(found) = repositories.find(&fresh, path.as_str()).await.map_err(image)? else { return Ok(None) };
    note(fresh.version_of(&found), &named, (record, versions))?;
    let listed = listed(path, &found).map_err(|error| chain(Party::Image, error))?;
    Ok(Some(Release::read(listed)))
}

/// What the owner's chain says of a content, and its document.
pub(crate) struct Judged {
    /// Versions of the metadata that was believed.
    pub(crate) versions: Vec<(Text, u64)>,
    /// The content's version by the owner's signature, where that could be read.
    pub(crate) signed: Option<u64>,
    /// Whether the device takes it.
    pub(crate) outcome: Result<Taken, ContentRefusal>,
}

/// Judges a content that was offered.
pub(crate) async fn content(
    repositories: &Repositories,
    (offer, newest, hardware): (&ContentOffer, u64, &Hardware),
    record: &Record,
    now: Timestamp,
) -> Result<Judged, Missing> {
    let mut versions = Vec::new();
    let (proof, id) = (offer.proof.as_ref(), &offer.content);
    let gathered = assignment(repositories, &Assignment::path_of(id), (record, now), &mut versions).await;
    let assignment = gathered.map_err(told)?;
    let device = record.device(hardware);
    let case = ContentCase { id, assignment: assignment.as_ref(), proof, device: &device, newest };
    let outcome = match decide_content(&case, now) {
        Err(refusal) => Err(refusal),
        Ok(admitted) => {
            let bytes = repositories.content(&admitted.assignment.sha256).await;
            let absent =
                || missing("content-missing", "The server does not have the content that is signed.");
            let bytes = bytes.map_err(|error| told(party(Party::Director)(error)))?.ok_or_else(absent)?;
            admit(&admitted, bytes)
        }
    };
    let signed = assignment.as_ref().and_then(|read| Some(read.as_ref().ok()?.version));
    Ok(Judged { versions, signed, outcome })
}

async fn assignment(
    repositories: &Repositories,
    path: &TargetPath,
    (record, now): (&Record, Timestamp),
    versions: &mut Vec<(Text, u64)>,
) -> Result<Option<Result<Assignment, Unreadable>>, Stop> {
    let director = party(Party::Director);
    let fresh = repositories.refresh(Repository::Director, now).await.map_err(director)?;
    note(fresh.versions(), repositories.director(), (record, versions))?;
    let Some(found) = repositories.find(&fresh, path.as_str()).await.map_err(director)? else {
        return Ok(None);
    };
    note(fresh.version_of(&found), repositories.director(), (record, versions))?;
    let listed = listed(path, &found).map_err(|error| chain(Party::Director, error))?;
    Ok(Some(Assignment::read(listed, found.document_expires)))
}

/// The words for what stopped a chain.
fn told(stop: Stop) -> Missing {
    match stop {
        Stop::Refused(refusal) => Missing(refusal.blocked()),
        Stop::Missing(missing) => missing,
    }
}

fn listed<'a>(path: &'a TargetPath, found: &'a Found) -> Result<Listed<'a>, TrustError> {
    const NOTHING: &Value = &Value::Null;
    let sha256 = found.file.sha256().map_err(|fault| fault.of(found.role.clone()))?;
    let custom = found.file.custom.as_ref().unwrap_or(NOTHING);
    Ok(Listed { path, length: found.file.length, sha256, custom })
}

/// Versions that people sign never fall, even if the folder of metadata was lost: the security state holds them too.
/// Those of timestamp and snapshot are left to the chain itself, which may forget them when a root takes a stolen
/// online key away (TUF 1.0.34 section 5.3.11).
fn note(
    seen: impl IntoIterator<Item = (String, u64)>,
    repository: &str,
    (record, versions): (&Record, &mut Vec<(Text, u64)>),
) -> Result<(), Stop> {
    for (role, version) in seen {
        let file = Text::lossy(&format!("{repository}/{role}"));
        let held = record.version(&file);
        if version < held {
            let sentence = format!(
                "The metadata {file} has version {version}, this device has seen {held}: somebody shows an old copy, or the server was restored from a backup. Publish a newer version."
            );
            return Err(Stop::Missing(missing("metadata-older", &sentence)));
        }
        versions.push((file, version));
    }
    Ok(())
}

fn party(party: Party) -> impl Fn(TufError) -> Stop + Copy {
    move |error| match error {
        TufError::Trust(error) => chain(party, error),
        TufError::Link(error) => Stop::Missing(missing("metadata-unreachable", &error.to_string())),
        TufError::File(error) => Stop::Missing(missing("metadata-disk", &error.to_string())),
        TufError::Bundle(fault) => Stop::Missing(Missing(fault.blocked())),
        TufError::NoRoot(sentence) => Stop::Missing(missing("repository-unknown", &sentence)),
        TufError::ExampleKeys => Stop::Missing(missing("example-keys", &TufError::ExampleKeys.to_string())),
        TufError::Stopping => Stop::Missing(missing("stopping", &TufError::Stopping.to_string())),
    }
}

/// The words for trouble with the owner's chain, where there is no offer yet.
pub(crate) fn missing_of_director(error: TufError) -> Blocked {
    told(party(Party::Director)(error)).0
}

fn chain(party: Party, error: TrustError) -> Stop {
    Stop::Refused(Refusal::Chain { party, error })
}

fn missing(code: &str, sentence: &str) -> Missing {
    Missing(Blocked { code: Text::lossy(code), sentence: Text::lossy(sentence) })
}
