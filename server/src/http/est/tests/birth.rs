//! Tests of birth certificates over mutual TLS.

use cordon_server_core::admit::TokenOrder;
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::*;
use crate::testing::builder;

/// A maker of devices, as far as its certificates go.
struct Maker {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A device as it left the factory.
struct Born {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Maker {
    fn new() -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key");
        let mut params = named("Halden device CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("made").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn bears(&self, serial: &str, kind: &'static rcgen::SignatureAlgorithm) -> Born {
        let key = KeyPair::generate_for(kind).expect("a key");
        let mut params = named("a device");
        params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), serial);
        let certificate = params.signed_by(&key, &self.issuer).expect("made").der().clone();
        Born { certificate, key }
    }

    /// A server that knows this maker.
    async fn known_to(&self, admit: &str) -> Bench {
        let folder = Bench::laid().await;
        std::fs::write(folder.path().join("halden.pem"), &self.pem).expect("written");
        let anchor = format!(
            "enrolment.anchor=[{{name='halden',certificates='halden.pem',manufacturer='Halden',models=['VP-3'],\
             admit='{admit}'}}]"
        );
        Bench::open(folder, &["store=memory", &anchor]).await
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Born {
    fn client(&self, bench: &Bench) -> rustls::ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(bench.app().ca.standing().roots().remove(0)).expect("an anchor");
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        builder(&[&rustls::version::TLS13])
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![self.certificate.clone()], key.into())
            .expect("a key pair")
    }

    async fn asks(&self, bench: &Bench, serial: &str, key: &KeyPair) -> Reply {
        ask(bench, self.client(bench), "simpleenroll", &csr(serial, key)).await
    }
}

#[tokio::test]
async fn a_birth_certificate_lets_in_whom_the_owner_expects() {
    // Goal: the default of an anchor. Method: a listed serial, an unlisted one, another key later, another serial in the
    // request; keys of two kinds at birth.
    let maker = Maker::new();
    let bench = maker.known_to("expected").await;
    bench.token("A").await;
    let born = maker.bears("A", &rcgen::PKCS_ECDSA_P384_SHA384);
    let key = device_key();
    let leaf = born.asks(&bench, "A", &key).await.leaf();
    assert_eq!(born.asks(&bench, "A", &key).await.leaf(), leaf, "a lost answer costs nothing");
    let member = bench.app().fleet.by_leaf(&Sha256::of(&leaf)).expect("in the table");
    assert_eq!((member.device.state, member.device.hardware.model.as_str()), (State::Active, "VP-3"));
    assert_eq!(born.asks(&bench, "A", &device_key()).await.status, 202, "another key waits for a person");
    let mismatch = born.asks(&bench, "B", &device_key()).await;
    assert_eq!((mismatch.status, mismatch.code().as_str()), (403, "serial_mismatch"));
    let stranger = maker.bears("B", &rcgen::PKCS_ECDSA_P256_SHA256);
    let reply = stranger.asks(&bench, "B", &device_key()).await;
    assert_eq!((reply.status, reply.code().as_str()), (403, "not_expected"));
    let renewal = ask(&bench, stranger.client(&bench), "simplereenroll", &csr("A", &device_key())).await;
    assert_eq!((renewal.status, renewal.code().as_str()), (403, "no_certificate"), "birth is no identity");
    assert_eq!(bench.count(Kind::Device).await, 1);
}

#[tokio::test]
async fn an_anchor_may_let_in_everybody_or_nobody_without_a_person() {
    // Goal: `all` and `approval`. Method: a serial that nobody announced, with each.
    let maker = Maker::new();
    let born = maker.bears("A", &rcgen::PKCS_ECDSA_P256_SHA256);
    let all = maker.known_to("all").await;
    assert_eq!(born.asks(&all, "A", &device_key()).await.status, 200);
    let asked = maker.known_to("approval").await;
    let key = device_key();
    assert_eq!(born.asks(&asked, "A", &key).await.status, 202);
    let [member] = &asked.app().fleet.all()[..] else { panic!("one device") };
    assert_eq!(
        member.device.asking.as_ref().map(|asking| asking.with.as_str()),
        Some("birth certificate of halden")
    );
    yes(&asked, member.id()).await;
    assert_eq!(born.asks(&asked, "A", &key).await.status, 200);
}

#[tokio::test]
async fn a_certificate_of_nobody_we_know_ends_the_handshake() {
    // Goal: an anchor is what counts. Method: another maker of the same name; a server without any; files without one.
    let (known, other) = (Maker::new(), Maker::new());
    let bench = known.known_to("all").await;
    let born = other.bears("A", &rcgen::PKCS_ECDSA_P256_SHA256);
    for bench in [bench, Bench::start(&[]).await] {
        let refused = match Wire::open(bench.server.ready.enrolment, born.client(&bench)).await {
            Err(_) => true,
            Ok(mut wire) => wire.ended().await,
        };
        assert!(refused);
    }
    let folder = Bench::laid().await;
    std::fs::write(folder.path().join("empty.pem"), "nothing").expect("written");
    for file in ["empty.pem", "missing.pem"] {
        let listen = ["enrolment", "device", "operator"].map(|plane| format!("{plane}.listen=127.0.0.1:0"));
        let anchor = format!("enrolment.anchor=[{{name='x',certificates='{file}',manufacturer='X'}}]");
        let sets: Vec<String> = listen.into_iter().chain(["store=memory".to_owned(), anchor]).collect();
        let path = folder.path().join(crate::init::CONFIG);
        let config = crate::config::Config::load(&path, &sets).expect("settings");
        let clock = crate::clock::Clock::system();
        let error = crate::serve::Server::start(config, clock).await.err().expect("does not start");
        assert!(error.to_string().contains(file), "{error}");
    }
}

#[tokio::test]
async fn a_serial_that_lives_under_another_model_waits_for_a_person() {
    // Goal: the model is the device's own word. Method: serial A of this maker came in as VP-4 by a token; its birth
    // certificate comes as VP-3.
    let maker = Maker::new();
    let bench = maker.known_to("all").await;
    let vp4 = Hardware { model: text("VP-4"), ..hardware("A") };
    let order = TokenOrder { model: text("VP-4"), ..order(Binding::Count { count: 1 }) };
    let token = bench.app().make_token(order, &person()).await.expect("a token");
    let header = cordon_proto::enrol::hardware_header(&vp4);
    let headers = [("X-Cordon-Hardware", header.as_str())];
    let reply = bench.simpleenroll(&csr("A", &device_key()), Some(&token.secret), &headers).await;
    assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    let born = maker.bears("A", &rcgen::PKCS_ECDSA_P256_SHA256);
    assert_eq!(born.asks(&bench, "A", &device_key()).await.status, 202);
    let other = maker.bears("B", &rcgen::PKCS_ECDSA_P256_SHA256);
    assert_eq!(other.asks(&bench, "B", &device_key()).await.status, 200);
}
