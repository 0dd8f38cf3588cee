//! Everything on this server that ends, gathered for the API, the console and the log.
//!
//! Read anew each time: it is asked for by people, and by one job an hour. Read next: `cordon_server_core::expiry`.

use cordon_proto::ids::Text;
use cordon_proto::limits;
use cordon_proto::time::Timestamp;
use cordon_server_core::change::{Index, Kind};
use cordon_server_core::expiry::{Lapse, What, Whose};
use cordon_server_core::feeds::intake::Feed;

use crate::app::{ApiToken, App};
use crate::http::operator::Operator;
use crate::http::operator::risk::versions::spread;
use crate::repositories::PublishError;
use crate::store::{Cursor, StoreError};

/// Everything that ends, in no order.
pub async fn all(operator: &Operator) -> Result<Vec<Lapse>, PublishError> {
    let now = operator.app.clock.now();
    let mut ends = operator.repositories.ends(now).await?;
    ends.extend(authorities(&operator.app));
    ends.extend(tokens(&operator.app).await?);
    ends.extend(holds(operator));
    ends.extend(feeds(&operator.app));
    ends.extend(exceptions(&operator.app).await?);
    ends.extend(support(operator, now).await?);
    Ok(ends)
}

/// Feeds that grow old.
fn feeds(app: &App) -> Vec<Lapse> {
    let feeds = app.knowledge.feeds();
    let lapse = |feed: &Feed| {
        let name = Text::lossy(&format!("the feed {} ({})", feed.name, feed.kind.word()));
        Some(Lapse { what: What::Feed, name, at: feed.stale_at()?, whose: Whose::Staff })
    };
    feeds.iter().filter_map(lapse).collect()
}

fn authorities(app: &App) -> Vec<Lapse> {
    let standing = app.ca.standing();
    let mut ends = Vec::new();
    for ca in standing.in_force() {
        let (issuing, root) = ca.ends();
        for (words, at) in [("the issuing certificate", issuing), ("the root certificate", root)] {
            let name = Text::lossy(&format!("{words} under {}", ca.pin()));
            ends.push(Lapse { what: What::Authority, name, at, whose: Whose::Server });
        }
    }
    ends
}

async fn tokens(app: &App) -> Result<Vec<Lapse>, StoreError> {
    let (mut ends, mut from) = (Vec::new(), Some(Cursor::First));
    while let Some(cursor) = from {
        let page = app.store.scan(Index::All(Kind::ApiToken), cursor, limits::PAGE_ROWS).await?;
        for (_, row) in page.rows {
            let Some(token) = ApiToken::from_body(&row.body) else { continue };
            let name = Text::lossy(&format!("the token {}", token.name));
            ends.extend(token.expires.map(|at| Lapse {
                what: What::ApiToken,
                name,
                at,
                whose: Whose::Staff,
            }));
        }
        from = page.next;
    }
    Ok(ends)
}

/// Accepted risks in force, and those that are over until somebody takes them back: what they covered is covered no more.
async fn exceptions(app: &App) -> Result<Vec<Lapse>, StoreError> {
    let all = crate::exceptions::all(app).await?;
    let ends = all.iter().filter(|exception| exception.is_announced()).map(|exception| {
        let words = format!(
            "exception {}: {}, accepted by {}",
            exception.id,
            exception.about.name(),
            exception.owner
        );
        Lapse { what: What::Exception, name: Text::lossy(&words), at: exception.until, whose: Whose::Staff }
    });
    Ok(ends.collect())
}

/// The ends of the maker's support of every release that devices run: the next of each, and what is over.
async fn support(operator: &Operator, now: Timestamp) -> Result<Vec<Lapse>, StoreError> {
    let releases = operator.repositories.releases().await?;
    let mut ends = Vec::new();
    for row in spread(operator, None, &releases, now) {
        let Some(at) = row.support.next_end(now) else { continue };
        let devices =
            if row.devices == 1 { "1 device".to_owned() } else { format!("{} devices", row.devices) };
        let release = row.release.as_deref().unwrap_or("what runs");
        let name = Text::lossy(&format!("support of {release}, on {devices}"));
        ends.push(Lapse { what: What::Support, name, at, whose: Whose::Maker });
    }
    Ok(ends)
}

/// Holds, and for a week those that are over: what they covered may reboot, and somebody may have relied on them.
fn holds(operator: &Operator) -> Vec<Lapse> {
    operator.rollouts.look(|book| {
        let ends = book.holds.values().filter_map(|hold| {
            let name = Text::lossy(&format!("hold {}: {}", hold.id, hold.reason));
            Some(Lapse { what: What::Hold, name, at: hold.until?, whose: Whose::Staff })
        });
        ends.collect()
    })
}
