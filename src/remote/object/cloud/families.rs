//! What is different among the families: where the server is, how it is spoken to, and whose keys open it.
//!
//! The keys are looked for by one chain, which the storage library and our own requests have in common.

use std::sync::Arc;

use opendal::raw::normalize_root;
use opendal::{Operator, services};
use reqsign_core::{Context, Env, OsEnv, ProvideCredentialChain, Signer, StaticEnv};
use reqsign_file_read_tokio::TokioFileRead;

use super::blocks::Blocks;
use super::parts::Dialect;
use super::signed::{Keys, Signed};
use super::xml::Xml;
use crate::remote::credentials::{self, Access};
use crate::remote::http::Http;
use crate::remote::runtime::Waiter;
use crate::remote::url::ObjectUrl;
use crate::remote::{StoreError, StoreUrl};

/// Amazon's server, without a region.
const AMAZON: &str = "https://s3.amazonaws.com";
const GOOGLE: &str = "https://storage.googleapis.com";
const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";
/// Buckets whose names end so are signed for in sessions and have addresses of their own: Amazon's directory buckets.
const DIRECTORY_BUCKET: &str = "--x-s3";

/// The storage library's way to a place, and our own.
pub(super) struct Family {
    pub(super) operator: opendal::Result<Operator>,
    /// None where uploads in parts are left to the library.
    pub(super) dialect: Option<Box<dyn Dialect>>,
}

/// What leads to the place that a URL names.
pub(super) fn family(
    url: &StoreUrl,
    access: &Access,
    store: &str,
    http: &Http,
    waiter: Waiter,
) -> Result<Family, StoreError> {
    let signed = |keys, context| Signed { http: http.clone(), waiter, keys, context };
    match url {
        StoreUrl::S3(place) => s3(place, access, store, signed),
        StoreUrl::Gcs(place) => gcs(place, access, store, signed),
        StoreUrl::Azblob(place) => azblob(place, access, store, signed),
        _ => unreachable!("only asked for these three"),
    }
}

fn context() -> Context {
    Context::new().with_file_read(TokioFileRead).with_env(OsEnv)
}

fn s3(
    place: &ObjectUrl,
    access: &Access,
    store: &str,
    signed: impl Fn(Keys, Context) -> Signed,
) -> Result<Family, StoreError> {
    use reqsign_aws_v4::{DefaultCredentialProvider, RequestSigner, StaticCredentialProvider};
    // Servers of other makes do not look at it; Amazon's says which is right where this one is wrong.
    let region =
        place.region.clone().or_else(credentials::aws_region).unwrap_or_else(|| "us-east-1".to_owned());
    // A laptop has no such service, and asking for it takes until the connection times out.
    let mut usual = DefaultCredentialProvider::builder().no_imds();
    if let Some(profile) = &place.profile {
        usual = usual.with_profile(profile);
    }
    let mut chain = ProvideCredentialChain::new().push(usual.build());
    if let Some((id, secret)) = credentials::s3_key(access, store)? {
        chain = chain.push_front(StaticCredentialProvider::new(&id, secret.expose()));
    }
    let chain = Arc::new(chain);
    let mut builder = services::S3::default()
        .bucket(&place.bucket)
        .root(&place.prefix)
        .region(&region)
        .disable_ec2_metadata()
        .credential_provider_chain(ProvideCredentialChain::new().push(Arc::clone(&chain)));
    let given = place.endpoint.clone().or_else(credentials::aws_endpoint);
    if place.bucket.ends_with(DIRECTORY_BUCKET) {
        if let Some(endpoint) = &given {
            builder = builder.endpoint(endpoint);
        }
        return Ok(Family { operator: Operator::new(builder), dialect: None });
    }
    let endpoint = given
        .filter(|endpoint| endpoint != AMAZON)
        .unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
    let endpoint = plain(&endpoint, &place.bucket);
    let context = context();
    let keys = Keys::Aws(Signer::new(context.clone(), chain, RequestSigner::new("s3", &region)));
    let dialect = Xml {
        signed: signed(keys, context),
        base: format!("{endpoint}/{}", place.bucket),
        root: normalize_root(&place.prefix),
        heeds_conditions: true,
    };
    Ok(Family { operator: Operator::new(builder.endpoint(&endpoint)), dialect: Some(Box::new(dialect)) })
}

/// An endpoint as the storage library makes it: with the bucket behind it, and without a port that goes without saying.
fn plain(endpoint: &str, bucket: &str) -> String {
    let endpoint =
        if endpoint.starts_with("http") { endpoint.to_owned() } else { format!("https://{endpoint}") };
    let endpoint = endpoint.replace(&format!("//{bucket}."), "//");
    let plain = reqwest::Url::parse(&endpoint).map_or(endpoint, String::from);
    plain.trim_end_matches('/').to_owned()
}

fn gcs(
    place: &ObjectUrl,
    access: &Access,
    store: &str,
    signed: impl Fn(Keys, Context) -> Signed,
) -> Result<Family, StoreError> {
    use reqsign_google::{DefaultCredentialProvider, RequestSigner, StaticCredentialProvider};
    let mut chain =
        ProvideCredentialChain::new().push(DefaultCredentialProvider::builder().no_vm_metadata().build());
    if let Some(json) = credentials::given(access, store)? {
        chain = chain.push_front(StaticCredentialProvider::new(json.expose()).with_scope(GOOGLE_SCOPE));
    }
    let chain = Arc::new(chain);
    let endpoint = place.endpoint.as_deref().unwrap_or(GOOGLE).trim_end_matches('/');
    let builder = services::Gcs::default()
        .bucket(&place.bucket)
        .root(&place.prefix)
        .endpoint(endpoint)
        .disable_vm_metadata()
        .credential_provider_chain(ProvideCredentialChain::new().push(Arc::clone(&chain)));
    let mut envs = OsEnv.vars();
    envs.insert("GOOGLE_SCOPE".to_owned(), GOOGLE_SCOPE.to_owned());
    let context = context().with_env(StaticEnv { home_dir: OsEnv.home_dir(), envs });
    let signer = RequestSigner::new("storage").with_scope(GOOGLE_SCOPE);
    let keys = Keys::Google(Signer::new(context.clone(), chain, signer));
    let dialect = Xml {
        signed: signed(keys, context),
        base: format!("{endpoint}/{}", place.bucket),
        root: normalize_root(&place.prefix),
        // It replaces what is there with the same content.
        heeds_conditions: false,
    };
    // Servers of other makes have the JSON interface, hardly ever this one: there uploads are left to the library.
    let dialect = place.endpoint.is_none().then(|| Box::new(dialect) as Box<dyn Dialect>);
    Ok(Family { operator: Operator::new(builder), dialect })
}

fn azblob(
    place: &ObjectUrl,
    access: &Access,
    store: &str,
    signed: impl Fn(Keys, Context) -> Signed,
) -> Result<Family, StoreError> {
    use reqsign_azure_storage::{DefaultCredentialProvider, RequestSigner, StaticCredentialProvider};
    let account =
        place.account.clone().or_else(credentials::azure_account).ok_or_else(|| StoreError::Refused {
            store: store.to_owned(),
            doing: "be opened".to_owned(),
            reason: "its account is not known; write azblob://CONTAINER/PREFIX?account=ACCOUNT".to_owned(),
            source: None,
        })?;
    let mut chain = ProvideCredentialChain::new().push(DefaultCredentialProvider::new());
    let key = credentials::azure_key(access, store)?;
    if let Some(key) = &key {
        chain = chain.push_front(StaticCredentialProvider::new_shared_key(&account, key.expose()));
    }
    let chain = Arc::new(chain);
    let usual = format!("https://{account}.blob.core.windows.net");
    let endpoint = place.endpoint.as_deref().unwrap_or(&usual).trim_end_matches('/');
    let mut builder = services::Azblob::default()
        .container(&place.bucket)
        .root(&place.prefix)
        .endpoint(endpoint)
        .account_name(&account)
        .credential_provider_chain(ProvideCredentialChain::new().push(Arc::clone(&chain)));
    if let Some(key) = &key {
        // Not for signing: it looks whether the key is one.
        builder = builder.account_key(key.expose());
    }
    let context = context();
    let keys = Keys::Azure(Signer::new(context.clone(), chain, RequestSigner::new()));
    let dialect = Blocks {
        signed: signed(keys, context),
        base: format!("{endpoint}/{}", place.bucket),
        root: normalize_root(&place.prefix),
    };
    Ok(Family { operator: Operator::new(builder), dialect: Some(Box::new(dialect)) })
}
