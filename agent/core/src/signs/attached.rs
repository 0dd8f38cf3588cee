//! The sign `attached`: a keyboard or a storage device on USB that was not there at the beginning.
//!
//! Source: ATT&CK T1200, T1091; kinds by USB-IF's "Defined Class Codes" (03/01/01 a boot keyboard, 08 storage). One that was there
//! at the first look may be pulled and plugged again. Devices are told apart by maker, product and the mark of their serial
//! number; of equal ones without one, each further one counts.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use cordon_proto::telemetry::Severity;

use super::{Mark, Saying, Sign, Signs, Told};
use crate::detect::ledger::Detector;

/// A device on USB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Whether it types; else it stores.
    pub types: bool,
    /// Maker and product, such as `046d:c31c`.
    pub product: String,
    /// The mark of its serial number, where it has one.
    pub serial: Option<Mark>,
}

pub(super) fn look(signs: &mut Signs, devices: &[Device], told: &mut Told<'_>) {
    let marks: Vec<Mark> =
        devices.iter().enumerate().map(|(place, device)| mark(devices, place, device)).collect();
    for place in signs.news(Sign::Attached, &marks, |_| false) {
        let Some(device) = devices.get(place) else { continue };
        let (word, what, title) = match device.types {
            true => ("keyboard", "keyboard", "Has a keyboard that was not there before"),
            false => ("storage", "storage device", "Has a storage device that was not there before"),
        };
        let product = &device.product;
        let saying = Saying { title, ..SAYING };
        told.tell(&format!("{word}:{product}"), &saying, Vec::from([("usb", product.clone())]), |since, times| {
            format!("Since {since} a {what} with the USB number {product} was plugged in, {times} so far. It was not there when the device was first looked at.")
        });
    }
}

fn mark(devices: &[Device], place: usize, device: &Device) -> Mark {
    let kind = if device.types { "keyboard" } else { "storage" };
    let number = match device.serial {
        Some(Mark(serial)) => format!("{serial:x}"),
        None => {
            let equal = devices.iter().take(place).filter(|other| *other == device);
            format!("#{}", equal.count())
        }
    };
    Mark::of(&[kind, &device.product, &number])
}

const SAYING: Saying = Saying {
    detector: Detector::Machine,
    severity: Severity::Medium,
    attack: &["T1200", "T1091"],
    title: "",
    why: "Whoever plugs something in stands at the device, and what is typed or brought in passes every firewall.",
    sure: "High that it was plugged in; low that it is wrong: staff exchange keyboards.",
    act: "Ask the ward who stood at the device, and have it pulled if nobody knows. An exchanged keyboard or a technician's stick looks the same.",
};
