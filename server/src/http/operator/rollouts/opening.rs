//! What is asked before a rollout begins: gathers what the rules in `cordon_server_core::rollout::ready` are about.
//!
//! Nothing is decided here. What it finds may change the next moment; devices ask again. Read next: `rollouts/create`
//! for what is asked of the orders and their lists.

use std::collections::BTreeMap;

use cordon_proto::ids::{Name, Sha256, TargetPath};
use cordon_proto::update::content::{Assignment, Content};
use cordon_proto::update::order::Order;
use cordon_server_core::rollout::{Listed, RolloutKind, content_name, ready as judge};

use super::Operator;
use crate::http::problem::Problem;
use crate::rollouts::{RolloutError, Wanted};

/// Whether release, image and devices of a rollout are what its orders say. An order that is not live is left to
/// `create`, which expects the very orders that it reads.
pub(super) async fn ready(operator: &Operator, wanted: &Wanted) -> Result<(), Problem> {
    let app = &operator.app;
    operator.rollouts.read_orders(app.clock.now()).await?;
    if wanted.kind == RolloutKind::Content {
        return contents_ready(operator, wanted).await;
    }
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

/// Whether the document of each content is here, and one that the devices of its wave would take: read with their code.
async fn contents_ready(operator: &Operator, wanted: &Wanted) -> Result<(), Problem> {
    let app = &operator.app;
    for (_, key, devices) in &wanted.waves {
        let found = operator.rollouts.look(|book| {
            Some((book.contents.as_orders().get(key)?.image.clone(), book.contents.version(key)?))
        });
        let unfit = |why: String| RolloutError::Unfit { content: content_name(key), why };
        let (image, version) = found.ok_or_else(|| RolloutError::not_listed(wanted.kind, key))?;
        let blob = app.blobs.get(image.sha256).await.map_err(|error| Problem::internal(&error))?;
        let absent = || unfit("its document is not here: publish the owner's repository again".to_owned());
        let bytes = blob.ok_or_else(absent)?.piece(0).await.map_err(|error| Problem::internal(&error))?;
        let content = Content::read(&bytes).map_err(|error| unfit(error.to_string()))?;
        let signed = Assignment::id_of(&image.release);
        if Sha256::of(&bytes) != image.sha256 || signed != Some(content.id) || content.version != version {
            return Err(unfit("its document is not the one that was signed".to_owned()).into());
        }
        let mut members = devices.iter().filter_map(|(device, _)| app.fleet.get(*device));
        if let Some(other) = members.find(|member| member.device.hardware.model != content.model) {
            let why = format!("device {} is no {}: take it out of the list", other.id(), content.model);
            return Err(unfit(why).into());
        }
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
