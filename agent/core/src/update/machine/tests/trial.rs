//! The health gate: checks that are made again, the time that a trial has, and the network that gives it once more.
//!
//! Tests only; see [`super`].

use super::*;

/// Sends events at their seconds; what the last one led to.
fn at(mut record: Record, events: Vec<(i64, Event)>) -> (Record, Vec<Effect>) {
    let mut effects = Vec::new();
    for (second, event) in events {
        let next = step(record, event, clock(second));
        (record, effects) = (next.record, next.effects);
    }
    (record, effects)
}

fn look(record: &Record, network_down: bool) -> Event {
    Event::Look(Box::new(Look { network_down, ..*clear(record) }))
}

fn why(record: &Record) -> Option<TrialFault> {
    match &record.state {
        State::Reverting(reverting) => Some(reverting.why),
        _ => None,
    }
}

/// A trial in which only the check-in is missing.
fn unmet() -> Record {
    after(trial(), vec![Event::Hashed(NEW), Event::Healthy]).0
}

fn codes(record: &Record) -> Vec<(String, String)> {
    let told = report::blocked_by(record, &clear(record), clock(0));
    told.into_iter().map(|one| (one.code.to_string(), one.sentence.to_string())).collect()
}

#[test]
fn a_check_that_says_no_is_made_again_after_growing_pauses_and_a_late_yes_counts() {
    // Goal: software that comes up slowly is not a bad release. Method: no, a look too early, one in time, no, yes; the
    // same for a slot that cannot be read at first.
    let (record, _) = at(trial(), vec![(0, Event::Unwell), (0, Event::HashFailed)]);
    let soon = look(&record, false);
    assert_eq!(at(record.clone(), vec![(4, soon.clone())]).1, []);
    let hash = Effect::HashSlot { slot: Slot::B, length: LENGTH };
    let (record, effects) = at(record, vec![(5, soon.clone())]);
    assert_eq!(effects, [hash, Effect::CheckHealth]);
    assert_eq!(at(record.clone(), vec![(200, soon.clone())]).1, [], "both are under way");
    let (record, effects) = at(record, vec![(6, Event::Hashed(NEW)), (6, Event::Unwell), (15, soon.clone())]);
    assert_eq!(effects, [], "twice as long now");
    assert!(codes(&record).iter().any(|(code, said)| code == "trial-health" && said.contains("says no")));
    let (record, effects) = at(record, vec![(16, soon)]);
    assert_eq!(effects, [Effect::CheckHealth]);
    let (_, effects) = at(record, vec![(17, Event::Healthy), (18, Event::CheckedIn)]);
    assert_eq!(effects, [Effect::Confirm { slot: Slot::B }]);
}

#[test]
fn when_the_time_is_up_the_last_no_is_the_answer_whatever_the_network_does() {
    // Goal: the end of the hour means back. Method: what can be missing, with the network down and not, one second before
    // the end and at it.
    let unwell = vec![Event::Hashed(NEW), Event::Unwell, Event::CheckedIn];
    let cases = [
        (unwell, TrialFault::Unhealthy),
        (vec![Event::Hashed(NEW), Event::CheckedIn], TrialFault::Silent),
        (vec![Event::HashFailed, Event::Healthy, Event::CheckedIn], TrialFault::Silent),
        (vec![Event::Unwell], TrialFault::Unhealthy),
    ];
    for (events, fault) in cases {
        for network_down in [false, true] {
            let (record, _) = after(trial(), events.clone());
            let look = look(&record, network_down);
            let (record, _) = at(record, vec![(299, look.clone())]);
            assert!(matches!(record.state, State::Trial(_)), "{events:?}");
            let (record, effects) = at(record, vec![(300, look)]);
            assert_eq!((why(&record), effects), (Some(fault), vec![Effect::RollBack { to: Slot::A }]));
        }
    }
}

#[test]
fn the_last_word_of_the_software_and_another_hash_are_not_waited_for() {
    // Goal: what cannot become better is left at once. Method: both, in the first second, with the network down.
    for (event, fault) in
        [(Event::Sick, TrialFault::Unhealthy), (Event::Hashed(OLD), TrialFault::HashDiffers)]
    {
        let (record, effects) = after(trial(), vec![event]);
        assert_eq!((why(&record), effects), (Some(fault), vec![Effect::RollBack { to: Slot::A }]));
    }
}

#[test]
fn a_network_that_is_down_gives_a_trial_its_time_once_more_and_not_twice() {
    // Goal: an outage of the site is not the release's fault, and ends. Method: only the check-in is missing; the looks
    // around both ends; a check-in in the second half.
    let record = unmet();
    let down = look(&record, true);
    let (record, effects) = at(record, vec![(300, down.clone())]);
    assert!(matches!(&record.state, State::Trial(trial) if trial.patience.is_extended()));
    assert_eq!(effects, []);
    assert!(codes(&record).iter().any(|(_, said)| said.contains("the network is down")));
    let (late, effects) = at(record.clone(), vec![(599, down.clone()), (599, Event::CheckedIn)]);
    assert!(matches!(late.state, State::Trial(_)));
    assert_eq!(effects, [Effect::Confirm { slot: Slot::B }]);
    let (record, effects) = at(record, vec![(599, down.clone()), (600, down)]);
    assert_eq!(why(&record), Some(TrialFault::NoCheckin));
    assert_eq!(effects, [Effect::RollBack { to: Slot::A }]);
    assert!(
        gate::may_leave_trial(&record, record.job().expect("a job"), &clear(&record)),
        "without a permit"
    );
}

#[test]
fn a_server_that_answers_badly_gives_no_second_time() {
    // Goal: an image that the server refuses does not hide behind the network. Method: the end, the network up.
    let record = unmet();
    let up = look(&record, false);
    let (record, _) = at(record, vec![(300, up)]);
    assert_eq!(why(&record), Some(TrialFault::NoCheckin));
}

#[test]
fn a_power_cut_forgets_neither_the_time_that_went_nor_the_extension() {
    // Goal: two hours are two hours, over all boots. Method: a trial that was extended is cut off, twice; at each start
    // it has what is left and no more.
    let again = |boots| Event::Started(view(Slot::A, Some(Slot::B), Slot::B, boots));
    let stored = |record: Record| -> Record { wire::read(&wire::write(&record), 65_536).expect("parses") };
    let record = unmet();
    let down = look(&record, true);
    let (record, _) = at(record, vec![(290, down.clone()), (300, down.clone())]);
    // The clock that only rises begins anew with each boot.
    let ready =
        |second, boots| vec![(second, again(boots)), (second, Event::Hashed(NEW)), (second, Event::Healthy)];
    let (record, _) = at(stored(record), ready(0, 2));
    assert!(
        matches!(&record.state, State::Trial(trial) if trial.patience.is_extended()),
        "{:?}",
        record.state
    );
    let (record, _) = at(record, vec![(0, down.clone()), (200, down.clone())]);
    assert!(matches!(record.state, State::Trial(_)));
    let (record, _) = at(stored(record), ready(0, 3));
    assert!(matches!(record.state, State::Trial(_)));
    let (record, _) = at(record, vec![(100, down)]);
    assert_eq!(why(&record), Some(TrialFault::NoCheckin), "300 + 200 + 100");
}
