//! Whether a document fits one of `docs/schemas`: for tests, of this package and of those above it.
//!
//! The checker knows the few words of JSON Schema that our files use and refuses any other, so that a schema cannot promise
//! what nobody checks. No program reads a schema: what strangers send is parsed into closed types. Read next:
//! `risk/schema_tests.rs`, which turns it on itself.

use alloc::format;
use alloc::string::String;

use serde_json::Value;

/// The one pattern that is known: a SHA-256 in hexadecimal.
const SHA256: &str = "^[0-9a-f]{64}$";

/// Whether `value` fits `schema`.
///
/// # Errors
/// The first misfit with its path, or the word of the schema that is not known.
pub fn check(schema: &Value, value: &Value) -> Result<(), String> {
    fits(schema, schema, value, "$")
}

fn fits(root: &Value, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    let Some(words) = schema.as_object() else { return Err(format!("{path} is in no schema: {value}")) };
    for (word, rule) in words {
        let holds = match word.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" | "properties" | "examples" => true,
            "$ref" => {
                let place = rule.as_str().and_then(|text| text.strip_prefix('#'));
                let named = place.and_then(|place| root.pointer(place));
                fits(root, named.unwrap_or(&Value::Null), value, path)?;
                true
            }
            "type" => any(rule).any(|kind| is(value, kind)),
            "const" => rule == value,
            "enum" => any(rule).any(|one| one == value),
            "anyOf" => any(rule).any(|one| fits(root, one, value, path).is_ok()),
            "minimum" => {
                value.as_i64().is_none_or(|number| rule.as_i64().is_some_and(|least| number >= least))
            }
            "maximum" => value.as_u64().is_none_or(|number| rule.as_u64().is_some_and(|most| number <= most)),
            "pattern" if rule == SHA256 => value.as_str().is_none_or(is_sha256),
            "required" => value.as_object().is_none_or(|members| {
                any(rule).all(|name| name.as_str().is_some_and(|name| members.contains_key(name)))
            }),
            "additionalProperties" => members(root, schema, value, path)?,
            "items" => {
                for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                    fits(root, rule, item, &format!("{path}/{place}"))?;
                }
                true
            }
            other => return Err(format!("the checker does not know {other} {rule}")),
        };
        if !holds {
            return Err(format!("{path} breaks {word} {rule}: {value}"));
        }
    }
    Ok(())
}

/// Checks each member against its property, or against what is said of all others; `false` if nothing is.
fn members(root: &Value, schema: &Value, value: &Value, path: &str) -> Result<bool, String> {
    let others = schema.get("additionalProperties").filter(|rule| rule.is_object());
    for (name, member) in value.as_object().into_iter().flatten() {
        let property = schema.get("properties").and_then(|properties| properties.get(name)).or(others);
        let Some(property) = property else { return Ok(false) };
        fits(root, property, member, &format!("{path}/{name}"))?;
    }
    Ok(true)
}

/// The items of a list, or the one that is none.
fn any(rule: &Value) -> core::slice::Iter<'_, Value> {
    rule.as_array().map_or(core::slice::from_ref(rule), |items| items.as_slice()).iter()
}

fn is(value: &Value, kind: &Value) -> bool {
    match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("null") => value.is_null(),
        Some(_) | None => false,
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
