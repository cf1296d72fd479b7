//! Have all times of a disk moved together? FAT keeps local time: after a change of the clocks, or under another time zone,
//! every file of a disk seems to be of an hour earlier or later, and reading a terabyte would find out that nothing is
//! new. So what differs in nothing but its times, and in these by whole quarters of an hour, waits until the walk is over.
//! Where one distance explains many of them a sample is read, and if all of it is as it was, only the stats of the rest are
//! refreshed. Otherwise they are read like any other (L10, D6).
//!
//! Where ctime means something a real touch shows in it, and no file is kept waiting.
//!
//! What is written at the same time of every day, as an export to a stick is, leaves stamps that are as far apart as those
//! of two time zones, and of such files most may be as they were and some not. So a stamp that is not from before the file
//! was read last proves that nothing: that file may have been written since, and is read (D9).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;

use super::Shared;
use super::batches::{Batches, Gone};
use super::causes::causes;
use super::hash::{Work, prove_one};
use super::judge::StatRule;
use super::record::Record;
use super::walk::Place;
use crate::catalog::CatalogError;
use crate::catalog::files::{self, KnownFile, Look};
use crate::content;
use crate::model::{FileKind, Presence, Stat};

/// All time zones, and the change of the clocks in any of them, differ by multiples of this.
const QUARTER_NS: i64 = 15 * 60 * 1_000_000_000;

/// From the time zone farthest east to the one farthest west.
const MAX_QUARTERS: i64 = 26 * 4;

/// So many files have to have moved together, and so many of them are read to believe it.
pub(super) const SAMPLE: usize = 64;

/// A disk with fewer files than [`SAMPLE`] must have at least so many, and all of them must have moved.
const FEWEST: usize = 8;

/// Files that may wait: 48 bytes each. What comes after them is read at once.
pub(super) const MOST: usize = 1_000_000;

/// A file that differs in nothing but its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shifted {
    /// Which file.
    pub(super) file_id: i64,
    /// By how many quarters of an hour.
    pub(super) quarters: i8,
    /// Its modification time now.
    pub(super) mtime_ns: i64,
    /// Its change time now.
    pub(super) ctime_ns: i64,
    /// Its inode number now.
    pub(super) inode: u64,
}

/// A distance that explains many files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shift {
    /// In quarters of an hour, east positive.
    pub(super) quarters: i8,
    /// Which of them to read: indices, rising, spread over all that moved so far.
    pub(super) sample: Vec<usize>,
}

fn minutes(quarters: i8) -> i32 {
    i32::from(quarters) * 15
}

/// What is kept of the reason beside a file that was not read.
pub(super) fn evidence(quarters: i8) -> String {
    format!("all times moved by {} min, proved on a sample", minutes(quarters))
}

/// Puts a file aside until the walk is over, if its times may have moved with all others.
pub(super) fn keep_waiting(shared: &Shared, known: &KnownFile, seen: &Stat) -> bool {
    let moved = quarters(known, seen, &shared.rule).filter(|_| !shared.full);
    let Some(quarters) = moved.filter(|_| !shared.rule.is_young(seen, shared.look_ns())) else {
        return false;
    };
    let mut waiting = shared.waiting.lock().expect("no holder panics");
    if waiting.len() >= MOST {
        return false;
    }
    waiting.push(Shifted {
        file_id: known.file_id,
        quarters,
        mtime_ns: seen.mtime_ns,
        ctime_ns: seen.ctime_ns,
        inode: seen.inode,
    });
    true
}

/// The walk is over: what waited is believed, or read like any other.
pub(super) fn settle(shared: &Shared, to_hash: &Sender<Vec<Work>>, to_writer: &Sender<Vec<Record>>) {
    let mut waiting = std::mem::take(&mut *shared.waiting.lock().expect("no holder panics"));
    // Of what waited in a run that was stopped nothing is said: the next scan finds it as this one did.
    if waiting.is_empty() || shared.stopped() {
        return;
    }
    let (work, records) = (Batches::new(to_hash), Batches::new(to_writer));
    let settled = read_what_may_be_new(shared, &mut waiting, &work)
        .and_then(|()| settle_all(shared, &waiting, &work, &records));
    let flushed = work.flush().and_then(|()| records.flush());
    if let Err(Trouble::Catalog(error)) = settled {
        shared.catalog_error.lock().expect("no holder panics").get_or_insert(error);
        shared.stop.store(true, Ordering::Relaxed);
    } else if settled.is_err() || flushed.is_err() {
        shared.stop.store(true, Ordering::Relaxed);
    }
}

/// Why the run is over.
enum Trouble {
    Gone,
    Catalog(CatalogError),
}

impl From<Gone> for Trouble {
    fn from(_: Gone) -> Self {
        Trouble::Gone
    }
}

impl From<CatalogError> for Trouble {
    fn from(error: CatalogError) -> Self {
        Trouble::Catalog(error)
    }
}

/// Of what waits, sends on to be read whatever may have been written since it was read last; the others go on waiting.
fn read_what_may_be_new(
    shared: &Shared,
    waiting: &mut Vec<Shifted>,
    work: &Batches<Work>,
) -> Result<(), Trouble> {
    let mut old = 0;
    for at in 0..waiting.len() {
        if shared.stopped() {
            break;
        }
        let file = waiting[at];
        if is_older_than_its_reading(file.mtime_ns, read_at(shared, &file)?) {
            waiting[old] = file;
            old += 1;
        } else {
            let file = work_of(shared, &file)?;
            let bytes = file.stat.size;
            work.send_work(file, bytes)?;
        }
    }
    waiting.truncate(old);
    Ok(())
}

fn read_at(shared: &Shared, file: &Shifted) -> Result<Option<i64>, Trouble> {
    let reader = shared.readers[0].lock().expect("no holder panics");
    Ok(files::read_at(reader.as_ref().ok_or(Gone)?, file.file_id)?)
}

/// Whether a file with this stamp cannot have been written since it was read at `read_ms`. That is when the reading was
/// written down, which may be minutes after it.
fn is_older_than_its_reading(mtime_ns: i64, read_ms: Option<i64>) -> bool {
    read_ms.is_some_and(|read_ms| {
        i128::from(mtime_ns) + i128::from(QUARTER_NS) < i128::from(read_ms) * 1_000_000
    })
}

fn settle_all(
    shared: &Shared,
    waiting: &[Shifted],
    work: &Batches<Work>,
    records: &Batches<Record>,
) -> Result<(), Trouble> {
    let mut read = Vec::new();
    let mut believed = None;
    if let Some(shift) = common_shift(waiting, shared.files_seen.load(Ordering::Relaxed)) {
        read = read_sample(shared, waiting, &shift.sample, records)?;
        if read.len() == shift.sample.len() {
            believed = Some(shift.quarters);
            *shared.time_shift_min.lock().expect("no holder panics") = Some(minutes(shift.quarters));
        }
    }
    for (at, file) in waiting.iter().enumerate() {
        if read.binary_search(&at).is_ok() {
            continue;
        }
        if shared.stopped() {
            return Ok(());
        }
        if believed == Some(file.quarters) {
            records.send(Record::Shifted { file: *file })?;
        } else {
            let file = work_of(shared, file)?;
            let bytes = file.stat.size;
            work.send_work(file, bytes)?;
        }
    }
    Ok(())
}

/// Reads the sample up to the first file that is not as it was, and gives those that are. Here, one after the other: they
/// are few, and the answer is waited for.
fn read_sample(
    shared: &Shared,
    waiting: &[Shifted],
    sample: &[usize],
    records: &Batches<Record>,
) -> Result<Vec<usize>, Trouble> {
    let mut buffer = vec![0; content::BUFFER_BYTES];
    let mut read = Vec::new();
    for &at in sample {
        let file = work_of(shared, &waiting[at])?;
        let look_ns = shared.look_ns();
        let known_hash = file.known.as_ref().and_then(|known| known.content_hash);
        // Whatever is wrong with it, whoever reads it like any other will tell.
        let Ok(proved) = prove_one(shared, &file, &mut buffer) else { break };
        if Some(proved.hash) != known_hash {
            break;
        }
        let look = Look {
            dir_id: file.place.dir_id,
            name: file.name,
            known: file.known,
            stat: proved.stat,
            young: shared.rule.is_young(&proved.stat, look_ns),
            content_hash: Some(proved.hash),
            link_target: None,
            because: file.because,
            read_as: None,
        };
        records.send(Record::Look { look: Box::new(look), place: file.place })?;
        read.push(at);
    }
    Ok(read)
}

/// A file that waited, as hashers want it.
fn work_of(shared: &Shared, file: &Shifted) -> Result<Work, Trouble> {
    let reader = shared.readers[0].lock().expect("no holder panics");
    // Without one the run is over, and nobody takes any more.
    let conn = reader.as_ref().ok_or(Gone)?;
    let (dir_id, path, known) = files::known_by_id(conn, file.file_id)?;
    let stat = Stat { mtime_ns: file.mtime_ns, ctime_ns: file.ctime_ns, inode: file.inode, ..known.stat };
    let place = Arc::new(Place { dir_id, path });
    let because = causes(&known, &stat, &shared.rule, shared.full);
    Ok(Work { place, dir: None, name: known.name.clone(), stat, known: Some(known), because })
}

/// By how many quarters of an hour a known file has moved, if it differs in nothing else and its content was proved.
pub(super) fn quarters(known: &KnownFile, seen: &Stat, rule: &StatRule) -> Option<i8> {
    let before = &known.stat;
    // What is empty costs next to nothing to read, and proves nothing of the others.
    let proved = before.size > 0
        && known.presence == Presence::Present
        && known.content_hash.is_some()
        && !known.young;
    let same_else = before.kind == FileKind::Regular
        && seen.kind == FileKind::Regular
        && before.size == seen.size
        && (!rule.inode || before.inode == seen.inode);
    if !proved || !same_else {
        return None;
    }
    let moved = distance(before.mtime_ns, seen.mtime_ns, rule.granularity_ns)?;
    // Where it means something it has moved along, or somebody has touched the file.
    let along = !rule.ctime || distance(before.ctime_ns, seen.ctime_ns, rule.granularity_ns) == Some(moved);
    along.then_some(moved)
}

/// How far a stamp has moved, in whole quarters of an hour; what the disk cut off of it does not count.
fn distance(before_ns: i64, now_ns: i64, step: i64) -> Option<i8> {
    let cut_ns = before_ns.checked_sub(before_ns.rem_euclid(step.max(1)));
    [Some(before_ns), cut_ns].into_iter().flatten().find_map(|before_ns| {
        let moved = now_ns.checked_sub(before_ns)?;
        let quarters = moved / QUARTER_NS;
        let whole = moved % QUARTER_NS == 0 && quarters != 0 && quarters.abs() <= MAX_QUARTERS;
        whole.then(|| i8::try_from(quarters).expect("26 hours are few quarters"))
    })
}

/// The distance that explains them, where one does. `files_seen` is how many files the walk has seen in all.
pub(super) fn common_shift(waiting: &[Shifted], files_seen: u64) -> Option<Shift> {
    let mut counts: BTreeMap<i8, usize> = BTreeMap::new();
    for file in waiting {
        *counts.entry(file.quarters).or_default() += 1;
    }
    let (&quarters, &count) = counts.iter().max_by_key(|(_, count)| **count)?;
    let all_of_few = count >= FEWEST && count as u64 == files_seen;
    if count < SAMPLE && !all_of_few {
        return None;
    }
    let moved: Vec<usize> = (0..waiting.len()).filter(|&at| waiting[at].quarters == quarters).collect();
    let size = SAMPLE.min(count);
    // From the first to the last, at equal distances.
    let sample = (0..size).map(|n| moved[n * (count - 1) / (size - 1).max(1)]).collect();
    Some(Shift { quarters, sample })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    const MINUTE: i64 = 60 * 1_000_000_000;
    const SECOND: i64 = 1_000_000_000;
    const FAT: StatRule =
        StatRule { inode: false, ctime: false, doubt_ns: 2_020_000_000, granularity_ns: 2 * SECOND };
    const EXT4: StatRule = StatRule { inode: true, ctime: true, doubt_ns: 20_000_000, granularity_ns: 1 };
    const STAT: Stat = Stat {
        kind: FileKind::Regular,
        size: 5,
        mtime_ns: 1_600_000_000 * SECOND,
        ctime_ns: 1_600_000_500 * SECOND,
        inode: 7,
    };

    fn known() -> KnownFile {
        KnownFile {
            file_id: 1,
            name: b"a".to_vec(),
            stat: STAT,
            young: false,
            presence: Presence::Present,
            content_hash: Some([0; 32]),
            document_id: Some(1),
        }
    }

    fn moved(minutes: i64) -> Stat {
        Stat { mtime_ns: STAT.mtime_ns + minutes * MINUTE, ..STAT }
    }

    // L10
    #[rstest]
    #[case::an_hour(moved(60), Some(4))]
    #[case::an_hour_back(moved(-60), Some(-4))]
    #[case::nepal(moved(345), Some(23))]
    #[case::round_the_world(moved(26 * 60), Some(104))]
    #[case::farther_than_any_zone(moved(26 * 60 + 15), None)]
    #[case::not_at_all(STAT, None)]
    #[case::a_minute(moved(1), None)]
    #[case::an_hour_and_a_step(Stat { mtime_ns: moved(60).mtime_ns + 2 * SECOND, ..STAT }, None)]
    #[case::another_size(Stat { size: 6, ..moved(60) }, None)]
    #[case::no_file_any_more(Stat { kind: FileKind::Symlink, ..moved(60) }, None)]
    #[case::far_away(Stat { mtime_ns: i64::MIN, ..STAT }, None)]
    fn a_file_that_moved_by_quarters_of_an_hour_alone_may_wait(#[case] seen: Stat, #[case] by: Option<i8>) {
        assert_eq!(quarters(&known(), &seen, &FAT), by);
    }

    // L10
    #[test]
    fn what_the_disk_cut_off_of_a_stamp_is_no_distance() {
        let fine = KnownFile { stat: Stat { mtime_ns: STAT.mtime_ns + 1_300_000_000, ..STAT }, ..known() };
        assert_eq!(quarters(&fine, &moved(60), &FAT), Some(4));
        assert_eq!(quarters(&fine, &STAT, &FAT), None, "cut off, and not moved");
        assert_eq!(quarters(&fine, &moved(60), &StatRule { granularity_ns: 1, ..FAT }), None);
    }

    // Times before 1677, which NTFS has where it has none, are kept at the end of the range.
    #[test]
    fn what_comes_from_far_away_is_no_distance() {
        for mtime_ns in [i64::MIN, i64::MIN + 1, i64::MAX] {
            let far = KnownFile { stat: Stat { mtime_ns, ..STAT }, ..known() };
            assert_eq!(quarters(&far, &STAT, &FAT), None);
        }
    }

    // D9, D6: a touch shows in ctime.
    #[test]
    fn where_ctime_means_something_it_has_to_move_along() {
        let along = Stat { ctime_ns: STAT.ctime_ns + 60 * MINUTE, ..moved(60) };
        assert_eq!(quarters(&known(), &along, &EXT4), Some(4));
        assert_eq!(quarters(&known(), &moved(60), &EXT4), None, "set back by somebody");
        assert_eq!(
            quarters(&known(), &Stat { ctime_ns: STAT.ctime_ns + 9 * SECOND, ..moved(60) }, &EXT4),
            None
        );
        assert_eq!(quarters(&known(), &Stat { inode: 8, ..along }, &EXT4), None);
    }

    // D9
    #[rstest]
    #[case::too_young_to_prove(KnownFile { young: true, ..known() })]
    #[case::never_read(KnownFile { content_hash: None, ..known() })]
    #[case::missing(KnownFile { presence: Presence::Missing, ..known() })]
    #[case::unknown(KnownFile { presence: Presence::Unknown, ..known() })]
    fn what_was_not_proved_does_not_wait(#[case] known: KnownFile) {
        assert_eq!(quarters(&known, &moved(60), &FAT), None);
    }

    fn waiting(quarters: &[(i8, usize)]) -> Vec<Shifted> {
        let mut all = Vec::new();
        for &(quarters, count) in quarters {
            for _ in 0..count {
                let file_id = all.len() as i64;
                all.push(Shifted { file_id, quarters, mtime_ns: 0, ctime_ns: 0, inode: 0 });
            }
        }
        all
    }

    // L10: at least 64 files, or all of at least eight.
    #[rstest]
    #[case::enough(&[(4, 64)], 100_000, Some(4))]
    #[case::too_few(&[(4, 63)], 100, None)]
    #[case::all_of_few(&[(4, 8)], 8, Some(4))]
    #[case::too_few_to_tell(&[(4, 7)], 7, None)]
    #[case::most_of_them(&[(-4, 70), (4, 100), (8, 30)], 200, Some(4))]
    #[case::no_common_distance(&[(-4, 60), (4, 60), (8, 60)], 200, None)]
    #[case::none(&[], 0, None)]
    fn many_files_have_to_move_together(
        #[case] files: &[(i8, usize)],
        #[case] files_seen: u64,
        #[case] quarters: Option<i8>,
    ) {
        let shift = common_shift(&waiting(files), files_seen);
        assert_eq!(shift.map(|shift| shift.quarters), quarters);
    }

    proptest! {
        // L10
        #[test]
        fn the_sample_is_spread_over_all_that_moved(count in 64..5_000_usize, others in 0..500_usize) {
            let waiting = waiting(&[(1, others.min(count - 1)), (4, count)]);
            let shift = common_shift(&waiting, 10_000).unwrap();
            prop_assert_eq!(shift.quarters, 4);
            prop_assert_eq!(shift.sample.len(), SAMPLE);
            prop_assert!(shift.sample.is_sorted_by(|a, b| a < b));
            prop_assert!(shift.sample.iter().all(|&at| waiting[at].quarters == 4));
            let (first, last) = (shift.sample[0], shift.sample[SAMPLE - 1]);
            prop_assert_eq!((first, last), (waiting.len() - count, waiting.len() - 1));
            let gap = shift.sample.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            prop_assert!(gap <= count / (SAMPLE - 1) + 1);
        }
    }
}
