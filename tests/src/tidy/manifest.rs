//! Rules over the manifests: who may import whom, what the ground may use, a reason for every crate.
//!
//! The direction is `proto` ← the two `core`s ← `agent`, `server`, `ctl` ← `tests`; agent and server meet only in
//! `tests`. That a ground crate really compiles without std is shown by the bare-target check in `.ci/run`, not
//! here. Read next: `code.rs` for the same gates over the sources, `docs/decisions/0005-ground.md` for the reason.

use super::{Fault, Source};
use toml::{Table, Value};

/// For each room, the packages of the house that it may use.
const DIRECTION: &[(&str, &[&str])] = &[
    ("proto/", &[]),
    ("agent/core/", &["cordon-proto"]),
    ("server/core/", &["cordon-proto"]),
    ("agent/", &["cordon-proto", "cordon-agent-core"]),
    ("server/", &["cordon-proto", "cordon-agent-core", "cordon-server-core"]),
    ("ctl/", &["cordon-proto", "cordon-agent-core", "cordon-server-core"]),
];
/// The rooms on the ground.
const GROUND: &[&str] = &["proto/", "agent/core/", "server/core/"];
/// The fewest words of a reason.
const REASON_WORDS_MIN: usize = 2;
/// The tables of a manifest that bring crates in.
const TABLES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// One line of a dependency table of a member.
struct Use {
    table: &'static str,
    name: String,
    value: Value,
}

impl Use {
    fn of_the_house(&self) -> bool {
        self.name.starts_with("cordon-")
    }

    fn is_itself(&self) -> bool {
        self.table == "dev-dependencies" && self.says("path").and_then(Value::as_str) == Some(".")
    }

    fn says(&self, key: &str) -> Option<&Value> {
        self.value.as_table().and_then(|table| table.get(key))
    }
}

/// Every manifest is TOML and takes its versions and lints from the root.
#[must_use]
pub fn one_table(source: &Source) -> Vec<Fault> {
    if !is_member(source) {
        return Vec::new();
    }
    let Some(table) = parsed(source) else { return vec![Fault::new(source, 1, "is not TOML")] };
    let mut faults = Vec::new();
    for used in uses(&table) {
        if used.says("workspace").is_none() && used.says("path").is_none() {
            faults.push(Fault::new(
                source,
                line_of(source, &used.name),
                format!("{}: belongs into the root's table", used.name),
            ));
        }
    }
    if table.get("lints").and_then(|lints| lints.get("workspace")) != Some(&Value::Boolean(true)) {
        faults.push(Fault::new(source, 1, "has no `[lints] workspace = true`"));
    }
    faults
}

/// Nobody imports against the direction, not even for tests. For these, a package may name itself, with its features.
#[must_use]
pub fn direction(source: &Source) -> Vec<Fault> {
    let room = DIRECTION.iter().find(|(room, _)| source.path == format!("{room}Cargo.toml"));
    let Some((room, allowed)) = room else { return Vec::new() };
    let mut faults = Vec::new();
    for used in uses_of(source).iter().filter(|used| used.of_the_house() && !used.is_itself()) {
        if !allowed.contains(&used.name.as_str()) {
            let say =
                format!("{room} may not use {}: the direction is proto, cores, programs, tests", used.name);
            faults.push(Fault::new(source, line_of(source, &used.name), say));
        }
    }
    faults
}

/// Ground crates use only the ground block of the root's table, and never its `std`.
#[must_use]
pub fn ground_uses(root: &Source, member: &Source) -> Vec<Fault> {
    if !GROUND.iter().any(|room| member.path == format!("{room}Cargo.toml")) {
        return Vec::new();
    }
    let block = ground_block(root);
    let mut faults = Vec::new();
    for used in uses_of(member).iter().filter(|used| used.table != "dev-dependencies" && !used.of_the_house())
    {
        let line = line_of(member, &used.name);
        if !block.contains(&used.name) {
            faults.push(Fault::new(
                member,
                line,
                format!("{} is not in the ground block of the root's table", used.name),
            ));
        }
        let features = used.says("features").and_then(Value::as_array).cloned().unwrap_or_default();
        if features.iter().any(|feature| feature.as_str() == Some("std"))
            || used.says("default-features").is_some()
        {
            faults.push(Fault::new(
                member,
                line,
                format!("{}: the ground takes no std and no default features", used.name),
            ));
        }
    }
    faults
}

/// Every crate of the root's table has its reason beside it; those of the ground have default features off.
#[must_use]
pub fn reasons(root: &Source) -> Vec<Fault> {
    if root.path != "Cargo.toml" {
        return Vec::new();
    }
    let table = parsed(root).unwrap_or_default();
    let crates =
        table.get("workspace").and_then(|workspace| workspace.get("dependencies")).and_then(Value::as_table);
    let ground = ground_block(root);
    let mut faults = Vec::new();
    for (name, value) in crates.into_iter().flatten().filter(|(_, value)| value.get("path").is_none()) {
        let number = line_of(root, name);
        let text = root.text().lines().nth(number.saturating_sub(1)).unwrap_or_default();
        let words = text.split_once(" # ").map_or(0, |(_, reason)| reason.split_whitespace().count());
        if words < REASON_WORDS_MIN {
            faults.push(Fault::new(root, number, format!("{name}: say beside it why it is needed")));
        }
        if ground.contains(name) && value.get("default-features") != Some(&Value::Boolean(false)) {
            faults.push(Fault::new(
                root,
                number,
                format!("{name}: a ground crate has `default-features = false` in the root's table"),
            ));
        }
    }
    faults
}

/// The names between `# Ground` and the next empty line of the root's table.
fn ground_block(root: &Source) -> Vec<String> {
    let lines = root.text().lines().skip_while(|line| !line.starts_with("# Ground: "));
    let block = lines.skip(1).take_while(|line| !line.trim().is_empty());
    block.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.trim().to_owned()).collect()
}

fn is_member(source: &Source) -> bool {
    source.path.ends_with("/Cargo.toml") && !source.path.starts_with("tests/fuzz/")
}

fn parsed(source: &Source) -> Option<Table> {
    source.text().parse().ok()
}

fn uses_of(source: &Source) -> Vec<Use> {
    parsed(source).map(|table| uses(&table)).unwrap_or_default()
}

/// Every dependency of a member, those for single targets included.
fn uses(table: &Table) -> Vec<Use> {
    let targets = table.get("target").and_then(Value::as_table).into_iter().flatten();
    let tables = std::iter::once(table).chain(targets.filter_map(|(_, target)| target.as_table()));
    let mut uses = Vec::new();
    for table in tables {
        for kind in TABLES {
            let crates = table.get(*kind).and_then(Value::as_table);
            for (name, value) in crates.into_iter().flatten() {
                uses.push(Use { table: kind, name: name.clone(), value: value.clone() });
            }
        }
    }
    uses
}

/// The first line that begins with the name of the crate, from 1.
fn line_of(source: &Source, name: &str) -> usize {
    let begins = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '.', '=']));
    source.text().lines().position(begins).map_or(1, |index| index + 1)
}
