//! The agent's log: one line an event on standard error, which the device's init system keeps.
//!
//! `tracing-subscriber` weighs more than all lines it would ever write here. What a stranger sent cannot begin a line
//! of its own: control characters are escaped. It must never fail the program: a line that cannot be written is
//! lost. The events stand beside the code that meets them. Read next: [`crate::commands`].

use std::fmt::{self, Debug, Write as _};
use std::io::{self, Write as _};

use cordon_proto::time::Millis;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, set_global_default};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::clock::{Clock, SystemClock};

/// What is worth a line.
const MOST_DETAILED: Level = Level::INFO;

/// Begins to write. A simulator that runs commands in one process has its own log, which stays.
pub fn begin() {
    let _ = set_global_default(Lines(SystemClock::new()));
}

/// Writes events as lines.
struct Lines(SystemClock);

impl Subscriber for Lines {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.enabled(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(MOST_DETAILED))
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= MOST_DETAILED
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line::begin(self.0.now(), *metadata.level(), metadata.target());
        event.record(&mut line);
        let _ = io::stderr().write_all(line.end().as_bytes());
    }

    // Spans are not enabled, so that none of these is asked for.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A line as it grows.
struct Line(String);

impl Line {
    fn begin(at: Millis, level: Level, target: &str) -> Self {
        Self(format!("{at} {level:>5} {target}:"))
    }

    fn end(mut self) -> String {
        self.0.push('\n');
        self.0
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if character.is_control() {
                self.0.extend(character.escape_default());
            } else {
                self.0.push(character);
            }
        }
        Ok(())
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self, " {value:?}"),
            name => write!(self, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps what [`Lines`] would write.
    struct Kept(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Kept {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            Lines(SystemClock::new()).enabled(metadata)
        }

        fn event(&self, event: &Event<'_>) {
            let mut line = Line::begin(Millis(0), *event.metadata().level(), event.metadata().target());
            event.record(&mut line);
            self.0.lock().expect("no panic holds it").push(line.end());
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn an_event_is_one_line_whatever_a_stranger_put_into_it() {
        // Goal: time, level, place, words, fields, and nothing that begins a new line. Method: events of both kinds,
        // read back from a subscriber of this thread.
        let kept = Arc::new(Mutex::new(Vec::new()));
        tracing::subscriber::with_default(Kept(Arc::clone(&kept)), || {
            tracing::warn!(target: "here", code = %"a\nb\u{1b}[31m", count = 3, "it is \u{e9} so");
            tracing::error!(target: "there", name = "x y", "no");
            tracing::debug!(target: "there", "too much");
        });
        let lines = kept.lock().expect("no panic holds it").clone();
        assert_eq!(
            lines,
            [
                "1970-01-01T00:00:00.000Z  WARN here: it is \u{e9} so code=a\\nb\\u{1b}[31m count=3\n",
                "1970-01-01T00:00:00.000Z ERROR there: no name=\"x y\"\n",
            ]
        );
    }
}
