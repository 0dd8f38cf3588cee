//! The command line of `observe`: its options, and what its end means.
//!
//! Read next: [`crate::observe`].

use std::ffi::OsString;
use std::process::ExitCode;

use cordon_agent_core::watched::Learn;
use cordon_proto::time::Timestamp;

use crate::observe::{ObserveError, Request, observe};

/// Whether everything was said that must be.
pub(super) fn is_whole(request: &Request) -> bool {
    !request.out.as_os_str().is_empty() && request.read.is_some() != request.read_conn.is_some()
}

/// Observes; what cannot be read, wholly or in part, is a matter of usage.
pub(super) fn observed(request: &Request) -> anyhow::Result<ExitCode> {
    match observe(request) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error @ (ObserveError::Read { .. } | ObserveError::Form { .. })) => {
            eprintln!("cordon-agent: {error}");
            Ok(ExitCode::from(2))
        }
        Err(error @ ObserveError::Write { .. }) => Err(error.into()),
    }
}

/// One option of `observe`.
pub(super) fn asked(request: &mut Request, flag: &str, value: OsString) -> Result<(), lexopt::Error> {
    use lexopt::ValueExt;
    match flag {
        "read" => request.read = Some(value.into()),
        "read-conn" => request.read_conn = Some(value.into()),
        "out" => request.out = value.into(),
        "profile" => request.profile = Some(value.into()),
        "mud" => request.mud = Some(value.into()),
        "save-profile" => request.save_profile = Some(value.into()),
        "device" => request.devices.push(value.parse()?),
        "local" => request.local.push(value.parse()?),
        "from" => request.from = Some(value.parse_with(Timestamp::parse)?),
        "until" => request.until = Some(value.parse_with(Timestamp::parse)?),
        "learn" => request.learn = Some(value.parse_with(learning)?),
        other => return Err(format!("observe has no option --{other}").into()),
    }
    Ok(())
}

/// `all`, or a length of time such as `7d`.
fn learning(text: &str) -> Result<Learn, &'static str> {
    const FORM: &str = "a length of time is written 7d, 12h, 30m or 45s, or all";
    if text == "all" {
        return Ok(Learn::All);
    }
    let mut digits = text.chars();
    let unit_s: i64 = match digits.next_back() {
        Some('d') => 86_400,
        Some('h') => 3600,
        Some('m') => 60,
        Some('s') => 1,
        Some(_) | None => return Err(FORM),
    };
    let count: u32 = digits.as_str().parse().map_err(|_| FORM)?;
    Ok(Learn::Seconds(i64::from(count) * unit_s))
}
