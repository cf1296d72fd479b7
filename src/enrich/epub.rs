//! EPUB: a ZIP archive with a packing list (OPF) of XHTML chapters.
//!
//! Read by hand, because the crates for it trust the archive ([`package`](super::package)).

use std::collections::HashMap;

use super::extract::{Appetite, Budget, Extractor, Failure, MIB, Raw};
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
        1
    }

    fn appetite(&self, budget: Budget) -> Appetite {
        Appetite::Whole((budget.memory / 2).min(512 * MIB))
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

/// The archive names of the chapters, in reading order.
fn spine(package: &[Element], package_path: &str) -> Vec<String> {
    let directory = package_path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let manifest: HashMap<&str, &str> = package
        .iter()
        .filter(|element| element.name == "item")
        .filter_map(|item| Some((item.attribute("id")?, item.attribute("href")?)))
        .collect();
    package
        .iter()
        .filter(|element| element.name == "itemref")
        .filter_map(|itemref| manifest.get(itemref.attribute("idref")?))
        .map(|href| resolve(directory, href))
        .collect()
}

fn metadata(package: &[Element]) -> Vec<(Field, String)> {
    let mut fields = Vec::new();
    for element in package {
        // The elements of Dublin Core; names like `title` occur nowhere else in a package document.
        let field = match element.name.as_str() {
            "title" => Field::Title,
            "creator" => Field::Author,
            "date" => Field::Date,
            "language" => Field::Language,
            "identifier" => Field::Identifier,
            "publisher" => Field::Publisher,
            "subject" => Field::Subject,
            // What follows are names of files, not of books.
            "manifest" => break,
            _ => continue,
        };
        let value = (field, element.text.clone());
        // EPUB 2 has several dates; the one of publication counts.
        if field == Field::Date && element.attribute("event") == Some("publication") {
            fields.insert(0, value);
        } else {
            fields.push(value);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

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
