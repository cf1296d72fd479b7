//! Good documents to begin with, opened as far as they are containers.
//!
//! A byte that is changed in a compressed member is met by the checksum and nobody further in. So containers are taken
//! apart once, and damaged inside.

use std::io::{self, Cursor, Read, Write};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use shelflist::enrich;

/// Larger files teach nothing that smaller ones do not, and take long.
const LARGEST_SEED: u64 = 2 << 20;
/// What becomes larger than this when it is taken apart is a bomb, and damaged from outside only.
const LARGEST_PART: u64 = 1 << 20;

/// A document that is damaged in many ways.
#[derive(Debug)]
pub(crate) struct Seed {
    pub(crate) name: String,
    /// Kept: a name settles what content leaves open.
    pub(crate) extension: String,
    /// The extractor that it is read with.
    pub(crate) family: Option<&'static str>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) inside: Inside,
}

/// What a container holds.
#[derive(Debug)]
pub(crate) enum Inside {
    Nothing,
    Zip(Vec<(String, Vec<u8>)>),
    Gzip(Vec<u8>),
    /// With its streams unpacked.
    Pdf(Box<lopdf::Document>),
}

/// Every file at or below these paths, in an order that does not depend on the disk.
pub(crate) fn seeds_below(paths: &[PathBuf]) -> io::Result<Vec<Seed>> {
    let mut files = Vec::new();
    for path in paths {
        collect(path, &mut files)?;
    }
    files.sort();
    files.dedup();
    let mut seeds = Vec::new();
    for path in files {
        if std::fs::metadata(&path)?.len() <= LARGEST_SEED {
            seeds.push(Seed::read(&path)?);
        }
    }
    Ok(seeds)
}

fn collect(path: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        into.push(path.to_owned());
        return Ok(());
    }
    // A library's marker is no document.
    if path.ends_with(".shelflist") {
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        collect(&entry?.path(), into)?;
    }
    Ok(())
}

impl Seed {
    fn read(path: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(path)?;
        let name = path.file_name().unwrap_or_default();
        let detected = enrich::detect(Cursor::new(&bytes), name.as_encoded_bytes())?;
        Ok(Seed {
            name: name.to_string_lossy().into_owned(),
            extension: path.extension().map_or_else(String::new, |it| it.to_string_lossy().into_owned()),
            family: enrich::extractor_of(detected.kind),
            inside: Inside::of(&bytes),
            bytes,
        })
    }
}

impl Inside {
    fn of(bytes: &[u8]) -> Self {
        let opened = match bytes {
            [b'P', b'K', ..] => unzip(bytes).map(Inside::Zip),
            [0x1f, 0x8b, ..] => gunzip(bytes).map(Inside::Gzip),
            _ if bytes.starts_with(b"%PDF") => open_pdf(bytes).map(|pdf| Inside::Pdf(Box::new(pdf))),
            _ => None,
        };
        opened.unwrap_or(Inside::Nothing)
    }
}

fn unzip(bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).ok()?;
    let mut members = Vec::new();
    for at in 0..archive.len() {
        let member = archive.by_index(at).ok()?;
        let name = member.name().ok()?.into_owned();
        members.push((name, limited(member)?));
    }
    (!members.is_empty()).then_some(members)
}

fn gunzip(bytes: &[u8]) -> Option<Vec<u8>> {
    limited(flate2::read::GzDecoder::new(bytes))
}

fn limited(from: impl Read) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    from.take(LARGEST_PART + 1).read_to_end(&mut content).ok()?;
    (content.len() as u64 <= LARGEST_PART).then_some(content)
}

fn open_pdf(bytes: &[u8]) -> Option<lopdf::Document> {
    // What it makes of a damaged document is not what is tested here.
    std::panic::catch_unwind(AssertUnwindSafe(|| {
        let mut pdf = lopdf::Document::load_mem(bytes).ok()?;
        for object in pdf.objects.values_mut() {
            if let lopdf::Object::Stream(stream) = object
                && let Ok(content) = stream.decompressed_content_with_limit(LARGEST_PART as usize)
            {
                stream.set_plain_content(content);
            }
        }
        Some(pdf)
    }))
    .ok()?
}

/// A container of these members, with all its checksums right.
pub(crate) fn zip(members: &[(String, Vec<u8>)], stored: bool) -> Vec<u8> {
    let method = if stored { zip::CompressionMethod::Stored } else { zip::CompressionMethod::Deflated };
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (at, (name, content)) in members.iter().enumerate() {
        // Publications and office documents begin with their type, as it is.
        let method = if at == 0 { zip::CompressionMethod::Stored } else { method };
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(method)
            .last_modified_time(zip::DateTime::default());
        // A name that it does not take is left out.
        if writer.start_file(name.as_str(), options).is_ok() {
            writer.write_all(content).expect("memory takes everything");
        }
    }
    writer.finish().map(Cursor::into_inner).unwrap_or_default()
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

pub(crate) fn pdf(mut document: lopdf::Document) -> Option<Vec<u8>> {
    std::panic::catch_unwind(AssertUnwindSafe(move || {
        let mut bytes = Vec::new();
        document.save_to(&mut bytes).ok()?;
        Some(bytes)
    }))
    .ok()?
}
