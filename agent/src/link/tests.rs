//! Tests of the device plane's calls against a real TLS server that behaves and misbehaves.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;

use cordon_proto::checkin::WaitRequest;
use cordon_proto::enrol::EnrolmentString;
use cordon_proto::telemetry::{Batch, Body, Gap, GapReason, Position};
use cordon_proto::time::Millis;
use rustls::HandshakeKind;

use super::*;
use crate::fake::{Asked, Authority, Options, Reply, Server, enrolment_plane};
use crate::files::Folder;
use crate::identity::tests::{hardware, trusted_clock};
use crate::identity::{self, Applicant, Home};
use crate::run::keeping::Keeping;

const TOKEN: &str = "dGhlLW9uZS10aW1lLXNlY3JldA";
pub(crate) const MUTUAL: Options =
    Options { with_root: false, mutual: true, optional: false, one_answer: false, port: 0 };

pub(crate) struct Site {
    pub(crate) authority: Arc<Authority>,
    pub(crate) identity: Identity,
    pub(crate) folder: Folder,
    root: tempfile::TempDir,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::enrolled(Arc::new(Authority::new()), 1).await
    }

    /// A device enrolled with this authority, whose server's device plane is at this port.
    pub(crate) async fn enrolled(authority: Arc<Authority>, device_port: u16) -> Self {
        let server = enrolment_plane(Arc::clone(&authority), TOKEN);
        let root = tempfile::tempdir().expect("a scratch folder");
        let folder = Folder::open(root.path().join("identity")).expect("opens");
        let string = EnrolmentString {
            host: "localhost".to_owned(),
            enrolment_port: server.port,
            device_port,
            ca_pin: authority.pin(),
            director_root: crate::fake::repository::director_pin(),
            token: TOKEN.to_owned(),
        };
        let addresses = vec!["127.0.0.1".parse().expect("an address")];
        let applicant = Applicant {
            hardware: hardware(),
            addresses,
            proxy: None,
            metered: false,
            clock: trusted_clock(),
        };
        let identity = identity::enrol(&folder, &string, &applicant).await.expect("enrols");
        Self { authority, identity, folder, root }
    }

    /// The state folder of the device.
    pub(crate) fn state(&self) -> &std::path::Path {
        self.root.path()
    }

    pub(crate) fn keeping(&self) -> Keeping {
        let home = Home::from(&self.folder);
        let held = home.held().expect("reads").expect("is there");
        let addresses = vec!["127.0.0.1".parse().expect("an address")];
        Keeping::new(
            home,
            held,
            Applicant {
                hardware: hardware(),
                addresses,
                proxy: None,
                metered: false,
                clock: trusted_clock(),
            },
        )
    }

    pub(crate) fn link(&self, server: &Server) -> Link {
        self.link_with(server, Duration::from_secs(30))
    }

    /// A link that gives up an image after so long a silence.
    fn link_with(&self, server: &Server, stall: Duration) -> Link {
        self.link_at(server.port, Patience { answer: Duration::from_secs(30), stall })
    }

    /// The same with another patience, to whoever listens there.
    pub(crate) fn link_at(&self, port: u16, patience: Patience) -> Link {
        let mut identity = self.identity.clone();
        identity.site.device_port = port;
        let addresses = vec!["127.0.0.1".parse().expect("an address")];
        let route = Route { host: "localhost".to_owned(), addresses, ..Route::default() };
        Link::new(&identity, &route, trusted_clock(), patience).expect("is built")
    }
}

fn waited(_: &Asked) -> Reply {
    Reply::ok(wire::write(&WaitAnswer { token: 3, changed: true }))
}

const ASK: WaitRequest = WaitRequest { token: 2, max_s: 0 };

#[tokio::test]
async fn every_new_connection_is_verified_in_full() {
    // Goal: no resumption, which would skip the pin and a renewed certificate. Method: a server with tickets that
    // closes after each answer; every handshake must be a full one and show the certificate.
    let site = Site::new().await;
    let server = Server::start(&site.authority, Options { one_answer: true, ..MUTUAL }, waited);
    let link = site.link(&server);
    for _ in 0..5 {
        assert_eq!(link.wait(&ASK).await, Ok(WaitAnswer { token: 3, changed: true }));
    }
    let seen = server.seen.lock().expect("no panic");
    let full =
        |kind: &HandshakeKind| matches!(kind, HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest);
    assert_eq!((seen.handshakes.len(), seen.handshakes.iter().all(full)), (5, true));
    assert_eq!(seen.shown.len(), 5, "the device's certificate was shown each time");
}

#[tokio::test]
async fn calls_in_a_row_share_one_connection() {
    // Goal: reports travel on the wait's own connection. Method: count handshakes over ten calls.
    let site = Site::new().await;
    let server = Server::start(&site.authority, MUTUAL, waited);
    let link = site.link(&server);
    for _ in 0..10 {
        link.wait(&ASK).await.expect("is answered");
    }
    assert_eq!(server.seen.lock().expect("no panic").handshakes.len(), 1);
}

#[tokio::test]
async fn each_fault_is_named_and_says_when_to_try_again() {
    // Goal: whose fault, and when again. Method: one misbehaviour each.
    let site = Site::new().await;
    type Case = (fn() -> Reply, LinkError, Retry);
    let cases: [Case; 7] = [
        (
            || Reply::problem(403, "unknown_device"),
            LinkError::Refused { refusal: Refusal::UnknownDevice, detail: "said so".to_owned() },
            Retry::Slowly,
        ),
        (
            || Reply::problem(403, "quarantined"),
            LinkError::Refused { refusal: Refusal::Quarantined, detail: "said so".to_owned() },
            Retry::Slowly,
        ),
        (
            || Reply::Full(503, "retry-after: 120\r\n", Vec::new()),
            LinkError::Busy { status: 503, retry_after_s: Some(120) },
            Retry::After(120),
        ),
        (
            || Reply::problem(400, "malformed_message"),
            LinkError::Rejected {
                status: 400,
                code: "malformed_message".to_owned(),
                detail: "said so".to_owned(),
            },
            Retry::Soon,
        ),
        (|| Reply::ok(b"nonsense".to_vec()), LinkError::Malformed { what: "WaitAnswer" }, Retry::Soon),
        (
            || Reply::ok(vec![0; limits::BODY_BYTES + 1]),
            LinkError::TooLarge { limit: limits::BODY_BYTES },
            Retry::Soon,
        ),
        (
            || Reply::problem(401, "unknown_device"),
            LinkError::Rejected {
                status: 401,
                code: "unknown_device".to_owned(),
                detail: "said so".to_owned(),
            },
            Retry::Soon,
        ),
    ];
    for (reply, expected, retry) in cases {
        let server = Server::start(&site.authority, MUTUAL, move |_| reply());
        let error = site.link(&server).wait(&ASK).await.expect_err("is an error");
        assert_eq!((error.retry(), &error), (retry, &expected));
    }
    let kept = Identity::load(&site.folder).expect("reads");
    assert!(kept.is_some(), "no answer whatsoever removes the identity");
}

#[tokio::test]
async fn another_server_at_the_same_address_learns_nothing() {
    // Goal: the pin holds on the device plane too. Method: the right port, another CA.
    let site = Site::new().await;
    let stranger = Authority::new();
    let server = Server::start(&stranger, Options { mutual: false, with_root: true, ..MUTUAL }, waited);
    let error = site.link(&server).wait(&ASK).await.expect_err("is an error");
    let issuer = "root".to_owned();
    let asked = format!("localhost:{}", server.port);
    assert_eq!(error, LinkError::WrongServer(Distrust::Pin { issuer, server: asked.clone() }));
    let said = error.to_string();
    for word in ["'root'", "TLS inspection", &format!("exempt {asked}")] {
        assert!(said.contains(word), "{word} in {said}");
    }
    assert!(server.lines().is_empty());
}

#[tokio::test]
async fn a_refused_client_certificate_and_a_dead_server_are_told_apart() {
    // Goal: the device's fault is not the network's. Method: a server that trusts only another CA; then a closed port.
    let site = Site::new().await;
    let stranger = Authority::new();
    let server = Server::start_for(&site.authority, Some(&stranger), MUTUAL, waited);
    let error = site.link(&server).wait(&ASK).await.expect_err("is an error");
    assert!(matches!(error, LinkError::CertificateRefused { .. }), "{error:?}");
    let gone = Server::start(&site.authority, MUTUAL, waited);
    let link = site.link(&gone);
    gone.stop();
    let error = link.wait(&ASK).await.expect_err("is an error");
    assert_eq!(
        (error.retry(), matches!(error, LinkError::Unreachable { .. })),
        (Retry::Soon, true),
        "{error}"
    );
}

#[tokio::test]
async fn only_who_meets_nobody_may_blame_the_network() {
    // Goal: a server that answers badly is no network that is down. Method: one that breaks off within and behind the
    // handshake, one that answers badly in each way there is, strangers; then a closed port.
    let site = Site::new().await;
    let answers: [fn() -> Reply; 4] = [
        || Reply::Hangup,
        || Reply::problem(500, "broken"),
        || Reply::problem(403, "retired"),
        || Reply::Full(503, "", Vec::new()),
    ];
    for answer in answers {
        let server = Server::start(&site.authority, MUTUAL, move |_| answer());
        let error = site.link(&server).wait(&ASK).await.expect_err("is an error");
        assert!(!error.met_nobody(), "{error:?}");
    }
    let (other, stranger) = (Authority::new(), Authority::new());
    let strangers = [
        Server::start(&stranger, MUTUAL, waited),
        Server::start_for(&site.authority, Some(&other), MUTUAL, waited),
    ];
    for server in strangers {
        let error = site.link(&server).wait(&ASK).await.expect_err("is an error");
        assert!(!error.met_nobody(), "{error:?}");
    }
    // It takes the connection, and answers the handshake with its end, or with nonsense.
    let link = |port| site.link_at(port, Patience { answer: Duration::from_secs(30), ..Patience::default() });
    for nonsense in [&b""[..], b"HTTP/1.1 400 no\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let port = listener.local_addr().expect("is bound").port();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("is asked");
            stream.write_all(nonsense).expect("writes");
        });
        let error = link(port).wait(&ASK).await.expect_err("is an error");
        assert!(!error.met_nobody(), "{error:?}");
        answering.join().expect("no panic");
    }
    // Bound, and never listening: nobody else may open this port. A listener that is merely dropped still takes
    // connections while a program that another test starts has a copy of it.
    let closed = tokio::net::TcpSocket::new_v4().expect("is made");
    closed.bind(([127, 0, 0, 1], 0).into()).expect("binds");
    let port = closed.local_addr().expect("is bound").port();
    let error = link(port).wait(&ASK).await.expect_err("is an error");
    assert!(error.met_nobody(), "{error:?}");
}

#[tokio::test]
async fn an_oversize_metadata_file_is_cut_at_its_cap() {
    // Goal: no server fills the device's memory. Method: one byte too many, with and without a declared length.
    let site = Site::new().await;
    let server = Server::start(&site.authority, MUTUAL, |asked| match asked.line.as_str() {
        "GET /v1/tuf/director/timestamp.json" => Reply::ok(vec![b'x'; 4097]),
        "GET /v1/tuf/image/halden/1.root.json" => Reply::ok(vec![b'x'; 4096]),
        "GET /v1/tuf/image/halden/2.root.json" => Reply::Chunked(vec![b'x'; 4097]),
        _ => Reply::problem(404, "no_such_file"),
    });
    let link = site.link(&server);
    let halden = Repository::Image("halden".parse().expect("a name"));
    let cut = link.metadata(&Repository::Director, "timestamp.json", 4096).await;
    assert_eq!(cut, Err(LinkError::TooLarge { limit: 4096 }));
    let cut = link.metadata(&halden, "2.root.json", 4096).await;
    assert_eq!(cut, Err(LinkError::TooLarge { limit: 4096 }));
    assert_eq!(link.metadata(&halden, "1.root.json", 4096).await.map(|f| f.map(|b| b.len())), Ok(Some(4096)));
    assert_eq!(link.metadata(&halden, "9.root.json", 4096).await, Ok(None));
}

#[tokio::test]
async fn a_download_that_drips_is_given_up_as_a_stall() {
    // Goal: slow retrieval holds nobody. Method: one byte in 20 ms, far below the least rate, with a stall limit of
    // three seconds, in which 3072 bytes would be due: without a least rate every byte would begin the patience anew.
    let site = Site::new().await;
    let server = Server::start(&site.authority, MUTUAL, |_| Reply::Drip(2000, 20));
    let link = site.link_with(&server, Duration::from_secs(3));
    let mut download = link.target(&Sha256([9; 32]), 0).await.expect("begins");
    let mut held = 0;
    let error = loop {
        match download.next().await {
            Ok(piece) => held += piece.expect("is not at its end").len(),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LinkError::Stalled { .. }), "{error}");
    assert!((1..1024).contains(&held), "{held} bytes came");
}

#[tokio::test]
async fn a_download_resumes_where_it_stopped_and_a_stall_ends_it() {
    // Goal: resume by range, give up on silence. Method: a server that sends half, then nothing; then the rest.
    let site = Site::new().await;
    let server = Server::start(&site.authority, MUTUAL, |asked| match asked.headers.get("range") {
        Some(range) if range == "bytes=6-" => {
            Reply::Full(206, "content-range: bytes 6-10/11\r\n", b"world".to_vec())
        }
        Some(_) => Reply::Full(206, "content-range: bytes 0-10/11\r\n", b"hello world".to_vec()),
        None => Reply::Stall(11, b"hello ".to_vec()),
    });
    let link = site.link_with(&server, Duration::from_secs(3));
    let image = Sha256([9; 32]);
    let mut held = Vec::new();
    let mut download = link.target(&image, 0).await.expect("begins");
    let error = loop {
        match download.next().await {
            Ok(piece) => held.extend_from_slice(&piece.expect("is not at its end")),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, LinkError::Stalled { .. }), "{error}");
    assert_eq!(held, b"hello ");
    let mut download = link.target(&image, 6).await.expect("resumes");
    assert_eq!(download.start(), 6);
    while let Some(piece) = download.next().await.expect("goes on") {
        held.extend_from_slice(&piece);
    }
    assert_eq!(held, b"hello world");
    let error = link.target(&image, 3).await.map(|_| ()).expect_err("starts elsewhere than asked");
    assert_eq!(error, LinkError::Malformed { what: "Content-Range" });
}

#[tokio::test]
async fn telemetry_is_compressed_where_it_pays_and_read_back_the_same() {
    // Goal: the wire of a batch. Method: a large and a small batch, decoded on the other side.
    let site = Site::new().await;
    let answer = BatchAnswer { stored_through: Position { boot: 1, sequence: 9 }, duplicates: 0 };
    let server = Server::start(&site.authority, MUTUAL, move |_| Reply::ok(wire::write(&answer)));
    let mut link = site.link(&server);
    let gap = Body::Gap(Gap {
        after: Position::default(),
        before: Position { boot: 1, sequence: 1 },
        count: 4,
        reason: GapReason::SpoolFull,
    });
    let batch = |count: u64| Batch {
        records: (1..=count).map(|sequence| gap.record(Position { boot: 1, sequence }, Millis(5))).collect(),
    };
    for count in [200, 1, 300] {
        assert_eq!(link.telemetry(&batch(count)).await, Ok(answer));
    }
    let asked = server.seen.lock().expect("no panic").asked.clone();
    for (asked, count) in asked.iter().zip([200, 1, 300]) {
        let packed = asked.headers.contains_key("content-encoding");
        assert_eq!(packed, count > 1);
        let plain = if packed {
            zstd::bulk::decompress(&asked.body, 1 << 20).expect("is zstd")
        } else {
            asked.body.clone()
        };
        assert_eq!(Batch::read(&plain), Ok(batch(count)));
    }
}

#[tokio::test]
async fn everything_works_through_a_proxy_that_is_asked_to_connect() {
    // Goal: hospitals with a proxy. Method: a tunnel of twenty lines; the server must see the device's certificate.
    let site = Site::new().await;
    let server = Server::start(&site.authority, MUTUAL, waited);
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let proxy = format!("http://{}", listener.local_addr().expect("is bound"));
    let (port, (asked_at, asked)) = (server.port, std::sync::mpsc::channel());
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("is asked");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            std::io::Read::read_exact(&mut client, &mut byte).expect("reads");
            head.push(byte[0]);
        }
        asked_at.send(String::from_utf8(head).expect("is text")).expect("is heard");
        let mut server = std::net::TcpStream::connect(("127.0.0.1", port)).expect("connects");
        client.write_all(b"HTTP/1.1 200 tunnel\r\n\r\n").expect("writes");
        let (mut up, mut down) = (client.try_clone().expect("clones"), server.try_clone().expect("clones"));
        std::thread::spawn(move || std::io::copy(&mut up, &mut server));
        let _ = std::io::copy(&mut down, &mut client);
    });
    let mut identity = site.identity.clone();
    identity.site.device_port = server.port;
    let proxy = proxy::Proxy::parse(Some(proxy), None).expect("is read");
    let route = Route { host: "localhost".to_owned(), proxy, ..Route::default() };
    let link = Link::new(&identity, &route, trusted_clock(), Patience::default()).expect("is built");
    assert_eq!(link.wait(&ASK).await, Ok(WaitAnswer { token: 3, changed: true }));
    assert!(asked.recv().expect("was asked").starts_with(&format!("CONNECT localhost:{port} HTTP/1.1")));
    assert_eq!(server.seen.lock().expect("no panic").shown.len(), 1);
}
