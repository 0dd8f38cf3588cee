//! Everything on this server that ends, gathered for the API, the console and the log.
//!
//! Read anew each time: it is asked for by people, and by one job an hour. Read next: `cordon_server_core::expiry`.

use cordon_proto::ids::Text;
use cordon_proto::limits;
use cordon_server_core::change::{Index, Kind};
use cordon_server_core::expiry::{Lapse, What, Whose};

use crate::app::{ApiToken, App};
use crate::http::operator::Operator;
use crate::repositories::PublishError;
use crate::store::{Cursor, StoreError};

/// Everything that ends, in no order.
pub async fn all(operator: &Operator) -> Result<Vec<Lapse>, PublishError> {
    let now = operator.app.clock.now();
    let mut ends = operator.repositories.ends(now).await?;
    ends.extend(authorities(&operator.app));
    ends.extend(tokens(&operator.app).await?);
    ends.extend(holds(operator));
    Ok(ends)
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
