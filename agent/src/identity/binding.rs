//! The proof that a certification request travels on this very connection: its key signs the TLS exporter (RFC 9266).
//!
//! The HTTP client does not show its connection's exporter, so the exporter secret is taken from the handshake through
//! rustls' key log, for the one client that enrols or renews; it stays in memory and never leaves this file. From it the
//! exporter is computed as RFC 8446 section 7.5 says. Read next: `cordon_proto::enrol::binding_message`, [`super::est`].

use std::fmt;
use std::sync::{Mutex, PoisonError};

use cordon_proto::enrol::{BINDING_EXPORTER, base64url, binding_message};
use ring::{digest, hkdf};
use rustls::KeyLog;
use zeroize::Zeroizing;

use super::key::{DeviceKey, KeyError};

/// rustls' word for the secret behind the exporters of a connection.
const LABEL: &str = "EXPORTER_SECRET";

/// The exporter secret of the newest connection of one client.
#[derive(Default)]
pub(super) struct Exporter(Mutex<Zeroizing<Vec<u8>>>);

impl KeyLog for Exporter {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        if label == LABEL {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Zeroizing::new(secret.to_vec());
        }
    }

    fn will_log(&self, label: &str) -> bool {
        label == LABEL
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter(secret hidden)")
    }
}

impl Exporter {
    /// The header's value for this request, once there was a handshake. Without it no request may leave.
    pub(super) fn header(&self, key: &dyn DeviceKey, request: &[u8]) -> Result<String, KeyError> {
        let value = self.value().ok_or(KeyError::Library)?;
        Ok(base64url(&key.sign(&binding_message(&value, request))?))
    }

    fn value(&self) -> Option<[u8; 32]> {
        exported(&self.0.lock().unwrap_or_else(PoisonError::into_inner), BINDING_EXPORTER)
    }
}

/// The exporter of this label with an empty context: `HKDF-Expand-Label(Derive-Secret(secret, label, ""), "exporter",
/// Hash(""), 32)`. The hash is the cipher suite's, told by the secret's length.
fn exported(secret: &[u8], label: &[u8]) -> Option<[u8; 32]> {
    let (expand, hash) = match secret.len() {
        32 => (hkdf::HKDF_SHA256, &digest::SHA256),
        48 => (hkdf::HKDF_SHA384, &digest::SHA384),
        _ => return None,
    };
    let nothing = digest::digest(hash, b"");
    let mut derived = Zeroizing::new(vec![0; secret.len()]);
    expand_label(hkdf::Prk::new_less_safe(expand, secret), label, nothing.as_ref(), &mut derived)?;
    let mut value = [0; 32];
    let derived = hkdf::Prk::new_less_safe(expand, &derived);
    expand_label(derived, b"exporter", nothing.as_ref(), &mut value)?;
    Some(value)
}

/// `HKDF-Expand-Label` (RFC 8446 section 7.1).
fn expand_label(secret: hkdf::Prk, label: &[u8], context: &[u8], out: &mut [u8]) -> Option<()> {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    const PREFIX: &[u8] = b"tls13 ";
    let length = u16::try_from(out.len()).ok()?.to_be_bytes();
    let label_length = [u8::try_from(PREFIX.len() + label.len()).ok()?];
    let context_length = [u8::try_from(context.len()).ok()?];
    let info = [&length[..], &label_length, PREFIX, label, &context_length, context];
    secret.expand(&info, Length(out.len())).ok()?.fill(out).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::crypto::ring::cipher_suite::{
        TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
    };
    use rustls::crypto::{CryptoProvider, ring::default_provider};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

    use super::*;
    use crate::fake::Authority;

    #[test]
    fn our_exporter_is_the_one_that_rustls_gives_to_the_server() {
        // Goal: RFC 8446 section 7.5 with either hash. Method: a handshake in memory for each cipher suite; rustls' own
        // exporter on the server's end.
        let authority = Authority::new();
        for suite in [TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256] {
            let provider = Arc::new(CryptoProvider { cipher_suites: vec![suite], ..default_provider() });
            let exporter = Arc::new(Exporter::default());
            assert_eq!(exporter.value(), None, "nothing before the handshake");
            let (client, server) = shaken(&authority, &provider, Arc::clone(&exporter));
            let label = BINDING_EXPORTER;
            let theirs = server.export_keying_material([0; 32], label, None).expect("is there");
            assert_eq!(exporter.value(), Some(theirs), "{suite:?}");
            let ours = client.export_keying_material([0; 32], label, Some(b"")).expect("is there");
            assert_eq!(exporter.value(), Some(ours), "an empty context is none");
        }
        assert_eq!(format!("{:?}", Exporter::default()), "Exporter(secret hidden)");
    }

    fn shaken(
        authority: &Authority,
        provider: &Arc<CryptoProvider>,
        exporter: Arc<Exporter>,
    ) -> (ClientConnection, ServerConnection) {
        let mut roots = RootCertStore::empty();
        roots.add(authority.root.clone()).expect("is an anchor");
        let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .expect("TLS 1.3 is there")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.key_log = exporter;
        let (chain, key) = authority.server(false);
        let served = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .expect("TLS 1.3 is there")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("key and certificate fit");
        let name = "localhost".try_into().expect("a name");
        let mut client = ClientConnection::new(Arc::new(config), name).expect("is configured");
        let mut server = ServerConnection::new(Arc::new(served)).expect("is configured");
        while client.is_handshaking() || server.is_handshaking() {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).expect("writes to memory");
            }
            feed(&bytes, |rest| {
                server.read_tls(rest).expect("reads from memory");
                server.process_new_packets().expect("is well");
            });
            bytes.clear();
            while server.wants_write() {
                server.write_tls(&mut bytes).expect("writes to memory");
            }
            feed(&bytes, |rest| {
                client.read_tls(rest).expect("reads from memory");
                client.process_new_packets().expect("is well");
            });
        }
        (client, server)
    }

    fn feed(mut bytes: &[u8], mut take: impl FnMut(&mut &[u8])) {
        while !bytes.is_empty() {
            take(&mut bytes);
        }
    }
}
