//! Which component is touched by which advisory: the ground of every answer about known weaknesses.
//!
//! Pure: what is installed and what advisories say comes in, answers come out. What cannot be judged is unknown and never
//! safe. A component is known by its ecosystem *with the release*, its source package and that one's version, epoch kept:
//! each shortcut there is a known way to be wrong. Nothing here reads a file or asks a feed, and nothing guesses by name.
//! Read next: [`version`], whose orders everything else stands on, [`advisory`] for the form that all feeds are brought
//! into, [`index`] for who asks whom.

pub mod advisory;
pub mod component;
pub mod debian;
pub mod dpkg;
pub mod ecosystem;
mod group;
pub mod index;
pub mod inventory;
pub mod json;
pub mod lookup;
mod matcher;
pub mod osv;
pub mod osv_text;
#[cfg(test)]
mod properties;
pub mod purl;
pub mod range;
#[cfg(test)]
mod tests;
pub mod verdict;
pub mod version;
