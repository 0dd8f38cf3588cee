//! A site's mirror for tests: plain HTTP on a loopback port, one image, and every way to serve it badly.
//!
//! It records what it was asked, head and all, so that a test sees what a mirror learns. Tests only.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How it serves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// As it should.
    Well,
    /// Everything from the first byte on, whatever was asked.
    WithoutRanges,
    /// The connection dies after so many bytes.
    Cut(usize),
    /// One byte in so many milliseconds.
    Drip(u64),
    /// This byte of the image is another.
    Lie(usize),
    /// One byte less than it says of the whole.
    Short,
    /// A body that never ends, and no word of its length.
    Endless,
    /// It has no such image.
    Missing,
    /// It sends somewhere else.
    Elsewhere,
}

/// A running mirror; it ends with the test process.
pub(crate) struct Mirror {
    pub(crate) url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Mirror {
    pub(crate) fn start(image: Vec<u8>, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let url = format!("http://127.0.0.1:{}/site", listener.local_addr().expect("is bound").port());
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (log, image) = (Arc::clone(&heads), Arc::new(image));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, image) = (Arc::clone(&log), Arc::clone(&image));
                thread::spawn(move || serve(stream, &log, &image, manner));
            }
        });
        Self { url, heads }
    }

    /// The heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic").clone()
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<String>>, image: &[u8], manner: Manner) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes=")?.split_once('-'));
    let from: usize = range.and_then(|(from, _)| from.parse().ok()).unwrap_or(0);
    let last: usize = range.and_then(|(_, last)| last.parse().ok()).unwrap_or(image.len() - 1);
    let asked_part = range.is_some() && !matches!(manner, Manner::WithoutRanges);
    log.lock().expect("no panic").push(head);
    let (from, last) = if asked_part { (from, last) } else { (0, image.len() - 1) };
    let mut body = image[from..=last].to_vec();
    if let Manner::Lie(at) = manner
        && (from..=last).contains(&at)
    {
        body[at - from] ^= 1;
    }
    if matches!(manner, Manner::Short) {
        body.pop();
    }
    let status = match (manner, from) {
        (Manner::Missing, _) => "404 x\r\n".to_owned(),
        (Manner::Elsewhere, _) => "302 x\r\nlocation: http://127.0.0.1:1/\r\n".to_owned(),
        _ if !asked_part => "200 x\r\n".to_owned(),
        _ => format!("206 x\r\ncontent-range: bytes {from}-{last}/{}\r\n", image.len()),
    };
    let length = match manner {
        Manner::Endless => String::new(),
        _ => format!("content-length: {}\r\n", body.len()),
    };
    stream.write_all(format!("HTTP/1.1 {status}{length}connection: close\r\n\r\n").as_bytes()).ok()?;
    match manner {
        Manner::Missing | Manner::Elsewhere => None,
        Manner::Cut(after) => stream.write_all(&body[..after.min(body.len())]).ok(),
        Manner::Drip(every_ms) => body.iter().try_for_each(|byte| {
            thread::sleep(Duration::from_millis(every_ms));
            stream.write_all(&[*byte]).ok()
        }),
        Manner::Endless => loop {
            stream.write_all(&body).ok()?;
        },
        Manner::Well | Manner::WithoutRanges | Manner::Lie(_) | Manner::Short => stream.write_all(&body).ok(),
    }
}
