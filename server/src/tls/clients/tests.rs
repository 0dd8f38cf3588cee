//! Tests of the enrolment plane's verifier: what it takes at which time.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::version;

use super::*;
use crate::testing::{Bench, device_key};

fn at(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).expect("after 1970")))
}

#[tokio::test]
async fn an_ended_leaf_of_ours_is_ours_and_nobody_elses_is_taken_after_its_end() {
    // Goal: the grace needs the handshake, and nothing else does. Method: a leaf of ours long after its end, before its
    // beginning, and the leaf of another authority with the same names.
    let bench = Bench::start(&[]).await;
    let device = bench.enrol("A").await;
    let ca = &bench.app().ca;
    let anchors = ca.anchors();
    let clients = Clients::load(&bench.app().config, move || anchors.to_vec()).expect("loads");
    let now = bench.clock.now().0;
    for seconds in [now, now + 29 * 86_400, now + 31 * 86_400, now + 4000 * 86_400] {
        assert_eq!(clients.origin(std::slice::from_ref(&device.leaf), at(seconds)), Ok(Origin::Own));
    }
    assert!(clients.origin(std::slice::from_ref(&device.leaf), at(now - 86_400)).is_err());
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Cordon issuing 00000000");
    let issuer = Issuer::new(params, key);
    let mut leaf = CertificateParams::default();
    leaf.distinguished_name.push(DnType::CommonName, device.id.to_string());
    let foreign = leaf.signed_by(&device_key(), &issuer).expect("made").der().clone();
    assert!(clients.origin(&[foreign], at(now)).is_err());
    assert!(clients.origin(&[CertificateDer::from(vec![0x30, 0])], at(now)).is_err());
    assert!(clients.origin(&[], at(now)).is_err());
}

#[tokio::test]
async fn tls_1_2_is_spoken_on_the_enrolment_plane_alone_and_only_where_it_is_wanted() {
    // Goal: `enrolment.tls12`. Method: a client that knows only TLS 1.2 on each plane of two servers; no binding there.
    for (wanted, planes) in [(false, [false, false]), (true, [true, false])] {
        let bench = Bench::start(&[&format!("enrolment.tls12={wanted}")]).await;
        let device = bench.enrol("A").await;
        let mut roots = RootCertStore::empty();
        roots.add(bench.app().ca.standing().roots().remove(0)).expect("an anchor");
        let spoken = async |address| {
            let client = crate::testing::builder(&[&version::TLS12]).with_root_certificates(roots.clone());
            let key = rustls::pki_types::PrivatePkcs8KeyDer::from(device.key.serialize_der());
            let client =
                client.with_client_auth_cert(vec![device.leaf.clone()], key.into()).expect("a key pair");
            match crate::testing::Wire::open(address, client).await {
                Ok(mut wire) => wire.get("/.well-known/est/cacerts", &[]).await.status == 200,
                Err(_) => false,
            }
        };
        let ready = &bench.server.ready;
        assert_eq!([spoken(ready.enrolment).await, spoken(ready.device).await], planes);
    }
}
