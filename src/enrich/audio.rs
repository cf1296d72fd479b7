//! Recordings: the tags of music and speech, and how long they are. Pictures in them are not kept.
//!
//! A file may carry several tags that disagree: ID3v1 holds 30 characters of what ID3v2 says in full. So each field is
//! taken from the best tag that has it, never put together from several.

use std::time::Duration;

use lofty::config::{GlobalOptions, ParseOptions, ParsingMode, apply_global_options};
use lofty::file::{AudioFile, FileType, TaggedFile, TaggedFileExt};
use lofty::mpeg::{Layer, MpegFile};
use lofty::probe::Probe;
use lofty::tag::{ItemKey, Tag, TagType};

use super::extract::{Appetite, Budget, Extractor, Failure, MIB, Raw, Source, tame};
use crate::model::Field;

/// Recordings.
pub(super) struct Audio;

impl Extractor for Audio {
    fn name(&self) -> &'static str {
        "audio"
    }

    fn version(&self) -> u32 {
        1
    }

    fn appetite(&self, _: Budget) -> Appetite {
        Appetite::Parts(READ_MOST)
    }

    fn extract(&self, bytes: &[u8], budget: Budget) -> Result<Raw, Failure> {
        self.extract_parts(&mut std::io::Cursor::new(bytes), budget)
    }

    fn extract_parts(&self, source: &mut dyn Source, budget: Budget) -> Result<Raw, Failure> {
        // A tag may hold a cover of many megabytes, and lofty reads it even to leave it out.
        let most = usize::try_from((budget.memory / 8).clamp(MIB, 128 * MIB)).unwrap_or(usize::MAX);
        apply_global_options(GlobalOptions::new().allocation_limit(most));
        // Where the sound itself is damaged the tags may still be whole.
        let (file, format) = tame(|| read(source, true))
            .and_then(|read| read.map_err(|error| unreadable(&*error)))
            .or_else(|_| tame(|| read(source, false))?.map_err(|error| unreadable(&*error)))?;
        let mut tags: Vec<&Tag> = file.tags().iter().collect();
        let primary = file.primary_tag_type();
        tags.sort_by_key(|tag| (tag.tag_type() == TagType::Id3v1, tag.tag_type() != primary));
        let mut raw = Raw { fields: fields(&tags), text: text(&tags), cut: false };
        if raw.fields.is_empty() && file.properties().duration().is_zero() {
            return Err(Failure::damaged("neither tags nor sound are in it"));
        }
        raw.fields.push((Field::Format, format.to_owned()));
        raw.fields.extend(extent(file.properties().duration()).map(|extent| (Field::Extent, extent)));
        Ok(raw)
    }
}

fn unreadable(error: &dyn std::error::Error) -> Failure {
    Failure::damaged(format!("its tags cannot be read: {error}"))
}

/// Tags and the heads of frames; even where every page of an Ogg file is looked at.
const READ_MOST: u64 = 1024 * MIB;

type Found = (TaggedFile, &'static str);

fn read(source: &mut dyn Source, properties: bool) -> Result<Found, Box<dyn std::error::Error>> {
    source.seek(std::io::SeekFrom::Start(0))?;
    let probe = Probe::new(&mut *source).guess_file_type()?;
    let kind = probe.file_type();
    let options = ParseOptions::new()
        .parsing_mode(ParsingMode::Relaxed)
        .read_cover_art(false)
        .read_properties(properties)
        // What it does for numbers of tracks there takes other values out of their order.
        .implicit_conversions(!matches!(
            kind,
            Some(FileType::Flac | FileType::Opus | FileType::Speex | FileType::Vorbis)
        ));
    let probe = probe.options(options);
    if kind != Some(FileType::Mpeg) {
        return Ok((probe.read()?, format_of(kind)));
    }
    let file = MpegFile::read_from(&mut probe.into_inner(), options)?;
    let format = match file.properties().layer() {
        Layer::Layer1 => "MP1",
        Layer::Layer2 => "MP2",
        Layer::Layer3 => "MP3",
    };
    Ok((file.into(), format))
}

fn format_of(kind: Option<FileType>) -> &'static str {
    match kind {
        Some(FileType::Aac) => "AAC",
        Some(FileType::Aiff) => "AIFF",
        Some(FileType::Ape) => "Monkey's Audio",
        Some(FileType::Flac) => "FLAC",
        Some(FileType::Mp4) => "M4A",
        Some(FileType::Mpc) => "Musepack",
        Some(FileType::Opus) => "Opus",
        Some(FileType::Vorbis) => "Ogg Vorbis",
        Some(FileType::Speex) => "Ogg Speex",
        Some(FileType::Wav) => "WAV",
        Some(FileType::WavPack) => "WavPack",
        _ => "audio",
    }
}

/// Which items of tags a field is taken from: the first of these that any tag has.
const FIELDS: [(Field, &[ItemKey]); 9] = [
    (Field::Title, &[ItemKey::TrackTitle]),
    // Who is heard before who wrote it; of an album by many, who is heard in this piece.
    (
        Field::Author,
        &[
            ItemKey::TrackArtists,
            ItemKey::TrackArtist,
            ItemKey::AlbumArtists,
            ItemKey::AlbumArtist,
            ItemKey::Performer,
            ItemKey::Composer,
            ItemKey::Writer,
        ],
    ),
    (
        Field::Date,
        &[ItemKey::RecordingDate, ItemKey::Year, ItemKey::ReleaseDate, ItemKey::OriginalReleaseDate],
    ),
    (Field::PartOf, &[ItemKey::AlbumTitle, ItemKey::ShowName]),
    (Field::Publisher, &[ItemKey::Label, ItemKey::Publisher]),
    (Field::Subject, &[ItemKey::Genre]),
    (Field::Subject, &[ItemKey::PodcastKeywords]),
    (Field::Description, &[ItemKey::Description, ItemKey::PodcastDescription, ItemKey::Comment]),
    (Field::Language, &[ItemKey::Language]),
];

fn fields(tags: &[&Tag]) -> Vec<(Field, String)> {
    let mut fields = Vec::new();
    for (field, keys) in FIELDS {
        let mut values = first_of(tags, keys);
        values.retain(|value| field != Field::Language || is_language(value));
        if matches!(field, Field::Title | Field::PartOf) && !values.is_empty() {
            // Some recordings have the names of all their parts; one of them alone would be wrong.
            fields.push((field, values.join(" / ")));
        } else {
            fields.extend(values.into_iter().map(|value| (field, value.to_owned())));
        }
    }
    fields.extend(
        first_of(tags, &[ItemKey::Isrc]).into_iter().filter_map(isrc).map(|isrc| (Field::Identifier, isrc)),
    );
    // What MusicBrainz calls the page of a recording: its ids mean nothing without.
    let recordings = first_of(tags, &[ItemKey::MusicBrainzRecordingId]);
    fields.extend(
        recordings
            .iter()
            .map(|id| (Field::Identifier, format!("https://musicbrainz.org/recording/{}", id.trim()))),
    );
    fields
}

/// Lyrics, after those who had a hand in it and are not its authors.
fn text(tags: &[&Tag]) -> String {
    const HANDS: [(&str, ItemKey); 4] = [
        ("Composer", ItemKey::Composer),
        ("Lyricist", ItemKey::Lyricist),
        ("Conductor", ItemKey::Conductor),
        ("Performer", ItemKey::Performer),
    ];
    let mut text = String::new();
    for (label, key) in HANDS {
        for name in first_of(tags, &[key]) {
            text.push_str(&format!("{label}: {name}\n"));
        }
    }
    for lyrics in first_of(tags, &[ItemKey::UnsyncLyrics, ItemKey::Lyrics]) {
        text.push_str(lyrics);
        text.push('\n');
    }
    text
}

/// All values of the first key that a tag has, of the first tag that has it.
fn first_of<'a>(tags: &[&'a Tag], keys: &[ItemKey]) -> Vec<&'a str> {
    for key in keys {
        for tag in tags {
            let values: Vec<&str> = tag
                .get_strings(*key)
                .flat_map(|value| value.split('\0'))
                .filter(|value| !value.trim().is_empty())
                .collect();
            if !values.is_empty() {
                return values;
            }
        }
    }
    Vec::new()
}

/// "und", "xxx" and "zxx" are ways not to say one.
fn is_language(tag: &str) -> bool {
    (2..=35).contains(&tag.len())
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !["und", "xxx", "zxx"].iter().any(|none| tag.eq_ignore_ascii_case(none))
}

/// ISO 3901: country, registrant, year, number; hyphens are for people.
fn isrc(code: &str) -> Option<String> {
    let code: String =
        code.chars().filter(char::is_ascii_alphanumeric).map(|char| char.to_ascii_uppercase()).collect();
    let bytes = code.as_bytes();
    let is_one = bytes.len() == 12
        && bytes[..2].iter().all(u8::is_ascii_alphabetic)
        && bytes[5..].iter().all(u8::is_ascii_digit);
    is_one.then(|| format!("isrc:{code}"))
}

/// `0:03:42`, to the nearest second.
pub(super) fn extent(duration: Duration) -> Option<String> {
    let seconds = (duration + Duration::from_millis(500)).as_secs();
    // What is heard is not nothing, however short.
    let seconds = if duration.is_zero() { return None } else { seconds.max(1) };
    Some(format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_hours_minutes_seconds() {
        let of = |millis| extent(Duration::from_millis(millis));
        assert_eq!(of(222_400).as_deref(), Some("0:03:42"));
        assert_eq!(of(222_500).as_deref(), Some("0:03:43"));
        assert_eq!(of(36_000_000 + 61_000).as_deref(), Some("10:01:01"));
        assert_eq!(of(3).as_deref(), Some("0:00:01"));
        assert_eq!(of(0), None);
    }

    #[test]
    fn a_code_that_is_no_isrc_is_no_identifier() {
        assert_eq!(isrc("gb-aye-00-00351").as_deref(), Some("isrc:GBAYE0000351"));
        assert_eq!(isrc("GBAYE000035"), None);
        assert_eq!(isrc("1BAYE0000351"), None);
    }
}
