//! Whether what a rollout would carry out is here, and is what the maker listed: asked before it begins.
//!
//! Devices ask all of this again, and theirs is the answer that counts. Asked here as well, a mistake is seen by the
//! person who makes it and not by a ward in the night after. Nothing is looked up here: what there is comes in as
//! values. Read next: [`super::plan`] for what happens then.

use cordon_proto::ids::{DeviceId, Name, Sha256, TargetPath, Text};
use cordon_proto::update::order::Order;

/// A release as its maker's imported chain lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The model it is for.
    pub model: Text,
    /// SHA-256 of its image.
    pub sha256: Sha256,
    /// Bytes of its image.
    pub length: u64,
    /// Whether the newest publication lists it still.
    pub still: bool,
}

/// Why a rollout of an order cannot begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The order has no window, and no window means never.
    #[error("order `{0}` lets no device reboot, because it has no window: sign one that has")]
    NeverOpens(Name),
    /// The release is in no imported repository of that name.
    #[error(
        "order `{order}` installs `{release}`, which its maker does not list here: publish the maker's repository first"
    )]
    UnknownToMaker {
        /// The order.
        order: Name,
        /// The release.
        release: TargetPath,
    },
    /// Its maker listed the release once, and does so no more.
    #[error(
        "order `{order}` installs `{release}`, which its maker took back: every device would refuse it; order a release that is listed"
    )]
    TakenBack {
        /// The order.
        order: Name,
        /// The release.
        release: TargetPath,
    },
    /// The order names other bytes than the maker.
    #[error(
        "order `{order}` names other bytes for `{release}` than its maker lists: publish the maker's newest repository, or sign the order anew"
    )]
    HashDiffers {
        /// The order.
        order: Name,
        /// The release.
        release: TargetPath,
    },
    /// The image is not in this server's folder.
    #[error("the image of `{0}` is not here: publish the maker's repository with its images first")]
    ImageMissing(TargetPath),
    /// A device of another model than the release is for.
    #[error("device {device} is a {model}, and `{release}` is for another model: take it out of the list")]
    OtherModel {
        /// The device.
        device: DeviceId,
        /// What it is.
        model: Text,
        /// The release.
        release: TargetPath,
    },
}

impl NotReady {
    /// The rule, as a code for programs; where a device asks the same, its word for it.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        match self {
            Self::NeverOpens(_) => "never_opens",
            Self::UnknownToMaker { .. } | Self::TakenBack { .. } => "unknown_to_maker",
            Self::HashDiffers { .. } => "hash_differs",
            Self::ImageMissing(_) => "image_missing",
            Self::OtherModel { .. } => "other_model",
        }
    }
}

/// Whether a rollout of this order over these devices, each with its model, may begin.
///
/// # Errors
/// The first rule that says no.
pub fn ready<'a>(
    order: &Order,
    listed: Option<&Listed>,
    image_is_here: bool,
    devices: impl IntoIterator<Item = (DeviceId, &'a Text)>,
) -> Result<(), NotReady> {
    if order.windows.is_empty() {
        return Err(NotReady::NeverOpens(order.id.clone()));
    }
    let (id, release) = (order.id.clone(), order.image.release.clone());
    let Some(listed) = listed else { return Err(NotReady::UnknownToMaker { order: id, release }) };
    if !listed.still {
        return Err(NotReady::TakenBack { order: id, release });
    }
    if listed.sha256 != order.image.sha256 || listed.length != order.image.length {
        return Err(NotReady::HashDiffers { order: id, release });
    }
    if !image_is_here {
        return Err(NotReady::ImageMissing(release));
    }
    match devices.into_iter().find(|(_, model)| **model != listed.model) {
        Some((device, model)) => Err(NotReady::OtherModel { device, model: model.clone(), release }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::fixture::{ORDERED, id, order, text};
    use super::*;
    use cordon_proto::update::window::Window;

    #[test]
    fn a_rollout_of_what_is_not_here_is_refused_by_the_rule_that_says_so() {
        // Goal: each mistake is named before a device sees it. Method: all well; then one thing wrong at a time.
        let model = text("VP-3");
        let sound = || Listed { model: model.clone(), sha256: ORDERED, length: 9, still: true };
        let mut signed = order("w1");
        let pumps = [(id(1), &model), (id(2), &model)];
        assert_eq!(
            ready(&signed, Some(&sound()), true, pumps).map_err(|error| error.rule()),
            Err("never_opens")
        );
        signed.windows = vec![Window::ALWAYS];
        let judged = |listed: Option<Listed>, image, devices| {
            ready(&signed, listed.as_ref(), image, devices).map_err(|error| error.rule())
        };
        assert_eq!(judged(Some(sound()), true, pumps), Ok(()));
        assert_eq!(judged(None, true, pumps), Err("unknown_to_maker"));
        let gone = Listed { still: false, ..sound() };
        assert_eq!(judged(Some(gone), true, pumps), Err("unknown_to_maker"));
        let other = Listed { sha256: Sha256([9; 32]), ..sound() };
        assert_eq!(judged(Some(other), true, pumps), Err("hash_differs"));
        let longer = Listed { length: 10, ..sound() };
        assert_eq!(judged(Some(longer), true, pumps), Err("hash_differs"));
        assert_eq!(judged(Some(sound()), false, pumps), Err("image_missing"));
        let scanner = text("MR-1");
        assert_eq!(judged(Some(sound()), true, [(id(1), &model), (id(2), &scanner)]), Err("other_model"));
    }
}
