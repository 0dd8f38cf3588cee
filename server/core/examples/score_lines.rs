//! Scores of facts, a line each, from standard input to standard output: the score as a program of its own, for whatever
//! target the compiler knows.
//!
//! A line in is a JSON list of a time, in seconds since 1970, and facts; a line out is the score. A test runs it on a second
//! machine and compares bytes. It must compute nothing that the package itself does not. Read next:
//! `cordon_server_core::risk`.

use std::io::{BufRead, BufReader, BufWriter, Error, Write, stdin, stdout};

use cordon_proto::time::Timestamp;
use cordon_server_core::risk::model::RISK_V1;
use cordon_server_core::risk::{Facts, score};

fn main() -> Result<(), Error> {
    let mut out = BufWriter::new(stdout().lock());
    for line in BufReader::new(stdin().lock()).lines() {
        let (at, facts): (Timestamp, Facts) = serde_json::from_str(&line?).map_err(Error::other)?;
        let text = serde_json::to_string(&score(&facts, &RISK_V1, at)).map_err(Error::other)?;
        writeln!(out, "{text}")?;
    }
    out.flush()
}
