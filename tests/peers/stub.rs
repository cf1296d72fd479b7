//! An HTTP server that says what it is told to, whatever it is asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What it was asked and what it answers.
#[derive(Debug, Default)]
struct Shared {
    answer: Mutex<String>,
    /// To requests that begin so.
    others: Mutex<Vec<(String, String)>>,
    asked: Mutex<Vec<String>>,
    /// All lines of what it was asked, but for bodies.
    heads: Mutex<Vec<String>>,
}

/// The server.
#[derive(Debug)]
pub(crate) struct Stub {
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

impl Stub {
    /// Answers this, with a length and the end of the connection added.
    pub(crate) fn saying(status: &str, headers: &str, body: &str) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::<Shared>::default();
        let stub = Stub { port, shared: Arc::clone(&shared) };
        stub.say(status, headers, body);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || answer(&client, &shared));
            }
        });
        stub
    }

    /// From now on it answers this.
    pub(crate) fn say(&self, status: &str, headers: &str, body: &str) {
        self.shared.others.lock().unwrap().clear();
        *self.shared.answer.lock().unwrap() = rendered(status, headers, body);
    }

    /// From now on it answers this to requests whose first line begins so, and to all others as before.
    pub(crate) fn say_to(&self, beginning: &str, status: &str, headers: &str, body: &str) {
        self.shared.others.lock().unwrap().push((beginning.to_owned(), rendered(status, headers, body)));
    }

    /// The requests so far, without their bodies.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }

    /// The request lines so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

fn rendered(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn answer(client: &TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(client);
    let mut length = 0_u64;
    let mut first = String::new();
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) <= 2 {
            break;
        }
        head.push_str(&line);
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if first.is_empty() {
            first = line.trim().to_owned();
        }
    }
    let _ = std::io::copy(&mut reader.take(length), &mut std::io::sink());
    let meant =
        shared.others.lock().unwrap().iter().find(|(begins, _)| first.starts_with(begins.as_str())).cloned();
    let answer = meant.map_or_else(|| shared.answer.lock().unwrap().clone(), |(_, answer)| answer);
    // A HEAD is answered without a body.
    let answer = match first.starts_with("HEAD ") {
        true => answer.split_inclusive("\r\n\r\n").next().unwrap_or_default().to_owned(),
        false => answer,
    };
    shared.heads.lock().unwrap().push(head);
    shared.asked.lock().unwrap().push(first);
    let _ = { client }.write_all(answer.as_bytes());
}
