//! Which device has which known weakness: knowledge of the world held against what is installed in the fleet.
//!
//! [`world`] is everything that was imported, in one value that is built once and only read; [`holdings`] is what is
//! installed, each distinct thing once. [`answers`] brings the two together, a component and a model at a time, so that
//! devices of one image are judged once; [`exposed`] makes of it what a score depends on; [`topic`] goes the other way,
//! from an advisory to its devices. What cannot be judged is counted as unknown and never dropped. Nothing here reads a
//! file. Read next: [`answers`].

pub mod answers;
pub mod closed;
pub mod exposed;
#[cfg(test)]
pub(crate) mod fixture;
pub mod holdings;
pub mod shipped;
pub mod since;
pub mod support;
#[cfg(test)]
mod tests;
pub mod topic;
pub mod world;

pub use answers::{Hits, ModelHit, ModelKey, Row, Word};
pub use exposed::{Case, Exposed};
pub use holdings::{Composition, Holdings, Listed};
pub use shipped::{Bill, Billed, Open, Shipped};
pub use since::Since;
pub use world::{Builder, Spot, World};
