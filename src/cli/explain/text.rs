//! The answer for people.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;

use super::{InScope, Known, Place};
use crate::catalog::dirs::DirState;
use crate::catalog::explain::LastLook;
use crate::catalog::libraries::Library;
use crate::catalog::query::FileCard;
use crate::catalog::queue::Operation;
use crate::cli::context::Context;
use crate::cli::copies::copy_line;
use crate::cli::decisions::question;
use crate::cli::exit::Failure;
use crate::cli::output::{local_time, plural, size};
use crate::model::path::display_name;
use crate::model::{LookCause, OperationState, Presence, Privacy, Problem, RelPath};
use crate::scan::{LeftOut, RuleOrigin};
use crate::volume::marker::MARKER_DIR;

/// Why the catalogue has no file at a place: the first thing that is reason enough.
pub(super) fn why_unknown(place: &Place) -> String {
    let Place { library, path, dir, .. } = place;
    if path.starts_with(&RelPath::from(MARKER_DIR)) {
        return "shelflist's own: the marker is never catalogued".to_owned();
    }
    if let Some((frozen, since)) = &place.frozen {
        let since = since.map_or_else(String::new, |since| format!(" since {}", local_time(since)));
        return format!("{frozen} cannot be listed{since}: what is in it is not known");
    }
    if place.rule.is_some() || place.excluded_dir.is_some() {
        return rule_words(place);
    }
    if let Some((problem, _)) = &place.problem {
        return format!("it was seen and not taken in: {}", problem.message);
    }
    match (dir, &place.gone_dir, library.last_complete_scan) {
        (Some(dir), _, _) if dir.state == DirState::Listed => {
            "it was listed completely at the last look".to_owned()
        }
        (_, Some(gone), _) => format!("{gone} is not there any more"),
        (_, None, None) => {
            format!("the library was never scanned completely; run: shelflist scan {}", library.name)
        }
        (_, None, Some(at)) => format!(
            "it was not there at the last complete scan, {}; if it is there now, run: shelflist scan {}",
            local_time(at),
            library.name
        ),
    }
}

/// Which rule leaves a place out, as far as that can be told without the disk.
fn rule_words(place: &Place) -> String {
    let on_disk: Vec<String> = place.rule_files.iter().map(RelPath::display).collect();
    match (&place.rule, &place.excluded_dir) {
        (Some(LeftOut { path, pattern, origin }), _) => {
            let origin = match origin {
                RuleOrigin::Default => "which is built in",
                RuleOrigin::Setting => "in the setting scan.exclude",
            };
            let unless = if on_disk.is_empty() {
                String::new()
            } else {
                format!("; {} may say otherwise", on_disk.join(", "))
            };
            format!("{path} is left out by the rule {pattern}, {origin}{unless}")
        }
        (None, above) => {
            let what = above.as_ref().map_or_else(|| "it".to_owned(), RelPath::display);
            let by = if on_disk.is_empty() {
                "a rule that stood then, perhaps in a .shelflistignore above it".to_owned()
            } else {
                on_disk.join(" or ")
            };
            format!("{what} was left out at the last look by {by}")
        }
    }
}

pub(super) fn tell_root(context: &mut Context, library: &Library) -> Result<(), Failure> {
    let root = display_name(library.root.as_os_str().as_bytes());
    let (now, since) = (library.availability, local_time(library.availability_since));
    context.out.line(format!("  root now   {now} since {since}, as seen last, at {root}"))?;
    let complete = match library.last_complete_scan {
        Some(at) => local_time(at),
        None => "never".to_owned(),
    };
    context.out.line(format!("  last complete scan  {complete}"))?;
    Ok(())
}

pub(super) fn problem_line(problem: &Problem, since: i64) -> String {
    format!("  problem    {} ({}) since {}", problem.message, problem.kind, local_time(since))
}

pub(super) fn tell_known(
    context: &mut Context,
    place: &Place,
    known: &Known,
    libraries: &HashMap<i64, Library>,
) -> Result<(), Failure> {
    let Known { card, look, .. } = known;
    let out = &mut context.out;
    out.line(format!("{}: {}", place.library.name, card.path))?;
    let evidence = card.evidence.as_deref().map_or_else(String::new, |evidence| format!(": {evidence}"));
    out.line(format!("  presence   {} since {}{evidence}", card.presence, local_time(look.since)))?;
    if card.presence == Presence::Missing && look.missing_scans > 0 {
        let scans = plural(look.missing_scans.into(), "complete scan", "complete scans");
        out.line(format!("             at least {scans} did not find it"))?;
    }
    out.line(format!("  status     {}", card.status))?;
    let root_then = known.root_then.as_deref().unwrap_or("not recorded");
    match &known.scan {
        Some(scan) => out.line(format!(
            "  said by    scan {} of {}, {}{}; the root was {root_then}",
            scan.scan_id,
            local_time(scan.started_at),
            scan.outcome,
            if scan.scope.is_root() { String::new() } else { format!(", of {} alone", scan.scope) }
        ))?,
        None => out.line(format!("  said at    {}; the root was {root_then}", local_time(look.said_at)))?,
    }
    out.line(format!("  last seen  {}, {}", local_time(card.last_seen), stat_words(card)))?;
    out.line(format!("  read       {}", read_words(card, look)))?;
    if look.young {
        out.line("             its stamps were too close to the clock: the next scan reads it again")?;
    }
    tell_root(context, &place.library)?;
    let out = &mut context.out;
    if let Some((dir, since)) = &place.frozen {
        let since = since.map_or_else(String::new, |since| format!(" since {}", local_time(since)));
        out.line(format!("  frozen     {dir} cannot be listed{since}: nothing below it is concluded"))?;
    }
    if card.presence == Presence::Excluded || place.rule.is_some() {
        out.line(format!("  rule       {}", rule_words(place)))?;
    }
    if let Some((problem, since)) = &place.problem {
        out.line(problem_line(problem, *since))?;
    }
    if let Some((kind, message)) = &known.text_problem {
        out.line(format!("  problem    no text: {message} ({kind})"))?;
    }
    match &known.document {
        Some(document) => {
            let title = card.title.as_deref().map_or_else(String::new, |title| format!(", {title}"));
            out.line(format!("  document   {}{title}", document.ulid))?;
        }
        None => out.line("  document   none")?,
    }
    if let Some((privacy, rule)) = &known.privacy
        && *privacy != Privacy::Full
    {
        let by = rule.as_deref().map_or_else(
            || "the word on its card".to_owned(),
            |rule| format!("the rule {:?}", display_name(rule.as_bytes())),
        );
        out.line(format!("  privacy    {privacy}, by {by}"))?;
    }
    for scope in known.scopes.iter().filter(|scope| !scope.all) {
        out.line(format!("  scope      {}", scope_words(scope)))?;
    }
    for copy in known.copies.iter().filter(|copy| copy.file_id != card.file_id) {
        out.line(format!("  copy       {}", copy_line(copy, libraries)))?;
    }
    for operation in &known.operations {
        out.line(format!("  operation  {}", operation_words(operation)))?;
    }
    for (store, object) in &known.objects {
        let cause = object.cause.as_deref().map_or_else(String::new, |cause| format!(" ({cause})"));
        let at = object.uploaded_at.map_or_else(String::new, |at| format!(", sent {}", local_time(at)));
        let store = store.as_deref().unwrap_or("?");
        out.line(format!(
            "  in {store}: {} {}{cause}{at}, {}",
            object.payload, object.state, object.remote_id
        ))?;
    }
    for decision in &known.decisions {
        let number = decision.decision_id;
        out.line(format!(
            "  decision   {number} waits for you: {}; see: shelflist decision show {number}",
            question(decision)
        ))?;
    }
    Ok(())
}

fn scope_words(scope: &InScope) -> String {
    let InScope { store, is_in, pattern, .. } = scope;
    match (is_in, pattern) {
        (true, Some(pattern)) => format!("for {store}, by {pattern}"),
        (true, None) => format!("for {store}: nothing leaves it out"),
        (false, Some(pattern)) => format!("not for {store}: left out by {pattern}"),
        (false, None) => format!("not for {store}: no pattern takes it in"),
    }
}

fn stat_words(card: &FileCard) -> String {
    let mtime = card.stat.mtime_ms().map_or_else(|| "before 1677 or after 2262".to_owned(), local_time);
    format!("{}, {}, modified {mtime}", card.stat.kind, size(card.stat.size))
}

fn read_words(card: &FileCard, look: &LastLook) -> String {
    let because: Vec<&str> = look.because.iter().map(|cause| cause_words(*cause)).collect();
    let because = because.join(", ");
    match (card.hashed_at, because.is_empty()) {
        (Some(at), true) if at <= card.first_seen => format!("{}, when it was seen first", local_time(at)),
        // By a version that did not keep it.
        (Some(at), true) => format!("{}, why was not kept", local_time(at)),
        (Some(at), false) => format!("{}, because: {because}", local_time(at)),
        (None, true) => "never".to_owned(),
        (None, false) => format!("its content was never proved; tried because: {because}"),
    }
}

fn cause_words(cause: LookCause) -> &'static str {
    match cause {
        LookCause::Kind => "something else stood there",
        LookCause::Size => "its size differed",
        LookCause::Mtime => "its time of modification differed",
        LookCause::Ctime => "its ctime differed",
        LookCause::Inode => "its inode number differed",
        LookCause::Unproved => "its content had not been proved",
        LookCause::Young => "its stamps had been too young to prove anything",
        LookCause::Full => "everything was read (--full)",
        LookCause::Back => "it was back",
    }
}

fn operation_words(operation: &Operation) -> String {
    let Operation { store, kind, state, attempts, .. } = operation;
    let mut words = format!("{kind} {store}: {state} since {}", local_time(operation.updated_at));
    if *attempts > 0 {
        words.push_str(&format!(", {}", plural((*attempts).into(), "attempt failed", "attempts failed")));
    }
    if let Some(text) = operation.error_text.as_deref() {
        let code = operation.error_code.as_deref().unwrap_or("?");
        words.push_str(&format!(", {code}: {text}"));
    }
    if let Some(note) = operation.note.as_deref() {
        words.push_str(&format!(", {note}"));
    }
    if let Some(decision) = operation.held_by {
        words.push_str(&format!(", held by decision {decision}"));
    }
    if *state == OperationState::Pending && operation.not_before > operation.updated_at {
        words.push_str(&format!(", not before {}", local_time(operation.not_before)));
    }
    words
}
