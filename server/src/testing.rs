//! What the tests of the planes share: a whole server on loopback, and a client that speaks TLS and HTTP by hand.
//!
//! The client is written out, so that a test can send half a head, read a connection's end, or look at raw headers.
//! Nothing here is used outside tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_proto::checkin::{
    CheckinRequest, InterlockState, SensorReport, Software, UpdateReport, UpdateState,
};
use cordon_proto::enrol::{hardware_header, shared_name};
use cordon_proto::ids::{DeviceId, Hardware, Sha256, Text};
use cordon_proto::time::Timestamp;
use cordon_server_core::admit::{Binding, TokenOrder};
use cordon_server_core::audit::{Actor, Recorded};
use cordon_server_core::device::{DeviceKind, Placement};
use cordon_server_core::risk::facts::Reach;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::app::{App, Speaker, TokenMade};
use crate::clock::Clock;
use crate::config::Config;
use crate::init;
use crate::serve::Server;
use crate::store::memory::Memory;
use crate::store::{Cursor, Index, Key, Kind, Store};
use crate::testing::shared::Seat;

pub(crate) mod faulty;
pub(crate) mod maker;
pub(crate) mod shared;

/// Longer than anything a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Plays rounds of something that must take less than `limit` until one does, ten at most, and prints what each took. A
/// machine that stands still now and then breaks no promise; a server that needs longer breaks it every time.
pub(crate) async fn in_time(what: &str, limit: Duration, mut round: impl AsyncFnMut(u32) -> Duration) {
    for number in 0..10 {
        let took = round(number).await;
        println!("{what}: {took:?}");
        if took < limit {
            return;
        }
    }
    panic!("{what} took longer than {limit:?}, ten times over");
}

pub(crate) fn text(text: &str) -> Text {
    text.parse().expect("a valid text")
}

pub(crate) fn person() -> Actor {
    Actor::Person(text("ines"))
}

pub(crate) fn hardware(serial: &str) -> Hardware {
    Hardware { manufacturer: text("Halden"), model: text("VP-3"), revision: text("C"), serial: text(serial) }
}

pub(crate) fn order(binding: Binding) -> TokenOrder {
    TokenOrder {
        manufacturer: None,
        model: text("VP-3"),
        binding,
        placement: Placement {
            site: text("St. Anna"),
            ward: text("ICU 2"),
            kind: DeviceKind::InfusionPump,
            impact: DeviceKind::InfusionPump.usual_impact(),
            reach: Reach::default(),
            tags: Vec::new(),
        },
        hours: 24,
    }
}

/// A whole server on loopback, on a clock that the test can move.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) clock: Clock,
    pub(crate) folder: Arc<tempfile::TempDir>,
}

/// A device that has enrolled.
pub(crate) struct Enrolled {
    pub(crate) id: DeviceId,
    pub(crate) hardware: Hardware,
    pub(crate) leaf: CertificateDer<'static>,
    pub(crate) key: KeyPair,
}

impl Enrolled {
    /// Who speaks for it, where a test does without a connection.
    pub(crate) fn speaker(&self) -> Speaker {
        Speaker { leaf: Sha256::of(&self.leaf), address: SocketAddr::from(([127, 0, 0, 1], 4000)) }
    }
}

impl Bench {
    /// A new server with documents in memory.
    pub(crate) async fn start(sets: &[&str]) -> Self {
        Self::open(Self::laid().await, &[&["store=memory"], sets].concat()).await
    }

    /// A new server whose authority was made so many days ago.
    pub(crate) async fn aged(days: i64, sets: &[&str]) -> Self {
        let made = Clock::system().now().plus_seconds(-days * 86_400);
        Self::open(Self::laid_at(made).await, &[&["store=memory"], sets].concat()).await
    }

    /// A folder with all that a server needs.
    pub(crate) async fn laid() -> Arc<tempfile::TempDir> {
        Self::laid_at(Clock::system().now()).await
    }

    async fn laid_at(now: Timestamp) -> Arc<tempfile::TempDir> {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let options = init::Options {
            folder: folder.path().to_owned(),
            admin_token_file: None,
            host: "localhost".to_owned(),
            example_keys: false,
            store: init::STORE.to_owned(),
            ca_key: None,
        };
        init::run(&options, now).await.expect("laid");
        folder
    }

    /// Two servers of one owner side by side on one store, with their seats at it.
    pub(crate) async fn pair() -> [(Self, Arc<Seat>); 2] {
        let store: Arc<dyn Store> = Arc::new(Memory::new());
        let seats = [Arc::new(Seat::new(store.clone())), Arc::new(Seat::new(store))];
        let folder = Self::laid().await;
        let clock = Clock::held(Clock::system().now_ms());
        let [one, two] = seats.each_ref().map(|seat| seat.clone() as Arc<dyn Store>);
        let one = Self::over(one, folder.clone(), &["control=one.sock"], clock.clone()).await;
        let two = Self::over(two, folder, &["control=two.sock"], clock).await;
        let [seat_one, seat_two] = seats;
        [(one, seat_one), (two, seat_two)]
    }

    pub(crate) async fn over(
        store: Arc<dyn Store>,
        folder: Arc<tempfile::TempDir>,
        sets: &[&str],
        clock: Clock,
    ) -> Self {
        let config = Self::config(&folder, sets);
        let server = Server::start_over(store, config, clock.clone()).await.expect("starts");
        Self { server, clock, folder }
    }

    fn config(folder: &tempfile::TempDir, sets: &[&str]) -> Config {
        let ports = ["enrolment", "device", "operator"].map(|plane| format!("{plane}.listen=127.0.0.1:0"));
        let sets: Vec<String> = ports.into_iter().chain(sets.iter().map(|set| (*set).to_owned())).collect();
        Config::load(&folder.path().join(init::CONFIG), &sets).expect("settings")
    }

    /// A server on a folder that is laid.
    pub(crate) async fn open(folder: Arc<tempfile::TempDir>, sets: &[&str]) -> Self {
        let config = Self::config(&folder, sets);
        let clock = Clock::held(Clock::system().now_ms());
        let server = Server::start(config, clock.clone()).await.expect("starts");
        Self { server, clock, folder }
    }

    pub(crate) fn app(&self) -> &Arc<App> {
        &self.server.app
    }

    pub(crate) async fn token(&self, serial: &str) -> TokenMade {
        let binding = Binding::Serial { serial: text(serial), replaces: false };
        self.app().make_token(order(binding), &person()).await.expect("a token")
    }

    /// Enrols a device over the wire.
    pub(crate) async fn enrol(&self, serial: &str) -> Enrolled {
        let token = self.token(serial).await;
        let key = device_key();
        let reply = self.ask_to_enrol(serial, &key, &token.secret).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let leaf = reply.leaf();
        let id = self.app().fleet.by_leaf(&Sha256::of(&leaf)).expect("in the table").id();
        Enrolled { id, hardware: hardware(serial), leaf, key }
    }

    /// Asks for a certificate as our own agent does.
    pub(crate) async fn ask_to_enrol(&self, serial: &str, key: &KeyPair, token: &str) -> Reply {
        let header = hardware_header(&hardware(serial));
        let headers = [("X-Cordon-Hardware", header.as_str())];
        self.simpleenroll(&csr(serial, key), Some(token), &headers).await
    }

    pub(crate) async fn simpleenroll(&self, body: &str, token: Option<&str>, more: &[(&str, &str)]) -> Reply {
        let basic = token.map(|token| format!("Basic {}", STANDARD.encode(format!("x:{token}"))));
        let mut headers = vec![("Content-Type", "application/pkcs10")];
        headers.extend(basic.as_deref().map(|basic| ("Authorization", basic)));
        headers.extend(more);
        let mut wire = self.enrolment().await;
        wire.ask("POST", "/.well-known/est/simpleenroll", &headers, body.as_bytes()).await
    }

    pub(crate) async fn enrolment(&self) -> Wire {
        let config = &self.app().config;
        let shared = config.shares_port().then(|| shared_name(&config.host));
        let name = shared.as_deref().unwrap_or("localhost");
        Wire::open_as(name, self.server.ready.enrolment, self.client(None)).await.expect("a connection")
    }

    pub(crate) async fn device(&self, device: &Enrolled) -> Wire {
        Wire::open(self.server.ready.device, self.client(Some(device))).await.expect("a connection")
    }

    /// A client's TLS, with or without a device's certificate, that would resume sessions if it could.
    pub(crate) fn client(&self, device: Option<&Enrolled>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.app().ca.for_server().root().clone()).expect("an anchor");
        let builder = builder(&[&rustls::version::TLS13]).with_root_certificates(roots);
        match device {
            None => builder.with_no_client_auth(),
            Some(device) => {
                let key = PrivatePkcs8KeyDer::from(device.key.serialize_der());
                builder.with_client_auth_cert(vec![device.leaf.clone()], key.into()).expect("a key pair")
            }
        }
    }

    /// The journal's actions, oldest first.
    pub(crate) async fn journal(&self) -> Vec<String> {
        let page = self.app().store.scan(Index::All(Kind::Audit), Cursor::First, 500).await.expect("read");
        let entries = page.rows.iter().map(|(_, row)| Recorded::from_bytes(&row.body).expect("an entry"));
        entries.map(|entry| entry.entry.action.to_string()).collect()
    }

    /// How many documents of a kind there are.
    pub(crate) async fn count(&self, kind: Kind) -> usize {
        self.app().store.scan(Index::All(kind), Cursor::First, 500).await.expect("read").rows.len()
    }

    pub(crate) async fn has(&self, key: Key) -> bool {
        self.app().store.get(key).await.expect("read").is_some()
    }
}

pub(crate) fn builder(
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions")
}

pub(crate) fn device_key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key")
}

/// A certification request in base64, as our own agent sends it.
pub(crate) fn csr(serial: &str, key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, serial);
    STANDARD.encode(params.serialize_request(key).expect("a request").der())
}

/// What a device says when nothing is the matter.
pub(crate) fn checkin(device: &Enrolled) -> CheckinRequest {
    let update = UpdateReport { state: UpdateState::Idle, order: None, blocked_by: vec![], fetched_bytes: 0 };
    CheckinRequest {
        boot: 1,
        device_time: Timestamp(1_800_000_000),
        agent_version: text("0.1.0"),
        uptime_s: 60,
        hardware: device.hardware.clone(),
        software: Software { release: None, counter: 0, sha256: Sha256([0; 32]), floor: 0, slot: text("A") },
        update,
        interlock: InterlockState::Standby,
        sensor: SensorReport { tier: Some(0), note: None, profile_keys: 0, learning: true },
        inventory_root: Sha256([5; 32]),
        key_protection: text("file"),
        spool_records: 0,
        spool_lost: 0,
        content_version: 0,
        director_root_version: 0,
        want_permit: None,
        sequence: 0,
        run: 0,
        machine: None,
        ca_version: 0,
        content_fault: None,
    }
}

/// A connection of a test.
pub(crate) struct Wire {
    stream: TlsStream<TcpStream>,
    read: Vec<u8>,
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Wire {
    /// Connects and shakes hands.
    pub(crate) async fn open(address: SocketAddr, config: ClientConfig) -> std::io::Result<Self> {
        Self::open_as("localhost", address, config).await
    }

    /// The same, asking for a server of this name.
    pub(crate) async fn open_as(
        name: &str,
        address: SocketAddr,
        config: ClientConfig,
    ) -> std::io::Result<Self> {
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        Ok(Self { stream, read: Vec::new() })
    }

    pub(crate) fn tls(&self) -> &rustls::ClientConnection {
        self.stream.get_ref().1
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        self.send(method, path, headers, body).await;
        self.reply().await.expect("an answer")
    }

    /// Asks with a CBOR message.
    pub(crate) async fn post(&mut self, path: &str, body: &[u8]) -> Reply {
        self.ask("POST", path, &[("Content-Type", "application/cbor")], body).await
    }

    /// The same, again while one of several servers has lost touch with the others, as one on a busy machine may.
    pub(crate) async fn post_in_touch(&mut self, path: &str, body: &[u8]) -> Reply {
        let answered = async {
            loop {
                let reply = self.post(path, body).await;
                if reply.status != 503 || reply.code() != "stale_view" {
                    return reply;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, answered).await.expect("a server in touch")
    }

    pub(crate) async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.ask("GET", path, headers, b"").await
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        self.raw(head.as_bytes()).await;
        // A server that has already refused may have stopped listening; its answer is what counts.
        let _ = self.stream.write_all(body).await;
        let _ = self.stream.flush().await;
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("written");
        self.stream.flush().await.expect("written");
    }

    /// Reads one answer; `None` if the connection ended first.
    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        timeout(PATIENCE, self.read_reply()).await.expect("an answer or an end in time")
    }

    /// Waits for the end of the connection, throwing away what still comes.
    pub(crate) async fn ended(&mut self) -> bool {
        let mut rest = [0; 1024];
        let end = async { while matches!(self.stream.read(&mut rest).await, Ok(read) if read > 0) {} };
        timeout(PATIENCE, end).await.is_ok()
    }

    async fn read_reply(&mut self) -> Option<Reply> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).expect("a head of text");
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let length: usize =
            headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
        while self.read.len() < length {
            self.more().await?;
        }
        let body = self.read.drain(..length).collect();
        Some(Reply { status, head, headers, body })
    }

    async fn more(&mut self) -> Option<()> {
        let mut piece = [0; 16 * 1024];
        let read = self.stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        self.read.extend_from_slice(&piece[..read]);
        Some(())
    }
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The word for programs of a problem.
    pub(crate) fn code(&self) -> String {
        let problem: serde_json::Value = serde_json::from_slice(&self.body).expect("a problem");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(problem["status"], self.status);
        problem["code"].as_str().expect("a code").to_owned()
    }

    /// The message in a CBOR answer.
    pub(crate) fn message<T: for<'b> minicbor::Decode<'b, ()>>(&self) -> T {
        assert_eq!(self.status, 200, "{}", self.text());
        assert_eq!(self.headers["content-type"], "application/cbor");
        cordon_proto::wire::read(&self.body, 1 << 20).expect("a message")
    }

    /// The one certificate in a certs-only PKCS#7, found by its DER head, read by another library than the writer's.
    pub(crate) fn leaf(&self) -> CertificateDer<'static> {
        let line = self.text();
        let der = STANDARD.decode(line.trim_end()).expect("one line of base64");
        let certificates = certificates_in(&der);
        assert_eq!(certificates.len(), 1);
        certificates[0].clone()
    }
}

/// Every certificate in a certs-only PKCS#7.
pub(crate) fn certificates_in(der: &[u8]) -> Vec<CertificateDer<'static>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < der.len() {
        match x509_parser::parse_x509_certificate(&der[at..]) {
            Ok((rest, _)) => {
                let end = der.len() - rest.len();
                found.push(CertificateDer::from(der[at..end].to_vec()));
                at = end;
            }
            Err(_) => at += 1,
        }
    }
    found
}
