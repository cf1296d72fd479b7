//! EPUB: a ZIP archive with a packing list (OPF) of XHTML chapters.
//!
//! Read by hand, because the crates for it trust the archive ([`package`](super::package)).

use std::collections::{HashMap, HashSet};

use super::extract::{Appetite, Budget, Extractor, Failure, Raw};
use super::html;
use super::package::{Package, resolve};
use super::xml::Element;
use crate::model::Field;

/// Books.
pub(super) struct Epub;

impl Extractor for Epub {
    fn name(&self) -> &'static str {
        "epub"
    }

    fn version(&self) -> u32 {
        3
    }

    fn appetite(&self, budget: Budget) -> Appetite {
        Appetite::whole(budget)
    }

    fn extract(&self, bytes: &[u8], budget: Budget) -> Result<Raw, Failure> {
        let mut book = Package::open(bytes, budget)?;
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
        refuse_locked(&mut book, &chapters)?;

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

/// Fails where chapters are encrypted. Obfuscated fonts are listed in the same place and lock nobody out.
fn refuse_locked(book: &mut Package<'_>, chapters: &[String]) -> Result<(), Failure> {
    let locked = book.xml_or_none("META-INF/encryption.xml")?;
    let is_chapter = |element: &Element| {
        let uri = element.attribute("URI").map(|uri| resolve("", uri));
        element.name == "CipherReference" && uri.is_some_and(|uri| chapters.contains(&uri))
    };
    if locked.iter().any(is_chapter) {
        return Err(Failure::encrypted("its chapters are locked (digital rights management)"));
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::extract::MIB;

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
