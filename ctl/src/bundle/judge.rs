//! Each act of a bundle as a device judges it: both chains followed inside the folder, then the devices' own decision.
//!
//! The device is made up so that the act is meant for it; whatever this one refuses, every device refuses. What only a
//! real device knows (its counter, its model, what it gave up) stays its own matter. Trust comes from the people's own
//! folders: the owner's roots always, the maker's where it is given. Read next: [`super::verify`], [`super::walk`].

use std::collections::BTreeSet;
use std::path::Path;

use cordon_proto::canonical::Value;
use cordon_proto::checkin::{Action, ScopeProof};
use cordon_proto::ids::{HardwareId, Name, Sha256, TargetPath, Text};
use cordon_proto::limits;
use cordon_proto::update::bundle::{self, Bundle, BundleFault};
use cordon_proto::update::decide::{Case, ConfirmedOrder, Device, decide, decide_back};
use cordon_proto::update::order::Order;
use cordon_proto::update::refusal::Refusal;
use cordon_proto::update::release::Release;
use cordon_proto::update::scope::Scope;
use cordon_proto::update::unreadable::Unreadable;
use cordon_proto::update::{Freshness, Request, Role, Rules, name};

use super::walk::{Ends, MAKER_RENEWS, ORDER_RENEWS, OWNER_RENEWS, Walked};
use crate::arguments::read_file;
use crate::chain::{Director, ORDERS, entry, no_example, orders_role};
use crate::failure::Failure;
use crate::folder::Folder;

/// Bytes of a hardware identity in the list of a scope.
const IDENTITY_BYTES: usize = 32;

/// A bundle that lies in a folder, its index proved and its files measured.
pub struct Stick<'a> {
    /// The folder.
    pub folder: &'a Path,
    /// The index.
    pub index: &'a Bundle,
    /// The index's own bytes.
    pub bytes: &'a [u8],
}

/// Whom the judge trusts, from the people's own folders.
pub struct Trust<'a> {
    /// The owner.
    pub director: &'a Director,
    /// The maker's folder, where it is at hand.
    pub image: Option<&'a Path>,
    /// Whether example keys may stand in a root.
    pub example_keys: bool,
    /// The rules of a device online.
    pub rules: Rules<'static>,
}

/// What was found good.
pub struct Judged {
    /// The maker's first root that was believed: repository, SHA-256, and whether it is the own copy.
    pub makers: Vec<(Name, Sha256, bool)>,
    /// When what the bundle stands on ends.
    pub ends: Ends,
}

impl Stick<'_> {
    /// A listed file of at most `limit` bytes, measured; nothing for one that is not listed, whatever lies there.
    fn file(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        let Some(listed) = self.index.file(path) else { return Ok(None) };
        if usize::try_from(listed.length).is_ok_and(|length| length <= limit) {
            let bytes = read_file(&self.folder.join(path), listed.length)?;
            bundle::check(path, listed, &bytes)?;
            return Ok(Some(bytes));
        }
        let detail = format!("{path} is longer than the {limit} bytes that a device reads of it");
        Err(Failure::refused("file too long", detail))
    }

    fn fetch(&self, inside: &str, request: &Request) -> Result<Option<Vec<u8>>, Failure> {
        self.file(&format!("{inside}/{}", request.path), request.limit)
    }

    /// The lowest version of a maker's root in the bundle.
    fn first_root(&self, inside: &str) -> Result<Vec<u8>, Failure> {
        let ending = format!(".{}", name::file(&Role::Root));
        let version = |path: &TargetPath| {
            let file = path.as_str().strip_prefix(inside)?.strip_prefix('/')?;
            file.strip_suffix(&ending)?.parse::<u64>().ok()
        };
        let first = self.index.files.keys().filter_map(version).min().unwrap_or(1);
        let path = format!("{inside}/{}", name::path(&Role::Root, first, true));
        let missing = || Failure::from(BundleFault::Missing { path: Text::lossy(&path) });
        self.file(&path, limits::DEVICE_ROOT_BYTES)?.ok_or_else(missing)
    }
}

/// Judges every act of a bundle.
///
/// # Errors
/// The first thing that every device would refuse.
pub fn judge(stick: &Stick<'_>, trust: &Trust<'_>) -> Result<Judged, Failure> {
    let first = held(stick, trust.director)?;
    let freshness = Freshness::Bundle { expires: stick.index.expires };
    let fetch = |request: &Request| stick.fetch("director", request);
    let mut owner = Walked::follow(&first, Rules { freshness, ..trust.rules }, &fetch)?;
    signed_by_its_own_chain(stick, &owner, trust)?;
    let mut judged = Judged { makers: Vec::new(), ends: Ends::default() };
    let mut acts = Vec::new();
    for (action, id) in stick.index.offers() {
        acts.push((action, read_order(&mut owner, &id)?));
    }
    judged.ends.documents("the owner's", owner.ends(), OWNER_RENEWS);
    let repositories: BTreeSet<Name> = acts.iter().map(|(_, order)| order.repository.clone()).collect();
    for repository in repositories {
        let inside = format!("image/{repository}");
        let (root, own) = match trust.image {
            Some(folder) => (first_of(&Folder::open(folder)?)?, true),
            None => (stick.first_root(&inside)?, false),
        };
        let fetch = |request: &Request| stick.fetch(&inside, request);
        let mut maker = Walked::follow(&root, trust.rules, &fetch)?;
        no_example(maker.trusted().root(), trust.example_keys)?;
        for (action, order) in acts.iter().filter(|(_, order)| order.repository == repository) {
            act(stick, (*action, order), &mut maker, &trust.rules)?;
            let (what, end) = end_of(*action, order);
            judged.ends.note(what, end, ORDER_RENEWS);
        }
        judged.ends.documents(&format!("{repository}'s"), maker.ends(), MAKER_RENEWS);
        judged.makers.push((repository, Sha256::of(&root), own));
    }
    Ok(judged)
}

/// What ends with an act: the order itself, or its way back.
#[must_use]
pub fn end_of(action: Action, order: &Order) -> (String, cordon_proto::time::Timestamp) {
    match (action, &order.back) {
        (Action::Back, Some(back)) => (format!("the way back of order {}", order.id), back.until),
        (Action::Back, None) | (Action::Install, _) => (format!("order {}", order.id), order.expires),
    }
}

fn first_of(folder: &Folder) -> Result<Vec<u8>, Failure> {
    folder.role(&Role::Root, folder.versions(&Role::Root)?.first().copied().unwrap_or(1))
}

/// Every root of the owner is in the bundle as it is in the own folder: a device that trusts any of them starts there.
/// Returns the first.
fn held(stick: &Stick<'_>, director: &Director) -> Result<Vec<u8>, Failure> {
    for version in director.folder.versions(&Role::Root)? {
        let path = format!("director/{}", name::path(&Role::Root, version, true));
        let own = Sha256::of(&director.folder.role(&Role::Root, version)?);
        if stick.index.file(&path).is_none_or(|listed| listed.sha256 != own) {
            let detail = format!(
                "{path} is not in the bundle as it is in your folder: a device that trusts this root refuses the bundle; make it anew from a folder with all roots"
            );
            return Err(Failure::refused("root missing", detail));
        }
    }
    first_of(&director.folder)
}

/// A device learns who signs bundles from the bundle's own copy of the owner's targets role.
fn signed_by_its_own_chain(stick: &Stick<'_>, owner: &Walked<'_>, trust: &Trust<'_>) -> Result<(), Failure> {
    let missing = || Failure::from(cordon_proto::update::Fault::NotDelegated.of(orders_role()));
    let role = owner.trusted().targets().delegations.role(ORDERS).ok_or_else(missing)?;
    let kept = bundle::Kept { counter: 0, digest: None };
    let against = bundle::Against { director: stick.index.director, kept, now: trust.rules.now };
    Bundle::open(stick.bytes, (&role.authority, trust.rules.verifier), &against)?;
    Ok(())
}

fn refused(refusal: &Refusal) -> Failure {
    Failure::refused(refusal.code(), format!("every device would refuse this bundle: {refusal}"))
}

fn read_order(owner: &mut Walked<'_>, id: &Name) -> Result<Order, Failure> {
    let path = Order::path_of(id);
    let found = owner.find(&path)?.ok_or_else(|| refused(&Refusal::OrderNotListed { order: id.clone() }))?;
    let order = Order::read(entry(&path, &found.file, &Value::Null)?, found.document_expires);
    order.map_err(|why| refused(&Refusal::OrderUnreadable { order: id.clone(), why }))
}

/// One act: what a device for which it is meant would say, and what it would miss in the folder.
fn act(
    stick: &Stick<'_>,
    (action, order): (Action, &Order),
    maker: &mut Walked<'_>,
    rules: &Rules<'_>,
) -> Result<(), Failure> {
    let offer = bundle::offer_path(action, &order.id);
    let list = stick.file(offer.as_str(), limits::DEVICE_TARGETS_BYTES)?.unwrap_or_default();
    let wanted = match action {
        Action::Install => Some(&order.image),
        Action::Back => order.back.as_ref().map(|back| &back.image),
    };
    let mut release = None;
    if let Some(image) = wanted {
        let found = maker.find(&image.release)?;
        let read = |file| Ok::<_, Failure>(Release::read(entry(&image.release, file, &Value::Null)?));
        release = found.as_ref().map(|found| read(&found.file)).transpose()?;
    }
    let fitting = Fitting::new((action, order), release.as_ref(), &list);
    let device = fitting.device();
    let ordered: Result<Order, Unreadable> = Ok(order.clone());
    let case = Case {
        id: &order.id,
        order: Some(&ordered),
        release: release.as_ref(),
        proof: fitting.proof.as_ref(),
        device: &device,
    };
    let cleared = match action {
        Action::Install => decide(&case, rules.now),
        Action::Back => decide_back(&case, rules.now),
    };
    let cleared = cleared.map_err(|refusal| refused(&refusal))?;
    if cleared.permit_s.is_some() {
        return Err(BundleFault::NeedsPermit { order: order.id.clone() }.into());
    }
    let path = bundle::image_path(cleared.image.sha256);
    match stick.index.files.get(&path) {
        None => Err(BundleFault::Missing { path: Text::lossy(path.as_str()) }.into()),
        // Its hash is its name, and was measured.
        Some(_) => Ok(()),
    }
}

/// A device for which an act is meant.
struct Fitting {
    identity: HardwareId,
    proof: Option<ScopeProof>,
    model: Text,
    revision: Text,
    counter: u64,
    sha256: Sha256,
    confirmed: Option<ConfirmedOrder>,
}

impl Fitting {
    fn new(
        (action, order): (Action, &Order),
        release: Option<&Result<Release, Unreadable>>,
        list: &[u8],
    ) -> Self {
        let release = release.and_then(|release| release.as_ref().ok());
        let first: Option<[u8; IDENTITY_BYTES]> = list.first_chunk().copied();
        let identity = HardwareId(first.unwrap_or([0; IDENTITY_BYTES]));
        let (model, revision, least) = match &order.scope {
            Scope::Match { model, hardware, from_least, .. } => {
                (Some(model.clone()), Some(hardware.clone()), *from_least)
            }
            Scope::Set { .. } => {
                let revision = release.and_then(|release| release.hardware.first().cloned());
                (release.map(|release| release.model.clone()), revision, 0)
            }
        };
        let least = release.map_or(least, |release| least.max(release.min_from));
        let back = action == Action::Back;
        let sha256 = order.image.sha256;
        Self {
            proof: bundle::proof_from(list, &identity),
            identity,
            model: model.unwrap_or_else(|| Text::lossy("")),
            revision: revision.unwrap_or_else(|| Text::lossy("")),
            // On the way back it runs the order's image, which is newer than the one it goes back to.
            counter: if back { u64::MAX } else { least },
            sha256: if back { sha256 } else { Sha256([0; 32]) },
            confirmed: back.then(|| ConfirmedOrder { order: order.id.clone(), sha256 }),
        }
    }

    fn device(&self) -> Device<'_> {
        Device {
            identity: self.identity,
            model: &self.model,
            revision: &self.revision,
            counter: self.counter,
            sha256: self.sha256,
            floor: 0,
            confirmed: self.confirmed.as_ref(),
            given_up: &[],
        }
    }
}
