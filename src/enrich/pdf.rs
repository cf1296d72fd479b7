//! PDF: text page by page, metadata out of the document information.

use lopdf::xref::XrefRecovery;
use lopdf::{DecompressError, Document, Error, LoadOptions, Object, ObjectId};

use super::extract::{Appetite, Budget, Extractor, Failure, MIB, Raw};
use super::fields;
use super::pdf_text::TextReader;
use crate::model::Field;

/// PDF documents.
pub(super) struct Pdf;

impl Extractor for Pdf {
    fn name(&self) -> &'static str {
        "pdf"
    }

    fn version(&self) -> u32 {
        1
    }

    fn appetite(&self, budget: Budget) -> Appetite {
        Appetite::Whole((budget.memory / 2).min(512 * MIB))
    }

    fn extract(&self, bytes: &[u8], budget: Budget) -> Result<Raw, Failure> {
        let inflated = usize::try_from(budget.inflated()).unwrap_or(usize::MAX);
        let document =
            Document::load_mem_with_options(bytes, LoadOptions::with_max_decompressed_size(inflated))
                .map_err(|error| failure(&error))?;
        if document.is_encrypted() && document.encryption_state.is_none() {
            return Err(Failure::encrypted("it opens only with a password"));
        }
        if document.xref_recovery == Some(XrefRecovery::Reconstructed) && !has_end(bytes) {
            // What is left of it could be read, but passed off as the whole it would be a lie.
            return Err(Failure::damaged("it ends early"));
        }
        let pages: Vec<ObjectId> = document.get_pages().into_values().collect();
        if pages.is_empty() {
            return Err(Failure::damaged("it has no pages"));
        }
        let mut reader = TextReader::new(&document, inflated, budget.text.saturating_mul(2));
        let mut broken = None;
        for page in pages {
            match reader.page(page) {
                Ok(()) => {}
                // A page that inflates without end is a bomb; whatever else is wrong with a page costs that page only.
                Err(error) if is_bomb(&error) => return Err(failure(&error)),
                Err(error) => broken = Some(error),
            }
            if reader.text.len() > reader.enough {
                break;
            }
        }
        match broken {
            Some(error) if reader.text.trim().is_empty() => Err(failure(&error)),
            _ => {
                let cut = reader.text.len() > reader.enough;
                Ok(Raw { fields: metadata(&document), text: reader.finish(), cut })
            }
        }
    }
}

/// Whether the end mark stands where it should: within the last bytes, junk behind it forgiven.
fn has_end(bytes: &[u8]) -> bool {
    let tail = &bytes[bytes.len().saturating_sub(2048)..];
    tail.windows(5).any(|window| window == b"%%EOF")
}

fn is_bomb(error: &Error) -> bool {
    matches!(error, Error::Decompress(DecompressError::MemoryLimitExceeded { .. }))
}

fn failure(error: &Error) -> Failure {
    match error {
        _ if is_bomb(error) => Failure::too_large("a stream in it inflates beyond the limit"),
        Error::InvalidPassword => Failure::encrypted("it opens only with a password"),
        Error::UnsupportedSecurityHandler(_) => {
            Failure::encrypted("it is locked by a scheme that is not supported")
        }
        _ => {
            let mut message = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(inner) = source {
                message = format!("{message}: {inner}");
                source = inner.source();
            }
            Failure::damaged(message)
        }
    }
}

fn metadata(document: &Document) -> Vec<(Field, String)> {
    let mut fields = Vec::new();
    let information = document.trailer.get_deref(b"Info", document).and_then(Object::as_dict);
    if let Ok(information) = information {
        let string = |key: &[u8]| {
            let value = information.get_deref(key, document).ok()?;
            lopdf::decode_text_string(value).ok()
        };
        if let Some(title) = string(b"Title").as_deref().and_then(real_title) {
            fields.push((Field::Title, title.to_owned()));
        }
        if let Some(authors) = string(b"Author") {
            fields::push_split(&mut fields, Field::Author, &authors, &[';']);
        }
        if let Some(date) = string(b"CreationDate").as_deref().and_then(date) {
            fields.push((Field::Date, date));
        }
        if let Some(subject) = string(b"Subject") {
            fields.push((Field::Subject, subject));
        }
        if let Some(keywords) = string(b"Keywords") {
            fields::push_split(&mut fields, Field::Subject, &keywords, &[',', ';']);
        }
    }
    let language = document.catalog().and_then(|catalog| catalog.get_deref(b"Lang", document));
    if let Some(language) = language.ok().and_then(|language| lopdf::decode_text_string(language).ok()) {
        fields.push((Field::Language, language));
    }
    fields
}

/// A title that a person gave, not one that a program left.
fn real_title(title: &str) -> Option<&str> {
    let title = title.trim();
    let title = title.strip_prefix("Microsoft Word - ").unwrap_or(title);
    let is_placeholder = ["untitled", "(anonymous)", "unknown", "document1"]
        .iter()
        .any(|placeholder| title.eq_ignore_ascii_case(placeholder));
    (!title.is_empty() && !is_placeholder).then_some(title)
}

/// `D:20240501120000+02'00'` as `2024-05-01`; shorter ones as far as they go.
fn date(raw: &str) -> Option<String> {
    let raw = raw.trim().trim_start_matches("D:");
    let digits = raw.bytes().take_while(u8::is_ascii_digit).count().min(8);
    let digits = &raw[..digits];
    match digits.len() {
        8 => Some(format!("{}-{}-{}", &digits[..4], &digits[4..6], &digits[6..])),
        6 => Some(format!("{}-{}", &digits[..4], &digits[4..])),
        4 => Some(digits.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_brought_into_the_usual_form() {
        assert_eq!(date("D:20240501120000+02'00'").as_deref(), Some("2024-05-01"));
        assert_eq!(date("202405").as_deref(), Some("2024-05"));
        assert_eq!(date("May 2024"), None);
    }

    #[test]
    fn titles_that_programs_leave_are_none() {
        assert_eq!(real_title("Microsoft Word - letter"), Some("letter"));
        assert_eq!(real_title(" Untitled "), None);
    }
}
