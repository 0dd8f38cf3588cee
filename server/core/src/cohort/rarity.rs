//! How rare a finding is among the devices of its model, in words for whoever runs a ward.
//!
//! It counts what devices told. A device that learned the same as usual has nothing to tell and is not counted as having
//! it, so the words say "reported" and no more; too few peers are too few, never rare. Read next: [`super::Cohorts`].

use alloc::format;
use alloc::string::String;

use cordon_proto::ids::Text;

/// Peers that must have been heard lately before "only this one" says anything: one of three may be the odd one by
/// chance, one of six hardly.
pub const PEERS_MIN: usize = 5;

/// How rare a finding is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rarity {
    /// The model.
    pub model: Text,
    /// Other devices of the model that were heard in the last seven days, or reported it and are silent since.
    pub others: usize,
    /// Other devices of the model that ever reported the same.
    pub told: usize,
}

impl Rarity {
    /// Whether this device is the only one of enough.
    #[must_use]
    pub fn is_outlier(&self) -> bool {
        self.told == 0 && self.others >= PEERS_MIN
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { model, others, told } = self;
        let all = others.saturating_add(1);
        match (*told, *others) {
            (0, 0) => format!("There is no other {model} to compare it with."),
            (0, few) if few < PEERS_MIN => {
                let (verb, noun) = if few == 1 { ("was", "other") } else { ("were", "others") };
                format!(
                    "No other {model} reported it, but only {few} {noun} {verb} heard in the last 7 days."
                )
            }
            (0, _) => format!("Only this one of {all} {model} reported it."),
            (told, _) => format!("{} of {all} {model} reported it.", told.saturating_add(1)),
        }
    }
}
