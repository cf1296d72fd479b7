//! A store that fails when it is told to, for tests: before, half-way and after the work, with wrong, short and lost
//! answers. It also counts calls, so that tests can say how much was sent.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::{
    AwayReason, Capabilities, Deleted, Expect, Generation, Listing, ObjectKey, ObjectStat, Put, Store,
    StoreError,
};

/// Which call of the trait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// [`Store::put_if_absent`].
    Put,
    /// [`Store::stat`].
    Stat,
    /// [`Store::get`].
    Get,
    /// [`Store::list`].
    List,
    /// [`Store::delete`].
    Delete,
    /// [`Store::generation`] and [`Store::start_generation`].
    Generation,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing was done; the store is away.
    Before,
    /// Half of the content went over: nothing is visible of a put, a get's reader fails in the middle, a list ends
    /// with an error after half of its items. As `Before` for the other calls.
    HalfWay,
    /// A put leaves half of the content under the key and fails, as stores without atomic puts may (WebDAV).
    LeavesHalf,
    /// All was done, and the answer was lost: the store is away.
    After,
    /// One bit is wrong, in what is stored or in what is read. Said to be done.
    WrongBytes,
    /// The last byte is missing, in what is stored or in what is read. Said to be done.
    Truncated,
    /// Nothing was done; the store is full.
    Full,
    /// Nothing was done; the store does not let us.
    Denied,
}

#[derive(Debug, Default)]
struct Plan {
    away: bool,
    faults: Vec<(Call, u64, Fault)>,
    calls: BTreeMap<Call, u64>,
}

/// A store in front of another one.
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: S,
    plan: Mutex<Plan>,
}

impl<S: Store> FaultyStore<S> {
    /// Nothing fails until it is told to.
    pub fn new(inner: S) -> Self {
        FaultyStore { inner, plan: Mutex::default() }
    }

    /// The `nth` call of that kind from now on goes wrong; 1 is the next one.
    pub fn fail(&self, call: Call, nth: u64, fault: Fault) {
        let mut plan = self.plan();
        let at = plan.calls.get(&call).copied().unwrap_or(0) + nth;
        plan.faults.push((call, at, fault));
    }

    /// Every call answers that the store is away, until it is back.
    pub fn set_away(&self, away: bool) {
        self.plan().away = away;
    }

    /// How many calls of that kind there were, failed ones included.
    pub fn calls(&self, call: Call) -> u64 {
        self.plan().calls.get(&call).copied().unwrap_or(0)
    }

    /// The store behind.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn plan(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the call; what is to go wrong in it, where that is not an error at once.
    fn meet(&self, call: Call) -> Result<Option<Fault>, StoreError> {
        let mut plan = self.plan();
        let count = plan.calls.entry(call).or_default();
        *count += 1;
        let count = *count;
        if plan.away {
            return Err(self.away());
        }
        let planned = plan.faults.iter().position(|&(on, at, _)| on == call && at == count);
        match planned.map(|index| plan.faults.swap_remove(index).2) {
            Some(Fault::Before) => Err(self.away()),
            Some(Fault::HalfWay | Fault::LeavesHalf)
                if !matches!(call, Call::Put | Call::Get | Call::List) =>
            {
                Err(self.away())
            }
            Some(Fault::Full) => Err(StoreError::Full {
                store: self.describe(),
                source: io::Error::from(io::ErrorKind::StorageFull),
            }),
            Some(Fault::Denied) => Err(StoreError::Denied {
                store: self.describe(),
                doing: format!("{call:?}").to_lowercase(),
                source: io::Error::from(io::ErrorKind::PermissionDenied),
            }),
            fault => Ok(fault),
        }
    }

    fn away(&self) -> StoreError {
        StoreError::Away {
            store: self.describe(),
            reason: AwayReason::Unreachable,
            source: Some(io::Error::from(io::ErrorKind::TimedOut)),
        }
    }

    /// The answer, or its loss.
    fn answer<T>(&self, fault: Option<Fault>, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        match fault {
            Some(Fault::After) => answer.and_then(|_| Err(self.away())),
            _ => answer,
        }
    }

    fn put_spoilt(&self, key: &ObjectKey, content: &mut dyn Read, fault: Fault) -> Result<Put, StoreError> {
        let bytes = read_all(content).map_err(|source| StoreError::Source { key: key.clone(), source })?;
        let spoilt = spoil(bytes, fault);
        self.inner.put_if_absent(key, &mut spoilt.as_slice(), &Expect::of(&spoilt))
    }
}

fn read_all(content: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn spoil(mut bytes: Vec<u8>, fault: Fault) -> Vec<u8> {
    match fault {
        Fault::WrongBytes => {
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
        }
        Fault::Truncated => {
            bytes.pop();
        }
        Fault::HalfWay | Fault::LeavesHalf => bytes.truncate(bytes.len() / 2),
        Fault::Before | Fault::After | Fault::Full | Fault::Denied => {}
    }
    bytes
}

/// Fails where the bytes end.
struct BrokenReader(Cursor<Vec<u8>>);

impl Read for BrokenReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            read => Ok(read),
        }
    }
}

/// What a reader gives, as it comes through a fault.
fn spoilt(mut reader: Box<dyn Read + Send>, fault: Fault) -> io::Result<Box<dyn Read + Send>> {
    let spoilt = Cursor::new(spoil(read_all(&mut reader)?, fault));
    Ok(match fault {
        Fault::HalfWay | Fault::LeavesHalf => Box::new(BrokenReader(spoilt)),
        _ => Box::new(spoilt),
    })
}

impl<S: Store> Store for FaultyStore<S> {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn put_if_absent(
        &self,
        key: &ObjectKey,
        content: &mut dyn Read,
        expect: &Expect,
    ) -> Result<Put, StoreError> {
        let fault = self.meet(Call::Put)?;
        match fault {
            Some(Fault::HalfWay) => {
                let read = io::copy(&mut content.take(expect.bytes / 2), &mut io::sink());
                read.map_err(|source| StoreError::Source { key: key.clone(), source })?;
                Err(self.away())
            }
            Some(Fault::LeavesHalf) => {
                self.put_spoilt(key, content, Fault::LeavesHalf)?;
                Err(self.away())
            }
            Some(fault @ (Fault::WrongBytes | Fault::Truncated)) => self.put_spoilt(key, content, fault),
            fault => self.answer(fault, self.inner.put_if_absent(key, content, expect)),
        }
    }

    fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectStat>, StoreError> {
        let fault = self.meet(Call::Stat)?;
        self.answer(fault, self.inner.stat(key))
    }

    fn get(&self, key: &ObjectKey) -> Result<Box<dyn Read + Send>, StoreError> {
        let fault = self.meet(Call::Get)?;
        let reader = self.answer(fault, self.inner.get(key))?;
        match fault {
            Some(fault) => spoilt(reader, fault).map_err(|source| StoreError::Io {
                store: self.describe(),
                doing: format!("read object {key}"),
                source,
            }),
            None => Ok(reader),
        }
    }

    fn get_part(&self, key: &ObjectKey, start: u64, bytes: u64) -> Result<Box<dyn Read + Send>, StoreError> {
        let fault = self.meet(Call::Get)?;
        let reader = self.answer(fault, self.inner.get_part(key, start, bytes))?;
        match fault {
            Some(fault) => spoilt(reader, fault).map_err(|source| StoreError::Io {
                store: self.describe(),
                doing: format!("read object {key}"),
                source,
            }),
            None => Ok(reader),
        }
    }

    fn list(&self, prefix: &str) -> Result<Listing<'_>, StoreError> {
        let fault = self.meet(Call::List)?;
        let listing = self.answer(fault, self.inner.list(prefix))?;
        match fault {
            Some(Fault::HalfWay | Fault::LeavesHalf) => {
                let mut listed: Vec<_> = listing.collect();
                listed.truncate(listed.len() / 2);
                listed.push(Err(self.away()));
                Ok(Box::new(listed.into_iter()))
            }
            _ => Ok(listing),
        }
    }

    fn delete(&self, key: &ObjectKey) -> Result<Deleted, StoreError> {
        let fault = self.meet(Call::Delete)?;
        self.answer(fault, self.inner.delete(key))
    }

    fn generation(&self) -> Result<Option<Generation>, StoreError> {
        let fault = self.meet(Call::Generation)?;
        self.answer(fault, self.inner.generation())
    }

    fn start_generation(&self, now: Timestamp) -> Result<Generation, StoreError> {
        let fault = self.meet(Call::Generation)?;
        self.answer(fault, self.inner.start_generation(now))
    }
}
