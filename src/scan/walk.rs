//! Lists directories in parallel and merges each with what the catalogue knows of it.
//!
//! A directory is a task; its children become tasks of the same pool, the last one first, so that the walk goes deep
//! before it goes wide and few directories wait in memory. Nothing is kept per file beyond the directory at hand.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};

use crossbeam_channel::Sender;
use rusqlite::Connection;
use rustix::fs::{AtFlags, Dir, FileType};

use super::Shared;
use super::batches::{Batches, Gone};
use super::causes::causes;
use super::hash::Work;
use super::judge::{Verdict, judge};
use super::record::Record;
use super::rules::{RULE_FILE, Rules};
use super::shift;
use super::watch;
use crate::catalog::CatalogError;
use crate::catalog::dirs::{self, DirState, KnownDir};
use crate::catalog::files::{self, KnownFile, Look};
use crate::content;
use crate::model::{FileKind, Presence, Problem, ProblemKind, RelPath, Stat};
use crate::monitor::Counter;
use crate::volume::marker::MARKER_DIR;

/// One directory to walk.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) dir: KnownOrNew,
    pub(super) rules: Arc<Rules>,
}

/// A directory with its number, and whether the catalogue can know anything in it.
#[derive(Debug, Clone)]
pub(super) struct KnownOrNew {
    pub(super) dir_id: i64,
    pub(super) path: RelPath,
    /// None for a directory that this walk found first.
    pub(super) state: Option<DirState>,
    /// Its inode number when it was listed last.
    pub(super) inode: Option<u64>,
}

/// Where a file is: its directory, shared by all that is said of the files in it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) dir_id: i64,
    pub(super) path: RelPath,
}

/// Rule files are small; what is larger is something else.
const RULE_FILE_LIMIT: u64 = 1 << 20;

struct Listed {
    /// The directory itself: what is asked of its files is asked of this one, not of what the path leads to by then.
    dir: Arc<OwnedFd>,
    inode: u64,
    files: Vec<(Vec<u8>, Stat)>,
    subdirs: Vec<Vec<u8>>,
    /// Names that are there, but could not be looked at, and why not: nothing negative is concluded about them. None of one
    /// that was gone a moment later.
    unclear: BTreeMap<Vec<u8>, Option<Problem>>,
    complete: Result<(), Problem>,
    has_rules: bool,
    /// Where this directory stood at another place before: the files it had there, in byte order of their names.
    former: Vec<KnownFile>,
}

/// Walks one directory and, as tasks of the same pool, all below it.
pub(super) fn walk<'scope>(
    tasks: &rayon::Scope<'scope>,
    shared: &Arc<Shared>,
    task: &Task,
    to_hash: &Sender<Vec<Work>>,
    to_writer: &Sender<Vec<Record>>,
) {
    if shared.stopped() {
        return;
    }
    let (work, records) = (Batches::new(to_hash), Batches::new(to_writer));
    let walked = walk_one(shared, task, &work, &records).and_then(|children| {
        // New directories have to be written down before anybody finds a file in them.
        records.flush()?;
        work.flush()?;
        Ok(children)
    });
    let children = match walked {
        Ok(children) => children,
        Err(Stopped) => {
            shared.stop.store(true, Ordering::Relaxed);
            return;
        }
    };
    for (dir, rules) in children.into_iter().rev() {
        let (shared, to_hash, to_writer) = (Arc::clone(shared), to_hash.clone(), to_writer.clone());
        let task = Task { dir, rules };
        tasks.spawn(move |tasks| walk(tasks, &shared, &task, &to_hash, &to_writer));
    }
}

/// The writer is gone, or the catalogue failed: the run is over.
struct Stopped;

impl From<Gone> for Stopped {
    fn from(_: Gone) -> Self {
        Stopped
    }
}

fn walk_one(
    shared: &Shared,
    task: &Task,
    to_hash: &Batches<Work>,
    to_writer: &Batches<Record>,
) -> Result<Vec<(KnownOrNew, Arc<Rules>)>, Stopped> {
    let dir = &task.dir;
    let abs = dir.path.under(shared.root.path());
    let mut listed = match list(shared, &dir.path, &abs) {
        Ok(listed) => listed,
        Err(problem) => {
            shared.monitor.problem(&problem);
            to_writer.send(Record::Frozen { dir_id: dir.dir_id, problem, listed: false })?;
            return Ok(Vec::new());
        }
    };
    // A listing that broke off may not have got to the rule file.
    let rules = match listed.has_rules || listed.complete.is_err() {
        false => Arc::clone(&task.rules),
        true => match rules_of(&task.rules, dir, &listed, to_writer)? {
            Ok(rules) => rules,
            Err(problem) => {
                shared.monitor.problem(&problem);
                to_writer.send(Record::Frozen { dir_id: dir.dir_id, problem, listed: false })?;
                return Ok(Vec::new());
            }
        },
    };

    // Of a directory that this walk found first nothing can be known.
    let known = dir.state.map_or(Ok(Default::default()), |_| known_in(shared, dir.dir_id));
    let (known_files, known_dirs) = known.map_err(|error| failed(shared, error))?;
    let elsewhere_before = dir.inode != Some(listed.inode) || dir.state == Some(DirState::Gone);
    if shared.rule.inode && elsewhere_before {
        listed.former = former(shared, dir, listed.inode).map_err(|error| failed(shared, error))?;
        to_writer.send(Record::DirInode { dir_id: dir.dir_id, inode: listed.inode })?;
    }

    listed.files.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    listed.subdirs.sort_unstable();
    // A damaged directory lists a name twice, and so does one in which somebody renames meanwhile. It leads to one thing.
    listed.files.dedup_by(|a, b| a.0 == b.0);
    listed.subdirs.dedup();
    shared.files_seen.fetch_add(listed.files.len() as u64, Ordering::Relaxed);
    shared.monitor.count(Counter::FilesSeen, listed.files.len() as u64);

    tell_unclear(shared, &rules, &listed, &known_files, &known_dirs, to_writer)?;
    let place = Arc::new(Place { dir_id: dir.dir_id, path: dir.path.clone() });
    merge_files(shared, &place, &rules, &mut listed, known_files, to_hash, to_writer)?;
    let children = merge_dirs(shared, dir, &rules, &listed, &known_dirs, to_writer)?;

    match listed.complete {
        Ok(()) if dir.state.is_some_and(|state| state != DirState::Listed) => {
            to_writer.send(Record::Listed { dir_id: dir.dir_id })?;
        }
        Ok(()) => {}
        Err(problem) => {
            shared.monitor.problem(&problem);
            to_writer.send(Record::Frozen { dir_id: dir.dir_id, problem, listed: true })?;
        }
    }
    Ok(children)
}

/// The catalogue failed: the first error is told.
fn failed(shared: &Shared, error: CatalogError) -> Stopped {
    shared.catalog_error.lock().expect("no holder panics").get_or_insert(error);
    Stopped
}

/// This walker's way to read the catalogue. Without one the run is over, and nobody wants to know.
fn reader(shared: &Shared) -> MutexGuard<'_, Option<Connection>> {
    let at = rayon::current_thread_index().unwrap_or(0) % shared.readers.len();
    shared.readers[at].lock().expect("no holder panics")
}

fn known_in(shared: &Shared, dir_id: i64) -> Result<(Vec<KnownFile>, Vec<KnownDir>), CatalogError> {
    let reader = reader(shared);
    let Some(conn) = &*reader else { return Ok(Default::default()) };
    Ok((files::known_in(conn, dir_id)?, dirs::children(conn, dir_id)?))
}

/// What is known of a directory under the place where it stood before it was renamed. That needs ctime as well as inode
/// numbers: renaming a directory changes neither of the files in it, and what has both has not been written since.
fn former(shared: &Shared, dir: &KnownOrNew, inode: u64) -> Result<Vec<KnownFile>, CatalogError> {
    if !shared.rule.ctime || shared.full {
        return Ok(Vec::new());
    }
    let reader = reader(shared);
    let Some(conn) = &*reader else { return Ok(Vec::new()) };
    match dirs::other_with_inode(conn, shared.library_id, inode, dir.dir_id)? {
        Some(before) => files::known_in(conn, before),
        None => Ok(Vec::new()),
    }
}

/// The proved content of a file that came along with its directory.
fn came_along(shared: &Shared, former: &[KnownFile], name: &[u8], stat: &Stat) -> Option<([u8; 32], i64)> {
    let before = &former[former.binary_search_by(|file| file.name.as_slice().cmp(name)).ok()?];
    match judge(before, stat, &shared.rule) {
        Verdict::Unchanged | Verdict::Back => Some((before.content_hash?, before.file_id)),
        Verdict::Differs | Verdict::TooYoung => None,
    }
}

/// Lists a directory and stats what is in it. An error freezes the directory.
fn list(shared: &Shared, path: &RelPath, abs: &Path) -> Result<Listed, Problem> {
    let io = |error: rustix::io::Errno| Problem::from_io(path.clone(), &error.into());
    let _at_disk = watch::at_disk();
    let fd = match content::open(abs, content::LIST) {
        Ok(fd) => fd,
        Err(error) => return Err(Problem::from_io(path.clone(), &error)),
    };
    watch::answered();
    let inode = match inode_of_the_librarys(shared, &fd) {
        // What another mount carries is another disk's, or, after an unmount, the empty mount point's.
        Ok(None) => {
            let message = "another file system is mounted here; make it a library of its own, or exclude it";
            return Err(Problem::new(path.clone(), ProblemKind::OtherFileSystem, message));
        }
        Ok(Some(inode)) => inode,
        Err(error) => return Err(Problem::from_io(path.clone(), &error)),
    };
    watch::answered();
    let mut entries = match Dir::read_from(&fd) {
        Ok(entries) => entries,
        Err(error) => return Err(io(error)),
    };
    let mut listed = Listed {
        dir: Arc::new(fd),
        inode,
        files: Vec::new(),
        subdirs: Vec::new(),
        unclear: BTreeMap::new(),
        complete: Ok(()),
        has_rules: false,
        former: Vec::new(),
    };
    while let Some(entry) = entries.read() {
        watch::answered();
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                listed.complete = Err(io(error));
                break;
            }
        };
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." || (path.is_root() && name == MARKER_DIR.as_bytes()) {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            listed.subdirs.push(name.to_vec());
            continue;
        }
        match rustix::fs::statat(&listed.dir, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                listed.subdirs.push(name.to_vec());
            }
            Ok(stat) => match content::stat_from(&stat) {
                Some(stat) => {
                    listed.has_rules |= name == RULE_FILE && stat.kind == FileKind::Regular;
                    listed.files.push((name.to_vec(), stat));
                }
                None => {
                    let kind = special_name(FileType::from_raw_mode(stat.st_mode));
                    let message = format!("a {kind} is never opened");
                    let problem = Problem::new(path.join(name), ProblemKind::Special, message);
                    listed.unclear.insert(name.to_vec(), Some(problem));
                }
            },
            // Listed and gone a moment later: neither there nor proved absent, the next scan tells.
            Err(rustix::io::Errno::NOENT) => {
                listed.unclear.insert(name.to_vec(), None);
            }
            Err(error) => {
                let problem = Problem::from_io(path.join(name), &error.into());
                listed.unclear.insert(name.to_vec(), Some(problem));
            }
        }
    }
    Ok(listed)
}

/// Not a mount inside the library, whatever it shows, nor a volume inside a volume (btrfs), which has a device of its own.
pub(super) fn is_the_librarys(shared: &Shared, dir: &OwnedFd) -> std::io::Result<bool> {
    Ok(inode_of_the_librarys(shared, dir)?.is_some())
}

/// As [`is_the_librarys`], with the directory's inode number where it is.
fn inode_of_the_librarys(shared: &Shared, dir: &OwnedFd) -> std::io::Result<Option<u64>> {
    let stat = rustix::fs::fstat(dir)?;
    let ours = device(&stat) == shared.root.device() && shared.root.carries(dir)?;
    Ok(ours.then_some(stat.st_ino))
}

#[allow(clippy::unnecessary_cast, reason = "i32 on macOS")]
fn device(stat: &rustix::fs::Stat) -> u64 {
    stat.st_dev as u64
}

fn special_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::BlockDevice | FileType::CharacterDevice => "device",
        _ => "special file",
    }
}

fn send_problem(
    shared: &Shared,
    to_writer: &Batches<Record>,
    problem: Problem,
    file_id: Option<i64>,
) -> Result<(), Stopped> {
    shared.monitor.problem(&problem);
    Ok(to_writer.send(Record::Problem { problem, file_id })?)
}

/// The rules with those of the directory's own rule file. The inner error freezes the directory: without knowing what the
/// user leaves out, nothing in it may be taken in (D5), let alone be sent.
fn rules_of(
    above: &Arc<Rules>,
    dir: &KnownOrNew,
    listed: &Listed,
    to_writer: &Batches<Record>,
) -> Result<Result<Arc<Rules>, Problem>, Stopped> {
    let path = &dir.path;
    let unread = |why: String| {
        let message = format!("its rule file could not be read, so nothing in it was looked at: {why}");
        Problem::new(path.clone(), ProblemKind::BadRule, message)
    };
    let at_disk = watch::at_disk();
    let read = read_rule_file(&listed.dir);
    drop(at_disk);
    match read {
        Ok(Some(text)) => {
            let (rules, trouble) = above.with_file(path, &text);
            if let Some(error) = trouble {
                let problem = Problem::new(path.join(RULE_FILE), ProblemKind::BadRule, error.to_string());
                to_writer.send(Record::Problem { problem, file_id: None })?;
            }
            Ok(Ok(rules))
        }
        Ok(None) if !listed.has_rules => Ok(Ok(Arc::clone(above))),
        Ok(None) => Ok(Err(unread("it was listed and is not there".to_owned()))),
        Err(error) => Ok(Err(unread(error.to_string()))),
    }
}

/// The text of the rule file in a directory; `None` where there is none.
pub(super) fn read_rule_file(dir: impl AsFd) -> std::io::Result<Option<String>> {
    let name = Path::new(OsStr::from_bytes(RULE_FILE));
    let file = match content::open_regular_in(dir, name) {
        Ok((file, _)) => file,
        // A link or a directory of that name is no rule file.
        Err(content::ContentError::NotRegular) => return Ok(None),
        Err(content::ContentError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(content::ContentError::Io(error)) => return Err(error),
        Err(error) => return Err(std::io::Error::other(error)),
    };
    let mut bytes = Vec::new();
    file.take(RULE_FILE_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > RULE_FILE_LIMIT {
        return Err(std::io::Error::other(format!("it is larger than {RULE_FILE_LIMIT} bytes")));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Says of what could not be looked at why not. What was known at such a place is neither present, for nobody saw it, nor
/// missing; a directory takes all that is below it along (D4). Only what the rules leave out is nobody's trouble.
fn tell_unclear(
    shared: &Shared,
    rules: &Rules,
    listed: &Listed,
    known_files: &[KnownFile],
    known_dirs: &[KnownDir],
    to_writer: &Batches<Record>,
) -> Result<(), Stopped> {
    for (name, problem) in &listed.unclear {
        let Some(problem) = problem.clone() else { continue };
        let file = known_files.binary_search_by(|file| file.name.cmp(name)).ok().map(|at| &known_files[at]);
        let dir = known_dirs.iter().find(|dir| dir.path == problem.path && dir.state != DirState::Gone);
        if rules.exclude(&problem.path, dir.is_some()) {
            shared.excluded.fetch_add(1, Ordering::Relaxed);
            if let Some(file) = file.filter(|file| file.presence != Presence::Excluded) {
                to_writer.send(Record::Exclude { file_id: file.file_id })?;
            }
            if let Some(dir) = dir.filter(|dir| dir.state != DirState::Excluded) {
                to_writer.send(Record::ExcludeDir { dir: dir.clone() })?;
            }
            continue;
        }
        if let Some(file) = file.filter(|file| file.presence == Presence::Present) {
            to_writer.send(Record::Unseen { file_id: file.file_id, kind: problem.kind })?;
        }
        shared.monitor.problem(&problem);
        to_writer.send(match dir {
            Some(dir) => Record::Frozen { dir_id: dir.dir_id, problem, listed: false },
            None => Record::Problem { problem, file_id: file.map(|file| file.file_id) },
        })?;
    }
    Ok(())
}

fn merge_files(
    shared: &Shared,
    dir: &Arc<Place>,
    rules: &Rules,
    listed: &mut Listed,
    known: Vec<KnownFile>,
    to_hash: &Batches<Work>,
    to_writer: &Batches<Record>,
) -> Result<(), Stopped> {
    let mut known = known.into_iter().peekable();
    for (name, stat) in std::mem::take(&mut listed.files) {
        while let Some(lost) = known.next_if(|file| file.name < name) {
            not_listed(dir, rules, listed, &lost, to_writer)?;
        }
        let before = known.next_if(|file| file.name == name);
        if rules.exclude(&dir.path.join(&name), false) {
            shared.excluded.fetch_add(1, Ordering::Relaxed);
            if let Some(before) = before
                && before.presence != Presence::Excluded
            {
                to_writer.send(Record::Exclude { file_id: before.file_id })?;
            }
            continue;
        }
        seen(shared, dir, listed, name, stat, before, to_hash, to_writer)?;
    }
    for lost in known {
        not_listed(dir, rules, listed, &lost, to_writer)?;
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "one file's look, and where to tell it")]
fn seen(
    shared: &Shared,
    dir: &Arc<Place>,
    listed: &Listed,
    name: Vec<u8>,
    stat: Stat,
    known: Option<KnownFile>,
    to_hash: &Batches<Work>,
    to_writer: &Batches<Record>,
) -> Result<(), Stopped> {
    let mut because = Vec::new();
    let verdict = match &known {
        Some(known) => match judge(known, &stat, &shared.rule) {
            Verdict::Unchanged | Verdict::Back if shared.full && stat.kind == FileKind::Regular => {
                Verdict::Differs
            }
            // Reading a link again is as cheap as remembering where it pointed.
            Verdict::Back if stat.kind == FileKind::Symlink => Verdict::Differs,
            verdict => verdict,
        },
        None => Verdict::Differs,
    };
    if let (Some(known), Verdict::Differs | Verdict::TooYoung) = (&known, verdict) {
        because = causes(known, &stat, &shared.rule, shared.full);
    }
    match verdict {
        Verdict::Unchanged => {
            shared.unchanged.fetch_add(1, Ordering::Relaxed);
        }
        Verdict::Back => {
            let known = known.expect("only a known file comes back");
            let content_hash = known.content_hash;
            let look = Look {
                dir_id: dir.dir_id,
                name,
                known: Some(known),
                stat,
                young: false,
                content_hash,
                link_target: None,
                because,
                read_as: None,
            };
            to_writer.send(Record::Look { look: Box::new(look), place: Arc::clone(dir) })?;
        }
        Verdict::Differs | Verdict::TooYoung if stat.kind == FileKind::Symlink => {
            match rustix::fs::readlinkat(listed.dir.as_ref(), name.as_slice(), Vec::new()) {
                Ok(target) => {
                    let look = Look {
                        dir_id: dir.dir_id,
                        name,
                        known,
                        stat,
                        young: false,
                        content_hash: None,
                        link_target: Some(target.into_bytes()),
                        because,
                        read_as: None,
                    };
                    to_writer.send(Record::Look { look: Box::new(look), place: Arc::clone(dir) })?;
                }
                Err(error) => {
                    let problem = Problem::from_io(dir.path.join(&name), &error.into());
                    send_problem(shared, to_writer, problem, known.map(|known| known.file_id))?;
                }
            }
        }
        Verdict::Differs if known.as_ref().is_some_and(|known| shift::keep_waiting(shared, known, &stat)) => {
        }
        Verdict::Differs | Verdict::TooYoung => {
            if let Some((content_hash, read_as)) = came_along(shared, &listed.former, &name, &stat) {
                let look = Look {
                    dir_id: dir.dir_id,
                    name,
                    known,
                    stat,
                    young: false,
                    content_hash: Some(content_hash),
                    link_target: None,
                    because: Vec::new(),
                    read_as: Some(read_as),
                };
                to_writer.send(Record::Look { look: Box::new(look), place: Arc::clone(dir) })?;
                return Ok(());
            }
            let bytes = stat.size;
            let work = Work {
                place: Arc::clone(dir),
                dir: Some(Arc::clone(&listed.dir)),
                name,
                stat,
                known,
                because,
            };
            to_hash.send_work(work, bytes)?;
        }
    }
    Ok(())
}

/// A known file that the listing did not show. Only a complete listing proves it absent (D4), and only where the name was
/// looked for (D5).
fn not_listed(
    dir: &Place,
    rules: &Rules,
    listed: &Listed,
    file: &KnownFile,
    to_writer: &Batches<Record>,
) -> Result<(), Stopped> {
    if listed.unclear.contains_key(&file.name) {
        return Ok(());
    }
    if let Err(problem) = &listed.complete {
        return match file.presence {
            Presence::Present => {
                Ok(to_writer.send(Record::Unseen { file_id: file.file_id, kind: problem.kind })?)
            }
            Presence::Missing | Presence::Unknown | Presence::Excluded => Ok(()),
        };
    }
    let left_out = || rules.exclude(&dir.path.join(&file.name), false);
    match file.presence {
        Presence::Missing => Ok(()),
        Presence::Excluded if left_out() => Ok(()),
        Presence::Present | Presence::Unknown if left_out() => {
            Ok(to_writer.send(Record::Exclude { file_id: file.file_id })?)
        }
        // One that was left out, and is looked for again, is proved absent like any other.
        Presence::Present | Presence::Unknown | Presence::Excluded => {
            Ok(to_writer.send(Record::Candidate { file_id: file.file_id })?)
        }
    }
}

fn merge_dirs(
    shared: &Shared,
    dir: &KnownOrNew,
    rules: &Arc<Rules>,
    listed: &Listed,
    known: &[KnownDir],
    to_writer: &Batches<Record>,
) -> Result<Vec<(KnownOrNew, Arc<Rules>)>, Stopped> {
    let mut children = Vec::with_capacity(listed.subdirs.len());
    for name in &listed.subdirs {
        let path = dir.path.join(name);
        let before = known.binary_search_by(|known| known.path.cmp(&path)).ok().map(|at| &known[at]);
        if rules.exclude(&path, true) {
            shared.excluded.fetch_add(1, Ordering::Relaxed);
            if let Some(before) = before.filter(|before| before.state != DirState::Excluded) {
                to_writer.send(Record::ExcludeDir { dir: before.clone() })?;
            }
            continue;
        }
        let child = match before {
            Some(before) => {
                KnownOrNew { dir_id: before.dir_id, path, state: Some(before.state), inode: before.inode }
            }
            None => {
                let dir_id = shared.next_dir_id.fetch_add(1, Ordering::Relaxed);
                to_writer.send(Record::NewDir { dir_id, parent_id: dir.dir_id, path: path.clone() })?;
                KnownOrNew { dir_id, path, state: None, inode: None }
            }
        };
        children.push((child, Arc::clone(rules)));
    }
    for lost in known {
        let name = lost.path.split().map(|(_, name)| name.to_vec()).unwrap_or_default();
        let there = listed.subdirs.binary_search(&name).is_ok() || listed.unclear.contains_key(&name);
        match (lost.state, &listed.complete) {
            _ if there => {}
            (DirState::Gone | DirState::Excluded, _) => {}
            (DirState::Listed | DirState::Frozen, Err(problem)) => {
                to_writer.send(Record::UnseenDir { path: lost.path.clone(), kind: problem.kind })?;
            }
            (DirState::Listed | DirState::Frozen, Ok(())) if rules.exclude(&lost.path, true) => {
                to_writer.send(Record::ExcludeDir { dir: lost.clone() })?;
            }
            (DirState::Listed | DirState::Frozen, Ok(())) => {
                to_writer.send(Record::GoneDir { dir: lost.clone() })?;
            }
        }
    }
    Ok(children)
}
