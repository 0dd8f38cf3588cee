//! What may be tried again after a bad end, by the class of its code, and when.
//!
//! A device gives an order up after a failed trial, so most ends are final for the order they came under. What the
//! device mends by itself needs nothing of the server; only a silent device is given the go again, a few times, with
//! growing patience. Read next: [`super::plan`].

use cordon_proto::time::Timestamp;

use super::Pace;

/// Whose turn it is after a bad end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The device goes on by itself: nothing has ended.
    DeviceItself,
    /// The network failed the trial: final for this order; another signed order may try again.
    Reach,
    /// The image failed: nobody tries again before a person has understood why.
    Image,
    /// The device will not take the order.
    Refused,
    /// It was not heard after the go.
    Silent,
    /// A person did not accept it.
    Person,
}

/// When a device may be given the go again under the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Now.
    Now,
    /// Not before then.
    At(Timestamp),
    /// Never under this order.
    Never,
}

/// The class of a code, as receipts, check-ins and the engine use them. What is not known is not tried again.
#[must_use]
pub fn class_of(code: &str) -> Class {
    match code {
        "image-unreachable" | "disk-full" | "slot-fails" | "stick-gone" => Class::DeviceItself,
        "trial-no-checkin" | "trial-boots-unfinished" => Class::Reach,
        "trial-unhealthy" | "trial-crashes" | "trial-hash-differs" | "trial-silent" | "image-damaged"
        | "slot-too-short" => Class::Image,
        "silent" => Class::Silent,
        "not-accepted" => Class::Person,
        _ => Class::Refused,
    }
}

/// When a device of this class may be given the go again, having been called silent `tries` times, last at `since`.
#[must_use]
pub fn again(class: Class, tries: u32, since: Timestamp, pace: &Pace, now: Timestamp) -> Again {
    match class {
        Class::Silent if tries <= pace.silent_tries => {
            let doubled = 1_i64 << tries.saturating_sub(1).min(16);
            let at = since.plus_seconds(i64::from(pace.back_off_s).saturating_mul(doubled));
            if now >= at { Again::Now } else { Again::At(at) }
        }
        Class::DeviceItself => Again::Now,
        Class::Silent | Class::Reach | Class::Image | Class::Refused | Class::Person => Again::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_device_is_tried_again_with_growing_patience_and_a_failed_image_never() {
        // Goal: the table of classes. Method: each class once; the hours of the silent one; the last try.
        let (at, pace) = (Timestamp(1_795_251_906), Pace::default());
        let when = |tries, after_s| again(Class::Silent, tries, at, &pace, at.plus_seconds(after_s));
        assert_eq!(when(1, 3599), Again::At(at.plus_seconds(3600)));
        assert_eq!(when(1, 3600), Again::Now);
        assert_eq!(when(2, 7199), Again::At(at.plus_seconds(7200)));
        assert_eq!(when(2, 7200), Again::Now);
        assert_eq!(when(3, 1_000_000), Again::Never);
        for code in
            ["trial-no-checkin", "trial-unhealthy", "below-floor", "not-accepted", "of a later version"]
        {
            assert_eq!(
                again(class_of(code), 0, at, &pace, at.plus_seconds(1_000_000)),
                Again::Never,
                "{code}"
            );
        }
        assert_eq!(again(class_of("disk-full"), 0, at, &pace, at), Again::Now);
        assert_eq!(class_of("silent"), Class::Silent);
    }
}
