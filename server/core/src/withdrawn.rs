//! Orders that the owner's people took back: what one document of orders listed and the next one does not.
//!
//! A document says only what is in force; what was taken back is the difference to the one before. Nothing is decided
//! here, and nothing is guessed of documents that are not there. Read next: [`crate::publish`] for how documents come in.

use alloc::vec::Vec;

use cordon_proto::canonical::Value;
use cordon_proto::ids::TargetPath;
use cordon_proto::limits;
use cordon_proto::update::document::Document;
use cordon_proto::update::metadata::Targets;
use cordon_proto::update::order::Order;
use cordon_proto::update::release::Listed;

/// An order that is in force no more although its time may not be over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// The order, as it was signed.
    pub order: Order,
    /// The version of the last known document that lists it.
    pub last: u64,
    /// The version of the document that lists it no more.
    pub by: u64,
    /// Whether that document lists another order under its name.
    pub anew: bool,
}

/// What was taken back between these documents, the oldest first; an order that the last one lists is in force. The last
/// withdrawal comes first.
#[must_use]
pub fn withdrawn(documents: &[(u64, Vec<Order>)]) -> Vec<Withdrawn> {
    let in_force = documents.last().map(|(_, orders)| orders.as_slice()).unwrap_or_default();
    let mut found = Vec::new();
    for pair in documents.windows(2) {
        let [(last, before), (by, after)] = pair else { continue };
        let gone = before.iter().filter(|order| !after.contains(order) && !in_force.contains(order));
        found.extend(gone.map(|order| Withdrawn {
            order: order.clone(),
            last: *last,
            by: *by,
            anew: after.iter().any(|other| other.id == order.id),
        }));
    }
    found.reverse();
    found
}

/// The orders of a document that was verified when it came in. What cannot be read is left out.
#[must_use]
pub fn orders_in(bytes: &[u8]) -> Vec<Order> {
    let document = Document::parse(bytes, limits::TUF_TARGETS_BYTES).ok();
    let targets = document.and_then(|document| Targets::read(document.signed()).ok());
    let Some(targets) = targets else { return Vec::new() };
    let read = |(path, file): (&alloc::string::String, _)| order_of(path, file, &targets);
    targets.targets.iter().filter_map(read).collect()
}

fn order_of(path: &str, file: &cordon_proto::update::metadata::TargetFile, of: &Targets) -> Option<Order> {
    let path: TargetPath = path.parse().ok()?;
    let custom = file.custom.as_ref().unwrap_or(&Value::Null);
    let listed = Listed { path: &path, length: file.length, sha256: file.sha256().ok()?, custom };
    Order::read(listed, of.expires).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use cordon_proto::ids::Sha256;
    use cordon_proto::time::Timestamp;
    use cordon_proto::update::release::Image;
    use cordon_proto::update::scope::Scope;
    use cordon_proto::update::window::Window;

    fn order(id: &str, count: u64) -> Order {
        let release = "vp-3/2".parse().expect("a path");
        Order {
            id: id.parse().expect("a name"),
            repository: "halden".parse().expect("a name"),
            image: Image { release, length: 9, sha256: Sha256([1; 32]) },
            scope: Scope::Set { root: Sha256([5; 32]), count },
            issued: Timestamp(0),
            not_before: Timestamp(0),
            expires: Timestamp(100),
            windows: vec![Window::ALWAYS],
            back: None,
            permit_s: None,
            reason: "closes a hole".parse().expect("a text"),
        }
    }

    fn told(documents: &[(u64, Vec<Order>)]) -> Vec<(alloc::string::String, u64, u64, bool)> {
        use alloc::string::ToString;
        let found = withdrawn(documents);
        found.iter().map(|one| (one.order.id.to_string(), one.last, one.by, one.anew)).collect()
    }

    #[test]
    fn what_the_next_document_does_not_list_was_withdrawn_by_it() {
        // Goal: each withdrawal with the versions that show it, the last first. Method: four documents with a gap between
        // their numbers; an order that goes, one that is signed anew, one that goes and comes back as it was.
        let (a, b, c) = (order("a", 1), order("b", 1), order("c", 1));
        let anew = order("b", 2);
        let documents = [
            (3, vec![a.clone(), b.clone(), c.clone()]),
            (4, vec![b, c.clone()]),
            (7, vec![anew.clone()]),
            (8, vec![anew, c]),
        ];
        assert_eq!(told(&documents), [("b".into(), 4, 7, true), ("a".into(), 3, 4, false)]);
        assert_eq!(told(&documents[..1]), []);
        assert_eq!(told(&[]), []);
        let last = [(1, vec![a]), (2, Vec::new())];
        assert_eq!(told(&last), [("a".into(), 1, 2, false)]);
    }

    #[test]
    fn a_document_that_cannot_be_read_lists_nothing() {
        // Goal: an old row costs no page. Method: rubbish.
        assert_eq!(orders_in(b"rubbish"), []);
    }
}
