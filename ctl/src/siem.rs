//! `cordonctl siem`: how the owner's SIEM is told by a server, and a test of the way there.
//!
//! What the SIEM is and what it is told stands in the server's own settings; here nothing is set. Findings in its words, as
//! a file: `cordonctl export findings`. Read next: [`crate::export`].

use clap::Subcommand;
use serde_json::{Value, json};

use crate::api::Api;
use crate::failure::Failure;
use crate::report::{Report, cell_text, plain};
use crate::session::Session;

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show which SIEM is told what, when it last took something, what waits, and why it takes nothing.
    Status,
    /// Send one event that says that nothing happened, and tell what the other side and TLS said.
    Test {
        /// Why, for the audit log.
        #[arg(long)]
        reason: String,
    },
}

impl Command {
    /// Does it.
    ///
    /// # Errors
    /// Refused, the event did not arrive, or the server was not reached.
    pub fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let api = Api::new(session.options)?;
        match self {
            Self::Status => Ok(status(api.get(&["siem"], &[])?)),
            Self::Test { reason } => test(api.post(&["siem", "test"], &json!({"reason": reason}))?),
        }
    }
}

fn status(answer: Value) -> Report {
    let field =
        |name: &str| answer.get(name).filter(|value| !value.is_null()).map(|value| cell_text(Some(value)));
    let Some(address) = field("address") else {
        let text = "no SIEM is told: the server's settings have no section `[siem]`";
        return Report::new(text, answer);
    };
    let what: Vec<&str> = answer
        .get("what")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let or_never = |name: &str| field(name).unwrap_or_else(|| "never".to_owned());
    let mut text = format!(
        "{address} is told {} as {}: {}\nlast took something: {}\nevents that it took: {}\n",
        what.join(" and "),
        or_never("format"),
        or_never("state"),
        or_never("taken"),
        or_never("events"),
    );
    if let Some(behind) = field("behind") {
        text.push_str(&format!("changes not looked through yet: {behind}\n"));
    }
    if let (Some(since), Some(why)) = (field("failing_since"), field("why")) {
        text.push_str(&format!("takes nothing since {since}: {}\n", plain(&why)));
    }
    Report::new(text, answer)
}

fn test(answer: Value) -> Result<Report, Failure> {
    let word = |name: &str| plain(answer.get(name).and_then(Value::as_str).unwrap_or_default());
    if answer.get("arrived").and_then(Value::as_bool) != Some(true) {
        return Err(Failure::refused("the event did not arrive", word("why")));
    }
    let way = match word("tls") {
        tls if tls.is_empty() => "without TLS, on the server's own machine".to_owned(),
        tls => tls,
    };
    let took = cell_text(answer.get("took_ms"));
    let text = format!("{} read the event and closed: {way}, {took} ms\n", word("address"));
    Ok(Report::new(text, answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whether_anybody_listens_and_why_not() {
        // Goal: one look is enough. Method: golden texts of no SIEM, one that fails, and one that is well.
        assert!(status(json!({"address": null, "state": "none"})).text.contains("no SIEM is told"));
        let failing = status(json!({
            "address": "siem.example:6514", "format": "ocsf", "what": ["findings", "audit"], "state": "failing",
            "taken": null, "events": 0, "behind": 7, "failing_since": "2026-11-23T02:00:00Z", "why": "nobody\u{1b}[2J there",
        }));
        assert_eq!(
            failing.text,
            "siem.example:6514 is told findings and audit as ocsf: failing\nlast took something: never\n\
             events that it took: 0\nchanges not looked through yet: 7\n\
             takes nothing since 2026-11-23T02:00:00Z: nobody\u{fffd}[2J there\n"
        );
        let well = status(json!({
            "address": "siem.example:6514", "format": "cef", "what": ["findings"], "state": "well",
            "taken": "2026-11-23T02:00:00Z", "events": 12, "behind": 0, "failing_since": null, "why": null,
        }));
        assert!(well.text.contains("as cef: well") && !well.text.contains("takes nothing"), "{}", well.text);
    }

    #[test]
    fn a_test_that_did_not_arrive_is_a_refusal_with_its_reason() {
        // Goal: a script may rely on the exit status. Method: both answers.
        let arrived =
            json!({"arrived": true, "address": "s:1", "tls": "TLSv1_3 X", "took_ms": 5, "why": null});
        assert_eq!(test(arrived).expect("arrived").text, "s:1 read the event and closed: TLSv1_3 X, 5 ms\n");
        let lost = json!({"arrived": false, "address": "s:1", "tls": null, "took_ms": 5, "why": "no route"});
        let Err(failure) = test(lost) else { panic!("a success") };
        assert!(failure.to_string().contains("no route"), "{failure}");
    }
}
