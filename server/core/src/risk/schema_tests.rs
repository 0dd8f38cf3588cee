//! Tests: `docs/schemas/facts.json` and `score.json` describe what the code reads and writes.
//!
//! Read next: [`super::facts`], [`super::score`], `schema.rs` for the checker.

use alloc::string::ToString;

use serde_json::{Value, json};

use super::examples::{NOW, flat_pump};
use super::model::RISK_V1;
use super::{Facts, score};
use crate::schema::check;

const FACTS: &str = include_str!("../../../../docs/schemas/facts.json");
const SCORE: &str = include_str!("../../../../docs/schemas/score.json");

fn schema(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn facts_and_scores_fit_their_schemas() {
    // Goal: the published shapes are true. Method: our own values, and the examples inside the schemas, both ways.
    let facts_schema = schema(FACTS);
    let facts = serde_json::to_value(flat_pump()).unwrap();
    assert_eq!(check(&facts_schema, &facts), Ok(()));
    for example in facts_schema["examples"].as_array().unwrap() {
        assert_eq!(check(&facts_schema, example), Ok(()));
        let read: Facts = serde_json::from_value(example.clone()).unwrap();
        let score_schema = schema(SCORE);
        let score = serde_json::to_value(score(&read, &RISK_V1, NOW)).unwrap();
        assert_eq!(check(&score_schema, &score), Ok(()));
    }
}

#[test]
fn what_breaks_a_schema_is_refused_by_the_reader_too() {
    // Goal: a typing error is never silently "safe". Method: spoilt copies of one example.
    let schema = schema(FACTS);
    let good = schema["examples"][0].clone();
    let spoil = |change: &dyn Fn(&mut Value)| {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(check(&schema, &bad).is_err(), "{bad}");
        assert!(serde_json::from_value::<Facts>(bad.clone()).is_err(), "{bad}");
    };
    spoil(&|bad| bad["postur"] = Value::Null);
    spoil(&|bad| bad["posture"]["secure_boot_of"] = "yes".into());
    spoil(&|bad| bad["reach"]["zone"] = "safe".into());
    spoil(&|bad| bad["findings"][0]["severity"] = 3.into());
    spoil(&|bad| bad["findings"][0]["owner"] = "nobody".into());
    spoil(&|bad| bad["exposures"][0]["epss_millionths"] = "0.9".into());
    spoil(&|bad| bad["posture"]["os_support"] = json!({"until": {"at": 1, "from": 1}}));
    spoil(&|bad| bad["posture"]["os_support"]["ended"]["when"] = 1.into());
    spoil(&|bad| bad["freshness"]["release"]["behind"]["fixed"] = 1.into());
    spoil(&|bad| {
        bad.as_object_mut().unwrap().remove("device");
    });
    let mut owned = good.clone();
    owned["findings"][0]["owner"] = "clinical-engineering".into();
    assert!(check(&schema, &owned).is_ok() && serde_json::from_value::<Facts>(owned).is_ok());
    assert_eq!(good["device"].to_string(), "\"VP3-004417\"");
}

#[test]
fn a_schema_that_nobody_checks_is_refused() {
    // Goal: the checker itself promises nothing that it does not do. Method: each word by a value that fits and one that does
    // not, words and references that are not known.
    let root = json!({
        "$defs": {"count": {"type": "integer", "minimum": 1, "maximum": 3}},
        "type": "object", "required": ["v"], "additionalProperties": {"$ref": "#/$defs/count"},
        "properties": {
            "v": {"const": 1},
            "word": {"enum": [null, "a"]},
            "hash": {"type": ["string", "null"], "pattern": "^[0-9a-f]{64}$"},
            "list": {"type": "array", "items": {"anyOf": [{"type": "boolean"}, {"$ref": "#/$defs/count"}]}},
        }
    });
    let hash = "0f".repeat(32);
    for fit in [json!({"v": 1}), json!({"v": 1, "word": null, "hash": hash, "list": [true, 3], "x": 2})] {
        assert_eq!(check(&root, &fit), Ok(()));
    }
    for (name, value) in [
        ("v", json!(2)),
        ("word", json!("b")),
        ("hash", json!("0F".repeat(32))),
        ("hash", json!(1)),
        ("list", json!(["a"])),
        ("list", json!([0])),
        ("x", json!(4)),
        ("x", json!("2")),
    ] {
        let mut misfit = json!({"v": 1});
        misfit[name] = value;
        assert!(check(&root, &misfit).is_err(), "{misfit}");
    }
    assert!(check(&root, &json!({})).is_err() && check(&root, &json!([])).is_err());
    for schema in
        [json!({"format": "date"}), json!({"pattern": "^a"}), json!({"$ref": "#/$defs/none"}), json!(true)]
    {
        assert!(check(&schema, &json!("a")).is_err(), "{schema}");
    }
}
