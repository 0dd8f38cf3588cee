//! Tests of commits and of `apply` over a map.

use alloc::collections::BTreeMap;
use alloc::vec;
use core::convert::Infallible;

use cordon_proto::ids::{DeviceId, Name, TokenId};
use proptest::prelude::*;

use super::*;

type Rows = BTreeMap<Key, Row>;

fn name(text: &str) -> Name {
    text.parse().expect("name")
}

fn site(text: &str) -> Key {
    Key::Site(name(text))
}

fn draft() -> Draft {
    Commit::draft(Timestamp(1000), Actor::Server(name("test")))
}

fn entry() -> Entry {
    Entry::new(name("site.add"), "site:a".parse().expect("text"))
}

fn once(request: u8, outcome: &[u8]) -> Idempotency {
    Idempotency {
        key: "k1".parse().expect("text"),
        request: Sha256([request; 32]),
        outcome: outcome.to_vec(),
        until: Timestamp(2000),
    }
}

/// Applies to a map as a store would.
fn run(rows: &mut Rows, commit: Commit, revision: u64) -> Result<Committed, Refusal<Infallible>> {
    let next = Next { revision: Revision(revision), sequence: 5 };
    match apply(commit, next, |key| Ok(rows.get(key).cloned()))? {
        Decision::Repeated(committed) => Ok(committed),
        Decision::Write(writes) => {
            for (key, body) in writes.rows {
                match body {
                    Some(body) => rows.insert(key, Row { revision: next.revision, body }),
                    None => rows.remove(&key),
                };
            }
            Ok(writes.committed)
        }
    }
}

#[test]
fn a_commit_holds_at_most_500_changes() {
    // Goal: the cap of the design, at construction. Method: at and above the limit, for each of the three lists.
    let many = |count: usize| (0..count).map(|n| site(&alloc::format!("s{n}")));
    let puts = |count| many(count).fold(draft(), |draft, key| draft.put(key, vec![1])).finish();
    let expects =
        |count| many(count).fold(draft(), |draft, key| draft.expect(key, Expected::Absent)).finish();
    let audits = |count| many(count).fold(draft(), |draft, _| draft.audit(entry())).finish();
    let too_many = Some(Malformed::TooMany { found: 501, limit: 500 });
    assert!(puts(500).is_ok() && expects(500).is_ok() && audits(500).is_ok());
    assert_eq!([puts(501).err(), expects(501).err(), audits(501).err()], [(); 3].map(|()| too_many.clone()));
}

#[test]
fn a_commit_bounds_its_bytes() {
    // Goal: nobody makes the store hold more than it should. Method: one body too large, many bodies too large.
    let body = |bytes: usize| vec![0; bytes];
    let refused = draft().put(site("a"), body(limits::DOCUMENT_BYTES + 1)).finish();
    assert!(matches!(refused, Err(Malformed::TooLarge { key, .. }) if key == site("a")));
    let all = (0..3).fold(draft(), |d, n| d.put(site(&alloc::format!("{n}")), body(limits::DOCUMENT_BYTES)));
    assert!(matches!(all.finish(), Err(Malformed::TooLargeInAll { .. })));
    assert!(draft().put(site("a"), body(limits::DOCUMENT_BYTES)).finish().is_ok());
}

#[test]
fn a_key_occurs_once_in_a_commit() {
    // Goal: the order of changes never matters. Method: a put and a delete of one key, two expectations of one key.
    let twice = draft().put(site("a"), vec![]).delete(site("a")).finish();
    assert_eq!(twice, Err(Malformed::Twice(site("a"))));
    let twice = draft().expect(site("a"), Expected::Absent).expect(site("a"), Expected::Absent).finish();
    assert_eq!(twice, Err(Malformed::Twice(site("a"))));
    assert!(draft().expect(site("a"), Expected::Absent).put(site("a"), vec![]).finish().is_ok());
}

#[test]
fn nobody_rewrites_the_journal_or_the_stores_own_records() {
    // Goal: history cannot be edited by a commit. Method: put and delete each of the store's kinds.
    let device = DeviceId::from_random([1; 16]);
    let bulk = Key::Bulk { set: Set::Advisories, generation: 1, row: vec![1] };
    for key in [Key::Audit(1), Key::Idempotency(Sha256([1; 32])), bulk] {
        assert_eq!(draft().put(key.clone(), vec![]).finish(), Err(Malformed::Reserved(key.clone())));
        assert_eq!(draft().delete(key.clone()).finish(), Err(Malformed::Reserved(key)));
    }
    for key in [Key::Watermark(device), Key::Lease(name("sealer"))] {
        assert_eq!(draft().put(key.clone(), vec![]).finish(), Err(Malformed::Reserved(key.clone())));
        assert!(draft().delete(key).finish().is_ok());
    }
}

#[test]
fn a_commit_whose_expectation_fails_writes_nothing() {
    // Goal: no lost update. Method: absent and revision, each met and unmet.
    let mut rows = Rows::new();
    let make = |expected, body| {
        draft().expect(site("a"), expected).put(site("a"), vec![body]).finish().expect("fine")
    };
    let conflict = Err(Refusal::Conflict(site("a")));
    assert_eq!(run(&mut rows, make(Expected::At(Revision(1)), 1), 2), conflict);
    assert!(rows.is_empty());
    assert!(run(&mut rows, make(Expected::Absent, 1), 2).is_ok());
    assert_eq!(run(&mut rows, make(Expected::Absent, 2), 3), conflict);
    assert!(run(&mut rows, make(Expected::At(Revision(2)), 2), 3).is_ok());
    assert_eq!(run(&mut rows, make(Expected::At(Revision(2)), 3), 4), conflict);
    assert_eq!(rows.get(&site("a")), Some(&Row { revision: Revision(3), body: vec![2] }));
}

#[test]
fn a_repeated_request_is_answered_as_the_first_was() {
    // Goal: idempotency, recognised before expectations. Method: repeat, misuse the key, let it lapse, ask as another.
    let mut rows = Rows::new();
    let make = |once| {
        draft().expect(site("a"), Expected::Absent).put(site("a"), vec![1]).once(once).finish().expect("fine")
    };
    let first = run(&mut rows, make(once(1, b"made")), 2).expect("applied");
    assert_eq!(first, Committed { revision: Revision(2), outcome: Some(b"made".to_vec()), repeated: false });
    let again = run(&mut rows, make(once(1, b"other")), 3).expect("repeated");
    assert_eq!(again, Committed { repeated: true, ..first });
    let misused = run(&mut rows, make(once(2, b"made")), 3);
    assert!(matches!(misused, Err(Refusal::Conflict(Key::Idempotency(_)))));
    let mut late = make(once(1, b"made"));
    late.at = Timestamp(2000);
    assert_eq!(run(&mut rows, late, 3), Err(Refusal::Conflict(site("a"))), "lapsed: the expectation decides");
    let mut other = make(once(2, b"made"));
    other.actor = Actor::Server(name("other"));
    assert_eq!(
        run(&mut rows, other, 3),
        Err(Refusal::Conflict(site("a"))),
        "another actor's key is another key"
    );
}

#[test]
fn audit_entries_are_numbered_without_gaps_in_the_commits_own_writes() {
    // Goal: no act goes unrecorded. Method: two entries, read back from the rows.
    let commit = draft().put(site("a"), vec![1]).audit(entry()).audit(entry()).finish().expect("fine");
    let next = Next { revision: Revision(9), sequence: 5 };
    let Ok(Decision::Write(writes)) = apply(commit, next, |_| Ok::<_, Infallible>(None)) else {
        panic!("not applied")
    };
    assert_eq!(writes.next_sequence, 7);
    let recorded: Vec<u64> = writes
        .rows
        .iter()
        .filter(|(key, _)| key.kind() == Kind::Audit)
        .map(|(_, body)| Recorded::from_bytes(body.as_ref().expect("put")).expect("reads").sequence)
        .collect();
    assert_eq!(recorded, [5, 6]);
    assert_eq!(
        writes.changed.keys,
        [Touched { key: site("a"), deleted: false }],
        "followers see documents only"
    );
}

#[test]
fn an_unreadable_idempotency_record_is_reported_as_corrupt() {
    // Goal: damage is named, not taken for absence. Method: a truncated record.
    let mut rows = Rows::new();
    let make = || draft().once(once(1, b"made")).finish().expect("fine");
    run(&mut rows, make(), 2).expect("applied");
    for row in rows.values_mut() {
        row.body.truncate(20);
    }
    assert!(matches!(run(&mut rows, make(), 3), Err(Refusal::Corrupt(Key::Idempotency(_)))));
}

proptest! {
    #[test]
    fn any_bytes_are_a_stored_outcome_or_refused(bytes: Vec<u8>) {
        let read = StoredOutcome::read(&bytes);
        prop_assert_eq!(read.is_some(), bytes.len() >= 41 && bytes.first() == Some(&1));
    }

    #[test]
    fn an_applied_commit_leaves_exactly_its_changes(
        changes in proptest::collection::btree_map("[a-d]", proptest::option::of(0_u8..5), 0..4),
        token in any::<[u8; 32]>(),
    ) {
        // Goal: apply adds and loses nothing. Method: against direct edits of a map.
        let mut rows = Rows::from([
            (site("a"), Row { revision: Revision(1), body: vec![9] }),
            (Key::Token(TokenId(token)), Row { revision: Revision(1), body: vec![8] }),
        ]);
        let mut wanted = rows.clone();
        let mut commit = draft();
        for (text, body) in changes {
            commit = match body {
                Some(body) => {
                    wanted.insert(site(&text), Row { revision: Revision(2), body: vec![body] });
                    commit.put(site(&text), vec![body])
                }
                None => {
                    wanted.remove(&site(&text));
                    commit.delete(site(&text))
                }
            };
        }
        run(&mut rows, commit.finish().expect("fine"), 2).expect("applied");
        prop_assert_eq!(rows, wanted);
    }
}
