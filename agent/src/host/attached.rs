//! What is plugged in: USB devices by their numbers and kinds, and serial ports that instruments are attached to.
//!
//! No serial number and no text of a device is taken: a stick's would tell whose it is. Two devices of one kind are one row
//! with their count, so that another socket changes nothing.

use cordon_proto::inventory::Section;
use cordon_proto::limits;

use super::{Root, Rows, UNKNOWN};

pub(super) const USB: &str = "sys/bus/usb/devices";
const TERMINALS: &str = "sys/class/tty";
/// Kinds of interfaces by their numbers (USB-IF, "Defined Class Codes"), as far as a word helps.
const KINDS: [(&str, &str); 16] = [
    ("01", "audio"),
    ("02", "communication"),
    ("03", "input"),
    ("05", "physical"),
    ("06", "image"),
    ("07", "printer"),
    ("08", "storage"),
    ("09", "hub"),
    ("0a", "communication"),
    ("0b", "smart-card"),
    ("0d", "security"),
    ("0e", "video"),
    ("0f", "health"),
    ("dc", "diagnostic"),
    ("e0", "wireless"),
    ("ff", "maker's own"),
];

/// Adds the rows of what is attached to the running machine.
pub fn read(root: &Root, rows: &mut Rows) {
    match root.names(USB) {
        Ok(names) => usb(root, &names, rows),
        Err(error) => rows.unread(USB, &error),
    }
    for name in root.names(TERMINALS).unwrap_or_default() {
        if let Some(driver) = serial(root, &name) {
            rows.add(Section::Hardware, &format!("serial/{name}"), [driver.as_str()]);
        }
    }
}

fn usb(root: &Root, names: &[String], rows: &mut Rows) {
    let mut found: Vec<(String, String, usize)> = Vec::new();
    // `1-1.2` is a device, `1-1.2:1.0` an interface of it; `usb1` is the root hub, the machine's own.
    let devices = names.iter().filter(|name| !name.contains(':') && !name.starts_with("usb"));
    for name in devices.take(limits::ATTACHED) {
        let number = |file: &str| root.line(&format!("{USB}/{name}/{file}")).filter(|line| is_number(line));
        let (Some(vendor), Some(product)) = (number("idVendor"), number("idProduct")) else { continue };
        let front = format!("{name}:");
        let interfaces = names.iter().filter(|other| other.starts_with(&front));
        let mut kinds: Vec<&str> = interfaces
            .filter_map(|interface| root.line(&format!("{USB}/{interface}/bInterfaceClass")))
            .map(|class| KINDS.iter().find(|(known, _)| *known == class).map_or("other", |(_, kind)| *kind))
            .collect();
        cordon_proto::sorting::sort(&mut kinds);
        kinds.dedup();
        let kinds = if kinds.is_empty() { UNKNOWN.to_owned() } else { kinds.join("+") };
        let key = format!("usb/{vendor}:{product}");
        match found.iter_mut().find(|(known, _, _)| *known == key) {
            Some((_, _, count)) => *count += 1,
            None => found.push((key, kinds, 1)),
        }
    }
    for (key, kinds, count) in found {
        rows.add(Section::Hardware, &key, [kinds.as_str(), &count.to_string()]);
    }
}

/// The driver of a serial port that is really there: of `ttyS`, those with a chip behind them.
fn serial(root: &Root, name: &str) -> Option<String> {
    let port = format!("{TERMINALS}/{name}");
    if !root.exists(&format!("{port}/device")) || root.line(&format!("{port}/type")).as_deref() == Some("0") {
        return None;
    }
    let events = root.text(&format!("{port}/device/uevent")).ok()?;
    let driver = events.lines().find_map(|line| line.strip_prefix("DRIVER="));
    Some(driver.unwrap_or(UNKNOWN).to_owned())
}

fn is_number(text: &str) -> bool {
    text.len() == 4 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}
