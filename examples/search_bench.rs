//! A catalogue of any size with the words of a natural language in it, and how long it takes to index and to search it.
//!
//! usage: cargo run --release --example search_bench -- make DIR DOCUMENTS
//!        cargo run --release --example search_bench -- index DIR
//!        cargo run --release --example search_bench -- forget DIR
//!        cargo run --release --example search_bench -- ask DIR [QUERIES of each class [CLASS]]
//!        cargo run --release --example search_bench -- process DIR PROGRAM [QUERIES of each class]
//!
//! Words are spread as in a language (Zipf): the commonest ones stand in nearly every text, most in a handful of all. What is
//! made is the same every time. Figures and what they mean: docs/performance.md.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for developers")]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use shelflist::catalog::{Catalog, CatalogError, documents, ledger, query, search};

/// Words there are.
const VOCABULARY: usize = 200_000;
/// People there are.
const PEOPLE: usize = 50_000;
/// Words in a text, on average.
const TEXT_WORDS: usize = 200;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["make", dir, documents] => {
            documents.parse().map_err(Failure::from).and_then(|documents| make(Path::new(dir), documents))
        }
        ["index", dir] => index(Path::new(dir)),
        ["forget", dir] => forget(Path::new(dir)),
        ["ask", dir] => ask(Path::new(dir), 200, None),
        ["ask", dir, queries] => {
            queries.parse().map_err(Failure::from).and_then(|queries| ask(Path::new(dir), queries, None))
        }
        ["ask", dir, queries, only] => queries
            .parse()
            .map_err(Failure::from)
            .and_then(|queries| ask(Path::new(dir), queries, Some(only))),
        ["process", dir, program] => process(Path::new(dir), program, 20),
        ["process", dir, program, queries] => queries
            .parse()
            .map_err(Failure::from)
            .and_then(|queries| process(Path::new(dir), program, queries)),
        _ => {
            eprintln!(
                "usage: search_bench make DIR DOCUMENTS | index DIR | forget DIR | ask DIR [QUERIES [CLASS]] | process DIR PROGRAM [QUERIES]"
            );
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Numbers that look thrown and are the same every time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A rank by Zipf's law: the first is `2^steepness` times as frequent as the second.
    fn zipf(&mut self, sums: &[f64]) -> usize {
        let thrown = self.share() * sums[sums.len() - 1];
        sums.partition_point(|sum| *sum < thrown)
    }
}

fn zipf_sums(n: usize, steepness: f64) -> Vec<f64> {
    let mut sum = 0.0;
    (1..=n)
        .map(|rank| {
            sum += (rank as f64).powf(-steepness);
            sum
        })
        .collect()
}

/// The word of a rank: common ones are short.
fn word(rank: usize) -> String {
    const ONSETS: [&str; 20] = [
        "b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "br", "st", "tr", "ch",
        "pl",
    ];
    const RIMES: [&str; 12] = ["a", "e", "i", "o", "u", "an", "er", "in", "on", "el", "ar", "um"];
    let mut word = String::new();
    let mut rest = rank;
    loop {
        word.push_str(ONSETS[rest % 20]);
        rest /= 20;
        word.push_str(RIMES[rest % 12]);
        rest /= 12;
        if rest == 0 {
            return word;
        }
        rest -= 1;
    }
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

struct Language {
    words: Vec<String>,
    text: Vec<f64>,
    title: Vec<f64>,
    tag: Vec<f64>,
}

impl Language {
    fn new() -> Self {
        Language {
            words: (0..VOCABULARY).map(word).collect(),
            text: zipf_sums(VOCABULARY, 1.05),
            title: zipf_sums(VOCABULARY, 0.85),
            tag: zipf_sums(500, 1.0),
        }
    }

    fn person(&self, n: usize) -> String {
        format!("{} {}", capital(&self.words[200 + n % 997]), capital(&self.words[3_000 + n]))
    }
}

const TYPES: [&str; 8] = ["book", "paper", "transcript", "letter", "report", "article", "thesis", "manual"];
const TIERS: [&str; 3] = ["primary", "secondary", "tertiary"];
const LANGUAGES: [&str; 5] = ["en", "de", "fr", "ja", "es"];

fn make(dir: &Path, documents: usize) -> Result<(), Failure> {
    let begin = Instant::now();
    let path = dir.join("catalog.db");
    drop(Catalog::open_or_create(&path, Timestamp::UNIX_EPOCH)?);
    let mut conn = Connection::open(&path)?;
    conn.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -400000;")?;
    let language = Language::new();
    let mut dice = Dice(1);
    let tx = conn.transaction()?;
    for (library, name) in [(1, "books"), (2, "papers"), (3, "attic")] {
        tx.execute(
            "INSERT INTO libraries VALUES (?1, ?2, ?3, CAST(?4 AS BLOB), 0, 1,
                '{\"mount_point\":\"/nowhere\",\"fs_type\":\"ext4\",\"source\":\"/dev/sdz1\",\"label\":\"SHELF\",\"fs_id\":null,\"uuid\":null,\"root_inode\":2,\"separate_mount\":true}',
                'unavailable', 'not-mounted', 2000, 1000, 1500, NULL, 1000, 2000)",
            params![library, format!("01HZZZZZZZZZZZZZZZZZZZZZZ{library}"), name, format!("/nowhere/{name}")],
        )?;
    }
    tx.execute_batch(
        "INSERT INTO channels (channel_id, kind, name, updated_at) VALUES (1, 'store', 'mirror', 0);
         INSERT INTO stores (store_id, url, payload, remote_store, generation, created_at, updated_at) VALUES (1, 'dir:/nowhere/mirror', 'enriched', '01HZZZZZZZZZZZZZZZZZZZZZS1', '01HZZZZZZZZZZZZZZZZZZZZZG1', 0, 0);",
    )?;
    let mut dir_id = 0;
    for n in 1..=documents as i64 {
        let author = dice.below(PEOPLE);
        if n % 40 == 1 {
            dir_id += 1;
            let library = [1, 1, 1, 1, 1, 1, 2, 2, 2, 3][dice.below(10)];
            let dir_path =
                format!("{}/{}/{dir_id}", language.words[dice.zipf(&language.tag)], language.person(author));
            tx.prepare_cached("INSERT INTO dirs (dir_id, library_id, path) VALUES (?1, ?2, ?3)")?
                .execute(params![dir_id, library, dir_path.as_bytes()])?;
        }
        let title: Vec<&str> =
            (0..3 + dice.below(6)).map(|_| language.words[dice.zipf(&language.title)].as_str()).collect();
        let mut text = String::with_capacity(TEXT_WORDS * 7);
        for _ in 0..TEXT_WORDS / 2 + dice.below(TEXT_WORDS) {
            text.push_str(&language.words[dice.zipf(&language.text)]);
            text.push(if dice.below(12) == 0 { '.' } else { ' ' });
        }
        let hash = *blake3::hash(&n.to_le_bytes()).as_bytes();
        let ulid = format!("01HZZZZZZZZZZ{n:013}");
        tx.prepare_cached("INSERT INTO documents (document_id, ulid, content_hash, size, enrich_stale, search_stale, created_at, updated_at) VALUES (?1, ?2, ?3, 9999, 0, 1, 0, 0)")?
            .execute(params![n, ulid, hash])?;
        let missing = dice.below(1000) == 0;
        tx.prepare_cached(
            "INSERT INTO files (dir_id, name, kind, size, mtime_ns, ctime_ns, inode, young, content_hash, document_id, presence, appeared_scan, first_seen, seen_at, hashed_at, updated_at)
             VALUES (?1, ?2, 'file', 9999, 1, 1, ?3, 0, ?4, ?3, ?5, 1, 1000, 1500, 1000, 1500)",
        )?
        .execute(params![dir_id, format!("{}-{n}.pdf", title.join("-")).as_bytes(), n, hash, if missing { "missing" } else { "present" }])?;
        tx.prepare_cached("INSERT INTO enrichments (content_hash, version, outcome, mime, created_at, updated_at) VALUES (?1, '0', 'extracted', 'application/pdf', 0, 0)")?
            .execute([hash])?;
        tx.prepare_cached("INSERT INTO texts (content_hash, text) VALUES (?1, ?2)")?
            .execute(params![hash, text])?;
        let say = |field: &str, source: &str, values: &[&str]| -> Result<(), Failure> {
            tx.prepare_cached("INSERT INTO annotations (document_id, field, source, value, confidence, updated_at) VALUES (?1, ?2, ?3, ?4, 1.0, 0)")?
                .execute(params![n, field, source, serde_json::to_string(values)?])?;
            Ok(())
        };
        say("title", "extractor", &[&title.iter().map(|word| capital(word)).collect::<Vec<_>>().join(" ")])?;
        say("author", "extractor", &[&language.person(author)])?;
        say("date", "extractor", &[&format!("{}-{:02}", 1950 + dice.below(76), 1 + dice.below(12))])?;
        say("language", "extractor", &[LANGUAGES[dice.below(5)]])?;
        if dice.below(10) < 6 {
            say("source_type", "person", &[TYPES[dice.below(8)]])?;
            say("authority_tier", "person", &[TIERS[dice.below(3)]])?;
            let tags: Vec<&str> =
                (0..dice.below(4)).map(|_| language.words[dice.zipf(&language.tag)].as_str()).collect();
            say("tags", "person", &tags)?;
        }
        if dice.below(2) == 0 {
            tx.prepare_cached(
                "INSERT INTO remote_objects (store_id, document_id, payload, remote_id, upload_hash, bytes, content_hash, state, created_at, updated_at)
                 VALUES (1, ?1, 'enriched', ?2, ?3, 9, ?3, 'current', 0, 0)",
            )?
            .execute(params![n, format!("enriched/{n}"), hash])?;
        }
        if n % 100_000 == 0 {
            eprintln!("{n} documents, {:.0} s", begin.elapsed().as_secs_f64());
        }
    }
    tx.commit()?;
    // No ANALYZE, as in the program: it would say that the index is empty, and SQLite would then run through all of it
    // whenever FTS5 deletes a range of it.
    conn.execute_batch("PRAGMA journal_mode = WAL;")?;
    println!("made: {:.0} s, {} MB", begin.elapsed().as_secs_f64(), std::fs::metadata(&path)?.len() >> 20);
    Ok(())
}

/// The index as if it had never been made, to make it once more.
fn forget(dir: &Path) -> Result<(), Failure> {
    let mut catalog = Catalog::open(&dir.join("catalog.db"), Timestamp::UNIX_EPOCH)?;
    catalog.change::<_, CatalogError>(|tx| {
        tx.execute_batch(
            "INSERT INTO search_cards (search_cards) VALUES ('delete-all');
             INSERT INTO search_texts (search_texts) VALUES ('delete-all');
             DELETE FROM search_documents;
             DELETE FROM search_words;
             UPDATE documents SET search_stale = 1;",
        )?;
        Ok(())
    })?;
    Ok(())
}

fn index(dir: &Path) -> Result<(), Failure> {
    let begin = Instant::now();
    let path = dir.join("catalog.db");
    let mut catalog = Catalog::open(&path, Timestamp::UNIX_EPOCH)?;
    let mut told = 0;
    let total = search::index_all(&mut catalog, |indexed| {
        if indexed >= told + 100_000 {
            told = indexed;
            eprintln!("{indexed} documents, {:.0} s", begin.elapsed().as_secs_f64());
        }
        true
    })?;
    println!(
        "indexed: {total} documents, {:.1} s by the clock, {:.1} s of the processor",
        begin.elapsed().as_secs_f64(),
        used().as_secs_f64()
    );
    for table in [
        "search_cards_data",
        "search_texts_data",
        "search_cards_docsize",
        "search_texts_docsize",
        "search_documents",
        "search_words",
    ] {
        let bytes: i64 = catalog.read().query_row(
            "SELECT pgsize FROM dbstat WHERE name = ?1 AND aggregate = TRUE",
            [table],
            |row| row.get(0),
        )?;
        println!("  {table}: {} MB", bytes >> 20);
    }
    Ok(())
}

/// A word of a rank between two.
type Thrower<'a> = dyn FnMut(usize, usize) -> String + 'a;

/// The classes of questions: what they are called, and how one is made.
fn questions(queries: usize) -> Vec<(&'static str, Vec<String>)> {
    let language = Language::new();
    let mut dice = Dice(2);
    // By rank: in most texts, in a good part of them, in some, in a handful.
    let mut of = move |from: usize, until: usize| language.words[from + dice.below(until - from)].clone();
    let mut class = |name, make: &dyn Fn(&mut Thrower<'_>) -> String| {
        (name, (0..queries).map(|_| make(&mut of)).collect())
    };
    let pair = |of: &mut Thrower<'_>| format!("{} {}", of(100, 3_000), of(100, 3_000));
    vec![
        class("rare + rare", &|of| format!("{} {}", of(20_000, 200_000), of(20_000, 200_000))),
        class("common + rare", &|of| format!("{} {}", of(0, 100), of(20_000, 200_000))),
        class("middle + middle", &|of| format!("{} {}", of(1_000, 20_000), of(1_000, 20_000))),
        class("common + middle", &|of| format!("{} {}", of(0, 100), of(1_000, 20_000))),
        class("common + common", &|of| format!("{} {}", of(0, 300), of(0, 300))),
        class("phrase", &|of| format!("\"{} {}\"", of(0, 300), of(0, 3_000))),
        class("beginning", &|of| {
            let word = of(1_000, 20_000);
            format!("{}* {}", &word[..4.min(word.len())], of(0, 3_000))
        }),
        class("title only", &|of| format!("title:{} title:{}", of(0, 1_000), of(0, 1_000))),
        class("no hit", &|of| format!("{}q {}", of(1_000, 20_000), of(0, 1_000))),
        class("type:", &|of| format!("{} type:book", pair(of))),
        class("tier: and lang:", &|of| format!("{} tier:primary lang:de", pair(of))),
        class("tag:, a common one", &|of| format!("{} tag:{}", pair(of), of(0, 10))),
        class("tag:, a rare one", &|of| format!("{} tag:{}", pair(of), of(300, 500))),
        class("library:", &|of| format!("{} library:attic", pair(of))),
        class("before:", &|of| format!("{} before:1960", pair(of))),
        class("missing:yes", &|of| format!("{} missing:yes", pair(of))),
        class("path: and type:", &|of| format!("path:{} {} type:paper", of(0, 300), of(100, 3_000))),
        class("two words and not a third", &|of| format!("{} -{}", pair(of), of(0, 100))),
    ]
}

/// What this thread has used of a processor: on a machine that others use, too, the only figure that says something.
fn used() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn tell(name: &str, mut times: Vec<Duration>, note: &str) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!("| {name} | {:.1} | {:.1} | {:.1} | {note} |", at(0.5), at(0.95), at(1.0));
}

/// The search alone, in one process, as the page in the browser would ask: what `find` does without starting and printing.
fn ask(dir: &Path, queries: usize, only: Option<&str>) -> Result<(), Failure> {
    let catalog = Catalog::open(&dir.join("catalog.db"), Timestamp::UNIX_EPOCH)?;
    let conn = catalog.read();
    println!(
        "| class | p50 ms | p95 ms | max ms | hits on average; how often not all were counted; p50 and p95 by the clock |"
    );
    for (name, class) in questions(queries) {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        let (mut times, mut by_clock) = (Vec::new(), Vec::new());
        let (mut hits, mut uncounted) = (0, 0);
        for typed in &class {
            let (begin, used_before) = (Instant::now(), used());
            let query = search::Query::parse(typed);
            let found = search::find(conn, &query, 20)?;
            for hit in &found.hits {
                let document = documents::by_id(conn, hit.document_id)?;
                let text =
                    document.content_hash.map(|hash| search::beginning(conn, hash)).transpose()?.flatten();
                let _ = text.and_then(|text| search::snippet(&text, &query, 60));
                let _ = query::copies(conn, hit.document_id)?;
                let _ = ledger::of_document(conn, hit.document_id)?;
            }
            times.push(used() - used_before);
            by_clock.push(begin.elapsed());
            hits += found.total;
            uncounted += u64::from(found.total_is_at_least);
        }
        by_clock.sort_unstable();
        let clock =
            |share: f64| by_clock[((by_clock.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
        let note = format!(
            "{}; {uncounted} of {queries}; {:.1}, {:.1}",
            hits / class.len() as u64,
            clock(0.5),
            clock(0.95)
        );
        tell(name, times, &note);
    }
    Ok(())
}

/// The whole command, as a person waits for it.
fn process(dir: &Path, program: &str, queries: usize) -> Result<(), Failure> {
    println!("| class | p50 ms | p95 ms | max ms | |");
    for (name, class) in questions(queries) {
        let mut times = Vec::new();
        for typed in &class {
            let begin = Instant::now();
            let output = std::process::Command::new(program)
                .args([
                    "--home",
                    dir.to_str().ok_or("a directory that is not UTF-8")?,
                    "find",
                    "--json",
                    "--",
                    typed,
                ])
                .output()?;
            times.push(begin.elapsed());
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into());
            }
        }
        tell(name, times, "");
    }
    Ok(())
}
