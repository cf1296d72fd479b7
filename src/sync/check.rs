//! Holds the ledger against a store (S12).
//!
//! A list of the store goes by once; each object is looked up in the ledger, and of the rows that were met a bit is kept. So
//! the order of the list does not matter, and a million objects take 125 KB. What has to be there and was not met is
//! missing: only after a list that came to its end (D4).
//!
//! A repair deletes nothing. What is missing or damaged is put in line, and the next sync proves or sends it; what is there
//! and is ours by its key, and no row knows it, becomes an orphan with its grace, unless other devices keep objects there. Other people's objects are counted and let
//! alone. A store that was wiped is begun anew on a person's word only: an empty mount point looks the same.

use std::io::Read;
use std::path::Path;

use ulid::Ulid;

use super::channel::{chain, open_known};
use super::connectivity::{self, Heard};
use super::{Away, SyncError, devices};
use crate::catalog::compare::{self, Stranger};
use crate::catalog::ledger::RemoteObject;
use crate::catalog::stores::{self, StoreRow};
use crate::catalog::{Catalog, CatalogError, Ids, Sender, ledger};
use crate::clock::Clock;
use crate::model::{ObjectState, Payload};
use crate::monitor::{Counter, Monitor, Phase};
use crate::power::point;
use crate::remote::index::{Indexed, Readiness};
use crate::remote::{self, Access, AwayReason, ErrorClass, ObjectKey, Opened, Store, StoreError, StoreUrl};

/// Rows looked at, or changed, at once.
const PAGE: usize = 500;
/// Differences that are told one by one; all are counted and repaired.
const TOLD: usize = 1_000;

/// How a store is checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckOptions {
    /// Put in line what is missing or damaged, adopt strangers, begin a wiped store anew.
    pub repair: bool,
    /// The place is the right one, though nothing of a store is in it.
    pub anew: bool,
    /// Read every object back and hash it.
    pub read: bool,
    /// Read for so long at most, in milliseconds; the next check goes on there.
    pub max_read_ms: Option<u64>,
}

/// How a check ended.
#[derive(Debug)]
pub enum Outcome {
    /// The whole store was compared.
    Compared,
    /// It was begun anew since; everything is in line to be proved or sent.
    BegunAnew,
    /// Nothing of a store is there any more.
    Wiped,
    /// It could not be reached, or not to the end: nothing was concluded.
    Away(Away),
    /// The user stopped it: nothing was concluded.
    Interrupted,
}

/// In what an object differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Differs {
    /// It is not there.
    Missing,
    /// It has another length.
    Size,
    /// It has other bytes.
    Bytes,
    /// It cannot be found, says a store that has to read it.
    Unsearchable,
    /// It is there, and no row knows it.
    Stranger,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// In what.
    pub differs: Differs,
    /// Its key.
    pub key: String,
    /// Of which document, where a row knows it.
    pub document_id: Option<i64>,
}

/// What a check found and did.
#[derive(Debug)]
pub struct CheckReport {
    /// How it ended.
    pub outcome: Outcome,
    /// Objects of ours that the store lists.
    pub listed: u64,
    /// Other people's.
    pub foreign: u64,
    /// Objects that the ledger calls current.
    pub current: u64,
    /// How many there are of each difference.
    pub counts: Counts,
    /// The first of them.
    pub differences: Vec<Difference>,
    /// Objects that were put in line again.
    pub in_line: u64,
    /// Strangers that are orphans now.
    pub adopted: u64,
    /// Other devices that keep objects there, where there are strangers: those may be theirs, and are let alone.
    pub other_devices: Vec<Ulid>,
    /// Objects that were read back.
    pub read: u64,
    /// Objects that were not, for want of time.
    pub unread: u64,
}

/// How many there are of each difference.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// [`Differs::Missing`].
    pub missing: u64,
    /// [`Differs::Size`].
    pub size: u64,
    /// [`Differs::Bytes`].
    pub bytes: u64,
    /// [`Differs::Unsearchable`].
    pub unsearchable: u64,
    /// [`Differs::Stranger`].
    pub strangers: u64,
}

impl Counts {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.missing + self.size + self.bytes + self.unsearchable + self.strangers
    }
}

impl CheckReport {
    fn new() -> Self {
        CheckReport {
            outcome: Outcome::Compared,
            listed: 0,
            foreign: 0,
            current: 0,
            counts: Counts::default(),
            differences: Vec::new(),
            in_line: 0,
            adopted: 0,
            other_devices: Vec::new(),
            read: 0,
            unread: 0,
        }
    }

    fn ended(outcome: Outcome) -> Self {
        CheckReport { outcome, ..CheckReport::new() }
    }

    fn note(&mut self, differs: Differs, key: &str, document_id: Option<i64>) {
        *match differs {
            Differs::Missing => &mut self.counts.missing,
            Differs::Size => &mut self.counts.size,
            Differs::Bytes => &mut self.counts.bytes,
            Differs::Unsearchable => &mut self.counts.unsearchable,
            Differs::Stranger => &mut self.counts.strangers,
        } += 1;
        if self.differences.len() < TOLD {
            self.differences.push(Difference { differs, key: key.to_owned(), document_id });
        }
    }

    /// Differences that this check has not taken care of.
    #[must_use]
    pub fn left(&self) -> u64 {
        let theirs = if self.other_devices.is_empty() { 0 } else { self.counts.strangers };
        self.counts.all() - self.in_line - self.adopted - theirs
    }
}

/// Compares a store with the ledger.
///
/// # Errors
/// See [`SyncError`]. Trouble with the store is in the report.
pub fn check(
    catalog: &mut Catalog,
    sender: &Sender,
    row: &StoreRow,
    options: CheckOptions,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<CheckReport, SyncError> {
    let opened = match open_known(catalog, row, clock)? {
        Ok(opened) => opened,
        Err(Away::NotAStore) if options.repair => return begin_anew(catalog, row, clock),
        // Perhaps begun by us, and the power was cut before that was written down.
        Err(Away::OtherStore { .. }) if options.repair && options.anew => {
            return begin_anew(catalog, row, clock);
        }
        Err(Away::Store(StoreError::Away { reason: AwayReason::NoStoreInRoot, .. }))
            if options.repair && options.anew =>
        {
            return begin_anew(catalog, row, clock);
        }
        Err(Away::NotAStore) => return Ok(CheckReport::ended(Outcome::Wiped)),
        Err(away) => {
            let now_ms = clock.now_ms();
            connectivity::hear(catalog, row, Heard::NoAnswer, Some(&chain(&away)), &[], now_ms)?;
            return Ok(CheckReport::ended(Outcome::Away(away)));
        }
    };
    let known = stores::by_name(catalog.read(), &row.name)?;
    if known.is_some_and(|known| known.generation != row.generation) {
        return Ok(CheckReport::ended(Outcome::BegunAnew));
    }
    compare_with(catalog, sender, row, &opened, options, clock, monitor)
}

/// Begins a store where nothing of one is left, and puts everything in line for it. Nothing is deleted (T7). Another store that
/// is empty will do; one with objects is somebody's.
fn begin_anew(catalog: &mut Catalog, row: &StoreRow, clock: &dyn Clock) -> Result<CheckReport, SyncError> {
    let url = StoreUrl::parse(&row.url, Path::new("/"))
        .map_err(|source| SyncError::Url { store: row.name.clone(), source })?;
    let access = Access::known(row.password_command.as_deref(), row.found);
    let begun = remote::create(&url, &access, clock.now()).and_then(|opened| {
        if holds_anything(&opened)? {
            return Err(StoreError::Refused {
                store: opened.describe(),
                doing: "be begun anew".to_owned(),
                reason: "another store is there, with objects in it".to_owned(),
                source: None,
            });
        }
        opened.begin(clock.now())
    });
    let identity = match begun {
        Ok(identity) => identity,
        Err(error) => return Ok(CheckReport::ended(Outcome::Away(error.into()))),
    };
    point("check-begun");
    let now_ms = clock.now_ms();
    catalog.change::<_, CatalogError>(|tx| {
        stores::set_identity(tx, row.store_id, &identity.store, now_ms)?;
        stores::refill(tx, &mut Ids::default(), row.store_id, &identity.generation, now_ms)
    })?;
    Ok(CheckReport::ended(Outcome::BegunAnew))
}

fn holds_anything(opened: &Opened) -> Result<bool, StoreError> {
    Ok(match opened {
        Opened::Objects(store) => {
            let mut objects =
                store.list("")?.filter(|item| !item.as_ref().is_ok_and(|item| devices::is_number(&item.key)));
            objects.next().transpose()?.is_some()
        }
        Opened::Index(index) => index.list()?.next().transpose()?.is_some(),
    })
}

/// Numbers that were met, a bit each.
#[derive(Debug, Default)]
struct Met(Vec<u64>);

impl Met {
    fn insert(&mut self, number: i64) {
        let number = usize::try_from(number).unwrap_or(0);
        if self.0.len() <= number / 64 {
            self.0.resize(number / 64 + 1, 0);
        }
        self.0[number / 64] |= 1 << (number % 64);
    }

    fn contains(&self, number: i64) -> bool {
        let number = usize::try_from(number).unwrap_or(0);
        self.0.get(number / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }
}

/// One object of a list.
struct Found {
    key: ObjectKey,
    name: Option<String>,
    bytes: Option<u64>,
    unsearchable: bool,
}

/// The objects of a list; nothing of other people's.
type Listed<'a> = Box<dyn Iterator<Item = Result<Option<Found>, StoreError>> + 'a>;

impl Found {
    fn of_listed(item: remote::Listed) -> Self {
        Found { key: item.key, name: None, bytes: Some(item.bytes), unsearchable: false }
    }

    fn of_indexed(item: Indexed) -> Option<Self> {
        let unsearchable = matches!(item.readiness, Readiness::Failed(_) | Readiness::Gone);
        let name = Some(item.name.as_str().to_owned());
        item.key.map(|key| Found { key, name, bytes: None, unsearchable })
    }
}

/// A key that says what it is and of which bytes, as we make them.
fn ours(key: &ObjectKey) -> Option<(Payload, [u8; 32])> {
    let mut parts = key.as_str().split('/');
    let payload = parts.next()?.parse().ok()?;
    let (short, hex) = (parts.next()?, parts.next()?);
    let hash = *blake3::Hash::from_hex(hex).ok()?.as_bytes();
    let made = ObjectKey::of_content(payload, &hash).in_manner(parts.next());
    (hex.starts_with(short) && made == *key).then_some((payload, hash))
}

/// Compares a store that is open with the ledger.
///
/// # Errors
/// See [`SyncError`].
pub fn compare_with(
    catalog: &mut Catalog,
    _sender: &Sender,
    row: &StoreRow,
    opened: &Opened,
    options: CheckOptions,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<CheckReport, SyncError> {
    let mut checking = Checking {
        catalog,
        row,
        options,
        clock,
        monitor,
        ids: Ids::default(),
        met: Met::default(),
        wrong: Met::default(),
        report: CheckReport::new(),
    };
    monitor.phase(Phase::Check, Some(ledger::count(checking.catalog.read(), row.store_id)?.uploaded));
    if let Some(ended) = checking.look_at_all(opened)? {
        return Ok(CheckReport { outcome: ended, ..checking.report });
    }
    checking.look_for_missing()?;
    if options.read
        && let Some(ended) = checking.read_back(opened)?
    {
        return Ok(CheckReport { outcome: ended, ..checking.report });
    }
    Ok(checking.report)
}

struct Checking<'a> {
    catalog: &'a mut Catalog,
    row: &'a StoreRow,
    options: CheckOptions,
    clock: &'a dyn Clock,
    monitor: &'a dyn Monitor,
    ids: Ids,
    /// Rows whose object is there.
    met: Met,
    /// Rows whose object is there and is not what it should be.
    wrong: Met,
    report: CheckReport,
}

impl Checking<'_> {
    /// Looks every object of the store up. Says how the check ended where it did not come to the end of the list.
    fn look_at_all(&mut self, opened: &Opened) -> Result<Option<Outcome>, SyncError> {
        let listed = match opened {
            Opened::Objects(store) => store.list("").map(|items| -> Listed<'_> {
                Box::new(items.map(|item| item.map(|item| Some(Found::of_listed(item)))))
            }),
            Opened::Index(index) => index
                .list()
                .map(|items| -> Listed<'_> { Box::new(items.map(|item| item.map(Found::of_indexed))) }),
        };
        let items = match listed {
            Ok(items) => items,
            Err(error) => return Ok(Some(Outcome::Away(error.into()))),
        };
        self.report.other_devices = match devices::others(self.catalog, opened, self.clock.now_ms())? {
            Ok(others) => others,
            Err(error) => return Ok(Some(Outcome::Away(error.into()))),
        };
        let mut strangers = Vec::new();
        for item in items {
            if self.monitor.cancelled() {
                return Ok(Some(Outcome::Interrupted));
            }
            match item {
                Ok(Some(found)) => self.look_up(found, &mut strangers)?,
                Ok(None) => self.report.foreign += 1,
                Err(error) => return Ok(Some(Outcome::Away(error.into()))),
            }
            if strangers.len() >= PAGE {
                self.adopt(&mut strangers)?;
            }
        }
        self.adopt(&mut strangers)?;
        Ok(None)
    }

    fn look_up(&mut self, found: Found, strangers: &mut Vec<Found>) -> Result<(), CatalogError> {
        if devices::is_number(&found.key) {
            return Ok(());
        }
        if ours(&found.key).is_none() {
            self.report.foreign += 1;
            return Ok(());
        }
        self.report.listed += 1;
        self.monitor.count(Counter::ObjectsChecked, 1);
        let key = found.key.as_str();
        let rows = compare::rows_of(self.catalog.read(), self.row.store_id, key, found.name.as_deref())?;
        for row in &rows {
            self.met.insert(row.object_id);
            let differs = match found.bytes {
                _ if row.state != ObjectState::Current => None,
                Some(bytes) if bytes != row.bytes => Some(Differs::Size),
                _ if found.unsearchable => Some(Differs::Unsearchable),
                _ => None,
            };
            if let Some(differs) = differs {
                self.wrong.insert(row.object_id);
                let object = ledger::by_id(self.catalog.read(), row.object_id)?;
                self.report.note(differs, key, object.map(|object| object.document_id));
            }
        }
        if rows.is_empty() {
            self.report.note(Differs::Stranger, key, None);
            strangers.push(found);
        }
        Ok(())
    }

    fn adopt(&mut self, strangers: &mut Vec<Found>) -> Result<(), CatalogError> {
        let all = std::mem::take(strangers);
        if !self.options.repair || all.is_empty() || !self.report.other_devices.is_empty() {
            return Ok(());
        }
        let (store_id, now_ms, ids) = (self.row.store_id, self.clock.now_ms(), &mut self.ids);
        self.catalog.change::<_, CatalogError>(|tx| {
            for found in &all {
                let Some((payload, hash)) = ours(&found.key) else { continue };
                let stranger = Stranger {
                    store_id,
                    payload,
                    key: found.key.as_str(),
                    server_id: found.name.as_deref(),
                    hash,
                    bytes: found.bytes.unwrap_or(0),
                };
                compare::adopt(tx, ids, &stranger, now_ms)?;
            }
            Ok(())
        })?;
        self.report.adopted += all.len() as u64;
        point("check-adopted");
        Ok(())
    }

    /// What has to be there and was not met, and what was met and is wrong.
    fn look_for_missing(&mut self) -> Result<(), CatalogError> {
        let mut after = 0;
        loop {
            let page = compare::current(self.catalog.read(), self.row.store_id, after, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.object_id;
            self.report.current += page.len() as u64;
            let mut again = Vec::new();
            for object in page {
                if !self.met.contains(object.object_id) {
                    self.report.note(Differs::Missing, &object.remote_id, Some(object.document_id));
                    again.push((object, "it was not there"));
                } else if self.wrong.contains(object.object_id) {
                    again.push((object, "it was not as it should be"));
                }
            }
            self.put_in_line(&again)?;
        }
    }

    fn put_in_line(&mut self, again: &[(RemoteObject, &str)]) -> Result<(), CatalogError> {
        if !self.options.repair || again.is_empty() {
            return Ok(());
        }
        let (now_ms, ids) = (self.clock.now_ms(), &mut self.ids);
        self.catalog.change::<_, CatalogError>(|tx| {
            for (object, cause) in again {
                compare::put_in_line_again(tx, ids, object, cause, now_ms)?;
            }
            Ok(())
        })?;
        self.report.in_line += again.len() as u64;
        point("check-in-line");
        Ok(())
    }

    /// Reads what is there, from where the last check stopped.
    fn read_back(&mut self, opened: &Opened) -> Result<Option<Outcome>, SyncError> {
        // An index gives nothing back as it was.
        let Opened::Objects(store) = opened else { return Ok(None) };
        let store_id = self.row.store_id;
        let begun = self.clock.now_ms();
        let from = compare::read_until(self.catalog.read(), store_id)?;
        let mut ended = None;
        let mut after = from;
        let mut wrapped = false;
        'pages: loop {
            let page = compare::current(self.catalog.read(), store_id, after, PAGE)?;
            let mut again = Vec::new();
            let page: Vec<RemoteObject> =
                page.into_iter().filter(|object| !wrapped || object.object_id <= from).collect();
            if page.is_empty() {
                after = 0;
                if wrapped || from == 0 {
                    break;
                }
                wrapped = true;
                continue;
            }
            for object in page {
                let spent = u64::try_from(self.clock.now_ms() - begun).unwrap_or(0);
                if self.monitor.cancelled() {
                    ended = Some(Outcome::Interrupted);
                } else if self.options.max_read_ms.is_some_and(|most| spent >= most) {
                    self.report.unread = self.report.current.saturating_sub(self.report.read);
                    self.put_in_line(&again)?;
                    break 'pages;
                } else if self.met.contains(object.object_id) && !self.wrong.contains(object.object_id) {
                    match is_intact(&**store, &object, self.monitor) {
                        Ok(Some(true)) => {}
                        Ok(Some(false)) => {
                            self.report.note(Differs::Bytes, &object.remote_id, Some(object.document_id));
                            again.push((object.clone(), "it had other bytes"));
                        }
                        Ok(None) => ended = Some(Outcome::Interrupted),
                        Err(error) => ended = Some(Outcome::Away(error.into())),
                    }
                    self.report.read += u64::from(ended.is_none());
                }
                if ended.is_some() {
                    self.put_in_line(&again)?;
                    break 'pages;
                }
                after = object.object_id;
            }
            self.put_in_line(&again)?;
        }
        let now_ms = self.clock.now_ms();
        self.catalog.change::<_, CatalogError>(|tx| compare::keep_read_until(tx, store_id, after, now_ms))?;
        Ok(ended)
    }
}

/// Whether an object's bytes are those of its hash; nothing where the user did not want to wait.
fn is_intact(
    store: &dyn Store,
    object: &RemoteObject,
    monitor: &dyn Monitor,
) -> Result<Option<bool>, StoreError> {
    let key: ObjectKey = object.remote_id.parse().expect("the ledger holds only names we made");
    let mut reader = match store.get(&key) {
        Ok(reader) => reader,
        Err(StoreError::NoSuchObject { .. }) => return Ok(Some(false)),
        Err(error) if error.class() == ErrorClass::Verdict => {
            tracing::warn!(key = %key, error = chain(&error), "an object that is there cannot be read");
            return Ok(Some(false));
        }
        Err(error) => return Err(error),
    };
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        if monitor.cancelled() {
            return Ok(None);
        }
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(Some(*hasher.finalize().as_bytes() == object.upload_hash)),
            Ok(n) => {
                hasher.update(&buffer[..n]);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => {
                let doing = format!("read object {key} back");
                return Err(StoreError::Io { store: store.describe(), doing, source });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    // S12
    #[rstest]
    #[case("original/00/0000000000000000000000000000000000000000000000000000000000000000", true)]
    #[case("enriched/00/0000000000000000000000000000000000000000000000000000000000000000/0123abcd", true)]
    #[case("enriched/01/0000000000000000000000000000000000000000000000000000000000000000", false)]
    #[case("notes/00/0000000000000000000000000000000000000000000000000000000000000000", false)]
    #[case("original/00/0000000000000000000000000000000000000000000000000000000000000000/a/b", false)]
    #[case("original/00/00", false)]
    #[case("readme.txt", false)]
    fn a_key_says_whether_it_is_ours(#[case] key: &str, #[case] is_ours: bool) {
        assert_eq!(ours(&key.parse().unwrap()).is_some(), is_ours);
    }
}
