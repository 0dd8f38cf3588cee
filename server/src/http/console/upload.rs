//! A form with a file (`multipart/form-data`, RFC 7578), read piece by piece: no file is held in memory.
//!
//! [`Parts`] knows neither socket nor disk: bytes in, events out. Fields are short, their number is bounded, and what is no
//! such form is refused. Read next: `super::feeds`, which takes a feed in with it.

use cordon_proto::limits;

/// Bytes of the head of a part.
const HEAD_BYTES: usize = 8 * 1024;
/// Parts of a form.
const PARTS: usize = 16;
/// Characters of a boundary (RFC 2046 section 5.1.1).
const BOUNDARY: usize = 70;

/// A form on its way in.
pub(super) struct Parts {
    delimiter: Vec<u8>,
    held: Vec<u8>,
    state: State,
    parts: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first delimiter, which what is held begins with.
    Preamble,
    /// Right behind a delimiter.
    Behind,
    /// In the head of a part.
    Head,
    /// In what a part holds.
    Body,
    /// Behind the last delimiter.
    Done,
}

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A part of this name begins.
    Begin(String),
    /// Bytes of it.
    Data(Vec<u8>),
    /// It ends.
    End,
}

/// It is no form, or one beyond what is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoForm;

impl Parts {
    /// A form of this content type.
    pub(super) fn of(content_type: &str) -> Option<Self> {
        let (kind, parameters) = content_type.split_once(';')?;
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let named = parameters.split(';').find_map(|pair| pair.trim().strip_prefix("boundary="))?;
        let boundary = named.trim_matches('"');
        if boundary.is_empty() || boundary.len() > BOUNDARY {
            return None;
        }
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        // The first delimiter may be the very beginning.
        Some(Self { delimiter, held: b"\r\n".to_vec(), state: State::Preamble, parts: 0 })
    }

    /// Takes the next bytes.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<Vec<Event>, NoForm> {
        self.held.extend_from_slice(piece);
        let mut events = Vec::new();
        while self.step(&mut events)? {}
        Ok(events)
    }

    /// Whether the last delimiter was read.
    pub(super) fn is_whole(&self) -> bool {
        self.state == State::Done
    }

    /// One step; says whether another one may be possible.
    fn step(&mut self, events: &mut Vec<Event>) -> Result<bool, NoForm> {
        match self.state {
            State::Preamble | State::Body => Ok(self.until_delimiter(events)),
            State::Behind => self.behind(),
            State::Head => self.head(events),
            State::Done => {
                self.held.clear();
                Ok(false)
            }
        }
    }

    fn until_delimiter(&mut self, events: &mut Vec<Event>) -> bool {
        let is_body = self.state == State::Body;
        let found = find(&self.held, &self.delimiter);
        // What may be the beginning of a delimiter stays.
        let data = found.unwrap_or_else(|| self.held.len().saturating_sub(self.delimiter.len() - 1));
        let bytes: Vec<u8> = self.held.drain(..data).collect();
        if is_body && !bytes.is_empty() {
            events.push(Event::Data(bytes));
        }
        if found.is_none() {
            return false;
        }
        self.held.drain(..self.delimiter.len());
        if is_body {
            events.push(Event::End);
        }
        self.state = State::Behind;
        true
    }

    fn behind(&mut self) -> Result<bool, NoForm> {
        let Some(next) = self.held.get(..2) else { return Ok(false) };
        self.state = match next {
            b"--" => State::Done,
            b"\r\n" => State::Head,
            _ => return Err(NoForm),
        };
        self.held.drain(..2);
        Ok(true)
    }

    fn head(&mut self, events: &mut Vec<Event>) -> Result<bool, NoForm> {
        let Some(end) = find(&self.held, b"\r\n\r\n") else {
            return if self.held.len() > HEAD_BYTES { Err(NoForm) } else { Ok(false) };
        };
        let head: Vec<u8> = self.held.drain(..end + 4).collect();
        self.parts += 1;
        let head = String::from_utf8(head).map_err(|_| NoForm)?;
        if self.parts > PARTS || head.len() > HEAD_BYTES {
            return Err(NoForm);
        }
        events.push(Event::Begin(name(&head).ok_or(NoForm)?));
        self.state = State::Body;
        Ok(true)
    }
}

/// The name of a part.
fn name(head: &str) -> Option<String> {
    let is_own = |line: &&str| line.to_ascii_lowercase().starts_with("content-disposition:");
    let line = head.split("\r\n").find(is_own)?;
    let (_, rest) = line.split_once("; name=\"")?;
    let (name, _) = rest.split_once('"')?;
    (!name.is_empty() && name.len() <= limits::TEXT_CHARS).then(|| name.to_owned())
}

fn find(within: &[u8], wanted: &[u8]) -> Option<usize> {
    within.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TYPE: &str = "multipart/form-data; boundary=xyz";

    fn form(file: &[u8]) -> Vec<u8> {
        let head = "--xyz\r\nContent-Disposition: form-data; name=\"kind\"\r\n\r\nosv\r\n--xyz\r\n\
                    Content-Disposition: form-data; name=\"file\"; filename=\"a.zip\"\r\nContent-Type: x/y\r\n\r\n";
        [head.as_bytes(), file, b"\r\n--xyz--\r\n"].concat()
    }

    /// A part's name and its bytes.
    type Part = (String, Vec<u8>);

    /// The parts of a form that comes in pieces of this size.
    fn read(whole: &[u8], size: usize) -> Result<(Vec<Part>, bool), NoForm> {
        let mut parts = Parts::of(TYPE).ok_or(NoForm)?;
        let mut read: Vec<Part> = Vec::new();
        for piece in whole.chunks(size) {
            for event in parts.take(piece)? {
                match event {
                    Event::Begin(name) => read.push((name, Vec::new())),
                    Event::Data(bytes) => read.last_mut().ok_or(NoForm)?.1.extend(bytes),
                    Event::End => {}
                }
            }
        }
        Ok((read, parts.is_whole()))
    }

    #[test]
    fn what_is_no_such_form_is_refused() {
        // Goal: nothing is guessed. Method: other types, no name, a torn end, heads without end, too many parts.
        for bad in [
            "text/plain",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/mixed; boundary=x",
        ] {
            assert!(Parts::of(bad).is_none(), "{bad}");
        }
        let nameless = b"--xyz\r\nContent-Disposition: form-data\r\n\r\nx\r\n--xyz--";
        assert_eq!(read(nameless, 7), Err(NoForm));
        let torn = form(b"abc");
        assert_eq!(read(&torn[..torn.len() - 8], 5).map(|(_, whole)| whole), Ok(false));
        let endless = [b"--xyz\r\n".to_vec(), vec![b'a'; HEAD_BYTES + 1]].concat();
        assert_eq!(read(&endless, 4096), Err(NoForm));
        let part = "--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
        assert_eq!(read(part.repeat(PARTS + 1).as_bytes(), 999), Err(NoForm));
    }

    proptest! {
        #[test]
        fn a_file_arrives_whole_however_it_is_cut(file in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'-'), Just(b'x'), any::<u8>()], 0..300), size in 1..64_usize) {
            prop_assume!(find(&file, b"\r\n--xyz").is_none());
            let (parts, whole) = read(&form(&file), size).expect("a form");
            prop_assert!(whole);
            prop_assert_eq!(parts, vec![("kind".to_owned(), b"osv".to_vec()), ("file".to_owned(), file)]);
        }
    }
}
