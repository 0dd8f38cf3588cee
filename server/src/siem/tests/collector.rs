//! A collector of syslog over TLS for tests, with the manners that collectors have.
//!
//! It keeps what it read to an orderly end, and nothing of a connection that it broke off. Frames are taken apart by the
//! length that they say, as RFC 5425 has it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How it behaves towards connections that come from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// It reads to the end and closes.
    Take,
    /// It reads a little and goes away.
    Break,
    /// It reads nothing and stays.
    Stand,
}

/// The collector.
pub(super) struct Collector {
    pub(super) address: SocketAddr,
    pub(super) ca: PathBuf,
    /// A certificate that it takes, and its key.
    pub(super) client: (PathBuf, PathBuf),
    state: Arc<State>,
    _folder: tempfile::TempDir,
}

struct State {
    manner: Mutex<Manner>,
    streams: Mutex<Vec<Vec<u8>>>,
    connections: AtomicUsize,
}

impl Collector {
    pub(super) async fn start(manner: Manner, asks_for_certificate: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let made = |name: &str| {
            let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
            let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
            let certificate = params.self_signed(&key).expect("a certificate");
            let file = |ending: &str, text: String| {
                let path = folder.path().join(format!("{name}.{ending}"));
                std::fs::write(&path, text).expect("written");
                path
            };
            let files = (file("pem", certificate.pem()), file("key", key.serialize_pem()));
            (certificate.der().clone(), key, files)
        };
        let (leaf, key, (ca, _)) = made("localhost");
        let (client, _, files) = made("cordon");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("a version");
        let builder = if asks_for_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(client).expect("an anchor");
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = builder.with_single_cert(vec![leaf], key.into()).expect("a key pair");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let state = Arc::new(State {
            manner: Mutex::new(manner),
            streams: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
        let address = listener.local_addr().expect("an address");
        tokio::spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), state.clone()));
        Self { address, ca, client: files, state, _folder: folder }
    }

    /// Behaves otherwise from now on.
    pub(super) fn now(&self, manner: Manner) {
        *self.state.manner.lock().expect("a lock") = manner;
    }

    /// Connections so far whose handshake it finished.
    pub(super) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// The lines of all messages that arrived: each frame is as long as it says, and holds no end of line.
    pub(super) fn lines(&self) -> Vec<String> {
        let streams = self.state.streams.lock().expect("a lock").clone();
        streams.iter().flat_map(|stream| lines(stream)).collect()
    }
}

fn lines(mut stream: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    while !stream.is_empty() {
        let space = stream.iter().position(|byte| *byte == b' ').expect("a length");
        let length: usize = std::str::from_utf8(&stream[..space]).expect("digits").parse().expect("a length");
        let message = &stream[space + 1..][..length];
        stream = &stream[space + 1 + length..];
        let text = std::str::from_utf8(message).expect("UTF-8");
        assert!(!text.contains('\n') && text.starts_with('<'), "{text}");
        let (_, line) = text.split_once("\"] ").expect("structured data");
        lines.push(line.to_owned());
    }
    lines
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, state: Arc<State>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        tokio::spawn(take(stream, acceptor.clone(), state.clone()));
    }
}

async fn take(stream: TcpStream, acceptor: TlsAcceptor, state: Arc<State>) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    state.connections.fetch_add(1, Ordering::SeqCst);
    let manner = *state.manner.lock().expect("a lock");
    let mut read = Vec::new();
    match manner {
        Manner::Take => {
            if stream.read_to_end(&mut read).await.is_ok() {
                state.streams.lock().expect("a lock").push(read);
            }
        }
        Manner::Break => {
            let mut little = [0; 100];
            let _ = stream.read(&mut little).await;
        }
        Manner::Stand => std::future::pending().await,
    }
}
