//! What a kill leaves beside the authorities: issuing keys that nothing refers to, and root certificates for people's
//! tools that are of before the last step.
//!
//! A step removes what it leaves behind once it is done; a kill in between is made good at the next start of a server and
//! by `ca seal`. A key that waits for its certificate is referred to by nothing either, so a key is only removed when it
//! is older than any step takes, or when the very same key lies beside it sealed and in force. Nothing here fails: what
//! cannot be removed is logged, and told. Read next: [`super::steps`].

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use cordon_proto::time::Timestamp;

use super::authority::Authority;
use super::key::{KeyPlace, KeySetting, PLAIN, SEALED, is_issuing_key};
use super::make;
use super::state::State;
use crate::files;
use crate::log::chain;

/// Seconds for which a key may wait for its certificate: a person's command makes both within one run.
const WAITS_S: i64 = 3600;

/// What was done about what lay there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tidied {
    /// Key files that were removed.
    pub(super) removed: usize,
    /// What could not be done, in words.
    pub(super) failed: Vec<String>,
    /// Keys that lie in plain although the settings seal them, used by nothing and too young to be removed.
    pub(super) plain: Vec<String>,
}

impl Tidied {
    /// What a person has to do now, to be put behind the words of a step.
    pub(super) fn told(&self) -> String {
        let failed = self.failed.iter().map(|failed| format!("; not done: {failed}"));
        let plain = self.plain.iter().map(|file| format!("; {}", in_plain(file)));
        failed.chain(plain).collect()
    }
}

/// Tidies up at the start of a server, after whatever ended the one before.
pub fn tidy_at_start(authority: &Authority, roots_file: &Path, now: Timestamp) {
    let tidied = tidy(authority, roots_file, now);
    if tidied.removed > 0 {
        tracing::warn!(keys = tidied.removed, "issuing keys that a step had left behind were removed");
    }
}

/// Writes the roots in force for people's tools, removes keys that belong to nothing, and warns of those that stay.
pub(super) fn tidy(authority: &Authority, roots_file: &Path, now: Timestamp) -> Tidied {
    let mut tidied = Tidied::default();
    let roots: String = authority.standing().roots().iter().map(make::pem).collect();
    let same = files::read(roots_file).is_ok_and(|present| present == roots.as_bytes());
    if !same && let Err(error) = files::replace(roots_file, roots.as_bytes()) {
        tidied.failed(&error, &format!("{} still holds the former roots", roots_file.display()));
    }
    let keys = match files::names(&authority.folder) {
        Ok(names) => unused(&authority.standing().state, names),
        Err(error) => {
            tidied.failed(&error, "the authority's folder cannot be looked through for old keys");
            return tidied;
        }
    };
    for key in keys {
        let path = authority.folder.join(&key.file);
        if !key.sealed_beside && !is_old(&path, now) {
            if key.file.ends_with(PLAIN) {
                let file = path.display();
                tracing::warn!(%file, "an issuing key lies in plain and is used by nothing: remove it, or finish its step");
                if matches!(authority.setting, KeySetting::Sealed(_)) {
                    tidied.plain.push(file.to_string());
                }
            }
            continue;
        }
        match files::remove(&path) {
            Ok(()) => tidied.removed += 1,
            Err(error) => {
                tidied.failed(&error, &format!("{} is used by nothing: remove it", path.display()));
            }
        }
    }
    tidied
}

/// What a person has to do about a plain key that nothing uses.
pub(super) fn in_plain(file: &str) -> String {
    format!(
        "{file} is an issuing key in plain that nothing uses: finish the step it was made for, or remove it"
    )
}

/// An issuing key that nothing refers to.
struct Unused {
    file: String,
    /// Whether the same key is in force, sealed.
    sealed_beside: bool,
}

fn unused(state: &State, names: Vec<String>) -> Vec<Unused> {
    let tiers = state.tiers().chain(state.former.iter().map(|former| &former.tier));
    let used: Vec<&KeyPlace> = tiers.map(|tier| &tier.key).collect();
    let is_used = |file: &str| used.contains(&&KeyPlace::File(file.to_owned()));
    let keys = names.into_iter().filter(|file| is_issuing_key(file) && !is_used(file));
    keys.map(|file| {
        let sealed = file.strip_suffix(PLAIN).map(|stem| format!("{stem}{SEALED}"));
        Unused { sealed_beside: sealed.is_some_and(|sealed| is_used(&sealed)), file }
    })
    .collect()
}

fn is_old(path: &Path, now: Timestamp) -> bool {
    let written = std::fs::symlink_metadata(path).map(|facts| facts.mtime());
    written.is_ok_and(|written| now.seconds_since(Timestamp(written)) > WAITS_S)
}

impl Tidied {
    fn failed(&mut self, error: &files::FileError, words: &str) {
        tracing::error!(error = chain(error), "{words}");
        self.failed.push(format!("{words}: {}", chain(error)));
    }
}
