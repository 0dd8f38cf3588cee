//! What a request says about a device that is not known, or is announced only, and how a record takes it over.
//!
//! Where a person placed a device is where it stays; what only a request says never moves it. Nothing is decided here:
//! [`super::decide`] says who comes in.

use cordon_proto::ids::{DeviceId, Hardware, Text};
use cordon_proto::time::Timestamp;

use super::{Credential, Request, Token, Warrant};
use crate::device::{Device, Placement, Source, State};

/// What a request says about a device that is not known, or is announced only.
pub(super) struct Newcomer {
    pub(super) hardware: Hardware,
    pub(super) stated: bool,
    pub(super) placement: Placement,
}

pub(super) fn newcomer(warrant: &Warrant<'_>, request: &Request, model: Option<&Text>) -> Newcomer {
    let stated = request.hardware.is_some();
    match warrant {
        Warrant::Token(token) => Newcomer {
            hardware: token.hardware(request.hardware.as_ref(), &request.serial),
            stated,
            placement: token.order.placement.clone(),
        },
        Warrant::Birth(anchor) => {
            Newcomer { hardware: anchor.hardware(request, model), stated, placement: Placement::nowhere() }
        }
        Warrant::Nothing => {
            let unsaid = || Hardware {
                manufacturer: Text::lossy(""),
                model: model.cloned().unwrap_or_else(|| Text::lossy("")),
                revision: Text::lossy(""),
                serial: request.serial.clone(),
            };
            let hardware = request.hardware.clone().unwrap_or_else(unsaid);
            Newcomer { hardware, stated, placement: Placement::nowhere() }
        }
    }
}

/// Whether a device that stands under the serial of a request is the one that asks. Only of a device that a list of assets
/// alone names can it be another: then the list keeps its line, and the serial goes to whoever proved something.
#[must_use]
pub fn is_the_one(device: &Device, request: &Request, token: Option<&Token>, model: &Text) -> bool {
    if !device.is_listed_only() {
        return true;
    }
    let maker = match (&request.credential, token) {
        (Credential::Birth { anchor, .. }, _) => Some(anchor.manufacturer.clone()),
        (Credential::Token(_), Some(token)) => token.order.manufacturer.clone(),
        (Credential::Token(_) | Credential::Nothing, _) => None,
    };
    let unstated = || Hardware {
        manufacturer: maker.unwrap_or_else(|| Text::lossy("")),
        model: model.clone(),
        revision: Text::lossy(""),
        serial: request.serial.clone(),
    };
    device.is_listed_as(&request.hardware.clone().unwrap_or_else(unstated))
}

impl Newcomer {
    pub(super) fn device(self, id: DeviceId, state: State, since: Timestamp) -> Device {
        Device { stated: self.stated, ..Device::bare(id, self.hardware, self.placement, state, since) }
    }

    /// The known device with what the request says of it. Where a person moved it is where it stays.
    pub(super) fn taking_over(self, known: &Device, request: &Request, board: bool) -> Device {
        let announced = known.state == State::Expected;
        let listed = known.is_listed_only();
        let first = announced || listed || known.state == State::Pending;
        let says = request.hardware.is_some() || first || board;
        let hardware = if says { self.hardware } else { known.hardware.clone() };
        let unplaced = first && known.placement.is_nowhere();
        let own = !self.placement.is_nowhere() && (announced || listed || unplaced);
        let placement = if own { self.placement } else { known.placement.clone() };
        let stated = self.stated || (known.stated && !board);
        Device { hardware, stated, placement, source: Source::Agent, ..known.clone() }
    }
}
