//! Which kind of office document a container holds: told by the names of what is in it.

use std::io::{self, Read, Seek, SeekFrom};

use file_format::FileFormat;

use crate::enrich::detect::{Detected, Kind};
use crate::enrich::package::COMPOUND_FILE;

const WORD: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const SLIDES: &str = "application/vnd.openxmlformats-officedocument.presentationml.presentation";
const SHEETS: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const BINARY_SHEETS: &str = "application/vnd.ms-excel.sheet.binary.macroenabled.12";

/// So much of a file's end is looked at: the directory of an archive of up to a thousand members.
const TAIL: u64 = 64 * 1024;

/// The office document in a container, if it is one. `head` is the beginning of the file.
pub(in crate::enrich) fn look_inside(
    reader: &mut (impl Read + Seek),
    head: &[u8],
    format: FileFormat,
    extension: &str,
) -> io::Result<Option<Detected>> {
    if head.starts_with(COMPOUND_FILE) {
        let names = compound_names(reader)?;
        return Ok(Some(in_compound_file(&names, format, extension)));
    }
    if !head.starts_with(b"PK\x03\x04") {
        return Ok(None);
    }
    let tail = tail(reader)?;
    Ok(in_archive(head, &tail, format))
}

fn of(mime: &str, kind: Kind) -> Detected {
    Detected { mime: mime.to_owned(), kind }
}

fn in_archive(head: &[u8], tail: &[u8], format: FileFormat) -> Option<Detected> {
    if let Some(mime) = open_document(head, format) {
        return Some(of(&mime, Kind::OpenDocument));
    }
    let has = |name: &[u8]| contains(head, name) || contains(tail, name);
    // An archive with a folder `word` in it is no document of Word.
    if !has(b"[Content_Types].xml") {
        return None;
    }
    match format {
        FileFormat::OfficeOpenXmlDocument => return Some(of(WORD, Kind::Word)),
        FileFormat::OfficeOpenXmlPresentation => return Some(of(SLIDES, Kind::Slides)),
        // Its directory is cut off, or in an order that tells something else.
        FileFormat::Zip | FileFormat::OfficeOpenXmlSpreadsheet => {}
        _ => return None,
    }
    if has(b"xl/workbook.bin") {
        Some(of(BINARY_SHEETS, Kind::Sheets))
    } else if format == FileFormat::OfficeOpenXmlSpreadsheet || has(b"xl/") {
        Some(of(SHEETS, Kind::Sheets))
    } else if has(b"word/") {
        Some(of(WORD, Kind::Word))
    } else if has(b"ppt/") {
        Some(of(SLIDES, Kind::Slides))
    } else {
        None
    }
}

fn open_document(head: &[u8], format: FileFormat) -> Option<String> {
    // The type is the first member, not compressed, for whoever only looks at the beginning.
    let (first, name) = (b"mimetypeapplication/vnd.oasis.opendocument.", &head[30.min(head.len())..]);
    if name.starts_with(first) {
        let kind = &name[first.len()..];
        let end = kind.iter().position(|byte| !byte.is_ascii_lowercase() && *byte != b'-')?;
        let kind = std::str::from_utf8(&kind[..end]).ok()?;
        let base = kind.strip_suffix("-template").unwrap_or(kind);
        return matches!(base, "text" | "text-master" | "spreadsheet" | "presentation" | "graphics")
            .then(|| format!("application/vnd.oasis.opendocument.{kind}"));
    }
    matches!(
        format,
        FileFormat::OpendocumentText
            | FileFormat::OpendocumentTextTemplate
            | FileFormat::OpendocumentTextMaster
            | FileFormat::OpendocumentTextMasterTemplate
            | FileFormat::OpendocumentSpreadsheet
            | FileFormat::OpendocumentSpreadsheetTemplate
            | FileFormat::OpendocumentPresentation
            | FileFormat::OpendocumentPresentationTemplate
            | FileFormat::OpendocumentGraphics
            | FileFormat::OpendocumentGraphicsTemplate
    )
    .then(|| format.media_type().to_owned())
}

/// An archive locked with a password lies in a stream of this name.
const LOCKED: &str = "EncryptedPackage";

/// Whether a compound file holds an archive locked with a password.
pub(in crate::enrich) fn holds_locked_archive(bytes: &[u8]) -> bool {
    compound_names(&mut io::Cursor::new(bytes)).is_ok_and(|names| names.iter().any(|name| name == LOCKED))
}

/// By the names of its streams; the mark of the program is often empty. What is put into a document comes behind it here.
fn in_compound_file(names: &[String], format: FileFormat, extension: &str) -> Detected {
    let has = |name: &str| names.iter().any(|stream| stream.eq_ignore_ascii_case(name));
    if has(LOCKED) {
        // The archive inside is locked, so only the name says which it is. Any of the readers says "encrypted".
        return by_name(extension).unwrap_or_else(|| of(format.media_type(), Kind::Word));
    }
    match format {
        // Its directory is cut off.
        _ if names.is_empty() && extension == "xls" => of("application/vnd.ms-excel", Kind::Sheets),
        // Streams of other programs are what was put into it.
        FileFormat::MicrosoftExcelSpreadsheet => of("application/vnd.ms-excel", Kind::Sheets),
        // The mark is the program's that made the container, which is not always that of the content.
        FileFormat::MicrosoftWordDocument | FileFormat::CompoundFileBinary => {
            if has("WordDocument") {
                of("application/msword", Kind::Other)
            } else if has("PowerPoint Document") {
                of("application/vnd.ms-powerpoint", Kind::Other)
            } else if has("__properties_version1.0") {
                of("application/vnd.ms-outlook", Kind::Other)
            } else if has("Workbook") || has("Book") {
                of("application/vnd.ms-excel", Kind::Sheets)
            } else {
                of(format.media_type(), Kind::Other)
            }
        }
        _ => of(format.media_type(), Kind::Other),
    }
}

/// What a file should be by its name, where its content says nothing.
pub(in crate::enrich) fn by_name(extension: &str) -> Option<Detected> {
    Some(match extension {
        "docx" | "docm" | "dotx" | "dotm" => of(WORD, Kind::Word),
        "pptx" | "pptm" | "potx" | "potm" | "ppsx" | "ppsm" => of(SLIDES, Kind::Slides),
        "xlsx" | "xlsm" | "xltx" | "xltm" => of(SHEETS, Kind::Sheets),
        "xlsb" => of(BINARY_SHEETS, Kind::Sheets),
        "odt" => of("application/vnd.oasis.opendocument.text", Kind::OpenDocument),
        "ods" => of("application/vnd.oasis.opendocument.spreadsheet", Kind::OpenDocument),
        "odp" => of("application/vnd.oasis.opendocument.presentation", Kind::OpenDocument),
        _ => return None,
    })
}

fn tail(reader: &mut (impl Read + Seek)) -> io::Result<Vec<u8>> {
    let length = reader.seek(SeekFrom::End(0))?;
    reader.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    reader.take(TAIL).read_to_end(&mut tail)?;
    Ok(tail)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// So many sectors of a compound file's directory are looked at: some hundred names.
const MAX_SECTORS: usize = 64;

/// The names of a compound file's streams and storages, those inside others too (MS-CFB 2.2, 2.6). What leads outside
/// the file ends the list.
fn compound_names(reader: &mut (impl Read + Seek)) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let Some(header) = read_at(reader, 0, 512)? else { return Ok(names) };
    let size: u64 = if header[30] == 12 { 4096 } else { 512 };
    let mut sector = number(&header[48..]);
    for _ in 0..MAX_SECTORS {
        // The header takes the place of a sector. Above this they are not sectors, but marks.
        let place = |sector: u32| (sector < 0xffff_fffa).then(|| (u64::from(sector) + 1) * size);
        let Some(at) = place(sector) else { break };
        let Some(entries) = read_at(reader, at, size)? else { break };
        names.extend(entries.chunks_exact(128).filter(|entry| entry[66] != 0).map(name));
        // The next one stands in the allocation table, whose first 109 sectors the header lists.
        let (table, index) = (u64::from(sector) / (size / 4), u64::from(sector) % (size / 4));
        let Some(table) = header.get(76 + 4 * table as usize..80 + 4 * table as usize) else { break };
        let Some(at) = place(number(table)) else { break };
        let Some(next) = read_at(reader, at + 4 * index, 4)? else { break };
        sector = number(&next);
    }
    Ok(names)
}

fn name(entry: &[u8]) -> String {
    let units = entry[..64].chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    char::decode_utf16(units.take_while(|&unit| unit != 0)).map(|char| char.unwrap_or('\u{fffd}')).collect()
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// So many bytes from there; `None` where the file ends before.
fn read_at(reader: &mut (impl Read + Seek), at: u64, length: u64) -> io::Result<Option<Vec<u8>>> {
    reader.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 == length).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn kind(format: FileFormat, names: &[&str], extension: &str) -> (String, Kind) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let detected = in_compound_file(&names, format, extension);
        (detected.mime, detected.kind)
    }

    // E1
    #[test]
    fn compound_files_are_told_apart_by_their_streams() {
        let unmarked = FileFormat::CompoundFileBinary;
        assert_eq!(kind(unmarked, &["Workbook"], "doc").1, Kind::Sheets);
        // A workbook put into a letter is a letter.
        assert_eq!(kind(unmarked, &["Workbook", "WordDocument"], "xls").0, "application/msword");
        // A letter put into a workbook is a workbook.
        let marked = FileFormat::MicrosoftExcelSpreadsheet;
        assert_eq!(kind(marked, &["Workbook", "WordDocument"], "").1, Kind::Sheets);
        assert_eq!(kind(unmarked, &["EncryptedPackage"], "xlsx").1, Kind::Sheets);
        assert_eq!(kind(unmarked, &["EncryptedPackage"], "").1, Kind::Word);
        assert_eq!(kind(unmarked, &["Anything"], "xls").1, Kind::Other);
    }

    // E1
    #[test]
    fn an_archive_with_a_folder_named_word_is_no_document_of_word() {
        let head = b"PK\x03\x04.....word/list.txt";
        assert_eq!(in_archive(head, b"", FileFormat::OfficeOpenXmlDocument), None);
        let found = in_archive(head, b"[Content_Types].xml", FileFormat::OfficeOpenXmlDocument);
        assert_eq!(found.expect("it is one").kind, Kind::Word);
    }

    // E1
    #[test]
    fn a_directory_that_leads_in_a_circle_or_nowhere_has_an_end() {
        let mut file = vec![0; 512 * 4];
        file[..8].copy_from_slice(COMPOUND_FILE);
        file[30] = 9;
        // The directory is sector 1, the table sector 0, and the table says that sector 1 follows upon sector 1.
        file[48] = 1;
        file[512 + 4] = 1;
        file[512 * 2 + 66] = 5;
        file[512 * 2] = b'R';
        assert_eq!(compound_names(&mut Cursor::new(&file)).expect("memory does not fail").len(), MAX_SECTORS);
        file[48] = 200;
        assert_eq!(compound_names(&mut Cursor::new(&file)).expect("memory does not fail").len(), 0);
        assert_eq!(compound_names(&mut Cursor::new(&file[..100])).expect("memory does not fail").len(), 0);
    }
}
