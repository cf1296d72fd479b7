//! TIFF's directories of tags: in TIFF files and in most raw ones, and in every EXIF block.
//!
//! Walked by hand, because a directory may stand behind hundreds of megabytes of picture, and what EXIF crates do then is
//! to read all that comes before it. Here only the directories are read, and of them only the tags that are wanted.

use std::collections::HashMap;
use std::io::{self, Read, Seek, SeekFrom};

use crate::enrich::text;

/// A tag of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Tag {
    /// Of the first directory.
    Main(u16),
    /// Of the EXIF directory.
    Exif(u16),
    /// Of the GPS directory.
    Gps(u16),
}

const EXIF_DIRECTORY: u16 = 0x8769;
const GPS_DIRECTORY: u16 = 0x8825;
const SUB_DIRECTORIES: u16 = 0x014a;

/// Longer values are no words about a picture.
const VALUE_MOST: u64 = 8 * 1024 * 1024;
const ALL_VALUES_MOST: u64 = 32 * 1024 * 1024;

/// Tags that were found, with what they hold.
#[derive(Debug, Default)]
pub(super) struct Tags {
    values: HashMap<Tag, Value>,
    /// Degrees north and east, where they do not come as tags.
    position: Option<(f64, f64)>,
    /// The largest picture that any directory has: a raw file's first one is a thumbnail.
    largest: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Value {
    kind: u16,
    bytes: Vec<u8>,
    little: bool,
}

impl Tags {
    /// Reads the directories of what begins at the beginning of `source`.
    pub(super) fn read(source: &mut (impl Read + Seek)) -> io::Result<Self> {
        let mut head = [0; 8];
        source.seek(SeekFrom::Start(0))?;
        source.read_exact(&mut head)?;
        let little = match &head[..2] {
            b"II" => true,
            b"MM" => false,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not begin as TIFF does")),
        };
        let mut walk = Walk { source, little, tags: Tags::default(), left: ALL_VALUES_MOST };
        let first = u64::from(walk.u32_of(&head[4..]));
        let pointers = walk.directory(first, Tag::Main, true)?;
        for (tag, at) in pointers {
            // What the first directory says counts, even where another one that it points to is broken.
            _ = match tag {
                EXIF_DIRECTORY => walk.directory(at, Tag::Exif, false),
                GPS_DIRECTORY => walk.directory(at, Tag::Gps, false),
                _ => walk.sizes(at).map(|()| Vec::new()),
            };
        }
        Ok(walk.tags)
    }

    /// Width and height in pixels.
    pub(super) fn size(&self) -> Option<(u64, u64)> {
        self.largest
    }

    /// As the camera says it of the picture that it took.
    pub(super) fn size_taken(&self) -> Option<(u64, u64)> {
        Some((self.number(Tag::Exif(0xa002))?, self.number(Tag::Exif(0xa003))?))
    }

    /// Notes what another reader found.
    pub(super) fn put_text(&mut self, tag: Tag, text: String) {
        self.values.insert(tag, Value { kind: 2, bytes: text.into_bytes(), little: true });
    }

    pub(super) fn put_position(&mut self, latitude: f64, longitude: f64) {
        self.position = Some((latitude, longitude));
    }

    /// Degrees north and east.
    pub(super) fn position(&self) -> Option<(f64, f64)> {
        self.position.or_else(|| Some((self.degrees(1, 2)?, self.degrees(3, 4)?)))
    }

    pub(super) fn bytes(&self, tag: Tag) -> Option<&[u8]> {
        self.values.get(&tag).map(|value| value.bytes.as_slice())
    }

    /// Text: up to its zero, in whatever it was written in; the standard knows only ASCII.
    pub(super) fn text(&self, tag: Tag) -> Option<String> {
        let bytes = self.bytes(tag)?;
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        // The blank says that nothing was cut off there.
        let text = text::decode(&[&bytes[..end], b" "].concat(), None);
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The tags that Windows writes: UTF-16.
    pub(super) fn wide_text(&self, tag: Tag) -> Option<String> {
        let text = encoding_rs::UTF_16LE.decode_without_bom_handling(self.bytes(tag)?).0;
        let text = text.split('\0').next().unwrap_or_default().trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    pub(super) fn number(&self, tag: Tag) -> Option<u64> {
        let value = self.values.get(&tag)?;
        match (value.kind, value.bytes.as_slice()) {
            (1, [byte, ..]) => Some(u64::from(*byte)),
            (3, [a, b, ..]) => Some(u64::from(if value.little {
                u16::from_le_bytes([*a, *b])
            } else {
                u16::from_be_bytes([*a, *b])
            })),
            (4, [a, b, c, d, ..]) => Some(u64::from(if value.little {
                u32::from_le_bytes([*a, *b, *c, *d])
            } else {
                u32::from_be_bytes([*a, *b, *c, *d])
            })),
            _ => None,
        }
    }

    /// Degrees, minutes, seconds as a number; north and east are positive.
    fn degrees(&self, reference: u16, at: u16) -> Option<f64> {
        let value = self.values.get(&Tag::Gps(at))?;
        if value.kind != 5 || value.bytes.len() < 24 {
            return None;
        }
        let number = |at: usize| {
            let bytes = [value.bytes[at], value.bytes[at + 1], value.bytes[at + 2], value.bytes[at + 3]];
            f64::from(if value.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
        };
        let mut degrees = 0.0;
        for (part, unit) in [(0, 1.0), (8, 60.0), (16, 3600.0)] {
            let (over, under) = (number(part), number(part + 4));
            // "0/0" is how some say that they do not know; of seconds that is none.
            match (over, under) {
                (_, 0.0) if part == 0 => return None,
                (_, 0.0) => {}
                _ => degrees += over / under / unit,
            }
        }
        match self.text(Tag::Gps(reference))?.as_str() {
            "N" | "E" => Some(degrees),
            "S" | "W" => Some(-degrees),
            _ => None,
        }
    }
}

struct Walk<'a, S> {
    source: &'a mut S,
    little: bool,
    tags: Tags,
    left: u64,
}

impl<S: Read + Seek> Walk<'_, S> {
    fn u16_of(&self, bytes: &[u8]) -> u16 {
        let bytes = [bytes[0], bytes[1]];
        if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }
    }

    fn u32_of(&self, bytes: &[u8]) -> u32 {
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
    }

    /// The entries of a directory, twelve bytes each.
    fn entries(&mut self, at: u64) -> io::Result<Vec<u8>> {
        self.source.seek(SeekFrom::Start(at))?;
        let mut count = [0; 2];
        self.source.read_exact(&mut count)?;
        let mut entries = Vec::new();
        let length = u64::from(self.u16_of(&count)) * 12;
        (&mut *self.source).take(length).read_to_end(&mut entries)?;
        Ok(entries)
    }

    /// Takes in what is wanted of a directory; gives back where others stand.
    fn directory(&mut self, at: u64, tag: fn(u16) -> Tag, main: bool) -> io::Result<Vec<(u16, u64)>> {
        let entries = self.entries(at)?;
        let mut pointers = Vec::new();
        for entry in entries.chunks_exact(12) {
            let code = self.u16_of(entry);
            match code {
                EXIF_DIRECTORY | GPS_DIRECTORY if main => {
                    pointers.push((code, u64::from(self.u32_of(&entry[8..]))));
                }
                SUB_DIRECTORIES if main => {
                    let bytes = self.value(entry).unwrap_or_default();
                    let places =
                        bytes.chunks_exact(4).take(8).map(|place| (code, u64::from(self.u32_of(place))));
                    pointers.extend(places.collect::<Vec<_>>());
                }
                _ if is_wanted(tag(code)) => {
                    if let Ok(bytes) = self.value(entry) {
                        let value = Value { kind: self.u16_of(&entry[2..]), bytes, little: self.little };
                        self.tags.values.entry(tag(code)).or_insert(value);
                    }
                }
                _ => {}
            }
        }
        if main {
            self.note_size(&entries);
        }
        Ok(pointers)
    }

    fn sizes(&mut self, at: u64) -> io::Result<()> {
        let entries = self.entries(at)?;
        self.note_size(&entries);
        Ok(())
    }

    fn note_size(&mut self, entries: &[u8]) {
        let number = |wanted: u16| {
            let entry = entries.chunks_exact(12).find(|entry| self.u16_of(entry) == wanted)?;
            match self.u16_of(&entry[2..]) {
                3 => Some(u64::from(self.u16_of(&entry[8..]))),
                4 => Some(u64::from(self.u32_of(&entry[8..]))),
                _ => None,
            }
        };
        if let Some((width, height)) = number(0x0100).zip(number(0x0101))
            && self.tags.largest.is_none_or(|(wide, high)| width * height > wide * high)
        {
            self.tags.largest = Some((width, height));
        }
    }

    fn value(&mut self, entry: &[u8]) -> io::Result<Vec<u8>> {
        let each = match self.u16_of(&entry[2..]) {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        let length = u64::from(self.u32_of(&entry[4..])) * each;
        if length <= 4 {
            return Ok(entry[8..8 + length as usize].to_vec());
        }
        if length > VALUE_MOST.min(self.left) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.left -= length;
        self.source.seek(SeekFrom::Start(u64::from(self.u32_of(&entry[8..]))))?;
        let mut bytes = Vec::new();
        (&mut *self.source).take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

fn is_wanted(tag: Tag) -> bool {
    match tag {
        // Description, make, model, change, artist, XMP, copyright, IPTC, Photoshop's resources, what Windows writes.
        Tag::Main(code) => {
            matches!(code, 0x010e..=0x0110 | 0x0132 | 0x013b | 0x02bc | 0x8298 | 0x83bb | 0x8649 | 0x9c9b..=0x9c9f)
        }
        // Times with their zones, the user's comment, size, lens.
        Tag::Exif(code) => {
            matches!(code, 0x9003 | 0x9004 | 0x9010..=0x9012 | 0x9286 | 0xa002 | 0xa003 | 0xa434)
        }
        Tag::Gps(code) => (1..=4).contains(&code),
    }
}
