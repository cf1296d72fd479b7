//! PowerPoint presentations: slide by slide in the order in which they are shown, each followed by its notes.

use super::ooxml::{Document, target_of};
use super::{Lines, Skipping, counted, unless_full};
use crate::enrich::extract::{Appetite, Budget, Extractor, Failure, Raw};
use crate::enrich::xml::{Piece, walk};
use crate::model::Field;

/// PPTX, its templates, slide shows and those with macros.
pub(in crate::enrich) struct Slides;

impl Extractor for Slides {
    fn name(&self) -> &'static str {
        "slides"
    }

    fn version(&self) -> u32 {
        1
    }

    fn appetite(&self, budget: Budget) -> Appetite {
        Appetite::whole(budget)
    }

    fn extract(&self, bytes: &[u8], budget: Budget) -> Result<Raw, Failure> {
        let mut document = Document::open(bytes, budget)?;
        let mut fields = document.metadata()?;
        fields.push((Field::Format, document.format("PowerPoint", "presentation")));

        let main = document.main.clone();
        let relations = document.relations_of(&main)?;
        let slides: Vec<String> = document
            .package
            .xml(&main)?
            .iter()
            .filter(|element| element.name == "sldId")
            // It has an `id` of its own besides `r:id`; only one of them is a relation.
            .flat_map(|element| element.attributes.iter().filter(|(name, _)| name == "id"))
            .filter_map(|(_, id)| target_of(&relations, id).map(str::to_owned))
            .collect();
        fields.push((Field::Extent, counted(slides.len() as u64, "slide")));

        let mut lines = Lines::new(budget.text);
        for slide in &slides {
            if lines.is_full() {
                break;
            }
            read_part(&mut document, slide, &mut lines)?;
            let relations = document.relations_of(slide)?;
            // The words of "smart art" stand in a part of their own, and so does what the speaker is to say.
            for kind in ["diagramData", "notesSlide", "comments"] {
                for relation in relations.iter().filter(|relation| relation.kind == kind) {
                    read_part(&mut document, &relation.target, &mut lines)?;
                }
            }
        }
        let cut = lines.is_full();
        Ok(Raw { fields, text: lines.finish(), cut })
    }
}

fn read_part(document: &mut Document<'_>, name: &str, lines: &mut Lines) -> Result<(), Failure> {
    if let Some(part) = document.package.text(name)? {
        read(&part, name, lines)?;
        lines.end_part();
    }
    Ok(())
}

fn read(part: &str, name: &str, lines: &mut Lines) -> Result<(), Failure> {
    let mut skipping = Skipping::default();
    let mut in_text = false;
    walk(part, name, |piece| {
        match piece {
            Piece::Start(tag) => {
                // The number of a slide is no text: it is another wherever the slide is put.
                let is_number =
                    tag.name() == "fld" && tag.attribute("type").is_some_and(|kind| kind == "slidenum");
                let left_out: &[&str] = if is_number { &["fld"] } else { &["Fallback", "tabLst"] };
                if !skipping.enters(tag.name(), left_out) {
                    match tag.name() {
                        // `text` is a comment's.
                        "t" | "text" => in_text = true,
                        "br" => lines.end_line(),
                        "tc" => lines.start_cell(),
                        _ => {}
                    }
                }
            }
            Piece::Text(text) if in_text && !skipping.is_inside() => lines.push(text),
            Piece::Text(_) => {}
            Piece::End(name) => {
                if !skipping.leaves() {
                    match name {
                        "t" | "text" => in_text = false,
                        "p" | "cm" => lines.end_line(),
                        "tc" => lines.end_cell(),
                        "tr" => lines.end_row(),
                        _ => {}
                    }
                }
            }
        }
        unless_full(lines)
    })
}
