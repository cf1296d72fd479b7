//! Our server of Gemini's File Search (`tests/peers/gemini/`), and its control panel.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{PASSWORD, Peer, installed, request};

/// The server. Its key is [`PASSWORD`].
pub(crate) fn server() -> Gemini {
    let program = source("server.py");
    // Not among its arguments, where a test looks for secrets.
    let environment = [("FAKE_API_KEY", PASSWORD.to_owned())];
    let peer = Peer::start(&installed("venv/bin/python"), &environment, |port, _| {
        [program.to_str().unwrap(), "--port", &port.to_string()].map(str::to_owned).into()
    });
    Gemini { peer }
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/gemini").join(name)
}

/// Google's own client for Python against a server of its own.
pub(crate) fn python_sdk() -> Command {
    let mut command = Command::new(installed("venv/bin/python"));
    command.arg(source("test_with_sdk.py"));
    command
}

/// Google's own client for JavaScript against this server.
pub(crate) fn javascript_sdk(server: &Gemini) -> Command {
    // It finds its modules beside itself only.
    let node = installed("node");
    let program = node.join(format!("gemini_{}.mjs", server.peer.port));
    std::fs::copy(source("test_with_js_sdk.mjs"), &program).unwrap();
    let mut command = Command::new("node");
    command.arg(&program).arg(server.peer.http()).env("FAKE_API_KEY", PASSWORD);
    command
}

#[derive(Debug)]
pub(crate) struct Gemini {
    pub(crate) peer: Peer,
}

impl Gemini {
    /// `gemini://NAME?base=URL`
    pub(crate) fn url(&self, name: &str) -> String {
        format!("gemini://{name}?base={}", self.peer.http())
    }

    fn ask(&self, line: &str, body: &str) -> Value {
        let answer = request(
            self.peer.port,
            &format!(
                "{line} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nx-goog-api-key: {PASSWORD}\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                self.peer.port,
                body.len()
            ),
        );
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{line}: {answer}");
        serde_json::from_str(body).unwrap()
    }

    /// Changes settings, see DEFAULTS in server.py.
    pub(crate) fn set(&self, settings: &Value) {
        self.ask("POST /_fake/config", &settings.to_string());
    }

    /// The next request that fits suffers this.
    pub(crate) fn fault(&self, fault: &Value) {
        self.ask("POST /_fake/faults", &fault.to_string());
    }

    /// What it was asked: `GET /v1beta/...`, with the upload's command; without the control panel.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.log().iter().map(|entry| entry["line"].as_str().unwrap().to_owned()).collect()
    }

    /// The same with headers, queries and JSON.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.ask("GET /_fake/log", "").as_array().unwrap().clone()
    }

    /// How often a document was sent to the end.
    pub(crate) fn finalized(&self) -> usize {
        self.asked().iter().filter(|line| line.ends_with("finalize")).count()
    }

    /// All documents, as they are told.
    pub(crate) fn documents(&self) -> Vec<Value> {
        self.ask("GET /_fake/state", "")["documents"].as_array().unwrap().clone()
    }

    /// The names of all stores.
    pub(crate) fn stores(&self) -> Vec<String> {
        let state = self.ask("GET /_fake/state", "");
        state["stores"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    /// Makes a store, as another program would.
    pub(crate) fn make_store(&self, display_name: &str) -> String {
        let body = serde_json::json!({ "displayName": display_name }).to_string();
        self.ask("POST /v1beta/fileSearchStores", &body)["name"].as_str().unwrap().to_owned()
    }

    /// What failed turns after all.
    pub(crate) fn turn_searchable(&self) {
        self.ask("POST /_fake/turn", "{}");
    }

    /// Makes a second document like the first of that name; its name.
    pub(crate) fn copy_document(&self, display_name: &str) -> String {
        let body = serde_json::json!({ "displayName": display_name }).to_string();
        self.ask("POST /_fake/copy", &body)["copied"].as_str().unwrap().to_owned()
    }

    /// Deletes something, as another program would.
    pub(crate) fn delete(&self, name: &str) {
        self.ask(&format!("DELETE /v1beta/{name}?force=true"), "");
    }
}
