//! References of a document resolved to places: who needs whom.
//!
//! Each reference is looked up once and none is followed, so neither a circle nor a long chain costs more than its length.
//! What points nowhere, to itself or stands twice is counted and left out. Read next: [`super::Sbom::needs`].

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Need, Sbom};

/// A dependency as it is written: the names of who needs and what is needed.
pub(super) type Written = (Rc<str>, String);

impl Sbom {
    /// Resolves names to places; `subject` is the subject's own name.
    pub(super) fn resolve(&mut self, subject: Option<&str>, written: Vec<Written>) {
        let mut places: BTreeMap<&str, u32> = BTreeMap::new();
        let (mut twice, mut nowhere, mut own) = (0, 0, 0);
        for (place, component) in (0_u32..).zip(&self.components) {
            let name = component.reference.as_str();
            if !name.is_empty() && (Some(name) == subject || places.insert(name, place).is_some()) {
                twice += 1;
            }
        }
        let is_subject = |name: &str| Some(name) == subject;
        let mut needs = BTreeSet::new();
        for (who, what) in &written {
            let who = if is_subject(who) { Some(None) } else { places.get(&**who).map(|place| Some(*place)) };
            match (who, places.get(what.as_str())) {
                (Some(Some(who)), Some(what)) if who == *what => own += 1,
                (Some(who), Some(what)) => {
                    needs.insert(Need { who, what: *what });
                }
                // What needs the whole closes a circle that says nothing.
                (Some(_), None) if is_subject(what) => own += 1,
                (Some(_) | None, _) => nowhere += 1,
            }
        }
        self.needs = needs.into_iter().collect();
        self.tell("reference-twice", twice);
        self.tell("reference-to-nothing", nowhere);
        self.tell("reference-to-itself", own);
        let circle = self.in_circles();
        self.tell("in-a-circle", circle);
    }

    /// How many components need themselves by way of others, or stand between such; found by taking away, again and again,
    /// who needs nothing and whom nothing needs.
    fn in_circles(&self) -> usize {
        let edges: Vec<(u32, u32)> =
            self.needs.iter().filter_map(|need| Some((need.who?, need.what))).collect();
        let forwards = remaining(self.components.len(), &edges);
        let turned: Vec<(u32, u32)> = edges.iter().map(|(who, what)| (*what, *who)).collect();
        let backwards = remaining(self.components.len(), &turned);
        forwards.iter().zip(backwards).filter(|(one, other)| **one && *other).count()
    }
}

/// Which nodes remain when, in turn, each is taken away to which no edge of a remaining one leads (Kahn, 1962).
fn remaining(count: usize, edges: &[(u32, u32)]) -> Vec<bool> {
    let place = |node: u32| usize::try_from(node).unwrap_or(usize::MAX);
    let mut sorted: Vec<(u32, u32)> = edges.to_vec();
    sorted.sort_unstable();
    let mut leading = alloc::vec![0_u32; count];
    for (_, to) in &sorted {
        if let Some(leading) = leading.get_mut(place(*to)) {
            *leading += 1;
        }
    }
    let mut remain = alloc::vec![true; count];
    let free = leading.iter().enumerate().filter(|(_, leading)| **leading == 0);
    let mut taken: Vec<u32> = free.filter_map(|(node, _)| u32::try_from(node).ok()).collect();
    while let Some(node) = taken.pop() {
        if let Some(remain) = remain.get_mut(place(node)) {
            *remain = false;
        }
        let first = sorted.partition_point(|(from, _)| *from < node);
        let own = sorted.get(first..).unwrap_or_default().iter().take_while(|(from, _)| *from == node);
        for (_, to) in own {
            let Some(leading) = leading.get_mut(place(*to)) else { continue };
            *leading -= 1;
            if *leading == 0 {
                taken.push(*to);
            }
        }
    }
    remain
}
