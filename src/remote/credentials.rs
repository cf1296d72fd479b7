//! Where keys and passwords come from: what was given, a command that prints it, the environment, the family's own files.
//!
//! This is the one reader of the environment beside [`crate::config`]: a secret is read where it is used, so that it never
//! stands in a configuration that is printed, logged or kept. The storage library reads the rest itself, in the same way:
//! `~/.aws`, `GOOGLE_APPLICATION_CREDENTIALS`.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::http::Patience;
use super::secret::Secret;
use super::{Found, PartSizes, StoreError};

/// A password command that takes longer waits for a person who is not there.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// More than any secret has, in bytes: a service account's file.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// What opening a store takes beside its URL.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// A command that prints the secret, as a person would type it. It is run without a shell.
    pub password_command: Option<String>,
    /// What `store add` found out about it.
    pub found: Option<Found>,
    /// Who and with what, instead of what the environment says.
    pub login: Option<Login>,
    /// The `ssh` to call with its first arguments, instead of `SHELFLIST_SSH_COMMAND` and plain `ssh`.
    pub ssh: Option<Vec<String>>,
    /// How long to wait for the network.
    pub patience: Patience,
    /// How large contents are cut.
    #[doc(hidden)]
    pub parts: PartSizes,
}

impl Access {
    /// To a store that is known: with the command of its settings and what was found out about it.
    #[must_use]
    pub fn known(password_command: Option<&str>, found: Option<Found>) -> Self {
        Access { password_command: password_command.map(str::to_owned), found, ..Access::default() }
    }
}

/// Who and with what.
#[derive(Debug, Clone)]
pub struct Login {
    /// The user; S3's access key id.
    pub user: String,
    /// The password or secret key.
    pub secret: Secret,
}

#[expect(clippy::disallowed_methods, reason = "secrets are read where they are used, see above")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn first_of(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| variable(name))
}

/// S3's region, where the environment says it.
pub(super) fn aws_region() -> Option<String> {
    first_of(&["AWS_REGION", "AWS_DEFAULT_REGION"])
}

/// S3's server, where the environment says it.
pub(super) fn aws_endpoint() -> Option<String> {
    first_of(&["AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AWS_S3_ENDPOINT"])
}

/// Azure's account, where the environment says it.
pub(super) fn azure_account() -> Option<String> {
    first_of(&["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT"])
}

/// What was given, or the command prints.
pub(super) fn given(access: &Access, store: &str) -> Result<Option<Secret>, StoreError> {
    match (&access.login, &access.password_command) {
        (Some(login), _) => Ok(Some(login.secret.clone())),
        (None, Some(command)) => run(command, COMMAND_TIMEOUT)
            .map(Some)
            .map_err(|problem| StoreError::Credentials { store: store.to_owned(), problem, source: None }),
        (None, None) => Ok(None),
    }
}

/// S3's key, where it does not come from the family's own places. A command prints `ID:SECRET`, or the secret key alone to
/// the id in `AWS_ACCESS_KEY_ID`.
pub(super) fn s3_key(access: &Access, store: &str) -> Result<Option<(String, Secret)>, StoreError> {
    let Some(secret) = given(access, store)? else { return Ok(None) };
    if let Some(login) = &access.login {
        return Ok(Some((login.user.clone(), secret)));
    }
    match (secret.expose().split_once(':'), variable("AWS_ACCESS_KEY_ID")) {
        (Some((id, key)), _) => Ok(Some((id.to_owned(), Secret::new(key)))),
        (None, Some(id)) => Ok(Some((id, secret))),
        (None, None) => Err(StoreError::Credentials {
            store: store.to_owned(),
            problem: "the password command has to print ACCESS_KEY_ID:SECRET_ACCESS_KEY, or AWS_ACCESS_KEY_ID has to be set"
                .to_owned(),
            source: None,
        }),
    }
}

/// Azure's account key.
pub(super) fn azure_key(access: &Access, store: &str) -> Result<Option<Secret>, StoreError> {
    let given = given(access, store)?;
    Ok(given.or_else(|| first_of(&["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"]).map(Secret::new)))
}

/// Google's API key. Of two in the environment the one counts that counts for Google's own clients.
pub(super) fn gemini_key(access: &Access, store: &str) -> Result<Secret, StoreError> {
    let given = given(access, store)?;
    let key = given.or_else(|| first_of(&["GOOGLE_API_KEY", "GEMINI_API_KEY"]).map(Secret::new));
    key.ok_or_else(|| StoreError::Credentials {
        store: store.to_owned(),
        problem: "there is no API key: set GEMINI_API_KEY, or give the store a --password-command".to_owned(),
        source: None,
    })
}

/// User and password of a WebDAV server; none where it takes everybody.
pub(super) fn webdav_login(
    access: &Access,
    store: &str,
    host: &str,
    user: Option<&str>,
) -> Result<Option<(String, Secret)>, StoreError> {
    if let Some(login) = &access.login {
        return Ok(Some((login.user.clone(), login.secret.clone())));
    }
    let user = user.map(str::to_owned).or_else(|| variable("SHELFLIST_WEBDAV_USER"));
    let netrc = || netrc_file().and_then(|text| netrc_entry(&text, host, user.as_deref()));
    if let Some(secret) = given(access, store)? {
        let user = user.clone().or_else(|| netrc().map(|(user, _)| user)).unwrap_or_default();
        return Ok(Some((user, secret)));
    }
    if let (Some(user), Some(password)) = (&user, variable("SHELFLIST_WEBDAV_PASSWORD")) {
        return Ok(Some((user.clone(), Secret::new(password))));
    }
    Ok(netrc())
}

/// Who asks a Chroma server, or a proxy before one: a user with a password, or a token alone. None where it takes everybody.
/// A command prints `USER:PASSWORD` or the token, and so is `CHROMA_TOKEN` read.
pub(super) fn chroma_login(
    access: &Access,
    store: &str,
) -> Result<Option<(Option<String>, Secret)>, StoreError> {
    if let Some(login) = &access.login {
        return Ok(Some((Some(login.user.clone()), login.secret.clone())));
    }
    let said = given(access, store)?.or_else(|| variable("CHROMA_TOKEN").map(Secret::new));
    Ok(said.map(|secret| match secret.expose().split_once(':') {
        Some((user, password)) => (Some(user.to_owned()), Secret::new(password)),
        None => (None, secret),
    }))
}

/// The key to an endpoint that makes embeddings, by the name that everybody's clients look for.
pub(super) fn openai_key() -> Option<Secret> {
    variable("OPENAI_API_KEY").map(Secret::new)
}

/// The `ssh` to call with its first arguments.
pub(super) fn ssh_command(access: &Access, store: &str) -> Result<Vec<String>, StoreError> {
    if let Some(ssh) = &access.ssh {
        return Ok(ssh.clone());
    }
    let line = variable("SHELFLIST_SSH_COMMAND").unwrap_or_else(|| "ssh".to_owned());
    match shell_words::split(&line) {
        Ok(words) if !words.is_empty() => Ok(words),
        _ => Err(StoreError::Refused {
            store: store.to_owned(),
            doing: "be opened".to_owned(),
            reason: "SHELFLIST_SSH_COMMAND is no command line".to_owned(),
            source: None,
        }),
    }
}

fn netrc_file() -> Option<String> {
    let path = variable("NETRC")
        .map(PathBuf::from)
        .or_else(|| etcetera::home_dir().ok().map(|home| home.join(".netrc")))?;
    std::fs::read_to_string(path).ok()
}

/// The login of a machine, or the default one. <https://www.gnu.org/software/inetutils/manual/html_node/The-_002enetrc-file.html>
fn netrc_entry(text: &str, host: &str, user: Option<&str>) -> Option<(String, Secret)> {
    let mut words = text
        .lines()
        .map(|line| line.split(" #").next().unwrap_or_default())
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace);
    let mut entries: Vec<(bool, Option<String>, Option<String>)> = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "machine" => entries.push((words.next() == Some(host), None, None)),
            "default" => entries.push((true, None, None)),
            "login" => {
                let login = words.next()?.to_owned();
                entries.last_mut()?.1 = Some(login);
            }
            "password" => {
                let password = words.next()?.to_owned();
                entries.last_mut()?.2 = Some(password);
            }
            "account" | "macdef" => _ = words.next(),
            _ => {}
        }
    }
    entries.into_iter().find_map(|(applies, login, password)| {
        let login = login?;
        let fits = applies && user.is_none_or(|user| user == login);
        if fits { Some((login, Secret::new(password?))) } else { None }
    })
}

/// Runs a command and takes the first line that it prints. The error names the command's program, nothing that it printed.
fn run(line: &str, timeout: Duration) -> Result<Secret, String> {
    let words = shell_words::split(line)
        .map_err(|_| "the password command has a quote that is not closed".to_owned())?;
    let (program, arguments) = words.split_first().ok_or("the password command is empty")?;
    let failed = |what: String| format!("the password command {program:?} {what}");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // What it says is for the person at the terminal: "unlock your key".
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    let mut stdout = child.stdout.take().expect("it was asked for");
    let (told, answer) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let read = (&mut stdout).take(MAX_SECRET_BYTES).read_to_end(&mut text);
        let _ = told.send(read.map(|_| text));
    });
    let deadline = Instant::now() + timeout;
    let text = answer.recv_timeout(timeout);
    let Ok(text) = text else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(failed(format!("gave no answer for {} seconds", timeout.as_secs())));
    };
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => {
                // It has closed its output and is about to end.
                let _ = answer.recv_timeout(Duration::from_millis(5));
            }
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed("does not end".to_owned()));
            }
        }
    };
    if !status.success() {
        return Err(failed(format!("failed ({status})")));
    }
    let text = text.map_err(|error| failed(format!("could not be read: {error}")))?;
    let text = String::from_utf8(text).map_err(|_| failed("printed what is no text".to_owned()))?;
    let secret = text.trim();
    if secret.is_empty() { Err(failed("printed nothing".to_owned())) } else { Ok(Secret::new(secret)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_prints_the_secret_and_its_failure_repeats_nothing_it_printed() {
        let ok = |line| run(line, COMMAND_TIMEOUT).unwrap();
        assert_eq!(ok("printf '  hunter2\\n'").expose(), "hunter2");
        assert_eq!(ok("sh -c 'echo \"{\"; echo \"}\"'").expose(), "{\n}");
        for line in ["sh -c 'echo hunter2; exit 3'", "true", "", "'", "/no/such/program hunter2"] {
            let error = run(line, COMMAND_TIMEOUT).unwrap_err();
            assert!(!error.contains("hunter2"), "{line}: {error}");
        }
        let error = run("sleep 1000", Duration::from_millis(50)).unwrap_err();
        assert!(error.contains("no answer"), "{error}");
    }

    #[test]
    fn a_netrc_is_read_as_other_programs_read_it() {
        let text = "# mine\nmachine other login x password y\nmachine host\n  login ann\n  password hunter2 # old\ndefault login anybody password p\n";
        let entry = |host, user| {
            netrc_entry(text, host, user).map(|(user, secret)| (user, secret.expose().to_owned()))
        };
        assert_eq!(entry("host", None), Some(("ann".into(), "hunter2".into())));
        assert_eq!(entry("host", Some("ann")), Some(("ann".into(), "hunter2".into())));
        assert_eq!(entry("host", Some("bob")), None);
        assert_eq!(entry("elsewhere", None), Some(("anybody".into(), "p".into())));
    }
}
