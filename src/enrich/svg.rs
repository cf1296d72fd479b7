//! SVG: drawings whose words are text. Title, description and labels, and the Dublin Core that drawing programs add.

use super::extract::{Appetite, Budget, Extractor, Failure, MIB, Raw};
use super::text;
use super::xml::{Element, elements};
use crate::model::Field;

/// Drawings.
pub(super) struct Svg;

impl Extractor for Svg {
    fn name(&self) -> &'static str {
        "svg"
    }

    fn version(&self) -> u32 {
        1
    }

    fn appetite(&self, budget: Budget) -> Appetite {
        // Every element is held once, with its attributes.
        Appetite::Whole((budget.memory / 16).min(64 * MIB))
    }

    fn extract(&self, bytes: &[u8], _: Budget) -> Result<Raw, Failure> {
        let elements = elements(&text::decode(bytes, None), "the drawing")?;
        let mut raw = Raw { fields: fields(&elements), ..Raw::default() };
        raw.fields.push((Field::Format, "SVG".to_owned()));
        for element in &elements {
            // Titles and descriptions of single shapes are words of the drawing like its labels.
            if matches!(element.name.as_str(), "title" | "desc" | "text" | "tspan" | "textPath") {
                let words = element.text.trim();
                if !words.is_empty() {
                    raw.text.push_str(words);
                    raw.text.push('\n');
                }
            }
        }
        Ok(raw)
    }
}

/// The drawing's own title stands first; in the metadata stand a work's names, and agents' names are its makers'.
fn fields(elements: &[Element]) -> Vec<(Field, String)> {
    let mut fields = Vec::new();
    let mut agent = Some(Field::Author);
    let mut names = elements.iter().enumerate();
    while let Some((at, element)) = names.next() {
        let field = match element.name.as_str() {
            // A title deeper in belongs to a shape.
            "title" if at <= 2 || element.text.trim().is_empty() => Field::Title,
            "desc" if at <= 3 => Field::Description,
            "creator" => {
                agent = Some(Field::Author);
                Field::Author
            }
            "publisher" => {
                agent = Some(Field::Publisher);
                Field::Publisher
            }
            "contributor" | "rights" => {
                agent = None;
                continue;
            }
            "Agent" => {
                // <dc:creator><cc:Agent><dc:title>the name</dc:title></cc:Agent></dc:creator>
                if let Some((_, name)) = names.next() {
                    fields.extend(agent.map(|agent| (agent, name.text.clone())));
                }
                continue;
            }
            "date" => Field::Date,
            "description" => Field::Description,
            "identifier" => Field::Identifier,
            "language" => Field::Language,
            _ => continue,
        };
        fields.push((field, element.text.clone()));
    }
    // What drawing programs call a work in their metadata, where the drawing itself has no title.
    let work = elements.iter().skip_while(|element| element.name != "Work").skip(1);
    let title = work.take_while(|element| element.name != "Agent").find(|element| element.name == "title");
    fields.extend(title.map(|title| (Field::Title, title.text.clone())));
    // <dc:subject><rdf:Bag><rdf:li>a keyword</rdf:li></rdf:Bag></dc:subject>
    let subjects = elements.iter().skip_while(|element| element.name != "subject").skip(1);
    let subjects = subjects.take_while(|element| matches!(element.name.as_str(), "Bag" | "li"));
    fields
        .extend(subjects.filter(|element| element.name == "li").map(|li| (Field::Subject, li.text.clone())));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    // E1
    #[test]
    fn a_drawing_has_a_title_makers_and_labels() {
        let svg = "<svg xmlns='http://www.w3.org/2000/svg'><title>Shelves</title><desc>Three of them</desc><metadata>\
            <rdf:RDF><cc:Work><dc:format>image/svg+xml</dc:format><dc:creator><cc:Agent><dc:title>Ada</dc:title></cc:Agent>\
            </dc:creator><dc:title>Other</dc:title><dc:subject><rdf:Bag><rdf:li>wood</rdf:li><rdf:li>dust</rdf:li></rdf:Bag>\
            </dc:subject></cc:Work></rdf:RDF></metadata><g><title>a plank</title><text>upper <tspan>left</tspan></text></g></svg>";
        let raw = Svg.extract(svg.as_bytes(), Budget { memory: MIB, text: 1000 }).expect("well-formed");
        let of = |wanted| {
            raw.fields.iter().filter(move |(field, _)| *field == wanted).map(|(_, value)| value.as_str())
        };
        assert_eq!(of(Field::Title).next(), Some("Shelves"));
        assert_eq!(of(Field::Author).filter(|name| !name.is_empty()).collect::<Vec<_>>(), ["Ada"]);
        assert_eq!(of(Field::Subject).collect::<Vec<_>>(), ["wood", "dust"]);
        assert_eq!(of(Field::Description).next(), Some("Three of them"));
        assert!(raw.text.contains("a plank\nupper\nleft\n"), "{}", raw.text);
    }

    #[test]
    fn the_work_gives_the_title_where_the_drawing_has_none() {
        let svg = "<svg><metadata><Work><creator><Agent><title>Ada</title></Agent></creator></Work></metadata></svg>";
        let raw = Svg.extract(svg.as_bytes(), Budget { memory: MIB, text: 1000 }).expect("well-formed");
        assert!(!raw.fields.iter().any(|(field, _)| *field == Field::Title), "{:?}", raw.fields);
        let svg = "<svg><metadata><Work><format/><title>Plan</title></Work></metadata></svg>";
        let raw = Svg.extract(svg.as_bytes(), Budget { memory: MIB, text: 1000 }).expect("well-formed");
        assert!(raw.fields.contains(&(Field::Title, "Plan".to_owned())));
    }
}
