//! The only place where TLS and the HTTP client are built: TLS 1.3, ring, and the one authority that `--ca` names.
//!
//! No system store is read, no redirect followed, no proxy taken from the environment. Plain HTTP is for a server on
//! this very machine alone. Read next: [`crate::api`].

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore, version::TLS13};

use crate::arguments::read_file;
use crate::failure::Failure;

/// Seconds for connecting, the handshake included.
const CONNECT_S: u64 = 15;
/// Bytes of a file of authorities.
const CA_BYTES: u64 = 1 << 20;

/// A client that believes only this authority; none for plain HTTP.
pub(crate) fn client(ca: Option<&Path>) -> Result<reqwest::Client, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::refused("no TLS", error);
    let configuration = configuration(roots(ca)?).map_err(|error| failed(&error))?;
    builder(configuration).build().map_err(|error| failed(&error))
}

#[expect(clippy::disallowed_methods, reason = "the one permitted builder of HTTP clients")]
fn builder(configuration: ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(configuration)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(Duration::from_secs(CONNECT_S))
        .user_agent(concat!("cordonctl/", env!("CARGO_PKG_VERSION")))
}

fn configuration(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca else { return Ok(roots) };
    let wrong = || {
        Failure::refused(
            "unusable authority",
            format!("{} holds no PEM certificate of an authority", path.display()),
        )
    };
    for certificate in CertificateDer::pem_slice_iter(&read_file(path, CA_BYTES)?) {
        roots.add(certificate.map_err(|_| wrong())?).map_err(|_| wrong())?;
    }
    if roots.is_empty() { Err(wrong()) } else { Ok(roots) }
}
