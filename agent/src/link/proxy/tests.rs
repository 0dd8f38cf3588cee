//! Tests of the proxy: what it is told, and that each of its refusals is named as its own.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use cordon_proto::checkin::WaitRequest;

use super::*;
use crate::identity::tests::trusted_clock;
use crate::link::tests::Site;
use crate::link::{Link, LinkError, Patience, Retry};
use crate::tls::Route;

const ASK: WaitRequest = WaitRequest { token: 2, max_s: 0 };

fn parsed(url: &str, auth_file: Option<&str>) -> Result<Option<Proxy>, (&'static str, &'static str)> {
    Proxy::parse(Some(url.to_owned()), auth_file.map(PathBuf::from))
}

/// A proxy that answers every CONNECT with this head and hangs up; and the heads it was sent.
pub(crate) fn answering(head: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let url = format!("http://{}", listener.local_addr().expect("is bound"));
    let (asked_at, asked) = channel();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.expect("is asked");
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|read| read == 1) {
                request.push(byte[0]);
            }
            let _ = client.write_all(head.as_bytes());
            if asked_at.send(String::from_utf8_lossy(&request).into_owned()).is_err() {
                return;
            }
        }
    });
    (url, asked)
}

fn through(site: &Site, proxy: Proxy) -> Result<Link, TlsError> {
    let route = Route { host: "localhost".to_owned(), proxy: Some(proxy), ..Route::default() };
    Link::new(&site.identity, &route, trusted_clock(), Patience::default())
}

async fn fault_of(head: &'static str) -> LinkError {
    let site = Site::new().await;
    let (url, _asked) = answering(head);
    let proxy = parsed(&url, None).expect("is read").expect("is one");
    through(&site, proxy).expect("is built").wait(&ASK).await.expect_err("there is no tunnel")
}

#[tokio::test]
async fn a_proxy_that_wants_a_name_is_named_as_the_cause_and_not_pressed() {
    // Goal: 407 is told from a broken network, and no account gets locked. Method: a proxy that answers it.
    let error =
        fault_of("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n").await;
    assert_eq!((&error, error.retry()), (&LinkError::Proxy(ProxyFault::Unauthorised), Retry::Slowly));
    let said = error.to_string();
    assert!(
        said.contains("the proxy asks for a name and password") && said.contains("proxy_auth_file"),
        "{said}"
    );
}

#[tokio::test]
async fn a_proxy_that_refuses_or_hangs_up_is_named_too() {
    // Goal: the network team learns that it is asked. Method: a refusal, and an answer that never comes.
    for head in ["HTTP/1.1 403 Filtered\r\n\r\n", ""] {
        let error = fault_of(head).await;
        assert!(matches!(error, LinkError::Proxy(ProxyFault::Refused(_))), "{head:?}: {error:?}");
        assert_eq!(error.retry(), Retry::Soon);
        assert!(error.to_string().contains("the proxy opens no tunnel"), "{error}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_down_is_told_from_a_server_that_is() {
    // Goal: people look in the right place. Method: a closed port as proxy.
    let site = Site::new().await;
    // Bound, and never listening: nobody else may open this port.
    let closed = tokio::net::TcpSocket::new_v4().expect("is made");
    closed.bind(([127, 0, 0, 1], 0).into()).expect("binds");
    let url = format!("http://{}", closed.local_addr().expect("is bound"));
    let proxy = parsed(&url, None).expect("is read").expect("is one");
    let error = through(&site, proxy).expect("is built").wait(&ASK).await.expect_err("nobody is there");
    assert!(matches!(&error, LinkError::Proxy(ProxyFault::Unreachable(cause)) if cause.contains("refused")));
    assert!(error.to_string().starts_with("the proxy cannot be reached"), "{error}");
}

#[tokio::test]
async fn name_and_password_come_from_a_private_file_and_leave_for_the_proxy_alone() {
    // Goal: RFC 7617 towards the proxy, and the refusal of an open file. Method: the head the proxy reads; then modes
    // and forms.
    let site = Site::new().await;
    let (url, asked) = answering("HTTP/1.1 403 Filtered\r\n\r\n");
    let path = site.state().join("proxy-auth");
    let write = |text: &str, mode| {
        std::fs::write(&path, text).expect("writes");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("changes the mode");
    };
    let proxy = Proxy::parse(Some(url), Some(path.clone())).expect("is read").expect("is one");
    write("pump:s3cret:with colon\n", 0o600);
    let link = through(&site, proxy.clone()).expect("is built");
    link.wait(&ASK).await.expect_err("there is no tunnel");
    let head = asked.recv().expect("was asked").to_lowercase();
    assert!(head.contains("proxy-authorization: basic chvtcdpzm2nyzxq6d2l0acbjb2xvbg=="), "{head}");
    assert!(!format!("{proxy:?} {link:?}").contains("s3cret"));
    write("pump:s3cret", 0o640);
    let error = through(&site, proxy.clone()).expect_err("others may read it").to_string();
    assert!(error.contains("proxy-auth has mode 640") && error.contains("chmod 600"), "{error}");
    for wrong in ["", "pump", ":s3cret", "pump:s3cret\nmore", "\u{0}\n"] {
        write(wrong, 0o600);
        let error = through(&site, proxy.clone()).expect_err(wrong).to_string();
        assert!(error.contains("must hold one line"), "{error}");
    }
}

#[test]
fn secrets_in_the_url_and_other_kinds_of_proxy_are_refused_in_words() {
    // Goal: no password in a file that everybody reads. Method: each wrong setting.
    let (key, why) = parsed("http://pump:s3cret@proxy:3128", None).expect_err("holds a password");
    assert!(key == "proxy" && why.contains("proxy_auth_file") && why.contains("0600"));
    assert_eq!(parsed("socks5://proxy", None).expect_err("is no HTTP proxy").0, "proxy");
    let (key, _) = Proxy::parse(None, Some("auth".into())).expect_err("names no proxy");
    assert_eq!(key, "proxy_auth_file");
    assert!(parsed("http://proxy:3128", Some("auth")).is_ok());
    assert_eq!(Proxy::parse(None, None), Ok(None));
}
