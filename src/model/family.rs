//! Families of media types: what people mean by "the audio files", and what can be expected to be known of a file.

use super::words;

words! {
    /// What kind of thing a content is, by its media type.
    pub enum Family {
        /// Plain text, Markdown, HTML, program sources.
        Text = "text",
        /// Documents made of pages: PDF, office documents.
        Document = "document",
        /// Electronic books.
        Book = "book",
        /// Spreadsheets and tables.
        Sheet = "sheet",
        /// Presentations.
        Slides = "slides",
        /// Messages.
        Mail = "mail",
        /// Sound.
        Audio = "audio",
        /// Pictures.
        Image = "image",
        /// Films.
        Video = "video",
        /// Files that hold files.
        Archive = "archive",
        /// Whatever else.
        Other = "other",
    }
}

impl Family {
    /// The family of a media type.
    #[must_use]
    pub fn of(mime: &str) -> Family {
        let has = |any: &[&str]| any.iter().any(|part| mime.contains(part));
        match mime.split_once('/').map_or("", |(top, _)| top) {
            "audio" => Family::Audio,
            "image" => Family::Image,
            "video" => Family::Video,
            "message" => Family::Mail,
            "text" if has(&["csv", "tab-separated"]) => Family::Sheet,
            "text" if has(&["rtf"]) => Family::Document,
            "text" => Family::Text,
            _ if has(&["xhtml"]) => Family::Text,
            _ if has(&["epub", "mobipocket", "fictionbook"]) => Family::Book,
            _ if has(&["spreadsheet", "ms-excel"]) => Family::Sheet,
            _ if has(&["presentation", "ms-powerpoint"]) => Family::Slides,
            _ if has(&["mbox", "ms-outlook"]) => Family::Mail,
            _ if has(&["pdf", "msword", "wordprocessing", "opendocument.text", "rtf", "postscript"]) => {
                Family::Document
            }
            _ if has(&[
                "zip",
                "x-tar",
                "x-7z",
                "rar",
                "x-xz",
                "zstd",
                "x-bzip",
                "java-archive",
                "debian",
            ]) =>
            {
                Family::Archive
            }
            _ => Family::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("text/markdown", Family::Text)]
    #[case("text/csv", Family::Sheet)]
    #[case("application/pdf", Family::Document)]
    #[case("application/epub+zip", Family::Book)]
    #[case("application/vnd.openxmlformats-officedocument.wordprocessingml.document", Family::Document)]
    #[case("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", Family::Sheet)]
    #[case("application/vnd.oasis.opendocument.text", Family::Document)]
    #[case("application/vnd.oasis.opendocument.presentation", Family::Slides)]
    #[case("message/rfc822", Family::Mail)]
    #[case("image/jpeg", Family::Image)]
    #[case("audio/flac", Family::Audio)]
    #[case("application/zip", Family::Archive)]
    #[case("application/octet-stream", Family::Other)]
    #[case("", Family::Other)]
    fn a_media_type_is_of_one_family(#[case] mime: &str, #[case] family: Family) {
        assert_eq!(Family::of(mime), family);
    }
}
