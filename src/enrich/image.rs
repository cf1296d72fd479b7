//! Pictures: what EXIF, IPTC-IIM and XMP say about them, and how large they are. The picture itself is never decoded.
//!
//! The three say much the same and disagree often. Which counts is settled as in the Metadata Working Group's "Guidelines
//! for Handling Image Metadata" 2.0 (2010), chapter 5: description, creator and date of EXIF, then of XMP, then of IIM; the
//! keywords of XMP, then of IIM; so too the title, which the guidelines leave out (the IPTC Photo Metadata Standard says
//! that `dc:title` and IIM 2:05 are one). Not followed: a checksum says whether IIM was changed after XMP; here XMP counts.
//!
//! The camera stands in the text, where it is found, and not in the description, which is what somebody wrote.

use std::io::{BufReader, Cursor, Read, SeekFrom};

use super::extract::{Appetite, Budget, Extractor, Failure, MIB, Raw, Source};
use super::xmp::Xmp;
use crate::model::Field;
use containers::Blocks;
use iptc::Iptc;
use tiff::{Tag, Tags};

mod containers;
mod iptc;
mod tiff;

/// Pictures.
pub(super) struct Image;

impl Extractor for Image {
    fn name(&self) -> &'static str {
        "image"
    }

    fn version(&self) -> u32 {
        1
    }

    fn appetite(&self, _: Budget) -> Appetite {
        Appetite::Parts(READ_MOST)
    }

    fn extract(&self, bytes: &[u8], budget: Budget) -> Result<Raw, Failure> {
        self.extract_parts(&mut Cursor::new(bytes), budget)
    }

    fn extract_parts(&self, source: &mut dyn Source, _: Budget) -> Result<Raw, Failure> {
        let mut head = Vec::new();
        let unreadable =
            |error: &dyn std::fmt::Display| Failure::damaged(format!("it cannot be read: {error}"));
        (&mut *source).take(64).read_to_end(&mut head).map_err(|error| unreadable(&error))?;
        let format = format_of(&head);
        let blocks = containers::read(&head, source).map_err(|error| unreadable(&error))?;
        let size = blocks.size.or_else(|| size_of(source));
        let words = Words::of(blocks);
        if size.is_none() && words == Words::default() {
            return Err(Failure::damaged("neither its size nor anything about it can be read"));
        }
        let mut raw = words.into_raw();
        raw.fields.push((Field::Format, format.to_owned()));
        let extent = size.map(|(width, height)| format!("{width} x {height} pixels"));
        raw.fields.extend(extent.map(|extent| (Field::Extent, extent)));
        Ok(raw)
    }
}

/// Directories and blocks of words; where a PNG is walked through to its end, all of it.
const READ_MOST: u64 = 1024 * MIB;

fn size_of(source: &mut dyn Source) -> Option<(u64, u64)> {
    source.seek(SeekFrom::Start(0)).ok()?;
    let size = imagesize::reader_size(BufReader::new(source)).ok()?;
    Some((size.width as u64, size.height as u64))
}

fn format_of(head: &[u8]) -> &'static str {
    match head {
        [0xff, 0xd8, ..] => "JPEG",
        [0x89, b'P', b'N', b'G', ..] => "PNG",
        [b'G', b'I', b'F', b'8', ..] => "GIF",
        [b'R', b'I', b'F', b'F', ..] => "WebP",
        [b'8', b'B', b'P', b'S', ..] => "Photoshop",
        [b'B', b'M', ..] => "BMP",
        [0xff, 0x0a, ..] => "JPEG XL",
        [_, _, _, _, b'J', b'X', b'L', b' ', ..] => "JPEG XL",
        [_, _, _, _, b'f', b't', b'y', b'p', b'c', b'r', b'x', b' ', ..] => "Canon CR3",
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f' | b's', ..] => "AVIF",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "HEIC",
        [b'F', b'U', b'J', b'I', ..] => "Fujifilm RAF",
        [b'I', b'I', b'*', 0, _, _, _, _, b'C', b'R', ..] => "Canon CR2",
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => "TIFF",
        [b'I', b'I', b'R', b'O' | b'S', ..] | [b'M', b'M', b'O', b'R', ..] => "Olympus ORF",
        [b'I', b'I', b'U', 0, ..] => "Panasonic RW2",
        _ => "picture",
    }
}

/// What is said of a picture.
#[derive(Debug, Default, PartialEq)]
struct Words {
    title: Option<String>,
    creators: Vec<String>,
    date: Option<String>,
    description: Option<String>,
    subjects: Vec<String>,
    place: Option<String>,
    language: Option<String>,
    text: String,
}

impl Words {
    fn of(blocks: Blocks) -> Self {
        let Blocks { exif, xmp, iptc, texts, comments, size: _ } = blocks;
        let (exif, xmp, iptc) = (exif.unwrap_or_default(), xmp.unwrap_or_default(), iptc.unwrap_or_default());
        let texts = |wanted: &str| {
            texts.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.clone())
        };
        let titles = || iptc.one(5).or_else(|| exif.wide_text(Tag::Main(0x9c9b))).or_else(|| texts("Title"));
        let headline = xmp.one("photoshop:Headline").or_else(|| iptc.one(105));
        let mut words = Words {
            title: xmp.one("dc:title").or_else(titles).or_else(|| headline.clone()),
            creators: creators(&exif, &xmp, &iptc),
            date: date(&exif, &xmp, &iptc).or_else(|| texts("Creation Time")),
            description: description(&exif)
                .or_else(|| xmp.one("dc:description"))
                .or_else(|| iptc.one(120))
                .or_else(|| exif.wide_text(Tag::Main(0x9c9c)))
                .or_else(|| texts("Description")),
            subjects: subjects(&exif, &xmp, &iptc),
            place: None,
            language: xmp.one("dc:language"),
            text: String::new(),
        };
        if words.creators.is_empty() {
            words.creators.extend(texts("Author"));
        }
        let named = place_of(&xmp).or_else(|| iptc.place());
        let measured = position(&exif);
        let mut line = |label: &str, value: Option<String>| {
            if let Some(value) = value {
                words.text.push_str(&format!("{label}{value}\n"));
            }
        };
        line("", headline.filter(|headline| words.title.as_ref() != Some(headline)));
        if measured.is_some() {
            line("", named.clone());
        }
        line("Camera: ", camera(&exif));
        line("Lens: ", exif.text(Tag::Exif(0xa434)));
        for comment in comments.into_iter().chain(texts("Comment")) {
            line("", Some(comment));
        }
        words.place = measured.or(named);
        words
    }

    fn into_raw(self) -> Raw {
        let Words { title, creators, date, description, subjects, place, language, text } = self;
        let single = [
            (Field::Title, title),
            (Field::Date, date),
            (Field::Description, description),
            (Field::Place, place),
            (Field::Language, language),
        ];
        let mut fields: Vec<(Field, String)> =
            single.into_iter().filter_map(|(field, value)| Some((field, value?))).collect();
        fields.extend(creators.into_iter().map(|creator| (Field::Author, creator)));
        fields.extend(subjects.into_iter().map(|subject| (Field::Subject, subject)));
        Raw { fields, text, cut: false }
    }
}

/// EXIF's one string holds several names parted by semicolons.
fn creators(exif: &Tags, xmp: &Xmp, iptc: &Iptc) -> Vec<String> {
    let split = |names: String| {
        names
            .split(';')
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect::<Vec<_>>()
    };
    if let Some(artist) = exif.text(Tag::Main(0x013b)) {
        return split(artist);
    }
    let creators: Vec<String> = xmp.all("dc:creator").collect();
    if !creators.is_empty() {
        return creators;
    }
    let creators: Vec<String> = iptc.all(80).collect();
    if !creators.is_empty() {
        return creators;
    }
    let others = xmp.one("tiff:Artist").or_else(|| exif.wide_text(Tag::Main(0x9c9d)));
    others.map(split).unwrap_or_default()
}

fn subjects(exif: &Tags, xmp: &Xmp, iptc: &Iptc) -> Vec<String> {
    let subjects: Vec<String> = xmp.all("dc:subject").collect();
    if !subjects.is_empty() {
        return subjects;
    }
    let subjects: Vec<String> = iptc.all(25).collect();
    if !subjects.is_empty() {
        return subjects;
    }
    let windows = exif.wide_text(Tag::Main(0x9c9e)).unwrap_or_default();
    windows
        .split(';')
        .map(|subject| subject.trim().to_owned())
        .filter(|subject| !subject.is_empty())
        .collect()
}

/// Cameras write their own name here before anybody has said anything.
fn description(exif: &Tags) -> Option<String> {
    const CAMERAS: [&str; 7] = [
        "olympus digital camera",
        "sony dsc",
        "minolta digital camera",
        "konica minolta",
        "exif_jpeg_picture",
        "digital camera",
        "default",
    ];
    let description = exif.text(Tag::Main(0x010e))?;
    let plain = description.to_ascii_lowercase();
    (!CAMERAS.iter().any(|camera| plain.trim() == *camera)).then_some(description)
}

/// When the picture was taken, else when the file says that it was made.
fn date(exif: &Tags, xmp: &Xmp, iptc: &Iptc) -> Option<String> {
    let of = |tag, zone: u16| {
        let zone = exif.text(Tag::Exif(zone));
        exif_date(&exif.text(tag)?, zone.as_deref())
    };
    of(Tag::Exif(0x9003), 0x9011)
        .or_else(|| xmp.one("photoshop:DateCreated"))
        .or_else(|| xmp.one("exif:DateTimeOriginal"))
        .or_else(|| iptc.date())
        .or_else(|| of(Tag::Exif(0x9004), 0x9012))
        .or_else(|| xmp.one("xmp:CreateDate"))
        .or_else(|| of(Tag::Main(0x0132), 0x9010))
}

/// `2023:11:04 16:20:00` as the rest of the world writes it; a clock that was never set is zeros or blanks.
fn exif_date(date: &str, zone: Option<&str>) -> Option<String> {
    let (day, time) = date.trim().split_once([' ', 'T']).unwrap_or((date.trim(), ""));
    let parts: Vec<&str> = day.split([':', '-', '/', '.']).collect();
    let [year, month, day] = parts.as_slice() else { return None };
    let number =
        |part: &str, most: u32| part.parse::<u32>().ok().filter(|number| (1..=most).contains(number));
    let (year, month, day) = (number(year, 9999)?, number(month, 12)?, number(day, 31)?);
    let mut text = format!("{year:04}-{month:02}-{day:02}");
    let time = time.trim().trim_end_matches('Z');
    if time.len() >= 8 && time.bytes().take(8).all(|byte| byte.is_ascii_digit() || byte == b':') {
        text.push('T');
        text.push_str(&time[..8]);
        let is_zone = |zone: &&str| zone.len() == 6 && zone.starts_with(['+', '-']);
        text.push_str(zone.map(str::trim).filter(is_zone).unwrap_or_default());
    }
    Some(text)
}

fn camera(exif: &Tags) -> Option<String> {
    let (make, model) = (exif.text(Tag::Main(0x010f)), exif.text(Tag::Main(0x0110)));
    match (make, model) {
        // Most models begin with their make.
        (Some(make), Some(model)) if !model.starts_with(make.split(' ').next().unwrap_or_default()) => {
            Some(format!("{make} {model}"))
        }
        (make, model) => model.or(make),
    }
}

/// ISO 6709, in degrees: `+48.85770+002.29500/`.
fn position(exif: &Tags) -> Option<String> {
    let (latitude, longitude) = exif.position()?;
    // Zero and zero is the sea off Africa, where receivers without reception are.
    let is_one = latitude.abs() <= 90.0 && longitude.abs() <= 180.0 && (latitude, longitude) != (0.0, 0.0);
    is_one.then(|| format!("{latitude:+09.5}{longitude:+010.5}/"))
}

fn place_of(xmp: &Xmp) -> Option<String> {
    const PARTS: [&str; 4] =
        ["Iptc4xmpCore:Location", "photoshop:City", "photoshop:State", "photoshop:Country"];
    let parts: Vec<String> = PARTS.into_iter().filter_map(|part| xmp.one(part)).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_cameras_become_dates() {
        assert_eq!(exif_date("2023:11:04 16:20:00", None).as_deref(), Some("2023-11-04T16:20:00"));
        assert_eq!(
            exif_date("2023:11:04 16:20:00", Some("+01:00")).as_deref(),
            Some("2023-11-04T16:20:00+01:00")
        );
        assert_eq!(exif_date("2023:11:04", Some("nonsense")).as_deref(), Some("2023-11-04"));
        assert_eq!(exif_date("0000:00:00 00:00:00", None), None);
        assert_eq!(exif_date("    :  :     :  :  ", None), None);
        assert_eq!(exif_date("2023:11:04 1é:20:00", None).as_deref(), Some("2023-11-04"));
    }
}
