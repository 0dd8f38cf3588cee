//! An update that comes in a bundle: the checks of an update over the network, in their order, over files.
//!
//! Opening follows the owner's chain on a copy of what is kept, because the people who may sign a bundle are named at
//! its end; only then is the index proved, and with it the age that stood in for the snapshot's. Nothing is kept and
//! nothing is offered before its counter is stored. The act itself is the updater's. Read next:
//! `cordon_proto::update::bundle`, [`super::updating`].

use std::sync::Arc;
use std::time::Duration;

use cordon_agent_core::update::Record;
use cordon_proto::checkin::{Blocked, OrderOffer};
use cordon_proto::ids::{Hardware, Sha256, Text};
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_proto::update::bundle::{self, Against, Bundle, BundleFault, Kept};
use cordon_proto::update::release::Confirm;
use cordon_proto::update::{Fault, Role};

use super::evidence::{self, Evidence, Missing};
use super::tuf::{self, Repositories, TufError};
use crate::files::Folder;
use crate::link::Repository;
use crate::stick::Stick;
use crate::verifier::DeviceVerifier;

/// The role whose people sign orders and bundles.
const ORDERS: &str = "orders";

/// A bundle that is proved, and what it offers this device.
pub(crate) struct Opened {
    /// What to store before anything of it is used.
    pub(crate) kept: Kept,
    /// When it was made: a time that is past.
    pub(crate) issued: Timestamp,
    /// Its end.
    pub(crate) expires: Timestamp,
    /// The act that this device may do, or the one that it came closest to.
    pub(crate) offer: OrderOffer,
    /// What the chains say of it.
    pub(crate) evidence: Evidence,
}

/// Who looks, and when.
#[derive(Clone, Copy)]
pub(crate) struct Looker<'a> {
    pub(crate) record: &'a Record,
    pub(crate) hardware: &'a Hardware,
    pub(crate) now: Timestamp,
    pub(crate) monotonic: Duration,
}

/// Why a bundle is not taken.
#[derive(Debug)]
pub(crate) struct Untaken {
    /// In the words of `status`.
    pub(crate) blocked: Blocked,
    /// Whether it will never be.
    pub(crate) is_final: bool,
}

impl From<Blocked> for Untaken {
    fn from(blocked: Blocked) -> Self {
        Self { blocked, is_final: false }
    }
}

impl From<BundleFault> for Untaken {
    fn from(fault: BundleFault) -> Self {
        Self { blocked: fault.blocked(), is_final: fault.is_final() }
    }
}

/// Opens a bundle without keeping anything of it; a folder of this name in the state folder is used in the meantime.
pub(crate) async fn open(
    repositories: &Repositories,
    stick: &Arc<Stick>,
    (state, tried): (&Folder, &str),
    looker: Looker<'_>,
) -> Result<Opened, Untaken> {
    // Said before the chain, whose own words for it would speak of a snapshot, and before anything is written.
    stick.claim.holds_at(looker.now)?;
    // What a try that died left there would pass for what is kept.
    let place = state.path().join(tried);
    match std::fs::remove_dir_all(&place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(disk(&error).into()),
        Ok(()) | Err(_) => {}
    }
    let copied = state.inside(tried).and_then(|tried| repositories.copy_into(&tried).map(|()| tried));
    let opened = match copied {
        Ok(tried) => on_copy(&repositories.carried(stick, Some(tried)), stick, looker).await,
        Err(error) => Err(disk(&error).into()),
    };
    let _ = std::fs::remove_dir_all(&place);
    opened
}

async fn on_copy(repositories: &Repositories, stick: &Stick, looker: Looker<'_>) -> Result<Opened, Untaken> {
    let (bundle, kept) = proved(repositories, stick, looker).await?;
    let mut best: Option<(OrderOffer, Evidence, Option<bool>)> = None;
    for (action, order) in bundle.offers() {
        let path = bundle::offer_path(action, &order);
        let list = stick.file(path.as_str(), limits::DEVICE_TARGETS_BYTES)?;
        let proof = bundle::proof_from(&list.unwrap_or_default(), &looker.hardware.identity());
        let offer = OrderOffer { order, proof, action };
        let evidence = gather(repositories, &offer, looker).await?;
        let verdict = evidence.verdict(looker.record, looker.hardware, looker.now);
        // An act for other devices of the ward says nothing here; the first one that is for this device counts.
        let fits = match &verdict.outcome {
            Ok(_) => Some(true),
            Err(refusal) => Some(false).filter(|_| refusal.code() != "not-in-scope"),
        };
        if best.as_ref().is_none_or(|(_, _, before)| fits > *before) {
            best = Some((offer, evidence, fits));
        }
    }
    let (offer, evidence, _) = best.expect("an index has at least one act");
    let Bundle { issued, expires, .. } = bundle;
    Ok(Opened { kept, issued, expires, offer, evidence })
}

/// What the chains say of an offer of a bundle.
pub(crate) async fn gather(
    repositories: &Repositories,
    offer: &OrderOffer,
    looker: Looker<'_>,
) -> Result<Evidence, Blocked> {
    let gathered =
        evidence::gather(repositories, (offer, 0), looker.record, (looker.now, looker.monotonic)).await;
    gathered.map_err(|Missing(blocked)| blocked)
}

/// Follows the owner's chain to those who sign bundles, and demands their signatures.
async fn proved(
    repositories: &Repositories,
    stick: &Stick,
    looker: Looker<'_>,
) -> Result<(Bundle, Kept), Untaken> {
    let Looker { record, now, .. } = looker;
    let held = repositories.director_root().map_err(|error| disk(&error))?;
    if let Some(root) = held {
        // Its version from these very bytes: a second look at the disk may fail, and would say that the owner is another.
        let name = format!("{}.root.json", tuf::root_version(&root, now));
        let listed = stick.claim.file(&tuf::path_of(&Repository::Director, &name));
        if listed.is_none_or(|listed| listed.sha256 != Sha256::of(&root)) {
            return Err(BundleFault::OtherDirector.into());
        }
    }
    let fresh = match repositories.refresh(Repository::Director, now).await {
        Err(TufError::Trust(error)) if matches!(error.fault, Fault::NotPinned { .. }) => {
            return Err(BundleFault::OtherDirector.into());
        }
        fresh => fresh.map_err(evidence::missing_of_director)?,
    };
    let root = repositories.director_root().map_err(|error| disk(&error))?.unwrap_or_default();
    let role = fresh.trusted.targets().delegations.role(ORDERS);
    let role = role.ok_or_else(|| {
        let error = Fault::NotDelegated.of(Role::Delegated(ORDERS.to_owned()));
        evidence::missing_of_director(TufError::Trust(error))
    })?;
    let against = Against { director: Sha256::of(&root), kept: record.bundle(), now };
    Ok(Bundle::open(&stick.index, (&role.authority, &DeviceVerifier), &against)?)
}

pub(crate) fn disk(error: &dyn std::fmt::Display) -> Blocked {
    Blocked { code: Text::lossy("state-not-stored"), sentence: Text::lossy(&error.to_string()) }
}

/// Whether an act may be done without a server at all, before it begins.
pub(crate) fn may_begin(opened: &Opened, expect_server: bool) -> Result<(), BundleFault> {
    let Some((order, release)) = opened.evidence.read() else { return Ok(()) };
    let id = || opened.offer.order.clone();
    if order.permit_s.is_some() {
        return Err(BundleFault::NeedsPermit { order: id() });
    }
    if release.confirm == Confirm::Checkin && !expect_server {
        Err(BundleFault::NeedsServer { order: id() })
    } else {
        Ok(())
    }
}
