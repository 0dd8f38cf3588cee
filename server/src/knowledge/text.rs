//! The texts of records, read from the files of feeds when somebody asks.
//!
//! Read next: `matching::osv_text` in `server/core`.

use std::collections::BTreeSet;

use cordon_server_core::exposure::Spot;
use cordon_server_core::exposure::topic::Topic;
use cordon_server_core::matching::osv_text::{self, Text};
use futures_util::StreamExt;

use super::{Knowledge, Matched};

/// Records whose texts are read for one answer.
const RECORDS: usize = 20;

/// What the records of a topic say to people. A text that cannot be read is left out: it decides nothing.
pub async fn texts(knowledge: &Knowledge, matched: &Matched, topic: &Topic) -> Vec<Text> {
    let Some(made) = matched.made.as_deref() else { return Vec::new() };
    let world = &made.world;
    let numbers: BTreeSet<usize> = topic
        .groups
        .iter()
        .flat_map(|group| world.index.statements(*group))
        .map(|said| said.number)
        .collect();
    let spots = numbers.into_iter().filter_map(|number| *world.spots.get(number)?);
    let mut texts = Vec::new();
    for spot in spots.take(RECORDS) {
        if let Some(bytes) = bytes(knowledge, matched, spot).await {
            texts.extend(osv_text::read(&bytes));
        }
    }
    texts
}

async fn bytes(knowledge: &Knowledge, matched: &Matched, spot: Spot) -> Option<Vec<u8>> {
    let (_, sha256) = matched.made.as_deref()?.feeds.get(usize::from(spot.feed))?;
    let blob = knowledge.files.get(*sha256).await.ok()??;
    let mut bytes = Vec::new();
    let mut pieces = std::pin::pin!(blob.stream(spot.at, u64::from(spot.length)));
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece.ok()?);
    }
    Some(bytes)
}
