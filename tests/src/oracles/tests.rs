//! Our client beside two others on 300 spoilt repositories; what needs no judge is tested without one.

use super::*;
use crate::skip::skip;

const SETS: u64 = 300;

#[test]
fn of_300_spoilt_repositories_we_accept_nothing_that_both_other_clients_refuse() {
    // Goal: no hole that others closed. Method: python-tuf and tuf-js beside us on fixed seeds; then the control, a client
    // that believes every signature, must be found out.
    let mut judges = match Judge::all() {
        Ok(judges) => judges,
        Err(absent) => return skip(&format!("300 spoilt TUF repositories: {absent:#}")),
    };
    let now = now();
    let tally = compare(&mut judges, 0..SETS, |case| ours::strictly(case, now), now).expect("both judge");
    assert_eq!(tally.faults, Vec::<String>::new());
    assert!(tally.all_accept > SETS / 8 && tally.all_refuse > SETS / 8, "a mixture: {tally:?}");
    assert!(tally.files > SETS / 2, "{tally:?}");
    let gullible = |case: &Case| ours::judge(case, &Gullible, now);
    let found = (0..SETS)
        .any(|seed| !compare(&mut judges, [seed], gullible, now).expect("both judge").faults.is_empty());
    assert!(found, "the judges find nothing out");
}

#[test]
fn an_honest_repository_is_accepted_in_every_shape_and_a_spoilt_one_never_panics() {
    // Goal: the cases are about their bends. Method: 200 honest shapes and their next versions; then 1,000 cases.
    let now = now();
    for seed in 0..200 {
        let chance = &mut Rng::with_seed(seed);
        let mut scene = Scene::honest(chance, now);
        let first = scene.files();
        scene.evolve(chance);
        let root = first["1.root.json"].clone();
        let paths = vec!["x".to_owned(), "a/1".to_owned(), "nobody/1".to_owned()];
        let case = Case { root, steps: vec![first, scene.files()], paths };
        for step in ours::strictly(&case, now) {
            assert!(step.refreshed, "seed {seed}: {}", step.said);
            assert_eq!(step.found[0].split(' ').next(), Some("1"), "seed {seed}");
            assert_eq!(step.found[2], "none");
        }
    }
    let believed =
        |seed: u64| ours::strictly(&Case::new(seed, now), now).iter().filter(|step| step.refreshed).count();
    let all: usize = (0..1_000).map(believed).sum();
    assert!((300..1_700).contains(&all), "{all} of 2,000 moments are believed: a mixture");
}
