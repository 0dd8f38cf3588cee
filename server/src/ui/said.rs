//! Text that a device or a file supplied, as pages show it: data, never a heading, never markup.
//!
//! Control, direction-changing and invisible characters become marks, long text is cut; templates escape the rest.
//! Read next: [`super::words`].

use std::fmt::{self, Write as _};

/// Characters of a quoted name or title.
const SAID_CHARS_MAX: usize = 120;
/// Characters of a quoted sentence on the page of its own thing.
const SENTENCE_CHARS_MAX: usize = cordon_proto::limits::TEXT_CHARS;
/// Text that a device or a file supplied: data, never a heading, never markup.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    text: String,
    sentence: bool,
}

impl Said {
    /// Prose on the page of its own thing, such as what a finding says about itself: cut only at the wire's bound.
    pub fn sentence(text: impl Into<String>) -> Self {
        Self { text: text.into(), sentence: true }
    }

    /// The text as it came, for building addresses; never for showing.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.text
    }

    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl<T: Into<String>> From<T> for Said {
    fn from(text: T) -> Self {
        Self { text: text.into(), sentence: false }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = if self.sentence { SENTENCE_CHARS_MAX } else { SAID_CHARS_MAX };
        for (count, c) in self.text.chars().enumerate() {
            if count == most {
                return f.write_char('…');
            }
            match mark(c) {
                Some(Mark::Picture(picture)) => f.write_char(picture)?,
                Some(Mark::Code(code)) => write!(f, "⟨{code:04X}⟩")?,
                None => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// How a character is shown that must not act.
enum Mark {
    Picture(char),
    Code(u32),
}

/// Control, direction-changing and invisible characters.
fn mark(c: char) -> Option<Mark> {
    let code = u32::from(c);
    match code {
        0..=0x1f => char::from_u32(0x2400 + code).map(Mark::Picture),
        0x7f => Some(Mark::Picture('\u{2421}')),
        0x80..=0x9f
        | 0x61c
        | 0x200b..=0x200f
        | 0x2028..=0x202e
        | 0x2060..=0x206f
        | 0xfeff
        | 0xfff9..=0xfffb => Some(Mark::Code(code)),
        0xe0000..=0xe007f => Some(Mark::Code(code)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn device_text_cannot_steer_the_page() {
        // Goal: control and direction characters act on nobody. Method: each family, and a long text.
        let said = Said::from("a\u{0}b\n\u{202e}c\u{200b}\u{7f}\u{9b}<i>");
        assert_eq!(said.to_string(), "a␀b␊⟨202E⟩c⟨200B⟩␡⟨009B⟩<i>");
        assert_eq!(Said::from("x".repeat(500)).to_string().chars().count(), 121);
        assert_eq!(Said::sentence("x".repeat(500)).to_string().chars().count(), 257);
    }

    proptest! {
        #[test]
        fn any_text_is_shown_without_a_control_character(text in any::<String>()) {
            prop_assert!(!Said::from(text).to_string().chars().any(char::is_control));
        }
    }
}
