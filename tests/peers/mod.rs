//! Real servers on loopback, started for a test and gone with it.
//!
//! They are installed by `tests/peers/install.sh`, which `test.sh` calls. One that is missing fails the test with a sentence
//! that says so.
#![allow(dead_code, unused_imports, unused_macros)]

pub(crate) mod gemini;
pub(crate) mod proxy;
pub(crate) mod stub;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Who may use the servers that check it.
pub(crate) const USER: &str = "shelfuser";
/// Its secret: a word that stands nowhere else, so that it can be looked for.
pub(crate) const PASSWORD: &str = "hunter2correcthorsebattery";

/// Ends the server when nobody holds its standard input any more, however the test's process ended; ends with the server.
const KEEPER: &str =
    r#"exec 3<&0; "$@" </dev/null 3<&- & server=$!; (cat <&3 >/dev/null; kill $server) & wait $server"#;

/// Longer than any of them takes to begin.
const LONG: Duration = Duration::from_secs(60);

/// A server. Its process ends with this value, and with the test's process at the latest.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) port: u16,
    pub(crate) dir: tempfile::TempDir,
    keeper: Child,
}

impl Peer {
    /// Starts a program that is to listen on the port that `arguments` are told.
    #[track_caller]
    fn start(
        program: &Path,
        environment: &[(&str, String)],
        arguments: impl FnOnce(u16, &Path) -> Vec<String>,
    ) -> Peer {
        assert!(
            program.exists(),
            "the server {} is not installed; run: tests/peers/install.sh",
            program.display()
        );
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(program)
            .args(arguments(port, dir.path()))
            .env("HOME", dir.path())
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(dir.path())
            .stdin(Stdio::piped())
            .stdout(std::fs::File::create(dir.path().join("stdout")).unwrap())
            .stderr(std::fs::File::create(dir.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let said = || std::fs::read_to_string(dir.path().join("stderr")).unwrap();
            assert!(begun.elapsed() < LONG, "{} does not listen: {}", program.display(), said());
            assert!(keeper.try_wait().unwrap().is_none(), "{} ended: {}", program.display(), said());
            std::thread::park_timeout(Duration::from_millis(5));
        }
        Peer { port, dir, keeper }
    }

    /// `http://127.0.0.1:PORT`
    pub(crate) fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it keeps its things in.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[expect(clippy::disallowed_methods, reason = "where cargo was told to put what it makes")]
fn installed(rel: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    Path::new(env!("CARGO_MANIFEST_DIR")).join(target).join("peers").join(rel)
}

fn rclone(kind: &str, more: &[&str]) -> Peer {
    rclone_of(&installed("venv/bin/rclone"), &[], kind, more)
}

/// rclone with what a directory has, that changes nothing of it.
pub(crate) fn rclone_read_only(kind: &str) -> Peer {
    rclone(kind, &["--read-only"])
}

/// rclone with a disk of so many bytes, which nobody else sees.
pub(crate) fn rclone_on_a_small_disk(kind: &str, bytes: u64) -> Peer {
    let script = format!("mount -t tmpfs -o size={bytes} tmpfs data && mkdir data/bucket && exec \"$@\"");
    let program = installed("venv/bin/rclone");
    assert!(program.exists(), "rclone is not installed; run: tests/peers/install.sh");
    let before = ["--mount", "sh", "-c", &script, "sh", program.to_str().unwrap()];
    rclone_of(Path::new("/usr/bin/unshare"), &before, kind, &[])
}

fn rclone_of(program: &Path, before: &[&str], kind: &str, more: &[&str]) -> Peer {
    // Not among its arguments, where a test looks for secrets.
    let environment = match kind {
        "s3" => vec![("RCLONE_AUTH_KEY", format!("\"{USER},{PASSWORD}\""))],
        _ => vec![("RCLONE_USER", USER.to_owned()), ("RCLONE_PASS", PASSWORD.to_owned())],
    };
    Peer::start(program, &environment, |port, dir| {
        let data = dir.join("data");
        std::fs::create_dir_all(data.join("bucket")).unwrap();
        let address = format!("127.0.0.1:{port}");
        let mut arguments: Vec<String> = before.iter().map(|argument| (*argument).to_owned()).collect();
        arguments.extend(["serve", kind, data.to_str().unwrap(), "--addr", &address].map(str::to_owned));
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        arguments
    })
}

/// rclone as an S3 server with one bucket, `bucket`. Checks signatures; takes conditions and ignores them.
pub(crate) fn rclone_s3() -> Peer {
    rclone("s3", &[])
}

/// rclone as a WebDAV server with one directory, `bucket`.
pub(crate) fn rclone_webdav() -> Peer {
    rclone("webdav", &[])
}

/// rclone as a WebDAV server over TLS, with a certificate that only it vouches for.
pub(crate) fn rclone_webdav_tls() -> Peer {
    let keys = tempfile::tempdir().unwrap();
    let (key, certificate) = (keys.path().join("key"), keys.path().join("certificate"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .expect("the program openssl is not installed; run: apt-get install openssl");
    assert!(made.status.success(), "{made:?}");
    rclone("webdav", &["--key", key.to_str().unwrap(), "--cert", certificate.to_str().unwrap()])
}

/// rclone as an SFTP server with one directory, `bucket`, and an ssh client with settings of its own.
pub(crate) fn rclone_sftp() -> (Peer, Vec<String>) {
    let keys = tempfile::tempdir().unwrap();
    for key in ["host", "user"] {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(keys.path().join(key))
            .status()
            .expect("the program ssh-keygen is not installed; run: apt-get install openssh-client");
        assert!(made.success());
    }
    let peer = rclone(
        "sftp",
        &[
            "--key",
            keys.path().join("host").to_str().unwrap(),
            "--authorized-keys",
            keys.path().join("user.pub").to_str().unwrap(),
        ],
    );
    // rclone has read its keys; ssh reads its own whenever it is called.
    let place = peer.dir.path().join("ssh");
    std::fs::create_dir(&place).unwrap();
    std::fs::copy(keys.path().join("user"), place.join("user")).unwrap();
    let host_key = std::fs::read_to_string(keys.path().join("host.pub")).unwrap();
    std::fs::write(place.join("known_hosts"), format!("[127.0.0.1]:{} {host_key}", peer.port)).unwrap();
    let config = format!(
        "IdentityFile {0}/user\nIdentitiesOnly yes\nUserKnownHostsFile {0}/known_hosts\nGlobalKnownHostsFile /dev/null\n",
        place.display()
    );
    std::fs::write(place.join("config"), config).unwrap();
    let ssh = vec!["ssh".to_owned(), "-F".to_owned(), place.join("config").to_str().unwrap().to_owned()];
    (peer, ssh)
}

/// OpenSSH's own SFTP server, over a pipe instead of a connection.
pub(crate) fn openssh_sftp() -> Vec<String> {
    let places =
        ["/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server", "/usr/libexec/openssh/sftp-server"];
    let program = places
        .into_iter()
        .find(|place| Path::new(place).exists())
        .expect("OpenSSH's sftp-server is not installed; run: apt-get install openssh-sftp-server");
    ["sh", "-c", &format!("exec {program}")].map(str::to_owned).into()
}

/// moto as an S3 server with one bucket, `bucket`. Decides conditions in one step; checks no signatures; takes small parts.
pub(crate) fn moto() -> Peer {
    let small_parts = [("S3_UPLOAD_PART_MIN_SIZE", "1024".to_owned())];
    let peer = Peer::start(&installed("venv/bin/moto_server"), &small_parts, |port, _| {
        ["-H", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned).into()
    });
    let answer = request(
        peer.port,
        "PUT /bucket HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    peer
}

/// Azurite's account, which is everybody's.
/// <https://learn.microsoft.com/azure/storage/common/storage-use-azurite#well-known-storage-account-and-key>
pub(crate) const AZURITE_ACCOUNT: &str = "devstoreaccount1";
pub(crate) const AZURITE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Azurite with one container, `container`.
pub(crate) fn azurite() -> Peer {
    let peer = Peer::start(&installed("node/node_modules/.bin/azurite-blob"), &[], |port, dir| {
        let mut arguments: Vec<String> =
            ["--blobHost", "127.0.0.1", "--silent", "--skipApiVersionCheck", "--loose"]
                .map(str::to_owned)
                .into();
        arguments.extend(["--blobPort".to_owned(), port.to_string()]);
        arguments.extend(["--location".to_owned(), dir.to_str().unwrap().to_owned()]);
        arguments
    });
    // Only a signed request makes a container, and the storage library makes none.
    const MAKE_CONTAINER: &str = r#"
        const [port, account, key] = process.argv.slice(1);
        const date = new Date().toUTCString();
        const headers = { "x-ms-date": date, "x-ms-version": "2021-08-06", "content-length": "0" };
        const canonical = `PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:${date}\nx-ms-version:2021-08-06\n/${account}/${account}/container\nrestype:container`;
        const signature = require("crypto").createHmac("sha256", Buffer.from(key, "base64")).update(canonical).digest("base64");
        headers.authorization = `SharedKey ${account}:${signature}`;
        const options = { port, host: "127.0.0.1", method: "PUT", headers, path: `/${account}/container?restype=container` };
        require("http").request(options, answer => { console.log(answer.statusCode); answer.resume(); }).end();
    "#;
    let made = Command::new("node")
        .args(["-e", MAKE_CONTAINER, &peer.port.to_string(), AZURITE_ACCOUNT, AZURITE_KEY])
        .output()
        .expect("the program node is not installed; Azurite needs it, too");
    assert_eq!(String::from_utf8_lossy(&made.stdout).trim(), "201", "{made:?}");
    peer
}

/// Google Cloud Storage with one bucket, `bucket`; see the script's head.
pub(crate) fn gcs() -> Peer {
    Peer::start(&installed("venv/bin/python3"), &[], |port, _| {
        vec![script("gcs.py"), port.to_string(), "bucket".to_owned()]
    })
}

/// Who we are at [`gcs`], as a federated identity: of all kinds of key the one whose file says where tokens are had.
pub(crate) fn gcs_key(peer: &Peer) -> String {
    let subject = peer.dir.path().join("subject");
    std::fs::write(&subject, "whoever asks").unwrap();
    serde_json::json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/of-tests",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{}/token", peer.http()),
        "credential_source": { "file": subject, "format": { "type": "text" } },
    })
    .to_string()
}

fn script(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name);
    path.to_str().unwrap().to_owned()
}

/// Chroma's own server, empty. It asks nobody who they are.
pub(crate) fn chroma() -> Peer {
    let peer = Peer::start(&installed("venv/bin/python3"), &[], |port, dir| {
        let data = dir.join("data").to_str().unwrap().to_owned();
        let port = port.to_string();
        let script = script("chroma_slim.py");
        [&script, "--path", &data, "--host", "127.0.0.1", "--port", &port].map(str::to_owned).into()
    });
    // It listens before it can answer.
    let begun = Instant::now();
    let ready = "GET /api/v2/healthcheck HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    while !request(peer.port, ready).starts_with("HTTP/1.1 200") {
        assert!(begun.elapsed() < LONG, "Chroma listens and does not answer");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    peer
}

/// Asks Chroma something about its usual database: the status, and what it said.
pub(crate) fn ask_chroma(
    port: u16,
    method: &str,
    path: &str,
    body: &serde_json::Value,
) -> (u16, serde_json::Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    let head = format!(
        "{method} /api/v2/tenants/default_tenant/databases/default_database/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let answer = request(port, &(head + &body));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(serde_json::Value::Null))
}

/// A small maker of embeddings that speaks OpenAI's `/v1/embeddings` and asks for [`PASSWORD`] as its key; see its head.
pub(crate) fn embedder() -> Peer {
    Peer::start(&installed("venv/bin/python3"), &[("EMBEDDER_KEY", PASSWORD.to_owned())], |port, _| {
        vec![script("embedder.py"), port.to_string()]
    })
}

/// A static model that is real: wordllama's table of 256 numbers a token, as the folder that `embed=` names.
pub(crate) fn static_model() -> tempfile::TempDir {
    let lib = std::fs::read_dir(installed("venv/lib"))
        .expect("the servers are not installed; run: tests/peers/install.sh")
        .map(|entry| entry.unwrap().path().join("site-packages/wordllama"))
        .find(|path| path.exists())
        .expect("wordllama is not installed; run: tests/peers/install.sh");
    let dir = tempfile::tempdir().unwrap();
    for (from, to) in [
        ("weights/l2_supercat_256.safetensors", "model.safetensors"),
        ("tokenizers/l2_supercat_tokenizer_config.json", "tokenizer.json"),
    ] {
        std::os::unix::fs::symlink(lib.join(from), dir.path().join(to)).unwrap();
    }
    dir
}

/// Sends a request as it is; everything that comes back.
pub(crate) fn request(port: u16, text: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
