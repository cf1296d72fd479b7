//! A place for a store on a server that all tests of the process share, and who may use it.

use std::sync::OnceLock;
use std::time::Duration;

use shelflist::remote::url::ObjectUrl;
use shelflist::remote::{self, Access, Login, Patience, Secret, Store, StoreUrl};
use ulid::Ulid;

use super::peers::{self, PASSWORD, Peer, USER};
use super::store_contract::now;

/// Names that have to be escaped somewhere.
const ODD: &str = "dir å/b c+d%25e%3Ff%23g";
const ODD_NAME: &str = "å b c+d%25e%3Ff%23g";

#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) access: Access,
}

impl Place {
    fn new(url: String, user: &str, secret: &str) -> Self {
        let login = Login { user: user.to_owned(), secret: Secret::new(secret) };
        // A test that waits for silence does not want to wait long.
        let patience = Patience { connect: Duration::from_secs(5), idle: Duration::from_secs(20) };
        Place { url, access: Access { login: Some(login), patience, ..Access::default() } }
    }

    pub(crate) fn url(&self) -> StoreUrl {
        StoreUrl::parse(&self.url, std::path::Path::new("/")).unwrap()
    }

    /// Begun, tried out, and opened with what was found.
    #[track_caller]
    pub(crate) fn store(&self) -> Box<dyn Store> {
        let url = self.url();
        let begun = remote::create(&url, &self.access, now()).unwrap();
        let found = remote::try_out(&url, &self.access, now()).unwrap();
        let access = Access { found, ..self.access.clone() };
        let store = remote::open(&url, &access, now()).unwrap();
        assert_eq!(store.identity().unwrap(), begun.identity().unwrap());
        store.into_objects().unwrap()
    }

    pub(crate) fn open(&self) -> Result<Box<dyn Store>, remote::StoreError> {
        remote::open(&self.url(), &self.access, now()).map(|store| store.into_objects().unwrap())
    }

    pub(crate) fn through(&self, from: u16, to: u16) -> Place {
        Place { url: self.url.replace(&format!(":{from}"), &format!(":{to}")), ..self.clone() }
    }
}

fn fresh() -> String {
    Ulid::generate().to_string()
}

pub(crate) fn rclone_s3() -> (Place, &'static Peer) {
    static PEER: OnceLock<Peer> = OnceLock::new();
    let peer = PEER.get_or_init(peers::rclone_s3);
    let url = format!("s3://bucket/{}/{ODD}?endpoint={}&region=us-east-1", fresh(), peer.http());
    (Place::new(url, USER, PASSWORD), peer)
}

pub(crate) fn moto() -> (Place, &'static Peer) {
    static PEER: OnceLock<Peer> = OnceLock::new();
    let peer = PEER.get_or_init(peers::moto);
    let url = format!("s3://bucket/{}/{ODD}?endpoint={}&region=us-east-1", fresh(), peer.http());
    (Place::new(url, USER, PASSWORD), peer)
}

pub(crate) fn azurite() -> (Place, &'static Peer) {
    static PEER: OnceLock<Peer> = OnceLock::new();
    let peer = PEER.get_or_init(peers::azurite);
    let endpoint = format!("{}/{}", peer.http(), peers::AZURITE_ACCOUNT);
    let account = peers::AZURITE_ACCOUNT;
    let url = format!("azblob://container/{}/{ODD}?account={account}&endpoint={endpoint}", fresh());
    (Place::new(url, peers::AZURITE_ACCOUNT, peers::AZURITE_KEY), peer)
}

pub(crate) fn gcs() -> (Place, &'static Peer) {
    static PEER: OnceLock<Peer> = OnceLock::new();
    let peer = PEER.get_or_init(peers::gcs);
    let url = format!("gcs://bucket/{}/{ODD}?endpoint={}", fresh(), peer.http());
    (Place::new(url, "", &peers::gcs_key(peer)), peer)
}

pub(crate) fn webdav() -> (Place, &'static Peer) {
    static PEER: OnceLock<Peer> = OnceLock::new();
    let peer = PEER.get_or_init(peers::rclone_webdav);
    // Only the last directory is made by beginning a store.
    let url = format!("webdav+http://{USER}@127.0.0.1:{}/bucket/{} {ODD_NAME}", peer.port, fresh());
    (Place::new(url, USER, PASSWORD), peer)
}

pub(crate) fn sftp() -> (Place, &'static Peer) {
    static PEER: OnceLock<(Peer, Vec<String>)> = OnceLock::new();
    let (peer, ssh) = PEER.get_or_init(peers::rclone_sftp);
    let url = format!("sftp://{USER}@127.0.0.1:{}/bucket/{} {ODD_NAME}", peer.port, fresh());
    let mut place = Place::new(url, USER, PASSWORD);
    place.access.ssh = Some(ssh.clone());
    (place, peer)
}

pub(crate) fn openssh() -> (Place, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("dir å")).unwrap();
    let mut place =
        Place::new(format!("sftp://localhost{}/{ODD}", dir.path().to_str().unwrap()), USER, PASSWORD);
    place.access.ssh = Some(peers::openssh_sftp());
    (place, dir)
}

/// Deletes a store's objects behind its back, its generation too. moto checks no signatures.
pub(crate) fn wipe(place: &Place, peer: &Peer, objects: &[&str]) {
    let StoreUrl::S3(url) = place.url() else { panic!("not asked for") };
    for name in [&[".shelflist-store.json"], objects].concat() {
        let text = StoreUrl::S3(ObjectUrl {
            prefix: format!("{}/{name}", url.prefix),
            endpoint: None,
            region: None,
            ..url.clone()
        });
        let path = text.to_string().replace("s3:/", "");
        let answer = peers::request(
            peer.port,
            // Any signature will do.
            &format!(
                "DELETE {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: AWS4-HMAC-SHA256 \
                 Credential=x/20261121/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n"
            ),
        );
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }
}
