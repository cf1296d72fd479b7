//! Markdown: the text as it stands, metadata from its front matter, the first heading as the title.

use super::extract::{Appetite, Budget, Extractor, Failure, Raw};
use super::{fields, text};
use crate::model::Field;

/// Markdown with or without front matter.
pub(super) struct Markdown;

impl Extractor for Markdown {
    fn name(&self) -> &'static str {
        "markdown"
    }

    fn version(&self) -> u32 {
        3
    }

    fn appetite(&self, budget: Budget) -> Appetite {
        Appetite::Head(text::head_for(budget))
    }

    fn extract(&self, bytes: &[u8], _budget: Budget) -> Result<Raw, Failure> {
        let text = text::decode(bytes, None);
        let (mut fields, body) = front_matter(&text);
        if !fields.iter().any(|(field, _)| *field == Field::Title)
            && let Some(heading) = first_heading(body)
        {
            fields.push((Field::Title, heading));
        }
        Ok(Raw { fields, text, cut: false })
    }
}

/// Longer front matter is none, but a document that begins with a rule.
const MAX_LINES: usize = 500;

/// Fields out of the block between two `---` lines, or out of Pandoc's `%` lines, and the text behind it.
///
/// Of YAML only what people write there is understood: `key: value`, quotes, `[a, b]`, and `- item` lines.
fn front_matter(text: &str) -> (Vec<(Field, String)>, &str) {
    if text.starts_with('%') {
        return pandoc_title(text);
    }
    let mut lines = Lines { rest: text };
    if lines.next().map(str::trim_end) != Some("---") {
        return (Vec::new(), text);
    }
    let mut fields = Vec::new();
    let mut key = String::new();
    for _ in 0..MAX_LINES {
        let Some(line) = lines.next() else { break };
        let line = line.trim_end();
        if line == "---" || line == "..." {
            return (fields, lines.rest);
        }
        if let Some(item) = line.trim_start().strip_prefix("- ") {
            push(&mut fields, &key, item);
        } else if !line.starts_with([' ', '\t', '#'])
            && let Some((name, value)) = line.split_once(':')
        {
            name.trim().clone_into(&mut key);
            push(&mut fields, &key, value);
        }
    }
    (Vec::new(), text)
}

fn push(fields: &mut Vec<(Field, String)>, key: &str, value: &str) {
    let Some(field) = fields::by_name(key) else { return };
    let value = value.trim();
    if let Some(list) = value.strip_prefix('[').and_then(|value| value.strip_suffix(']')) {
        fields.extend(flow_items(list).into_iter().map(|item| (field, item)));
    } else if fields::is_comma_list(key) && !value.starts_with(['"', '\'']) {
        fields::push_split(fields, field, value, &[',']);
    } else if !matches!(value, "|" | ">" | "|-" | ">-" | "~" | "null") {
        fields.push((field, scalar(value)));
    }
}

/// The items of `a, "b, c", 'd'`.
fn flow_items(list: &str) -> Vec<String> {
    let mut items = Vec::new();
    let mut quote = None;
    let mut start = 0;
    for (at, char) in list.char_indices() {
        match (quote, char) {
            (None, '"' | '\'') if list[start..at].trim().is_empty() => quote = Some(char),
            (Some(open), _) if open == char => quote = None,
            (None, ',') => {
                items.push(scalar(&list[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(scalar(&list[start..]));
    items
}

/// A YAML scalar without its quotes. A double-quoted one is nearly always a JSON string.
fn scalar(raw: &str) -> String {
    let raw = raw.trim();
    if let Some(inner) = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')) {
        return serde_json::from_str(raw).unwrap_or_else(|_| inner.to_owned());
    }
    if let Some(inner) = raw.strip_prefix('\'').and_then(|raw| raw.strip_suffix('\'')) {
        return inner.replace("''", "'");
    }
    raw.split(" #").next().unwrap_or(raw).to_owned()
}

/// Pandoc's title block: up to three lines of `% title`, `% author; author`, `% date`.
fn pandoc_title(text: &str) -> (Vec<(Field, String)>, &str) {
    let mut lines = Lines { rest: text };
    let mut fields = Vec::new();
    for field in [Field::Title, Field::Author, Field::Date] {
        let Some(line) = lines.rest.strip_prefix('%') else { break };
        let end = line.find('\n').map_or(line.len(), |at| at + 1);
        fields::push_split(
            &mut fields,
            field,
            &line[..end],
            if field == Field::Author { &[';'] } else { &[] },
        );
        lines.rest = &line[end..];
    }
    (fields, lines.rest)
}

/// The first `# heading`, or line underlined with `===`, outside of code fences.
fn first_heading(body: &str) -> Option<String> {
    let mut fence = None;
    let mut before = "";
    for line in (Lines { rest: body }) {
        let trimmed = line.trim_start();
        for mark in ["```", "~~~"] {
            if trimmed.starts_with(mark) && fence.is_none_or(|open| open == mark) {
                fence = if fence.is_none() { Some(mark) } else { None };
                break;
            }
        }
        if fence.is_none() {
            if let Some(heading) = line.strip_prefix("# ") {
                return Some(heading.trim().trim_end_matches('#').trim_end().to_owned());
            }
            if line.len() >= 3
                && !before.trim().is_empty()
                && line.trim_end().bytes().all(|byte| byte == b'=')
            {
                return Some(before.trim().to_owned());
            }
        }
        before = line;
    }
    None
}

/// Lines without their ends, and what is behind them.
struct Lines<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(line.trim_end_matches(['\r', '\n']))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::tidy;
    use super::*;

    const BUDGET: Budget = Budget { memory: 1 << 30, text: 1 << 20 };

    fn fields_of(text: &str) -> Vec<(Field, Vec<String>)> {
        tidy(&Markdown.extract(text.as_bytes(), BUDGET).expect("Markdown never fails").fields)
    }

    #[test]
    fn front_matter_is_understood_as_people_write_it() {
        let fields = fields_of(
            "---\r\ntitle: \"A \\\"quoted\\\" title\"\r\nauthor:\r\n  - Ada Byron\r\n  - 'O''Neill'\r\ndate: 2024-05-01 # draft\r\nkeywords: [disks, \"shelves, long\"]\r\nlang: en\r\n---\r\n# Not the title\r\n",
        );
        assert_eq!(
            fields,
            [
                (Field::Title, vec!["A \"quoted\" title".to_owned()]),
                (Field::Author, vec!["Ada Byron".to_owned(), "O'Neill".to_owned()]),
                (Field::Date, vec!["2024-05-01".to_owned()]),
                (Field::Language, vec!["en".to_owned()]),
                (Field::Subject, vec!["disks".to_owned(), "shelves, long".to_owned()]),
            ]
        );
    }

    #[test]
    fn without_front_matter_the_first_heading_is_the_title() {
        assert_eq!(
            fields_of("```\n# code\n```\n\n# Real one #\n"),
            [(Field::Title, vec!["Real one".to_owned()])]
        );
        assert_eq!(fields_of("Underlined\n=======\n"), [(Field::Title, vec!["Underlined".to_owned()])]);
        assert_eq!(fields_of("---\n\n# After a rule\n"), [(Field::Title, vec!["After a rule".to_owned()])]);
        assert_eq!(fields_of("no heading\n"), []);
    }

    #[test]
    fn a_pandoc_title_block_is_understood() {
        assert_eq!(
            fields_of("% The Title\n% A; B\n% May\n\ntext\n"),
            [
                (Field::Title, vec!["The Title".to_owned()]),
                (Field::Author, vec!["A".to_owned(), "B".to_owned()]),
                (Field::Date, vec!["May".to_owned()]),
            ]
        );
    }

    #[test]
    fn the_text_is_kept_as_it_stands() {
        let text = "---\ntitle: x\n---\n*kept*\n";
        assert_eq!(Markdown.extract(text.as_bytes(), BUDGET).expect("never fails").text, text);
    }
}
