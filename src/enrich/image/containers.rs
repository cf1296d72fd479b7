//! Where each format of pictures keeps what is said about them.

use std::io::{self, Cursor, Read, SeekFrom};

use flate2::read::ZlibDecoder;
use nom_exif::{EntryValue, IfdIndex, MediaParser, MediaSource};

use super::iptc::{IPTC_RESOURCE, Iptc, resource};
use super::tiff::{Tag, Tags};
use crate::enrich::extract::Source;
use crate::enrich::text;
use crate::enrich::xmp::Xmp;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    pub(super) exif: Option<Tags>,
    pub(super) xmp: Option<Xmp>,
    pub(super) iptc: Option<Iptc>,
    /// Texts with a keyword.
    pub(super) texts: Vec<(String, String)>,
    pub(super) comments: Vec<String>,
    /// In pixels, where it stands among them.
    pub(super) size: Option<(u64, u64)>,
}

/// Longer blocks are no words.
const BLOCK_MOST: u64 = 16 * 1024 * 1024;

/// A file of more parts than this is walked through no further.
const PARTS_MOST: usize = 100_000;

/// Reads what is there. A broken block is as none; only what makes the walk impossible is an error.
pub(super) fn read(head: &[u8], source: &mut dyn Source) -> io::Result<Blocks> {
    let mut blocks = Blocks::default();
    match head {
        [0xff, 0xd8, ..] => jpeg(source, 0, &mut blocks)?,
        [0x89, b'P', b'N', b'G', ..] => png(source, &mut blocks)?,
        [b'R', b'I', b'F', b'F', ..] => webp(source, &mut blocks)?,
        [b'G', b'I', b'F', b'8', ..] => gif(source, &mut blocks)?,
        [b'8', b'B', b'P', b'S', ..] => photoshop(source, &mut blocks)?,
        [_, _, _, _, b'J', b'X', b'L', b' ', ..] => jpeg_xl(source, &mut blocks)?,
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => blocks.exif = boxed(source),
        // The picture that the camera shows is a JPEG, and what it says is the raw picture's.
        [b'F', b'U', b'J', b'I', ..] => {
            let mut place = [0; 4];
            source.seek(SeekFrom::Start(84))?;
            source.read_exact(&mut place)?;
            jpeg(source, u64::from(u32::from_be_bytes(place)), &mut blocks)?;
            // That one is small.
            blocks.size = None;
        }
        [b'I', b'I', ..] | [b'M', b'M', ..] => {
            let mut source = source;
            let tags = Tags::read(&mut source)?;
            blocks.xmp = tags.bytes(Tag::Main(0x02bc)).map(xmp);
            let resources =
                tags.bytes(Tag::Main(0x8649)).and_then(|resources| resource(resources, IPTC_RESOURCE));
            blocks.iptc = tags.bytes(Tag::Main(0x83bb)).or(resources).map(Iptc::read);
            // The first pictures of a raw file are previews, and the raw one is not always among the directories.
            let is_raw = !matches!(head, [_, _, b'*', 0, _, _, _, _, rest @ ..] | [_, _, 0, b'*', rest @ ..] if !rest.starts_with(b"CR"));
            let area = |(width, height): (u64, u64)| width.saturating_mul(height);
            let taken = tags.size_taken().filter(|_| is_raw);
            blocks.size = [tags.size(), taken].into_iter().flatten().max_by_key(|size| area(*size));
            blocks.exif = Some(tags);
        }
        _ => {}
    }
    Ok(blocks)
}

fn xmp(bytes: &[u8]) -> Xmp {
    // UTF-16 may come without its mark.
    let packet = match bytes {
        [0, b'<', ..] => encoding_rs::UTF_16BE.decode_without_bom_handling(bytes).0.into_owned(),
        [b'<', 0, ..] => encoding_rs::UTF_16LE.decode_without_bom_handling(bytes).0.into_owned(),
        _ => text::decode(bytes, None),
    };
    Xmp::read(&packet)
}

fn exif(bytes: &[u8]) -> Option<Tags> {
    let bytes = bytes.strip_prefix(b"Exif\0\0").unwrap_or(bytes);
    Tags::read(&mut Cursor::new(bytes)).ok()
}

fn some_bytes(source: &mut dyn Source, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(length.min(BLOCK_MOST)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Segments up to the picture.
fn jpeg(source: &mut dyn Source, start: u64, blocks: &mut Blocks) -> io::Result<()> {
    const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";
    const RESOURCES: &[u8] = b"Photoshop 3.0\0";
    let (mut at, mut resources) = (start + 2, Vec::new());
    for _ in 0..PARTS_MOST {
        source.seek(SeekFrom::Start(at))?;
        let mut head = [0; 4];
        if source.read_exact(&mut head).is_err() || head[0] != 0xff {
            break;
        }
        let marker = head[1];
        // Fill bytes, and markers without a body.
        if matches!(marker, 0xff | 0x01 | 0xd0..=0xd8) {
            at += if marker == 0xff { 1 } else { 2 };
            continue;
        }
        let length = u64::from(u16::from_be_bytes([head[2], head[3]]));
        match marker {
            0xd9 | 0xda => break,
            0xe1 => {
                let body = some_bytes(source, length.saturating_sub(2))?;
                if body.starts_with(b"Exif\0\0") && blocks.exif.is_none() {
                    blocks.exif = exif(&body);
                } else if let Some(packet) = body.strip_prefix(XMP) {
                    blocks.xmp.get_or_insert_with(|| xmp(packet));
                }
            }
            // One record may be spread over several segments.
            0xed => {
                let body = some_bytes(source, length.saturating_sub(2))?;
                resources.extend_from_slice(body.strip_prefix(RESOURCES).unwrap_or_default());
            }
            0xfe => {
                let body = some_bytes(source, length.saturating_sub(2))?;
                blocks.comments.push(text::decode(&body, None));
            }
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                let body = some_bytes(source, 5)?;
                if let [_, a, b, c, d] = body[..] {
                    blocks.size =
                        Some((u64::from(u16::from_be_bytes([c, d])), u64::from(u16::from_be_bytes([a, b]))));
                }
            }
            _ => {}
        }
        at += 2 + length.max(2);
    }
    blocks.iptc = resource(&resources, IPTC_RESOURCE).map(Iptc::read);
    Ok(())
}

/// Chunks; words may stand before the picture and behind it.
fn png(source: &mut dyn Source, blocks: &mut Blocks) -> io::Result<()> {
    let mut at = 8;
    for _ in 0..PARTS_MOST {
        source.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        if source.read_exact(&mut head).is_err() {
            break;
        }
        let length = u64::from(u32::from_be_bytes([head[0], head[1], head[2], head[3]]));
        match &head[4..] {
            b"IHDR" => {
                if let [a, b, c, d, e, f, g, h] = some_bytes(source, 8)?[..] {
                    let number = |bytes| u64::from(u32::from_be_bytes(bytes));
                    blocks.size = Some((number([a, b, c, d]), number([e, f, g, h])));
                }
            }
            b"eXIf" => blocks.exif = exif(&some_bytes(source, length)?),
            b"tEXt" | b"zTXt" | b"iTXt" => {
                if let Some((keyword, text)) = png_text(&head[4..], &some_bytes(source, length)?) {
                    if keyword == "XML:com.adobe.xmp" {
                        blocks.xmp = Some(Xmp::read(&text));
                    } else if let Some(kind) = keyword.strip_prefix("Raw profile type ") {
                        raw_profile(kind, &text, blocks);
                    } else {
                        blocks.texts.push((keyword, text));
                    }
                }
            }
            b"IEND" => break,
            _ => {}
        }
        at += 12 + length;
    }
    Ok(())
}

/// ImageMagick's way to keep what PNG had no place for: a name, a length and hexadecimal digits.
fn raw_profile(kind: &str, text: &str, blocks: &mut Blocks) {
    let digits: Vec<u8> = text.split_whitespace().skip(2).flat_map(str::bytes).collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> =
        digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect();
    let Some(bytes) = bytes else { return };
    match kind {
        "xmp" => blocks.xmp = Some(xmp(&bytes)),
        "exif" | "APP1" if !bytes.starts_with(b"http") => blocks.exif = exif(&bytes),
        "iptc" | "8bim" => {
            let record = resource(&bytes, IPTC_RESOURCE).unwrap_or(&bytes);
            blocks.iptc = Some(Iptc::read(record));
        }
        _ => {}
    }
}

/// Keyword and text of a chunk, as PNG's chapter 11.3.3 has them.
fn png_text(kind: &[u8], body: &[u8]) -> Option<(String, String)> {
    let latin = |bytes: &[u8]| bytes.iter().map(|&byte| char::from(byte)).collect::<String>();
    let split = |bytes: &'_ [u8]| bytes.iter().position(|&byte| byte == 0);
    let at = split(body)?;
    let (keyword, rest) = (latin(&body[..at]), &body[at + 1..]);
    let text = match kind {
        b"tEXt" => latin_or_utf8(rest),
        b"zTXt" => latin_or_utf8(&inflated(rest.get(1..)?)),
        _ => {
            let is_compressed = *rest.first()? != 0;
            let rest = rest.get(2..)?;
            let rest = &rest[split(rest)? + 1..];
            let rest = &rest[split(rest)? + 1..];
            let bytes = if is_compressed { inflated(rest) } else { rest.to_vec() };
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    Some((keyword, text))
}

/// The standard says Latin-1; many programs write what they have.
fn latin_or_utf8(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| bytes.iter().map(|&byte| char::from(byte)).collect())
}

/// As much as comes out, up to a cap.
fn inflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // What came out before an error is text all the same.
    _ = ZlibDecoder::new(bytes).take(BLOCK_MOST).read_to_end(&mut out);
    out
}

/// Blocks, and behind each a chain of short ones. XMP stands there as if it were such a chain, so that those who do not
/// know it leap through it: up to a trailer that catches them all.
fn gif(source: &mut dyn Source, blocks: &mut Blocks) -> io::Result<()> {
    let colours = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    source.seek(SeekFrom::Start(6))?;
    let screen = some_bytes(source, 7)?;
    let [a, b, c, d, flags, _, _] = screen[..] else { return Err(io::ErrorKind::UnexpectedEof.into()) };
    blocks.size = Some((u64::from(u16::from_le_bytes([a, b])), u64::from(u16::from_le_bytes([c, d]))));
    let mut source = io::BufReader::new(source);
    source.seek_relative(colours(flags))?;
    for _ in 0..PARTS_MOST {
        let mut kind = [0; 2];
        if source.read_exact(&mut kind[..1]).is_err() {
            break;
        }
        match kind[0] {
            // A frame: nine bytes of place and flags, its colours, how its codes begin.
            b',' => {
                let mut frame = [0; 9];
                source.read_exact(&mut frame)?;
                source.seek_relative(colours(frame[8]) + 1)?;
                chain(&mut source)?;
            }
            b'!' => {
                source.read_exact(&mut kind[1..])?;
                let body = chain(&mut source)?;
                if kind[1] == 0xfe {
                    blocks.comments.push(text::decode(&body.joined, None));
                } else if let Some(packet) = body.raw.strip_prefix(b"\x0bXMP DataXMP") {
                    // The trailer counts down from 255.
                    let end = packet
                        .windows(3)
                        .rposition(|three| three == [0x01, 0xff, 0xfe])
                        .unwrap_or(packet.len());
                    blocks.xmp = Some(xmp(&packet[..end]));
                }
            }
            _ => break,
        }
    }
    Ok(())
}

/// What stood in a chain of short blocks: with their lengths, and without.
#[derive(Default)]
struct Chain {
    raw: Vec<u8>,
    joined: Vec<u8>,
}

fn chain(source: &mut impl Read) -> io::Result<Chain> {
    let mut chain = Chain::default();
    loop {
        let (mut length, mut block) = ([0], [0; 255]);
        source.read_exact(&mut length)?;
        let block = &mut block[..usize::from(length[0])];
        source.read_exact(block)?;
        if block.is_empty() {
            return Ok(chain);
        }
        // Frames are chains too, and longer than any words.
        if chain.raw.len() < GIF_MOST {
            chain.raw.extend(length);
            chain.raw.extend_from_slice(block);
            chain.joined.extend_from_slice(block);
        }
    }
}

const GIF_MOST: usize = 1024 * 1024;

/// RIFF chunks.
fn webp(source: &mut dyn Source, blocks: &mut Blocks) -> io::Result<()> {
    let mut at = 12;
    for _ in 0..PARTS_MOST {
        source.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        if source.read_exact(&mut head).is_err() {
            break;
        }
        let length = u64::from(u32::from_le_bytes([head[4], head[5], head[6], head[7]]));
        match &head[..4] {
            b"EXIF" => blocks.exif = exif(&some_bytes(source, length)?),
            b"XMP " => blocks.xmp = Some(xmp(&some_bytes(source, length)?)),
            _ => {}
        }
        at += 8 + length + length % 2;
    }
    Ok(())
}

/// Photoshop's own: the resources stand behind the colours.
fn photoshop(source: &mut dyn Source, blocks: &mut Blocks) -> io::Result<()> {
    source.seek(SeekFrom::Start(26))?;
    let colours = some_bytes(source, 4)?;
    let colours = u32::from_be_bytes(colours.try_into().map_err(|_| io::ErrorKind::UnexpectedEof)?);
    source.seek(SeekFrom::Current(i64::from(colours)))?;
    let resources = some_bytes(source, 4)?;
    let resources = u32::from_be_bytes(resources.try_into().map_err(|_| io::ErrorKind::UnexpectedEof)?);
    let resources = some_bytes(source, u64::from(resources))?;
    blocks.iptc = resource(&resources, IPTC_RESOURCE).map(Iptc::read);
    blocks.xmp = resource(&resources, 0x0424).map(xmp);
    blocks.exif = resource(&resources, 0x0422).and_then(exif);
    Ok(())
}

/// Boxes with a length and a name, words among them at the outermost level.
fn jpeg_xl(source: &mut dyn Source, blocks: &mut Blocks) -> io::Result<()> {
    let mut at = 0;
    for _ in 0..PARTS_MOST {
        source.seek(SeekFrom::Start(at))?;
        let mut head = [0; 8];
        if source.read_exact(&mut head).is_err() {
            break;
        }
        let mut length = u64::from(u32::from_be_bytes([head[0], head[1], head[2], head[3]]));
        let mut head_length = 8;
        if length == 1 {
            let mut long = [0; 8];
            source.read_exact(&mut long)?;
            (length, head_length) = (u64::from_be_bytes(long), 16);
        }
        // Up to the end of the file.
        if length == 0 {
            length = BLOCK_MOST;
        }
        let body = length.saturating_sub(head_length);
        match &head[4..] {
            b"xml " => blocks.xmp = Some(xmp(&some_bytes(source, body)?)),
            // Before EXIF stands how far away it begins.
            b"Exif" => blocks.exif = some_bytes(source, body)?.get(4..).and_then(exif),
            _ => {}
        }
        at = at.saturating_add(length.max(8));
    }
    Ok(())
}

/// HEIC, AVIF and CR3 keep EXIF somewhere among their boxes; nom-exif knows where, and hands out values, not the block.
fn boxed(source: &mut dyn Source) -> Option<Tags> {
    source.seek(SeekFrom::Start(0)).ok()?;
    let found: nom_exif::Exif =
        MediaParser::new().parse_exif(MediaSource::seekable(source).ok()?).ok()?.into();
    let mut tags = Tags::default();
    for tag in [
        Tag::Main(0x010e),
        Tag::Main(0x010f),
        Tag::Main(0x0110),
        Tag::Main(0x0132),
        Tag::Main(0x013b),
        Tag::Exif(0x9003),
        Tag::Exif(0x9004),
        Tag::Exif(0xa434),
    ] {
        let (Tag::Main(code) | Tag::Exif(code) | Tag::Gps(code)) = tag;
        let text = match found.get_by_code(IfdIndex::MAIN, code) {
            Some(EntryValue::Text(text)) => text.clone(),
            Some(EntryValue::DateTime(time)) => {
                tags.put_text(Tag::Exif(0x9011), time.format("%:z").to_string());
                time.format("%Y:%m:%d %H:%M:%S").to_string()
            }
            Some(EntryValue::NaiveDateTime(time)) => time.format("%Y:%m:%d %H:%M:%S").to_string(),
            _ => continue,
        };
        tags.put_text(tag, text);
    }
    if let Some(gps) = found.gps_info() {
        tags.put_position(gps.latitude_decimal()?, gps.longitude_decimal()?);
    }
    Some(tags)
}
