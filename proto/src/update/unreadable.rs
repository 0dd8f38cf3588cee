//! Why a signed statement (a release, an order) cannot be read, by the name of the field.
//!
//! Unknown fields are tolerated so that a later version may add some; an unknown version or word is refused by name,
//! because guessing at it would install something nobody decided. Read next: [`super::release`], [`super::order`].

use alloc::string::{String, ToString};
use core::str::FromStr;

use crate::canonical::{FieldError, FieldProblem, Fields};
use crate::ids::Text;

/// Why a signed statement cannot be read here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A version that this program does not know.
    #[error("version {0} is not known here; update the agent first")]
    Version(u64),
    /// A word that this program does not know.
    #[error("{field}: the word \"{found}\" is not known here")]
    Word {
        /// The field.
        field: &'static str,
        /// What stands there.
        found: Text,
    },
    /// A field that is missing, of another kind, or out of bounds.
    #[error(transparent)]
    Field(#[from] FieldError),
}

impl Unreadable {
    pub(super) fn word(field: &'static str, found: &str) -> Self {
        // Cut, so that the sentence of a refusal stays a short one.
        Self::Word { field, found: Text::lossy(&found.chars().take(40).collect::<String>()) }
    }

    /// The same, short enough to stand inside another sentence.
    #[must_use]
    pub fn brief(&self) -> String {
        self.to_string().chars().take(100).collect()
    }
}

/// Refuses every `v` but 1.
pub(super) fn version_one(fields: &Fields<'_>) -> Result<(), Unreadable> {
    match fields.unsigned("v")? {
        1 => Ok(()),
        other => Err(Unreadable::Version(other)),
    }
}

/// A text that must parse.
pub(super) fn parsed<T: FromStr>(
    fields: &Fields<'_>,
    name: &str,
    form: &'static str,
) -> Result<T, Unreadable> {
    fields.text(name)?.parse().map_err(|_| fields.error(name, FieldProblem::Form(form)).into())
}

/// A whole number within bounds.
pub(super) fn bounded(fields: &Fields<'_>, name: &str, least: u64, most: u64) -> Result<u64, Unreadable> {
    let number = fields.unsigned(name)?;
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    Err(fields.error(name, FieldProblem::Range).into())
}

/// Declares a closed list of words that stands in signed statements and in the device's own records.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $field:literal, { $($(#[$variant_doc:meta])* $variant:ident = $number:literal $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, minicbor::Encode, minicbor::Decode,
            serde::Serialize, serde::Deserialize,
        )]
        #[cbor(index_only)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            $($(#[$variant_doc])* #[n($number)] $variant),*
        }

        impl $name {
            /// The word as it stands in a signed statement.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }

            /// Reads the word of a field.
            pub(super) fn read(
                fields: &crate::canonical::Fields<'_>,
            ) -> Result<Self, super::unreadable::Unreadable> {
                match fields.text($field)? {
                    $($word => Ok(Self::$variant),)*
                    other => Err(super::unreadable::Unreadable::word($field, other)),
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}
pub(super) use words;
