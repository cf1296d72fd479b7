//! An HTTP server that says what it is told to, whatever it is asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What it was asked and what it answers.
#[derive(Debug, Default)]
struct Shared {
    answer: Mutex<String>,
    /// To requests of one method.
    other: Mutex<Option<(String, String)>>,
    asked: Mutex<Vec<String>>,
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
        let length = body.len();
        *self.shared.other.lock().unwrap() = None;
        *self.shared.answer.lock().unwrap() = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
    }

    /// From now on it answers this to one method, and all others as before.
    pub(crate) fn say_to(&self, method: &str, status: &str, headers: &str, body: &str) {
        let before = self.shared.answer.lock().unwrap().clone();
        self.say(status, headers, body);
        let answer = std::mem::replace(&mut *self.shared.answer.lock().unwrap(), before);
        *self.shared.other.lock().unwrap() = Some((format!("{method} "), answer));
    }

    /// The request lines so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }
}

fn answer(client: &TcpStream, shared: &Shared) {
    let mut reader = BufReader::new(client);
    let mut length = 0_u64;
    let mut first = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) <= 2 {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if first.is_empty() {
            first = line.trim().to_owned();
        }
    }
    let _ = std::io::copy(&mut reader.take(length), &mut std::io::sink());
    let answer = match &*shared.other.lock().unwrap() {
        Some((method, answer)) if first.starts_with(method.as_str()) => answer.clone(),
        _ => shared.answer.lock().unwrap().clone(),
    };
    // A HEAD is answered without a body.
    let answer = match first.starts_with("HEAD ") {
        true => answer.split_inclusive("\r\n\r\n").next().unwrap_or_default().to_owned(),
        false => answer,
    };
    shared.asked.lock().unwrap().push(first);
    let _ = { client }.write_all(answer.as_bytes());
}
