//! A join file from a token that the console showed: the person's own director root goes in here.
//!
//! The console shows an enrolment string whose third part is empty, for a server must not choose whom devices trust;
//! no device accepts it like that. Nothing is asked of a server. Read next: `cordon_proto::enrol`.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use cordon_proto::enrol::{EnrolmentString, base64url};
use cordon_proto::ids::Sha256;
use serde_json::json;

use super::{own_root, same_authority};
use crate::arguments::read_file;
use crate::failure::Failure;
use crate::folder::write_secret;
use crate::report::Report;
use crate::session::Session;

/// Bytes of a token's text.
const TEXT_BYTES: u64 = 4096;

/// Make a join file from a token.
#[derive(Clone, Debug, Args)]
pub struct Join {
    /// The file with the token as the console showed it, or `-` for standard input.
    #[arg(long, value_name = "FILE|-")]
    pub with: PathBuf,
    /// Your own copy of a director root that the server serves: the device will start its trust from it.
    #[arg(long, value_name = "FILE")]
    pub director_root: PathBuf,
    /// The join file to write, readable by its owner only; without it the enrolment string is printed.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

impl Join {
    /// Does it.
    ///
    /// # Errors
    /// The token or the root cannot be read, or the file cannot be written.
    pub(super) fn run(&self, session: &Session<'_>) -> Result<Report, Failure> {
        let director_root = own_root(session, &self.director_root)?;
        let enrolment = completed(&self.token()?, director_root)?;
        if let Some(ca) = &session.options.ca {
            same_authority(ca, &enrolment.ca_pin)?;
        }
        let line = enrolment.to_string();
        let id = enrolment.token_id().to_string();
        match &self.out {
            Some(out) => {
                write_secret(out, format!("{line}\n").as_bytes())?;
                let out = out.display().to_string();
                Ok(Report::new(format!("{out} written"), json!({"id": id, "file": out})))
            }
            None => Ok(Report::new(line.clone(), json!({"id": id, "enrolment_string": line}))),
        }
    }

    fn token(&self) -> Result<String, Failure> {
        if self.with.as_os_str() != "-" {
            let bytes = read_file(&self.with, TEXT_BYTES)?;
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
        let mut text = String::new();
        let read = std::io::stdin().lock().take(TEXT_BYTES).read_to_string(&mut text);
        read.map_err(|error| Failure::refused("token", format!("standard input cannot be read: {error}")))?;
        Ok(text)
    }
}

/// The whole enrolment string of what the console showed.
fn completed(text: &str, director_root: Sha256) -> Result<EnrolmentString, Failure> {
    let text = text.trim();
    let refused = |error| Failure::refused("not a token", format!("{error}"));
    let parts: Vec<&str> = text.split('#').collect();
    match parts.as_slice() {
        [address, pin, "", token] => {
            let root = base64url(director_root.as_bytes());
            format!("{address}#{pin}#{root}#{token}").parse().map_err(refused)
        }
        // A whole string is accepted if it names this very root: whoever sent it may not choose another.
        _ => {
            let whole: EnrolmentString = text.parse().map_err(refused)?;
            if whole.director_root == director_root {
                return Ok(whole);
            }
            let detail =
                "this enrolment string names another director root than your own copy: do not use it";
            Err(Failure::refused("foreign director", detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_persons_own_root_goes_into_a_join_file() {
        // Goal: a server or a mail in between cannot choose whom the device obeys. Method: an open place, the same
        // root, another root, nonsense.
        let (ours, theirs) = (Sha256([1; 32]), Sha256([2; 32]));
        let pin = base64url(&[9; 32]);
        let open = format!("cordon1:cordon.example:8444:8443#{pin}##{}\n", "A".repeat(43));
        let whole = completed(&open, ours).unwrap();
        assert_eq!((whole.director_root, whole.ca_pin), (ours, Sha256([9; 32])));
        assert_eq!(completed(&whole.to_string(), ours).unwrap(), whole);
        assert!(
            completed(&whole.to_string(), theirs).unwrap_err().to_string().contains("another director root")
        );
        for bad in ["", "cordon1:h:1:2#x##y", "cordon2:h:1:2#a##b"] {
            assert_eq!(completed(bad, ours).unwrap_err().status(), 1, "{bad}");
        }
        assert!(open.parse::<EnrolmentString>().is_err(), "no device takes it as the console shows it");
    }
}
