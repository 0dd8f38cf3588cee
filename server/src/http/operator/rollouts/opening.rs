//! What is asked before a rollout begins: gathers what the rules in `cordon_server_core::rollout::ready` are about.
//!
//! Nothing is decided here. What it finds may change the next moment; devices ask again. Read next: `rollouts/create`
//! for what is asked of the orders and their lists.

use std::collections::BTreeMap;

use cordon_proto::ids::{Name, TargetPath};
use cordon_proto::update::order::Order;
use cordon_server_core::rollout::{Listed, ready as judge};

use super::Operator;
use crate::http::problem::Problem;
use crate::rollouts::{RolloutError, Wanted};

/// Whether release, image and devices of a rollout are what its orders say. An order that is not live is left to
/// `create`, which expects the very orders that it reads.
pub(super) async fn ready(operator: &Operator, wanted: &Wanted) -> Result<(), Problem> {
    let app = &operator.app;
    operator.rollouts.read_orders(app.clock.now()).await?;
    let listed = listed(operator).await?;
    for (_, id, devices) in &wanted.waves {
        let order: Option<Order> = operator.rollouts.look(|book| book.orders.get(id).cloned());
        let Some(order) = order else { continue };
        let release = listed.get(&(order.repository.clone(), order.image.release.clone()));
        let blob = app.blobs.get(order.image.sha256).await.map_err(|error| Problem::internal(&error))?;
        let members: Vec<_> = devices.iter().filter_map(|(device, _)| app.fleet.get(*device)).collect();
        let models = members.iter().map(|member| (member.id(), &member.device.hardware.model));
        judge(&order, release, blob.is_some(), models).map_err(RolloutError::from)?;
    }
    Ok(())
}

/// What makers list in all that was imported.
async fn listed(operator: &Operator) -> Result<BTreeMap<(Name, TargetPath), Listed>, Problem> {
    let releases = operator.repositories.releases().await?.into_iter();
    let listed = releases.map(|known| {
        let listed =
            Listed { model: known.model, sha256: known.sha256, length: known.length, still: known.listed };
        ((known.repository, known.release), listed)
    });
    Ok(listed.collect())
}
