//! A tiny static model, made up: eight numbers for each of a few words.

use std::fmt::Write;

/// Words that the model knows. Others are one and the same to it.
const WORDS: [&str; 12] = [
    "[UNK]", "whale", "ship", "fish", "water", "harbour", "words", "sentence", "speaks", "of", "and",
    "document",
];

/// Numbers of a row.
pub(crate) const DIMENSION: usize = 8;

/// A folder with a model. Two of different seeds have nothing to do with each other.
pub(crate) fn tiny_model(seed: u8) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), tokenizer(&WORDS)).unwrap();
    let table =
        safetensors(r#""embeddings":{"dtype":"F32","shape":[12,8],"data_offsets":[0,384]}"#, &numbers(seed));
    std::fs::write(dir.path().join("model.safetensors"), table).unwrap();
    dir
}

/// A tokenizer that takes white space for the border of words.
pub(crate) fn tokenizer(words: &[&str]) -> String {
    let mut vocabulary = String::new();
    for (id, word) in words.iter().enumerate() {
        let comma = if id == 0 { "" } else { "," };
        write!(vocabulary, "{comma}\"{word}\":{id}").unwrap();
    }
    format!(
        r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":{{"type":"Lowercase"}},
            "pre_tokenizer":{{"type":"Whitespace"}},"post_processor":null,"decoder":null,
            "model":{{"type":"WordLevel","vocab":{{{vocabulary}}},"unk_token":"[UNK]"}}}}"#
    )
}

/// The numbers of [`tiny_model`], as its file has them.
pub(crate) fn numbers(seed: u8) -> Vec<u8> {
    let number = |at: usize| {
        let hash = blake3::hash(&[seed, u8::try_from(at).unwrap()]);
        f32::from(hash.as_bytes()[0]) / 127.5 - 1.0
    };
    (0..WORDS.len() * DIMENSION).flat_map(|at| number(at).to_le_bytes()).collect()
}

/// A safetensors file: the length of its header, the header, the numbers.
pub(crate) fn safetensors(header: &str, numbers: &[u8]) -> Vec<u8> {
    let header = format!("{{{header}}}");
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), numbers].concat()
}
