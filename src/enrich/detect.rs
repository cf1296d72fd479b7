//! What a file is, by its content. Its name only settles what content leaves open: Markdown is text like any other.

use std::io::{self, Read, Seek, SeekFrom};

use file_format::FileFormat;

use super::office::container;
use super::{archive, mail, text};
use crate::model::words;

words! {
    /// What kind of content, as far as extraction treats it differently.
    pub enum Kind {
        /// Plain text, and formats that are read as it: subtitles, CSV, XML, program sources.
        Text = "text",
        /// Markdown.
        Markdown = "markdown",
        /// HTML and XHTML.
        Html = "html",
        /// PDF.
        Pdf = "pdf",
        /// EPUB.
        Epub = "epub",
        /// Word documents of the XML kind.
        Word = "word",
        /// PowerPoint presentations of the XML kind.
        Slides = "slides",
        /// Excel workbooks.
        Sheets = "sheets",
        /// OpenDocument texts, presentations, drawings and spreadsheets.
        OpenDocument = "open-document",
        /// RTF.
        Rtf = "rtf",
        /// An e-mail message, or a mailbox of them.
        Mail = "mail",
        /// Recordings.
        Audio = "audio",
        /// Archives and compressed files.
        Archive = "archive",
        /// Pictures made of pixels.
        Image = "image",
        /// Drawings whose words are text.
        Svg = "svg",
        /// Everything else.
        Other = "other",
    }
}

/// A file's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// Media type.
    pub mime: String,
    /// How it is read.
    pub kind: Kind,
}

/// So much of the beginning is looked at.
const HEAD: u64 = 64 * 1024;

/// Names that say "text"; content that is text and begins like something else by chance is then text after all.
const TEXT_EXTENSIONS: [&str; 14] =
    ["txt", "text", "md", "markdown", "mkd", "csv", "tsv", "log", "srt", "vtt", "rst", "org", "adoc", "tex"];

/// Tells what is in a file of that name (only its extension is looked at; bytes, as the disk has them).
///
/// # Errors
/// Reading failed.
pub fn detect(mut reader: impl Read + Seek, name: &[u8]) -> io::Result<Detected> {
    let mut head = Vec::new();
    reader.seek(SeekFrom::Start(0))?;
    (&mut reader).take(HEAD).read_to_end(&mut head)?;
    reader.seek(SeekFrom::Start(0))?;
    let format = FileFormat::from_reader(&mut reader)?;
    let extension = extension(name);
    if let Some(office) = container::look_inside(&mut reader, &head, format, &extension)? {
        return Ok(office);
    }
    Ok(judge(&head, format, &extension))
}

fn extension(name: &[u8]) -> String {
    match name.iter().rposition(|&byte| byte == b'.') {
        Some(dot) if dot > 0 => String::from_utf8_lossy(&name[dot + 1..]).to_ascii_lowercase(),
        _ => String::new(),
    }
}

fn judge(head: &[u8], format: FileFormat, extension: &str) -> Detected {
    let of = |mime: &str, kind| Detected { mime: mime.to_owned(), kind };
    if head.is_empty() {
        return of("application/x-empty", Kind::Other);
    }
    if format == FileFormat::PortableDocumentFormat || is_pdf(head) {
        return of("application/pdf", Kind::Pdf);
    }
    if is_epub(head, format, extension) {
        return of("application/epub+zip", Kind::Epub);
    }
    if head.starts_with(b"{\\rtf") {
        return of("application/rtf", Kind::Rtf);
    }
    if let Some(mime) = mail::begins_like_mail(head, extension) {
        return of(mime, Kind::Mail);
    }
    // Silence, compressed, hardly has a byte that would not do for text.
    let is_bare =
        matches!(format, FileFormat::Id3v2 | FileFormat::ArbitraryBinaryData | FileFormat::PlainText);
    if is_bare && (matches!(head, [b'I', b'D', b'3', 0..=9, ..]) || is_mpeg_audio(head)) {
        return of("audio/mpeg", Kind::Audio);
    }
    if is_text(head) {
        return judge_text(head, format, extension);
    }
    let unknown = matches!(format, FileFormat::ArbitraryBinaryData | FileFormat::PlainText);
    match extension {
        // Nothing that anybody knows, under a name that says what it should be: its beginning was overwritten.
        "pdf" if unknown => of("application/pdf", Kind::Pdf),
        "epub" if unknown => of("application/epub+zip", Kind::Epub),
        _ if unknown && let Some(office) = container::by_name(extension) => office,
        // Its directory stands at its end, and is broken.
        _ if unknown && head.starts_with(b"PK\x03\x04") => of("application/zip", Kind::Archive),
        _ if unknown && archive::is_tape_head(head) => of("application/x-tar", Kind::Archive),
        _ if unknown => of("application/octet-stream", Kind::Other),
        _ => of(format.media_type(), kind_of(format)),
    }
}

/// How a format is read that only its content can be known by.
fn kind_of(format: FileFormat) -> Kind {
    use FileFormat as Is;

    match format {
        Is::AdvancedAudioCoding
        | Is::AppleItunesAudio
        | Is::AppleItunesAudiobook
        | Is::AudioInterchangeFileFormat
        | Is::FlashMp4Audio
        | Is::FlashMp4Audiobook
        | Is::FreeLosslessAudioCodec
        | Is::MonkeysAudio
        | Is::Mpeg12AudioLayer2
        | Is::Mpeg12AudioLayer3
        | Is::Mpeg4Part14Audio
        | Is::Musepack
        | Is::OggOpus
        | Is::OggSpeex
        | Is::OggVorbis
        | Is::WaveformAudio
        | Is::Wavpack => Kind::Audio,
        Is::AndroidPackage
        | Is::Bzip2
        | Is::DebianPackage
        | Is::EnterpriseApplicationArchive
        | Is::Gzip
        | Is::JavaArchive
        | Is::SevenZip
        | Is::TapeArchive
        | Is::WebApplicationArchive
        | Is::Xpinstall
        | Is::Xz
        | Is::Zip
        | Is::Zstandard => Kind::Archive,
        Is::AdobePhotoshopDocument
        | Is::AnimatedPortableNetworkGraphics
        | Is::Av1ImageFileFormat
        | Is::Av1ImageFileFormatSequence
        | Is::CanonRaw2
        | Is::CanonRaw3
        | Is::FujifilmRaw
        | Is::GraphicsInterchangeFormat
        | Is::HighEfficiencyImageCoding
        | Is::HighEfficiencyImageCodingSequence
        | Is::HighEfficiencyImageFileFormat
        | Is::HighEfficiencyImageFileFormatSequence
        | Is::JointPhotographicExpertsGroup
        | Is::JpegXl
        | Is::NikonElectronicFile
        | Is::OlympusRawFormat
        | Is::PanasonicRaw
        | Is::PortableNetworkGraphics
        | Is::SonyAlphaRaw
        | Is::TagImageFileFormat
        | Is::Webp
        | Is::WindowsBitmap => Kind::Image,
        _ => Kind::Other,
    }
}

/// Whether two frames of MPEG audio follow each other: a single one has only eleven bits to be known by.
fn is_mpeg_audio(head: &[u8]) -> bool {
    let Some((length, kind)) = mpeg_frame(head) else { return false };
    head.get(length..).and_then(mpeg_frame).is_some_and(|(_, next)| next == kind)
}

/// How long a frame is, and what all frames of one recording have in common.
fn mpeg_frame(head: &[u8]) -> Option<(usize, u8)> {
    /// Of version 1 with layers 1 to 3, then of version 2 with layer 1 and with the others; thousands of bits a second.
    const RATES: [[usize; 14]; 5] = [
        [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
        [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
        [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
        [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    ];
    let &[0xff, kind, rates, ..] = head else { return None };
    let (version, layer) = (kind >> 3 & 3, 4 - (kind >> 1 & 3));
    if kind & 0xe0 != 0xe0 || version == 1 || layer == 4 {
        return None;
    }
    let table = match (version, layer) {
        (3, layer) => usize::from(layer) - 1,
        (_, 1) => 3,
        _ => 4,
    };
    let rate = RATES[table].get(usize::from(rates >> 4).checked_sub(1)?)? * 1000;
    let samples_a_second = [44_100, 48_000, 32_000].get(usize::from(rates >> 2 & 3))?;
    // Version 2 halves the samples, 2.5 halves them again.
    let samples_a_second = samples_a_second
        >> match version {
            3 => 0,
            2 => 1,
            _ => 2,
        };
    let padding = usize::from(rates >> 1 & 1);
    let length = match (layer, version) {
        (1, _) => (12 * rate / samples_a_second + padding) * 4,
        (3, 0 | 2) => 72 * rate / samples_a_second + padding,
        _ => 144 * rate / samples_a_second + padding,
    };
    Some((length, kind & 0xfe))
}

/// The header may stand anywhere in the first 1024 bytes.
fn is_pdf(head: &[u8]) -> bool {
    let head = &head[..head.len().min(1024)];
    // In text it is a text about PDF, unless it stands first.
    head.starts_with(b"%PDF-") || (!is_text(head) && head.windows(5).any(|window| window == b"%PDF-"))
}

fn is_epub(head: &[u8], format: FileFormat, extension: &str) -> bool {
    format == FileFormat::ElectronicPublication
        || head.get(30..58) == Some(b"mimetypeapplication/epub+zip")
        || (head.starts_with(b"PK\x03\x04") && extension == "epub")
}

fn judge_text(head: &[u8], format: FileFormat, extension: &str) -> Detected {
    let of = |mime: &str, kind| Detected { mime: mime.to_owned(), kind };
    let start = text::decode(&head[..head.len().min(4096)], None);
    if begins_like_html(&start) {
        return of("text/html", Kind::Html);
    }
    match extension {
        "md" | "markdown" | "mkd" => return of("text/markdown", Kind::Markdown),
        "html" | "htm" | "xhtml" | "shtml" if start.contains('<') => return of("text/html", Kind::Html),
        _ => {}
    }
    let media_type = format.media_type();
    match format {
        FileFormat::PlainText | FileFormat::ArbitraryBinaryData | FileFormat::Empty => match extension {
            "csv" => of("text/csv", Kind::Text),
            "tsv" => of("text/tab-separated-values", Kind::Text),
            "xml" => of("text/xml", Kind::Text),
            _ => of("text/plain", Kind::Text),
        },
        FileFormat::SubripText => of(media_type, Kind::Text),
        FileFormat::ScalableVectorGraphics => of(media_type, Kind::Svg),
        _ if media_type.starts_with("text/") => of(media_type, Kind::Text),
        // A note that begins with "BM" or "P1" is no picture.
        _ if TEXT_EXTENSIONS.contains(&extension) => of("text/plain", Kind::Text),
        _ => of(media_type, kind_of(format)),
    }
}

/// Looks behind byte order mark, white space, comments and XML declaration.
fn begins_like_html(start: &str) -> bool {
    let mut rest = start.trim_start_matches('\u{feff}').trim_start();
    loop {
        let end = if rest.starts_with("<!--") {
            rest.find("-->").map(|at| at + 3)
        } else if rest.starts_with("<?xml") {
            rest.find("?>").map(|at| at + 2)
        } else {
            None
        };
        let Some(end) = end else { break };
        rest = rest[end..].trim_start();
    }
    ["<!doctype html", "<html"].iter().any(|opening| {
        rest.get(..opening.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(opening))
    })
}

/// Whether these bytes are text in some encoding.
fn is_text(head: &[u8]) -> bool {
    if head.starts_with(&[0xff, 0xfe, 0, 0]) {
        // UTF-32, which nobody decodes.
        return false;
    }
    if encoding_rs::Encoding::for_bom(head).is_some() {
        return true;
    }
    if head.contains(&0) {
        return false;
    }
    // Backspace and escape occur in terminal logs and formatted manuals, 0x1a ends files of CP/M and DOS. Of the others
    // one stray byte in 200 is forgiven; in binary files every tenth is one.
    let is_odd = |byte: &&u8| {
        **byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0x08 | 0x1b | 0x1a)
    };
    head.iter().filter(is_odd).count() <= head.len() / 200
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(b"plain words\n", "notes.txt", "text/plain", Kind::Text)]
    #[case(b"# Title\n", "notes.md", "text/markdown", Kind::Markdown)]
    #[case(b"a,b\n1,2\n", "t.CSV", "text/csv", Kind::Text)]
    #[case(b"\n<!-- c --><!DOCTYPE HTML><p>x", "page", "text/html", Kind::Html)]
    #[case(b"<html><p>x", "page.txt", "text/html", Kind::Html)]
    #[case(b"<p>fragment</p>", "page.htm", "text/html", Kind::Html)]
    #[case(
        b"<?xml version=\"1.0\"?>\n<html xmlns=\"http://www.w3.org/1999/xhtml\">",
        "c.xml",
        "text/html",
        Kind::Html
    )]
    #[case(b"<?xml version=\"1.0\"?>\n<shelf/>", "shelf.xml", "text/xml", Kind::Text)]
    #[case(b"%PDF-1.7\n%\xe2\xe3\n1 0 obj", "mislabelled.txt", "application/pdf", Kind::Pdf)]
    #[case(b"A note about the header %PDF- and others", "note.txt", "text/plain", Kind::Text)]
    #[case(b"\0\0\0\0\0\0\0\0", "overwritten.pdf", "application/pdf", Kind::Pdf)]
    #[case(b"\0\0\0\0\0\0\0\0", "zeros.bin", "application/octet-stream", Kind::Other)]
    #[case(b"BMW and other cars", "cars.txt", "text/plain", Kind::Text)]
    #[case(b"caf\xe9 au lait", "latin1.txt", "text/plain", Kind::Text)]
    #[case(b"\xff\xfea\0b\0", "utf16.txt", "text/plain", Kind::Text)]
    #[case(b"1\n00:00:01,000 --> 00:00:02,000\nHello\n", "talk.srt", "application/x-subrip", Kind::Text)]
    #[case(b"WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n", "talk.vtt", "text/vtt", Kind::Text)]
    #[case(&[&[b'x'; 300][..], b"\x01"].concat(), "stray.txt", "text/plain", Kind::Text)]
    #[case(&[&[b'x'; 300][..], b"\0"].concat(), "nul.txt", "application/octet-stream", Kind::Other)]
    #[case(b"ID3 is a tag", "note.txt", "text/plain", Kind::Text)]
    #[case(b"ID3\x04\0\0\0\0\0\0", "x", "audio/mpeg", Kind::Audio)]
    #[case(&[&[0xff, 0xfb, 0x90, b'd'][..], &[b'U'; 413], &[0xff, 0xfb, 0x90, b'd']].concat(), "x", "audio/mpeg", Kind::Audio)]
    #[case(&[&[0xff, 0xfb, 0x90, b'd'][..], &[b'U'; 500]].concat(), "x.txt", "text/plain", Kind::Text)]
    #[case(b"PK\x03\x04\x14\0\0\0", "cut.zip", "application/zip", Kind::Archive)]
    #[case(b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "x", "image/svg+xml", Kind::Svg)]
    #[case(b"", "empty.txt", "application/x-empty", Kind::Other)]
    #[case(b"{\\rtf1 x}", "letter.rtf", "application/rtf", Kind::Rtf)]
    #[case(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "shot.txt", "image/png", Kind::Image)]
    fn content_decides_and_the_name_only_where_content_is_silent(
        #[case] content: &[u8],
        #[case] name: &str,
        #[case] mime: &str,
        #[case] kind: Kind,
    ) {
        let detected = detect(Cursor::new(content), name.as_bytes()).expect("memory does not fail");
        assert_eq!(detected, Detected { mime: mime.to_owned(), kind });
    }

    #[test]
    fn an_archive_cut_short_is_still_a_book() {
        let mut head = b"PK\x03\x04".to_vec();
        head.resize(30, 0);
        head.extend(b"mimetypeapplication/epub+zipPK");
        assert_eq!(detect(Cursor::new(head), b"x").expect("memory does not fail").kind, Kind::Epub);
    }
}
