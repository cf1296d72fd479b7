//! What a person types to name a store: `SCHEME:REST`.
//!
//! A URL ends up in the catalogue, in logs and in shell history, so it never carries a secret: one that does is
//! refused, and the refusal does not repeat the secret but says where it belongs.
//!
//! The text of a parsed URL is canonical: names are escaped as RFC 3986 wants it, parameters stand in one order and
//! those that say what is the case anyway are left out, so that one place has one text and is not added twice.

use std::fmt;
use std::path::{Component, Path, PathBuf};

mod net;

pub(crate) use net::encode_path;
pub use net::{Chroma, Gemini, ObjectUrl, Sftp, WebDav};

/// Names of query parameters that carry secrets.
const SECRET_PARAMETERS: &[&str] = &[
    "password",
    "passwd",
    "pass",
    "secret",
    "token",
    "key",
    "apikey",
    "credential",
    "sig",
    "signature",
    "sas",
];

/// A store's address, checked and canonical: its text ([`fmt::Display`]) parses to the same address from any
/// directory, and names no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// `dir:PATH`: a directory, on a disk or a mounted share.
    Dir {
        /// Absolute, without `.` and `..`.
        path: PathBuf,
    },
    /// `s3://BUCKET/PREFIX?endpoint=URL&region=R&profile=P`.
    S3(ObjectUrl),
    /// `gcs://BUCKET/PREFIX?endpoint=URL`.
    Gcs(ObjectUrl),
    /// `azblob://CONTAINER/PREFIX?account=A&endpoint=URL`.
    Azblob(ObjectUrl),
    /// `webdav+http(s)://USER@HOST:PORT/PATH`.
    WebDav(WebDav),
    /// `sftp://USER@HOST:PORT/PATH`.
    Sftp(Sftp),
    /// `gemini://STORE-DISPLAY-NAME?base=URL`.
    Gemini(Gemini),
    /// `chroma+http(s)://HOST:PORT/COLLECTION?tenant=T&database=D&embed=PATH-or-URL&model=NAME`.
    Chroma(Chroma),
}

/// Why a text names no store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// There is no scheme.
    #[error("a store is named by SCHEME:REST, for instance dir:/mnt/backup/store")]
    NoScheme,
    /// A scheme that shelflist will not know.
    #[error(
        "{0:?} is no kind of store; stores are dir:, s3:, webdav+https:, sftp:, gcs:, azblob:, gemini: and chroma+http:"
    )]
    UnknownScheme(String),
    /// A secret stands in it. The text is not repeated, the redacted one is.
    #[error("a password or key must not stand in a store's URL ({redacted})")]
    HasSecret {
        /// The URL with its secrets replaced by `***`.
        redacted: String,
        /// Where the secret of such a store belongs.
        belongs: &'static str,
    },
    /// `dir:` without a path.
    #[error("dir: needs a path, for instance dir:/mnt/backup/store")]
    NoPath,
    /// `dir://host/…`.
    #[error("dir: names a directory of this computer and takes no host; write dir:/{0}")]
    HasHost(String),
    /// `dir:~/…`: the shell does not expand it there, and a directory of the name `~` is never what was meant.
    #[error("the shell does not expand ~ after dir:; write the whole path, or dir:\"$HOME\"/…")]
    Tilde,
    /// `..` after a name: what it means depends on symbolic links.
    #[error("'..' may only stand at the beginning of a relative path, not in {0:?}")]
    Climbs(String),
    /// A control character, or a directory whose name is not UTF-8.
    #[error("a store's path must be plain UTF-8 text, not {0:?}")]
    NotText(PathBuf),
    /// The scheme is one of ours, what follows is not understood.
    #[error("{scheme}: {problem}; write {form}")]
    Malformed {
        /// Its scheme.
        scheme: String,
        /// What is wrong.
        problem: String,
        /// How such a URL looks.
        form: &'static str,
    },
}

impl StoreUrl {
    /// Reads what was typed. `cwd` is the directory from which a relative path counts: absolute and free of symbolic
    /// links, as the operating system tells it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, cwd: &Path) -> Result<Self, UrlError> {
        let redacted = redact(text);
        if redacted != text {
            let belongs = secrets_place(text.split(':').next().unwrap_or_default());
            return Err(UrlError::HasSecret { redacted, belongs });
        }
        let (scheme, rest) = text.split_once(':').ok_or(UrlError::NoScheme)?;
        if scheme == "dir" {
            return Ok(StoreUrl::Dir { path: dir_path(rest, cwd)? });
        }
        match net::parse(scheme, rest, cwd) {
            Some(parsed) => parsed,
            None if scheme.contains(['/', '\\']) || scheme.is_empty() => Err(UrlError::NoScheme),
            None => Err(UrlError::UnknownScheme(scheme.to_owned())),
        }
    }

    /// Its scheme: `dir`, `webdav+https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        match self {
            StoreUrl::Dir { .. } => "dir",
            StoreUrl::S3(_) => "s3",
            StoreUrl::Gcs(_) => "gcs",
            StoreUrl::Azblob(_) => "azblob",
            StoreUrl::WebDav(WebDav { tls: true, .. }) => "webdav+https",
            StoreUrl::WebDav(_) => "webdav+http",
            StoreUrl::Sftp(_) => "sftp",
            StoreUrl::Gemini(_) => "gemini",
            StoreUrl::Chroma(Chroma { tls: true, .. }) => "chroma+https",
            StoreUrl::Chroma(_) => "chroma+http",
        }
    }

    /// The directory of this computer that it names; `None` for a store on the network.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match self {
            StoreUrl::Dir { path } => Some(path),
            _ => None,
        }
    }

    /// Whether it names a store that reads what it is given and can be asked ([`super::Index`]).
    #[must_use]
    pub const fn is_index(&self) -> bool {
        matches!(self, StoreUrl::Gemini(_) | StoreUrl::Chroma(_))
    }

    /// What a person would call it: the last name of its path, else of its bucket or host.
    #[must_use]
    pub fn last_name(&self) -> String {
        let of_path = |path: &str| path.rsplit('/').find(|name| !name.is_empty()).map(str::to_owned);
        let name = match self {
            StoreUrl::Dir { path } => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            StoreUrl::S3(url) | StoreUrl::Gcs(url) | StoreUrl::Azblob(url) => {
                of_path(&url.prefix).or_else(|| Some(url.bucket.clone()))
            }
            StoreUrl::WebDav(url) => of_path(&url.path).or_else(|| Some(url.host.clone())),
            StoreUrl::Sftp(url) => of_path(&url.path).or_else(|| Some(url.host.clone())),
            StoreUrl::Gemini(url) => Some(url.name.clone()),
            StoreUrl::Chroma(url) => Some(url.collection.clone()),
        };
        name.unwrap_or_else(|| "store".to_owned())
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::Dir { path } => write!(f, "dir:{}", path.display()),
            net => net::write(net, f),
        }
    }
}

/// Where the secret of a family belongs, for the refusal of a URL that carries one.
fn secrets_place(scheme: &str) -> &'static str {
    match scheme {
        "s3" => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws/credentials",
        "gcs" => "the file that GOOGLE_APPLICATION_CREDENTIALS names",
        "azblob" => "AZURE_STORAGE_ACCOUNT_KEY, or --password-command",
        "sftp" => "your ssh agent or a key of ~/.ssh; passwords are not used for sftp:",
        "gemini" => "GEMINI_API_KEY, or --password-command",
        scheme if scheme.starts_with("chroma") => "CHROMA_TOKEN, or --password-command",
        scheme if scheme.starts_with("webdav") => {
            "SHELFLIST_WEBDAV_PASSWORD, ~/.netrc, or --password-command; the user's name may stand in the URL"
        }
        _ => "the environment, or --password-command",
    }
}

fn dir_path(rest: &str, cwd: &Path) -> Result<PathBuf, UrlError> {
    if rest.is_empty() {
        return Err(UrlError::NoPath);
    }
    if rest.starts_with('~') {
        return Err(UrlError::Tilde);
    }
    if let Some(host) = rest.strip_prefix("//").filter(|after| !after.starts_with('/') && !after.is_empty()) {
        return Err(UrlError::HasHost(host.to_owned()));
    }
    let path = Path::new(rest);
    let mut absolute = if path.is_absolute() { PathBuf::from("/") } else { cwd.to_owned() };
    let mut named = path.is_absolute();
    for component in path.components() {
        match component {
            Component::Normal(name) => {
                absolute.push(name);
                named = true;
            }
            Component::ParentDir if named => return Err(UrlError::Climbs(rest.to_owned())),
            Component::ParentDir => {
                absolute.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    match absolute.to_str() {
        Some(text) if !text.chars().any(char::is_control) => Ok(absolute),
        _ => Err(UrlError::NotText(absolute)),
    }
}

/// The text with `***` in place of what looks like a secret: the password before an `@`, and the values of query
/// parameters whose names say so. For every message that has to repeat what was typed.
#[must_use]
pub fn redact(text: &str) -> String {
    let (before_query, query) = match text.split_once('?') {
        Some((before, query)) if !text.starts_with("dir:") => (before, Some(query)),
        _ => (text, None),
    };
    let mut redacted = redact_password(before_query);
    if let Some(query) = query {
        let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
            Some((name, value)) if !value.is_empty() && names_a_secret(name) => format!("{name}=***"),
            Some((name, value)) => format!("{name}={}", redact_password(value)),
            None => parameter.to_owned(),
        });
        redacted = format!("{redacted}?{}", parameters.collect::<Vec<_>>().join("&"));
    }
    redacted
}

/// `scheme://user:PASSWORD@host`. A password may hold `@` and `/` that somebody forgot to escape, so the last `@`
/// counts, even behind a slash: better to refuse an odd path than to log half a password.
fn redact_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let Some((user_info, host)) = rest.rsplit_once('@') else { return text.to_owned() };
    match user_info.split_once(':') {
        Some((user, password)) if !password.is_empty() => format!("{scheme}://{user}:***@{host}"),
        _ => text.to_owned(),
    }
}

fn names_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.split(['_', '-', '.']).any(|word| SECRET_PARAMETERS.contains(&word))
        || ["password", "secret", "token", "accesskey"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, UrlError> {
        StoreUrl::parse(text, Path::new("/home/ann/work")).map(|url| url.to_string())
    }

    #[test]
    fn a_relative_directory_becomes_absolute_and_canonical() {
        for (typed, canonical) in [
            ("dir:/mnt/a", "dir:/mnt/a"),
            ("dir:/mnt//a/./b/", "dir:/mnt/a/b"),
            ("dir:///mnt/a", "dir:/mnt/a"),
            ("dir:store", "dir:/home/ann/work/store"),
            ("dir:./store", "dir:/home/ann/work/store"),
            ("dir:../../store", "dir:/home/store"),
            ("dir:.", "dir:/home/ann/work"),
            ("dir:/with space/a:b?c=d#%41", "dir:/with space/a:b?c=d#%41"),
            ("dir:/mail/me@x", "dir:/mail/me@x"),
        ] {
            assert_eq!(parse(typed).as_deref(), Ok(canonical), "{typed}");
            assert_eq!(
                StoreUrl::parse(canonical, Path::new("/")).map(|url| url.to_string()).as_deref(),
                Ok(canonical)
            );
        }
    }

    #[test]
    fn a_directory_that_could_be_another_one_is_refused() {
        assert_eq!(parse("dir:"), Err(UrlError::NoPath));
        assert_eq!(parse("dir:~/store"), Err(UrlError::Tilde));
        assert_eq!(parse("dir://host/share"), Err(UrlError::HasHost("host/share".to_owned())));
        assert_eq!(parse("dir:a/../b"), Err(UrlError::Climbs("a/../b".to_owned())));
        assert_eq!(parse("dir:/a/../b"), Err(UrlError::Climbs("/a/../b".to_owned())));
        assert!(matches!(parse("dir:/a\nb"), Err(UrlError::NotText(_))));
    }

    #[test]
    fn an_unknown_scheme_is_told_from_none() {
        assert_eq!(parse("ftp://x"), Err(UrlError::UnknownScheme("ftp".to_owned())));
        assert_eq!(parse("webdav://host/x"), Err(UrlError::UnknownScheme("webdav".to_owned())));
        assert_eq!(parse("/mnt/a"), Err(UrlError::NoScheme));
        assert_eq!(parse("/mnt/a:b"), Err(UrlError::NoScheme));
    }

    #[test]
    fn a_secret_is_refused_and_never_repeated() {
        for typed in [
            "webdav://ann:hunter2@host/x",
            "webdav://ann:hun@ter2/hunter2@host/x",
            "s3://bucket?region=eu&secret_access_key=hunter2",
            "azblob:container?sig=hunter2",
            "gemini:x?api-key=hunter2",
            "chroma:x?accessKey=hunter2",
            "nonsense://ann:hunter2@host",
        ] {
            let error = parse(typed).expect_err(typed);
            let UrlError::HasSecret { belongs, .. } = &error else { panic!("{typed}: {error:?}") };
            assert!(!belongs.is_empty());
            assert!(!format!("{error} {error:?}").contains("ter2"), "{error:?}");
        }
        assert_eq!(redact("sftp://ann@host:22/x"), "sftp://ann@host:22/x");
        assert_eq!(redact("s3:b?region=eu"), "s3:b?region=eu");
    }
}
