//! Our own client as it judges a case: the ground's refresh and search over files in memory.
//!
//! Read next: `cordon_proto::update::refresh`.

use cordon_agent::verifier::DeviceVerifier;
use cordon_proto::time::Timestamp;
use cordon_proto::update::{
    Ask, Effect, Freshness, PublicKey, Refresh, Rules, Search, Sizes, Source, TrustError, Verifier,
};

use super::scene::Files;
use super::{Case, Step};

/// A check of signatures that lets everything pass: the control, which has to be caught.
#[derive(Clone, Copy, Debug)]
pub struct Gullible;

impl Verifier for Gullible {
    fn verify(&self, _: &PublicKey, _: &[u8], _: &[u8]) -> bool {
        true
    }
}

struct Held<'a> {
    stored: &'a mut Files,
    shown: &'a Files,
    forgot: bool,
}

impl Source for Held<'_> {
    type Error = TrustError;

    fn answer(&mut self, ask: &Ask) -> Result<Option<Vec<u8>>, TrustError> {
        Ok(match ask {
            Ask::Stored(name) => self.stored.get(name).cloned(),
            Ask::Fetch(request) => {
                let cut = |bytes: &Vec<u8>| bytes.iter().take(request.limit + 1).copied().collect();
                self.shown.get(&request.path).map(cut)
            }
        })
    }

    fn apply(&mut self, effects: &[Effect], answered: &[u8]) -> Result<(), TrustError> {
        for effect in effects {
            match effect {
                Effect::Keep(name) => drop(self.stored.insert(name.clone(), answered.to_vec())),
                Effect::Forget(name) => {
                    self.forgot = true;
                    self.stored.remove(name);
                }
            }
        }
        Ok(())
    }
}

/// What our client says of each step, with the metadata that it keeps between them.
#[must_use]
pub fn judge(case: &Case, verifier: &dyn Verifier, now: Timestamp) -> Vec<Step> {
    let rules = Rules { verifier, now, sizes: Sizes::CONFORMANCE, freshness: Freshness::Own };
    let mut stored = Files::from([("root.json".to_owned(), case.root.clone())]);
    case.steps.iter().map(|shown| step(&mut stored, shown, (case, &rules))).collect()
}

/// [`judge`] with the device's own check of signatures.
#[must_use]
pub fn strictly(case: &Case, now: Timestamp) -> Vec<Step> {
    judge(case, &DeviceVerifier, now)
}

fn step(stored: &mut Files, shown: &Files, (case, rules): (&Case, &Rules<'_>)) -> Step {
    let root = stored.get("root.json").cloned().unwrap_or_default();
    let mut held = Held { stored, shown, forgot: false };
    let trusted = match Refresh::run(&root, rules, &mut held) {
        Ok(trusted) => trusted,
        Err(error) => {
            return Step { said: error.to_string(), forgot: held.forgot, ..Step::default() };
        }
    };
    let found = case.paths.iter().map(|path| match Search::run(&trusted, path, rules, &mut held) {
        Ok(None) => "none".to_owned(),
        Ok(Some(found)) => match found.file.sha256() {
            Ok(sha256) => format!("{} {sha256}", found.file.length),
            Err(fault) => format!("error: {fault}"),
        },
        Err(error) => format!("error: {error}"),
    });
    let found = found.collect();
    let forgot = held.forgot;
    Step { refreshed: true, found, said: String::new(), forgot, kept: stored.clone() }
}
