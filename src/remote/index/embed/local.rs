//! Embeddings out of a folder on this computer: a static model, which is a table of numbers with a row for each token.
//!
//! A text's embedding is the mean of the rows of its tokens, made one long. That is a fraction of what a network of neurons
//! understands and takes a thousandth of its time: a library of a million chunks is embedded in minutes, on any computer,
//! with nothing leaving it.
//!
//! The folder is somebody else's work, and is trusted in nothing: its files are read up to a limit (and not mapped into memory:
//! a disk that is pulled would be SIGBUS), lengths are checked before anything is sliced, and a tokenizer that panics is a
//! refusal. What was read once is used to the end, whatever happens to the files meanwhile.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};
use tokenizers::Tokenizer;

use super::Embedder;
use crate::remote::{AwayReason, StoreError};

/// Larger than any static model's table that is known (500 MB), in bytes.
const MAX_TABLE_BYTES: u64 = 2 << 30;
/// Larger than any tokenizer that is known (33 MB), in bytes.
const MAX_TOKENIZER_BYTES: u64 = 128 << 20;
/// More numbers than any embedding has.
const MAX_DIMENSION: usize = 65_536;
/// What tables are called; one that stands alone may be called anything.
const TABLE_NAMES: [&str; 4] =
    ["embeddings", "embedding.weight", "embeddings.weight", "embeddings.word_embeddings.weight"];

/// A static model in a folder.
pub(super) struct Folder {
    name: String,
    place: String,
    tokenizer: Tokenizer,
    table: Table,
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Folder {
    /// Reads the model.
    pub(super) fn open(folder: &Path, store: &str) -> Result<Self, StoreError> {
        read(folder).map_err(|trouble| trouble.of(store)).map(|(name, tokenizer, table)| Folder {
            name,
            place: store.to_owned(),
            tokenizer,
            table,
        })
    }

    fn embed_one(&self, text: &str) -> Result<Vec<f32>, Trouble> {
        // Of the letters of a cut-off word a tokenizer makes tokens of its own; special ones ([CLS]) belong to networks.
        let tokens = catch_unwind(AssertUnwindSafe(|| self.tokenizer.encode_fast(text, false)))
            .map_err(|_| Trouble::Damaged("its tokenizer.json cannot be worked with".to_owned()))?
            .map_err(|error| {
                Trouble::Damaged(format!("its tokenizer.json cannot be worked with ({error})"))
            })?;
        self.table.mean_of(tokens.get_ids())
    }
}

impl Embedder for Folder {
    fn name(&self) -> &str {
        &self.name
    }

    fn dimension(&self) -> Option<usize> {
        Some(self.table.dimension)
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, StoreError> {
        texts.iter().map(|text| self.embed_one(text).map_err(|trouble| trouble.of(&self.place))).collect()
    }
}

/// What is wrong with a folder.
#[derive(Debug)]
enum Trouble {
    /// It is not there, or cannot be read now.
    Away(io::Error),
    /// It is no model, or one that is not understood.
    Damaged(String),
}

impl Trouble {
    fn of(self, store: &str) -> StoreError {
        let store = store.to_owned();
        match self {
            Trouble::Away(source) if source.kind() == io::ErrorKind::NotFound => {
                StoreError::Away { store, reason: AwayReason::RootMissing, source: Some(source) }
            }
            Trouble::Away(source) => {
                StoreError::Io { store, doing: "read the folder of the model".to_owned(), source }
            }
            Trouble::Damaged(reason) => StoreError::Refused {
                store,
                doing: "work with the folder of the model".to_owned(),
                reason,
                source: None,
            },
        }
    }
}

/// A table, as its file has it: a row is made into numbers when it is asked for.
#[derive(Debug)]
struct Table {
    bytes: Vec<u8>,
    rows: usize,
    dimension: usize,
    kind: Dtype,
}

impl Table {
    fn width(kind: Dtype) -> Option<usize> {
        match kind {
            Dtype::F32 => Some(4),
            Dtype::F16 | Dtype::BF16 => Some(2),
            _ => None,
        }
    }

    /// The table of a safetensors file.
    fn parse(mut file: Vec<u8>) -> Result<Self, Trouble> {
        let damaged = |what: String| Trouble::Damaged(format!("its *.safetensors file {what}"));
        let tensors = SafeTensors::deserialize(&file)
            .map_err(|error| damaged(format!("is damaged or no such file ({error})")))?;
        let names: Vec<&str> = tensors.iter().map(|(name, _)| name).collect();
        let name = match names.as_slice() {
            [name] => *name,
            // A table with a mapping or with weights beside it means something else, if they are left out.
            names if names.iter().any(|name| ["mapping", "weights"].contains(name)) => {
                return Err(damaged(
                    "has a mapping or weights beside its table; only a plain table is understood".to_owned(),
                ));
            }
            names => TABLE_NAMES.into_iter().find(|name| names.contains(name)).ok_or_else(|| {
                damaged(format!("has {} tables, none of them named embeddings", names.len()))
            })?,
        };
        let view = tensors.tensor(name).map_err(|error| damaged(format!("is damaged ({error})")))?;
        let kind = view.dtype();
        let [rows, dimension] = view.shape() else {
            return Err(damaged(format!("has a table of {} dimensions; two are needed", view.shape().len())));
        };
        let (rows, dimension) = (*rows, *dimension);
        if rows == 0 || dimension == 0 || dimension > MAX_DIMENSION {
            return Err(damaged(format!("has a table of {rows} x {dimension} numbers")));
        }
        let width = Table::width(kind).ok_or_else(|| {
            damaged(format!("has numbers of the kind {kind:?}; F32, F16 and BF16 are understood"))
        })?;
        let bytes = view.data();
        let expected = rows.checked_mul(dimension).and_then(|numbers| numbers.checked_mul(width));
        if expected != Some(bytes.len()) {
            return Err(damaged("is not as long as its table".to_owned()));
        }
        // Of a file that is nearly all table no second copy is made.
        let begins = bytes.as_ptr() as usize - file.as_ptr() as usize;
        let length = bytes.len();
        file.truncate(begins + length);
        file.drain(..begins);
        Ok(Table { bytes: file, rows, dimension, kind })
    }

    /// The mean of some rows, made one long; nothing but zeros for none.
    fn mean_of(&self, ids: &[u32]) -> Result<Vec<f32>, Trouble> {
        let mut sum = vec![0.0_f32; self.dimension];
        let width = Table::width(self.kind).expect("a table of another kind was refused");
        let row_bytes = self.dimension * width;
        for id in ids {
            let row = usize::try_from(*id)
                .ok()
                .filter(|id| *id < self.rows)
                .and_then(|id| self.bytes.get(id * row_bytes..(id + 1) * row_bytes))
                .ok_or_else(|| {
                    Trouble::Damaged(format!(
                        "its tokenizer knows a token {id}, its table has {} rows: they do not belong together",
                        self.rows
                    ))
                })?;
            for (sum, number) in sum.iter_mut().zip(row.chunks_exact(width)) {
                *sum += match (self.kind, number) {
                    (Dtype::F32, [a, b, c, d]) => f32::from_le_bytes([*a, *b, *c, *d]),
                    (Dtype::BF16, [a, b]) => bf16::from_le_bytes([*a, *b]).to_f32(),
                    (_, [a, b]) => f16::from_le_bytes([*a, *b]).to_f32(),
                    _ => 0.0,
                };
            }
        }
        // The mean differs from the sum by its length alone, which is one in the end.
        let length = sum.iter().map(|number| f64::from(*number) * f64::from(*number)).sum::<f64>().sqrt();
        if !length.is_finite() {
            return Err(Trouble::Damaged("its table has numbers that are none".to_owned()));
        }
        if length > 0.0 {
            for number in &mut sum {
                #[expect(clippy::cast_possible_truncation, reason = "a share of one")]
                let share = (f64::from(*number) / length) as f32;
                *number = share;
            }
        }
        Ok(sum)
    }
}

fn read(folder: &Path) -> Result<(String, Tokenizer, Table), Trouble> {
    let table_bytes = contents(&table_file(folder)?, MAX_TABLE_BYTES)?;
    let tokenizer_bytes = contents(&folder.join("tokenizer.json"), MAX_TOKENIZER_BYTES)?;
    // Known by what it is, not by where it lies: a folder that is moved is the same model, one that is replaced another.
    let mut hasher = blake3::Hasher::new();
    hasher.update(blake3::hash(&table_bytes).as_bytes());
    hasher.update(blake3::hash(&tokenizer_bytes).as_bytes());
    let name = format!("static-{}", &hasher.finalize().to_hex()[..16]);
    let table = Table::parse(table_bytes)?;
    let tokenizer = tokenizer(&tokenizer_bytes)?;
    let tokens = tokenizer.get_vocab_size(true);
    if tokens > table.rows {
        return Err(Trouble::Damaged(format!(
            "its tokenizer knows {tokens} tokens, its table has {} rows: they do not belong together",
            table.rows
        )));
    }
    Ok((name, tokenizer, table))
}

fn tokenizer(text: &[u8]) -> Result<Tokenizer, Trouble> {
    let damaged = |why: String| Trouble::Damaged(format!("its tokenizer.json is damaged or none{why}"));
    let parsed = catch_unwind(|| Tokenizer::from_bytes(text)).map_err(|_| damaged(String::new()))?;
    let mut tokenizer = parsed.map_err(|error| damaged(format!(" ({error})")))?;
    // A mean is as long as its text, and what fills up a batch means nothing.
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|error| damaged(format!(" ({error})")))?;
    Ok(tokenizer)
}

/// `model.safetensors`, or the one file of that kind.
fn table_file(folder: &Path) -> Result<PathBuf, Trouble> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Trouble::Away)? {
        let path = entry.map_err(Trouble::Away)?.path();
        if path.file_name().is_some_and(|name| name == "model.safetensors") {
            return Ok(path);
        }
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            found.push(path);
        }
    }
    match (found.pop(), found.len()) {
        (Some(only), 0) => Ok(only),
        (Some(_), more) => Err(Trouble::Damaged(format!(
            "it has {} *.safetensors files, none of them named model.safetensors",
            more + 1
        ))),
        (None, _) => Err(Trouble::Damaged("it has no *.safetensors file".to_owned())),
    }
}

/// A file's bytes, up to a limit.
fn contents(path: &Path, limit: u64) -> Result<Vec<u8>, Trouble> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let about = |source: io::Error| {
        if source.kind() == io::ErrorKind::NotFound {
            return Trouble::Damaged(format!("it has no {name}"));
        }
        Trouble::Away(io::Error::new(source.kind(), format!("{name}: {source}")))
    };
    // A pipe in its place would be waited for.
    let known = std::fs::metadata(path).map_err(about)?;
    if !known.is_file() {
        return Err(Trouble::Damaged(format!("its {name} is no file")));
    }
    let too_large = || Trouble::Damaged(format!("its {name} is larger than {} MiB", limit >> 20));
    if known.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(about)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(about)?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}
