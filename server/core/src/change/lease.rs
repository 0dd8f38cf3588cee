//! Who does a job: a lease that one holder has at a time, with a fencing token that only rises.
//!
//! The token is the revision at which the lease's document was taken; renewing keeps it. A holder that must not act
//! after it lost the lease puts [`Lease::guard`] into the commit, like any other expectation.

use alloc::vec::Vec;

use cordon_proto::ids::{Name, Text};
use cordon_proto::time::Millis;

use super::{Expected, Key, Revision, Row};

/// A lease that was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The job.
    pub name: Name,
    /// The fencing token: higher than that of every earlier holder.
    pub token: Revision,
    /// Until when nobody else gets it.
    pub until: Millis,
}

impl Lease {
    /// The expectation that refuses a commit once somebody else holds the lease.
    #[must_use]
    pub fn guard(&self) -> (Key, Expected) {
        (Key::Lease(self.name.clone()), Expected::At(self.token))
    }
}

/// What a store answers to somebody who asks for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is the asker's.
    Granted(Lease),
    /// Somebody else has it.
    Held {
        /// Who.
        by: Text,
        /// Until when, unless renewed.
        until: Millis,
    },
}

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The job.
    pub name: Name,
    /// Who asks.
    pub holder: Text,
    /// Milliseconds for which it is asked.
    pub ttl_ms: u32,
    /// The asker's clock.
    pub now: Millis,
}

/// The stored lease is unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Decides a request: the answer, and the document to store if it was granted. `next` becomes the token of a lease
/// that is newly taken.
pub fn decide(
    request: &Request,
    current: Option<&Row>,
    next: Revision,
) -> Result<(Answer, Option<Row>), Unreadable> {
    let held = match current {
        Some(row) => Some((row.revision, read(&row.body).ok_or(Unreadable)?)),
        None => None,
    };
    let token = match held {
        Some((token, (until, holder))) if until > request.now => {
            if holder != request.holder {
                return Ok((Answer::Held { by: holder, until }, None));
            }
            token
        }
        Some(_) | None => next,
    };
    let until = request.now.plus(i64::from(request.ttl_ms));
    let lease = Lease { name: request.name.clone(), token, until };
    let row = Row { revision: token, body: body(until, &request.holder) };
    Ok((Answer::Granted(lease), Some(row)))
}

const VERSION: u8 = 1;

fn body(until: Millis, holder: &Text) -> Vec<u8> {
    [&[VERSION][..], &until.0.to_be_bytes(), holder.as_str().as_bytes()].concat()
}

fn read(body: &[u8]) -> Option<(Millis, Text)> {
    let (version, rest) = body.split_first()?;
    let (until, holder) = rest.split_first_chunk::<8>()?;
    let holder = core::str::from_utf8(holder).ok()?.parse().ok()?;
    (*version == VERSION).then_some((Millis(i64::from_be_bytes(*until)), holder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ask(holder: &str, now: i64) -> Request {
        Request {
            name: "sealer".parse().expect("name"),
            holder: holder.parse().expect("text"),
            ttl_ms: 10,
            now: Millis(now),
        }
    }

    fn grant(request: &Request, row: Option<&Row>, next: u64) -> (Lease, Row) {
        match decide(request, row, Revision(next)) {
            Ok((Answer::Granted(lease), Some(row))) => (lease, row),
            other => panic!("not granted: {other:?}"),
        }
    }

    #[test]
    fn one_holder_at_a_time_and_a_new_holder_has_a_higher_token() {
        // Goal: fencing. Method: take, refuse another, renew, let it lapse, take over.
        let (first, row) = grant(&ask("a", 100), None, 7);
        assert_eq!((first.token, first.until), (Revision(7), Millis(110)));
        let held = decide(&ask("b", 109), Some(&row), Revision(8)).expect("readable");
        assert_eq!(held, (Answer::Held { by: "a".parse().expect("text"), until: Millis(110) }, None));
        let (renewed, row) = grant(&ask("a", 105), Some(&row), 8);
        assert_eq!((renewed.token, renewed.until), (Revision(7), Millis(115)), "renewing keeps the token");
        let (second, row) = grant(&ask("b", 115), Some(&row), 9);
        assert_eq!(second.token, Revision(9));
        assert_eq!(
            first.guard().1,
            Expected::At(Revision(7)),
            "and the first holder's guard no longer holds"
        );
        assert_eq!(row.revision, Revision(9));
    }

    #[test]
    fn a_holder_that_let_it_lapse_gets_a_new_token() {
        // Goal: nobody acts on a token across a time in which another might have held the lease. Method: ask late.
        let (_, row) = grant(&ask("a", 100), None, 1);
        assert_eq!(grant(&ask("a", 110), Some(&row), 2).0.token, Revision(2));
    }

    proptest! {
        #[test]
        fn any_stored_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let row = Row { revision: Revision(1), body: bytes };
            let read = decide(&ask("a", 0), Some(&row), Revision(2));
            prop_assert_eq!(read.is_err(), super::read(&row.body).is_none());
        }
    }
}
