//! What a device notes of an image that a command of the maker's has put into a slot.
//!
//! Words in one line, so that a person can read them. A note that is torn, or of another image, is no note: the image is
//! handed over once more. It must never take a slot for installed on less than slot and hash. Read next:
//! [`super::loader`].

use alloc::format;
use alloc::string::String;

use cordon_proto::ids::Sha256;

use super::record::Slot;

/// What a slot holds by the word of the command that reads it back; the command may not be able to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub Option<Sha256>);

impl Digest {
    /// Reads `sha256=HEX` or `sha256=none` out of an answer; further words are not read.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        match word(text, "sha256=")? {
            "none" => Some(Self(None)),
            hex => hex.parse().ok().map(|sha256| Self(Some(sha256))),
        }
    }
}

/// The note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// The slot.
    pub slot: Slot,
    /// The image, as it was signed.
    pub image: Sha256,
    /// What stood in the slot right afterwards.
    pub digest: Digest,
}

impl Note {
    /// Whether it is of this image in this slot.
    #[must_use]
    pub fn is_of(&self, slot: Slot, image: Sha256) -> bool {
        self.slot == slot && self.image == image
    }

    /// As it is kept.
    #[must_use]
    pub fn text(&self) -> String {
        let digest = self.digest.0.map_or_else(|| "none".into(), |sha256| format!("{sha256}"));
        format!("slot={} image={} sha256={digest}\n", self.slot, self.image)
    }

    /// Reads what was kept.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let slot = slot(word(text, "slot=")?)?;
        Some(Self { slot, image: word(text, "image=")?.parse().ok()?, digest: Digest::read(text)? })
    }
}

/// The value of the one word that begins with `key`; none where there are two.
#[must_use]
pub fn word<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut values = text.split_ascii_whitespace().filter_map(|word| word.strip_prefix(key));
    values.next().filter(|_| values.next().is_none())
}

/// The slot of a letter.
#[must_use]
pub fn slot(letter: &str) -> Option<Slot> {
    match letter {
        "A" => Some(Slot::A),
        "B" => Some(Slot::B),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_digest_is_a_whole_hash_or_the_word_that_there_is_none() {
        // Goal: no half answers. Method: each form, and what is neither.
        let hex = format!("{}", Sha256::of(b"slot"));
        assert_eq!(Digest::read(&format!("slot=B sha256={hex}\n")), Some(Digest(Some(Sha256::of(b"slot")))));
        assert_eq!(Digest::read("sha256=none"), Some(Digest(None)));
        for wrong in ["", "sha256=", "sha256=no", &hex, &format!("sha256={}", &hex[1..])] {
            assert_eq!(Digest::read(wrong), None, "{wrong}");
        }
        assert_eq!(Digest::read(&format!("sha256=none sha256={hex}")), None, "two answers are none");
    }

    proptest! {
        #[test]
        fn a_note_is_read_as_it_was_kept_and_a_torn_one_is_none(
            b in any::<bool>(), image in any::<[u8; 32]>(), digest in proptest::option::of(any::<[u8; 32]>()),
            cut in 0_usize..200,
        ) {
            let slot = if b { Slot::B } else { Slot::A };
            let note = Note { slot, image: Sha256(image), digest: Digest(digest.map(Sha256)) };
            let text = note.text();
            prop_assert_eq!(Note::read(text.as_bytes()), Some(note));
            prop_assert!(note.is_of(slot, Sha256(image)) && !note.is_of(slot.other(), Sha256(image)));
            let torn = text.get(..cut.min(text.len() - 1)).expect("ascii");
            prop_assert_eq!(Note::read(torn.as_bytes()), None);
        }
    }
}
