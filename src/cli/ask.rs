use std::path::Path;

use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure, chain};
use super::heard;
use super::hits::Hits;
use crate::catalog::search::{self, Query};
use crate::catalog::stores::{self, StoreRow};
use crate::catalog::{Catalog, documents, ledger};
use crate::model::document::effective;
use crate::model::filter::Filter;
use crate::model::{Field, ObjectState};
use crate::remote::index::{Answer, Passage};
use crate::remote::{self, Access, AwayReason, ErrorClass, Opened, StoreError, StoreUrl};

/// Documents that the catalogue finds where no store answers.
const FOUND_INSTEAD: usize = 10;
/// Documents of one title that are looked at for the one that a store means by it.
const NAMESAKES: usize = 20;
/// Shorter words of a question are seldom what it is about, in letters.
const SHORT: usize = 3;
/// Passages of one document that people are shown.
const SHOWN_PASSAGES: usize = 3;
/// As much of a passage is shown to people, in characters.
const SHOWN_CHARS: usize = 300;

/// Ask a question of a store that answers (gemini:), and see which documents the answer is from.
///
/// The store's model answers out of the documents that it was given; the question goes to it. Where the store is away, or there is
/// none, the catalogue's own search says what it finds, and the command ends with 5 (away) or 3 (none).
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The question, in your own words.
    #[arg(required = true)]
    question: Vec<String>,
    /// Answer only out of documents whose card says this: type:book tag:x tier:1 lang:de before:2020 after:2019-05, each also with
    /// - before it (not this) and with OR between (either).
    #[arg(long = "where", value_name = "FILTER", allow_hyphen_values = true)]
    filter: Option<String>,
    /// Which store, by name or URL, where there are several that answer.
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { question, filter, store } = args;
    let question = question.join(" ");
    if question.trim().is_empty() {
        return Err(Failure::usage("the question is empty"));
    }
    let typed = filter.unwrap_or_default();
    let filter = search::conditions(&Query::parse(&typed)).map_err(|error| {
        Failure::usage(format!("--where {typed:?}: {error}")).hint(
            "--where understands type: tier: tag: lang: before: and after:; words to look for belong into the question, and \
             `shelflist find` looks everywhere",
        )
    })?;
    let mut catalog = context.open()?;
    let Some(row) = store_that_answers(&catalog, store.as_deref())? else {
        let why = "there is no store that answers questions".to_owned();
        let hint = "add one with: shelflist store add gemini://NAME";
        return instead(
            context,
            &catalog,
            &question,
            &typed,
            None,
            &Unanswered { why, hint, exit: Exit::Problems },
        );
    };
    let answer = ask(&row, &question, &filter, context);
    heard::keep(context, &mut catalog, &row, &answer)?;
    match answer {
        Ok(answer) => show(context, &catalog, &row, &question, &answer),
        Err(error) if error.class() == ErrorClass::Channel => {
            let exit = heard::exit_of(&error);
            let failure = Failure::from(error);
            let hint = failure.said_hint().unwrap_or_default();
            let why = failure.message().to_owned();
            instead(context, &catalog, &question, &typed, Some(&row), &Unanswered { why, hint, exit })
        }
        Err(error) => {
            let message = chain(&error);
            Err(Failure::new(Exit::Failed, message)
                .hint("ask it in other words, or give the store's URL another ?model="))
        }
    }
}

/// The store that is meant: the named one, else the only one that answers; none where there is none.
fn store_that_answers(catalog: &Catalog, named: Option<&str>) -> Result<Option<StoreRow>, Failure> {
    let answers = |row: &StoreRow| matches!(parse(row), Ok(StoreUrl::Gemini(_)));
    if let Some(named) = named {
        let known = || {
            Failure::usage(format!("there is no store {named:?}")).hint("see all with: shelflist store list")
        };
        let row = stores::by_name(catalog.read(), named)?.ok_or_else(known)?;
        return match answers(&row) {
            true => Ok(Some(row)),
            false => Err(Failure::usage(format!("store {named} answers no questions"))
                .hint("gemini: stores do; `shelflist find` searches the catalogue")),
        };
    }
    let mut all: Vec<StoreRow> = stores::all(catalog.read())?.into_iter().filter(answers).collect();
    if all.len() > 1 {
        let names: Vec<&str> = all.iter().map(|row| row.name.as_str()).collect();
        return Err(Failure::usage("several stores answer questions")
            .hint(format!("say which one with --store: {}", names.join(", "))));
    }
    Ok(all.pop())
}

fn parse(row: &StoreRow) -> Result<StoreUrl, remote::UrlError> {
    StoreUrl::parse(&row.url, Path::new("/"))
}

fn ask(row: &StoreRow, question: &str, filter: &Filter, context: &Context) -> Result<Answer, StoreError> {
    use crate::clock::Clock;
    let away = |reason| StoreError::Away { store: row.name.clone(), reason, source: None };
    let url = parse(row).map_err(|error| StoreError::Refused {
        store: row.name.clone(),
        doing: "be opened".to_owned(),
        reason: error.to_string(),
        source: None,
    })?;
    let access = Access::known(row.password_command.as_deref(), row.found);
    let Opened::Index(index) = remote::open(&url, &access, context.clock.now())? else {
        unreachable!("only stores that answer were chosen")
    };
    // Whoever deleted it may have made another; what that one says is not about our documents.
    if index.identity()?.is_none_or(|identity| identity.store != row.remote_store) {
        return Err(away(AwayReason::NoneOfThatName));
    }
    let answers = index.answers().expect("only stores that answer were chosen");
    answers.ask(question, filter)
}

/// A document that an answer is from, with its passages; or what the store calls one that the catalogue does not know.
struct Cited<'a> {
    document_id: Option<i64>,
    title: &'a str,
    passages: Vec<Quoted<'a>>,
}

/// A passage, and whether its document still says so.
struct Quoted<'a> {
    passage: &'a Passage,
    is_current: bool,
}

/// The documents of an answer, each once, in the order of their first passages; and for each passage the place of its document.
fn cited<'a>(
    catalog: &Catalog,
    row: &StoreRow,
    answer: &'a Answer,
) -> Result<(Vec<Cited<'a>>, Vec<usize>), Failure> {
    let mut all: Vec<Cited<'a>> = Vec::new();
    let mut places = Vec::new();
    for passage in &answer.passages {
        let document_id = document_of(catalog, passage)?;
        let same = |known: &Cited<'_>| match document_id {
            Some(_) => known.document_id == document_id,
            None => known.document_id.is_none() && known.title == passage.title,
        };
        let at = all.iter().position(same).unwrap_or_else(|| {
            all.push(Cited { document_id, title: &passage.title, passages: Vec::new() });
            all.len() - 1
        });
        let is_current = is_current(catalog, row, document_id, passage)?;
        all[at].passages.push(Quoted { passage, is_current });
        places.push(at);
    }
    Ok((all, places))
}

/// Whether a passage is of a content that the ledger calls current, or says not of which it is.
fn is_current(
    catalog: &Catalog,
    row: &StoreRow,
    document_id: Option<i64>,
    passage: &Passage,
) -> Result<bool, Failure> {
    let (Some(document_id), Some(key)) = (document_id, &passage.key) else { return Ok(true) };
    let held = ledger::held(catalog.read(), row.store_id, document_id)?;
    Ok(held.iter().any(|object| object.state == ObjectState::Current && object.remote_id == key.as_str()))
}

/// By the id that was written beside it; else by its title, where only one document has that.
fn document_of(catalog: &Catalog, passage: &Passage) -> Result<Option<i64>, Failure> {
    let conn = catalog.read();
    if let Some(ulid) = passage.document {
        return Ok(documents::by_ulid(conn, ulid)?);
    }
    let query = Query::parse(&format!("title:\"{}\"", passage.title.replace('"', " ")));
    let mut of_that_title = Vec::new();
    for hit in search::find(conn, &query, NAMESAKES)?.hits {
        let annotations = documents::annotations(conn, hit.document_id)?;
        let title = effective(&annotations).get(&Field::Title).and_then(|held| held.values.first().cloned());
        if title.as_deref() == Some(passage.title.as_str()) {
            of_that_title.push(hit.document_id);
        }
    }
    Ok(if let [only] = of_that_title[..] { Some(only) } else { None })
}

fn show(
    context: &mut Context,
    catalog: &Catalog,
    row: &StoreRow,
    question: &str,
    answer: &Answer,
) -> Result<Exit, Failure> {
    let _moment = catalog.snapshot()?;
    let (cited, places) = cited(catalog, row, answer)?;
    let known: Vec<search::Hit> = cited
        .iter()
        .filter_map(|one| one.document_id)
        .map(|document_id| search::Hit { document_id, approximate: false })
        .collect();
    let hits = Hits::gather(context, catalog, &known, None)?;
    if context.json {
        let mut of_known = hits.json().into_iter();
        let sources: Vec<Value> = cited
            .iter()
            .map(|one| {
                let quoted = |it: &Quoted<'_>| {
                    json!({ "text": it.passage.text, "page": it.passage.page, "current": it.is_current })
                };
                let passages: Vec<Value> = one.passages.iter().map(quoted).collect();
                let document = one.document_id.and_then(|_| of_known.next());
                json!({ "title": one.title, "document": document, "passages": passages })
            })
            .collect();
        let citations: Vec<Value> = answer
            .supports
            .iter()
            .map(|it| json!({ "until_byte": it.until, "sources": numbers(&it.passages, &places) }))
            .collect();
        context.out.json(&json!({
            "question": question, "store": row.name, "answered": true, "answer": answer.text, "model": answer.model,
            "sources": sources, "citations": citations, "reason": null, "hits": [], "total": null,
        }))?;
        return Ok(Exit::Done);
    }
    for line in marked(answer, &places).trim_end().lines() {
        context.out.line(line)?;
    }
    context.out.line("")?;
    let mut at_hit = 0;
    for (at, one) in cited.iter().enumerate() {
        let mark = format!("[{}] ", at + 1);
        if one.document_id.is_some() {
            hits.print_one(context, at_hit, &mark)?;
            at_hit += 1;
        } else {
            context.out.line(format!("{mark}{} (not in this catalogue)", one.title))?;
        }
        for Quoted { passage, is_current } in one.passages.iter().take(SHOWN_PASSAGES) {
            let page = passage.page.map_or_else(String::new, |page| format!("page {page}: "));
            let former = if *is_current { "" } else { " (in a former version)" };
            let said = match without_card(&passage.text) {
                "" => "its card".to_owned(),
                text => format!("\u{201c}{}\u{201d}", shortened(text)),
            };
            context.out.line(format!("  {page}{said}{former}"))?;
        }
    }
    if cited.is_empty() {
        context.out.line("no source found: the store names no document that this is from")?;
    }
    context.out.line(format!("answered by {} out of store {}", answer.model, row.name))?;
    Ok(Exit::Done)
}

/// The numbers of documents, from 1, in order, each once.
fn numbers(passages: &[usize], places: &[usize]) -> Vec<usize> {
    let mut numbers: Vec<usize> =
        passages.iter().filter_map(|passage| places.get(*passage)).map(|at| at + 1).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The answer with the numbers of its documents behind the words that are from them.
fn marked(answer: &Answer, places: &[usize]) -> String {
    let mut text = String::with_capacity(answer.text.len() + answer.supports.len() * 4);
    let mut at = 0;
    let mut supports = answer.supports.iter().peekable();
    while let Some(support) = supports.next() {
        let mut passages = support.passages.clone();
        while let Some(same) = supports.next_if(|next| next.until == support.until) {
            passages.extend(&same.passages);
        }
        let until = support.until.clamp(at, answer.text.len());
        text.push_str(&answer.text[at..until]);
        for number in numbers(&passages, places) {
            text.push_str(&format!("[{number}]"));
        }
        at = until;
    }
    text.push_str(&answer.text[at..]);
    text
}

/// A passage without the card that a document begins with: people are shown what is on it anyway.
fn without_card(text: &str) -> &str {
    let Some(card) = text.strip_prefix("---\n") else { return text.trim() };
    match card.split_once("\n---") {
        Some((_, text)) => text.trim(),
        // The passage ends within it.
        None => "",
    }
}

/// One line of a passage.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}

/// Why nothing was answered.
struct Unanswered<'a> {
    why: String,
    hint: &'a str,
    exit: Exit,
}

/// Says why nothing was answered, and what the catalogue finds by itself.
fn instead(
    context: &mut Context,
    catalog: &Catalog,
    question: &str,
    filter: &str,
    row: Option<&StoreRow>,
    unanswered: &Unanswered<'_>,
) -> Result<Exit, Failure> {
    let Unanswered { why, hint, exit } = unanswered;
    let _moment = catalog.snapshot()?;
    let conn = catalog.read();
    let mut query = Query::parse(&format!("{question} {filter}"));
    let mut found = search::find(conn, &query, FOUND_INSTEAD)?;
    let mut loosely = false;
    if found.hits.is_empty() {
        // Nobody's text has all the words of a question.
        let any = any_word(question);
        if !any.is_empty() {
            query = Query::parse(&format!("{any} {filter}"));
            found = search::find(conn, &query, FOUND_INSTEAD)?;
            loosely = true;
        }
    }
    let hits = Hits::gather(context, catalog, &found.hits, Some(&query))?;
    let unsent = row.map(|row| heard::unsent(context, catalog, row)).transpose()?;
    if context.json {
        context.out.json(&json!({
            "question": question, "store": row.map(|row| &row.name), "answered": false, "answer": null, "model": null,
            "sources": [], "citations": [],
            "reason": { "message": why, "hint": hint, "code": heard::code_of(*exit), "unsent": unsent },
            "hits": hits.json(), "total": found.total,
        }))?;
        return Ok(*exit);
    }
    eprintln!("no answer: {}", crate::model::path::display_name(why.as_bytes()));
    if let (Some(row), Some(unsent), Exit::Offline) = (row, unsent, exit) {
        eprintln!("{}", crate::model::path::display_name(heard::offline(row, unsent).as_bytes()));
    }
    eprintln!("hint: {}", crate::model::path::display_name(hint.as_bytes()));
    if hits.len() == 0 {
        context.out.line("the catalogue finds nothing for it either")?;
    } else {
        let how = if loosely { "with any of its words" } else { "with its words" };
        context.out.line(format!("what the catalogue finds {how}:"))?;
        hits.print(context)?;
    }
    Ok(*exit)
}

/// The longer words of a question, any of which will do.
pub(super) fn any_word(question: &str) -> String {
    let words = question.split(|char: char| !char.is_alphanumeric());
    let long: Vec<&str> = words.filter(|word| word.len() > SHORT).collect();
    long.join(" OR ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::index::Support;

    // S9
    #[test]
    fn an_answer_is_marked_where_its_words_are_from_a_document() {
        let support = |until, passages: &[usize]| Support { until, passages: passages.to_vec() };
        let answer = Answer {
            text: "Größe zählt. Nicht immer.\n".to_owned(),
            supports: vec![support(15, &[2, 0]), support(15, &[1]), support(28, &[0, 9])],
            ..Answer::default()
        };
        // Passages 0 and 2 are of the first document, 1 is of the second.
        assert_eq!(marked(&answer, &[0, 1, 0]), "Größe zählt.[1][2] Nicht immer.[1]\n");
        assert_eq!(marked(&Answer { supports: Vec::new(), ..answer }, &[]), "Größe zählt. Nicht immer.\n");
    }

    // O2
    #[test]
    fn of_a_question_any_longer_word_will_do() {
        assert_eq!(any_word("Where do cats, OR \"dogs\", sleep?"), "Where OR cats OR dogs OR sleep");
        assert_eq!(any_word("Wo? 京都!"), "京都");
    }

    #[test]
    fn a_passage_is_shown_in_one_line() {
        assert_eq!(shortened("a\n  b\tc"), "a b c");
        assert_eq!(shortened(&"ä".repeat(400)).chars().count(), 302);
        assert_eq!(without_card("---\ntitle: \"x\"\n---\n\ntext\n"), "text");
        assert_eq!(without_card("---\ntitle: \"x\"\n---"), "");
        assert_eq!(without_card("---\ntitle: \"x"), "");
        assert_eq!(without_card("text ---\nmore"), "text ---\nmore");
    }
}
