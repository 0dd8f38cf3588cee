//! Tests of the search for clones: an honest life raises no doubt, whatever chance brings; a copied one does at once.
//!
//! Lives are played out second by second on one true clock: [`Life`] is a device with its network, [`Servers`] is what
//! hears it. What chance may bring stands in [`Event`].

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

const BEGIN: Millis = Millis(1_800_000_000_000);
/// The certificate of this number.
fn leaf(number: usize) -> Sha256 {
    Sha256([u8::try_from(number).expect("no life has that many"); 32])
}

fn address(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, number % 4).into()
}

/// A device that may or may not say who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speech {
    /// Our agent.
    Full,
    /// An agent of before: boots, but no runs.
    Boots,
    /// A foreign client.
    Nothing,
}

/// What may happen to an honest device, or to its servers.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// It checks in after so many seconds.
    Checkin(u16),
    /// It checks in, and the word is lost.
    Lost(u16),
    /// It checks in, gives the connection up, and the word comes in only after so many more events.
    HeldBack(u16, u8),
    /// It moves to another address; what was open there is never used again.
    Moves(u8),
    /// Its idle connection ends.
    Reconnects,
    /// The agent starts anew, with or without the machine.
    Restarts(u16),
    /// It gets its next certificate and speaks under it; the old one may be tried once more by what was asleep.
    Renews { tail: bool },
    /// It is reset or its board exchanged, and it enrols anew: all its counts begin at one.
    EnrolsAnew,
    /// It goes over to the other server.
    OtherServer,
    /// Both servers learn what the store knows.
    Followed,
    /// A server is started anew: it knows what the store knows.
    ServerRestarts,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        12 => (1_u16..400).prop_map(Event::Checkin),
        2 => (1_u16..60).prop_map(Event::Lost),
        2 => (1_u16..60, 0_u8..4).prop_map(|(s, events)| Event::HeldBack(s, events)),
        3 => any::<u8>().prop_map(Event::Moves),
        3 => Just(Event::Reconnects),
        3 => (1_u16..600).prop_map(Event::Restarts),
        1 => any::<bool>().prop_map(|tail| Event::Renews { tail }),
        1 => Just(Event::EnrolsAnew),
        2 => Just(Event::OtherServer),
        2 => Just(Event::Followed),
        1 => Just(Event::ServerRestarts),
    ]
}

fn speech() -> impl Strategy<Value = Speech> {
    prop_oneof![4 => Just(Speech::Full), 1 => Just(Speech::Boots), 1 => Just(Speech::Nothing)]
}

/// A running agent and where it is.
#[derive(Clone, Debug)]
struct Life {
    speech: Speech,
    leaf: usize,
    boot: u64,
    run: u64,
    sequence: u64,
    from: SocketAddr,
    ports: u16,
}

impl Life {
    fn begin(speech: Speech) -> Self {
        let from = SocketAddr::new(address(0), 1000);
        Self { speech, leaf: 0, boot: 1, run: 11, sequence: 0, from, ports: 1000 }
    }

    fn connects(&mut self, from: IpAddr) {
        self.ports = self.ports.wrapping_add(1);
        self.from = SocketAddr::new(from, self.ports);
    }

    fn starts(&mut self, run: u64) {
        (self.boot, self.run, self.sequence) = (self.boot + 1, run, 0);
        self.connects(self.from.ip());
    }

    fn says(&mut self) -> (usize, Word) {
        self.sequence += 1;
        let all = Word { from: self.from, boot: self.boot, run: self.run, sequence: self.sequence };
        let word = match self.speech {
            Speech::Full => all,
            Speech::Boots => Word { run: 0, sequence: 0, ..all },
            Speech::Nothing => Word { boot: 0, run: 0, sequence: 0, ..all },
        };
        (self.leaf, word)
    }
}

/// Two servers on one store, and what they made of it.
#[derive(Debug, Default)]
struct Servers {
    traces: [Trace; 2],
    kept: [Option<Kept>; 2],
    stored: Option<Kept>,
    at: usize,
    suspicions: Vec<Suspicion>,
}

impl Servers {
    fn hear(&mut self, leaf: usize, word: &Word) {
        let heard = self.traces[self.at].hear(&self::leaf(leaf), word, self.kept[self.at]);
        self.suspicions.extend(heard);
        let says = word.run != 0;
        let kept = says.then_some(Kept { leaf: self::leaf(leaf), boot: word.boot, run: word.run });
        self.kept[self.at] = kept;
        self.stored = kept;
    }

    fn refuse(&mut self, leaf: usize, at: Millis) {
        self.suspicions.extend(self.traces[self.at].refuse(&self::leaf(leaf), Ended::Replaced, at));
    }
}

/// One honest life.
struct Honest {
    life: Life,
    now: Millis,
    servers: Servers,
    /// A word on its way, and after how many events it comes. A network that fails holds back one: after it has failed,
    /// no new connection can be made on which a second word could wait.
    on_its_way: VecDeque<(u8, usize, Word)>,
    runs: u64,
}

impl Honest {
    fn pass(&mut self, seconds: u16) {
        self.now = self.now.plus(i64::from(seconds) * 1000);
    }

    fn play(&mut self, event: Event) {
        match event {
            Event::Checkin(seconds) => {
                self.pass(seconds);
                let (leaf, word) = self.life.says();
                self.servers.hear(leaf, &word);
            }
            Event::Lost(seconds) => {
                self.pass(seconds);
                let _ = self.life.says();
                self.life.connects(self.life.from.ip());
            }
            Event::HeldBack(seconds, events) => {
                self.pass(seconds);
                let (leaf, word) = self.life.says();
                if self.on_its_way.is_empty() {
                    self.on_its_way.push_back((events, leaf, word));
                }
                self.life.connects(self.life.from.ip());
            }
            Event::Moves(to) => self.life.connects(address(to)),
            Event::Reconnects => self.life.connects(self.life.from.ip()),
            Event::Restarts(seconds) => {
                self.pass(seconds);
                self.runs += 1;
                self.life.starts(self.runs);
            }
            Event::Renews { tail } => self.renew(tail),
            Event::EnrolsAnew => {
                self.life.leaf += 1;
                self.life.boot = 0;
                self.runs += 1;
                self.life.starts(self.runs);
                self.on_its_way.clear();
            }
            Event::OtherServer => self.servers.at = 1 - self.servers.at,
            Event::Followed => self.servers.kept = [self.servers.stored; 2],
            Event::ServerRestarts => {
                let at = self.servers.at;
                self.servers.traces[at] = Trace::default();
                self.servers.kept[at] = self.servers.stored;
            }
        }
        self.arrive();
    }

    fn renew(&mut self, tail: bool) {
        let old = self.life.leaf;
        self.life.leaf = old + 1;
        self.life.connects(self.life.from.ip());
        self.play(Event::Checkin(1));
        // A word under the old certificate that comes in now is refused before it is heard.
        self.on_its_way.clear();
        if tail {
            self.servers.refuse(old, self.now.plus(20_000));
            self.servers.refuse(old, self.now.plus(50_000));
        }
    }

    fn arrive(&mut self) {
        match self.on_its_way.pop_front() {
            Some((0, leaf, word)) => {
                self.servers.hear(leaf, &word);
            }
            Some((events, leaf, word)) => self.on_its_way.push_front((events - 1, leaf, word)),
            None => {}
        }
    }
}

fn live(speech: Speech, events: &[Event]) -> Servers {
    let life = Life::begin(speech);
    let mut honest =
        Honest { life, now: BEGIN, servers: Servers::default(), on_its_way: VecDeque::new(), runs: 11 };
    for event in events {
        honest.play(*event);
    }
    honest.servers
}

#[test]
fn ten_thousand_honest_lives_raise_no_doubt() {
    // Goal: no false alarm. Method: lives of up to 60 events each, drawn by chance; any suspicion fails.
    let mut runner =
        TestRunner::new(Config { cases: 10_000, failure_persistence: None, ..Config::default() });
    let lives = (speech(), proptest::collection::vec(event(), 1..60));
    let outcome = runner.run(&lives, |(speech, events)| {
        let servers = live(speech, &events);
        prop_assert!(servers.suspicions.is_empty(), "{:?}", servers.suspicions);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

/// Two copies of one state that check in by turns; says after how many check-ins of each the doubt came.
fn rounds_to_doubt(one: &mut Life, two: &mut Life, at: &mut Servers) -> Option<u32> {
    (1..=5).find(|_| {
        for life in [&mut *two, &mut *one] {
            let (leaf, word) = life.says();
            at.hear(leaf, &word);
        }
        !at.suspicions.is_empty()
    })
}

proptest! {
    #[test]
    fn a_copied_life_is_doubted_within_two_checkins_of_each(
        before in proptest::collection::vec(event(), 0..30), other in 0_u8..3,
        started_both in any::<bool>(), server_restarts in any::<bool>(), same_address in any::<bool>(),
    ) {
        let life = Life { leaf: 0, ..Life::begin(Speech::Full) };
        let mut honest =
            Honest { life, now: BEGIN, servers: Servers::default(), on_its_way: VecDeque::new(), runs: 11 };
        for event in before {
            honest.play(event);
        }
        honest.play(Event::Checkin(5));
        let Honest { life: mut one, mut servers, .. } = honest;
        let mut two = one.clone();
        two.starts(1_000_000);
        two.connects(if same_address { one.from.ip() } else { address(other + 1) });
        if started_both {
            one.starts(2_000_000);
        }
        servers.kept = [servers.stored; 2];
        if server_restarts {
            servers.traces = <[Trace; 2]>::default();
        }
        let rounds = rounds_to_doubt(&mut one, &mut two, &mut servers);
        prop_assert!(rounds.is_some_and(|rounds| rounds <= 2), "{:?} {:?} {:?}", rounds, one, two);
    }

    #[test]
    fn two_machines_woken_from_one_memory_are_doubted_within_two_checkins_of_each(
        checkins in 1_usize..100,
    ) {
        // The same run in both: only the count tells.
        let events = vec![Event::Checkin(7); checkins];
        let mut servers = live(Speech::Full, &events);
        let mut one = Life::begin(Speech::Full);
        one.sequence = u64::try_from(checkins).expect("small");
        let mut two = one.clone();
        two.connects(address(2));
        prop_assert!(rounds_to_doubt(&mut one, &mut two, &mut servers).is_some_and(|rounds| rounds <= 2));
    }

    #[test]
    fn numbers_are_told_apart_in_any_order(numbers in proptest::collection::vec(1_u64..200, 1..300)) {
        // Against a plain set, as far back as the window reaches.
        let mut window = Numbers::default();
        let mut heard = alloc::collections::BTreeSet::new();
        for number in numbers {
            let highest = heard.last().copied().unwrap_or(0);
            let repeated = window.is_repeated(number);
            if number + 64 > highest {
                prop_assert_eq!(repeated, heard.contains(&number));
            } else {
                prop_assert!(repeated);
            }
            heard.insert(number);
        }
    }
}

#[test]
fn an_old_agent_on_two_addresses_by_turns_is_doubted_and_a_moving_one_is_not() {
    // Goal: overlap without runs, at the third turn. Method: two kept connections that are used by turns; then one that is left for good
    // and comes back as a new connection from the first address.
    let (mut one, mut two) = (Life::begin(Speech::Boots), Life::begin(Speech::Boots));
    two.connects(address(2));
    let mut servers = Servers::default();
    assert_eq!(rounds_to_doubt(&mut one, &mut two, &mut servers), Some(3));
    assert_eq!(servers.suspicions[0].kind, DoubtKind::Overlap);
    let moving = [
        Event::Checkin(30),
        Event::Moves(1),
        Event::Checkin(30),
        Event::Moves(0),
        Event::Checkin(30),
        Event::Moves(1),
        Event::Checkin(30),
    ];
    assert_eq!(live(Speech::Boots, &moving).suspicions, []);
}

#[test]
fn a_restored_backup_is_doubted_at_its_second_word() {
    // Goal: a boot that runs backwards. Method: a device at boot 9 that says twice that it is at boot 4.
    let mut servers = Servers::default();
    let mut life = Life { boot: 9, ..Life::begin(Speech::Full) };
    let (leaf, word) = life.says();
    servers.hear(leaf, &word);
    (life.boot, life.run, life.sequence) = (4, 77, 0);
    for expected in [0, 1] {
        let (leaf, word) = life.says();
        servers.hear(leaf, &word);
        assert_eq!(servers.suspicions.len(), expected);
    }
    let suspicion = &servers.suspicions[0];
    assert_eq!(suspicion.kind, DoubtKind::Backwards);
    assert!(suspicion.evidence.as_str().contains("boot 9") && suspicion.evidence.as_str().contains("boot 4"));
}

#[test]
fn a_replaced_certificate_that_stays_in_use_is_doubted_and_a_late_one_is_not() {
    // Goal: reuse. Method: the old leaf at once, after the new one spoke, within the
    // minute and after it; a device that took leave, within its minute and after it.
    let mut trace = Trace::default();
    let (old, new) = (&leaf(0), &leaf(1));
    let mut life = Life::begin(Speech::Full);
    let at = |seconds: i64| BEGIN.plus(seconds * 1000);
    assert_eq!(trace.refuse(old, Ended::Replaced, at(0)), None);
    assert_eq!(trace.refuse(old, Ended::Replaced, at(59)), None, "what was asleep wakes up");
    assert_eq!(trace.refuse(old, Ended::Replaced, at(3600)), None, "the newer one has not spoken since");
    let (_, word) = life.says();
    assert_eq!(trace.hear(new, &word, None), None);
    let suspicion = trace.refuse(old, Ended::Replaced, at(3602)).expect("a copy");
    assert_eq!(suspicion.kind, DoubtKind::Reuse);
    let mut gone = Trace::default();
    assert_eq!(gone.refuse(old, Ended::TookLeave, at(0)), None, "it was cut off before it could wipe itself");
    assert_eq!(gone.refuse(old, Ended::TookLeave, at(60)).map(|found| found.kind), Some(DoubtKind::Reuse));
    let mut asleep = Trace::default();
    assert_eq!(asleep.refuse(old, Ended::Replaced, at(0)), None);
    assert_eq!(asleep.hear(new, &word, None), None);
    assert_eq!(asleep.refuse(old, Ended::Replaced, at(59)), None, "a second connection has not noticed yet");
    assert_eq!(asleep.refuse(old, Ended::Replaced, at(60)).map(|found| found.kind), Some(DoubtKind::Reuse));
    let mut gone = Trace::default();
    assert_eq!(gone.refuse(old, Ended::TookLeave, at(0)), None);
    assert_eq!(gone.refuse(old, Ended::TookLeave, at(59)), None, "its wipe may still run");
}

#[test]
fn every_doubt_has_words_for_people_that_fit() {
    // Goal: titles of at most 48 characters, no sentence cut. Method: every kind; the finding must be sendable.
    for kind in [DoubtKind::Overlap, DoubtKind::Reuse, DoubtKind::Backwards, DoubtKind::SameMachine] {
        let finding = Suspicion::new(kind, "seen").finding(BEGIN.seconds());
        assert!(finding.title.as_str().len() <= 48, "{}", finding.title);
        for sentence in
            [&finding.what_changed, &finding.why_it_matters, &finding.how_sure, &finding.what_to_do]
        {
            assert!(sentence.as_str().ends_with('.'), "{sentence} was cut");
        }
        assert_eq!(finding.key.as_str(), kind.word());
        assert_eq!(finding.severity, cordon_proto::telemetry::Severity::High);
    }
}
