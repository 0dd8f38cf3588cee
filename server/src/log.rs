//! The log: where it goes, and how an error is written with its causes.
//!
//! Lines go to stderr. They never hold secrets, bodies or payloads, and an event is one line whatever a device calls itself.

use std::error::Error;
use std::io::{self, Write};

use tracing_subscriber::filter::LevelFilter;

use crate::config::{LogFormat, LogLevel};

/// Begins to log. A program that has set up a log of its own keeps it.
pub fn start(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_ansi(false);
    let _ = match format {
        LogFormat::Text => log.with_writer(|| OneLine(io::stderr())).try_init(),
        LogFormat::Json => log.json().with_writer(|| OneLine(io::stderr())).try_init(),
    };
}

/// A writer of events, each one line: what would begin another one, or move the cursor of who reads it, is written as
/// `\uXXXX`, which JSON reads too. An event comes as one call.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let mut line = String::with_capacity(text.len());
        for c in text.trim_end_matches('\n').chars() {
            // The two separators end a line for some readers of JSON, and are no control characters.
            if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
                line.push_str(&format!("\\u{:04x}", u32::from(c)));
            } else {
                line.push(c);
            }
        }
        line.push('\n');
        self.0.write_all(line.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// An error and its causes in one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::OneLine;

    /// What was written, for whoever holds the other half.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("nobody panicked").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_text_of_a_device_begins_a_line_of_the_log() {
        // Goal: the log cannot be forged. Method: events through the very writers, with texts that would begin a line, erase
        // one, or end one for a reader of JSON, as a shown value, as a quoted one and in the message.
        let forged = "pump\n2026-11-23T00:00:00Z ERROR all is well\r\u{1b}[2K\u{2028}\u{85}";
        for json in [false, true] {
            let kept = Kept::default();
            let writer = kept.clone();
            let log = tracing_subscriber::fmt().with_ansi(false);
            let say = || {
                tracing::warn!(device = %forged, serial = ?forged, model = forged, "a device says {forged}");
                tracing::warn!("the next");
            };
            if json {
                let log = log.json().with_writer(move || OneLine(writer.clone())).finish();
                tracing::subscriber::with_default(log, say);
            } else {
                let log = log.with_writer(move || OneLine(writer.clone())).finish();
                tracing::subscriber::with_default(log, say);
            }
            let text = String::from_utf8(kept.0.lock().expect("nobody panicked").clone()).expect("text");
            assert_eq!(text.matches('\n').count(), 2, "{text}");
            assert!(
                !text.chars().any(|c| c != '\n' && c.is_control()) && !text.contains('\u{2028}'),
                "{text}"
            );
            assert!(text.contains("pump") && text.ends_with('\n'), "{text}");
            if json {
                let objects = text.lines().map(serde_json::from_str::<serde_json::Value>);
                assert!(
                    objects.into_iter().all(|object| object.is_ok_and(|object| object.is_object())),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        // Goal: one line says why. Method: an error with a source.
        let error = crate::files::read(std::path::Path::new("/nowhere/at/all")).expect_err("not there");
        let line = super::chain(&error);
        assert!(line.starts_with("cannot read /nowhere/at/all: ") && line.contains("os error 2"), "{line}");
    }
}
