//! What a SIEM is told in OCSF before the published schema, as a Python library carries it.
//!
//! Read next: `cordon_sim::fuzz::siem`, `cordon_server_core::siem::ocsf`.

use std::io::Write;

use cordon_sim::fuzz::mutate::Mutator;
use cordon_sim::fuzz::siem::{ocsf, sayings};
use cordon_sim::judge::Judge;
use cordon_sim::skip;
use fastrand::Rng;

/// Says of each line whether it fits its class in the schema, with the profiles that it names. The schema is closed: an
/// attribute that it does not know is a fault.
const JUDGE: Judge = Judge::of(
    "import json, sys
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version='1.6.0'))
judges = {}
def judge(uid, profiles):
    if (uid, profiles) not in judges:
        name = schema.lookup_class_name_from_uid(class_uid=uid)
        judges[uid, profiles] = Draft202012Validator(schema.get_class_schema(class_name=name, profiles=list(profiles)))
    return judges[uid, profiles]
for line in sys.stdin:
    event = json.loads(line)
    faults = judge(event['class_uid'], tuple(event['metadata'].get('profiles', []))).iter_errors(event)
    faults = [fault.json_path + ': ' + fault.message[:200] for fault in faults]
    print(' | '.join(faults).replace('\\n', ' ') or 'ok')
",
);

/// Lines that the judge sees.
const LINES: usize = 600;

#[test]
fn every_event_in_ocsf_fits_the_published_schema_whatever_a_device_said() {
    // Goal: a data lake takes what is sent. Method: samples and what chance makes of them, as events of every class, before
    // the schema of version 1.6.0; controls with an attribute that there is not, and without one that is required.
    if !JUDGE.is_here() {
        return skip::skip("no judge of OCSF: python3 without ocsf-json-schema and jsonschema");
    }
    let seed = fastrand::u64(..);
    let mut chance = Rng::with_seed(seed);
    let pool = sayings();
    let mut lines: Vec<String> = pool.iter().flat_map(|input| ocsf(input)).collect();
    while lines.len() < LINES {
        lines.extend(ocsf(&Mutator { chance: &mut chance, pool: &pool, der: false }.bend()));
    }
    let last = lines.last().cloned().expect("lines");
    let strange = last.replacen('{', "{\"strange\":1,", 1);
    let short = last.replacen("\"severity_id\"", "\"severity_ix\"", 1);
    lines.extend([strange, short]);
    let mut answers = JUDGE.answers(&lines);
    let controls = answers.split_off(answers.len() - 2);
    assert!(controls.iter().all(|control| control != "ok"), "the judge judges: {controls:?}");
    for (line, answer) in lines.iter().zip(&answers) {
        assert_eq!(answer, "ok", "seed {seed}: {line}");
    }
    let line = format!("OCSF 1.6.0 by the published schema: {} events fit, seed {seed}\n", answers.len());
    std::io::stderr().write_all(line.as_bytes()).expect("stderr is open");
}
