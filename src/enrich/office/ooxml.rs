//! What Word, Excel and PowerPoint files of the Office Open XML kind have in common (ECMA-376): parts that name each
//! other by relationships, and their metadata in two parts of its own.

use super::counted;
use crate::enrich::extract::{Budget, Failure};
use crate::enrich::fields::push_split;
use crate::enrich::package::{Package, resolve};
use crate::enrich::xml::Element;
use crate::model::Field;

/// A package and its main part.
pub(in crate::enrich) struct Document<'a> {
    pub(in crate::enrich) package: Package<'a>,
    pub(in crate::enrich) main: String,
    /// The media type of the main part, which tells templates and documents with macros apart.
    main_type: String,
    relations: Vec<Relation>,
}

/// That one part belongs to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::enrich) struct Relation {
    id: String,
    /// The last word of its type, for instance `footnotes`. Strict and transitional files differ in what precedes it.
    pub(in crate::enrich) kind: String,
    /// The name of the member.
    pub(in crate::enrich) target: String,
}

impl<'a> Document<'a> {
    pub(in crate::enrich) fn open(bytes: &'a [u8], budget: Budget) -> Result<Self, Failure> {
        let mut package = Package::open(bytes, budget)?;
        let relations = relations_of(&mut package, "")?;
        let main = relations
            .iter()
            .find(|relation| relation.kind == "officeDocument")
            .ok_or_else(|| Failure::damaged("its relationships name no main part"))?
            .target
            .clone();
        let types = package.xml("[Content_Types].xml")?;
        let main_type = types
            .iter()
            .find(|element| {
                element.attribute("PartName").is_some_and(|name| name.trim_start_matches('/') == main)
            })
            .and_then(|element| element.attribute("ContentType"))
            .unwrap_or_default()
            .to_owned();
        Ok(Document { package, main, main_type, relations })
    }

    /// The relations of a part.
    pub(in crate::enrich) fn relations_of(&mut self, part: &str) -> Result<Vec<Relation>, Failure> {
        relations_of(&mut self.package, part)
    }

    /// The format as people name it: `Word document (OOXML)`.
    pub(in crate::enrich) fn format(&self, program: &str, document: &str) -> String {
        let kind = match self.main_type.to_ascii_lowercase() {
            main_type if main_type.contains("template") => "template",
            main_type if main_type.contains("slideshow") => "slide show",
            main_type if main_type.contains("addin") => "add-in",
            _ => document,
        };
        let macros = if self.main_type.contains("macroEnabled") { ", with macros" } else { "" };
        format!("{program} {kind} (OOXML{macros})")
    }

    /// Title, authors and the like. The company that a licence was sold to is no publisher.
    pub(in crate::enrich) fn metadata(&mut self) -> Result<Vec<(Field, String)>, Failure> {
        let mut fields = Vec::new();
        let mut modified = None;
        for element in self.properties("core-properties")? {
            match element.name.as_str() {
                "title" => fields.push((Field::Title, element.text)),
                // Word writes several authors into one, parted so.
                "creator" => push_split(&mut fields, Field::Author, &element.text, &[';']),
                "created" => fields.push((Field::Date, element.text)),
                "modified" => modified = Some((Field::Date, element.text)),
                "language" => fields.push((Field::Language, element.text)),
                "identifier" => fields.push((Field::Identifier, element.text)),
                "subject" => fields.push((Field::Subject, element.text)),
                "keywords" => push_split(&mut fields, Field::Subject, &element.text, &[',', ';']),
                "description" => fields.push((Field::Description, element.text)),
                _ => {}
            }
        }
        fields.extend(modified);
        Ok(fields)
    }

    /// Pages and words as the file gives them.
    pub(in crate::enrich) fn counted_pages(&mut self) -> Result<Option<String>, Failure> {
        let properties = self.properties("extended-properties")?;
        let count = |name| {
            let element = properties.iter().find(|element| element.name == name)?;
            element.text.trim().parse::<u64>().ok().filter(|&count| count > 0)
        };
        // A file that never was in Word has the page of the template that it was made from, and no words.
        let Some(words) = count("Words") else { return Ok(None) };
        let words = counted(words, "word");
        Ok(Some(match count("Pages") {
            Some(pages) => format!("{}, {words}", counted(pages, "page")),
            None => words,
        }))
    }

    fn properties(&mut self, kind: &str) -> Result<Vec<Element>, Failure> {
        let Some(relation) = self.relations.iter().find(|relation| relation.kind == kind) else {
            return Ok(Vec::new());
        };
        self.package.xml_or_none(&relation.target)
    }
}

/// Where a relation leads.
pub(in crate::enrich) fn target_of<'a>(relations: &'a [Relation], id: &str) -> Option<&'a str> {
    relations.iter().find(|relation| relation.id == id).map(|relation| relation.target.as_str())
}

/// The relations of a part, those of the package itself for "". What lies outside the package is left out.
fn relations_of(package: &mut Package<'_>, part: &str) -> Result<Vec<Relation>, Failure> {
    let (directory, name) = part.rsplit_once('/').unwrap_or(("", part));
    let list = resolve(directory, &format!("_rels/{name}.rels"));
    let elements = package.xml_or_none(&list)?;
    Ok(elements
        .iter()
        .filter(|element| element.attribute("TargetMode") != Some("External"))
        .filter_map(|element| {
            Some(Relation {
                id: element.attribute("Id")?.to_owned(),
                kind: element.attribute("Type")?.rsplit('/').next()?.to_owned(),
                target: resolve(directory, element.attribute("Target")?),
            })
        })
        .collect())
}
