//! `rollouts watch` against a server that plays a rollout step by step.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::json;

use super::*;

/// A server that answers each question for the rollout with the next of these states, the last one again and again; then,
/// after `gone` answers, with nothing at all.
fn scripted(states: Vec<Value>, gone: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut asked = 0;
        for stream in listener.incoming().take(gone) {
            let mut stream = stream.unwrap();
            let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
            while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                let read = stream.read(&mut buffer).unwrap();
                head.extend_from_slice(&buffer[..read]);
            }
            let answer = if head.starts_with(b"GET /api/v1/rollouts/r-1/reasons ") {
                json!({"reasons": [{"code": "in-use", "sentence": "a patient is attached", "count": 2, "waves": [1]}]})
            } else {
                let state = states[asked.min(states.len() - 1)].clone();
                asked += 1;
                state
            };
            let status = answer.get("status").and_then(Value::as_u64).unwrap_or(200);
            let body = answer.to_string();
            let length = body.len();
            let text =
                format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(text.as_bytes()).unwrap();
        }
    });
    address
}

/// A rollout of one wave of four, in this state, with so many confirmed and failed.
fn standing(state: &str, reason: Option<&str>, confirmed: u32, failed: u32) -> Value {
    json!({
        "id": "r-1", "state": state,
        "rollout": {"waves": [{"name": "canary"}], "state": {"kind": state, "reason": reason}},
        "waves": [{"confirmed": confirmed, "rolled_back": failed, "waiting": 4 - confirmed - failed}],
    })
}

fn watched(states: Vec<Value>, gone: usize) -> Outcome {
    let desk = Desk::new();
    let server = scripted(states, gone);
    desk.online(&server, &["rollouts", "watch", "r-1", "--every", "1", "--lines"])
}

#[test]
fn a_rollout_is_followed_to_its_end_and_the_exit_status_says_which() {
    // Goal: a script can wait for a rollout. Method: one that finishes, one that halts, one that a person stopped, a
    // server that goes away. Each end has its own status.
    let (status, out, shown) = watched(
        vec![
            standing("running", None, 1, 0),
            standing("running", None, 1, 0),
            standing("finished", None, 4, 0),
        ],
        99,
    );
    assert_eq!((status, out.as_str()), (0, "r-1: finished\n"), "{shown}");
    let wanted = "running\ncanary: 1 of 4 confirmed, 3 waiting\n  2 in-use in wave 1: a patient is attached\nfinished\n\
                  canary: 4 of 4 confirmed\n";
    assert_eq!(shown, wanted, "a line for each change and no other");
    let why = "2 of 4 finished devices failed, at least 15.0 %; the limit is 2 %";
    let (status, out, shown) =
        watched(vec![standing("running", None, 1, 0), standing("halted", Some(why), 2, 2)], 99);
    assert_eq!((status, out.as_str()), (1, ""), "{shown}");
    let problem: Value = serde_json::from_str(shown.lines().last().unwrap()).unwrap();
    assert_eq!(problem["detail"], format!("r-1 is halted: {why}"));
    assert_eq!(problem["waves"][0]["counts"]["rolled_back"], 2);
    assert!(shown.contains(&format!("halted: {why}\ncanary: 2 of 4 confirmed, 2 rolled back\n")), "{shown}");
    let stopped = watched(vec![standing("stopped", Some("the ward moves tonight"), 0, 0)], 99);
    assert!(refused(stopped).contains("the ward moves tonight"));
    assert_eq!(watched(vec![standing("running", None, 0, 0)], 2).0, 3, "the server is gone");
}

#[test]
fn a_server_that_cannot_answer_now_is_a_missed_look_and_no_stopped_rollout() {
    // Goal: 1 means that the rollout was stopped, and nothing else. Method: a server that drains behind a proxy and comes
    // back; one that stays away behind its proxy; one that refuses the question.
    let (drains, absent) = (json!({"status": 503, "detail": "the server stops"}), json!({"status": 502}));
    let states =
        vec![standing("running", None, 1, 0), drains, absent.clone(), standing("finished", None, 4, 0)];
    let (status, out, shown) = watched(states, 99);
    assert_eq!((status, out.as_str()), (0, "r-1: finished\n"), "{shown}");
    assert_eq!(watched(vec![standing("running", None, 1, 0), absent], 99).0, 3, "nobody knows how it stands");
    let gone = watched(vec![json!({"status": 404, "detail": "there is no rollout r-1"})], 99);
    assert!(refused(gone).contains("no rollout r-1"));
}

#[test]
fn what_sets_a_rollout_going_carries_the_state_that_was_seen() {
    // Goal: nobody resumes what stopped again meanwhile. Method: each such act over a state that is shown, with the time
    // since which it stands; with a state that the person gives; stopping carries none.
    let desk = Desk::new();
    let (server, stored) = online::server::start("{}");
    let mut view = standing("halted", Some("2 of 4 failed"), 2, 2);
    view["rollout"]["state"]["at"] = 1_795_251_906.into();
    stored.lock().unwrap().insert("/api/v1/rollouts/r-1".to_owned(), view.to_string().into_bytes());
    let act = |command: &str, more: &[&str]| {
        let line = ["rollouts", command, "r-1", "--reason", "the ward moves tonight"];
        let (status, out, shown) = desk.online(&server, &[&line[..], more].concat());
        assert_eq!(status, 0, "{out}{shown}");
        let path = format!("/api/v1/rollouts/r-1/{}", if command == "halt" { "stop" } else { command });
        let sent: Value = serde_json::from_slice(&stored.lock().unwrap()[&path]).unwrap();
        (sent["seen"].clone(), shown)
    };
    for command in ["resume", "back", "finish"] {
        let (seen, shown) = act(command, &[]);
        assert_eq!(seen, "halted@1795251906", "{command}");
        assert!(
            shown.contains("r-1 is halted: 2 of 4 failed\n  canary: 2 of 4 confirmed, 2 rolled back\n"),
            "{shown}"
        );
        let (seen, shown) = act(command, &["--seen", "paused"]);
        assert_eq!((seen, shown.as_str()), ("paused".into(), ""), "{command}");
    }
    for command in ["pause", "halt", "abort"] {
        assert_eq!(act(command, &[]).0, Value::Null, "{command}");
    }
}
