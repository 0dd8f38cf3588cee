//! What a maker is told of a rollout of its release: counts always, and of single devices only what a person approved.
//!
//! The list of fields is closed, and a field that was not approved does not appear in any form; rows stand in the order of
//! their contents, so that not even their order tells one device from another. No field holds a person, a ward or a
//! maker's serial number: the pack has none of them. Read next: [`super::Verified`].

use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;

use cordon_proto::canonical::Value;
use cordon_proto::receipt::{Outcome, ReceiptBody};

use super::Verified;

/// What may be told of a single device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The boots that the trial took.
    Boots,
    /// The name that this owner gave the device.
    Device,
    /// The hash of maker, model and serial number: the maker can tell from it which device it is.
    Hardware,
    /// Clinical use at the time of the reboot.
    Interlock,
    /// The order.
    Order,
    /// The code of a failure or refusal, without its sentence.
    Reason,
    /// The slot that runs.
    Slot,
    /// When it ended, by the device's clock.
    Time,
}

impl Field {
    /// All fields.
    pub const ALL: [Self; 8] = [
        Self::Boots,
        Self::Device,
        Self::Hardware,
        Self::Interlock,
        Self::Order,
        Self::Reason,
        Self::Slot,
        Self::Time,
    ];

    /// Its name, on the command line and in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Boots => "boots",
            Self::Device => "device",
            Self::Hardware => "hardware",
            Self::Interlock => "interlock",
            Self::Order => "order",
            Self::Reason => "reason",
            Self::Slot => "slot",
            Self::Time => "time",
        }
    }

    fn of(self, body: &ReceiptBody) -> Option<Value> {
        Some(match self {
            Self::Boots => body.boots.into(),
            Self::Device => body.device.to_string().into(),
            Self::Hardware => body.hardware.to_string().into(),
            Self::Interlock => word(&body.interlock),
            Self::Order => body.order.as_str().into(),
            Self::Reason => body.reason.as_ref()?.code.as_str().into(),
            Self::Slot => body.slot.as_str().into(),
            Self::Time => body.time.into(),
        })
    }
}

/// The report of a pack, with these fields of single devices and no others.
#[must_use]
pub fn maker_report(pack: &Verified, approved: &BTreeSet<Field>) -> Value {
    let releases: BTreeSet<&str> =
        pack.orders.iter().map(|approved| approved.order.image.release.as_str()).collect();
    let count = |outcome| {
        let found = pack.words.iter().filter(|word| word.body.outcome == outcome).count();
        Value::from(u64::try_from(found).unwrap_or(u64::MAX))
    };
    let counts = Value::object([
        ("confirmed", count(Outcome::Confirmed)),
        ("refused", count(Outcome::Refused)),
        ("rolled-back", count(Outcome::RolledBack)),
        ("went-back", count(Outcome::WentBack)),
    ]);
    Value::object([
        ("_type", "maker-report".into()),
        ("v", 1_u64.into()),
        ("releases", Value::list(releases)),
        ("counts", counts),
        ("fields", Value::list(approved.iter().map(|field| field.name()))),
        ("devices", Value::List(rows(pack, approved))),
    ])
}

fn rows(pack: &Verified, approved: &BTreeSet<Field>) -> Vec<Value> {
    if approved.is_empty() {
        return Vec::new();
    }
    let row = |body: &ReceiptBody| {
        let fields = approved.iter().filter_map(|field| Some((field.name(), field.of(body)?)));
        Value::object(fields.chain([("outcome", word(&body.outcome))]))
    };
    let mut rows: Vec<Value> = pack.words.iter().map(|word| row(&word.body)).collect();
    rows.sort_by_cached_key(Value::canonical);
    rows
}

/// A word of a closed list, as stored documents spell it.
fn word(value: &impl serde::Serialize) -> Value {
    let text = serde_json::to_value(value).ok();
    text.as_ref().and_then(serde_json::Value::as_str).unwrap_or("unknown").into()
}
