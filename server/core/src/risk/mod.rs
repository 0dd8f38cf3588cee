//! Risk of a device: the 0-100 score of model `risk-v1`, the parts that sum to it exactly, and what to do about it.
//!
//! Facts go in ([`Facts`]), a [`Score`] comes out; nothing here reads a clock, a file or another device. A question
//! nobody answered is listed as unknown: it adds no points and is never shown as safe. Exceptions and service visits
//! change no score, so they are not facts. Hazards are integer micro-nepers and every later step is integer
//! arithmetic, so order of input, machine and compiler cannot change a byte of the result; `cordon-sim soak other-machines` compares
//! x86-64 with i686 and aarch64.
//!
//! Read next: [`model`] for every figure, [`hazard`] for what each fact adds, [`score`] for the sum and its parts,
//! [`next_step`] for what to do. `docs/schemas/facts.json` and `score.json` describe the same types for people.

pub mod apportion;
pub mod board;
#[cfg(any(test, feature = "world"))]
pub mod cases;
pub mod facts;
pub mod gather;
pub mod hazard;
pub mod history;
pub mod model;
pub mod next_step;
pub mod noticed;
pub mod own;
pub mod reason;
pub mod register;
pub mod remedy;
pub mod rescore;
mod scale;
pub mod score;
pub mod sheet;
pub mod spread;
pub mod support;
pub mod what_if;

pub use facts::Facts;
pub use model::Model;
pub use next_step::{NextStep, Owner, plan};
pub use score::{Band, Contribution, Kind, Score, Value, score};

#[cfg(test)]
mod examples;
#[cfg(test)]
mod mended_tests;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod schema_tests;
