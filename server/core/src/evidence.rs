//! The evidence pack: one file that proves, without this server, what was ordered, by whose keys, and what became of it.
//!
//! A file of lines. First the *body*: a header, the signed documents of both parties as they were received, what the
//! server wrote down, the receipts as the devices signed them. Then the *index*, which names every line of the body with
//! its hash. Then the *seal*: the entry of the audit log that holds the root over the index, the proofs that it and the
//! entries of the body stand under one signed head, the proofs that this head goes on from heads that people kept, and that
//! head. So the server signs nothing new for a pack: the log's
//! head covers it. The verifier believes no line: documents count by the parties' keys, receipts by the devices' keys, the
//! server's words by the log's key, each from an anchor that the reader brings along. A lost or changed line is named by
//! the index. Read next: [`Line`] for the form, [`Examination`] for the check.

mod gather;
mod kept;
mod line;
mod measures;
mod pack;
mod report;
mod trust;
mod verified;
mod verify;

pub use gather::{Asked, Chosen, choose, choose_maker};
pub use line::{Line, Unreadable};
pub use measures::{
    Case, Cases, Dated, Known, Measures, OpenCase, Quartiles, cases, cases_of, holes_closed_permille,
    measures,
};
pub use pack::{Builder, Seal, Sealed, tail};
pub use report::{Field, maker_report};
pub use trust::{Approved, Untrusted};
pub use verified::{Verified, Word};
pub use verify::{Anchors, Broken, Devices, Examination};

/// Lines of the body that one line of the index names.
pub const INDEX_LINES: usize = 256;
/// The act under which a pack stands in the audit log.
pub const ACTION: &str = "evidence.export";

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod tests;
