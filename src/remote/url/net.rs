//! URLs of stores on the network.
//!
//! Percent escapes are read in names and written in the canonical text; what is typed without an escape is taken as it
//! is, also a space or an `å`. Only `%` that begins no escape, control characters, `.` and `..` are refused.

use std::fmt;
use std::path::Path;

use reqwest::Url;

use super::{StoreUrl, UrlError};

const OBJECT_FORM: &str =
    "s3://BUCKET/PREFIX?endpoint=URL&region=R, gcs://BUCKET/PREFIX, or azblob://CONTAINER/PREFIX?account=A";
const WEBDAV_FORM: &str = "webdav+https://HOST/PATH";
const SFTP_FORM: &str = "sftp://USER@HOST:PORT/PATH";
const GEMINI_FORM: &str = "gemini://STORE-DISPLAY-NAME?base=URL&model=M";
const CHROMA_FORM: &str =
    "chroma+http://HOST:PORT/COLLECTION?tenant=T&database=D&embed=FOLDER, or embed=URL&model=NAME";
/// A store's collections of other manners are called after it, with this much more.
const MANNER_BYTES: usize = ".0123abcd".len();

/// A place in an object store: `s3:`, `gcs:`, `azblob:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectUrl {
    /// The bucket; Azure's container.
    pub bucket: String,
    /// What all keys begin with: empty, or names joined by `/` without one at the end.
    pub prefix: String,
    /// The server, where it is not the family's own: `http(s)://HOST:PORT`.
    pub endpoint: Option<String>,
    /// S3's region.
    pub region: Option<String>,
    /// Which of the profiles in S3's own settings files.
    pub profile: Option<String>,
    /// Azure's storage account.
    pub account: Option<String>,
}

/// A place on a WebDAV server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebDav {
    /// Whether it is spoken to over TLS.
    pub tls: bool,
    /// Who, where it says so.
    pub user: Option<String>,
    /// The server.
    pub host: String,
    /// Its port, where it is not the usual one.
    pub port: Option<u16>,
    /// Absolute, without a `/` at the end; empty for the server's root.
    pub path: String,
}

/// A place on an SFTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sftp {
    /// Who, where it is not what ssh's own settings say.
    pub user: Option<String>,
    /// The server, or a name out of ssh's settings.
    pub host: String,
    /// Its port, where it is not what ssh's own settings say.
    pub port: Option<u16>,
    /// Absolute; or, where it was typed `/~/PATH`, relative to the directory one is in after logging in.
    pub path: String,
}

/// A Gemini File Search store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gemini {
    /// Its display name.
    pub name: String,
    /// The server, where it is not Google's.
    pub base: Option<String>,
    /// The version of its interface, where it is not [`Gemini::VERSION`].
    pub version: Option<String>,
    /// The model that answers questions, where it is not [`Gemini::MODEL`].
    pub model: Option<String>,
}

impl Gemini {
    /// Google's server.
    pub const BASE: &str = "https://generativelanguage.googleapis.com";
    /// The version that its documentation is written in.
    pub const VERSION: &str = "v1beta";
    /// A model that knows the tool and costs little.
    pub const MODEL: &str = "gemini-2.5-flash";
    /// Longest name of a store or a document, in characters.
    pub const MAX_NAME_CHARS: usize = 512;
}

/// A Chroma collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chroma {
    /// Whether it is spoken to over TLS.
    pub tls: bool,
    /// The server.
    pub host: String,
    /// Its port, where it is not the usual one.
    pub port: Option<u16>,
    /// The collection.
    pub collection: String,
    /// Its tenant, where it is not the default one.
    pub tenant: Option<String>,
    /// Its database, where it is not the default one.
    pub database: Option<String>,
    /// What makes embeddings: a model's directory, absolute, or an endpoint's URL.
    pub embed: Option<String>,
    /// The endpoint's model.
    pub model: Option<String>,
}

/// Reads what follows one of our schemes; `None` where it is none of ours.
pub(super) fn parse(scheme: &str, rest: &str, cwd: &Path) -> Option<Result<StoreUrl, UrlError>> {
    let form = match scheme {
        "s3" | "gcs" | "azblob" => OBJECT_FORM,
        "webdav+http" | "webdav+https" => WEBDAV_FORM,
        "sftp" => SFTP_FORM,
        "gemini" => GEMINI_FORM,
        "chroma+http" | "chroma+https" => CHROMA_FORM,
        _ => return None,
    };
    let malformed = |problem: String| UrlError::Malformed { scheme: scheme.to_owned(), problem, form };
    Some(parse_parts(scheme, rest, cwd).map_err(malformed))
}

fn parse_parts(scheme: &str, rest: &str, cwd: &Path) -> Result<StoreUrl, String> {
    let rest = rest.strip_prefix("//").ok_or("\"//\" has to follow")?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    let mut query = Query::parse(query)?;
    let tls = scheme.ends_with("https");
    let url = match scheme {
        "s3" | "gcs" | "azblob" => {
            let url = ObjectUrl {
                bucket: decode(authority)?,
                prefix: names(path)?.join("/"),
                endpoint: query.take("endpoint").map(|url| server(&url)).transpose()?,
                region: query.take_for(scheme == "s3", "region"),
                profile: query.take_for(scheme == "s3", "profile"),
                account: query.take_for(scheme == "azblob", "account"),
            };
            check_bucket(&url.bucket)?;
            match scheme {
                "s3" => StoreUrl::S3(url),
                "gcs" => StoreUrl::Gcs(url),
                _ => StoreUrl::Azblob(url),
            }
        }
        "webdav+http" | "webdav+https" => {
            let (user, host, port) = authority_parts(authority)?;
            let port = port.filter(|port| *port != if tls { 443 } else { 80 });
            StoreUrl::WebDav(WebDav { tls, user, host, port, path: rooted(&names(path)?) })
        }
        "sftp" => {
            let (user, host, port) = authority_parts(authority)?;
            let names = names(path)?;
            let path = match names.split_first() {
                Some((first, below)) if first == "~" => below.join("/"),
                _ => rooted(&names),
            };
            if path.is_empty() {
                return Err("it names no directory".to_owned());
            }
            StoreUrl::Sftp(Sftp { user, host, port, path })
        }
        "gemini" => {
            if !names(path)?.is_empty() || authority.is_empty() {
                return Err("it names one store".to_owned());
            }
            let name = decode(authority)?;
            if name.chars().count() > Gemini::MAX_NAME_CHARS {
                return Err(format!("a name has at most {} characters", Gemini::MAX_NAME_CHARS));
            }
            let base = query.take("base").map(|url| server(&url)).transpose()?;
            let mut plain_word = |parameter: &str, prefix: &str| {
                let word = query.take(parameter)?;
                let word = word.strip_prefix(prefix).unwrap_or(&word).to_owned();
                let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
                Some(match plain && word.starts_with(|first: char| first.is_ascii_alphanumeric()) {
                    true => Ok(word),
                    false => Err(format!("{word:?} is no {parameter}")),
                })
            };
            let version = plain_word("version", "").transpose()?;
            let model = plain_word("model", "models/").transpose()?;
            StoreUrl::Gemini(Gemini {
                name,
                base: base.filter(|base| base != Gemini::BASE),
                version: version.filter(|version| version != Gemini::VERSION),
                model: model.filter(|model| model != Gemini::MODEL),
            })
        }
        _ => {
            let (user, host, port) = authority_parts(authority)?;
            let mut names = names(path)?;
            let (Some(collection), true, None) = (names.pop(), names.is_empty(), user) else {
                return Err("it names one collection of a server".to_owned());
            };
            let port = port.filter(|port| *port != if tls { 443 } else { 80 });
            let tenant = query.take("tenant").filter(|tenant| tenant != "default_tenant");
            let database = query.take("database").filter(|database| database != "default_database");
            check_collection(&collection)?;
            let embed = query.take("embed").map(|embed| embedder(&embed, cwd)).transpose()?;
            let endpoint = embed.as_ref().is_some_and(|embed| embed.contains("://"));
            let model = query.take_for(endpoint, "model");
            StoreUrl::Chroma(Chroma { tls, host, port, collection, tenant, database, embed, model })
        }
    };
    query.nothing_left()?;
    Ok(url)
}

/// Writes the canonical text.
pub(super) fn write(url: &StoreUrl, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}://", url.scheme())?;
    let mut parameters: Vec<(&str, &Option<String>)> = Vec::new();
    match url {
        StoreUrl::Dir { .. } => return Err(fmt::Error),
        StoreUrl::S3(url) | StoreUrl::Gcs(url) | StoreUrl::Azblob(url) => {
            f.write_str(&encode(&url.bucket))?;
            if !url.prefix.is_empty() {
                write!(f, "/{}", encode_path(&url.prefix))?;
            }
            parameters = vec![
                ("account", &url.account),
                ("endpoint", &url.endpoint),
                ("region", &url.region),
                ("profile", &url.profile),
            ];
        }
        StoreUrl::WebDav(url) => {
            write_authority(f, url.user.as_deref(), &url.host, url.port)?;
            write!(f, "{}", encode_path(&url.path))?;
        }
        StoreUrl::Sftp(url) => {
            write_authority(f, url.user.as_deref(), &url.host, url.port)?;
            let home = if url.path.starts_with('/') { "" } else { "/~/" };
            write!(f, "{home}{}", encode_path(&url.path))?;
        }
        StoreUrl::Gemini(url) => {
            f.write_str(&encode(&url.name))?;
            parameters = vec![("base", &url.base), ("version", &url.version), ("model", &url.model)];
        }
        StoreUrl::Chroma(url) => {
            write_authority(f, None, &url.host, url.port)?;
            write!(f, "/{}", encode(&url.collection))?;
            parameters = vec![
                ("tenant", &url.tenant),
                ("database", &url.database),
                ("embed", &url.embed),
                ("model", &url.model),
            ];
        }
    }
    let mut mark = '?';
    for (name, value) in parameters {
        if let Some(value) = value {
            write!(f, "{mark}{name}={}", encode_value(value))?;
            mark = '&';
        }
    }
    Ok(())
}

fn write_authority(
    f: &mut fmt::Formatter<'_>,
    user: Option<&str>,
    host: &str,
    port: Option<u16>,
) -> fmt::Result {
    if let Some(user) = user {
        write!(f, "{}@", encode(user))?;
    }
    f.write_str(host)?;
    port.map_or(Ok(()), |port| write!(f, ":{port}"))
}

/// `USER@HOST:PORT`. A password was refused before.
fn authority_parts(text: &str) -> Result<(Option<String>, String, Option<u16>), String> {
    let (user, host) = match text.rsplit_once('@') {
        Some((user, host)) => (Some(decode(user.trim_end_matches(':'))?), host),
        None => (None, text),
    };
    // `Url` knows what a host is: names in any script, IPv6 in brackets.
    let url = Url::parse(&format!("http://{host}/"))
        .ok()
        .filter(|url| url.host_str().is_some() && url.path() == "/")
        .ok_or_else(|| format!("{host:?} is no host"))?;
    let port = match host.rsplit_once(':') {
        Some((_, port)) if !port.contains(']') => {
            Some(port.parse().map_err(|_| format!("{port:?} is no port"))?)
        }
        _ => None,
    };
    let user = user.filter(|user| !user.is_empty());
    if user.as_ref().is_some_and(|user| user.starts_with('-')) || host.starts_with('-') {
        return Err("a name must not begin with '-'".to_owned());
    }
    Ok((user, url.host_str().expect("filtered").to_owned(), port))
}

/// A server's URL in a parameter: scheme, host and port, perhaps a path; nothing else.
fn server(text: &str) -> Result<String, String> {
    let text = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let url = Url::parse(&text).map_err(|error| format!("{text:?} is no server's URL ({error})"))?;
    let plain =
        ["http", "https"].contains(&url.scheme()) && url.query().is_none() && url.fragment().is_none();
    if !plain || !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{:?} is no server's URL", url.host_str().unwrap_or_default()));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// A folder counts from where the URL was typed, an endpoint is a server.
fn embedder(text: &str, cwd: &Path) -> Result<String, String> {
    if text.contains("://") {
        return server(text);
    }
    let path = super::dir_path(text, cwd).map_err(|error| format!("embed={text}: {error}"))?;
    Ok(path.to_str().expect("a path that is no text was refused").to_owned())
}

/// Chroma's own rule, with room for what names of other manners have behind it.
fn check_collection(name: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let fine = (3..=512 - MANNER_BYTES).contains(&name.len())
        && name.bytes().all(plain)
        && ends(name.as_bytes().first())
        && ends(name.as_bytes().last());
    if !fine {
        return Err(format!(
            "{name:?} is no collection's name: 3 letters at least, of a-z, A-Z, 0-9, '.', '_' and '-'"
        ));
    }
    let manner = name.rsplit_once('.').map_or("", |(_, manner)| manner);
    if manner.len() == 8 && manner.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("{name:?} is what a store's collection of a former model is called"));
    }
    Ok(())
}

fn check_bucket(bucket: &str) -> Result<(), String> {
    // S3's own rule, which the other two are stricter than, and old buckets' capitals and underscores.
    let fine = bucket.len() >= 3
        && bucket.len() <= 255
        && bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
    if fine { Ok(()) } else { Err(format!("{bucket:?} is no bucket's name")) }
}

fn rooted(names: &[String]) -> String {
    names.iter().fold(String::new(), |path, name| path + "/" + name)
}

/// The names of a path, unescaped.
fn names(path: &str) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let name = decode(name)?;
        if [".", ".."].contains(&name.as_str()) || name.contains('/') {
            return Err(format!("{name:?} may not stand in its path"));
        }
        names.push(name);
    }
    Ok(names)
}

fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok())
            .ok_or_else(|| format!("a % in {text:?} begins no escape (a plain one is %25)"))?;
        bytes.push(byte);
        rest = &after[2..];
    }
    match String::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => Ok(text),
        _ => Err(format!("{text:?} is not plain UTF-8 text")),
    }
}

/// RFC 3986's unreserved characters stay, and those that `also` names.
fn encode_but(text: &str, also: &[u8]) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || also.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            use fmt::Write;
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
        encoded
    })
}

/// A name, escaped.
pub(crate) fn encode(text: &str) -> String {
    encode_but(text, b"")
}

/// Names joined by `/`, escaped.
pub(crate) fn encode_path(text: &str) -> String {
    encode_but(text, b"/")
}

fn encode_value(text: &str) -> String {
    encode_but(text, b"/:@,")
}

/// Parameters, each taken once.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for parameter in text.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if parameters.iter().any(|(known, _)| known == name) {
                return Err(format!("{name} stands in it twice"));
            }
            if value.is_empty() {
                return Err(format!("{name} has no value"));
            }
            parameters.push((name.to_owned(), decode(value)?));
        }
        Ok(Query(parameters))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn take_for(&mut self, applies: bool, name: &str) -> Option<String> {
        if applies { self.take(name) } else { None }
    }

    fn nothing_left(&self) -> Result<(), String> {
        self.0.first().map_or(Ok(()), |(name, _)| Err(format!("it takes no parameter {name:?}")))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parse(text: &str) -> Result<StoreUrl, UrlError> {
        StoreUrl::parse(text, Path::new("/"))
    }

    // S1
    #[test]
    fn every_familys_url_has_one_canonical_text_that_parses_back() {
        for (typed, canonical) in [
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://bucket/a//b/", "s3://bucket/a/b"),
            (
                "s3://bucket/a?region=eu&endpoint=http://127.0.0.1:9000/",
                "s3://bucket/a?endpoint=http://127.0.0.1:9000&region=eu",
            ),
            ("s3://bucket?endpoint=s3.example.org", "s3://bucket?endpoint=https://s3.example.org"),
            ("s3://bucket?profile=work", "s3://bucket?profile=work"),
            ("gcs://bucket/p", "gcs://bucket/p"),
            ("azblob://container/p?account=acc", "azblob://container/p?account=acc"),
            ("s3://bucket/å b+c%25d%3Fe%23f", "s3://bucket/%C3%A5%20b%2Bc%25d%3Fe%23f"),
            ("s3://bucket/a#b", "s3://bucket/a%23b"),
            ("webdav+https://host", "webdav+https://host"),
            ("webdav+https://Host:443/a b", "webdav+https://host/a%20b"),
            ("webdav+http://ann@host:8080/x/", "webdav+http://ann@host:8080/x"),
            ("webdav+http://[::1]:8080/x", "webdav+http://[::1]:8080/x"),
            ("sftp://host/srv/store", "sftp://host/srv/store"),
            ("sftp://ann@host:2222/srv", "sftp://ann@host:2222/srv"),
            ("sftp://host/~/store", "sftp://host/~/store"),
            ("gemini://my library", "gemini://my%20library"),
            ("gemini://x?base=http://127.0.0.1:1/", "gemini://x?base=http://127.0.0.1:1"),
            ("gemini://x?base=https://generativelanguage.googleapis.com&version=v1beta", "gemini://x"),
            ("gemini://x?model=models/gemini-3-pro&version=v1", "gemini://x?version=v1&model=gemini-3-pro"),
            ("gemini://x?model=gemini-2.5-flash", "gemini://x"),
            ("chroma+http://host:8000/docs", "chroma+http://host:8000/docs"),
            (
                "chroma+http://host:8000/docs?embed=/m/model&database=d&tenant=default_tenant",
                "chroma+http://host:8000/docs?database=d&embed=/m/model",
            ),
            ("chroma+http://host:8000/docs?embed=m/a b", "chroma+http://host:8000/docs?embed=/m/a%20b"),
            (
                "chroma+https://host/docs?model=m:1&embed=http://127.0.0.1:11434/v1/",
                "chroma+https://host/docs?embed=http://127.0.0.1:11434/v1&model=m:1",
            ),
        ] {
            let url = parse(typed).unwrap_or_else(|error| panic!("{typed}: {error}"));
            assert_eq!(url.to_string(), canonical, "{typed}");
            assert_eq!(parse(canonical).as_ref(), Ok(&url), "{canonical}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_and_says_how_it_looks() {
        for typed in [
            "s3:bucket",
            "s3://",
            "s3://b",
            "s3://bu cket",
            "s3://bucket/../x",
            "s3://bucket/a%2Fb",
            "s3://bucket/50%",
            "s3://bucket?account=x",
            "s3://bucket?region=",
            "s3://bucket?region=a&region=b",
            "s3://bucket?endpoint=ftp://x",
            "s3://bucket?endpoint=http://x/?y=z",
            "gcs://bucket?region=eu",
            "webdav+https://",
            "webdav+https:///x",
            "webdav+https://host:x/y",
            "webdav+https://host/x?y=z",
            "sftp://host",
            "sftp://host/",
            "sftp://-oProxyCommand=x/y",
            "gemini://",
            "gemini://a/b",
            "gemini://a?version=../v1",
            "gemini://a?model=x/y",
            "chroma+http://host",
            "chroma+http://host/a/b",
            "chroma+http://host/ab",
            "chroma+http://host/-abc",
            "chroma+http://host/å docs",
            "chroma+http://host/docs.0123abcd",
            "chroma+http://host/docs?embed=/m&model=x",
            "chroma+http://host/docs?embed=ftp://host/v1",
        ] {
            let error = parse(typed).expect_err(typed);
            assert!(
                matches!(&error, UrlError::Malformed { form, .. } if form.contains("://")),
                "{typed}: {error:?}"
            );
        }
    }

    #[test]
    fn a_secret_in_an_endpoint_is_refused() {
        let error = parse("s3://bucket?endpoint=http://ann:hunter2@host").expect_err("it has a password");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }

    #[test]
    fn a_store_has_a_name_of_its_own() {
        for (typed, name) in [
            ("s3://bucket/a/b", "b"),
            ("s3://bucket", "bucket"),
            ("webdav+https://host/x", "x"),
            ("webdav+https://host", "host"),
            ("sftp://host/~/store", "store"),
            ("gemini://papers", "papers"),
        ] {
            assert_eq!(parse(typed).expect(typed).last_name(), name);
        }
    }
}
