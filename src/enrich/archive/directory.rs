//! The central directory of a ZIP archive, read by hand.
//!
//! The `zip` crate holds a few hundred bytes for each member before it says a word, and one archive may have ten million.
//! Here they pass by one at a time. Where the rules come from: PKWARE's APPNOTE.TXT, sections 4.3 and 4.4, and Info-ZIP's
//! extra field 0x7075.

use std::io::{BufReader, Read, SeekFrom};

use super::{Listing, Names, damaged};
use crate::enrich::extract::{Failure, Source};
use crate::enrich::text;

/// The record at the end, without its comment.
const END: usize = 22;
const COMMENT_MOST: usize = u16::MAX as usize;

/// More members than this are not counted.
const MOST_MEMBERS: u64 = 5_000_000;

pub(super) fn list(source: &mut dyn Source, mut names: Names) -> Result<Listing, Failure> {
    let end = End::find(source)?;
    source.seek(SeekFrom::Start(end.directory)).map_err(|error| damaged(&error))?;
    let mut directory = BufReader::with_capacity(64 * 1024, source).take(end.size);
    let (mut members, mut files, mut format) = (0_u64, 0_u64, "ZIP");
    let mut complete = true;
    while let Some(member) = next(&mut directory)? {
        if members == MOST_MEMBERS || names.is_full() {
            complete = false;
            break;
        }
        members += 1;
        format = format_by(&member.name).unwrap_or(format);
        // DOS had no slashes of its own, and some programs wrote its.
        if member.name.ends_with(b"/") || member.name.ends_with(b"\\") {
            continue;
        }
        files += 1;
        if member.is_dos { names.push_dos(&member.name) } else { names.push(&member.name) }
    }
    // Without ZIP64 the count is the lower half of one.
    if complete && members & end.count_mask != end.count {
        return Err(Failure::damaged(format!("of {} members its directory lists {members}", end.count)));
    }
    let comment = (!end.comment.is_empty()).then(|| text::decode(&end.comment, None));
    Ok(Listing { format: format.to_owned(), names, files: complete.then_some(files), comment })
}

/// What a member says about the whole.
fn format_by(name: &[u8]) -> Option<&'static str> {
    match name {
        b"META-INF/MANIFEST.MF" => Some("JAR"),
        b"AndroidManifest.xml" => Some("APK"),
        _ if name.ends_with(b".dist-info/WHEEL") => Some("Python wheel"),
        _ => None,
    }
}

/// Where the directory lies.
struct End {
    directory: u64,
    size: u64,
    count: u64,
    count_mask: u64,
    comment: Vec<u8>,
}

impl End {
    fn find(source: &mut dyn Source) -> Result<Self, Failure> {
        let none = || Failure::damaged("the directory at its end is missing");
        let length = source.seek(SeekFrom::End(0)).map_err(|error| damaged(&error))?;
        let start = length.saturating_sub((END + COMMENT_MOST) as u64);
        source.seek(SeekFrom::Start(start)).map_err(|error| damaged(&error))?;
        let mut tail = Vec::new();
        (&mut *source)
            .take((END + COMMENT_MOST) as u64)
            .read_to_end(&mut tail)
            .map_err(|error| damaged(&error))?;
        let is_end = |at: &usize| {
            let record = &tail[*at..];
            record.starts_with(b"PK\x05\x06") && END + usize::from(u16_at(record, 20)) <= record.len()
        };
        let at = (0..=tail.len().checked_sub(END).ok_or_else(none)?).rev().find(is_end).ok_or_else(none)?;
        let (record, place) = (&tail[at..], start + at as u64);
        let comment = record[END..END + usize::from(u16_at(record, 20))].to_vec();
        if let Some(end) = Self::large(source, place)? {
            return Ok(End { comment, ..end });
        }
        let size = u64::from(u32_at(record, 12));
        // Not at the place that it names: before the archive may stand a program that unpacks it.
        let directory = place.checked_sub(size).ok_or_else(none)?;
        Ok(End { directory, size, count: u64::from(u16_at(record, 10)), count_mask: 0xffff, comment })
    }

    /// As ZIP64 writes it; its locator stands right before the usual record.
    fn large(source: &mut dyn Source, place: u64) -> Result<Option<Self>, Failure> {
        let Some(at) = place.checked_sub(20) else { return Ok(None) };
        let locator: [u8; 20] = read_at(source, at)?;
        if !locator.starts_with(b"PK\x06\x07") {
            return Ok(None);
        }
        let place = u64_at(&locator, 8);
        let record: [u8; 56] = read_at(source, place)?;
        if !record.starts_with(b"PK\x06\x06") {
            return Err(Failure::damaged("the ZIP64 record is not where it should be"));
        }
        let size = u64_at(&record, 40);
        let directory =
            place.checked_sub(size).ok_or_else(|| Failure::damaged("its directory has no room"))?;
        Ok(Some(End {
            directory,
            size,
            count: u64_at(&record, 32),
            count_mask: u64::MAX,
            comment: Vec::new(),
        }))
    }
}

struct Member {
    name: Vec<u8>,
    is_dos: bool,
}

fn next(directory: &mut impl Read) -> Result<Option<Member>, Failure> {
    let mut head = Vec::new();
    (&mut *directory).take(46).read_to_end(&mut head).map_err(|error| damaged(&error))?;
    // Behind the members may stand a signature of the whole.
    if head.is_empty() || head.starts_with(b"PK\x05\x05") {
        return Ok(None);
    }
    if head.len() < 46 || !head.starts_with(b"PK\x01\x02") {
        return Err(Failure::damaged("its directory is broken"));
    }
    let mut part = |length: u16| {
        let mut bytes = vec![0; usize::from(length)];
        directory.read_exact(&mut bytes).map(|()| bytes).map_err(|error| damaged(&error))
    };
    let name = part(u16_at(&head, 28))?;
    let extra = part(u16_at(&head, 30))?;
    part(u16_at(&head, 32))?;
    let is_utf8 = u16_at(&head, 8) & 0x0800 != 0;
    // FAT, NTFS and VFAT: the systems of DOS and Windows.
    let is_dos = !is_utf8 && matches!(head[5], 0 | 10 | 11 | 14);
    Ok(Some(match unicode_name(&extra, &name) {
        Some(name) => Member { name, is_dos: false },
        None => Member { name, is_dos },
    }))
}

/// The name in UTF-8 that some programs add; it counts as long as it is of the name that stands there.
fn unicode_name(mut extra: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    while let [_, _, _, _, rest @ ..] = extra {
        let (kind, length) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let body = rest.get(..length)?;
        if kind == 0x7075 && body.len() > 5 && body[0] == 1 {
            let mut sum = flate2::Crc::new();
            sum.update(name);
            return (sum.sum() == u32_at(body, 1)).then(|| body[5..].to_vec());
        }
        extra = &rest[length..];
    }
    None
}

fn read_at<const N: usize>(source: &mut dyn Source, at: u64) -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    source
        .seek(SeekFrom::Start(at))
        .and_then(|_| source.read_exact(&mut bytes))
        .map_err(|error| damaged(&error))?;
    Ok(bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
