//! The barest client of a TLS plane: one connection, one request, its bytes by hand; and a population of devices to be.
//!
//! For measurements in which the caller's own cost must stay small and many identities are wanted at once, so devices
//! are written into the store of a server that does not run instead of being enrolled one by one. Whoever wants a
//! real agent's behaviour takes [`crate::light`]. Nothing is resumed: every connection is a full handshake.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use cordon_proto::enrol::base64url;
use cordon_proto::ids::{DeviceId, Sha256, Text};
use cordon_proto::limits;
use cordon_server::ca::{Authority, Ca, Subject};
use cordon_server::chance;
use cordon_server::clock::Clock;
use cordon_server::config::Config;
use cordon_server::store::open::{self, Terms};
use cordon_server::store::{Key, Store};
use cordon_server_core::admit::{Binding, Token, TokenOrder};
use cordon_server_core::audit::Actor;
use cordon_server_core::change::Commit;
use cordon_server_core::device::{Device, DeviceKind, Identity, Leaf, Placement, State, VERSION};
use cordon_server_core::risk::facts::{Impact, Reach};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Devices in one transaction: each is three documents.
const DEVICES_A_COMMIT: usize = 160;
/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 64 * 1024;

/// One device of a population: its certificate and its key, DER.
#[derive(Clone, Debug)]
pub struct Resident {
    leaf: CertificateDer<'static>,
    key: Vec<u8>,
    /// Its serial.
    pub serial: String,
}

/// The devices that a server knows, and the root they believe.
#[derive(Debug)]
pub struct Population {
    /// The devices.
    pub residents: Vec<Resident>,
    anchors: Arc<RootCertStore>,
}

/// What a server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Seconds that it asks to wait.
    pub retry_after_s: Option<u64>,
}

impl Resident {
    /// Its certificate, DER.
    #[must_use]
    pub fn leaf(&self) -> &CertificateDer<'static> {
        &self.leaf
    }
}

impl Population {
    /// Writes `count` active devices of `model` into the store of the server laid at `folder`, which must not run.
    pub async fn settle(folder: &Path, model: &str, count: usize) -> anyhow::Result<Self> {
        let config = Config::load(&folder.join("cordon.toml"), &[])?;
        let ca = Authority::open(&config)?.for_server();
        let store = open::open(&config.store, &config.folder, Terms::default()).await?;
        let mut residents = Vec::with_capacity(count);
        let numbers: Vec<usize> = (0..count).collect();
        for group in numbers.chunks(DEVICES_A_COMMIT) {
            residents.extend(settle_group(&*store, &ca, model, group).await?);
        }
        let mut anchors = RootCertStore::empty();
        anchors.add(ca.root().clone())?;
        Ok(Self { residents, anchors: Arc::new(anchors) })
    }

    /// A device that holds a good certificate of which no table knows: nobody may ever serve it.
    pub fn stranger(&self, folder: &Path) -> anyhow::Result<Resident> {
        let config = Config::load(&folder.join("cordon.toml"), &[])?;
        let (resident, _) = identity(&Authority::open(&config)?.for_server(), "STRANGER")?;
        Ok(resident)
    }

    /// How one of them, or nobody, speaks TLS.
    pub fn connector(&self, resident: Option<&Resident>) -> anyhow::Result<TlsConnector> {
        Self::believing(resident, self.anchors.clone())
    }

    /// The same by the roots that a device believes by now.
    pub fn believing(
        resident: Option<&Resident>,
        anchors: Arc<RootCertStore>,
    ) -> anyhow::Result<TlsConnector> {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&version::TLS13])?
            .with_root_certificates(anchors);
        let mut config = match resident {
            Some(resident) => {
                let key = PrivatePkcs8KeyDer::from(resident.key.clone());
                builder.with_client_auth_cert(vec![resident.leaf.clone()], key.into())?
            }
            None => builder.with_no_client_auth(),
        };
        config.resumption = Resumption::disabled();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

async fn settle_group(
    store: &dyn Store,
    ca: &Ca,
    model: &str,
    numbers: &[usize],
) -> anyhow::Result<Vec<Resident>> {
    let now = Clock::system().now();
    let mut residents = Vec::with_capacity(numbers.len());
    let mut draft = Commit::draft(now, Actor::Server("settle".parse()?));
    for number in numbers {
        let serial = format!("S-{number:06}");
        let (resident, device) = identity(ca, &serial)?;
        let device = Device { hardware: hardware(model, &serial), ..device };
        let (id, leaf) = (device.id, Sha256::of(&resident.leaf));
        let named = Leaf { v: VERSION, device: id, der: base64url(&resident.leaf) };
        let index = Key::DeviceBySerial { model: Text::lossy(model), serial: Text::lossy(&serial) };
        draft = draft
            .put(Key::Device(id), device.to_body())
            .put(Key::Leaf(leaf), named.to_body())
            .put(index, id.as_bytes().to_vec());
        residents.push(resident);
    }
    store.commit(draft.finish()?).await?;
    Ok(residents)
}

fn hardware(model: &str, serial: &str) -> cordon_proto::ids::Hardware {
    crate::light::hardware("Cordon", model, serial)
}

/// A device with its key and its certificate, as the policy would have let it in.
fn identity(ca: &Ca, serial: &str) -> anyhow::Result<(Resident, Device)> {
    let now = Clock::system().now();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let id = DeviceId::from_random(chance::random());
    let text = Text::lossy(serial);
    let issued = ca.issue(&key, Subject { device: id, serial: &text }, limits::LEAF_DAYS, now)?;
    let place = Placement {
        site: Text::lossy("Bench"),
        ward: Text::lossy("Bench"),
        kind: DeviceKind::Workstation,
        impact: Impact::default(),
        reach: Reach::default(),
        tags: Vec::new(),
    };
    let binding = Binding::Serial { serial: text, replaces: false };
    let order =
        TokenOrder { manufacturer: None, model: Text::lossy("Bench"), binding, placement: place, hours: 1 };
    let device = Token::new(order, "settle".to_owned(), now)?.expected(id).context("it is for one serial")?;
    let identity = Identity {
        leaf: issued.fingerprint,
        key: Sha256::of(&key.subject_public_key_info()),
        token: None,
        renews: false,
        issued: now,
        not_after: issued.not_after,
    };
    let device = Device { state: State::Active, stated: true, identity: Some(identity), ..device };
    let resident = Resident { leaf: issued.der, key: key.serialize_der(), serial: serial.to_owned() };
    Ok((resident, device))
}

/// Connects, asks once, reads the whole answer.
pub async fn ask(address: SocketAddr, tls: &TlsConnector, request: &[u8]) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut stream = tls.connect(ServerName::from(address.ip()), stream).await?;
    stream.write_all(request).await?;
    let mut bytes = Vec::with_capacity(1024);
    while bytes.len() < ANSWER_BYTES {
        // A server that closes without a word of TLS after its answer has answered all the same.
        match stream.read_buf(&mut bytes).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(_) if !bytes.is_empty() => break,
            Err(error) => return Err(error.into()),
        }
    }
    answer(&bytes)
}

fn answer(bytes: &[u8]) -> anyhow::Result<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").context("no whole head")?;
    let head = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    ensure!(line.starts_with("HTTP/1.1 "), "{line} is no answer");
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok()).context("no status")?;
    let retry_after_s = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("retry-after").then(|| value.trim().parse().ok()).flatten()
    });
    Ok(Answer { status, retry_after_s })
}

/// One connection for several requests.
pub struct Talk {
    stream: tokio_rustls::client::TlsStream<TcpStream>,
}

impl Talk {
    /// Connects and shakes hands.
    pub async fn open(address: SocketAddr, tls: &TlsConnector) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: tls.connect(ServerName::from(address.ip()), stream).await? })
    }

    /// Asks, and reads the whole answer: its status and its body.
    pub async fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<(u16, Vec<u8>)> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cbor\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.stream.write_all(&[head.as_bytes(), body].concat()).await?;
        let mut bytes = Vec::new();
        loop {
            ensure!(self.stream.read_buf(&mut bytes).await? > 0, "the connection ended within an answer");
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).to_ascii_lowercase();
            let length = head.split("\r\n").find_map(|line| line.strip_prefix("content-length:"));
            let whole = end + 4 + length.context("no length")?.trim().parse::<usize>()?;
            if bytes.len() >= whole {
                let status = answer(&bytes)?.status;
                return Ok((status, bytes.split_off(end + 4)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_status_and_patience_and_a_cut_one_is_none() {
        // Goal: what the storm counts is what was said. Method: three heads.
        let said = |text: &[u8]| answer(text).ok();
        let plain = Answer { status: 200, retry_after_s: None };
        assert_eq!(said(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), Some(plain));
        let busy = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n\r\n{}";
        assert_eq!(said(busy), Some(Answer { status: 503, retry_after_s: Some(7) }));
        assert_eq!(said(b"HTTP/1.1 200 OK\r\n"), None);
    }
}
