//! Plain text, and the decoding of bytes for every format that is text.

use encoding_rs::Encoding;

use super::extract::{Appetite, Budget, Extractor, Failure, Raw};

/// Text kept as it stands.
pub(super) struct PlainText;

impl Extractor for PlainText {
    fn name(&self) -> &'static str {
        "text"
    }

    fn version(&self) -> u32 {
        2
    }

    fn appetite(&self, budget: Budget) -> Appetite {
        Appetite::Head(head_for(budget))
    }

    fn extract(&self, bytes: &[u8], _budget: Budget) -> Result<Raw, Failure> {
        Ok(Raw { text: decode(bytes, None), ..Raw::default() })
    }
}

/// How many bytes of a text file can become the text that is kept: UTF-16 takes two bytes where UTF-8 takes one, and
/// no usual encoding takes more; what is dropped (carriage returns) is made up for by half as much again.
pub(super) fn head_for(budget: Budget) -> u64 {
    budget.text as u64 * 3 + 64 * 1024
}

/// Bytes as text: by byte order mark, else as declared, else UTF-8 where they are that, else by Mozilla's detector.
/// What does not decode becomes U+FFFD.
pub(super) fn decode(bytes: &[u8], declared: Option<&'static Encoding>) -> String {
    if let Some((encoding, mark)) = Encoding::for_bom(bytes) {
        return encoding.decode_without_bom_handling(&bytes[mark..]).0.into_owned();
    }
    if let Some(encoding) = declared {
        return encoding.decode_without_bom_handling(bytes).0.into_owned();
    }
    if is_utf8(bytes) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
    detector.feed(&bytes[..bytes.len().min(SAMPLE)], true);
    let encoding = detector.guess(None, chardetng::Utf8Detection::Allow);
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

/// So much is enough for the detector.
const SAMPLE: usize = 1024 * 1024;

/// Whether bytes are UTF-8, a character cut off at the end forgiven: only the head of a large file is read.
pub(super) fn is_utf8(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_recognised() {
        let sentence =
            "Die Bücher stehen schräg, weil das Regal für größere gebaut ist; übrigens gehören sie anderen.";
        let (cp1252, _, lossy) = encoding_rs::WINDOWS_1252.encode(sentence);
        assert!(!lossy);
        assert_eq!(decode(&cp1252, None), sentence);
        let mut utf16 = vec![0xff, 0xfe];
        utf16.extend(sentence.encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(decode(&utf16, None), sentence);
        let russian = "Книги стоят на полках, а каталог знает, где их искать, когда диск далеко.";
        let (koi8, _, lossy) = encoding_rs::KOI8_R.encode(russian);
        assert!(!lossy);
        assert_eq!(decode(&koi8, None), russian);
    }

    #[test]
    fn a_character_cut_off_at_the_end_is_still_utf8() {
        let bytes = "Regal für größere".as_bytes();
        let cut = &bytes[..bytes.len() - 4];
        assert!(std::str::from_utf8(cut).is_ok() || is_utf8(cut));
        assert!(is_utf8(&"für".as_bytes()[..2]));
        assert!(!is_utf8(b"f\xfcr"));
    }
}
