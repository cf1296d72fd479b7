//! What makes embeddings: folders that are damaged in every way, and a server that is.

use std::path::Path;
use std::time::Duration;

use shelflist::remote::{
    self, Access, AwayReason, ErrorClass, Index, Opened, Patience, StoreError, StoreUrl,
};

use super::index_contract::{self, Given, now};
use super::model::{numbers, safetensors, tiny_model, tokenizer};
use super::peers::stub::Stub;
use super::peers::{self, PASSWORD};

const HEADER: &str = r#""embeddings":{"dtype":"F32","shape":[12,8],"data_offsets":[0,384]}"#;

fn url(port: u16, embed: &str) -> StoreUrl {
    let collection = format!("shelf-{}", ulid::Ulid::generate());
    StoreUrl::parse(&format!("chroma+http://127.0.0.1:{port}/{collection}?embed={embed}"), Path::new("/"))
        .unwrap()
}

fn access() -> Access {
    let patience = Patience { connect: Duration::from_secs(5), idle: Duration::from_secs(20) };
    Access { patience, ..Access::default() }
}

fn open(url: &StoreUrl) -> Result<Box<dyn Index>, StoreError> {
    match remote::open(url, &access(), now())? {
        Opened::Index(index) => Ok(index),
        Opened::Objects(store) => panic!("{store:?}"),
    }
}

/// Opens a store with this folder. No server is asked.
fn with_folder(folder: &Path) -> Result<Box<dyn Index>, StoreError> {
    open(&url(1, folder.to_str().unwrap()))
}

#[track_caller]
fn refused(folder: &Path, why: &str) {
    let error = with_folder(folder).err().unwrap_or_else(|| panic!("it was taken, though {why}"));
    let StoreError::Refused { reason, store, .. } = &error else { panic!("{error:?}") };
    assert!(reason.contains(why), "{reason}");
    assert!(store.contains(folder.to_str().unwrap()), "{store}");
}

fn folder_with(table: &[u8], tokenizer: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("model.safetensors"), table).unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), tokenizer).unwrap();
    dir
}

const TWELVE: [&str; 12] = ["[UNK]", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];

// S10
#[test]
fn a_folder_that_is_no_model_is_refused_with_a_sentence() {
    let words = tokenizer(&TWELVE);
    let empty = tempfile::tempdir().unwrap();
    refused(empty.path(), "no *.safetensors file");
    let good = safetensors(HEADER, &numbers(1));

    let missing = folder_with(&good, &words);
    std::fs::remove_file(missing.path().join("tokenizer.json")).unwrap();
    refused(missing.path(), "no tokenizer.json");

    let two = folder_with(&good, &words);
    std::fs::rename(two.path().join("model.safetensors"), two.path().join("a.safetensors")).unwrap();
    std::fs::write(two.path().join("b.safetensors"), &good).unwrap();
    refused(two.path(), "2 *.safetensors files");

    let refused_table = |table: &[u8], why| refused(folder_with(table, &words).path(), why);
    let headed = |header: &str| safetensors(header, &numbers(1));
    refused_table(b"", "damaged");
    refused_table(b"not a table at all", "damaged");
    refused_table(&good[..good.len() - 1], "damaged");
    refused_table(&u64::MAX.to_le_bytes(), "damaged");
    refused_table(&[&u64::MAX.to_le_bytes()[..], &good[8..]].concat(), "damaged");
    refused_table(
        &headed(r#""e":{"dtype":"F32","shape":[18446744073709551615,8],"data_offsets":[0,384]}"#),
        "damaged",
    );
    refused_table(&headed(r#""e":{"dtype":"F32","shape":[12,8],"data_offsets":[0,99999999999]}"#), "damaged");
    refused_table(&headed(r#""e":{"dtype":"F32","shape":[96],"data_offsets":[0,384]}"#), "1 dimensions");
    refused_table(&headed(r#""e":{"dtype":"I32","shape":[12,8],"data_offsets":[0,384]}"#), "I32");
    refused_table(&safetensors(r#""e":{"dtype":"F32","shape":[0,8],"data_offsets":[0,0]}"#, b""), "0 x 8");
    refused_table(
        &headed(
            r#""a":{"dtype":"F32","shape":[6,8],"data_offsets":[0,192]},"b":{"dtype":"F32","shape":[6,8],"data_offsets":[192,384]}"#,
        ),
        "2 tables",
    );
    refused_table(
        &headed(
            r#""embeddings":{"dtype":"F32","shape":[11,8],"data_offsets":[0,352]},"weights":{"dtype":"F32","shape":[8],"data_offsets":[352,384]}"#,
        ),
        "weights beside",
    );

    for bad in ["", "{", "null", "[]", r#"{"model":{"type":"Nonsense"}}"#, &words[..words.len() / 2]] {
        refused(folder_with(&good, bad).path(), "tokenizer.json");
    }
    let deep = "[".repeat(100_000);
    refused(folder_with(&good, &deep).path(), "tokenizer.json");
    let more = [&TWELVE[..], &["l"]].concat();
    refused(folder_with(&good, &tokenizer(&more)).path(), "13 tokens");

    // A pipe in its place would be waited for; a sparse file of a terabyte is not read.
    let odd = folder_with(&good, &words);
    std::fs::remove_file(odd.path().join("tokenizer.json")).unwrap();
    std::fs::create_dir(odd.path().join("tokenizer.json")).unwrap();
    refused(odd.path(), "is no file");
    let huge = folder_with(&good, &words);
    let file = std::fs::File::create(huge.path().join("model.safetensors")).unwrap();
    file.set_len(1 << 40).unwrap();
    refused(huge.path(), "larger than 2048 MiB");
}

// S10: tokens with gaps in their numbers are fewer than rows, and one of them has none all the same.
#[test]
fn a_token_without_a_row_is_refused_when_it_is_met() {
    let words = tokenizer(&TWELVE).replace("\"k\":11", "\"k\":12");
    let folder = folder_with(&safetensors(HEADER, &numbers(1)), &words);
    let chroma = peers::chroma();
    let index = open(&url(chroma.port, folder.path().to_str().unwrap())).unwrap();
    index.begin(now()).unwrap();
    index.put(&Given::new("t", "a b").entry()).unwrap();
    let error = index.put(&Given::new("t", "a b k").entry()).unwrap_err();
    assert!(
        matches!(&error, StoreError::Refused { reason, .. } if reason.contains("a token 12")),
        "{error:?}"
    );
    assert_eq!(error.class(), ErrorClass::Verdict);
}

// S10
#[test]
fn numbers_that_are_none_are_refused_when_they_are_met() {
    let mut wrong = numbers(1);
    wrong[32..36].copy_from_slice(&f32::NAN.to_le_bytes());
    let folder = folder_with(&safetensors(HEADER, &wrong), &tokenizer(&TWELVE));
    let index = with_folder(folder.path()).unwrap();
    let error = index.begin(now()).unwrap_err();
    assert!(
        matches!(&error, StoreError::Refused { reason, .. } if reason.contains("numbers that are none")),
        "{error:?}"
    );
}

#[test]
fn a_folder_on_a_disk_that_is_away_is_away() {
    let error = with_folder(Path::new("/no/such/model")).err().unwrap();
    assert!(matches!(error, StoreError::Away { reason: AwayReason::RootMissing, .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Channel);
}

// S10: what a model is called follows from its bytes, so that a moved folder is the same and another in its place is not.
#[test]
fn a_manner_is_the_models_own() {
    let manner = |folder: &tempfile::TempDir| with_folder(folder.path()).unwrap().manner();
    let (one, again, other) = (tiny_model(1), tiny_model(1), tiny_model(2));
    assert_eq!(manner(&one), manner(&again));
    assert_ne!(manner(&one), manner(&other));
    let endpoint = |text: &str| open(&url(1, text)).unwrap().manner();
    assert_eq!(endpoint("http://here/v1&model=m"), endpoint("http://there/v1&model=m"));
    assert_ne!(endpoint("http://here/v1&model=m"), endpoint("http://here/v1&model=n"));
}

// S10: half of the numbers as wide, the same meaning.
#[test]
fn tables_of_sixteen_bits_are_read() {
    let halves: Vec<u8> = numbers(1)
        .chunks_exact(4)
        .flat_map(|number| {
            // bfloat16 is the upper half.
            [number[2], number[3]]
        })
        .collect();
    let header = r#""weight":{"dtype":"BF16","shape":[12,8],"data_offsets":[0,192]}"#;
    let folder = folder_with(&safetensors(header, &halves), &tokenizer(&TWELVE));
    assert!(with_folder(folder.path()).is_ok());
    let header = r#""weight":{"dtype":"F16","shape":[12,8],"data_offsets":[0,192]}"#;
    let folder = folder_with(&safetensors(header, &[0_u8, 0x3c].repeat(96)), &tokenizer(&TWELVE));
    assert!(with_folder(folder.path()).is_ok());
}

/// The embeddings of a stub for so many texts.
fn said(embeddings: &str) -> String {
    format!(r#"{{"object":"list","data":[{embeddings}],"model":"m"}}"#)
}

// T5, S10
#[test]
fn what_an_endpoint_says_is_sorted_by_who_is_at_fault() {
    let stub = Stub::saying("200 OK", "", "");
    let index = open(&url(1, &format!("http://127.0.0.1:{}/v1&model=m", stub.port))).unwrap();
    let error = |status: &str, headers: &str, body: &str| {
        stub.say(status, headers, body);
        let error = index.begin(now()).unwrap_err();
        assert!(error.to_string().contains("embeddings by http://127.0.0.1"), "{error}");
        error
    };
    for wrong in [
        "",
        r#"{"embedding":[]}"#,
        r#"{"embedding":[1],"index":1}"#,
        r#"{"embedding":[1]},{"embedding":[1]}"#,
    ] {
        assert!(matches!(error("200 OK", "", &said(wrong)), StoreError::Refused { .. }), "{wrong}");
    }
    assert_eq!(error("200 OK", "", "<html>").class(), ErrorClass::Channel);
    assert!(matches!(error("401 Unauthorized", "", "{}"), StoreError::Credentials { .. }));
    assert!(matches!(error("403 Forbidden", "", "{}"), StoreError::Denied { .. }));
    let busy = error("429 Too Many Requests", "Retry-After: 9\r\n", "{}");
    assert_eq!(busy.retry_after(), Some(Duration::from_secs(9)));
    for status in ["404 Not Found", "500 Internal Server Error", "503 Service Unavailable"] {
        assert_eq!(error(status, "", "{}").class(), ErrorClass::Channel, "{status}");
    }
    assert_eq!(error("400 Bad Request", "", "{}").class(), ErrorClass::Verdict);
    drop(stub);
    let index = open(&url(1, &format!("http://127.0.0.1:{}/v1&model=m", peers::free_port()))).unwrap();
    let error = index.begin(now()).unwrap_err();
    assert!(matches!(error, StoreError::Away { reason: AwayReason::NoEmbedder, .. }), "{error:?}");
}

// S10, R5: the key comes out of the environment, so the program itself is asked (tests/stores/chroma_commands.rs); here nobody
// asks for one.
#[test]
fn an_endpoint_that_asks_for_a_key_is_told_from_one_that_is_away() {
    let embedder = peers::embedder();
    let index = open(&url(1, &format!("{}/v1&model=words-8", embedder.http()))).unwrap();
    let error = index.begin(now()).unwrap_err();
    assert!(matches!(error, StoreError::Credentials { .. }), "{error:?}");
    assert!(!format!("{error:?}").contains(PASSWORD));
}

// S10: a model under an old name.
#[test]
fn another_dimension_under_the_same_name_is_refused() {
    let chroma = peers::chroma();
    let stub = Stub::saying("200 OK", "", &said(r#"{"index":0,"embedding":[0.5,0.5]}"#));
    let url = url(chroma.port, &format!("http://127.0.0.1:{}/v1&model=m", stub.port));
    let index = open(&url).unwrap();
    index.begin(now()).unwrap();
    let given = Given::new("t", "one text");
    index.put(&given.entry()).unwrap();
    stub.say("200 OK", "", &said(r#"{"index":0,"embedding":[0.5,0.5,0.5]}"#));
    let error = index.put(&given.entry()).unwrap_err();
    assert!(
        matches!(&error, StoreError::Refused { reason, .. } if reason.contains("3 numbers, others 2")),
        "{error:?}"
    );
    // Another process, which has not asked before.
    let error = open(&url).unwrap().put(&given.entry()).unwrap_err();
    assert!(
        matches!(&error, StoreError::Refused { reason, .. } if reason.contains("another name")),
        "{error:?}"
    );
    index_contract::an_identity_stays(&*{
        stub.say("200 OK", "", &said(r#"{"index":0,"embedding":[0.5,0.5]}"#));
        open(&url).unwrap()
    });
}
