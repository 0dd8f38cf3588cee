//! Rollouts at work: the book of orders, rollouts, progress and holds in memory, every change a commit first.
//!
//! What a device is told, who gets the go and when a rollout stops itself are decided in `server/core`'s `rollout`;
//! this file loads, commits and only then changes its memory. The book is rebuilt from the store at start and follows
//! what other servers commit. Its lock is never held across a commit: commits expect what was read, and a conflict
//! is loaded again. Read next: `shelf` for the book, `people` for what people do, `steps` for what
//! the server does by itself, `http/device` for what a check-in is answered with.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};

use cordon_proto::checkin::CheckinRequest;
use cordon_proto::ids::{DeviceId, HardwareId, Name, Sha256, Text};
use cordon_proto::time::Timestamp;
use cordon_proto::update::order::Order;
use cordon_server_core::audit::{Entry, Summary};
use cordon_server_core::change::{Commit, Draft, Index, Key, Malformed};
use cordon_server_core::device::{Device, Report};
use cordon_server_core::risk::gather::{Newest, newest_of};
use cordon_server_core::rollout::{
    Acceptance, Book, Contents, NotReady, OtherList, Policy, Rollout, RolloutKind, Told, USUAL_PRIORITY,
    content_name,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::app::{App, Director, Orders};
use crate::appraisal::Published;
use crate::fleet::Member;
use crate::people::Doer;
use crate::repositories::{PublishError, Repositories};
use crate::store::{Answer, Change, Cursor, Expected, Revision, Store, StoreError};

mod at_check_in;
mod create;
mod elsewhere;
mod holds;
mod people;
mod shelf;
mod steps;

use self::at_check_in::Giving;
pub use self::people::{Deed, seen};
use self::shelf::Shelf;
pub use self::shelf::{AsSeen, Concerned};
pub use self::steps::{Ticked, Turn};

/// The book and the store behind it.
#[derive(Clone)]
pub struct Rollouts {
    store: Arc<dyn Store>,
    repositories: Repositories,
    book: Arc<RwLock<Shelf>>,
    /// One reading of the orders at a time: a slower one must not bring back what a faster one replaced.
    reading: Arc<tokio::sync::Mutex<()>>,
    /// Who gives gos now.
    giving: Arc<Giving>,
    /// When the rollouts that have ended were last looked at for late receipts.
    looked_back: Arc<Mutex<Option<Timestamp>>>,
    /// The server that this is a part of, for what devices say of themselves and to wake them.
    app: Arc<OnceLock<Weak<App>>>,
}

/// How often an act of a person is decided anew when somebody else was faster.
const TRIES: u32 = 8;

/// A wave's name, its order, its devices.
pub type WaveWanted = (String, Name, Vec<(DeviceId, HardwareId)>);

/// What a person asks for when a rollout begins.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its name.
    pub id: Name,
    /// What people call it.
    pub title: String,
    /// The waves: name, order, devices. Several waves may share one order.
    pub waves: Vec<WaveWanted>,
    /// The very lists that set orders were signed for, where the waves of an order are only a part of its list.
    pub lists: BTreeMap<Name, Vec<HardwareId>>,
    /// The waves, from 0, that take in enrolled devices which come to fit their order's facts.
    pub joins: BTreeSet<usize>,
    /// Its limits.
    pub policy: Policy,
    /// Of two rollouts for one device the one with the higher number is offered.
    pub priority: u16,
    /// Which devices a person has to accept.
    pub acceptance: Acceptance,
    /// The number of the work order in the hospital's own books.
    pub work_order: Option<String>,
    /// What is rolled out: of a content the waves name its key.
    pub kind: RolloutKind,
}

impl Wanted {
    /// A rollout with everything else as usual.
    #[must_use]
    pub fn new(id: Name, title: String, waves: Vec<WaveWanted>, policy: Policy) -> Self {
        let (lists, joins, acceptance) = (BTreeMap::new(), BTreeSet::new(), Acceptance::None);
        let (priority, work_order, kind) = (USUAL_PRIORITY, None, RolloutKind::Firmware);
        Self { id, title, waves, lists, joins, policy, priority, acceptance, work_order, kind }
    }
}

/// Why a rollout or hold is not changed. Nothing was.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// No order of that name is live.
    #[error("no order `{0}` is live: sign it, and publish the orders document first")]
    NoOrder(Name),
    /// A wave without devices.
    #[error("wave `{0}` has no device")]
    Empty(String),
    /// A device in two waves.
    #[error("device {0} stands in two waves")]
    Twice(DeviceId),
    /// Orders of one rollout that install different releases.
    #[error("the orders of one rollout install one release; `{0}` installs another")]
    OtherRelease(Name),
    /// An order that holds no more.
    #[error("order `{0}` has ended: sign a new one")]
    Ended(Name),
    /// A device that another open rollout wants to bring the same release.
    #[error(
        "device {device} stands in the open rollout `{rollout}` of the same release: finish or abort that one first"
    )]
    Overlap {
        /// The device.
        device: DeviceId,
        /// The rollout.
        rollout: Name,
    },
    /// A device of a wave that is not in its order's list.
    #[error("wave `{0}` has a device that its order was not signed for")]
    Outside(String),
    /// A wave that is to take in who comes to fit, of an order that is for a list.
    #[error("wave `{0}` takes nobody in: its order is for a list, and who is not on it was not signed for")]
    NobodyJoins(String),
    /// What it would carry out is not here, or not what the maker lists.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// A content that is not here, or that devices would not take.
    #[error("content `{content}`: {why}")]
    Unfit {
        /// The content.
        content: Name,
        /// Why.
        why: String,
    },
    /// None of its orders has a way back that is open.
    #[error("no order of this rollout has a way back that is still open: order a newer release instead")]
    NoWayBack,
    /// A device is not one that has confirmed.
    #[error("only a device that confirmed the release can be accepted; this one has not")]
    NotConfirmed,
    /// Not the list that was signed.
    #[error("wave `{wave}`: {source}")]
    List {
        /// The wave.
        wave: String,
        /// Why.
        #[source]
        source: OtherList,
    },
    /// The name is taken.
    #[error("a rollout `{0}` exists already")]
    Exists(Name),
    /// No such rollout or hold.
    #[error("there is no `{0}` here")]
    Unknown(Name),
    /// The act does not fit the state.
    #[error("the rollout is {0}; it cannot be moved so")]
    State(&'static str),
    /// It stands otherwise than the person saw it.
    #[error("the rollout is {0} by now, which is not what you saw; look at it again before you decide")]
    Moved(&'static str),
    /// It would stop itself at once.
    #[error(
        "it would stop itself again at once: {0}. Send the devices back, abort it, or sign an order for a better release"
    )]
    StillBroken(String),
    /// Another rollout is being created.
    #[error("another rollout is being created at this moment; try again in a few seconds")]
    Busy,
    /// A reason is missing.
    #[error("give a reason of at least 10 characters: the next shift reads it")]
    Reason,
    /// The orders cannot be read.
    #[error(transparent)]
    Orders(#[from] PublishError),
    /// The store cannot.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// More than one transaction holds.
    #[error(transparent)]
    TooMuch(#[from] Malformed),
}

impl RolloutError {
    /// That the owner lists nothing under this name of a wave.
    #[must_use]
    pub fn not_listed(kind: RolloutKind, key: &Name) -> Self {
        match kind {
            RolloutKind::Firmware => Self::NoOrder(key.clone()),
            RolloutKind::Content => Self::Unfit {
                content: content_name(key),
                why: "the owner lists none of this name: sign it, and publish the owner's repository"
                    .to_owned(),
            },
        }
    }

    /// The rule that a refused rollout breaks, as a code for programs; none for what is no rule of a rollout.
    #[must_use]
    pub fn rule(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoOrder(_) => "order_not_listed",
            Self::Ended(_) => "order_expired",
            Self::Empty(_) => "wave_empty",
            Self::Twice(_) => "device_twice",
            Self::OtherRelease(_) => "other_release",
            Self::Overlap { .. } => "device_in_open_rollout",
            Self::Outside(_) => "not_in_scope",
            Self::NobodyJoins(_) => "joins_a_list",
            Self::List { .. } => "other_list",
            Self::NotReady(error) => error.rule(),
            Self::Unfit { .. } => "content_unfit",
            Self::NoWayBack
            | Self::NotConfirmed
            | Self::Exists(_)
            | Self::Unknown(_)
            | Self::State(_)
            | Self::Moved(_)
            | Self::StillBroken(_)
            | Self::Busy
            | Self::Reason
            | Self::Orders(_)
            | Self::Store(_)
            | Self::TooMuch(_) => return None,
        })
    }
}

impl Rollouts {
    /// Rebuilds the book from the store.
    pub async fn load(
        store: Arc<dyn Store>,
        repositories: Repositories,
        now: Timestamp,
    ) -> Result<Self, RolloutError> {
        let rollouts = Self {
            store,
            repositories,
            book: Arc::default(),
            reading: Arc::default(),
            giving: Arc::default(),
            looked_back: Arc::default(),
            app: Arc::default(),
        };
        rollouts.read_documents(true).await?;
        rollouts.read_orders(now).await?;
        rollouts.write(|shelf| shelf.book.there = Some(now));
        Ok(rollouts)
    }

    /// Reads everything anew, after the store has forgotten what changed. `upto` is the last transaction before.
    /// The orders are read by [`Rollouts::read_orders`].
    pub async fn rebuild(&self, upto: Revision) -> Result<Concerned, StoreError> {
        let (mut concerned, read) = self.read_documents(false).await?;
        concerned.add(self.write(|shelf| shelf.forget_all_but(&read, upto)));
        Ok(concerned)
    }

    /// Takes in every stored document, and says which there are. `strict` refuses to begin with a damaged one.
    async fn read_documents(&self, strict: bool) -> Result<(Concerned, HashSet<Key>), StoreError> {
        let (mut concerned, mut read) = (Concerned::default(), HashSet::new());
        for kind in shelf::KINDS {
            let mut from = Some(Cursor::First);
            while let Some(cursor) = from {
                let page = self.store.scan(Index::All(kind), cursor, cordon_proto::limits::PAGE_ROWS).await?;
                for (key, row) in page.rows {
                    let taken = self.write(|shelf| shelf.put(&key, &row.body, row.revision));
                    match taken {
                        Ok(taken) => concerned.add(taken),
                        Err(shelf::Unreadable) if strict => return Err(StoreError::Corrupt(key.to_string())),
                        Err(shelf::Unreadable) => {
                            concerned.add(self.write(|shelf| shelf.remove(&key, row.revision)));
                        }
                    }
                    read.insert(key);
                }
                from = page.next;
            }
        }
        Ok((concerned, read))
    }

    /// Takes in a change that another server may have made; an older one than what is held changes nothing.
    pub fn follow(&self, change: &Change, revision: Revision) -> Concerned {
        self.write(|shelf| shelf.take(change, revision))
    }

    /// Whether what `revision` wrote under this key, or something later, is in the book, or does not belong there.
    #[must_use]
    pub fn has(&self, key: &Key, revision: Revision) -> bool {
        self.read(|shelf| shelf.has(key, revision))
    }

    /// Reads the owner's live orders and the makers' releases anew, after a publication or a renewal. Says whether
    /// the live orders are others than before.
    pub async fn read_orders(&self, now: Timestamp) -> Result<bool, RolloutError> {
        let _alone = self.reading.lock().await;
        let (_, heads) = self.repositories.heads().await?;
        let (orders, version) = self.repositories.orders(now).await?;
        let orders: BTreeMap<Name, Order> =
            orders.into_iter().map(|order| (order.id.clone(), order)).collect();
        let contents = Contents::of(self.repositories.contents(now).await?);
        let releases = self.repositories.releases().await?;
        let newest = newest_of(&releases);
        Ok(self.write(|shelf| {
            let others = shelf.book.orders != orders || shelf.book.contents != contents;
            let before = std::mem::replace(&mut shelf.book.orders, orders);
            shelf.keep_past(before);
            shelf.director_version = version;
            if let Expected::At(revision) = heads {
                shelf.published = revision;
            }
            shelf.newest = newest;
            shelf.images = releases.iter().map(|release| release.sha256).collect();
            shelf.images.extend(contents.as_orders().values().map(|content| content.image.sha256));
            shelf.book.contents = contents;
            others
        }))
    }

    /// The transaction of the publication that the live orders are from, or a later one's.
    #[must_use]
    pub fn orders_of(&self) -> Revision {
        self.read(|shelf| shelf.published)
    }

    /// Whether some release that was taken in names this image.
    #[must_use]
    pub fn knows_image(&self, sha256: &Sha256) -> bool {
        self.read(|shelf| shelf.images.contains(sha256))
    }

    /// What a device is told at its check-in, and the version of the director's timestamp.
    #[must_use]
    pub fn tell(&self, device: &Device, now: Timestamp) -> (Told, u64) {
        self.read(|shelf| (shelf.book.tell(device, now), shelf.director_version))
    }

    /// Says which server this is a part of. Can be done once; later calls change nothing.
    pub fn belong_to(&self, app: &Arc<App>) {
        let _ = self.app.set(Arc::downgrade(app));
    }

    /// A copy of the book, for pages.
    #[must_use]
    pub fn book(&self) -> Book {
        self.read(|shelf| shelf.book.clone())
    }

    /// Looks into the book without copying it; it stays shut for writers meanwhile.
    pub fn look<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        self.read(|shelf| look(&shelf.book))
    }

    /// The newest release of each model.
    #[must_use]
    pub fn newest(&self) -> BTreeMap<Text, Newest> {
        self.read(|shelf| shelf.newest.clone())
    }

    /// What scores depend on beside the devices themselves, as far as it was published; the table of figures is the
    /// operator's to add.
    #[must_use]
    pub fn published(&self) -> Published {
        let app = self.app.get().and_then(Weak::upgrade);
        let matched = app.map(|app| app.knowledge.matched()).unwrap_or_default();
        self.read(|shelf| {
            let rollouts = shelf.book.rollouts.values();
            let waves = rollouts
                .filter(|rollout| rollout.kind == RolloutKind::Firmware)
                .flat_map(|rollout| &rollout.waves);
            let listed = shelf.book.orders.keys().chain(shelf.past.keys()).chain(shelf.book.lists.keys());
            let orders = listed.chain(waves.map(|wave| &wave.order)).cloned().collect();
            Published {
                newest: shelf.newest.clone(),
                orders,
                matched: matched.clone(),
                ..Published::default()
            }
        })
    }

    /// Loads a rollout, changes it, and commits it if nobody was faster.
    async fn change(
        &self,
        id: &Name,
        by: Doer<'_>,
        audit: Entry,
        change: impl Fn(&mut Rollout) -> Result<(), RolloutError>,
    ) -> Result<Rollout, RolloutError> {
        let key = Key::Rollout(id.clone());
        for _ in 0..TRIES {
            let row = self.store.get(key.clone()).await?.ok_or_else(|| RolloutError::Unknown(id.clone()))?;
            let mut rollout: Rollout = read(&key, &row.body)?;
            change(&mut rollout)?;
            let draft = Commit::draft(by.now, by.actor.clone())
                .expect(key.clone(), Expected::At(row.revision))
                .put(key.clone(), body(&rollout))
                .audit(audit.clone());
            match self.commit(draft).await {
                Err(RolloutError::Store(StoreError::Conflict(_))) => {}
                outcome => return outcome.map(|_| rollout),
            }
        }
        Err(StoreError::Conflict(key).into())
    }

    /// Commits, and brings the book after it. Of a caller that went away between the two, the follower hears a moment
    /// later: schedulers are not dropped, and what people do is not in haste.
    async fn commit(&self, draft: Draft) -> Result<Concerned, RolloutError> {
        let commit = draft.finish()?;
        let changes = commit.changes().to_vec();
        let committed = self.store.commit(commit).await?;
        Ok(self.write(|shelf| shelf.follow(&changes, committed.revision)))
    }

    /// Brings one document of the book up to what is stored.
    async fn load_one(&self, key: Key) -> Result<(), RolloutError> {
        if let Some(row) = self.store.get(key.clone()).await? {
            self.take_in(&Change::Put(key, row.body), row.revision);
        }
        Ok(())
    }

    /// The same as [`Rollouts::follow`], for what was met by chance: whom it concerns is woken here, since whoever follows
    /// the store will find that it is known.
    fn take_in(&self, change: &Change, revision: Revision) {
        let concerned = self.follow(change, revision);
        let Some(app) = self.app.get().and_then(Weak::upgrade) else { return };
        if concerned.everybody {
            app.waits.ring_all(app.fleet.all().iter().map(|member| member.id()));
        }
        app.waits.ring_all(concerned.devices);
    }

    fn read<T>(&self, look: impl FnOnce(&Shelf) -> T) -> T {
        look(&self.book.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, act: impl FnOnce(&mut Shelf) -> T) -> T {
        act(&mut self.book.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Director for Rollouts {
    fn orders_for<'a>(
        &'a self,
        app: &'a App,
        member: &'a Member,
        request: &'a CheckinRequest,
        now: Timestamp,
    ) -> Answer<'a, Orders> {
        let device = Device { report: Some(Report::of(request)), ..member.current() };
        Box::pin(async move {
            let told = self.answer(app, &device, now).await;
            let content = self.answer_content(app, &device, now).await;
            Ok(Orders { order: told.order, permit: told.permit, content })
        })
    }

    fn director_version(&self) -> u64 {
        self.read(|shelf| shelf.director_version)
    }

    fn knows_image(&self, sha256: &Sha256) -> bool {
        Self::knows_image(self, sha256)
    }
}

fn good_reason(reason: &str) -> Result<Text, RolloutError> {
    let reason = reason.trim();
    if reason.chars().count() < cordon_server_core::triage::REASON_CHARS_MIN {
        return Err(RolloutError::Reason);
    }
    Ok(Text::lossy(reason))
}

fn entry(action: &str, object: &str, reason: Option<&Text>, after: &str) -> Entry {
    let after = (!after.is_empty()).then(|| Summary::of(after));
    let action = action.parse().expect("a valid name");
    Entry { reason: reason.cloned(), after, ..Entry::new(action, Text::lossy(object)) }
}

fn body<T: Serialize>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document).expect("strings, integers and lists are always JSON")
}

fn read<T: DeserializeOwned>(key: &Key, body: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(body).map_err(|_| StoreError::Corrupt(key.to_string()))
}

#[cfg(test)]
mod content_tests;
#[cfg(test)]
mod later_tests;
#[cfg(test)]
mod review_tests;
#[cfg(test)]
mod schedulers;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(test)]
mod ward;
