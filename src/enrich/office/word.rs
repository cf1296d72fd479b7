//! Word documents: the main part with its tables and text boxes, headers before it, notes, comments and footers behind.

use super::ooxml::{Document, Relation};
use super::{Lines, Skipping, unless_full};
use crate::enrich::extract::{Appetite, Budget, Extractor, Failure, Raw};
use crate::enrich::xml::{Piece, walk};
use crate::model::Field;

/// DOCX, its templates and those with macros.
pub(in crate::enrich) struct Word;

impl Extractor for Word {
    fn name(&self) -> &'static str {
        "word"
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
        fields.push((Field::Format, document.format("Word", "document")));
        fields.extend(document.counted_pages()?.map(|extent| (Field::Extent, extent)));

        let main = document.main.clone();
        let relations = document.relations_of(&main)?;
        let mut lines = Lines::new(budget.text);
        read_all(&mut document, &relations, "header", &mut lines)?;
        let body = document.package.text(&main)?;
        let body = body.ok_or_else(|| Failure::damaged(format!("there is no {main} in the archive")))?;
        read(&body, &main, &mut lines)?;
        for kind in ["footnotes", "endnotes", "comments", "footer"] {
            read_all(&mut document, &relations, kind, &mut lines)?;
        }
        let cut = lines.is_full();
        Ok(Raw { fields, text: lines.finish(), cut })
    }
}

/// Reads the parts of a kind. Headers are mostly the same thrice: for the first page, the left and the right ones.
fn read_all(
    document: &mut Document<'_>,
    relations: &[Relation],
    kind: &str,
    lines: &mut Lines,
) -> Result<(), Failure> {
    let mut known = Vec::new();
    for relation in relations.iter().filter(|relation| relation.kind == kind) {
        let Some(part) = document.package.text(&relation.target)? else { continue };
        let mut own = Lines::new(lines.limit());
        read(&part, &relation.target, &mut own)?;
        let text = own.finish();
        if !known.contains(&text) {
            lines.end_part();
            lines.push(&text);
            known.push(text);
        }
    }
    lines.end_part();
    Ok(())
}

/// Tab stops of paragraphs are no tabs; `Fallback` repeats what stands in a `Choice`, and what was moved away stands
/// where it was moved to.
const LEFT_OUT: [&str; 4] = ["tabs", "Fallback", "moveFrom", "instrText"];

fn read(part: &str, name: &str, lines: &mut Lines) -> Result<(), Failure> {
    let mut skipping = Skipping::default();
    // Only what is in `t` is text; the rest is line ends of the XML, field codes and deleted words.
    let mut in_text = false;
    walk(part, name, |piece| {
        match piece {
            Piece::Start(tag) => {
                if !skipping.enters(tag.name(), &LEFT_OUT) {
                    match tag.name() {
                        "t" => in_text = true,
                        "tab" | "ptab" => lines.push("\t"),
                        "br" | "cr" => lines.end_line(),
                        "noBreakHyphen" => lines.push("\u{2011}"),
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
                        "t" => in_text = false,
                        "p" => lines.end_line(),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(body: &str) -> String {
        let mut lines = Lines::new(1000);
        read(&format!("<w:document><w:body>{body}</w:body></w:document>"), "it", &mut lines)
            .expect("well-formed");
        lines.finish()
    }

    // E1
    #[test]
    fn what_is_shown_is_text_and_nothing_else() {
        assert_eq!(
            text_of(
                "<w:p><w:pPr><w:tabs><w:tab w:val='left'/></w:tabs></w:pPr><w:r><w:t>One</w:t><w:tab/><w:t xml:space='preserve'> two</w:t></w:r>\n <w:r><w:instrText>PAGE</w:instrText><w:delText>gone</w:delText><w:t>-co</w:t></w:r></w:p><w:p/><w:p><w:moveFrom><w:r><w:t>twice</w:t></w:r></w:moveFrom><w:moveTo><w:r><w:t>once</w:t></w:r></w:moveTo><w:br/><w:t>next</w:t></w:p>"
            ),
            "One\t two-co\nonce\nnext\n"
        );
    }

    // E1
    #[test]
    fn a_text_box_is_read_once() {
        let shape = "<w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p></w:txbxContent>";
        assert_eq!(
            text_of(&format!(
                "<w:p><mc:AlternateContent><mc:Choice>{shape}</mc:Choice><mc:Fallback>{shape}</mc:Fallback></mc:AlternateContent></w:p>"
            )),
            "boxed\n"
        );
    }
}
