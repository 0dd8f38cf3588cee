//! Of which weaknesses nobody can say whether a device has them, by name: what a score only counts.
//!
//! Read next: [`super::matched`].

use std::collections::BTreeSet;

use cordon_server_core::exposure::Word;
use cordon_server_core::exposure::answers::Sure;

use super::Matched;
use super::matched::model_of;
use crate::fleet::Member;

impl Matched {
    /// Weakness and package, or model, of every answer about a device that is open and not sure.
    #[must_use]
    pub fn unknown(&self, member: &Member) -> BTreeSet<(String, String)> {
        let Some(made) = &self.made else { return BTreeSet::new() };
        let mut found = BTreeSet::new();
        self.holding(|holdings| {
            for number in holdings.of(member.id()).iter().flat_map(|(_, composition)| &composition.parts) {
                let Some(component) = holdings.component(*number) else { continue };
                let hits = made.hits(*number, component);
                let open = hits.hits.iter().filter(|hit| hit.sure == Sure::Unknown);
                let named = open.map(|hit| made.world.index.group_name(hit.group).to_owned());
                found.extend(named.map(|name| (name, component.name.clone())));
            }
        });
        let said = made.said_of(&model_of(member));
        let open = said.iter().filter(|said| said.row.answer == Word::Unknown);
        found.extend(open.map(|said| (said.row.id.clone(), said.row.source.clone())));
        found
    }

    /// The source packages of a device about whose ecosystem nothing is known here: neither weak nor safe.
    #[must_use]
    pub fn unjudged(&self, member: &Member) -> BTreeSet<String> {
        let Some(made) = &self.made else { return BTreeSet::new() };
        let mut found = BTreeSet::new();
        self.holding(|holdings| {
            for number in holdings.of(member.id()).iter().flat_map(|(_, composition)| &composition.parts) {
                let component = holdings.component(*number);
                found.extend(
                    component.filter(|one| made.hits(*number, one).unjudged).map(|one| one.name.clone()),
                );
            }
        });
        found
    }

    /// Whether there is anything of a device by which advisories can be asked: its packages, or its maker and model.
    #[must_use]
    pub fn can_ask(&self, member: &Member) -> bool {
        let model = model_of(member);
        member.inventory.is_some() || !(model.maker.is_empty() || model.model.is_empty())
    }
}
