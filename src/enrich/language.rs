//! The language of a document: as it says, in one form; else what its text looks like.
//!
//! A wrong language is worse than none, because people filter by it. So only a text that is long enough, made of words,
//! and clearly of one language is given one.

use whatlang::{Lang, detect};

/// A BCP 47 tag in its usual form (RFC 5646, 2.1.1): `en`, `zh-Hans`, `pt-BR`. `None` where it cannot be one.
pub(super) fn tag(raw: &str) -> Option<String> {
    let raw = raw.trim();
    // What programs write for "unknown".
    if ["und", "zxx", "mul", "c", "posix", "none", "unknown"]
        .iter()
        .any(|none| raw.eq_ignore_ascii_case(none))
    {
        return None;
    }
    // POSIX locales: `de_DE.UTF-8`.
    let raw = raw.split(['.', '@']).next().unwrap_or(raw);
    let mut tag = String::new();
    for (at, part) in raw.split(['-', '_']).enumerate() {
        let is_letters = part.bytes().all(|byte| byte.is_ascii_alphabetic());
        if part.is_empty() || part.len() > 8 || !part.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let part = match (at, part.len()) {
            (0, _) if !is_letters => return None,
            (0, 2 | 3) => {
                let part = part.to_ascii_lowercase();
                two_letters(&part).map_or(part, str::to_owned)
            }
            // The language's name, as a few programs write it.
            (0, _) => by_name(part)?.to_owned(),
            (_, 4) if is_letters => {
                format!("{}{}", part[..1].to_ascii_uppercase(), part[1..].to_ascii_lowercase())
            }
            (_, 2) if is_letters => part.to_ascii_uppercase(),
            _ => part.to_ascii_lowercase(),
        };
        if at > 0 {
            tag.push('-');
        }
        tag.push_str(&part);
    }
    Some(tag)
}

fn by_name(name: &str) -> Option<&'static str> {
    const NAMES: [(&str, &str); 8] = [
        ("english", "en"),
        ("german", "de"),
        ("deutsch", "de"),
        ("french", "fr"),
        ("spanish", "es"),
        ("italian", "it"),
        ("japanese", "ja"),
        ("russian", "ru"),
    ];
    NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, tag)| *tag)
}

/// The two letters of a language that has them, for its three (ISO 639-3, and the bibliographic ones of 639-2).
fn two_letters(three: &str) -> Option<&'static str> {
    const CODES: [(&str, &str); 80] = [
        ("afr", "af"),
        ("aka", "ak"),
        ("amh", "am"),
        ("ara", "ar"),
        ("aze", "az"),
        ("bel", "be"),
        ("ben", "bn"),
        ("bul", "bg"),
        ("cat", "ca"),
        ("ces", "cs"),
        ("cmn", "zh"),
        ("cym", "cy"),
        ("dan", "da"),
        ("deu", "de"),
        ("ell", "el"),
        ("eng", "en"),
        ("epo", "eo"),
        ("est", "et"),
        ("fin", "fi"),
        ("fra", "fr"),
        ("guj", "gu"),
        ("heb", "he"),
        ("hin", "hi"),
        ("hrv", "hr"),
        ("hun", "hu"),
        ("hye", "hy"),
        ("ind", "id"),
        ("ita", "it"),
        ("jav", "jv"),
        ("jpn", "ja"),
        ("kan", "kn"),
        ("kat", "ka"),
        ("khm", "km"),
        ("kor", "ko"),
        ("lat", "la"),
        ("lav", "lv"),
        ("lit", "lt"),
        ("mal", "ml"),
        ("mar", "mr"),
        ("mkd", "mk"),
        ("mya", "my"),
        ("nep", "ne"),
        ("nld", "nl"),
        ("nob", "nb"),
        ("ori", "or"),
        ("pan", "pa"),
        ("pes", "fa"),
        ("pol", "pl"),
        ("por", "pt"),
        ("ron", "ro"),
        ("rus", "ru"),
        ("sin", "si"),
        ("slk", "sk"),
        ("slv", "sl"),
        ("sna", "sn"),
        ("spa", "es"),
        ("srp", "sr"),
        ("swe", "sv"),
        ("tam", "ta"),
        ("tel", "te"),
        ("tgl", "tl"),
        ("tha", "th"),
        ("tuk", "tk"),
        ("tur", "tr"),
        ("ukr", "uk"),
        ("urd", "ur"),
        ("uzb", "uz"),
        ("vie", "vi"),
        ("yid", "yi"),
        ("zho", "zh"),
        ("zul", "zu"),
        ("ger", "de"),
        ("fre", "fr"),
        ("dut", "nl"),
        ("chi", "zh"),
        ("cze", "cs"),
        ("gre", "el"),
        ("per", "fa"),
        ("rum", "ro"),
        ("nor", "no"),
    ];
    CODES.iter().find(|(known, _)| *known == three).map(|(_, two)| *two)
}

/// The language of a text, where it is clear. Looks at a few kilobytes in several places, however long the text is: a manual
/// in German quotes pages of programs in English, and a title page is often in another language than the book. All places
/// that are prose must agree, and at least half of them must be prose.
pub(super) fn of_text(text: &str) -> Option<&'static str> {
    let places = if text.len() <= 2 * SAMPLE { 1 } else { PLACES };
    let mut found = None;
    let mut prose = 0;
    for place in 0..places {
        // In the middle of its part of the text.
        let middle = text.len() / places * place + text.len() / places / 2;
        let start = text.floor_char_boundary(middle.saturating_sub(SAMPLE));
        let sample = &text[start..text.floor_char_boundary((middle + SAMPLE).min(text.len()))];
        if let Some(language) = of_sample(sample) {
            if found.is_some_and(|found| found != language) {
                return None;
            }
            found = Some(language);
            prose += 1;
        }
    }
    found.filter(|_| prose * 2 >= places)
}

fn of_sample(sample: &str) -> Option<&'static str> {
    let (mut letters, mut others) = (0_usize, 0_usize);
    for char in sample.chars().filter(|char| !char.is_whitespace()) {
        if char.is_alphabetic() { letters += 1 } else { others += 1 }
    }
    // Tables, programs and logs have a language, but not this one.
    if letters < FEWEST_LETTERS || others * 5 > letters {
        return None;
    }
    let found = detect(sample)?;
    match found.lang() {
        _ if found.confidence() < CLEAR => None,
        // These are taken for one another.
        Lang::Srp | Lang::Hrv | Lang::Nob | Lang::Dan if found.confidence() < 1.0 => None,
        language => two_letters(language.code()),
    }
}

const PLACES: usize = 5;

/// So many bytes on either side of a place are looked at.
const SAMPLE: usize = 1024;

/// Fewer letters than this are a heading.
const FEWEST_LETTERS: usize = 200;

/// From 0 to 1, as the detector means it.
const CLEAR: f64 = 0.9;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("EN", Some("en"))]
    #[case("de_DE.UTF-8", Some("de-DE"))]
    #[case("zh-hans-cn", Some("zh-Hans-CN"))]
    #[case("eng", Some("en"))]
    #[case("grc", Some("grc"))]
    #[case("English", Some("en"))]
    #[case("en-GB-oed", Some("en-GB-oed"))]
    #[case("und", None)]
    #[case("Sprache: deutsch", None)]
    #[case("", None)]
    fn a_tag_has_one_form(#[case] raw: &str, #[case] form: Option<&str>) {
        assert_eq!(tag(raw).as_deref(), form);
    }

    // E1
    #[test]
    fn a_text_that_is_long_enough_tells_its_language() {
        let english = "The books lean to the left because the shelf was made for larger ones, and nobody has ever put it right. ";
        assert_eq!(of_text(&english.repeat(5)), Some("en"));
        let german = "Die Bücher stehen schräg, weil das Regal für größere gebaut ist, und niemand hat es je gerichtet. ";
        assert_eq!(of_text(&german.repeat(5)), Some("de"));
        let russian = "Книги стоят на полках, а каталог знает, где их искать, когда диск далеко. Библиотекарь приходит рано \
            утром, открывает ящики и проверяет, что было возвращено вчера. Если книга не вернулась, он пишет об этом \
            на карточке и ждёт ещё неделю, потому что люди часто забывают о сроках, но почти всегда приносят взятое.";
        assert_eq!(of_text(russian), Some("ru"));
        let japanese = "棚卸しの朝、司書は一冊ずつ本を数えた。";
        assert_eq!(of_text(&japanese.repeat(20)), Some("ja"));
    }

    #[test]
    fn a_text_that_quotes_another_language_at_length_has_none() {
        let german = "Die Bücher stehen schräg, weil das Regal für größere gebaut ist, und niemand hat es je gerichtet. ".repeat(60);
        let english = "The books lean to the left because the shelf was made for larger ones, and nobody has put it right. ".repeat(60);
        assert_eq!(of_text(&german), Some("de"));
        assert_eq!(of_text(&[german, english].concat()), None);
    }

    #[test]
    fn what_is_no_prose_has_no_language() {
        assert_eq!(of_text("Only a title"), None);
        assert_eq!(of_text(&"12.5,17,abc;0x1f,{}\n".repeat(100)), None);
        assert_eq!(of_text(&"lorem xyzzy qwrtp bnmkl ".repeat(40)), None);
    }
}
