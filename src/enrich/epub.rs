//! EPUB: a ZIP archive with a packing list (OPF) of XHTML chapters.
//!
//! Read by hand, because the crates for it trust the archive: none caps what a member inflates to, and a book of a few
//! kilobytes took 4 GiB.

use std::collections::{HashMap, HashSet};
use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use super::extract::{Appetite, Budget, Extractor, Failure, MIB, Raw};
use super::xml::{Element, elements};
use super::{html, text};
use crate::model::Field;

/// Books.
pub(super) struct Epub;

impl Extractor for Epub {
    fn name(&self) -> &'static str {
        "epub"
    }

    fn version(&self) -> u32 {
        2
    }

    fn appetite(&self, budget: Budget) -> Appetite {
        Appetite::Whole((budget.memory / 2).min(512 * MIB))
    }

    fn extract(&self, bytes: &[u8], budget: Budget) -> Result<Raw, Failure> {
        let archive = ZipArchive::new(Cursor::new(bytes))
            .map_err(|error| Failure::damaged(format!("the archive cannot be read: {error}")))?;
        let mut book = Book { archive, member_limit: budget.inflated(), left: 4 * budget.inflated() };

        let container = book.xml("META-INF/container.xml")?;
        let package_path = container
            .iter()
            .filter(|element| element.name == "rootfile")
            .find_map(|element| element.attribute("full-path"))
            .ok_or_else(|| Failure::damaged("META-INF/container.xml names no package document"))?
            .to_owned();
        let package = book.xml(&package_path)?;
        let chapters = spine(&package, &package_path);
        if chapters.is_empty() {
            return Err(Failure::damaged(format!("{package_path} lists no chapters")));
        }
        book.refuse_locked(&chapters)?;

        let mut raw = Raw { fields: metadata(&package), ..Raw::default() };
        let mut found = 0_usize;
        for chapter in &chapters {
            let Some(bytes) = book.member(chapter)? else { continue };
            found += 1;
            let page = html::read(&html::decode(&bytes), true, budget.text);
            if !raw.text.is_empty() && !page.text.is_empty() {
                raw.text.push('\n');
            }
            raw.text.push_str(&page.text);
            raw.cut |= page.cut;
            if raw.text.len() > budget.text.saturating_mul(2) {
                raw.cut = true;
                break;
            }
        }
        if found == 0 {
            return Err(Failure::damaged("none of the chapters that it lists is in the archive"));
        }
        Ok(raw)
    }
}

/// An archive that gives out only so much.
struct Book<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    /// The most that one member may inflate to, in bytes.
    member_limit: u64,
    /// What all members together may still inflate to, in bytes.
    left: u64,
}

impl Book<'_> {
    /// A member's bytes; `None` where there is no such member.
    fn member(&mut self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let member = match self.archive.by_name(name) {
            Ok(member) => member,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(ZipError::UnsupportedArchive(detail)) if detail == ZipError::PASSWORD_REQUIRED => {
                return Err(Failure::encrypted("the archive is locked with a password"));
            }
            Err(error) => return Err(Failure::damaged(format!("{name} cannot be read: {error}"))),
        };
        let limit = self.member_limit.min(self.left);
        let mut bytes = Vec::new();
        // One byte more than allowed tells "too large" from "exactly full".
        let read = member
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::damaged(format!("{name} cannot be read: {error}")))?;
        if read as u64 > limit {
            return Err(Failure::too_large(format!("{name} inflates to more than {} MiB", limit / MIB)));
        }
        self.left -= read as u64;
        Ok(Some(bytes))
    }

    fn xml(&mut self, name: &str) -> Result<Vec<Element>, Failure> {
        let bytes = self
            .member(name)?
            .ok_or_else(|| Failure::damaged(format!("there is no {name} in the archive")))?;
        elements(&text::decode(&bytes, None), name)
    }

    /// Fails where chapters are encrypted. Obfuscated fonts are listed in the same place and lock nobody out.
    fn refuse_locked(&mut self, chapters: &[String]) -> Result<(), Failure> {
        const LIST: &str = "META-INF/encryption.xml";
        let Some(bytes) = self.member(LIST)? else { return Ok(()) };
        let locked = elements(&text::decode(&bytes, None), LIST)?;
        let is_chapter = |element: &Element| {
            let uri = element.attribute("URI").map(|uri| resolve("", uri));
            element.name == "CipherReference" && uri.is_some_and(|uri| chapters.contains(&uri))
        };
        if locked.iter().any(is_chapter) {
            return Err(Failure::encrypted("its chapters are locked (digital rights management)"));
        }
        Ok(())
    }
}

/// The archive names of the chapters, in reading order, each once: some programs list a chapter again for every heading in
/// it, and its text would be in the book a hundred times.
fn spine(package: &[Element], package_path: &str) -> Vec<String> {
    let directory = package_path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let manifest: HashMap<&str, &str> = package
        .iter()
        .filter(|element| element.name == "item")
        .filter_map(|item| Some((item.attribute("id")?, item.attribute("href")?)))
        .collect();
    let mut listed = HashSet::new();
    package
        .iter()
        .filter(|element| element.name == "itemref")
        .filter_map(|itemref| manifest.get(itemref.attribute("idref")?))
        .map(|href| resolve(directory, href))
        .filter(|chapter| listed.insert(chapter.clone()))
        .collect()
}

fn metadata(package: &[Element]) -> Vec<(Field, String)> {
    let mut fields = Vec::new();
    for element in package {
        // The elements of Dublin Core; names like `title` occur nowhere else in a package document.
        let field = match element.name.as_str() {
            "package" => {
                fields.extend(
                    element.attribute("version").map(|version| (Field::Format, format!("EPUB {version}"))),
                );
                continue;
            }
            "title" => Field::Title,
            "creator" => Field::Author,
            "date" => Field::Date,
            "language" => Field::Language,
            "identifier" => Field::Identifier,
            "publisher" => Field::Publisher,
            "subject" => Field::Subject,
            "description" => Field::Description,
            "meta" => {
                fields.extend(series(element).map(|series| (Field::PartOf, series.to_owned())));
                continue;
            }
            // What follows are names of files, not of books.
            "manifest" => break,
            _ => continue,
        };
        let value = match (field, element.attribute("scheme")) {
            // Shops put a web page there.
            (Field::Description, _) => html::read(&element.text, false, DESCRIPTION_LIMIT).text,
            // EPUB 2 says beside the number what kind it is.
            (Field::Identifier, Some(scheme)) if scheme.eq_ignore_ascii_case("isbn") => {
                format!("isbn:{}", element.text.trim().trim_start_matches("urn:isbn:"))
            }
            _ => element.text.clone(),
        };
        // EPUB 2 has several dates; the one of publication counts.
        if field == Field::Date && element.attribute("event") == Some("publication") {
            fields.insert(0, (field, value));
        } else {
            fields.push((field, value));
        }
    }
    fields
}

/// A longer one is a chapter in the wrong place.
const DESCRIPTION_LIMIT: usize = 64 * 1024;

/// The series that a book belongs to: EPUB 3's collections, and what calibre writes into both versions.
fn series(meta: &Element) -> Option<&str> {
    if meta.attribute("property") == Some("belongs-to-collection") {
        return Some(&meta.text);
    }
    meta.attribute("content").filter(|_| meta.attribute("name") == Some("calibre:series"))
}

/// A member's name out of a reference relative to a directory: fragment dropped, `%20` and `..` resolved.
fn resolve(directory: &str, reference: &str) -> String {
    let reference = reference.split('#').next().unwrap_or(reference);
    let reference = percent_decode(reference);
    let (directory, reference) =
        reference.strip_prefix('/').map_or((directory, reference.as_str()), |rooted| ("", rooted));
    let mut parts: Vec<&str> = Vec::new();
    for part in directory.split('/').chain(reference.split('/')) {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = match (first, tail) {
            (b'%', [high, low, ..]) => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        match code {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(name: &str, attributes: &[(&str, &str)], text: &str) -> Element {
        let attributes = attributes.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
        Element { name: name.to_owned(), attributes: attributes.collect(), text: text.to_owned() }
    }

    // E1
    #[test]
    fn a_chapter_listed_for_each_of_its_headings_is_read_once() {
        let item = |id, href| element("item", &[("id", id), ("href", href)], "");
        let itemref = |id| element("itemref", &[("idref", id)], "");
        let package = [item("a", "1.xhtml#o1"), item("b", "1.xhtml#o2"), item("c", "2.xhtml")];
        let package = [&package[..], &[itemref("a"), itemref("b"), itemref("c"), itemref("a")]].concat();
        assert_eq!(spine(&package, "OEBPS/x.opf"), ["OEBPS/1.xhtml", "OEBPS/2.xhtml"]);
    }

    // E1
    #[test]
    fn the_package_tells_version_series_and_what_kind_of_number() {
        let package = [
            element("package", &[("version", "3.0")], ""),
            element("title", &[], "Drawers"),
            element("identifier", &[("scheme", "ISBN")], "0-306-40615-2"),
            element("description", &[], "<p>All <b>about</b> drawers</p>"),
            element("meta", &[("property", "belongs-to-collection")], "Furniture"),
            element("manifest", &[], ""),
            element("title", &[], "not this"),
        ];
        let value = |field, value: &str| (field, vec![value.to_owned()]);
        assert_eq!(
            super::super::fields::tidy(&metadata(&package)),
            [
                value(Field::Title, "Drawers"),
                value(Field::Identifier, "isbn:9780306406157"),
                value(Field::Description, "All about drawers"),
                value(Field::PartOf, "Furniture"),
                value(Field::Format, "EPUB 3.0"),
            ]
        );
    }

    #[test]
    fn references_are_resolved_and_never_leave_the_archive() {
        assert_eq!(resolve("OEBPS", "text/ch%201.xhtml#top"), "OEBPS/text/ch 1.xhtml");
        assert_eq!(resolve("OEBPS/pkg", "../../../x"), "x");
        assert_eq!(resolve("OEBPS", "/x"), "x");
        assert_eq!(resolve("", "100%.xhtml"), "100%.xhtml");
    }

    // E1
    #[test]
    fn a_chapter_that_inflates_beyond_the_cap_is_refused_before_memory_runs_out() {
        let bomb = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/damaged/zip-bomb.epub"));
        let budget = Budget { memory: 8 * MIB, text: 1024 };
        let refused = Epub.extract(&bomb.expect("the fixture is there"), budget);
        let refused = refused.expect_err("it is a bomb");
        assert_eq!(refused.message, "book/chapter 1.xhtml inflates to more than 2 MiB");
        assert_eq!(refused.kind, crate::model::ProblemKind::TooLarge);
    }
}
