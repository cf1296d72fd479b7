//! The user's own enrichers (E3): commands that are told what is known of a content and say what else there is to know.
//!
//! A command is the user's program: it may ask a model, a catalogue on the network, or a table in a file. It is told nothing
//! that may not leave this computer, because nobody knows where it takes what it is told. Each command has a thread and one
//! process; what they say is written down by one writer, fields and the operations that follow in one transaction (T1).
//!
//! Answers belong to contents. Failures, too, are remembered, or one document that a command cannot bear would be asked about
//! for ever; but three in a row that the command did not survive are the command's doing and not the documents': it is not
//! asked any more in this run, and nothing is held against them. The disks are not needed: texts are in the catalogue.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};

use self::process::{CommandProcess, Trouble};
use self::protocol::Reply;
use super::run::{index, those_of};
use super::{Kinds, version};
use crate::catalog::answers::{self, Answer, AnswerKind, ReadContent, Teller, ToAsk};
use crate::catalog::documents::Said;
use crate::catalog::enrichments::{self, OutcomeKind};
use crate::catalog::settings::{self, EnrichCommand};
use crate::catalog::{Catalog, CatalogError, Connection, Ids, RunLock};
use crate::clock::Clock;
use crate::model::{Privacy, Problem, ProblemKind, setting};
use crate::monitor::{Counter, Monitor, Phase};

mod process;
mod protocol;

/// Documents looked up at once.
const BATCH: usize = 100;

/// How long answers may wait to be written down together.
const GATHER: Duration = Duration::from_millis(200);

/// So many deaths, or refusals for now, in a row end a command for this run.
const ENOUGH: usize = 3;

/// About which documents commands are asked.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only of these libraries; without it of all.
    pub libraries: Option<Vec<i64>>,
    /// Only these kinds; without it all.
    pub kinds: Option<Kinds>,
    /// Also what was answered before.
    pub redo: bool,
}

/// What asking the commands came to.
#[derive(Debug, Default)]
pub struct AskReport {
    /// Each command's share, by name.
    pub commands: Vec<CommandReport>,
    /// Documents that still wait for an answer.
    pub waiting: u64,
    /// One document's trouble each.
    pub problems: Vec<Problem>,
    /// Whether the user stopped it.
    pub interrupted: bool,
}

/// One command's share.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct CommandReport {
    /// Its name.
    pub command: String,
    /// Questions it was sent.
    pub asked: u64,
    /// Answers it gave.
    pub answered: u64,
    /// Contents it had no answer about; each is among the problems.
    pub failed: u64,
    /// Contents it was not told of because of their privacy.
    pub withheld: u64,
    /// Why it was not asked any more, for people.
    pub stopped: Option<String>,
}

/// A command as it is carried out.
#[derive(Debug)]
struct Enricher {
    command: EnrichCommand,
    words: Vec<String>,
    kinds: Option<Kinds>,
    /// Of its command line.
    digits: String,
}

impl Enricher {
    /// What the settings mean, or why they mean nothing (an edit by hand).
    fn of(command: EnrichCommand) -> Result<Self, String> {
        let words = setting::split_command(&command.line).map_err(str::to_owned);
        let kinds = parse_kinds(&command.kinds).map_err(|error| error.to_string());
        match (words, kinds) {
            (Ok(words), Ok(kinds)) => {
                let digits = version::digits(&command.line);
                Ok(Enricher { command, words, kinds, digits })
            }
            (Err(why), _) | (_, Err(why)) => Err(why),
        }
    }

    /// Whether it is asked about such contents at all: without a word about kinds, about those that have a text.
    fn is_for(&self, content: &ReadContent) -> bool {
        match &self.kinds {
            None => content.outcome == OutcomeKind::Extracted,
            Some(kinds) => fits(kinds, content),
        }
    }

    /// Whether that is still what it would say.
    fn stands_by(&self, answer: &Answer, privacy: Privacy) -> bool {
        let same = match answer.outcome {
            AnswerKind::Answered => true,
            // Who has mended the command line wants to see whether it helped.
            AnswerKind::Failed => answer.line == self.digits,
        };
        same && !answer.again
            && answer.version == self.command.version
            && !(answer.redacted && privacy == Privacy::Full)
    }
}

/// The kinds in the words of a setting.
///
/// # Errors
/// A word that names no kind.
pub fn parse_kinds(words: &str) -> Result<Option<Kinds>, super::UnknownKind> {
    let words: Vec<&str> = words.split([',', ' ', '\n']).filter(|word| !word.is_empty()).collect();
    Kinds::parse(&words)
}

fn fits(kinds: &Kinds, content: &ReadContent) -> bool {
    kinds.fit(content.extractor.as_deref(), content.mime.as_deref().unwrap_or_default())
}

/// What is to be done with one command about one content.
#[derive(Debug, PartialEq)]
enum Step<'a> {
    /// It is not asked about such contents, and has nothing to say of this one.
    NotForIt,
    /// It has answered.
    Known(&'a Answer),
    /// It may not be told.
    Withheld,
    /// It is to be asked.
    Ask,
}

fn step<'a>(
    enricher: &Enricher,
    content: &ReadContent,
    privacy: Privacy,
    answer: Option<&'a Answer>,
) -> Step<'a> {
    match answer {
        _ if !enricher.is_for(content) => Step::NotForIt,
        Some(answer) if enricher.stands_by(answer, privacy) => Step::Known(answer),
        _ if privacy == Privacy::LocalOnly => Step::Withheld,
        _ => Step::Ask,
    }
}

/// About which content a command is to be asked, and the documents that have it.
#[derive(Debug, Clone)]
struct Question {
    content: ReadContent,
    documents: Vec<i64>,
}

/// What came of a question.
#[derive(Debug)]
enum Verdict {
    /// The command has said something.
    Said(Vec<Said>),
    /// It has said that it cannot, or what it may not.
    Failed(String),
    /// It did not survive the question.
    Died(String),
    /// It cannot for now, and says so.
    NotNow(String),
    /// It cannot be started.
    NoStart(String),
    /// It may not be told.
    Withheld,
    /// It was not asked.
    NotAsked,
}

/// A verdict of the command of that number.
#[derive(Debug)]
struct Heard {
    at: usize,
    question: Question,
    redacted: bool,
    verdict: Verdict,
    /// Whether it is not asked any more.
    enough: bool,
}

/// Asks each command about what waits for it.
///
/// # Errors
/// The catalogue's; what was committed until then is kept. A command's trouble is in the report.
pub fn run(
    catalog: &mut Catalog,
    _lock: &RunLock,
    options: &Options,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<AskReport, CatalogError> {
    let Options { libraries, kinds, redo } = options;
    let commands = settings::commands(catalog.read())?;
    let mut ids = Ids::default();
    let now_ms = clock.now_ms();
    catalog.change::<_, CatalogError>(|tx| {
        answers::note_commands(tx, &mut ids, &commands, now_ms)?;
        if *redo && !commands.is_empty() {
            let these = match libraries {
                Some(libraries) => libraries.clone(),
                None => crate::catalog::libraries::all(tx)?.iter().map(|one| one.library_id).collect(),
            };
            let chosen = match kinds {
                None => None,
                Some(kinds) => Some(those_of(kinds, enrichments::kinds(tx)?)),
            };
            answers::mark_again(tx, &these, chosen.as_deref())?;
        }
        Ok(())
    })?;
    let mut reports = Vec::new();
    let mut unusable = Vec::new();
    let mut enrichers = Vec::new();
    for command in commands {
        let name = command.name.clone();
        match Enricher::of(command) {
            Ok(enricher) => {
                reports.push(CommandReport { command: name, ..CommandReport::default() });
                enrichers.push(enricher);
            }
            Err(why) => {
                let stopped = Some(format!("its settings cannot be used: {why}"));
                unusable.push(CommandReport { command: name, stopped, ..CommandReport::default() });
            }
        }
    }
    // The place of a report is the number of its command.
    reports.extend(unusable);
    let waiting = if reports.is_empty() { 0 } else { answers::count_to_ask(catalog.read())? };
    if enrichers.is_empty() || waiting == 0 {
        index(catalog, monitor)?;
        return Ok(AskReport { commands: reports, waiting, ..AskReport::default() });
    }
    monitor.phase(Phase::Ask, Some(waiting));
    let text_bytes = settings::integer(catalog.read(), &setting::COMMAND_TEXT_KB)?.unsigned_abs() << 10;
    let text_bytes = usize::try_from(text_bytes).unwrap_or(usize::MAX);
    let mut writer = Writer {
        enrichers: &enrichers,
        ids,
        streaks: vec![Vec::new(); enrichers.len()],
        open: HashMap::new(),
        report: AskReport { commands: reports, ..AskReport::default() },
        clock,
        monitor,
    };
    std::thread::scope(|scope| -> Result<(), CatalogError> {
        let (to_writer, heard) = unbounded::<Heard>();
        let mut to_commands = Vec::new();
        for (at, enricher) in enrichers.iter().enumerate() {
            let (to_command, questions) = unbounded::<Question>();
            let teller = Teller::open(catalog, text_bytes)?;
            let timeout = Duration::from_millis(enricher.command.timeout_ms);
            let process = CommandProcess::new(enricher.words.clone(), timeout);
            let to_writer = to_writer.clone();
            scope.spawn(move || ask_all(at, process, &teller, &questions, &to_writer, monitor));
            to_commands.push(to_command);
        }
        drop(to_writer);
        let mut after = 0;
        loop {
            let mut batch = answers::to_ask(catalog.read(), libraries.as_deref(), after, BATCH)?;
            let Some(last) = batch.last() else { break };
            after = last.document_id;
            if let Some(kinds) = kinds {
                batch.retain(|one| one.content.as_ref().is_none_or(|content| fits(kinds, content)));
            }
            let mut asked = 0;
            for (at, question) in writer.begin(catalog, batch)? {
                asked += usize::from(to_commands[at].send(question).is_ok());
            }
            while asked > 0 {
                let together = gather(&heard, asked);
                asked -= together.len();
                writer.hear(catalog, together)?;
            }
            if monitor.cancelled() {
                writer.report.interrupted = true;
                break;
            }
            if writer.report.commands.iter().all(|command| command.stopped.is_some()) {
                break;
            }
        }
        writer.end(catalog)
    })?;
    let mut report = writer.report;
    index(catalog, monitor)?;
    report.waiting = answers::count_to_ask(catalog.read())?;
    Ok(report)
}

/// The next verdicts, waiting for one and then a little for more.
fn gather(heard: &Receiver<Heard>, most: usize) -> Vec<Heard> {
    let mut together: Vec<Heard> = heard.recv().into_iter().collect();
    let until = Instant::now() + GATHER;
    while together.len() < most
        && let Ok(more) = heard.recv_deadline(until)
    {
        together.push(more);
    }
    together
}

/// One command's thread: asks one question after another.
fn ask_all(
    at: usize,
    mut process: CommandProcess,
    teller: &Teller,
    questions: &Receiver<Question>,
    to_writer: &Sender<Heard>,
    monitor: &dyn Monitor,
) {
    let (mut deaths, mut refusals) = (0, 0);
    let mut enough = false;
    for question in questions {
        let mut redacted = false;
        let verdict = if enough || monitor.cancelled() {
            Verdict::NotAsked
        } else {
            // The writer waits for a verdict on each question: a panic must not cost it one.
            catch_unwind(AssertUnwindSafe(|| ask(&mut process, teller, &question, &mut redacted, monitor)))
                .unwrap_or(Verdict::NotAsked)
        };
        (deaths, refusals) = match verdict {
            Verdict::Said(_) | Verdict::Failed(_) => (0, 0),
            Verdict::NotNow(_) => (0, refusals + 1),
            Verdict::Died(_) => (deaths + 1, refusals),
            Verdict::NoStart(_) => (ENOUGH, ENOUGH),
            Verdict::Withheld | Verdict::NotAsked => (deaths, refusals),
        };
        enough = deaths >= ENOUGH || refusals >= ENOUGH;
        if to_writer.send(Heard { at, question, redacted, verdict, enough }).is_err() {
            break;
        }
    }
    process.finish(&|| monitor.cancelled());
}

fn ask(
    process: &mut CommandProcess,
    teller: &Teller,
    question: &Question,
    redacted: &mut bool,
    monitor: &dyn Monitor,
) -> Verdict {
    let Some(document_id) = question.documents.first() else { return Verdict::NotAsked };
    let content_hash = question.content.content_hash;
    let facts = match teller.facts(*document_id, content_hash) {
        Ok(Some(facts)) => facts,
        Ok(None) => return Verdict::Withheld,
        // The writer meets the same catalogue, and says so.
        Err(error) => {
            tracing::warn!(%error, "a document could not be told of");
            return Verdict::NotAsked;
        }
    };
    *redacted = facts.whole.is_none();
    monitor.count(Counter::QuestionsAsked, 1);
    match process.ask(content_hash, &facts, &|| monitor.cancelled()) {
        Ok(Reply::Said(said)) => Verdict::Said(said),
        Ok(Reply::Refused(why)) => Verdict::Failed(why),
        Ok(Reply::Error { message, retry: false }) => Verdict::Failed(message),
        Ok(Reply::Error { message, retry: true }) => Verdict::NotNow(message),
        Err(Trouble::Cancelled) => Verdict::NotAsked,
        Err(Trouble::Start(error)) => Verdict::NoStart(error.to_string()),
        Err(Trouble::Late) => Verdict::Died("it took longer than it may".to_owned()),
        Err(Trouble::Ended(how) | Trouble::Garbled(how)) => Verdict::Died(how),
    }
}

/// A question that a command did not survive, before it is known whose doing that was.
#[derive(Debug, Clone)]
struct Death {
    question: Question,
    redacted: bool,
    message: String,
}

/// An answer to be written down.
#[derive(Debug)]
struct Kept {
    at: usize,
    question: Question,
    answer: Answer,
}

/// Writes down what the commands say.
struct Writer<'a> {
    enrichers: &'a [Enricher],
    ids: Ids,
    /// The deaths of each command since its last answer.
    streaks: Vec<Vec<Death>>,
    /// Documents with questions under way, and how many.
    open: HashMap<i64, usize>,
    report: AskReport,
    clock: &'a dyn Clock,
    monitor: &'a dyn Monitor,
}

impl Writer<'_> {
    /// Gives the documents of a batch what is known already, and says what is to be asked, of which command.
    fn begin(
        &mut self,
        catalog: &mut Catalog,
        batch: Vec<ToAsk>,
    ) -> Result<Vec<(usize, Question)>, CatalogError> {
        let now_ms = self.clock.now_ms();
        let mut questions = Vec::new();
        let mut contents = BTreeMap::new();
        let tx = catalog.write()?;
        for one in batch {
            match one.content {
                Some(content) => _ = contents.insert(content.content_hash, content),
                // Not read yet: when it is, it comes in line again.
                None => _ = answers::settle(&tx, one.document_id)?,
            }
        }
        for (content_hash, content) in contents {
            // All that have it, also where only one is in line: what serves one serves all, and a content that was kept back
            // for the sake of the one in line was kept back for all.
            let documents = answers::documents_of(&tx, content_hash)?;
            // Asked about in this run for another document, and not answered yet.
            if documents.iter().any(|document_id| self.open.contains_key(document_id)) {
                continue;
            }
            let privacy = answers::privacy(&tx, content_hash)?;
            let known = answers::of_content(&tx, content_hash)?;
            let mut asked = 0;
            for (at, enricher) in self.enrichers.iter().enumerate() {
                let name = &enricher.command.name;
                let said: &[Said] = match step(enricher, &content, privacy, known.get(name)) {
                    Step::NotForIt => &[],
                    Step::Known(Answer { outcome: AnswerKind::Answered, said, .. }) => said,
                    // What it said of a former content of the work still holds, for want of better.
                    Step::Known(_) => continue,
                    Step::Withheld => {
                        self.report.commands[at].withheld += 1;
                        continue;
                    }
                    Step::Ask => {
                        asked += 1;
                        let question = Question { content: content.clone(), documents: documents.clone() };
                        questions.push((at, question));
                        continue;
                    }
                };
                for document_id in &documents {
                    answers::apply(&tx, &mut self.ids, *document_id, name, said, now_ms)?;
                }
            }
            for document_id in documents {
                if asked > 0 {
                    self.open.insert(document_id, asked);
                } else {
                    self.settle(&tx, document_id)?;
                }
            }
        }
        tx.commit().map_err(CatalogError::from)?;
        Ok(questions)
    }

    /// Takes verdicts, and commits what they come to.
    fn hear(&mut self, catalog: &mut Catalog, heard: Vec<Heard>) -> Result<(), CatalogError> {
        let mut kept = Vec::new();
        let mut closed = Vec::new();
        for Heard { at, question, redacted, verdict, enough } in heard {
            let report = &mut self.report.commands[at];
            report.asked +=
                u64::from(!matches!(verdict, Verdict::Withheld | Verdict::NotAsked | Verdict::NoStart(_)));
            match verdict {
                Verdict::Said(said) => {
                    report.answered += 1;
                    kept.extend(self.believe(at));
                    kept.push(self.kept(at, question, redacted, Ok(said)));
                }
                Verdict::Failed(message) => {
                    kept.extend(self.believe(at));
                    kept.push(self.kept(at, question, redacted, Err(message)));
                }
                Verdict::Died(message) if enough => {
                    report.stopped = Some(format!("{ENOUGH} times in a row there was no answer: {message}"));
                    self.streaks[at].clear();
                }
                Verdict::Died(message) => self.streaks[at].push(Death { question, redacted, message }),
                Verdict::NotNow(message) => {
                    if enough {
                        report.stopped = Some(format!("it cannot for now: {message}"));
                    }
                    kept.extend(self.believe(at));
                }
                Verdict::NoStart(message) => {
                    report.stopped = Some(format!("it could not be started: {message}"));
                }
                Verdict::Withheld => {
                    report.withheld += 1;
                    closed.push(question);
                }
                // In line it stays, for the next run.
                Verdict::NotAsked => {}
            }
        }
        self.keep(catalog, kept, closed)
    }

    /// What the last deaths of a command come to when it has answered since: they were the documents' doing.
    fn believe(&mut self, at: usize) -> Vec<Kept> {
        let deaths = std::mem::take(&mut self.streaks[at]);
        deaths
            .into_iter()
            .map(|Death { question, redacted, message }| self.kept(at, question, redacted, Err(message)))
            .collect()
    }

    fn kept(&self, at: usize, question: Question, redacted: bool, answer: Result<Vec<Said>, String>) -> Kept {
        let enricher = &self.enrichers[at];
        let (outcome, said, problem) = match answer {
            Ok(said) => (AnswerKind::Answered, said, None),
            Err(message) => (AnswerKind::Failed, Vec::new(), Some(message)),
        };
        let answer = Answer {
            version: enricher.command.version.clone(),
            line: enricher.digits.clone(),
            redacted,
            again: false,
            outcome,
            said,
            problem,
            updated_at: self.clock.now_ms(),
        };
        Kept { at, question, answer }
    }

    fn keep(
        &mut self,
        catalog: &mut Catalog,
        kept: Vec<Kept>,
        mut closed: Vec<Question>,
    ) -> Result<(), CatalogError> {
        let now_ms = self.clock.now_ms();
        let tx = catalog.write()?;
        for Kept { at, question, answer } in kept {
            let name = &self.enrichers[at].command.name;
            answers::put(&tx, question.content.content_hash, name, &answer)?;
            if let (Some(message), Some(document_id)) = (&answer.problem, question.documents.first()) {
                self.report.commands[at].failed += 1;
                let path = answers::places(&tx, *document_id)?.into_iter().next().unwrap_or_default();
                let problem = Problem::new(path, ProblemKind::Command, format!("{name}: {message}"));
                self.monitor.problem(&problem);
                self.report.problems.push(problem);
            } else {
                for document_id in &question.documents {
                    answers::apply(&tx, &mut self.ids, *document_id, name, &answer.said, now_ms)?;
                }
            }
            closed.push(question);
        }
        for Question { content, documents } in closed {
            let mut answered = None;
            for document_id in documents {
                let left = self.open.get(&document_id).map_or(0, |left| left - 1);
                if left > 0 {
                    self.open.insert(document_id, left);
                    continue;
                }
                self.open.remove(&document_id);
                let answered = match answered {
                    Some(answered) => answered,
                    None => *answered.insert(self.is_answered(&tx, &content)?),
                };
                if answered {
                    self.settle(&tx, document_id)?;
                }
            }
        }
        tx.commit().map_err(CatalogError::from)
    }

    /// Whether nobody is to be asked about a content any more, by what may be told of it now: a word about privacy that was
    /// said while a command was asked is not known to its answer.
    fn is_answered(&self, conn: &Connection, content: &ReadContent) -> Result<bool, CatalogError> {
        let privacy = answers::privacy(conn, content.content_hash)?;
        let known = answers::of_content(conn, content.content_hash)?;
        let step = |enricher: &Enricher| step(enricher, content, privacy, known.get(&enricher.command.name));
        Ok(self.enrichers.iter().all(|enricher| step(enricher) != Step::Ask))
    }

    fn settle(&self, conn: &Connection, document_id: i64) -> Result<(), CatalogError> {
        if answers::settle(conn, document_id)? {
            self.monitor.count(Counter::DocumentsAsked, 1);
        }
        Ok(())
    }

    /// No more questions. What a command died of last is believed of the documents, too, where it has shown in this run that
    /// it can answer.
    fn end(&mut self, catalog: &mut Catalog) -> Result<(), CatalogError> {
        let mut kept = Vec::new();
        for at in 0..self.enrichers.len() {
            let report = &mut self.report.commands[at];
            match self.streaks[at].last() {
                Some(death) if report.answered + report.failed == 0 => {
                    report.stopped = Some(format!("there was no answer: {}", death.message));
                }
                _ => kept.extend(self.believe(at)),
            }
        }
        if kept.is_empty() { Ok(()) } else { self.keep(catalog, kept, Vec::new()) }
    }
}
