//! PDF: text page by page, metadata out of the document information and its XMP packet.

use hayro_syntax::{DecryptionError, LoadPdfError, Pdf as Document};

use super::extract::{Appetite, Budget, Extractor, Failure, Raw};
use super::pdf_fields;
use super::pdf_stream::Unplain;
use super::pdf_text::TextReader;

/// PDF documents.
pub(super) struct Pdf;

impl Extractor for Pdf {
    fn name(&self) -> &'static str {
        "pdf"
    }

    fn version(&self) -> u32 {
        2
    }

    fn appetite(&self, budget: Budget) -> Appetite {
        Appetite::whole(budget)
    }

    fn extract(&self, bytes: &[u8], budget: Budget) -> Result<Raw, Failure> {
        let inflated = usize::try_from(budget.inflated()).unwrap_or(usize::MAX);
        if ends_early(bytes) {
            // What is left of it could be read, but passed off as the whole it would be a lie.
            return Err(Failure::damaged("it ends early"));
        }
        let document = Document::new(bytes.to_vec()).map_err(failure)?;
        let pages = document.pages();
        if pages.is_empty() {
            return Err(Failure::damaged("it has no pages"));
        }
        let mut reader = TextReader::new(inflated, budget.text.saturating_mul(2));
        for page in pages.iter() {
            // A page that inflates without end is a bomb; whatever else is wrong with a page costs that page only.
            if reader.page(page) == Err(Unplain::TooLarge) {
                return Err(Failure::too_large("a stream in it inflates beyond the limit"));
            }
            if reader.text.len() > reader.enough {
                break;
            }
        }
        let cut = reader.text.len() > reader.enough;
        let text = reader.finish();
        Ok(Raw { fields: pdf_fields::read(&document, inflated, &text), text, cut })
    }
}

/// Whether the end is missing: no end mark where it should be (junk behind it forgiven), and the last table of contents
/// is not where the document says, as it is where an update was cut off.
fn ends_early(bytes: &[u8]) -> bool {
    let tail = &bytes[bytes.len().saturating_sub(2048)..];
    if tail.windows(5).any(|window| window == b"%%EOF") {
        return false;
    }
    let Some(start) = bytes.windows(9).rposition(|window| window == b"startxref") else { return true };
    let offset = String::from_utf8_lossy(&bytes[start + 9..(start + 40).min(bytes.len())]);
    let offset = offset.split_ascii_whitespace().next().and_then(|offset| offset.parse::<usize>().ok());
    let header = bytes.windows(5).position(|window| window == b"%PDF-").unwrap_or(0);
    let table = offset.and_then(|offset| bytes.get(header + offset..)).unwrap_or_default();
    !matches!(table.trim_ascii_start().first(), Some(b'x' | b'0'..=b'9'))
}

fn failure(error: LoadPdfError) -> Failure {
    match error {
        LoadPdfError::Decryption(DecryptionError::PasswordProtected) => {
            Failure::encrypted("it opens only with a password")
        }
        LoadPdfError::Decryption(_) => Failure::encrypted("it is locked by a scheme that is not supported"),
        LoadPdfError::Invalid => Failure::damaged("there are no pages to be found in it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_its_end_is_told_from_one_with_junk_behind_it() {
        let whole = b"%PDF-1.4\nxref\ntrailer\nstartxref\n9\n%%EOF\n".to_vec();
        assert!(!ends_early(&whole));
        assert!(!ends_early(&[&whole[..], &[b'x'; 5000]].concat()), "its table is where it should be");
        assert!(ends_early(&whole[..20]));
        assert!(
            ends_early(b"%PDF-1.4\n1 0 obj\nstartxref\n0\n1 0 obj"),
            "the table of the part that was cut off"
        );
    }
}
