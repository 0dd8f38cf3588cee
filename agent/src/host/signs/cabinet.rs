//! The switches of the cabinet that the configuration names: `NAME:PATH=VALUE`.
//!
//! A file of the kernel whose first line is VALUE while the cabinet is open (a GPIO's `value`), or an input device below
//! `/dev/input/` whose switch of the code VALUE is on then (Linux `input-event-codes.h`, `EV_SW`). Files are read each second;
//! an input device keeps its events until they are read, and says nothing of how it stands before the first.

use std::fs::File;
use std::io::Read;

use cordon_agent_core::signs::cabinet::Switch;
use cordon_proto::ids::Name;

use crate::host::Root;

const INPUT: &str = "/dev/input/";
/// `EV_SW`.
pub(super) const SWITCH: u16 = 5;
/// Bytes of an event: two words of time, type, code and value.
const EVENT: usize = 2 * size_of::<usize>() + 8;
/// Events read at once, and times in a look.
const EVENTS: usize = 32;

/// A switch in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    name: Name,
    path: String,
    value: String,
}

impl Contact {
    /// From `NAME:PATH=VALUE`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once(':')?;
        let (path, value) = rest.rsplit_once('=')?;
        let fits = path.starts_with('/') && (!path.starts_with(INPUT) || value.parse::<u16>().is_ok());
        (fits && !value.is_empty()).then_some(())?;
        Some(Self { name: name.parse().ok()?, path: path.to_owned(), value: value.to_owned() })
    }
}

/// The switches, as they stand.
#[derive(Debug, Default)]
pub(super) struct Cabinet(Vec<Stand>);

#[derive(Debug)]
struct Stand {
    contact: Contact,
    open: Option<bool>,
    openings: u32,
    events: Option<File>,
}

impl Cabinet {
    pub(super) fn new(contacts: &[Contact]) -> Self {
        let stand =
            |contact: &Contact| Stand { contact: contact.clone(), open: None, openings: 0, events: None };
        Self(contacts.iter().map(stand).collect())
    }

    pub(super) fn watch(&mut self, root: &Root) {
        for stand in &mut self.0 {
            if stand.contact.path.starts_with(INPUT) {
                stand.read_events(root);
            } else {
                let line = root.line(&stand.contact.path);
                stand.turn(line.map(|line| line == stand.contact.value));
            }
        }
    }

    /// How they stand and how often they opened; then which are unseen.
    pub(super) fn take(&mut self) -> (Vec<Switch>, Option<String>) {
        let (mut switches, mut unseen) = (Vec::new(), None);
        for stand in &mut self.0 {
            let name = stand.contact.name.to_string();
            match stand.open {
                Some(open) => {
                    switches.push(Switch { name, open, openings: core::mem::take(&mut stand.openings) });
                }
                None => unseen = Some(format!("{name}: nothing is said by {}", stand.contact.path)),
            }
        }
        (switches, unseen)
    }
}

impl Stand {
    fn turn(&mut self, open: Option<bool>) {
        if self.open == Some(false) && open == Some(true) {
            self.openings = self.openings.saturating_add(1);
        }
        self.open = open;
    }

    fn read_events(&mut self, root: &Root) {
        if self.events.is_none() {
            (self.open, self.events) = (None, root.device(&self.contact.path).ok());
        }
        let code = self.contact.value.parse::<u16>().ok();
        let mut bytes = [0; EVENT * EVENTS];
        for _ in 0..EVENTS {
            let Some(file) = &mut self.events else { return };
            let read = match file.read(&mut bytes) {
                Ok(0) => return,
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // It was pulled out; it is opened again when it is there.
                Err(_) => return self.events = None,
            };
            for event in bytes.get(..read).unwrap_or_default().chunks_exact(EVENT) {
                let [.., k0, k1, c0, c1, v0, v1, v2, v3] = *event else { continue };
                let (kind, is) = (u16::from_ne_bytes([k0, k1]), u16::from_ne_bytes([c0, c1]));
                if kind == SWITCH && Some(is) == code {
                    // Before its first word it stood the other way.
                    let on = i32::from_ne_bytes([v0, v1, v2, v3]) != 0;
                    self.open = self.open.or(Some(!on));
                    self.turn(Some(on));
                }
            }
        }
    }
}
