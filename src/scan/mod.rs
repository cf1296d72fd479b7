//! The scan: what a librarian runs every day, and what decides that a book is gone.
//!
//! Walkers list directories in parallel and merge each with what the catalogue knows of it; [`judge`](judge::judge) says
//! from stats what changed; only that is read by hashers; one writer commits batches of files, documents and operations.
//! What a complete listing did not show is a candidate; at the end moves are paired, the guard is asked, the root is
//! verified once more, and only then are files missing.
//!
//! ```text
//!  root ─> walkers ──(changed)──> hashers ──> writer ─> batches ─> moves, guard, missing
//!             └──(directories, candidates, links, problems)──^
//! ```
//!
//! What never happens here: a conclusion from a look that failed (D1), from a root that is not verified (D2, D3), or from a
//! listing that broke off (D4). A batch whose root check fails is rolled back; candidates live in a temporary table that a
//! killed scan takes with it.

mod batches;
mod causes;
pub mod guard;
mod hash;
pub mod judge;
pub mod moves;
mod record;
mod rules;
mod shift;
mod walk;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use crossbeam_channel::bounded;
use rusqlite::Connection;
use rustix::fs::{AtFlags, FileType};

pub use rules::{LeftOut, RULE_FILE, RuleOrigin, left_out_by};

use crate::catalog::libraries::Library;
use crate::catalog::{Catalog, CatalogError, RunLock, dirs, profiles, scans, settings};
use crate::clock::Clock;
use crate::content;
use crate::model::{Problem, RelPath, setting};
use crate::monitor::{Monitor, Phase};
use crate::volume::{Probe, Profile, VerifiedRoot};

/// Batches that wait for a hasher, and for the writer: enough to keep everybody busy, few enough that memory does not grow
/// with the library.
const QUEUE: usize = 32;

/// What a scan is asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Read everything again, whatever its stat says.
    pub full: bool,
    /// Look and tell, write nothing.
    pub dry_run: bool,
    /// Only this directory and what is below it.
    pub scope: RelPath,
}

/// Why a scan could not be done. One file's trouble is not among it: that is a [`Problem`].
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The catalogue.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The setting `scan.exclude` holds what is no pattern.
    #[error("the setting scan.exclude is not understood")]
    Rules(#[from] ignore::Error),
    /// The scope is not a directory of the library.
    #[error("{0} is not a directory in the library")]
    NoSuchScope(RelPath),
    /// The scope is left out by a rule, or lies below what is.
    #[error("{0} is left out by a rule")]
    ScopeLeftOut(RelPath),
    /// A rule file above the scope cannot be read: what it leaves out is not known.
    #[error("the rule file in {path} could not be read")]
    RulesUnread {
        /// The directory that holds it.
        path: RelPath,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Threads could not be started.
    #[error("the walkers could not be started")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

/// How a scan ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Everything that was asked for was looked at.
    Complete,
    /// Some directories could not be listed.
    Partial,
    /// The user stopped it; what was done is kept.
    Interrupted,
    /// The root went away meanwhile; nothing negative was concluded.
    RootLost(Probe),
}

/// What a scan found.
#[derive(Debug, Clone)]
pub struct Report {
    /// Files (and links) that were seen.
    pub files_seen: u64,
    /// Of these, with an unchanged stat.
    pub unchanged: u64,
    /// Not known before.
    pub new: u64,
    /// With another content than before.
    pub modified: u64,
    /// Stat changed, content the same.
    pub touched: u64,
    /// Found at another place.
    pub moved: u64,
    /// Newly missing.
    pub missing: u64,
    /// Back after having been missing, unknown or excluded.
    pub restored: u64,
    /// Names that rules left out.
    pub excluded: u64,
    /// Files that were read.
    pub hashed_files: u64,
    /// Bytes that were read.
    pub hashed_bytes: u64,
    /// One file's trouble each.
    pub problems: Vec<Problem>,
    /// Directories about whose files nothing negative was concluded.
    pub frozen_dirs: Vec<RelPath>,
    /// The decision that waits.
    pub decision: Option<i64>,
    /// By how many minutes all times of the disk have moved, where a sample proved that this is all that changed.
    pub time_shift_min: Option<i32>,
    /// How it ended.
    pub ending: Ending,
    /// How long it took.
    pub elapsed_ms: i64,
    /// Whether all of the library was asked for.
    pub whole: bool,
}

impl Report {
    /// Whether all of the library was looked at.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.whole && self.ending == Ending::Complete
    }
}

/// What walkers and hashers share.
struct Shared<'a> {
    root: &'a VerifiedRoot,
    rule: judge::StatRule,
    full: bool,
    clock: &'a dyn Clock,
    monitor: &'a dyn Monitor,
    next_dir_id: AtomicI64,
    readers: Vec<Mutex<Connection>>,
    stop: AtomicBool,
    files_seen: AtomicU64,
    unchanged: AtomicU64,
    excluded: AtomicU64,
    hashed_files: AtomicU64,
    hashed_bytes: AtomicU64,
    /// The first trouble with the catalogue that a walker met.
    catalog_error: Mutex<Option<CatalogError>>,
    /// Files that differ in nothing but their times, until the walk is over.
    waiting: Mutex<Vec<shift::Shifted>>,
    /// By how many minutes they were proved to have moved.
    time_shift_min: Mutex<Option<i32>>,
}

impl Shared<'_> {
    /// Whether the run is to end: the user wants it, or the writer gave up.
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.monitor.cancelled()
    }

    fn look_ns(&self) -> i64 {
        i64::try_from(self.clock.now().as_nanosecond()).unwrap_or(i64::MAX)
    }
}

/// Scans a library whose root was verified.
///
/// # Errors
/// See [`ScanError`]; what was committed until then is kept.
pub fn run(
    catalog: &mut Catalog,
    _lock: &RunLock,
    library: &Library,
    root: &VerifiedRoot,
    options: &Options,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<Report, ScanError> {
    let started_ms = clock.now_ms();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let profile = profile(catalog, library, root)?;
    let rules = rules::Rules::of_library(&settings::get(catalog.read(), &setting::SCAN_EXCLUDE)?.0)?;
    let rules = rules_above(root, &rules, &options.scope)?;
    let total = match options.scope.is_root() {
        true => scans::files_seen_last(catalog.read(), library.library_id)?,
        false => None,
    };
    monitor.phase(Phase::Scan, total);

    let mut writer = record::Writer::begin(catalog, library, root, options, clock)?;
    let top = writer.scope_dir()?;
    let shared = Shared {
        root,
        rule: judge::StatRule::of_profile(&profile),
        full: options.full,
        clock,
        monitor,
        next_dir_id: AtomicI64::new(dirs::next_id(writer.connection())?),
        readers: (0..threads)
            .map(|_| Ok(Mutex::new(writer.reader()?)))
            .collect::<Result<_, CatalogError>>()?,
        stop: AtomicBool::new(false),
        files_seen: AtomicU64::new(0),
        unchanged: AtomicU64::new(0),
        excluded: AtomicU64::new(0),
        hashed_files: AtomicU64::new(0),
        hashed_bytes: AtomicU64::new(0),
        catalog_error: Mutex::new(None),
        waiting: Mutex::new(Vec::new()),
        time_shift_min: Mutex::new(None),
    };
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|n| format!("walk-{n}")).build()?;

    std::thread::scope(|scope| -> Result<(), ScanError> {
        let (to_hash, work) = bounded::<Vec<hash::Work>>(QUEUE);
        let (to_writer, records) = bounded::<Vec<record::Record>>(QUEUE);
        for _ in 0..profile.readers(threads) {
            let (work, to_writer, shared) = (work.clone(), to_writer.clone(), &shared);
            scope.spawn(move || hash::hash_all(shared, &work, &to_writer));
        }
        drop(work);
        let (shared_ref, pool) = (&shared, &pool);
        scope.spawn(move || {
            pool.scope(|tasks| {
                walk::walk(tasks, shared_ref, &walk::Task { dir: top, rules }, &to_hash, &to_writer);
            });
            shift::settle(shared_ref, &to_hash, &to_writer);
        });
        // The writer is this thread: it owns the catalogue. When it returns, `records` is dropped, and whoever still
        // sends learns from the error that the run is over.
        let result = writer.write_all(&records);
        if !matches!(result, Ok(true)) {
            shared.stop.store(true, Ordering::Relaxed);
        }
        drop(records);
        result.map(|_| ())
    })?;
    if let Some(error) = shared.catalog_error.into_inner().expect("no holder panics") {
        // The scan stays `running` and is found abandoned by the next.
        return Err(error.into());
    }
    let interrupted = monitor.cancelled();
    let mut report = writer.finish(interrupted)?;
    report.files_seen = shared.files_seen.into_inner();
    report.unchanged = shared.unchanged.into_inner();
    report.excluded += shared.excluded.into_inner();
    report.hashed_files = shared.hashed_files.into_inner();
    report.hashed_bytes = shared.hashed_bytes.into_inner();
    report.time_shift_min = shared.time_shift_min.into_inner().expect("no holder panics");
    report.elapsed_ms = clock.now_ms() - started_ms;
    writer.end(&report)?;
    drop(writer);
    if report.time_shift_min.is_some() && !options.dry_run {
        keep_local_time(catalog, library, profile, clock)?;
    }
    Ok(report)
}

/// All times of the volume have moved together: it stores local time.
fn keep_local_time(
    catalog: &mut Catalog,
    library: &Library,
    profile: Profile,
    clock: &dyn Clock,
) -> Result<(), CatalogError> {
    // Where nothing is kept of the volume, there is nothing to add to.
    let Some(kept) = profiles::get(catalog.read(), library.library_id)? else { return Ok(()) };
    let text = serde_json::to_string(&profile.with_local_time())?;
    let now_ms = clock.now_ms();
    catalog.change(|tx| profiles::put(tx, library.library_id, &kept.volume, &text, now_ms))
}

/// What is known of the volume; where it was never measured, what is assumed of its kind.
fn profile(catalog: &Catalog, library: &Library, root: &VerifiedRoot) -> Result<Profile, CatalogError> {
    let kept = profiles::get(catalog.read(), library.library_id)?;
    Ok(kept
        .and_then(|kept| serde_json::from_str::<Profile>(&kept.profile).ok())
        .filter(|profile| profile.fs_type == root.mount().fs_type)
        .unwrap_or_else(|| Profile::assumed(&root.mount().fs_type)))
}

/// The rules that directories above the scope add: the walk begins below them. What a whole scan would not enter is no
/// scope: a rule leaves it out, a link leads there, it is our own.
fn rules_above(
    root: &VerifiedRoot,
    rules: &std::sync::Arc<rules::Rules>,
    scope: &RelPath,
) -> Result<std::sync::Arc<rules::Rules>, ScanError> {
    let mut rules = std::sync::Arc::clone(rules);
    let mut above = RelPath::root();
    for name in scope.as_bytes().split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        let unread = |source| ScanError::RulesUnread { path: above.clone(), source };
        let dir = content::open(&above.under(root.path()), content::LIST).map_err(unread)?;
        if let Some(text) = walk::read_rule_file(&dir).map_err(unread)? {
            rules = rules.with_file(&above, &text).0;
        }
        let path = above.join(name);
        let own = above.is_root() && name == crate::volume::marker::MARKER_DIR.as_bytes();
        match rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory && !own => {}
            // A directory that was catalogued and is gone is walked from above: say which to take.
            _ => return Err(ScanError::NoSuchScope(scope.clone())),
        }
        if rules.exclude(&path, true) {
            return Err(ScanError::ScopeLeftOut(path));
        }
        above = path;
    }
    Ok(rules)
}
