//! Enrolment as foreign clients do it: curl with OpenSSL, strongSwan's `pki`, Bouncy Castle.
//!
//! They are the judges of what we believe EST (RFC 7030) to be, so none of our own code reads their results but to
//! compare them. A missing program is skipped out loud. The server is the real one, on loopback, on a free port.

use std::path::{Path, PathBuf};
use std::process::Output;

use cordon_proto::ids::{Sha256, Text};
use cordon_server::clock::Clock;
use cordon_server::config::Config;
use cordon_server::init;
use cordon_server::serve::Server;
use cordon_server_core::admit::{Binding, TokenOrder};
use cordon_server_core::audit::Actor;
use cordon_server_core::device::{Act, DeviceKind, Placement};
use cordon_server_core::risk::facts::{Impact, Reach};
use cordon_sim::program::program;
use cordon_sim::skip::{require_file, require_package};

/// Where Debian keeps Bouncy Castle, with the package of each jar.
const JARS: [(&str, &str); 3] = [
    ("/usr/share/java/bcpkix.jar", "libbcpkix-java"),
    ("/usr/share/java/bcprov.jar", "libbcprov-java"),
    ("/usr/share/java/bcutil.jar", "libbcutil-java"),
];

/// The smallest client on Bouncy Castle: CA certificates, then one certificate.
const JAVA: &str = r#"
import java.io.*;
import java.security.*;
import java.security.cert.*;
import java.security.spec.*;
import java.util.*;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.est.*;
import org.bouncycastle.est.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequestBuilder;

public class EstClient {
  public static void main(String[] a) throws Exception {
    Security.addProvider(new BouncyCastleProvider());
    X509Certificate root;
    try (InputStream in = new FileInputStream(a[1])) {
      root = (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
    }
    ESTService est = new JsseESTServiceBuilder(a[0],
        JcaJceUtils.getCertPathTrustManager(Collections.singleton(new TrustAnchor(root, null)), null)).build();
    System.out.println("certificates " + est.getCACerts().getCertificateStore().getMatches(null).size());
    KeyPairGenerator maker = KeyPairGenerator.getInstance("EC");
    maker.initialize(new ECGenParameterSpec("secp256r1"));
    KeyPair keys = maker.generateKeyPair();
    var request = new JcaPKCS10CertificationRequestBuilder(new X500Name("CN=" + a[2]), keys.getPublic())
        .build(new JcaContentSignerBuilder("SHA256withECDSA").build(keys.getPrivate()));
    var reply = est.simpleEnroll(false, request, new JcaHttpAuthBuilder(a[2], a[3].toCharArray()).build());
    for (X509CertificateHolder c : reply.getStore().getMatches(null)) System.out.println("subject " + c.getSubject());
  }
}
"#;

struct Bench {
    server: Server,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = init::Options {
            folder: folder.path().to_owned(),
            admin_token_file: None,
            host: "localhost".to_owned(),
            example_keys: false,
            store: init::STORE.to_owned(),
            ca_key: None,
        };
        let clock = Clock::system();
        let laid = init::run(&options, clock.now()).await.expect("laid");
        let sets = ["enrolment", "device", "operator"].map(|plane| format!("{plane}.listen=127.0.0.1:0"));
        let config = Config::load(&laid.config, &sets).expect("settings");
        let server = Server::start(config, clock).await.expect("starts");
        Self { server, folder }
    }

    async fn token(&self, serial: &str) -> String {
        let order = TokenOrder {
            manufacturer: None,
            model: Text::lossy("VP-3"),
            binding: Binding::Serial { serial: Text::lossy(serial), replaces: false },
            placement: Placement {
                site: Text::lossy("St. Anna"),
                ward: Text::lossy("ICU 2"),
                kind: DeviceKind::InfusionPump,
                impact: Impact::default(),
                reach: Reach::default(),
                tags: Vec::new(),
            },
            hours: 1,
        };
        self.server.app.make_token(order, &person()).await.expect("a token").secret
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a path of text").to_owned()
    }

    fn est(&self) -> String {
        format!("https://localhost:{}", self.server.ready.enrolment.port())
    }
}

fn person() -> Actor {
    Actor::Person(Text::lossy("ines"))
}

/// Runs a foreign program without holding up the server in this process.
async fn run(program_: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = program(program_);
    command.args(arguments).envs(settings.iter().copied()).stdin(std::process::Stdio::null());
    tokio::task::spawn_blocking(move || command.output()).await.expect("ran").expect("starts")
}

/// Runs a foreign program that must succeed, and returns what it wrote.
async fn done(program_: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> Vec<u8> {
    let output = run(program_, arguments, settings).await;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{} {arguments:?}: {words}", program_.display());
    output.stdout
}

async fn words(program_: &Path, arguments: &[&str]) -> String {
    String::from_utf8(done(program_, arguments, &[]).await).expect("text")
}

fn write(path: &str, bytes: impl AsRef<[u8]>) {
    std::fs::write(path, bytes).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_and_openssl_enrol_verify_and_reach_the_device_plane() {
    // Goal: E3, E7. Method: cacerts and a certificate by curl; OpenSSL reads, verifies, speaks mutual TLS, keeps no
    // session, and is refused once the device is retired.
    let (Some(curl), Some(openssl)) = (require_package("curl"), require_package("openssl")) else { return };
    let bench = Bench::start().await;
    let (ca, est) = (bench.path("ca.pem"), bench.est());
    let bundle =
        words(&curl, &["-sS", "--fail", "--cacert", &ca, &format!("{est}/.well-known/est/cacerts")]).await;
    write(&bench.path("bundle.b64"), &bundle);
    let der = done(&openssl, &["base64", "-d", "-A", "-in", &bench.path("bundle.b64")], &[]).await;
    write(&bench.path("bundle.p7"), der);
    let listed =
        words(&openssl, &["pkcs7", "-inform", "DER", "-in", &bench.path("bundle.p7"), "-print_certs"]).await;
    assert_eq!(listed.matches("BEGIN CERTIFICATE").count(), 2, "{listed}");
    write(&bench.path("chain.pem"), &listed);
    let (key, leaf) = (bench.path("device.key"), bench.path("device.pem"));
    enrol_by_curl(&bench, &curl, &openssl).await;
    let verified = [
        "verify",
        "-purpose",
        "sslclient",
        "-x509_strict",
        "-CAfile",
        &ca,
        "-untrusted",
        &bench.path("chain.pem"),
        &leaf,
    ];
    assert!(words(&openssl, &verified).await.ends_with(": OK\n"));
    let not_a_server =
        ["verify", "-purpose", "sslserver", "-CAfile", &ca, "-untrusted", &bench.path("chain.pem"), &leaf];
    assert!(!run(&openssl, &not_a_server, &[]).await.status.success());
    let text = words(&openssl, &["x509", "-in", &leaf, "-noout", "-text"]).await;
    for wanted in [
        "TLS Web Client Authentication",
        "CA:FALSE",
        "URI:urn:uuid:",
        "serialNumber = SN-0001",
        "Authority Key Identifier",
        "Subject Key Identifier",
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    let checkin = format!("https://localhost:{}/v1/checkin", bench.server.ready.device.port());
    let ask = [
        "-sS",
        "--cacert",
        &ca,
        "--cert",
        &leaf,
        "--key",
        &key,
        "--data-binary",
        "x",
        "-H",
        "Content-Type: application/cbor",
        &checkin,
    ];
    assert!(words(&curl, &ask).await.contains("malformed_message"), "known, and told what is wrong");
    sessions_are_not_kept(&bench, &openssl).await;
    let fingerprint = Sha256::of(&done(&openssl, &["x509", "-in", &leaf, "-outform", "DER"], &[]).await);
    let device = bench.server.app.fleet.by_leaf(&fingerprint).expect("in the table").id();
    bench.server.app.act(device, Act::Retire, Text::lossy("sold"), &person()).await.expect("retired");
    assert!(words(&curl, &ask).await.contains("\"retired\""));
    bench.server.stop().await;
}

async fn enrol_by_curl(bench: &Bench, curl: &Path, openssl: &Path) {
    let (key, csr) = (bench.path("device.key"), bench.path("device.csr"));
    done(openssl, &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key], &[]).await;
    done(
        openssl,
        &["req", "-new", "-key", &key, "-subj", "/CN=SN-0001", "-outform", "DER", "-out", &csr],
        &[],
    )
    .await;
    write(&bench.path("csr.b64"), done(openssl, &["base64", "-in", &csr], &[]).await);
    let (user, body) =
        (format!("SN-0001:{}", bench.token("SN-0001").await), format!("@{}", bench.path("csr.b64")));
    let (ca, url) = (bench.path("ca.pem"), format!("{}/.well-known/est/simpleenroll", bench.est()));
    let head = "Content-Type: application/pkcs10";
    let reply = words(
        curl,
        &["-sS", "--fail", "--cacert", &ca, "-u", &user, "-H", head, "--data-binary", &body, &url],
    )
    .await;
    write(&bench.path("leaf.b64"), reply);
    write(
        &bench.path("leaf.p7"),
        done(openssl, &["base64", "-d", "-A", "-in", &bench.path("leaf.b64")], &[]).await,
    );
    let leaf =
        words(openssl, &["pkcs7", "-inform", "DER", "-in", &bench.path("leaf.p7"), "-print_certs"]).await;
    assert_eq!(leaf.matches("BEGIN CERTIFICATE").count(), 1);
    write(&bench.path("device.pem"), leaf);
}

/// A saved session would skip the look at the certificate; TLS 1.2 has no place here.
async fn sessions_are_not_kept(bench: &Bench, openssl: &Path) {
    let address = format!("127.0.0.1:{}", bench.server.ready.device.port());
    let (ca, leaf, key) = (bench.path("ca.pem"), bench.path("device.pem"), bench.path("device.key"));
    let session = bench.path("session");
    let client = ["s_client", "-connect", &address, "-CAfile", &ca, "-cert", &leaf, "-key", &key];
    let output = run(openssl, &[&client[..], &["-sess_out", &session]].concat(), &[]).await;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("TLSv1.3") && told.contains("Verify return code: 0"), "{told}");
    assert!(!PathBuf::from(&session).exists(), "no ticket was given");
    let old = run(openssl, &[&client[..], &["-tls1_2"]].concat(), &[]).await;
    assert!(String::from_utf8_lossy(&old.stderr).contains("alert protocol version"));
}

#[tokio::test(flavor = "multi_thread")]
async fn strongswan_enrols_over_tls_1_3_and_not_below() {
    // Goal: E1. Method: `pki --estca` and `--est` with a token; a second token's use; the default of TLS 1.2.
    let (Some(pki), Some(openssl)) = (require_package("pki"), require_package("openssl")) else { return };
    let bench = Bench::start().await;
    let (ca, est) = (bench.path("ca.pem"), bench.est());
    write(&bench.path("strongswan.conf"), "pki {\n tls {\n  version_max = 1.3\n }\n}\n");
    let conf = bench.path("strongswan.conf");
    let modern = [("STRONGSWAN_CONF", conf.as_str())];
    let got = bench.path("got.pem");
    let estca = ["--estca", "--url", &est, "--cacert", &ca, "--caout", &got, "--outform", "pem", "--force"];
    done(&pki, &estca, &modern).await;
    let certificates = std::fs::read_dir(bench.folder.path()).expect("listed").filter_map(Result::ok);
    let got: Vec<_> =
        certificates.filter(|entry| entry.file_name().to_string_lossy().starts_with("got")).collect();
    assert_eq!(got.len(), 2, "issuing and root");
    let key = bench.path("k.pem");
    write(&key, done(&pki, &["--gen", "--type", "ecdsa", "--size", "256", "--outform", "pem"], &[]).await);
    let csr = bench.path("k.csr");
    write(&csr, done(&pki, &["--req", "--in", &key, "--type", "ecdsa", "--dn", "CN=SN-0002"], &[]).await);
    let user = format!("SN-0002:{}", bench.token("SN-0002").await);
    let enrol =
        ["--est", "--url", &est, "--in", &csr, "--cacert", &ca, "--userpass", &user, "--outform", "pem"];
    let leaf = bench.path("k.crt");
    write(&leaf, done(&pki, &enrol, &modern).await);
    let subject = words(&openssl, &["x509", "-in", &leaf, "-noout", "-subject"]).await;
    assert!(subject.contains("serialNumber = SN-0002"), "{subject}");
    let public = |form: &[&str]| {
        let (openssl, form): (PathBuf, Vec<String>) =
            (openssl.clone(), form.iter().map(|part| (*part).to_owned()).collect());
        async move { words(&openssl, &form.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    assert_eq!(
        public(&["x509", "-in", &leaf, "-noout", "-pubkey"]).await,
        public(&["ec", "-in", &key, "-pubout"]).await
    );
    let wrong = [
        "--est",
        "--url",
        &est,
        "--in",
        &csr,
        "--cacert",
        &ca,
        "--userpass",
        "SN-0002:not-a-token-of-this-server",
        "--outform",
        "pem",
    ];
    let refused = run(&pki, &wrong, &modern).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("401"));
    assert!(!run(&pki, &enrol, &[]).await.status.success(), "TLS 1.2 is not spoken");
    bench.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bouncy_castle_enrols() {
    // Goal: E2. Method: our fifteen lines of Java: CA certificates, then a certificate after the 401 that it needs.
    let (Some(java), Some(javac)) = (require_package("java"), require_package("javac")) else { return };
    let jars: Option<Vec<PathBuf>> = JARS.iter().map(|(jar, package)| require_file(jar, package)).collect();
    let Some(jars) = jars else { return };
    let bench = Bench::start().await;
    let folder = bench.folder.path().to_str().expect("a path of text");
    let jars = jars.iter().map(|jar| jar.display().to_string());
    let classes = jars.chain([folder.to_owned()]).collect::<Vec<_>>().join(":");
    write(&bench.path("EstClient.java"), JAVA);
    done(&javac, &["-cp", &classes, "-d", folder, &bench.path("EstClient.java")], &[]).await;
    let (host, token) = (bench.est().replace("https://", ""), bench.token("SN-0003").await);
    let quick = ["-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", &classes, "EstClient"];
    let told = words(&java, &[&quick[..], &[&host, &bench.path("ca.pem"), "SN-0003", &token]].concat()).await;
    assert!(told.contains("certificates 2\n"), "{told}");
    assert!(told.contains("subject CN=") && told.contains("SN-0003"), "{told}");
    bench.server.stop().await;
}
