//! Made-up histories: lists of commands run on an engine and on the model, answer by answer.
//!
//! The world is small, so that commands meet: few keys, few devices, few times. An engine is closed and opened in the
//! middle. Revisions are compared by their order alone.

use cordon_proto::ids::Sha256;
use cordon_server_core::audit::Entry;
use cordon_server_core::change::generation_body;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::*;
use crate::store::{Chunk, Committed, Expected, Idempotency, LeaseAnswer, LeaseRequest, Set, StoreError};

#[derive(Clone, Debug)]
enum Command {
    Commit {
        changes: Vec<(u8, Option<u8>)>,
        expect: Option<(u8, Guess)>,
        once: Option<(u8, u8)>,
        audits: u8,
        at: i64,
    },
    Append {
        of: u8,
        received: i64,
        boot: u64,
        from: u64,
        count: u64,
    },
    ResetWatermark(u8),
    Lease {
        holder: u8,
        now: i64,
    },
    Load {
        generation: u64,
        rows: Vec<(u8, u8)>,
    },
    Point(u64),
    Drop(u64),
    Expire(i64),
    Scan {
        from: Option<u8>,
        down: bool,
        limit: usize,
    },
    Events {
        of: Option<u8>,
        kind: Option<u16>,
        from: i64,
        until: i64,
        newest_first: bool,
        limit: usize,
    },
    Reopen,
}

#[derive(Clone, Copy, Debug)]
enum Guess {
    Right,
    Absent,
    Wrong,
}

fn command() -> impl Strategy<Value = Command> {
    let guess = prop_oneof![3 => Just(Guess::Right), 1 => Just(Guess::Absent), 1 => Just(Guess::Wrong)];
    let time = || prop_oneof![-3_i64..3, 3_599_998_i64..3_600_002, 7_200_000_i64..7_200_003];
    let commit = (
        proptest::collection::btree_map(0_u8..5, proptest::option::weighted(0.7, any::<u8>()), 0..4),
        proptest::option::of((0_u8..5, guess)),
        proptest::option::weighted(0.2, (0_u8..2, 0_u8..2)),
        0_u8..3,
        0_i64..9,
    );
    prop_oneof![
        6 => commit.prop_map(|(changes, expect, once, audits, at)| {
            Command::Commit { changes: changes.into_iter().collect(), expect, once, audits, at: at * 1000 }
        }),
        5 => (0_u8..3, time(), 0_u64..3, 0_u64..8, 0_u64..60)
            .prop_map(|(of, received, boot, from, count)| Command::Append { of, received, boot, from, count }),
        1 => (0_u8..3).prop_map(Command::ResetWatermark),
        2 => (0_u8..3, 0_i64..300).prop_map(|(holder, now)| Command::Lease { holder, now }),
        2 => (0_u64..3, vec((0_u8..5, any::<u8>()), 0..4))
            .prop_map(|(generation, rows)| Command::Load { generation, rows }),
        1 => (0_u64..3).prop_map(Command::Point),
        1 => (0_u64..3).prop_map(Command::Drop),
        1 => time().prop_map(Command::Expire),
        2 => (proptest::option::of(0_u8..5), any::<bool>(), 0_usize..4)
            .prop_map(|(from, down, limit)| Command::Scan { from, down, limit }),
        3 => (proptest::option::of(0_u8..3), proptest::option::of(0_u16..3), time(), time(), any::<bool>(), 1_usize..40)
            .prop_map(|(of, kind, from, until, newest_first, limit)| {
                Command::Events { of, kind, from, until, newest_first, limit }
            }),
        1 => Just(Command::Reopen),
    ]
}

/// What a command answered, without the numbers that an engine may choose for itself.
#[derive(Debug, PartialEq)]
enum Outcome {
    Done(String),
    Refused(Key),
}

async fn run(store: &dyn Store, command: &Command) -> Outcome {
    let answer = match command {
        Command::Commit { .. } => commit(store, command).await,
        Command::Append { of, received, boot, from, count } => {
            let positions = (*from..from + count).map(|sequence| (*boot, sequence));
            store.append(delivery(*of, *received, positions)).await.map(|answer| format!("{answer:?}"))
        }
        Command::ResetWatermark(of) => {
            let reset = draft().delete(Key::Watermark(device(*of))).finish().expect("fine");
            store.commit(reset).await.map(|_| String::new())
        }
        Command::Lease { holder, now } => {
            let holder = text(&format!("h{holder}"));
            let request = LeaseRequest { name: name("job"), holder, ttl_ms: 40, now: Millis(*now) };
            store.lease(request).await.map(|answer| match answer {
                LeaseAnswer::Granted(lease) => format!("{:?} {}", lease.until, lease.name),
                held @ LeaseAnswer::Held { .. } => format!("{held:?}"),
            })
        }
        Command::Load { generation, rows } => {
            let rows = rows.iter().map(|(key, value)| (std::vec![*key], std::vec![*value])).collect();
            let loaded = store.load(Set::Advisories, *generation, Chunk::new(rows).expect("small"));
            loaded.await.map(|()| String::new())
        }
        Command::Point(generation) => {
            let pointer = draft().put(Key::Generation(Set::Advisories), generation_body(*generation));
            store.commit(pointer.finish().expect("fine")).await.map(|_| String::new())
        }
        Command::Drop(generation) => {
            store.drop_generation(Set::Advisories, *generation).await.map(|rows| rows.to_string())
        }
        Command::Expire(before) => store.expire(Millis(*before)).await.map(|gone| format!("{gone:?}")),
        Command::Scan { from, down, limit } => scan(store, *from, *down, *limit).await,
        Command::Events { of, kind, from, until, newest_first, limit } => {
            let query = EventQuery {
                device: of.map(device),
                kind: *kind,
                from: Millis(*from),
                until: Millis(*until),
                newest_first: *newest_first,
                after: None,
                limit: *limit,
            };
            Ok(format!("{:?}", events_all(store, query).await))
        }
        Command::Reopen => Ok(String::new()),
    };
    match answer {
        Ok(answer) => Outcome::Done(answer),
        Err(StoreError::Conflict(key)) => Outcome::Refused(key),
        Err(error) => panic!("{command:?}: {error}"),
    }
}

/// Runs the commit of a [`Command::Commit`].
async fn commit(store: &dyn Store, command: &Command) -> Result<String, StoreError> {
    let Command::Commit { changes, expect, once, audits, at } = command else { panic!("no commit") };
    let mut draft = draft_at(*at);
    for (key, body) in changes {
        let key = site(&format!("k{key}"));
        draft = match body {
            Some(body) => draft.put(key, std::vec![*body; usize::from(*body)]),
            None => draft.delete(key),
        };
    }
    if let Some((key, guess)) = expect {
        let key = site(&format!("k{key}"));
        let expected = match guess {
            Guess::Right => Expected::of(store.get(key.clone()).await.expect("read").as_ref()),
            Guess::Absent => Expected::Absent,
            Guess::Wrong => Expected::At(Revision(u64::MAX)),
        };
        draft = draft.expect(key, expected);
    }
    for n in 0..*audits {
        draft = draft.audit(Entry::new(name("act"), text(&format!("n{n}"))));
    }
    if let Some((key, request)) = once {
        draft = draft.once(Idempotency {
            key: text(&format!("k{key}")),
            request: Sha256([*request; 32]),
            outcome: std::vec![*request],
            until: Timestamp(at + 3000),
        });
    }
    let committed = store.commit(draft.finish().expect("fine")).await;
    committed.map(|Committed { revision: _, outcome, repeated }| format!("{outcome:?} {repeated}"))
}

async fn scan(store: &dyn Store, from: Option<u8>, down: bool, limit: usize) -> Result<String, StoreError> {
    let from = match (from.map(|key| site(&format!("k{key}"))), down) {
        (None, false) => Cursor::First,
        (None, true) => Cursor::Last,
        (Some(key), false) => Cursor::After(key),
        (Some(key), true) => Cursor::Before(key),
    };
    store.scan(Index::All(Kind::Site), from, limit).await.map(|page| {
        let rows: Vec<_> = page.rows.iter().map(|(key, row)| (key, &row.body)).collect();
        format!("{rows:?} {:?}", page.next)
    })
}

/// Runs a history on the model and on a subject, and compares every answer and what is left in the end.
fn compare(subject: &Subject, history: &[Command]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let model = Memory::new();
        let mut store = subject.open();
        for (step, command) in history.iter().enumerate() {
            if matches!(command, Command::Reopen) {
                drop(store);
                store = subject.open();
            }
            let wanted = run(&model, command).await;
            let found = run(&*store, command).await;
            assert!(found == wanted, "step {step}: {command:?}\n{found:?}\nwanted {wanted:?}");
        }
        let (left, wanted) = (dump(&*store).await, dump(&model).await);
        assert!(left.rows == wanted.rows, "documents are left differently");
        assert!(left.events == wanted.events, "telemetry is left differently");
        assert!(left.feed == wanted.feed, "{:?}\nwanted {:?}", left.feed, wanted.feed);
    });
}

/// Compares made-up histories of an engine with the model's: a part of the usual cases for engines that sync a disk;
/// `PROPTEST_CASES` scales all of them.
///
/// # Panics
/// On the first difference, with the shortest history that shows it.
pub fn compare_histories(divisor: u32, subject: impl Fn() -> Subject) {
    let usual = ProptestConfig::default();
    let cases = usual.cases.div_ceil(divisor);
    let config = ProptestConfig { cases, source_file: Some(file!()), ..usual };
    let done = TestRunner::new(config).run(&vec(command(), 0..40), |history| {
        compare(&subject(), &history);
        Ok(())
    });
    if let Err(difference) = done {
        panic!("{difference}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_value_layer_answers_as_the_model_does() {
        // Goal: the encoding and the grouping change no answer. Method: over a map, which needs no disk.
        compare_histories(1, Subject::map);
    }
}
