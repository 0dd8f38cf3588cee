//! A server for tests: real TLS 1.3 on a loopback port, one thread a connection, answers by a closure.
//!
//! It keeps session tickets on, so that a client which resumed would be seen; it records what it was asked. It knows
//! nothing of the real server. Tests only.

pub(crate) mod bundle;
pub(crate) mod mirror;
pub(crate) mod owner;
pub(crate) mod repository;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_proto::enrol::BINDING_EXPORTER;
use cordon_proto::ids::Sha256;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, PublicKeyData,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use rustls::server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier};
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned, version::TLS13};
use tokio::net::TcpSocket;

use crate::identity::est::tests::pkcs7;

/// The identifier that the fake certificate authority gives to everyone.
pub(crate) const DEVICE: &str = "6ba7b810-9dad-41d1-80b4-00c04fd430c8";

/// A two-tier certificate authority.
pub(crate) struct Authority {
    pub(crate) root: CertificateDer<'static>,
    pub(crate) root_key: KeyPair,
    pub(crate) issuing: CertificateDer<'static>,
    pub(crate) issuer: Issuer<'static, KeyPair>,
    /// First and last second of a server's certificate, seconds of the Unix epoch.
    pub(crate) server_life: (i64, i64),
}

/// A time as rcgen takes it, whose type is not ours to name.
macro_rules! date {
    ($seconds:expr) => {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs($seconds.unsigned_abs())
    };
}

impl Authority {
    pub(crate) fn new() -> Self {
        let ca = |name: &str| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            params
        };
        let root_key = KeyPair::generate().expect("makes a key");
        let root = ca("root").self_signed(&root_key).expect("signs").der().clone();
        let root_issuer = Issuer::new(ca("root"), &root_key);
        let key = KeyPair::generate().expect("makes a key");
        let issuing = ca("issuing").signed_by(&key, &root_issuer).expect("signs").der().clone();
        let server_life = (1_700_000_000, 4_000_000_000);
        Self { root, root_key, issuing, issuer: Issuer::new(ca("issuing"), key), server_life }
    }

    /// The hash that an enrolment string carries.
    pub(crate) fn pin(&self) -> Sha256 {
        crate::tls::key_hash(&self.root).expect("is a certificate")
    }

    /// Chain and key of a server on this machine.
    pub(crate) fn server(&self, with_root: bool) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let names = ["localhost", "enrol.localhost", "127.0.0.1"].map(ToOwned::to_owned);
        let mut params = CertificateParams::new(names).expect("plain names");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) = (date!(self.server_life.0), date!(self.server_life.1));
        let key = KeyPair::generate().expect("makes a key");
        let leaf = params.signed_by(&key, &self.issuer).expect("signs").der().clone();
        let mut chain = vec![leaf, self.issuing.clone()];
        chain.extend(with_root.then(|| self.root.clone()));
        (chain, PrivateKeyDer::try_from(key.serialize_der()).expect("is a key"))
    }

    /// Issues a leaf for a request as the real server would.
    pub(crate) fn issue(&self, request: &[u8]) -> Vec<u8> {
        self.issue_for(request, (1_700_000_000, 4_000_000_000))
    }

    /// Issues a leaf of this life.
    pub(crate) fn issue_for(&self, request: &[u8], life: (i64, i64)) -> Vec<u8> {
        let der = CertificateSigningRequestDer::from(request.to_vec());
        let mut request = CertificateSigningRequestParams::from_der(&der).expect("proves possession");
        request.params.distinguished_name = rcgen::DistinguishedName::new();
        request.params.distinguished_name.push(DnType::CommonName, DEVICE);
        request.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (request.params.not_before, request.params.not_after) = (date!(life.0), date!(life.1));
        request.signed_by(&self.issuer).expect("signs").der().to_vec()
    }

    /// The body of `cacerts`.
    pub(crate) fn cacerts(&self) -> String {
        pkcs7(&[self.issuing.to_vec(), self.root.to_vec()])
    }
}

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// The certificate that the connection proved.
    pub(crate) shown: Option<Vec<u8>>,
    /// The connection's exporter, as the real server reads it.
    pub(crate) exporter: [u8; 32],
}

/// What to answer.
pub(crate) enum Reply {
    /// Status, headers without length, body.
    Full(u16, &'static str, Vec<u8>),
    /// A declared length, the part that is sent, and then silence.
    Stall(usize, Vec<u8>),
    /// A declared length, the part that is sent, and then the end of the connection.
    Cut(usize, Vec<u8>),
    /// A declared length, and one byte in so many milliseconds until the client has had enough.
    Drip(usize, u64),
    /// The rest of a body from an offset on, and the whole length.
    Ranged(usize, usize, Vec<u8>),
    /// A body without a declared length.
    Chunked(Vec<u8>),
    /// The same over and over, without an end.
    Endless(Vec<u8>),
    /// The connection ends without a word.
    Hangup,
}

impl Reply {
    pub(crate) fn ok(body: Vec<u8>) -> Self {
        Self::Full(200, "", body)
    }

    pub(crate) fn problem(status: u16, code: &str) -> Self {
        let body = format!("{{\"code\":\"{code}\",\"detail\":\"said so\"}}");
        Self::Full(status, "content-type: application/problem+json\r\n", body.into_bytes())
    }
}

type Answer = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// What a server saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) asked: Vec<Asked>,
    pub(crate) handshakes: Vec<HandshakeKind>,
    pub(crate) shown: Vec<Sha256>,
}

/// A running server; it ends with the test process.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) seen: Arc<Mutex<Seen>>,
    listener: TcpListener,
    /// The same port, bound and never listened at: where this server was, nobody else is let in.
    place: TcpSocket,
}

/// How to start one.
#[derive(Clone, Copy, Default)]
pub(crate) struct Options {
    /// The chain ends in the root, as on the enrolment plane.
    pub(crate) with_root: bool,
    /// A client certificate is required, as on the device plane.
    pub(crate) mutual: bool,
    /// A client certificate is taken where one is shown, as on the enrolment plane.
    pub(crate) optional: bool,
    /// Each connection is closed after one answer.
    pub(crate) one_answer: bool,
    /// A fixed port, to come back where another server was.
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start(
        authority: &Authority,
        options: Options,
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let clients = (options.mutual || options.optional).then_some(authority);
        Self::start_for(authority, clients, options, answer)
    }

    /// As [`Self::start`], with clients of another authority.
    pub(crate) fn start_for(
        authority: &Authority,
        clients: Option<&Authority>,
        options: Options,
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let place = TcpSocket::new_v4().expect("is made");
        place.set_reuseaddr(true).expect("is set");
        place.bind(([127, 0, 0, 1], options.port).into()).expect("binds");
        let port = place.local_addr().expect("is bound").port();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("binds");
        let ours = listener.try_clone().expect("is copied");
        let config = Arc::new(configuration(authority, clients, options));
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (answer, log): (Answer, _) = (Arc::new(answer), Arc::clone(&seen));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, log, answer) = (Arc::clone(&config), Arc::clone(&log), Arc::clone(&answer));
                thread::spawn(move || serve(stream, config, options.one_answer, &log, &answer));
            }
        });
        Self { port, seen, listener: ours, place }
    }

    /// Lines of the requests so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").asked.iter().map(|asked| asked.line.clone()).collect()
    }

    /// Ends the listener, so that connections are refused from now on; only a server at [`Options::port`] comes back.
    pub(crate) fn stop(self) {
        // For every copy of it: a program that another test is just starting has one, too.
        rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both).expect("ends");
        std::mem::forget(self.place);
    }
}

fn configuration(authority: &Authority, clients: Option<&Authority>, options: Options) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (chain, key) = authority.server(options.with_root);
    let verifier: Arc<dyn ClientCertVerifier> = match clients {
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.issuing.clone()).expect("is an anchor");
            let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
            let builder = if options.optional { builder.allow_unauthenticated() } else { builder };
            builder.build().expect("has an anchor")
        }
        None => Arc::new(NoClientAuth),
    };
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3 is there")
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .expect("key and certificate fit")
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, one_answer: bool, log: &Mutex<Seen>, answer: &Answer) {
    stream.set_nodelay(true).expect("is a socket");
    let connection = ServerConnection::new(config).expect("is configured");
    let mut tls = StreamOwned::new(connection, stream);
    let mut first = true;
    while let Some(mut asked) = read_request(&mut tls) {
        asked.shown = tls.conn.peer_certificates().and_then(|chain| Some(chain.first()?.to_vec()));
        asked.exporter =
            tls.conn.export_keying_material([0; 32], BINDING_EXPORTER, None).expect("the handshake is done");
        {
            let mut seen = log.lock().expect("no panic");
            if first {
                seen.handshakes.extend(tls.conn.handshake_kind());
                let shown = tls.conn.peer_certificates().and_then(|chain| chain.first());
                seen.shown.extend(shown.map(|leaf| Sha256::of(leaf)));
            }
            seen.asked.push(asked.clone());
        }
        first = false;
        if !reply(&mut tls, answer(&asked), one_answer) {
            return;
        }
    }
}

fn reply(tls: &mut StreamOwned<ServerConnection, TcpStream>, reply: Reply, last: bool) -> bool {
    let close = if last { "connection: close\r\n" } else { "" };
    let (head, body, keep) = match reply {
        Reply::Full(status, headers, body) => {
            let head =
                format!("HTTP/1.1 {status} x\r\n{headers}{close}content-length: {}\r\n\r\n", body.len());
            (head, body, !last)
        }
        Reply::Stall(declared, part) => {
            (format!("HTTP/1.1 200 x\r\ncontent-length: {declared}\r\n\r\n"), part, true)
        }
        Reply::Cut(declared, part) => {
            (format!("HTTP/1.1 200 x\r\ncontent-length: {declared}\r\n\r\n"), part, false)
        }
        Reply::Drip(declared, every_ms) => return drip(tls, declared, Duration::from_millis(every_ms)),
        Reply::Ranged(from, whole, rest) => {
            let range = format!("content-range: bytes {from}-{}/{whole}\r\n", whole - 1);
            let head = format!("HTTP/1.1 206 x\r\n{range}content-length: {}\r\n\r\n", rest.len());
            (head, rest, true)
        }
        Reply::Chunked(body) => {
            let size = format!("{:x}\r\n", body.len());
            let body = [size.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
            ("HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(), body, true)
        }
        Reply::Endless(piece) => return endless(tls, &piece),
        Reply::Hangup => return false,
    };
    let sent = tls.write_all(head.as_bytes()).and_then(|()| tls.write_all(&body)).and_then(|()| tls.flush());
    if !keep {
        tls.conn.send_close_notify();
        let _ = tls.flush();
    }
    sent.is_ok() && keep
}

/// Sends one chunk after the other until the client has had enough.
fn endless(tls: &mut impl Write, piece: &[u8]) -> bool {
    let head = b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    let mut going = tls.write_all(head).is_ok();
    while going {
        going = tls.write_all(&chunk).is_ok();
    }
    false
}

/// Sends a body byte by byte; whether the client took all of it.
fn drip(tls: &mut impl Write, declared: usize, every: Duration) -> bool {
    let head = format!("HTTP/1.1 200 x\r\ncontent-length: {declared}\r\n\r\n");
    let mut going = tls.write_all(head.as_bytes()).is_ok();
    for _ in 0..declared {
        going = going && tls.write_all(b"x").and_then(|()| tls.flush()).is_ok();
        if !going {
            break;
        }
        thread::sleep(every);
    }
    going
}

fn read_request(tls: &mut impl Read) -> Option<Asked> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        tls.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.trim_end().lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: BTreeMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    tls.read_exact(&mut body).ok()?;
    Some(Asked { line, headers, body, shown: None, exporter: [0; 32] })
}

/// An enrolment plane whose one token is bound to the first key that used it.
pub(crate) fn enrolment_plane(authority: Arc<Authority>, token: &'static str) -> Server {
    let issued: Mutex<Option<(Vec<u8>, Vec<u8>)>> = Mutex::new(None);
    let options = Options { with_root: true, ..Options::default() };
    let signer = Arc::clone(&authority);
    Server::start(&authority, options, move |asked| {
        if asked.line == "GET /.well-known/est/cacerts" {
            return Reply::ok(signer.cacerts().into_bytes());
        }
        let credential = asked.headers.get("authorization").and_then(|value| value.strip_prefix("Basic "));
        let credential = credential.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        if !credential.ends_with(format!(":{token}").as_bytes()) {
            return Reply::Full(401, "www-authenticate: Basic realm=\"x\"\r\n", Vec::new());
        }
        let request = STANDARD.decode(&asked.body).expect("is base64");
        let read = CertificateSigningRequestParams::from_der(&request.clone().into()).expect("is a request");
        let key = read.public_key.der_bytes().to_vec();
        let mut issued = issued.lock().expect("no panic");
        let (bound, leaf) = issued.get_or_insert_with(|| (key.clone(), signer.issue(&request)));
        if *bound != key {
            return Reply::problem(409, "token_used");
        }
        Reply::ok(pkcs7(std::slice::from_ref(leaf)).into_bytes())
    })
}
