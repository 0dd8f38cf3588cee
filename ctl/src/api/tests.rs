//! The client against a small server of our own: statuses, tokens, pages, and where plain HTTP may go.

use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::thread::JoinHandle;

/// Answers the given bodies in order, one connection each, and gives back the requests.
fn serve(answers: Vec<(u16, String)>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut seen = Vec::new();
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            seen.push(request(&mut stream));
            let head =
                format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).unwrap();
        }
        seen
    });
    (address, thread)
}

fn request(stream: &mut std::net::TcpStream) -> String {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).unwrap();
        text += &String::from_utf8_lossy(&buffer[..read]);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |n| n.parse().unwrap());
        if body.len() >= length {
            return text;
        }
    }
}

fn options(server: &str, folder: &tempfile::TempDir) -> Options {
    let token = folder.path().join("token");
    std::fs::write(&token, "secret-token\n").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    Options { server: Some(server.to_owned()), token_file: Some(token), ..Options::default() }
}

#[test]
fn requests_carry_the_token_and_refusals_carry_the_problem() {
    // Goal: one exchange of each kind. Method: a scripted server on loopback.
    let folder = tempfile::tempdir().unwrap();
    let answers = vec![
        (200, "{\"id\":1}".to_owned()),
        (409, "{\"title\":\"no\",\"detail\":\"taken\"}".to_owned()),
        (204, String::new()),
        (404, "{}".into()),
        (200, "{ }".into()),
    ];
    let (server, thread) = serve(answers);
    let api = Api::new(&options(&server, &folder)).unwrap();
    assert_eq!(api.post(&["tokens"], &serde_json::json!({"model": "VP-3"})).unwrap()["id"], 1);
    let refused = api.get(&["devices", "a/b?c"], &[("q", "x y".to_owned())]).unwrap_err();
    assert_eq!((refused.status(), refused.to_string().as_str()), (1, "taken"));
    let file = folder.path().join("image");
    std::fs::write(&file, vec![7; CHUNK_BYTES + 1]).unwrap();
    assert_eq!(api.put_file(&["targets", "00"], &file).unwrap(), Value::Null);
    assert_eq!(api.file(&["gone"]).unwrap(), None);
    assert_eq!(api.file(&["here"]).unwrap(), Some(b"{ }".to_vec()), "files come as they are");
    let seen = thread.join().unwrap();
    assert!(seen[0].starts_with("POST /api/v1/tokens ") && seen[0].ends_with("{\"model\":\"VP-3\"}"));
    assert!(seen.iter().all(|request| request.contains("authorization: Bearer secret-token\r\n")));
    assert!(seen[1].starts_with("GET /api/v1/devices/a%2Fb%3Fc?q=x+y "), "{}", seen[1]);
    assert!(seen[2].contains(&format!("content-length: {}\r\n", CHUNK_BYTES + 1)));
}

#[test]
fn lists_are_read_page_by_page_up_to_what_is_wanted() {
    // Goal: paging ends. Method: two pages, then a limit inside the first.
    let folder = tempfile::tempdir().unwrap();
    let page = |rows: &str, next: &str| (200, format!("{{\"devices\":[{rows}],\"next\":{next}}}"));
    let pages = Pages { path: &["devices"], rows: "devices", cursor: "after" };
    let (server, thread) =
        serve(vec![page("1,2", "\"2\""), page("3", "7"), page("4", "null"), page("1,2", "\"2\"")]);
    let api = Api::new(&options(&server, &folder)).unwrap();
    assert_eq!(api.list(&pages, &[], 10).unwrap().len(), 4);
    assert_eq!(api.list(&pages, &[], 1).unwrap().len(), 1);
    let seen = thread.join().unwrap();
    assert!(
        seen[1].starts_with("GET /api/v1/devices?after=2 ")
            && seen[2].starts_with("GET /api/v1/devices?after=7 ")
    );
}

#[test]
fn a_server_that_does_not_answer_is_no_refusal() {
    // Goal: exit 3 for monitoring scripts. Method: a port that is bound, so that nobody else opens it, and never
    // listened at.
    let folder = tempfile::tempdir().unwrap();
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = format!("http://{}", closed.local_addr().unwrap());
    let failure = Api::new(&options(&address, &folder)).unwrap().get(&["devices"], &[]).unwrap_err();
    assert_eq!(failure.status(), 3, "{failure}");
}

#[test]
fn a_token_goes_to_https_or_loopback_and_comes_from_a_closed_file() {
    // Goal: a token is not shown to the network nor left open. Method: addresses and modes.
    let folder = tempfile::tempdir().unwrap();
    let status =
        |server: &str| Api::new(&options(server, &folder)).map(drop).map_err(|failure| failure.status());
    for server in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
        assert_eq!(status(server), Ok(()), "{server}");
    }
    for server in
        ["http://10.0.0.1:1", "http://localhost.example", "https://cordon.example", "ftp://127.0.0.1", "x"]
    {
        assert_eq!(status(server), Err(2), "{server}");
    }
    let options = options("http://127.0.0.1:1", &folder);
    let token = options.token_file.clone().unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(Api::new(&options).map(drop).unwrap_err().status(), 1);
}
