//! Tests of a start: how long an enrolment waits, which farewell is acted on, and what one report does about a refusal.

use cordon_proto::ids::Sha256;

use super::*;

fn pace() -> Pace {
    Pace { backoff: Backoff::new(100, 10_000), slowly: Duration::from_secs(60), ..Pace::default() }
}

fn down() -> IdentityError {
    let source = LinkError::Unreachable { cause: "down".to_owned() };
    IdentityError::Server { host: "cordon.example".to_owned(), source }
}

#[test]
fn the_waits_of_an_enrolment_grow_until_the_server_answers() {
    // Goal: no storm of devices that wait for approval on a server that is down. Method: the pauses themselves, then an
    // answer, then a failure again; a refusal for good ends the questions.
    let mut pauses = Pauses::of(pace());
    let mut millis = |error: &IdentityError| pauses.after(error).map(|pause| pause.as_millis());
    for step in [100, 200, 400, 800, 1600] {
        let pause = millis(&down()).expect("is asked again");
        assert!((step / 2..=step).contains(&pause), "{pause} of {step}");
    }
    let waiting = IdentityError::Waiting { fingerprint: Sha256([1; 32]), retry_after_s: Some(2) };
    assert!(millis(&waiting).expect("is asked again") >= 2000);
    assert!(millis(&down()).expect("is asked again") <= 100, "an answer begins the waits again");
    assert_eq!(millis(&IdentityError::Token), None);
}
