//! All rules of the engine, each with the scripts that show it: a newcomer's way in, and what a new rule has to enter.
//!
//! [`RULES`] is read from top to bottom: who gets the go, how one ends, what stops a rollout, what people do, the way back,
//! several rollouts, contents, clocks, and what is refused before anything begins. The tests below it see to it that no
//! script is without a rule, and that every code of the engine's closed enums is in a script: a new variant does not
//! compile before it has its words here, and fails until a script says them. Read next: `golden/01-in-use.txt`.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use cordon_proto::checkin::UpdateState;
use cordon_proto::receipt::Outcome;
use cordon_proto::update::content::ContentRefusal;
use cordon_proto::update::refusal::{Refusal, is_final_code};

use super::super::*;
use super::SCRIPTS;
use crate::device::State as Trust;
use crate::order_plan::{BackPreview, Fate};

/// A rule in a sentence, and the scripts that show it.
type Rule = (&'static str, &'static [&'static str]);

/// All rules, by what they are about.
const RULES: &[(&str, &[Rule])] = &[
    ("who gets the go", GO),
    ("how a device ends", ENDS),
    ("what stops a rollout", STOPS),
    ("waves", WAVES),
    ("what people do", PEOPLE),
    ("the way back", BACK),
    ("several rollouts", SEVERAL),
    ("content", CONTENT),
    ("clocks, and who was not there", CLOCKS),
    ("before it begins", BEFORE),
    ("the second opinion", SECOND),
];

const GO: &[Rule] = &[
    ("who names anything but the missing go waits, and takes no place", &["01-in-use", "50-codes"]),
    ("what comes into its way after the go takes the go back", &["01-in-use", "37-does-something-else"]),
    (
        "never more at once than the rollout and all rollouts together may",
        &["01-in-use", "32-places", "59-stopped-keeps-places"],
    ),
    ("who does not listen has its go in its own check-in, and only where the lease is", &["33-metered"]),
    ("a go that nobody came for goes to another, and is no failure", &["34-unclaimed"]),
    ("a go lives as long as its order says and no longer than that", &["55-permit-ends-with-its-order"]),
    ("who is lost, retired or not yet in gets none, who is in quarantine does", &["36-out-of-service"]),
    ("an order that needs no go is counted by its receipts alone", &["43-offline-order"]),
];

const ENDS: &[Rule] = &[
    ("a receipt counts for this order, image, act and open row, once", &["03-receipts", "43-offline-order"]),
    ("what it says of itself ends nothing without a receipt", &["54-armed-and-says-more"]),
    ("who was told and is not heard has failed; who is heard again has not", &["02-silent"]),
    ("a silent one is tried again, each time later, as often as its pace says", &["02-silent", "22-pace"]),
    ("what may be tried again is decided by the class of its code", &["21-retry-classes"]),
    ("a refusal is final or waits by its code alone", &["06-refused", "50-codes", "28-downgrade"]),
    ("who runs it already is neither a success nor a failure", &["06-refused", "45-already-there"]),
    ("who turned to something else has failed at nothing", &["37-does-something-else", "36-out-of-service"]),
];

const STOPS: &[Rule] = &[
    ("the share of failures is above the limit with 95 % certainty", &["05-mixed", "07-bad-release"]),
    ("in a large wave one failure alone never stops", &["57-least-failures"]),
    ("a count of failures; a plain share once enough have ended", &["13-count-and-rate"]),
    ("unreached devices stop nothing", &["04-unreached", "05-mixed"]),
    ("everybody of a wave has ended and too few are confirmed", &["44-too-few", "45-already-there"]),
    ("no order of those who are left holds any more", &["11-orders-end", "40-finish-by-a-person"]),
    ("an order signed anew under its name for other bytes is another order", &["52-signed-anew"]),
    ("going on is refused while the next tick would stop it again", &["44-too-few", "26-way-back-closes"]),
];

const WAVES: &[Rule] = &[
    ("the next one begins when this one is settled and watched", &["04-unreached", "23-acceptance-every"]),
    ("who is not heard for days, or waits too long, is not waited for", &["04-unreached", "17-waiting"]),
    ("latecomers get the go as before, and their failures count", &["16-latecomers"]),
    ("who comes to fit the facts joins; such a rollout stays open", &["15-joins"]),
    ("none, some or all confirmed devices are looked at first", &["14-acceptance", "24-acceptance-sample"]),
    ("who is not accepted has failed", &["23-acceptance-every", "24-acceptance-sample"]),
];

const PEOPLE: &[Rule] = &[
    ("pause gives no new go, stop withholds all, abort ends for good", &["09-people", "56-abort"]),
    (
        "stopped before its reboot a device does not reboot; going on gives it back",
        &["18-stop-before-reboot"],
    ),
    ("a hold takes the go from a ward, a site or a model", &["10-hold", "19-hold-by-site-and-model"]),
    ("a hold ends when it says, or when somebody ends it", &["10-hold", "19-hold-by-site-and-model"]),
    ("no hold makes good that a device went dark with its go", &["20-hold-and-dark"]),
    ("a rollout whose orders ended may be finished", &["40-finish-by-a-person"]),
];

const BACK: &[Rule] = &[
    ("who confirmed is offered it, without a new signature, until it closes", &["08-way-back"]),
    ("a late receipt of the install opens it, too", &["08-way-back"]),
    ("who refuses it or fails on it stops the return, if there are too many", &["25-way-back-refused"]),
    ("when it closes, the return stops", &["26-way-back-closes"]),
    ("a silent one is tried again, and then no longer waited for", &["27-way-back-silent"]),
    ("what was finished or ended in fright can still be sent back", &["40-finish-by-a-person", "56-abort"]),
    ("a downgrade needs it: no order leads down", &["28-downgrade"]),
];

const SEVERAL: &[Rule] = &[
    ("of two for one device one that moves, then the more urgent, then the newer", &["12-priority"]),
    (
        "a device that turned to the newer release is there already for the older",
        &["30-two-rollouts", "58-silent-and-further"],
    ),
    ("who has moved on is not sent back by the older one", &["31-two-returns"]),
    ("a second rollout of one release over the same device is named", &["47-opening"]),
];

const CONTENT: &[Rule] = &[
    ("a place is the offer; the device's first word is its end", &["38-content", "51-content-codes"]),
    ("who brought it with it shows nothing", &["38-content"]),
    ("another version under its name is offered to nobody", &["39-content-theft"]),
    ("its places are its own, and a hold takes them", &["53-content-beside-firmware"]),
];

const CLOCKS: &[Rule] = &[
    ("a server that was off has learned nothing about anybody", &["35-server-off"]),
    (
        "a year ahead gives no go, and what it marked counts for nothing once it is set right",
        &["41-clock-a-year-ahead"],
    ),
    ("a receipt that comes while the clock is behind still counts", &["42-clock-behind"]),
];

const BEFORE: &[Rule] = &[
    ("every device that is meant falls to one fate, before anybody signs", &["29-order-preview"]),
    ("a release for an application counts nobody in whose application never spoke", &["29-order-preview"]),
    ("what its order needs is here and is what the maker lists", &["47-opening"]),
    ("a list is split without an empty wave and without anybody left", &["48-splitting"]),
    ("limits that could not do their work are refused", &["49-limits"]),
];

const SECOND: &[Rule] =
    &[("a plan that breaks a promise is refused, whatever made it", &["46-second-opinion"])];

/// The words by which a script shows each variant of a closed enum. A variant without words does not compile; one that no
/// script can show has none, and says why.
macro_rules! words {
    ($($name:ident: $of:ty { $($variant:pat => $words:expr,)* })*) => {$(
        fn $name() -> Vec<&'static str> {
            let _closed = |code: &$of| match code { $($variant => (),)* };
            let words: Vec<&[&'static str]> = vec![$(&$words,)*];
            words.concat()
        }
    )*};
}

// What the engine says.
words! {
    states: State {
        State::Running => ["  running"],
        State::Halted { .. } => ["  halted in wave"],
        State::Paused { .. } => ["  paused by"],
        State::Stopped { .. } => ["  stopped by"],
        State::Aborted { .. } => ["  aborted by"],
        State::Returning => ["  returning"],
        State::Returned { .. } => ["  returned"],
        State::Finished { .. } => ["  finished"],
    }
    acts: Act {
        Act::Silent { .. } => ["  silent (Install): D", "  silent (Back): D"],
        Act::TakeBack { .. } => ["  go taken back (Install): D", "  go taken back (Back): D"],
        Act::Halt { .. } => ["  halt in wave"],
        Act::Stop { .. } => [
            "  stop: no device that is left may install",
            "  stop: the way back goes wrong",
            "  stop: the way back has closed",
        ],
        Act::Begin { .. } => ["  begin wave"],
        Act::Join { .. } => ["  wave 1 takes in D"],
        Act::Permit { .. } => ["  go in wave 1: D"],
        Act::Back { .. } => ["  way back: D"],
        Act::Settle { .. } => ["  settle wave"],
        Act::Finish => ["  finish\n"],
        Act::FinishReturn => ["  finish the return"],
    }
    breaks: Break {
        Break::Count { .. } => ["are enough to stop"],
        Break::Rate { .. } => ["finished devices failed; the limit is"],
        Break::Bound { .. } => ["finished devices failed, at least", "too few to go on"],
    }
    stages: Stage {
        Stage::Unreached => ["  Unreached: D"],
        Stage::Waiting => ["  Waiting: D"],
        Stage::Installing => ["  Installing: D"],
        Stage::Already => ["  Already: D"],
        Stage::Confirmed => ["  Confirmed: D"],
        Stage::Returned => ["  Returned: D"],
        Stage::Failed(_) => ["  Failed("],
    }
    failures: Failure {
        Failure::RolledBack => ["  Failed(RolledBack): D"],
        Failure::Refused => ["  Failed(Refused): D"],
        Failure::Silent => ["  Failed(Silent): D"],
        Failure::NotAccepted => ["  Failed(NotAccepted): D"],
        Failure::NotReturned => ["  Failed(NotReturned): D"],
    }
    not_counted: NotCounted {
        NotCounted::OtherOrder => ["nothing: OtherOrder"],
        NotCounted::Older => ["nothing: Older"],
        NotCounted::OtherImage => ["nothing: OtherImage"],
        NotCounted::OtherAct => ["nothing: OtherAct"],
        NotCounted::NoOpenRow => ["nothing: NoOpenRow"],
    }
    violations: Violation {
        Violation::NotRunning => ["refused: NotRunning"],
        Violation::OutsideItsWave => ["refused: OutsideItsWave"],
        Violation::WaveTooEarly => ["refused: WaveTooEarly"],
        Violation::TooManyInFlight => ["refused: TooManyInFlight"],
        Violation::NotEntitled => ["refused: NotEntitled"],
        Violation::GoWhileHalting => ["refused: GoWhileHalting"],
        Violation::SettledTooEarly => ["refused: SettledTooEarly"],
        Violation::FinishedTooEarly => ["refused: FinishedTooEarly"],
        Violation::Misfit => ["refused: Misfit"],
        Violation::Nonsense => ["refused: Nonsense"],
        Violation::TakenWithoutCause => ["refused: TakenWithoutCause"],
        Violation::NotSilent => ["refused: NotSilent"],
    }
    holds: Covers {
        Covers::Ward(_) => ["  ward St. Brigid/4B by"],
        Covers::Site(_) => ["  site St. Brigid by"],
        Covers::Model(_) => ["  model VP-3 by"],
    }
    classes: Class {
        Class::DeviceItself => ["  DeviceItself:"],
        Class::Reach => ["  Reach:"],
        Class::Image => ["  Image:"],
        Class::Refused => ["  Refused:"],
        Class::Silent => ["  Silent:"],
        Class::Person => ["  Person:"],
    }
    tries: Again {
        Again::Now => ["at once\n"],
        Again::At(_) => ["after 3600 s"],
        Again::Never => ["never under this order"],
    }
    openings: NotReady {
        NotReady::NeverOpens(_) => ["  never_opens:"],
        NotReady::UnknownToMaker { .. } => ["which its maker does not list here"],
        NotReady::TakenBack { .. } => ["which its maker took back"],
        NotReady::HashDiffers { .. } => ["  hash_differs:"],
        NotReady::ImageMissing(_) => ["  image_missing:"],
        NotReady::OtherModel { .. } => ["  other_model:"],
    }
    splits: SplitError {
        SplitError::Size(_) => ["is no size of a wave"],
        SplitError::Empty(_) => ["would have no device"],
        SplitError::Left(_) => ["would stand in no wave"],
    }
    fates: Fate {
        Fate::Fits => ["  fits\n"],
        Fate::Already => ["  already\n"],
        Fate::Newer => ["  newer\n"],
        Fate::OtherHardware => ["  other-hardware\n"],
        Fate::BelowFloor => ["  below-floor\n"],
        Fate::NeedsStep(_) => ["  needs-step: "],
        Fate::NoWay => ["  no-way\n"],
        Fate::NoApplication => ["  no-application\n"],
        Fate::Unknown => ["  unknown\n"],
    }
    ways_back: BackPreview {
        BackPreview::Open => ["  open\n"],
        BackPreview::BelowFloor { .. } => ["  below the floor:"],
        BackPreview::NotOlder => ["  not older\n"],
        BackPreview::NotListed => ["  not listed\n"],
        BackPreview::OtherModel => ["  another model\n"],
    }
}

// What it is given.
words! {
    acceptance: Acceptance {
        // What a rollout has that says nothing else.
        Acceptance::None => [],
        Acceptance::Sample { .. } => ["accept=1\n"],
        Acceptance::Every => ["accept=every"],
    }
    kinds: RolloutKind {
        RolloutKind::Firmware => [],
        RolloutKind::Content => ["\ncontent 7\n"],
    }
    trusts: Trust {
        // It holds no identity: no list and no fact of an order reaches it.
        Trust::Listed => [],
        Trust::Expected => ["becomes expected"],
        Trust::Pending => ["becomes pending"],
        Trust::Active => ["becomes active"],
        Trust::Quarantined => ["becomes quarantined"],
        Trust::Retired => ["becomes retired"],
        Trust::Lost => ["becomes lost"],
    }
    outcomes: Outcome {
        Outcome::Confirmed => [" confirmed\n"],
        Outcome::RolledBack => [" rolled-back "],
        Outcome::Refused => [" refused "],
        Outcome::WentBack => [" went-back\n"],
    }
    updates: UpdateState {
        UpdateState::Idle => [" idle\n"],
        UpdateState::Fetching => [" fetches\n"],
        UpdateState::Waiting => [" waits "],
        UpdateState::Armed => [" armed\n"],
        UpdateState::Trial => [" trial\n"],
        UpdateState::Confirmed => [" says-confirmed\n"],
        UpdateState::RolledBack => [" says-rolled-back\n"],
        UpdateState::Refused => [" refuses "],
    }
    contents: ContentRefusal {
        // May pass: the device tries again and tells nobody.
        ContentRefusal::NotListed => [],
        ContentRefusal::NotYet(_) => [],
        ContentRefusal::NotInScope(_) => [],
        ContentRefusal::OtherBytes => [],
        ContentRefusal::Unreadable(_) => ["faults content-unreadable 7"],
        ContentRefusal::Expired(_) => ["faults content-expired 7"],
        ContentRefusal::NotNewer { .. } => ["faults content-not-newer 7"],
        ContentRefusal::Unfit(_) => ["faults content-unfit 7"],
        ContentRefusal::OtherName => ["faults content-other-name 7"],
        ContentRefusal::OtherModel(_) => ["faults content-other-model 7"],
    }
    // Each as the device's own word and among the reasons; the roles of a chain are closed in the ground's `refusal`.
    refusals: Refusal {
        Refusal::Chain { .. } => [
            "director-root", "director-timestamp", "director-snapshot", "director-targets",
            "image-root", "image-timestamp", "image-snapshot", "image-targets",
        ],
        Refusal::OrderNotListed { .. } => ["order-not-listed"],
        Refusal::OrderUnreadable { .. } => ["order-unreadable"],
        Refusal::OrderNotYet { .. } => ["order-not-yet"],
        Refusal::OrderExpired { .. } => ["order-expired"],
        Refusal::NoWayBack { .. } => ["no-way-back"],
        Refusal::WayBackClosed { .. } => ["way-back-closed"],
        Refusal::ClockBeforeOrder { .. } => ["clock-before-order"],
        Refusal::NotInScope { .. } => ["not-in-scope"],
        Refusal::UnknownToMaker { .. } => ["unknown-to-maker"],
        Refusal::ReleaseUnreadable { .. } => ["release-unreadable"],
        Refusal::LengthDiffers { .. } => ["length-differs"],
        Refusal::HashDiffers { .. } => ["hash-differs"],
        Refusal::OtherModel { .. } => ["other-model"],
        Refusal::OtherHardware { .. } => ["other-hardware"],
        Refusal::GivenUp { .. } => ["given-up"],
        Refusal::NotNewer { .. } => ["not-newer"],
        Refusal::NotConfirmedHere { .. } => ["not-confirmed-here"],
        Refusal::BackNotOlder { .. } => ["way-back-not-older"],
        Refusal::BelowFloor { .. } => ["below-floor"],
        Refusal::MinFrom { .. } => ["min-from"],
        Refusal::NoPermit { .. } => ["no-permit"],
        Refusal::OutsideWindow { .. } => ["outside-window"],
        Refusal::Power { .. } => ["power"],
        Refusal::Interlock { .. } => ["interlock"],
    }
}

#[test]
fn every_rule_has_its_scripts_and_every_script_its_rule() {
    // Goal: a table that promises nothing that is not there and forgets nothing. Method: its names against the files'.
    let rules: Vec<&Rule> = RULES.iter().flat_map(|(_, rules)| *rules).collect();
    let named: BTreeSet<&str> = rules.iter().flat_map(|(_, scripts)| *scripts).copied().collect();
    let there: BTreeSet<&str> = SCRIPTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, there);
    assert!(rules.iter().all(|(_, scripts)| !scripts.is_empty()));
    let sentences: BTreeSet<&str> = rules.iter().map(|(sentence, _)| *sentence).collect();
    assert_eq!(sentences.len(), rules.len(), "each once");
}

#[test]
fn every_code_of_the_engine_is_in_a_script() {
    // Goal: no rule without a script. Method: the words of every variant of the closed enums, looked for in all scripts.
    let engine = [states(), acts(), breaks(), stages(), failures(), not_counted(), violations(), holds()];
    let others = [classes(), tries(), openings(), splits(), fates(), ways_back()];
    let given = [acceptance(), kinds(), trusts(), outcomes(), updates(), contents()];
    let content = vec!["faults content-crash 7", "faults content-memory 7", "faults content-spent 7"];
    let all = engine.into_iter().chain(others).chain(given).chain([content]).flatten();
    let missing: Vec<&str> =
        all.filter(|words| !SCRIPTS.iter().any(|(_, text)| text.contains(*words))).collect();
    assert!(missing.is_empty(), "in no script: {missing:#?}");
}

#[test]
fn every_refusal_of_a_device_is_in_a_script_and_is_final_there_as_it_is_for_the_device() {
    // Goal: the engine and the device mean the same by a code. Method: each code as a device's word in the script of all
    // codes; the final ones end a device there, the others let it wait.
    let (_, text) = SCRIPTS.iter().find(|(name, _)| *name == "50-codes").expect("there");
    for code in refusals() {
        let says = if is_final_code(code) {
            alloc::format!(" refuses {code}\n")
        } else {
            alloc::format!(" {code}\n")
        };
        assert!(text.contains(&says), "`{says}` is in no line");
    }
}

#[test]
fn every_reason_that_the_engine_gives_itself_is_in_a_script() {
    // Goal: no reason without a script. Method: the words of `reason_of`, as they stand in its source, among the reasons.
    let (_, of) = include_str!("../offer.rs").split_once("pub fn reason_of(").expect("there");
    let body = of.split("\n    }\n").next().expect("an end");
    let codes: Vec<&str> = body.split('"').skip(1).step_by(2).collect();
    assert!(codes.len() >= 7, "{codes:?}");
    for code in codes.into_iter().chain(["no-permit"]) {
        let said = alloc::format!("\n  {code}: ");
        assert!(
            SCRIPTS.iter().any(|(_, text)| text.contains(&said)),
            "`{code}` is among no script's reasons"
        );
    }
}
