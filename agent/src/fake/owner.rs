//! An owner's server for tests: both planes on one port, one device, and the rules of renewal as decided.
//!
//! It keeps the certificate in force and the next one, moves on when the next one speaks, refuses by name, loses answers
//! where a test wants it, and holds every request to its connection. Tests only; see docs/decisions/0010-identity.md.

use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cordon_proto::checkin::{CheckinAnswer, CheckinRequest, WaitAnswer, WaitRequest};
use cordon_proto::enrol::{BINDING_HEADER, EnrolmentString, binding_message, from_base64url};
use cordon_proto::farewell::Farewell;
use cordon_proto::ids::Sha256;
use cordon_proto::time::Timestamp;
use cordon_proto::{limits, wire};
use rcgen::{CertificateSigningRequestParams, PublicKeyData};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use super::{Asked, Authority, Options, Reply, Server};
use crate::clock::{Clock, SystemClock};
use crate::der::certification_request;
use crate::identity::est::tests::pkcs7;
use crate::identity::key::{DeviceKey, FileKey};

pub(crate) const TOKEN: &str = "dGhlLW9uZS10aW1lLXNlY3JldA";

/// One issued certificate.
#[derive(Clone)]
pub(crate) struct Issued {
    request: Vec<u8>,
    pub(crate) leaf: Vec<u8>,
}

/// What the server knows and does.
#[derive(Default)]
pub(crate) struct Books {
    pub(crate) in_force: Option<Issued>,
    pub(crate) next: Option<Issued>,
    superseded: Vec<Vec<u8>>,
    /// Life of the certificates to be issued, around the present moment.
    pub(crate) life_s: (i64, i64),
    /// A person has to approve first.
    pub(crate) wait: bool,
    /// The word for every authenticated request.
    pub(crate) word: Option<&'static str>,
    /// Check-ins under the certificate in force are told that it has ended, until another one is.
    pub(crate) ended: bool,
    /// Certificates are handed out that are for another key.
    pub(crate) foreign: bool,
    /// Requests whose answer is lost after they had their effect, by the end of their line.
    pub(crate) lose: Vec<&'static str>,
    /// Requests that are still held to another connection.
    pub(crate) other_connection: u32,
    pub(crate) bindings: u32,
    pub(crate) checkins: Vec<CheckinRequest>,
    pub(crate) farewells: Vec<Farewell>,
    pub(crate) bundles: Vec<Vec<u8>>,
    /// The server's clock is ahead of the machine's by this.
    pub(crate) ahead_s: i64,
}

/// A running server and its books.
pub(crate) struct Owner {
    pub(crate) authority: Arc<Authority>,
    pub(crate) server: Server,
    books: Arc<Mutex<Books>>,
}

impl Owner {
    pub(crate) fn new() -> Self {
        Self::of(Authority::new())
    }

    pub(crate) fn of(authority: Authority) -> Self {
        let authority = Arc::new(authority);
        let books = Arc::new(Mutex::new(Books { life_s: (-300, 86_400), ..Books::default() }));
        let (signer, kept) = (Arc::clone(&authority), Arc::clone(&books));
        let options = Options { with_root: true, optional: true, ..Options::default() };
        let server = Server::start(&authority, options, move |asked| {
            let mut books = kept.lock().expect("no panic");
            let reply = books.reply(asked, &signer);
            match books.lose.iter().position(|line| asked.line.ends_with(line)) {
                Some(lost) => {
                    books.lose.remove(lost);
                    Reply::Hangup
                }
                None => reply,
            }
        });
        Self { authority, server, books }
    }

    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().expect("no panic")
    }

    /// The join line of this server.
    pub(crate) fn string(&self) -> EnrolmentString {
        EnrolmentString {
            host: "localhost".to_owned(),
            enrolment_port: self.server.port,
            device_port: self.server.port,
            ca_pin: self.authority.pin(),
            director_root: crate::fake::repository::director_pin(),
            token: TOKEN.to_owned(),
        }
    }
}

impl Books {
    fn reply(&mut self, asked: &Asked, authority: &Authority) -> Reply {
        let (_, path) = asked.line.split_once(' ').expect("is a request line");
        if let Some(number) = path.strip_prefix("/v1/authorities/") {
            let bundle = number.parse::<usize>().ok().and_then(|number| self.bundles.get(number - 1));
            return bundle.map_or_else(|| Reply::problem(404, "no_such_file"), |b| Reply::ok(b.clone()));
        }
        match path.rsplit('/').next().expect("is a path") {
            "cacerts" => Reply::ok(authority.cacerts().into_bytes()),
            "simpleenroll" => self.enrol(asked, authority),
            "simplereenroll" => self.renew(asked, authority),
            "checkin" => self.check_in(asked),
            "wait" => self.wait(asked),
            "farewell" => {
                self.farewells.push(wire::read(&asked.body, limits::BODY_BYTES).expect("is a farewell"));
                Reply::Full(204, "", Vec::new())
            }
            _ => Reply::problem(404, "no_such_route"),
        }
    }

    /// Why the certificate shown is refused; one that spoke for the first time is in force now.
    fn recognise(&mut self, asked: &Asked) -> Option<&'static str> {
        let Some(shown) = asked.shown.as_ref() else { return Some("no_certificate") };
        if self.next.as_ref().is_some_and(|next| next.leaf == *shown) {
            self.superseded.extend(self.in_force.take().map(|former| former.leaf));
            self.in_force = self.next.take();
            self.ended = false;
        }
        if self.word.is_some() {
            return self.word;
        }
        match &self.in_force {
            Some(issued) if issued.leaf == *shown => None,
            _ if self.superseded.contains(shown) => Some("superseded"),
            _ => Some("unknown_device"),
        }
    }

    /// Whether a request is held to this very connection.
    fn is_bound(&mut self, asked: &Asked, request: &[u8]) -> bool {
        if self.other_connection > 0 {
            self.other_connection -= 1;
            return false;
        }
        let read = CertificateSigningRequestParams::from_der(&request.to_vec().into()).expect("is a request");
        let signature = from_base64url(&asked.headers[BINDING_HEADER]).expect("is base64url");
        let message = binding_message(&asked.exporter, request);
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, read.public_key.der_bytes());
        self.bindings += 1;
        key.verify(&message, &signature).is_ok()
    }

    fn issue(&self, request: &[u8], authority: &Authority) -> Issued {
        let now = self.now().0;
        let leaf = authority.issue_for(request, (now + self.life_s.0, now + self.life_s.1));
        Issued { request: request.to_vec(), leaf }
    }

    fn enrol(&mut self, asked: &Asked, authority: &Authority) -> Reply {
        let credential = asked.headers.get("authorization").and_then(|value| value.strip_prefix("Basic "));
        let credential = credential.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        if !credential.ends_with(format!(":{TOKEN}").as_bytes()) {
            return Reply::Full(401, "www-authenticate: Basic realm=\"x\"\r\n", Vec::new());
        }
        let request = STANDARD.decode(&asked.body).expect("is base64");
        if !self.is_bound(asked, &request) {
            return Reply::problem(403, "binding_refused");
        }
        if self.wait {
            return Reply::Full(202, "retry-after: 1\r\n", Vec::new());
        }
        if let Some(word) = self.word {
            return Reply::problem(if word == "malformed_request" { 400 } else { 403 }, word);
        }
        match &self.in_force {
            Some(issued) if issued.request == request => {}
            Some(_) => return Reply::problem(403, "token_used"),
            None => self.in_force = Some(self.issue(&request, authority)),
        }
        let leaf = self.in_force.as_ref().map(|issued| issued.leaf.clone()).expect("was issued");
        self.handed_out(leaf, authority)
    }

    fn renew(&mut self, asked: &Asked, authority: &Authority) -> Reply {
        let request = STANDARD.decode(&asked.body).expect("is base64");
        if !self.is_bound(asked, &request) {
            return Reply::problem(403, "binding_refused");
        }
        if self.wait {
            return Reply::Full(202, "retry-after: 1\r\n", Vec::new());
        }
        if let Some(word) = self.recognise(asked) {
            return Reply::problem(403, word);
        }
        if self.next.as_ref().is_none_or(|next| next.request != request) {
            self.next = Some(self.issue(&request, authority));
        }
        let leaf = self.next.as_ref().map(|next| next.leaf.clone()).expect("was issued");
        self.handed_out(leaf, authority)
    }

    fn handed_out(&self, leaf: Vec<u8>, authority: &Authority) -> Reply {
        let leaf = match self.foreign {
            false => leaf,
            true => {
                let (key, _) = FileKey::generate().expect("makes a key");
                let request = certification_request("x", key.spki(), |message| key.sign(message).ok());
                self.issue(&request.expect("is made"), authority).leaf
            }
        };
        Reply::ok(pkcs7(&[leaf]).into_bytes())
    }

    /// Answers who does not mean to wait, and nobody else.
    fn wait(&mut self, asked: &Asked) -> Reply {
        let question: WaitRequest = wire::read(&asked.body, limits::BODY_BYTES).expect("is a wait");
        match self.recognise(asked) {
            Some(word) => Reply::problem(403, word),
            None if question.max_s == 0 => Reply::ok(wire::write(&WaitAnswer { token: 1, changed: false })),
            None => Reply::Stall(9, Vec::new()),
        }
    }

    fn check_in(&mut self, asked: &Asked) -> Reply {
        let word = self.recognise(asked);
        if let Some(word) = word.or_else(|| self.ended.then_some("expired")) {
            return Reply::problem(403, word);
        }
        self.checkins.push(wire::read(&asked.body, limits::BODY_BYTES).expect("is a check-in"));
        Reply::ok(wire::write(&CheckinAnswer {
            time: self.now(),
            order: None,
            permit: None,
            content_version: 0,
            ca_bundle: None,
            audit_head: None,
            next_s: 300,
            want_inventory: false,
            director_version: 0,
            wait_token: 1,
            ca_version: u64::try_from(self.bundles.len()).expect("few"),
            content: None,
            inventory_base: None,
            reads_packed: None,
        }))
    }

    fn now(&self) -> Timestamp {
        SystemClock::new().now().seconds().plus_seconds(self.ahead_s)
    }

    /// The fingerprint of the certificate in force.
    pub(crate) fn leaf(&self) -> Option<Sha256> {
        self.in_force.as_ref().map(|issued| Sha256::of(&issued.leaf))
    }
}
