//! The follower: brings what other servers commit into this one's memory, and says how fresh that memory is.
//!
//! One task reads `changes` from the revision before the views were rebuilt, loads the documents that it does not
//! hold yet and hands them to the fleet and to the book of rollouts, with all that follows from a change: connections
//! end, devices wake, pages look again. Own commits are in the views when they return; meeting them here again
//! changes nothing. On a store that others write too, a view that was not up to date for a second is not believed:
//! the device plane answers 503 ([`Following::is_stale`]), so that a quarantine bites everywhere or nobody is served.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cordon_proto::limits;
use cordon_server_core::change::{Changed, Kind};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::app::App;
use crate::fleet::Followed;
use crate::http::operator::Operator;
use crate::log::chain;
use crate::repositories::{self, PublishError};
use crate::rollouts::{Concerned, RolloutError};
use crate::store::{Change, Feed, Key, Revision, Store, StoreError};

#[cfg(test)]
mod tests;

/// Documents asked for at once.
const AT_ONCE: usize = 16;
/// How long a look at the store may take before it is given up and tried again.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(limits::FOLLOW_MS);
/// Pause after a hint: commits that come together are read together.
const GATHER: Duration = Duration::from_millis(20);
/// From this age on a view is not believed.
const LIMIT: Duration = Duration::from_millis(limits::VIEW_AGE_MS);

/// How fresh this server's memory is.
#[derive(Debug)]
pub struct Following {
    shared: bool,
    begun: Revision,
    fresh: Mutex<Instant>,
}

impl Following {
    /// Of a store that others write too, or not; `begun` is its last transaction before anything was read.
    #[must_use]
    pub fn new(shared: bool, begun: Revision) -> Self {
        Self { shared, begun, fresh: Mutex::new(Instant::now()) }
    }

    /// Whether other servers write the store too.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// How long ago the views were known to hold everything that was committed; nothing where nobody else commits.
    #[must_use]
    pub fn age(&self) -> Duration {
        let fresh = *self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared { fresh.elapsed() } else { Duration::ZERO }
    }

    /// Whether the views are too old to decide by.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.age() > LIMIT
    }

    /// The views hold everything that was committed before `asked`.
    fn up_to_date(&self, asked: Instant) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        *fresh = asked.max(*fresh);
    }
}

/// Where the follower is after one look.
struct Look {
    after: Revision,
    /// Whether there was nothing more.
    whole: bool,
}

/// The last thing that happened to a key.
struct Touch {
    key: Key,
    revision: Revision,
    deleted: bool,
}

/// Follows until the server drains.
pub async fn run(operator: Operator) {
    let app = operator.app.clone();
    let mut latest = app.store.latest();
    let mut after = app.following.begun;
    let mut failing = false;
    while !app.is_draining() {
        // Everything committed before the question is in a whole answer; what comes while it travels may not be.
        let asked = Instant::now();
        match look(&operator, after).await {
            Ok(look) => {
                after = look.after;
                if std::mem::take(&mut failing) {
                    tracing::info!("the store answers again, and what other servers did is known here");
                }
                if !look.whole {
                    continue;
                }
                app.following.up_to_date(asked);
            }
            Err(error) if !failing => {
                failing = true;
                tracing::error!(
                    error = chain(&error),
                    "what other servers do cannot be followed; tried again"
                );
            }
            Err(_) => {}
        }
        pause(&app, &mut latest, failing).await;
    }
}

/// Looks until there is nothing more, from `after` or else from the start of this server, for whoever keeps the time
/// instead of [`run`]. Says from where the next look goes on.
pub async fn catch_up(operator: &Operator, after: Option<Revision>) -> Result<Revision, StoreError> {
    let mut after = after.unwrap_or(operator.app.following.begun);
    loop {
        let asked = Instant::now();
        let look = look(operator, after).await?;
        after = look.after;
        if look.whole {
            operator.app.following.up_to_date(asked);
            return Ok(after);
        }
    }
}

/// Waits until a look is worth while. Where nobody else commits, only a commit of our own is worth one.
async fn pause(app: &App, latest: &mut watch::Receiver<Revision>, failing: bool) {
    let shared = app.following.is_shared();
    let hint = async {
        if latest.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        sleep(if shared { GATHER } else { PAUSE }).await;
    };
    tokio::select! {
        () = app.drained() => {}
        () = hint => {}
        () = sleep(PAUSE), if shared || failing => {}
    }
}

/// One page of changes, or everything anew if they are forgotten.
async fn look(operator: &Operator, after: Revision) -> Result<Look, StoreError> {
    let asked = operator.app.store.changes(after, limits::PAGE_ROWS);
    let feed = timeout(PATIENCE, asked)
        .await
        .map_err(|late| StoreError::unavailable("say what changed", late))??;
    let whole = feed.is_whole(limits::PAGE_ROWS);
    match feed {
        Feed::Commits(commits) => {
            take(operator, &commits).await?;
            let after = commits.last().map_or(after, |commit| commit.revision);
            Ok(Look { after, whole })
        }
        Feed::Gone { resume } => {
            tracing::warn!("changes were forgotten before they were followed; everything is read anew");
            rebuild(operator, resume).await?;
            Ok(Look { after: resume, whole })
        }
    }
}

/// Takes in what some commits changed, as far as it is not held already.
async fn take(operator: &Operator, commits: &[Changed]) -> Result<(), StoreError> {
    let Operator { app, rollouts, repositories: _ } = operator;
    let last = last_touches(commits);
    let orders = last.iter().any(|touch| moves_orders(operator, touch));
    let is_news = |touch: &Touch| {
        let held = app.fleet.has(&touch.key, touch.revision) && rollouts.has(&touch.key, touch.revision);
        let known = app.knowledge.has(&touch.key, touch.revision) && app.risk.has(&touch.key, touch.revision);
        !(held && known)
    };
    let loads: Vec<_> =
        last.into_iter().filter(is_news).map(|touch| load(app.store.clone(), touch)).collect();
    let loaded: Vec<_> = stream::iter(loads).buffer_unordered(AT_ONCE).try_collect().await?;
    // In the order of keys a device comes before what belongs to it.
    let mut loaded: Vec<(Change, Revision)> = loaded.into_iter().flatten().collect();
    loaded.sort_by(|(one, _), (other, _)| one.key().cmp(other.key()));
    let (mut followed, mut concerned) = (Followed::default(), Concerned::default());
    for (change, revision) in &loaded {
        app.knowledge.follow([change], *revision);
        followed.add(app.fleet.follow([change], *revision));
        concerned.add(rollouts.follow(change, *revision));
        concerned.changed |= app.risk.follow([change], *revision);
    }
    if orders {
        let others = read_orders(operator).await?;
        concerned.everybody |= others;
        concerned.changed = true;
    }
    tell(app, followed, concerned);
    Ok(())
}

/// A document as it is now, with the transaction that wrote it; nothing if it went meanwhile, which a later change says.
async fn load(store: Arc<dyn Store>, touch: Touch) -> Result<Option<(Change, Revision)>, StoreError> {
    let Touch { key, revision, deleted } = touch;
    if deleted {
        return Ok(Some((Change::Delete(key), revision)));
    }
    let row = store.get(key.clone()).await?;
    Ok(row.map(|row| (Change::Put(key, row.body), row.revision)))
}

/// What became of each key in the end.
fn last_touches(commits: &[Changed]) -> Vec<Touch> {
    let mut last = BTreeMap::new();
    for commit in commits {
        last.extend(commit.keys.iter().map(|touched| (&touched.key, (commit.revision, touched.deleted))));
    }
    let touch = |(key, (revision, deleted)): (&Key, _)| Touch { key: key.clone(), revision, deleted };
    last.into_iter().map(touch).collect()
}

/// Whether a key is of what the live orders and releases are read from. Own publications have been read already.
fn moves_orders(operator: &Operator, touch: &Touch) -> bool {
    match &touch.key {
        Key::Meta(name) => {
            name.as_str() == repositories::DIRECTOR && operator.rollouts.orders_of() < touch.revision
        }
        key => key.kind() == Kind::Release,
    }
}

/// Reads the orders anew. Orders that cannot be read are somebody's mistake, and no reason to follow nothing else.
async fn read_orders(operator: &Operator) -> Result<bool, StoreError> {
    match operator.rollouts.read_orders(operator.app.clock.now()).await {
        Ok(others) => Ok(others),
        Err(RolloutError::Store(error) | RolloutError::Orders(PublishError::Store(error))) => Err(error),
        Err(error) => {
            tracing::error!(error = chain(&error), "the orders could not be read anew");
            Ok(false)
        }
    }
}

/// Everything anew. Documents are merged into the views one by one, later ones never replaced, so that no reader ever
/// sees half a fleet; what is gone goes at the end.
async fn rebuild(operator: &Operator, upto: Revision) -> Result<(), StoreError> {
    let Operator { app, rollouts, repositories: _ } = operator;
    let (mut followed, read) = app.rebuild().await?;
    followed.add(app.fleet.forget_all_but(&read, upto));
    let mut concerned = rollouts.rebuild(upto).await?;
    concerned.everybody |= read_orders(operator).await?;
    tell(app, followed, concerned);
    Ok(())
}

/// What follows from changes for those outside.
fn tell(app: &Arc<App>, followed: Followed, concerned: Concerned) {
    app.after(followed);
    if concerned.changed {
        app.fleet.nudge();
    }
    if concerned.everybody {
        app.waits.ring_all(app.fleet.all().iter().map(|member| member.id()));
    } else {
        app.waits.ring_all(concerned.devices);
    }
}
