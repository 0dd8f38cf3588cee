//! Enrolment as foreign clients do it: curl with OpenSSL, strongSwan's `pki`, Bouncy Castle.
//!
//! They are the judges of what we believe EST (RFC 7030) to be, so none of our own code reads their results but to
//! compare them. A missing program is skipped out loud. The server is the real one, on loopback, on a free port.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use cordon_proto::ids::{Sha256, Text};
use cordon_server::app::Stated;
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

/// A client on Bouncy Castle: CA certificates, a certificate by token, the next one by the former, and one that waits.
const JAVA: &str = r#"
import java.io.*;
import java.security.*;
import java.security.cert.*;
import java.security.spec.*;
import java.util.*;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.est.*;
import org.bouncycastle.est.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequestBuilder;

public class EstClient {
  static KeyPair keys() throws Exception {
    KeyPairGenerator maker = KeyPairGenerator.getInstance("EC");
    maker.initialize(new ECGenParameterSpec("secp256r1"));
    return maker.generateKeyPair();
  }

  static PKCS10CertificationRequest request(String serial, KeyPair keys) throws Exception {
    return new JcaPKCS10CertificationRequestBuilder(new X500Name("CN=" + serial), keys.getPublic())
        .build(new JcaContentSignerBuilder("SHA256withECDSA").build(keys.getPrivate()));
  }

  interface Ask<T> {
    T once() throws Exception;
  }

  // A machine that stands still may need longer for a handshake than the server waits; what the server refuses, it
  // refuses twice.
  static <T> T twice(Ask<T> ask) throws Exception {
    try {
      return ask.once();
    } catch (Exception first) {
      return ask.once();
    }
  }

  static X509CertificateHolder only(EnrollmentResponse reply) {
    return reply.getStore().getMatches(null).iterator().next();
  }

  public static void main(String[] a) throws Exception {
    Security.addProvider(new BouncyCastleProvider());
    X509Certificate root;
    try (InputStream in = new FileInputStream(a[1])) {
      root = (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
    }
    var trust = JcaJceUtils.getCertPathTrustManager(Collections.singleton(new TrustAnchor(root, null)), null);
    ESTService est = new JsseESTServiceBuilder(a[0], trust).build();
    System.out.println("certificates " + twice(est::getCACerts).getCertificateStore().getMatches(null).size());
    KeyPair first = keys();
    var auth = new JcaHttpAuthBuilder(a[2], a[3].toCharArray()).build();
    var asked = request(a[2], first);
    X509CertificateHolder leaf = only(twice(() -> est.simpleEnroll(false, asked, auth)));
    System.out.println("subject " + leaf.getSubject());
    KeyStore store = KeyStore.getInstance("PKCS12");
    store.load(null, null);
    var chain = new java.security.cert.Certificate[] { new JcaX509CertificateConverter().getCertificate(leaf) };
    store.setKeyEntry("device", first.getPrivate(), "secret".toCharArray(), chain);
    var managers = JcaJceUtils.createKeyManagerFactory(
        javax.net.ssl.KeyManagerFactory.getDefaultAlgorithm(), null, store, "secret".toCharArray()).getKeyManagers();
    ESTService known = new JsseESTServiceBuilder(a[0], trust).withKeyManagers(managers).build();
    var renewal = request(a[2], keys());
    X509CertificateHolder next = only(twice(() -> known.simpleEnroll(true, renewal, null)));
    System.out.println("renewed " + next.getSubject() + " " + !next.equals(leaf));
    var second = new JcaHttpAuthBuilder(a[2], a[4].toCharArray()).build();
    var another = request(a[2], keys());
    EnrollmentResponse reply = twice(() -> est.simpleEnroll(false, another, second));
    System.out.println("waits " + !reply.isCompleted());
    for (int looks = 0; looks < 480 && !reply.isCompleted(); looks++) {
      Thread.sleep(250);
      EnrollmentResponse waiting = reply;
      if (waiting.canRetry()) reply = twice(() -> est.simpleEnroll(waiting));
    }
    System.out.println("approved " + only(reply).getSubject());
  }
}
"#;

struct Bench {
    server: Server,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(sets: &[&str]) -> Self {
        Self::open(tempfile::tempdir().expect("a folder"), sets).await
    }

    async fn open(folder: tempfile::TempDir, more: &[&str]) -> Self {
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
        let ports = ["enrolment", "device", "operator"].map(|plane| format!("{plane}.listen=127.0.0.1:0"));
        let sets: Vec<String> = ports.into_iter().chain(more.iter().map(|set| (*set).to_owned())).collect();
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

    /// Says yes to the key that asks for this serial, once one does.
    async fn approve(&self, serial: &str) {
        let app = &self.server.app;
        for _ in 0..2400 {
            let devices = app.fleet.by_serial(&Text::lossy(serial));
            let asking =
                devices.first().and_then(|member| Some((member.id(), member.device.asking.clone()?)));
            if let Some((id, asking)) = asking {
                let stated = Stated { model: Some(Text::lossy("VP-3")), ..Stated::default() };
                let reason = Text::lossy("compared at the bed");
                app.approve((id, asking.key), &stated, &reason, &person()).await.expect("approved");
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nobody asked for {serial}");
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

/// strongSwan's client with the version of TLS that it may speak.
struct Pki<'a> {
    program: &'a Path,
    openssl: &'a Path,
    bench: &'a Bench,
    conf: Option<String>,
}

impl Pki<'_> {
    fn modern(mut self) -> Self {
        let conf = self.bench.path("strongswan.conf");
        write(&conf, "pki {\n tls {\n  version_max = 1.3\n }\n}\n");
        self.conf = Some(conf);
        self
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let conf = self.conf.as_deref().map(|conf| ("STRONGSWAN_CONF", conf));
        run(self.program, arguments, conf.as_slice()).await
    }

    async fn done(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.run(arguments).await;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {words}");
        output.stdout
    }

    /// A new key with its request, as two files.
    async fn request(&self, name: &str, serial: &str) -> (String, String) {
        let (key, csr) = (self.bench.path(&format!("{name}.pem")), self.bench.path(&format!("{name}.csr")));
        let made = self.done(&["--gen", "--type", "ecdsa", "--size", "256", "--outform", "pem"]).await;
        write(&key, made);
        let dn = format!("CN={serial}");
        write(&csr, self.done(&["--req", "--in", &key, "--type", "ecdsa", "--dn", &dn]).await);
        (key, csr)
    }

    async fn est(&self, csr: &str, more: &[&str]) -> Output {
        let (url, ca) = (self.bench.est(), self.bench.path("ca.pem"));
        let asks = ["--est", "--url", &url, "--in", csr, "--cacert", &ca, "--outform", "pem"];
        self.run(&[&asks[..], more].concat()).await
    }

    /// A certificate for this request, of which the key is checked.
    async fn certificate(&self, (key, csr): &(String, String), more: &[&str]) -> String {
        let output = self.est(csr, more).await;
        assert!(output.status.success(), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
        let leaf = format!("{csr}.crt");
        write(&leaf, &output.stdout);
        let of_leaf = words(self.openssl, &["x509", "-in", &leaf, "-noout", "-pubkey"]).await;
        assert_eq!(of_leaf, words(self.openssl, &["ec", "-in", key, "-pubout"]).await);
        leaf
    }

    /// CA certificates, a token, a renewal by the former certificate, and a wait for a person.
    async fn whole_flow(&self, serial: &str) {
        let bench = self.bench;
        let (est, ca, got) = (bench.est(), bench.path("ca.pem"), bench.path("got.pem"));
        let estca =
            ["--estca", "--url", &est, "--cacert", &ca, "--caout", &got, "--outform", "pem", "--force"];
        self.done(&estca).await;
        let certificates = std::fs::read_dir(bench.folder.path()).expect("listed").filter_map(Result::ok);
        let got = certificates.filter(|entry| entry.file_name().to_string_lossy().starts_with("got"));
        assert_eq!(got.count(), 2, "issuing and root");
        let user = format!("{serial}:{}", bench.token(serial).await);
        let first = self.request("first", serial).await;
        let leaf = self.certificate(&first, &["--userpass", &user]).await;
        let subject = words(self.openssl, &["x509", "-in", &leaf, "-noout", "-subject"]).await;
        assert!(subject.contains(&format!("serialNumber = {serial}")), "{subject}");
        let second = self.request("second", serial).await;
        let next = self.certificate(&second, &["--cert", &leaf, "--key", &first.0]).await;
        let fingerprint =
            Sha256::of(&done(self.openssl, &["x509", "-in", &next, "-outform", "DER"], &[]).await);
        let member = bench.server.app.fleet.by_leaf(&fingerprint).expect("in the table");
        assert_eq!(
            member.device.next.as_ref().map(|next| next.leaf),
            Some(fingerprint),
            "handed out, silent"
        );
        let stranger = format!("{serial}-new");
        let third = self.request("third", &stranger).await;
        let polls = ["--interval", "1", "--maxpolltime", "60"];
        let (leaf, ()) = tokio::join!(self.certificate(&third, &polls), bench.approve(&stranger));
        let subject = words(self.openssl, &["x509", "-in", &leaf, "-noout", "-subject"]).await;
        assert!(subject.contains(&stranger), "{subject}");
        let wrong = format!("{serial}:not-a-token-of-this-server");
        let refused = self.est(&third.1, &["--userpass", &wrong]).await;
        assert!(String::from_utf8_lossy(&refused.stderr).contains("401"));
    }
}

const OPEN: [&str; 2] = ["enrolment.approval_queue=true", "enrolment.approval_retry_s=1"];

#[tokio::test(flavor = "multi_thread")]
async fn strongswan_enrols_renews_and_waits_over_tls_1_3_and_not_below() {
    // Goal: E1. Method: `pki --estca` and `--est` with a token, with the former certificate, with nothing until a person
    // says yes; the default of TLS 1.2 is refused.
    let (Some(pki), Some(openssl)) = (require_package("pki"), require_package("openssl")) else { return };
    let bench = Bench::start_with(&OPEN).await;
    let client = Pki { program: &pki, openssl: &openssl, bench: &bench, conf: None };
    let (_, csr) = client.request("old", "SN-0004").await;
    let user = format!("SN-0004:{}", bench.token("SN-0004").await);
    assert!(!client.est(&csr, &["--userpass", &user]).await.status.success(), "TLS 1.2 is not spoken");
    client.modern().whole_flow("SN-0002").await;
    bench.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strongswan_does_the_same_over_tls_1_2_where_the_owner_allows_it() {
    // Goal: E1 for clients that know nothing newer. Method: the same flow with its default, TLS 1.2, allowed.
    let (Some(pki), Some(openssl)) = (require_package("pki"), require_package("openssl")) else { return };
    let bench = Bench::start_with(&[&OPEN[..], &["enrolment.tls12=true"]].concat()).await;
    let client = Pki { program: &pki, openssl: &openssl, bench: &bench, conf: None };
    client.whole_flow("SN-0005").await;
    let address = format!("127.0.0.1:{}", bench.server.ready.enrolment.port());
    let weak =
        ["s_client", "-connect", &address, "-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384:AES256-SHA"];
    assert!(!run(&openssl, &weak, &[]).await.status.success(), "forward secrecy and our kind of key alone");
    bench.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bouncy_castle_enrols_renews_and_waits() {
    // Goal: E2. Method: our lines of Java: CA certificates, a certificate after the 401 that it needs, the next one out
    // of a key store, and a second key that waits until a person says yes.
    let (Some(java), Some(javac)) = (require_package("java"), require_package("javac")) else { return };
    let jars: Option<Vec<PathBuf>> = JARS.iter().map(|(jar, package)| require_file(jar, package)).collect();
    let Some(jars) = jars else { return };
    let bench = Bench::start_with(&["enrolment.approval_retry_s=1"]).await;
    let folder = bench.folder.path().to_str().expect("a path of text");
    let jars = jars.iter().map(|jar| jar.display().to_string());
    let classes = jars.chain([folder.to_owned()]).collect::<Vec<_>>().join(":");
    write(&bench.path("EstClient.java"), JAVA);
    done(&javac, &["-cp", &classes, "-d", folder, &bench.path("EstClient.java")], &[]).await;
    let (host, ca) = (bench.est().replace("https://", ""), bench.path("ca.pem"));
    let (token, second) = (bench.token("SN-0003").await, bench.token("SN-0003").await);
    let quick = ["-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", &classes, "EstClient"];
    let asks = [&quick[..], &[&host, &ca, "SN-0003", &token, &second]].concat();
    let (told, ()) = tokio::join!(words(&java, &asks), bench.approve("SN-0003"));
    assert!(told.contains("certificates 2\n"), "{told}");
    assert!(told.contains("subject CN=") && told.contains("SN-0003"), "{told}");
    for step in ["renewed ", "waits true\n", "approved "] {
        assert!(told.contains(step), "{step} in {told}");
    }
    bench.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_and_openssl_enrol_by_birth_certificate_and_renew() {
    // Goal: a maker's birth certificate and the next certificate, by clients that know nothing of EST. Method: OpenSSL
    // plays the maker with RSA; curl shows the birth certificate, then the leaf; a strange maker's is refused.
    let (Some(curl), Some(openssl)) = (require_package("curl"), require_package("openssl")) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a path of text").to_owned();
    // Without an extension OpenSSL would write a certificate of version 1, which nobody takes.
    write(&path("leaf.ext"), "basicConstraints=critical,CA:FALSE\n");
    for maker in ["halden", "stranger"] {
        let (key, ca) = (path(&format!("{maker}.key")), path(&format!("{maker}.pem")));
        let subject = format!("/O={maker}/CN=Device CA");
        let made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", &subject, "-days", "3650"];
        done(&openssl, &[&made[..], &["-keyout", &key, "-out", &ca]].concat(), &[]).await;
        let (birth, wish) = (path(&format!("{maker}-birth.key")), path(&format!("{maker}-birth.csr")));
        let born = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/O=x/serialNumber=SN-0006"];
        done(&openssl, &[&born[..], &["-keyout", &birth, "-out", &wish]].concat(), &[]).await;
        let leaf = path(&format!("{maker}-birth.pem"));
        let sign =
            ["x509", "-req", "-in", &wish, "-CA", &ca, "-CAkey", &key, "-CAcreateserial", "-days", "3650"];
        done(&openssl, &[&sign[..], &["-extfile", &path("leaf.ext"), "-out", &leaf]].concat(), &[]).await;
    }
    let anchor =
        "enrolment.anchor=[{name='halden',certificates='halden.pem',manufacturer='Halden',models=['VP-3']}]";
    let bench = Bench::open(folder, &[anchor]).await;
    bench.token("SN-0006").await;
    let asks = Curl { curl: &curl, openssl: &openssl, bench: &bench };
    let first = asks.request("first", "SN-0006").await;
    assert_eq!(asks.simple("enroll", &first, "stranger-birth").await, None);
    let leaf = asks.simple("enroll", &first, "halden-birth").await.expect("let in");
    write(&bench.path("first.pem"), &leaf);
    let second = asks.request("second", "SN-0006").await;
    let next = asks.simple("reenroll", &second, "first").await.expect("renewed");
    assert_ne!(leaf, next);
    assert_eq!(asks.simple("reenroll", &first, "halden-birth").await, None, "birth is no identity");
    bench.server.stop().await;
}

/// curl with OpenSSL beside it.
struct Curl<'a> {
    curl: &'a Path,
    openssl: &'a Path,
    bench: &'a Bench,
}

impl Curl<'_> {
    /// A new key `NAME.key` with its request in base64.
    async fn request(&self, name: &str, serial: &str) -> String {
        let (key, csr) = (self.bench.path(&format!("{name}.key")), self.bench.path(&format!("{name}.csr")));
        done(self.openssl, &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key], &[]).await;
        let subject = format!("/CN={serial}");
        let made = ["req", "-new", "-key", &key, "-subj", &subject, "-outform", "DER", "-out", &csr];
        done(self.openssl, &made, &[]).await;
        let body = format!("{csr}.b64");
        write(&body, done(self.openssl, &["base64", "-in", &csr], &[]).await);
        body
    }

    /// A certificate for the request, over a connection that shows `shown.pem`.
    async fn simple(&self, act: &str, request: &str, shown: &str) -> Option<String> {
        let bench = self.bench;
        let (ca, url) = (bench.path("ca.pem"), format!("{}/.well-known/est/simple{act}", bench.est()));
        let (cert, key) = (bench.path(&format!("{shown}.pem")), bench.path(&format!("{shown}.key")));
        let (body, head) = (format!("@{request}"), "Content-Type: application/pkcs10");
        let asks = ["-sS", "--fail", "--cacert", &ca, "--cert", &cert, "--key", &key, "-H", head];
        let output = run(self.curl, &[&asks[..], &["--data-binary", &body, &url]].concat(), &[]).await;
        if !output.status.success() {
            return None;
        }
        let (text, der) = (format!("{request}.reply"), format!("{request}.p7"));
        write(&text, &output.stdout);
        write(&der, done(self.openssl, &["base64", "-d", "-A", "-in", &text], &[]).await);
        Some(words(self.openssl, &["pkcs7", "-inform", "DER", "-in", &der, "-print_certs"]).await)
    }
}
