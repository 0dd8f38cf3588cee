//! Which receipt ends which row: the one for this very order, image and act, of after the order was signed.
//!
//! A receipt is verified before it comes here; that it is genuine does not make it an answer. An older one, one of
//! another image, or one that nobody waits for counts for nothing and stays stored. Read next: [`super::tally`].

use cordon_proto::checkin::Action;
use cordon_proto::ids::Name;
use cordon_proto::receipt::{Outcome, ReceiptBody};
use cordon_proto::time::Timestamp;

use super::Signed;
use super::progress::{BackEnd, Progress};

/// The row of one device in one rollout.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The order of its wave.
    pub order: &'a Name,
    /// What that order says.
    pub signed: &'a Signed,
    /// When its wave began.
    pub begun: Timestamp,
    /// What is remembered of it.
    pub progress: &'a Progress,
}

/// Why a receipt does not count here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotCounted {
    /// It answers another order.
    OtherOrder,
    /// It is of before the order was signed, or was made and came before the wave began.
    Older,
    /// The image that runs is not the ordered one.
    OtherImage,
    /// The outcome does not belong to the act.
    OtherAct,
    /// The row has its end, or the device was never given the go that its order demands.
    NoOpenRow,
}

/// What is remembered after a receipt that came at `received`.
///
/// # Errors
/// Why it counts for nothing.
pub fn count(receipt: &ReceiptBody, row: &Row<'_>, received: Timestamp) -> Result<Progress, NotCounted> {
    if receipt.order != *row.order {
        return Err(NotCounted::OtherOrder);
    }
    // A device refuses an order while its clock is before `issued`: an older receipt answers an order of the same
    // name that was signed before.
    if receipt.time < row.signed.issued {
        return Err(NotCounted::Older);
    }
    match receipt.action {
        Action::Install => install(receipt, row, received),
        Action::Back => back(receipt, row, received),
    }
}

fn install(receipt: &ReceiptBody, row: &Row<'_>, received: Timestamp) -> Result<Progress, NotCounted> {
    let progress = row.progress;
    if progress.outcome.is_some() {
        return Err(NotCounted::NoOpenRow);
    }
    let offline = row.signed.offline;
    // By either clock: a receipt that came while ours was set back is not an older one for that.
    let later = received.max(receipt.time);
    if later < row.begun && !offline {
        return Err(NotCounted::Older);
    }
    match receipt.outcome {
        Outcome::WentBack => return Err(NotCounted::OtherAct),
        Outcome::Confirmed if receipt.sha256 != row.signed.sha256 => return Err(NotCounted::OtherImage),
        // Before the reboot there is nothing that a go would be needed for.
        Outcome::Refused => {}
        Outcome::Confirmed | Outcome::RolledBack if progress.permitted.is_none() && !offline => {
            return Err(NotCounted::NoOpenRow);
        }
        Outcome::Confirmed | Outcome::RolledBack => {}
    }
    let (outcome, ended, reason) = (Some(receipt.outcome), Some(received), receipt.reason.clone());
    Ok(Progress { v: 1, outcome, ended, reason, ..progress.clone() })
}

fn back(receipt: &ReceiptBody, row: &Row<'_>, received: Timestamp) -> Result<Progress, NotCounted> {
    let known = row.progress.back.clone().unwrap_or_default();
    if row.progress.outcome != Some(Outcome::Confirmed) || known.outcome.is_some() {
        return Err(NotCounted::NoOpenRow);
    }
    let earlier = row.signed.back.ok_or(NotCounted::OtherAct)?;
    match receipt.outcome {
        Outcome::Confirmed => return Err(NotCounted::OtherAct),
        Outcome::WentBack if receipt.sha256 != earlier => return Err(NotCounted::OtherImage),
        Outcome::WentBack | Outcome::RolledBack | Outcome::Refused => {}
    }
    let (outcome, ended, reason) = (Some(receipt.outcome), Some(received), receipt.reason.clone());
    let back = BackEnd { outcome, ended, reason, ..known };
    Ok(Progress { v: 1, back: Some(back), ..row.progress.clone() })
}
