//! Identifiers in one form each, so that one number is one number however a file writes it.
//!
//! `isbn:` and 13 digits (old numbers are converted), `doi:` in small letters, `urn:uuid:`. What is none of these stays as it
//! is. A number whose check digit is wrong is no ISBN: many are no book's number at all but somebody's counter.

/// One identifier in its form.
pub(super) fn normal(raw: &str) -> String {
    let raw = raw.trim();
    isbn(raw).or_else(|| doi(raw)).or_else(|| uuid(raw)).unwrap_or_else(|| raw.to_owned())
}

fn without_prefix<'a>(raw: &'a str, prefixes: &[&str]) -> Option<&'a str> {
    prefixes.iter().find_map(|prefix| {
        let head = raw.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix)
            .then(|| raw[prefix.len()..].trim_start_matches([':', ' ', '\u{a0}']))
    })
}

/// `isbn:` and 13 digits, of what says that it is an ISBN, or of 13 digits that can be nothing else.
fn isbn(raw: &str) -> Option<String> {
    let said = without_prefix(raw, &["urn:isbn", "isbn-13", "isbn-10", "isbn13", "isbn10", "isbn"]);
    let bare = said.unwrap_or(raw);
    let digits: Vec<u8> = bare.bytes().filter(|byte| !matches!(byte, b'-' | b' ')).collect();
    // Dashes of print are no ASCII.
    let digits = if bare.is_ascii() {
        digits
    } else {
        bare.chars().filter_map(|char| char.try_into().ok()).filter(u8::is_ascii_alphanumeric).collect()
    };
    match digits.len() {
        13 if digits.iter().all(u8::is_ascii_digit) => {
            let is_book = digits.starts_with(b"978") || digits.starts_with(b"979");
            (is_book && digits[12] == check_13(&digits[..12])).then(|| form(&digits))
        }
        // Ten digits by themselves may be a telephone number.
        10 if said.is_some() => {
            let value = |(weight, digit): (u32, &u8)| match digit {
                b'0'..=b'9' => Some(weight * u32::from(digit - b'0')),
                b'X' | b'x' if weight == 1 => Some(10),
                _ => None,
            };
            let sum = (1..=10).rev().zip(&digits).map(value).sum::<Option<u32>>()?;
            if sum % 11 != 0 {
                return None;
            }
            let mut long = [b"978", &digits[..9]].concat();
            long.push(check_13(&long));
            Some(form(&long))
        }
        _ => None,
    }
}

fn form(digits: &[u8]) -> String {
    format!("isbn:{}", String::from_utf8_lossy(digits))
}

fn check_13(digits: &[u8]) -> u8 {
    let sum: u32 = digits
        .iter()
        .zip([1, 3].into_iter().cycle())
        .map(|(digit, weight)| weight * u32::from(digit - b'0'))
        .sum();
    b'0' + u8::try_from((10 - sum % 10) % 10).unwrap_or(0)
}

/// `doi:10.prefix/suffix`. Upper and lower case are the same (DOI Handbook 2.4).
fn doi(raw: &str) -> Option<String> {
    const BEFORE: [&str; 6] = [
        "https://doi.org/",
        "http://doi.org/",
        "https://dx.doi.org/",
        "http://dx.doi.org/",
        "urn:doi",
        "doi",
    ];
    let bare = without_prefix(raw, &BEFORE).unwrap_or(raw);
    let (prefix, suffix) = bare.strip_prefix("10.")?.split_once('/')?;
    let is_prefix = prefix.len() >= 4 && prefix.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_suffix = !suffix.is_empty() && !suffix.contains(char::is_whitespace);
    (is_prefix && is_suffix).then(|| format!("doi:{}", bare.to_lowercase()))
}

fn uuid(raw: &str) -> Option<String> {
    let bare = without_prefix(raw, &["urn:uuid", "uuid"]).unwrap_or(raw);
    let groups: Vec<&str> = bare.split('-').collect();
    let lengths = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]);
    let is_hex = groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()));
    (lengths && is_hex).then(|| format!("urn:uuid:{}", bare.to_ascii_lowercase()))
}

/// The DOI that a text gives as its own at its beginning: `doi:10...` or the address of the resolver. `None` where there
/// are several, which are other people's.
pub(super) fn doi_in(text: &str) -> Option<String> {
    let head = &text[..text.floor_char_boundary(HEAD)];
    let lower = head.to_ascii_lowercase();
    let mut found: Option<String> = None;
    for (mark, length) in [("doi:", 4), ("doi.org/", 8), ("doi ", 4)] {
        for (at, _) in lower.match_indices(mark) {
            let rest = lower[at + length..].trim_start_matches(' ');
            let end = rest.find(|char: char| {
                char.is_whitespace() || matches!(char, '"' | '<' | '>' | ',' | ';' | '\u{201d}')
            });
            let candidate = rest[..end.unwrap_or(rest.len())].trim_end_matches(['.', ')', ']', '}', ':']);
            match (doi(candidate), &found) {
                (Some(doi), None) => found = Some(doi),
                (Some(doi), Some(first)) if doi != *first => return None,
                _ => {}
            }
        }
    }
    found
}

/// A first page, in bytes.
const HEAD: usize = 4096;

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // E1
    #[rstest]
    #[case("978-0-306-40615-7", "isbn:9780306406157")]
    #[case("urn:isbn:0-306-40615-2", "isbn:9780306406157")]
    #[case("ISBN 0 8044 2957 X", "isbn:9780804429573")]
    #[case("isbn:9780306406158", "isbn:9780306406158")]
    #[case("0306406152", "0306406152")]
    #[case("4006381333931", "4006381333931")]
    #[case("https://doi.org/10.1000/ABC.1", "doi:10.1000/abc.1")]
    #[case("DOI: 10.1000/x", "doi:10.1000/x")]
    #[case("10.1000/182", "doi:10.1000/182")]
    #[case("10.5/x", "10.5/x")]
    #[case("urn:uuid:6FA459EA-ee8a-3ca4-894e-db77e160355e", "urn:uuid:6fa459ea-ee8a-3ca4-894e-db77e160355e")]
    #[case("6fa459ea-ee8a-3ca4-894e-db77e160355e", "urn:uuid:6fa459ea-ee8a-3ca4-894e-db77e160355e")]
    #[case("http://example.org/book/7", "http://example.org/book/7")]
    fn each_kind_of_identifier_has_one_form(#[case] raw: &str, #[case] form: &str) {
        assert_eq!(normal(raw), form);
    }

    #[test]
    fn the_doi_of_a_paper_is_told_from_those_that_it_quotes() {
        assert_eq!(doi_in("Title\ndoi:10.1000/ABC.\nText").as_deref(), Some("doi:10.1000/abc"));
        assert_eq!(
            doi_in("https://doi.org/10.1000/abc) DOI: 10.1000/abc").as_deref(),
            Some("doi:10.1000/abc")
        );
        assert_eq!(doi_in("doi:10.1000/a and doi:10.1000/b"), None);
        assert_eq!(doi_in("version 10.1000/abc"), None);
    }
}
