//! The makers that people pinned: which models a repository may list, and with which root it begins.
//!
//! Decided in `server/core`'s `import`. A repository without a pin is bound by its own first root and by what others
//! list; with one, by a person's word. Read next: [`super::image`].

use std::collections::{BTreeMap, BTreeSet};

use cordon_proto::ids::{Name, Sha256, Text};
use cordon_proto::update::{Role, name};
use cordon_server_core::audit::Summary;
use cordon_server_core::change::{Commit, Expected, Index, Key, Kind};
use cordon_server_core::import::{Held, Maker, may_pin};

use super::{DIRECTOR, PublishError, Repositories, entry};
use crate::people::Doer;
use crate::store::{Cursor, StoreError};

/// All pins, and what a commit that was judged by one must expect.
#[derive(Default)]
pub(super) struct Pins {
    all: Vec<Maker>,
    expected: BTreeMap<Name, Expected>,
}

impl Pins {
    pub(super) fn all(&self) -> &[Maker] {
        &self.all
    }

    pub(super) fn of(&self, repository: &Name) -> Option<&Maker> {
        self.all.iter().find(|pin| pin.repository == *repository)
    }

    pub(super) fn guard(&self, repository: &Name) -> (Key, Expected) {
        let expected = self.expected.get(repository).copied().unwrap_or(Expected::Absent);
        (Key::Maker(repository.clone()), expected)
    }
}

impl Repositories {
    /// Pins a maker, in place of an earlier pin of the same repository.
    pub async fn pin(
        &self,
        repository: &Name,
        (models, root_sha256): (BTreeSet<Text>, Sha256),
        by: Doer<'_>,
    ) -> Result<Maker, PublishError> {
        if repository.as_str() == DIRECTOR {
            return Err(PublishError::Reserved);
        }
        let (pins, known) = (self.pins().await?, self.releases().await?);
        let (actor, at) = (by.actor.to_string(), by.now);
        let maker = Maker { v: 1, repository: repository.clone(), models, root_sha256, by: actor, at };
        let first = self.file(repository, &name::path(&Role::Root, 1, true)).await?;
        let held = Held { known: &known, pins: pins.all() };
        may_pin(&maker, held, first.as_deref().map(Sha256::of))?;
        let (key, expected) = pins.guard(repository);
        let body = serde_json::to_vec(&maker).expect("strings and integers are always JSON");
        let models: Vec<_> = maker.models.iter().map(Text::as_str).collect();
        let mut entry = entry("maker.pin", &format!("maker:{repository}"));
        entry.after = Some(Summary::of(&format!("root {root_sha256}, models {}", models.join(", "))));
        let draft = Commit::draft(by.now, by.actor.clone()).expect(key.clone(), expected);
        self.store.commit(draft.put(key, body).audit(entry).finish()?).await?;
        Ok(maker)
    }

    /// The makers that people pinned, by the names of their repositories.
    pub async fn makers(&self) -> Result<Vec<Maker>, StoreError> {
        Ok(self.pins().await?.all)
    }

    pub(super) async fn pins(&self) -> Result<Pins, StoreError> {
        let mut pins = Pins::default();
        let mut from = Some(Cursor::First);
        while let Some(cursor) = from {
            let page = self.store.scan(Index::All(Kind::Maker), cursor, 500).await?;
            for (key, row) in page.rows {
                let corrupt = |_| StoreError::Corrupt(key.to_string());
                let maker: Maker = serde_json::from_slice(&row.body).map_err(corrupt)?;
                pins.expected.insert(maker.repository.clone(), Expected::At(row.revision));
                pins.all.push(maker);
            }
            from = page.next;
        }
        Ok(pins)
    }
}
