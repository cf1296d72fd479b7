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
mod watch;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rusqlite::Connection;
use rustix::fs::{AtFlags, FileType};

pub use rules::{LeftOut, RULE_FILE, RuleOrigin, left_out_by};

use record::Written;

use crate::catalog::libraries::Library;
use crate::catalog::{Catalog, CatalogError, RunLock, dirs, profiles, scans, settings};
use crate::clock::Clock;
use crate::content;
use crate::model::{Problem, RelPath, setting};
use crate::monitor::{Monitor, Phase};
use crate::volume::hung::Hung;
use crate::volume::{Probe, Profile, VerifiedRoot};

/// Batches of files that wait for a hasher: enough to keep everybody busy, few enough that few directories are held open
/// and memory does not grow with the library.
const QUEUE: usize = 32;

/// Batches that wait for the writer: as many as come in while it takes the catalogue's log into its file.
const RECORDS: usize = 256;

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
    /// Whether the disk was found otherwise than the catalogue had it.
    #[must_use]
    pub fn found_changes(&self) -> bool {
        self.new + self.modified + self.touched + self.moved + self.missing + self.restored > 0
            || self.decision.is_some()
    }

    /// Whether all of the library was looked at.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.whole && self.ending == Ending::Complete
    }
}

/// What walkers and hashers share. They own it together: one that is stuck in the kernel outlives the run.
struct Shared {
    root: VerifiedRoot,
    library_id: i64,
    rule: judge::StatRule,
    full: bool,
    clock: Arc<dyn Clock>,
    monitor: Arc<dyn Monitor>,
    watch: watch::Watch,
    next_dir_id: AtomicI64,
    /// Taken away when the run is over.
    readers: Vec<Mutex<Option<Connection>>>,
    stop: AtomicBool,
    files_seen: AtomicU64,
    unchanged: AtomicU64,
    excluded: AtomicU64,
    hashed_files: AtomicU64,
    hashed_bytes: AtomicU64,
    /// The first trouble with the catalogue that a walker met.
    catalog_error: Mutex<Option<CatalogError>>,
    /// Says to others that the disk hangs, until the last who is stuck comes back.
    hung: Mutex<Option<Hung>>,
    /// Files that differ in nothing but their times, until the walk is over.
    waiting: Mutex<Vec<shift::Shifted>>,
    /// By how many minutes they were proved to have moved.
    time_shift_min: Mutex<Option<i32>>,
}

impl Shared {
    /// Whether the run is to end: the user wants it, or the writer gave up.
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.monitor.cancelled()
    }

    fn look_ns(&self) -> i64 {
        i64::try_from(self.clock.now().as_nanosecond()).unwrap_or(i64::MAX)
    }
}

/// Once the user wants the run to end, nobody waits longer than this for one answer of the disk.
const HURRY: Duration = Duration::from_secs(1);

/// Watches the crew of a scan while the writer waits for it.
struct Vigil<'a> {
    shared: &'a Shared,
    watcher: watch::Watcher,
}

impl<'a> Vigil<'a> {
    fn over(shared: &'a Shared) -> Self {
        Vigil { shared, watcher: watch::Watcher::default() }
    }

    /// How often to look: a deadline is kept to a quarter of it.
    fn tick(&self) -> Duration {
        (self.shared.root.deadline() / 4).min(HURRY / 4)
    }

    /// Whether somebody is stuck at the disk, and is to be left behind.
    fn sees_stuck(&mut self) -> bool {
        let deadline = self.shared.root.deadline();
        let patience = if self.shared.monitor.cancelled() { deadline.min(HURRY) } else { deadline };
        self.watcher.longest_wait(&self.shared.watch, Instant::now()) >= patience
    }
}

/// The threads that walk and hash.
struct Crew {
    threads: Vec<JoinHandle<()>>,
    /// Every one of them holds the other end.
    ended: Receiver<()>,
}

impl Crew {
    fn set_to_work(
        shared: &Arc<Shared>,
        (walkers, hashers): (usize, usize),
        top: walk::Task,
        to_writer: Sender<Vec<record::Record>>,
    ) -> Result<Crew, ScanError> {
        let watched = Arc::clone(shared);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(walkers)
            .thread_name(|n| format!("walk-{n}"))
            .start_handler(move |_| watched.watch.join())
            .build()?;
        let (to_hash, work) = bounded::<Vec<hash::Work>>(QUEUE);
        let (working, ended) = bounded(0);
        let mut threads = Vec::new();
        for _ in 0..hashers {
            let (shared, work, to_writer) = (Arc::clone(shared), work.clone(), to_writer.clone());
            let working = working.clone();
            threads.push(std::thread::spawn(move || {
                shared.watch.join();
                hash::hash_all(&shared, &work, &to_writer);
                drop(working);
            }));
        }
        let shared = Arc::clone(shared);
        threads.push(std::thread::spawn(move || {
            pool.scope(|tasks| walk::walk(tasks, &shared, &top, &to_hash, &to_writer));
            shared.watch.join();
            shift::settle(&shared, &to_hash, &to_writer);
            drop(working);
        }));
        Ok(Crew { threads, ended })
    }

    /// Waits until all have ended. False where one is stuck: then they are left behind, and those who are not stuck end by
    /// themselves.
    fn dismiss(self, vigil: &mut Vigil<'_>) -> bool {
        while self.ended.recv_timeout(vigil.tick()) != Err(RecvTimeoutError::Disconnected) {
            if vigil.sees_stuck() {
                return false;
            }
        }
        for thread in self.threads {
            if let Err(panic) = thread.join() {
                // What it had not looked at must not pass for looked at.
                std::panic::resume_unwind(panic);
            }
        }
        true
    }
}

/// Scans a library whose root was verified. Clock and monitor are shared with threads that a disk may never let go.
///
/// # Errors
/// See [`ScanError`]; what was committed until then is kept.
#[expect(clippy::needless_pass_by_value, reason = "they are kept, by threads that may outlive the call")]
pub fn run(
    catalog: &mut Catalog,
    _lock: &RunLock,
    library: &Library,
    root: &VerifiedRoot,
    options: &Options,
    clock: Arc<dyn Clock>,
    monitor: Arc<dyn Monitor>,
) -> Result<Report, ScanError> {
    let started_ms = clock.now_ms();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let profile = profile(catalog, library, root)?;
    let rules = rules::Rules::of_library(&settings::get(catalog.read(), &setting::SCAN_EXCLUDE)?.0)?;
    let rules = {
        let (root, scope) = (root.clone(), options.scope.clone());
        let looked = root.clone().patience().work(&|| true, move |_| rules_above(&root, &rules, &scope));
        looked.ok().transpose()?
    };
    let total = match options.scope.is_root() {
        true => scans::files_seen_last(catalog.read(), library.library_id)?,
        false => None,
    };
    monitor.phase(Phase::Scan, total);

    let mut writer = record::Writer::begin(catalog, library, root, options, &*clock)?;
    let Some(rules) = rules else {
        writer.lose_root();
        let report = writer.finish(false, false)?;
        writer.end(&report)?;
        return Ok(report);
    };
    let dir = writer.scope_dir()?;
    let shared = Arc::new(Shared {
        root: root.clone(),
        library_id: library.library_id,
        rule: judge::StatRule::of_profile(&profile),
        full: options.full,
        clock: Arc::clone(&clock),
        monitor: Arc::clone(&monitor),
        watch: watch::Watch::default(),
        next_dir_id: AtomicI64::new(dirs::next_id(writer.connection())?),
        readers: (0..threads)
            .map(|_| Ok(Mutex::new(Some(writer.reader()?))))
            .collect::<Result<_, CatalogError>>()?,
        stop: AtomicBool::new(false),
        files_seen: AtomicU64::new(0),
        unchanged: AtomicU64::new(0),
        excluded: AtomicU64::new(0),
        hashed_files: AtomicU64::new(0),
        hashed_bytes: AtomicU64::new(0),
        catalog_error: Mutex::new(None),
        hung: Mutex::new(None),
        waiting: Mutex::new(Vec::new()),
        time_shift_min: Mutex::new(None),
    });
    let mut vigil = Vigil::over(&shared);
    let (to_writer, records) = bounded::<Vec<record::Record>>(RECORDS);
    let sizes = (threads, profile.readers(threads));
    let crew = Crew::set_to_work(&shared, sizes, walk::Task { dir, rules }, to_writer)?;
    // The writer is this thread: it owns the catalogue. When it returns, `records` is dropped, and whoever still sends
    // learns from the error that the run is over.
    let written = writer.write_all(&records, &mut vigil);
    if !matches!(written, Ok(Written::All)) {
        shared.stop.store(true, Ordering::Relaxed);
    }
    drop(records);
    let all_came_back = crew.dismiss(&mut vigil);
    let interrupted = monitor.cancelled();
    // Also one who is stuck leaves nothing of the catalogue open.
    for reader in &shared.readers {
        reader.lock().expect("no holder panics").take();
    }
    let stuck = written? == Written::Stuck || !all_came_back;
    if let Some(error) = shared.catalog_error.lock().expect("no holder panics").take() {
        // The scan stays `running` and is found abandoned by the next.
        return Err(error.into());
    }
    if stuck && !interrupted {
        *shared.hung.lock().expect("no holder panics") = Some(Hung::at(root.path(), root.deadline()));
        writer.lose_root();
    }
    let mut report = writer.finish(interrupted, shared.rule.inode)?;
    report.files_seen = shared.files_seen.load(Ordering::Relaxed);
    report.unchanged = shared.unchanged.load(Ordering::Relaxed);
    report.excluded += shared.excluded.load(Ordering::Relaxed);
    report.hashed_files = shared.hashed_files.load(Ordering::Relaxed);
    report.hashed_bytes = shared.hashed_bytes.load(Ordering::Relaxed);
    report.time_shift_min = *shared.time_shift_min.lock().expect("no holder panics");
    report.elapsed_ms = clock.now_ms() - started_ms;
    writer.end(&report)?;
    drop(writer);
    if report.time_shift_min.is_some() && !options.dry_run {
        keep_local_time(catalog, library, profile, &*clock)?;
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
    rules: &Arc<rules::Rules>,
    scope: &RelPath,
) -> Result<Arc<rules::Rules>, ScanError> {
    let mut rules = Arc::clone(rules);
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
