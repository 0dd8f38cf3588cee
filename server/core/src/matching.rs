//! Which component is touched by which advisory: the ground of every answer about known weaknesses.
//!
//! Pure: what is installed and what advisories say comes in, answers come out. What cannot be judged is unknown and never
//! safe. Nothing here reads a file or asks a feed. Read next: [`version`], whose orders everything else stands on.

pub mod version;
