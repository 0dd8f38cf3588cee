//! The settings of the SIEM: whom it is told, in which words, and how it is recognised.
//!
//! Without this section nothing is sent. Over a network only TLS is spoken, and its other side is believed by an
//! authority that stands here. Read next: `siem`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use cordon_server_core::siem::syslog::FACILITY_MAX;
use cordon_server_core::siem::{Format, Stream};
use serde::Deserialize;

use super::{ConfigError, within};

/// The SIEM that findings and audit entries are sent to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiemSettings {
    /// Where it listens for syslog: `siem.example:6514`; an IPv6 address in brackets.
    pub address: String,
    /// `ocsf` or `cef`.
    pub format: Format,
    /// What it is told: `findings`, `audit` or both; findings if nothing is said.
    #[serde(default = "findings")]
    pub what: BTreeSet<Stream>,
    /// The authority that its certificate must come from, PEM.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// The name in its certificate, where that is not the host of `address`.
    #[serde(default)]
    pub name: Option<String>,
    /// Our certificate for it, PEM, where it asks for one.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// The key of `certificate`, PEM.
    #[serde(default)]
    pub key: Option<PathBuf>,
    /// The facility of its messages, 0 to 23: 10, security, if nothing is said.
    #[serde(default = "security")]
    pub facility: u8,
    /// Whether TLS is spoken. Without it the SIEM, or a forwarder to it, must be on this very machine.
    #[serde(default = "yes")]
    pub tls: bool,
}

impl SiemSettings {
    /// Host and port of the address.
    #[must_use]
    pub fn parts(&self) -> Option<(&str, u16)> {
        let (host, port) = self.address.rsplit_once(':')?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let fits = !bare.is_empty() && !bare.contains(|c: char| c.is_whitespace() || c == '/');
        let port = port.parse().ok().filter(|port| *port != 0);
        port.filter(|_| fits && (bare == host) != bare.contains(':')).map(|port| (bare, port))
    }

    /// The name that its certificate must bear.
    #[must_use]
    pub fn host(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| self.parts().map_or("", |(host, _)| host))
    }

    pub(super) fn bounded(&self) -> Result<(), ConfigError> {
        let wrong = |key, bounds: &str, found: &str| {
            Err(ConfigError::Bounds { key, bounds: bounds.to_owned(), found: found.to_owned() })
        };
        within("siem.facility", self.facility, 0, FACILITY_MAX)?;
        let Some((host, _)) = self.parts() else {
            let bounds = "HOST:PORT, such as siem.example:6514";
            return wrong("siem.address", bounds, &format!("`{}`", self.address));
        };
        if self.what.is_empty() {
            return wrong("siem.what", "`findings`, `audit` or both", "empty");
        }
        if self.certificate.is_some() != self.key.is_some() {
            return wrong("siem.key", "given together with `siem.certificate`", "one without the other");
        }
        if self.tls {
            return match self.ca {
                Some(_) => Ok(()),
                None => wrong("siem.ca", "a PEM file of the authority of the SIEM's certificate", "missing"),
            };
        }
        if !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
            let bounds = "`true`, unless `siem.address` is a loopback address";
            return wrong("siem.tls", bounds, "false");
        }
        if self.ca.is_some() || self.certificate.is_some() || self.name.is_some() {
            let bounds = "`true` where `siem.ca`, `siem.name` or `siem.certificate` is given";
            return wrong("siem.tls", bounds, "false");
        }
        Ok(())
    }
}

fn findings() -> BTreeSet<Stream> {
    BTreeSet::from([Stream::Findings])
}

fn security() -> u8 {
    10
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn parse(lines: &str) -> Result<SiemSettings, ConfigError> {
        let text = format!("host = 'x'\n[siem]\n{lines}");
        Config::parse(&text, &[], PathBuf::new()).map(|config| config.siem.expect("a section"))
    }

    #[test]
    fn a_siem_is_an_address_a_format_and_an_authority() {
        // Goal: the least that works. Method: it, and what follows from it; an address in brackets with a name.
        let least = parse("address = 'siem.example:6514'\nformat = 'ocsf'\nca = 'siem.pem'").expect("enough");
        assert_eq!((least.parts(), least.host()), (Some(("siem.example", 6514)), "siem.example"));
        assert_eq!((least.facility, least.tls, least.what.len()), (10, true, 1));
        let six = "address = '[2001:db8::7]:6514'\nformat = 'cef'\nca = 'a'\nname = 'siem'\nwhat = ['audit']";
        let six = parse(six).expect("fits");
        assert_eq!((six.parts(), six.host()), (Some(("2001:db8::7", 6514)), "siem"));
        assert!(parse("address = '127.0.0.1:514'\nformat = 'cef'\ntls = false").is_ok());
    }

    #[test]
    fn what_a_siem_cannot_be_is_said_at_the_start() {
        // Goal: nothing travels in the open, and no setting is half. Method: one fault each, and the word that names it.
        for (lines, words) in [
            ("address = 'siem.example:6514'\nformat = 'ocsf'", "siem.ca"),
            ("address = 'siem.example'\nformat = 'ocsf'\nca = 'a'", "HOST:PORT"),
            ("address = 'siem.example:0'\nformat = 'ocsf'\nca = 'a'", "HOST:PORT"),
            ("address = '2001:db8::7:6514'\nformat = 'ocsf'\nca = 'a'", "HOST:PORT"),
            ("address = 'a b:1'\nformat = 'ocsf'\nca = 'a'", "HOST:PORT"),
            ("address = 'siem.example:6514'\nformat = 'leef'\nca = 'a'", "leef"),
            ("address = 'siem.example:6514'\nformat = 'cef'\nca = 'a'\nwhat = []", "siem.what"),
            ("address = 'siem.example:6514'\nformat = 'cef'\nca = 'a'\nfacility = 24", "0 to 23"),
            ("address = 'siem.example:6514'\nformat = 'cef'\nca = 'a'\nkey = 'k'", "siem.certificate"),
            ("address = 'siem.example:514'\nformat = 'cef'\ntls = false", "loopback"),
            ("address = '127.0.0.1:514'\nformat = 'cef'\ntls = false\nca = 'a'", "siem.ca"),
            ("address = '127.0.0.1:514'\nformat = 'cef'\ntls = false\nudp = true", "udp"),
        ] {
            let error = parse(lines).expect_err(lines).to_string();
            assert!(error.contains(words), "{lines}: {error}");
        }
    }
}
