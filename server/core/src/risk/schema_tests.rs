//! Tests: `docs/schemas/facts.json` and `score.json` describe what the code reads and writes.
//!
//! The checker knows the few words of JSON Schema that those two files use and refuses any other, so that a schema
//! cannot promise what nobody checks. Read next: [`super::facts`], [`super::score`].

use alloc::format;
use alloc::string::{String, ToString};

use serde_json::Value;

use super::examples::{NOW, flat_pump};
use super::model::RISK_V1;
use super::{Facts, score};

const FACTS: &str = include_str!("../../../../docs/schemas/facts.json");
const SCORE: &str = include_str!("../../../../docs/schemas/score.json");

fn schema(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Whether `value` fits `schema`; the first misfit with its path.
fn check(root: &Value, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    for (word, rule) in schema.as_object().unwrap() {
        let fits = match word.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" | "properties" | "examples" => true,
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                check(root, &root["$defs"][name], value, path)?;
                true
            }
            "type" => {
                rule.as_array().map_or_else(|| is(value, rule), |any| any.iter().any(|kind| is(value, kind)))
            }
            "enum" => rule.as_array().unwrap().contains(value),
            "anyOf" => rule.as_array().unwrap().iter().any(|one| check(root, one, value, path).is_ok()),
            "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().unwrap()),
            "maximum" => value.as_u64().is_none_or(|number| number <= rule.as_u64().unwrap()),
            "pattern" => value
                .as_str()
                .is_none_or(|text| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())),
            "required" => {
                rule.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "additionalProperties" => members(root, schema, value, path)?,
            "items" => {
                for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, item, &format!("{path}/{place}"))?;
                }
                true
            }
            other => return Err(format!("the checker does not know {other}")),
        };
        if !fits {
            return Err(format!("{path} breaks {word} {rule}: {value}"));
        }
    }
    Ok(())
}

/// Checks each member against its property; true if no other member is there.
fn members(root: &Value, schema: &Value, value: &Value, path: &str) -> Result<bool, String> {
    for (name, member) in value.as_object().into_iter().flatten() {
        let Some(property) = schema["properties"].get(name) else { return Ok(false) };
        check(root, property, member, &format!("{path}/{name}"))?;
    }
    Ok(true)
}

fn is(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => panic!("unknown type {other}"),
    }
}

#[test]
fn facts_and_scores_fit_their_schemas() {
    // Goal: the published shapes are true. Method: our own values, and the examples inside the schemas, both ways.
    let facts_schema = schema(FACTS);
    let facts = serde_json::to_value(flat_pump()).unwrap();
    assert_eq!(check(&facts_schema, &facts_schema, &facts, ""), Ok(()));
    for example in facts_schema["examples"].as_array().unwrap() {
        assert_eq!(check(&facts_schema, &facts_schema, example, ""), Ok(()));
        let read: Facts = serde_json::from_value(example.clone()).unwrap();
        let score_schema = schema(SCORE);
        let score = serde_json::to_value(score(&read, &RISK_V1, NOW)).unwrap();
        assert_eq!(check(&score_schema, &score_schema, &score, ""), Ok(()));
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
        assert!(check(&schema, &schema, &bad, "").is_err(), "{bad}");
        assert!(serde_json::from_value::<Facts>(bad.clone()).is_err(), "{bad}");
    };
    spoil(&|bad| bad["postur"] = Value::Null);
    spoil(&|bad| bad["posture"]["secure_boot_of"] = "yes".into());
    spoil(&|bad| bad["reach"]["zone"] = "safe".into());
    spoil(&|bad| bad["findings"][0]["severity"] = 3.into());
    spoil(&|bad| bad["exposures"][0]["epss_millionths"] = "0.9".into());
    spoil(&|bad| {
        bad.as_object_mut().unwrap().remove("device");
    });
    assert_eq!(good["device"].to_string(), "\"VP3-004417\"");
}
