//! Tests of birth certificates: whom each kind of anchor lets in.

use super::*;

fn anchor(admit: Admit) -> Anchor {
    let models = vec_of(&["VP-3", "VP-4"]);
    Anchor { name: text("halden"), manufacturer: text("Halden"), models, admit, require_binding: false }
}

fn vec_of(models: &[&str]) -> Vec<Text> {
    models.iter().map(|model| text(model)).collect()
}

pub(super) fn credential(admit: Admit, serial: &str) -> Credential {
    Credential::Birth { anchor: Arc::new(anchor(admit)), serial: text(serial) }
}

fn born(admit: Admit, key: u8) -> Request {
    Request { credential: credential(admit, "A"), ..request("A", key) }
}

fn with<'a>(device: Option<&'a Device>) -> Known<'a> {
    Known { device, ..Known::default() }
}

#[test]
fn each_kind_of_anchor_lets_in_whom_it_says() {
    // Goal: the table of decision 0010. Method: every kind of anchor against a stranger, an announced, a living one.
    let announced = for_serial("A", false).expected(fresh()).expect("announced");
    let (living, _) = enrolled();
    let retired = living.after(Act::Retire, text("sold"), NOW).expect("possible");
    let word = |outcome: Result<Admission, Refused>| match outcome {
        Ok(Admission::Issue(_)) => "in",
        Ok(Admission::Same(_)) => "same",
        Ok(Admission::Wait(_)) => "waits",
        Err(refused) => refused.code(),
    };
    let cases = [
        (Admit::Expected, ["not_expected", "in", "waits", "same", "waits"]),
        (Admit::All, ["in", "in", "waits", "same", "waits"]),
        (Admit::Approval, ["waits", "waits", "waits", "same", "waits"]),
    ];
    for (admit, expected) in cases {
        let asked = |device, key| word(ask(&born(admit, key), with(device), NOW));
        let found = [
            asked(None, 2),
            asked(Some(&announced), 2),
            asked(Some(&living), 2),
            asked(Some(&living), 1),
            asked(Some(&retired), 2),
        ];
        assert_eq!(found, expected, "{admit:?}");
    }
    let open = decide(&born(Admit::Expected, 2), with(None), &OPEN, fresh(), NOW);
    assert_eq!(word(open), "waits", "with a queue, a person may say yes to it");
}

#[test]
fn the_certificates_serial_maker_and_model_must_be_the_requests() {
    // Goal: one birth certificate is one device. Method: one misfit a request.
    let other = Request { credential: credential(Admit::All, "B"), ..request("A", 1) };
    assert_eq!(ask(&other, with(None), NOW), Err(Refused::SerialMismatch));
    let stating = |hardware| Request { hardware: Some(hardware), ..born(Admit::All, 1) };
    let maker = stating(Hardware { manufacturer: text("Vell"), ..hardware("A") });
    assert_eq!(ask(&maker, with(None), NOW), Err(Refused::ManufacturerMismatch));
    let model = stating(Hardware { model: text("XR-1"), ..hardware("A") });
    assert_eq!(ask(&model, with(None), NOW), Err(Refused::ModelMismatch));
    let strict = Anchor { require_binding: true, ..anchor(Admit::All) };
    let strict = Credential::Birth { anchor: Arc::new(strict), serial: text("A") };
    let unbound = Request { credential: strict, ..request("A", 1) };
    assert_eq!(ask(&unbound, with(None), NOW), Err(Refused::BindingRequired));
    assert!(ask(&Request { bound: true, ..unbound }, with(None), NOW).is_ok());
}

#[test]
fn a_plain_client_gets_the_model_that_its_serial_is_known_under() {
    // Goal: birth certificates without our header. Method: a model from the list, one from the anchor, none.
    let plain = Request { hardware: None, ..born(Admit::All, 1) };
    let model = text("VP-4");
    let known = Known { model: Some(&model), ..Known::default() };
    assert_eq!(issued(ask(&plain, known, NOW), NOW).device.hardware.model, model);
    let device = issued(ask(&plain, with(None), NOW), NOW).device;
    assert_eq!((device.hardware.model, device.hardware.manufacturer), (text("unknown"), text("Halden")));
    assert_eq!(device.reason.as_str(), "enrolled with a birth certificate of halden");
    let one = Anchor { models: vec_of(&["VP-5"]), ..anchor(Admit::All) };
    let one = Credential::Birth { anchor: Arc::new(one), serial: text("A") };
    let device = issued(ask(&Request { credential: one, ..plain }, with(None), NOW), NOW).device;
    assert_eq!(device.hardware.model, text("VP-5"));
}

#[test]
fn a_serial_with_an_identity_under_another_model_waits() {
    // Goal: one machine is not two devices by its own word of its model. Method: the very same request with and without.
    let elsewhere = Known { elsewhere: true, ..Known::default() };
    let stranger = waits(ask(&born(Admit::All, 1), elsewhere, NOW)).expect("noted");
    assert_eq!(stranger.state, State::Pending);
    assert!(matches!(ask(&born(Admit::All, 1), with(None), NOW), Ok(Admission::Issue(_))));
}

#[test]
fn a_serial_that_was_announced_of_another_maker_waits() {
    // Goal: serials are a maker's own. Method: the same serial announced of each maker, and of none.
    let announced = for_serial("A", false).expected(fresh()).expect("announced");
    for (maker, welcome) in [("Halden", true), ("Vell", false), ("", true)] {
        let hardware = Hardware { manufacturer: Text::lossy(maker), ..announced.hardware.clone() };
        let device = Device { hardware, ..announced.clone() };
        let decided = ask(&born(Admit::Expected, 1), with(Some(&device)), NOW);
        assert_eq!(matches!(decided, Ok(Admission::Issue(_))), welcome, "{maker}: {decided:?}");
    }
}
