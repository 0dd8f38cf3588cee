//! What the world says of weaknesses, besides OSV.
//!
//! Pure readers of strangers' files ([`csaf`], [`vex`], [`kev`], [`epss`], [`eol`]) and of a hospital's own list of assets
//! ([`asset`]), and the matching of devices that carry no agent to advisories about their model ([`devices`]). A document that
//! cannot be said in our words is refused with a word to count it by; a range that is not understood is unknown and never
//! safe. Nothing here reads a file, nothing guesses by CPE. Read next: [`csaf`], then [`span`].

pub mod age;
pub mod archive;
pub mod asset;
pub mod csaf;
pub mod date;
pub mod device_version;
pub mod devices;
pub mod eol;
pub mod epss;
pub mod intake;
pub mod kev;
pub mod naming;
pub mod span;
pub mod vex;
