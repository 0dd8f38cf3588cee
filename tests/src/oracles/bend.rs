//! How a repository is spoilt: values before they are signed, signers, versions, times, delegations, and bytes afterwards.
//!
//! A few bends at a time. A bend below a signature is signed anew and, mostly, stated anew by snapshot and timestamp, so
//! that a client has to look at the thing itself. All chance comes from one seeded source.

use cordon_proto::time::Timestamp;
use fastrand::Rng;
use serde_json::{Value as Json, json};

use super::scene::{Files, Mark, PATHS, Scene, authority, public, put};

/// Bends of one scene at most.
const BENDS: usize = 3;

/// Bends a scene.
pub fn bend(scene: &mut Scene, chance: &mut Rng, now: Timestamp) {
    for _ in 0..chance.usize(1..=BENDS) {
        match chance.u8(..12) {
            0..5 => bend_paper(scene, chance, bend_value),
            5 => bend_paper(scene, chance, delegate),
            6 => bend_paper(scene, chance, |signed, chance| age(signed, (chance, now))),
            7 => bend_paper(scene, chance, turn_version),
            8 => sign_otherwise(scene, chance),
            9 => mark(scene, chance),
            10 => tell_otherwise(scene, chance),
            _ => rotate_otherwise(scene, chance),
        }
    }
}

/// Bends one paper, and mostly lets its parents say so.
fn bend_paper(scene: &mut Scene, chance: &mut Rng, change: impl Fn(&mut Json, &mut Rng)) {
    let (role, paper) = scene.paper(chance.usize(..32));
    change(&mut paper.signed, chance);
    told(scene, chance, &role);
}

/// Mostly lets the parents of a role say what it is now.
fn told(scene: &mut Scene, chance: &mut Rng, role: &str) {
    if chance.u8(..) < 220 {
        scene.link_role(role);
        scene.link_snapshot();
    }
}

/// Bends something inside a value.
fn bend_value(value: &mut Json, chance: &mut Rng) {
    match value {
        Json::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            let Some(name) = chance.choice(&names) else {
                fields.insert("new".to_owned(), odd(chance));
                return;
            };
            match chance.u8(..10) {
                0 => drop(fields.remove(name)),
                1 => drop(fields.insert(name.clone(), odd(chance))),
                2 => drop(fields.insert(format!("{name}-new"), odd(chance))),
                3 => {
                    let moved = fields.remove(name).unwrap_or_default();
                    fields.insert(chance.choice(&names).cloned().unwrap_or_default(), moved);
                }
                _ => fields.get_mut(name).into_iter().for_each(|inner| bend_value(inner, chance)),
            }
        }
        Json::Array(items) if !items.is_empty() => {
            let at = chance.usize(..items.len());
            match chance.u8(..8) {
                0 => drop(items.remove(at)),
                1 => items.extend(items.get(at).cloned()),
                2 => items.iter_mut().skip(at).take(1).for_each(|item| *item = odd(chance)),
                3 => items.reverse(),
                _ => items.iter_mut().skip(at).take(1).for_each(|item| bend_value(item, chance)),
            }
        }
        Json::Array(items) => items.push(odd(chance)),
        Json::Number(number) => {
            let held = number.as_i64().unwrap_or_default();
            let turned = [held + 1, held - 1, 0, -held, i64::from(i32::MAX), (1 << 53) - 1];
            *value = chance.choice(turned).unwrap_or_default().into();
        }
        Json::String(text) => *text = turn_text(text, chance),
        Json::Bool(flag) => *flag = !*flag,
        Json::Null => *value = odd(chance),
    }
}

fn turn_text(text: &str, chance: &mut Rng) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let at = chance.usize(..=characters.len());
    match chance.u8(..7) {
        0 => characters.clear(),
        1 => characters
            .insert(at, chance.choice(['*', '?', '/', '0', 'a', ' ', '\u{e9}', '"', '\\']).unwrap_or('a')),
        2 => return text.to_uppercase(),
        3 => {
            return chance
                .choice(["*", "a/*", "*/*", "b/1", "x", "targets", "root", "1.0.0", "2.0.0"])
                .unwrap_or("")
                .to_owned();
        }
        4 if at < characters.len() => drop(characters.remove(at)),
        _ => {
            if let Some(character) = characters.get_mut(at) {
                *character = chance.choice(['0', '9', 'f', 'z', '-', '*']).unwrap_or('0');
            }
        }
    }
    characters.into_iter().collect()
}

/// A value that readers stumble over.
fn odd(chance: &mut Rng) -> Json {
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        // No larger: tuf-js reads numbers beyond as others, and then refuses the signature.
        json!(9_007_199_254_740_991_u64),
        json!(1.5),
        json!(""),
        json!("a/*"),
        json!([]),
        json!(["x"]),
        json!({}),
        json!({"version": 1}),
        json!([[]]),
    ];
    chance.choice(values).unwrap_or_default()
}

/// Changes who may list what, where there is a delegation.
fn delegate(signed: &mut Json, chance: &mut Rng) {
    let Some(Json::Array(roles)) = signed.pointer_mut("/delegations/roles") else {
        return bend_value(signed, chance);
    };
    let last = chance.bool();
    let Some(role) = (if last { roles.last_mut() } else { roles.first_mut() }) else { return };
    match chance.u8(..7) {
        0 => put(role, &["terminating"], json!(chance.bool())),
        1 => {
            let pattern = chance.choice(["*", "*/*", "a/?", "b/d*p", "", "/a/*", "a/**"]).unwrap_or("*");
            put(role, &["paths"], json!([pattern]));
        }
        2 => {
            let prefix = chance.choice(["", "0", "A", "ff"]).unwrap_or("");
            put(role, &["path_hash_prefixes"], json!([prefix]));
            if let Json::Object(fields) = role {
                fields.remove("paths");
            }
        }
        3 => put(role, &["threshold"], json!(chance.u64(..3))),
        4 => put(role, &["keyids"], json!([public(chance.u8(41..=44)).id().0])),
        5 => put(
            role,
            &["name"],
            chance.choice(["a", "b", "deep", "targets", "", "lost"]).unwrap_or("a").into(),
        ),
        _ => roles.reverse(),
    }
}

/// Expired, just expired, far away, or no time.
fn age(signed: &mut Json, (chance, now): (&mut Rng, Timestamp)) {
    let time = |seconds: i64| now.plus_seconds(seconds).to_string();
    let times = [
        time(-1),
        time(-400 * 86_400),
        time(3_600),
        time(4_000 * 86_400),
        time(3_600).replace('Z', ".5Z"),
        time(3_600).replace('Z', "+00:00"),
        time(3_600).replace('Z', ""),
        time(3_600).replace('T', " "),
        "2038-13-01T00:00:00Z".to_owned(),
        "2038-02-30T00:00:00Z".to_owned(),
        "2038-01-01T24:00:00Z".to_owned(),
    ];
    put(signed, &["expires"], chance.choice(times).unwrap_or_default().into());
}

fn turn_version(signed: &mut Json, chance: &mut Rng) {
    let held = signed.get("version").and_then(Json::as_u64).unwrap_or(1);
    let turned = [held + 1, held.saturating_sub(1), 0, 1, held + 1_000_000];
    put(signed, &["version"], chance.choice(turned).unwrap_or(1).into());
}

/// Fewer signers, others, or one for many.
fn sign_otherwise(scene: &mut Scene, chance: &mut Rng) {
    let (role, paper) = scene.paper(chance.usize(..32));
    match chance.u8(..5) {
        0 => drop(paper.seeds.pop()),
        1 => paper.seeds = vec![chance.choice([1, 11, 21, 31, 41, 42, 43, 44]).unwrap_or(1)],
        2 => paper.seeds.reverse(),
        3 => paper.seeds.extend([99]),
        _ => paper.seeds = paper.seeds.first().map(|seed| vec![*seed; 2]).unwrap_or_default(),
    }
    told(scene, chance, &role);
}

fn mark(scene: &mut Scene, chance: &mut Rng) {
    let (role, paper) = scene.paper(chance.usize(..32));
    let seed = chance.choice([2, 3, 12, 21, 31, 41]).unwrap_or(3);
    let marks =
        [Mark::Twice, Mark::Empty(seed), Mark::Words(seed), Mark::Stranger, Mark::Capitals, Mark::Borrowed];
    paper.marks.extend(chance.choice(marks));
    told(scene, chance, &role);
}

/// Lets the snapshot say something else of a role, or nothing.
fn tell_otherwise(scene: &mut Scene, chance: &mut Rng) {
    let Some(Json::Object(meta)) = scene.snapshot.signed.get_mut("meta") else { return };
    let names: Vec<String> = meta.keys().cloned().collect();
    let Some(name) = chance.choice(&names) else { return };
    let Some(entry) = meta.get_mut(name) else { return };
    match chance.u8(..5) {
        0 => drop(meta.remove(name)),
        1 => put(entry, &["version"], json!(chance.u64(..4))),
        2 => put(entry, &["length"], json!(chance.u64(..4_000))),
        3 => {
            let algorithm = chance.choice(["sha256", "sha512", "md5"]).unwrap_or("md5");
            put(entry, &["hashes"], json!({algorithm: "00"}));
        }
        _ => drop(meta.insert("more.json".to_owned(), json!({"version": 1}))),
    }
    if chance.u8(..) < 230 {
        scene.link_snapshot();
    }
}

/// A next root that the old, the new or neither threshold signs.
fn rotate_otherwise(scene: &mut Scene, chance: &mut Rng) {
    scene.rotate(chance);
    let Some(next) = scene.roots.last_mut() else { return };
    match chance.u8(..5) {
        0 => next.seeds = vec![1],
        1 => put(&mut next.signed, &["roles", "root"], authority(&[1, 2], 2)),
        2 => put(&mut next.signed, &["roles", "root"], authority(&[41, 42], 1)),
        3 => turn_version(&mut next.signed, chance),
        _ => put(&mut next.signed, &["roles", "targets"], authority(&[41], 1)),
    }
    if chance.bool() {
        scene.link();
    }
}

/// Spoils the finished files, as a mirror or a line could. `before` is what the repository showed earlier.
pub fn spoil(files: &mut Files, before: &Files, chance: &mut Rng) {
    let names: Vec<String> = files.keys().cloned().collect();
    let (Some(name), Some(other)) = (chance.choice(&names), chance.choice(&names)) else { return };
    let Some(bytes) = files.get_mut(name) else { return };
    let at = chance.usize(..bytes.len().max(1));
    match chance.u8(..10) {
        0..3 => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= 1 << chance.u8(..8)),
        3 => bytes.truncate(at),
        4 => bytes.extend_from_slice(chance.choice([&b" \n"[..], b"x", b"{}", b"\0"]).unwrap_or(b" ")),
        5 => drop(files.remove(name)),
        6 => drop(files.get(other).cloned().map(|other| files.insert(name.clone(), other))),
        7 => drop(before.get(other).cloned().map(|old| files.insert(name.clone(), old))),
        8 => double(bytes, chance),
        _ => drop(bytes.splice(
            ..0,
            chance.choice([&b" "[..], b"\xef\xbb\xbf", b"[", b"\n"]).unwrap_or(b" ").iter().copied(),
        )),
    }
}

/// States a field twice, which readers resolve differently.
fn double(bytes: &mut Vec<u8>, chance: &mut Rng) {
    let fields =
        ["\"version\":", "\"expires\":", "\"threshold\":", "\"signed\":", "\"targets\":", "\"paths\":"];
    let field = chance.choice(fields).unwrap_or("\"version\":");
    let text = String::from_utf8_lossy(bytes).into_owned();
    let value = chance.choice(["1", "{}", "[]", "\"2099-01-01T00:00:00Z\""]).unwrap_or("1");
    *bytes = text.replacen(field, &format!("{field}{value},{field}"), 1).into_bytes();
}

/// The paths asked for, some of them odd.
#[must_use]
pub fn paths(chance: &mut Rng) -> Vec<String> {
    let more = chance.choice(["", "/x", "a//1", "A/1", "a/deep/er", "*", "a/1 "]).unwrap_or("");
    PATHS.iter().copied().chain([more]).map(ToOwned::to_owned).collect()
}
