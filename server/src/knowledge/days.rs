//! Keeping the first day on which each weakness was found here, so that a due date never slides.
//!
//! Whoever is faster of two servers writes it; the other reads it and finds nothing new. Read next: `exposure::since` in
//! `server/core`.

use std::collections::BTreeSet;
use std::sync::Arc;

use cordon_proto::ids::Name;
use cordon_proto::time::Timestamp;
use cordon_server_core::change::Commit;
use cordon_server_core::exposure::answers::Sure;
use cordon_server_core::exposure::{Word, since};

use super::Knowledge;
use super::matched::Made;
use crate::app::{App, CommitError, name, server};
use crate::store::{Expected, Key, Revision};

const PREFIX: &str = "weakness-days-";

/// The document of a shelf.
pub(super) fn key(shelf: u8) -> Key {
    Key::Meta(name(&format!("{PREFIX}{shelf}")))
}

/// The shelf of a document, if it is one of these.
pub(super) fn shelf(name: &Name) -> Option<u8> {
    let shelf: u8 = name.as_str().strip_prefix(PREFIX)?.parse().ok()?;
    (shelf < since::SHELVES).then_some(shelf)
}

impl Knowledge {
    /// Writes down which weaknesses are found today for the first time.
    pub(super) async fn write_days(&self, app: &App, made: &Arc<Made>) -> Result<(), CommitError> {
        let found = self.found(made);
        let pairs = || found.iter().map(|(weakness, source)| (weakness.as_str(), source.as_str()));
        let now: Timestamp = app.clock.now();
        let (changed, held) = self.read(|state| (state.since.with(pairs(), now), state.days.clone()));
        for (shelf, body) in changed {
            let revision: Option<&Revision> = held.get(&shelf);
            let expected = revision.map_or(Expected::Absent, |revision| Expected::At(*revision));
            let draft = Commit::draft(now, server("knowledge")).expect(key(shelf), expected);
            match app.commit(draft.put(key(shelf), body)).await {
                // Another server was faster; what it wrote comes in by itself.
                Err(error) if error.is_conflict() => {}
                outcome => drop(outcome?),
            }
        }
        Ok(())
    }

    /// All that is found in the fleet: weakness and package.
    fn found(&self, made: &Arc<Made>) -> BTreeSet<(String, String)> {
        let mut found = BTreeSet::new();
        self.holding(|holdings| {
            for (number, component) in holdings.components() {
                for hit in &made.hits(number, component).hits {
                    if matches!(hit.sure, Sure::Affected(_)) {
                        found.insert((
                            made.world.index.group_name(hit.group).to_owned(),
                            component.name.clone(),
                        ));
                    }
                }
            }
        });
        for said in made.models().iter().flat_map(|said| said.iter()) {
            if said.row.answer == Word::Affected {
                found.insert((said.row.id.clone(), said.row.source.clone()));
            }
        }
        found
    }
}
