//! The log: where it goes, and how an error is written with its causes.
//!
//! Lines go to stderr. They never hold secrets, bodies or payloads.

use std::error::Error;

use tracing_subscriber::filter::LevelFilter;

use crate::config::LogLevel;

/// Begins to log. A program that has set up a log of its own keeps it.
pub fn start(level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(false);
    let _ = log.try_init();
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
    #[test]
    fn an_error_is_told_with_its_causes() {
        // Goal: one line says why. Method: an error with a source.
        let error = crate::files::read(std::path::Path::new("/nowhere/at/all")).expect_err("not there");
        let line = super::chain(&error);
        assert!(line.starts_with("cannot read /nowhere/at/all: ") && line.contains("os error 2"), "{line}");
    }
}
