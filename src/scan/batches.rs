//! Hands things from thread to thread in batches: waking a thread for every small file costs more than the file.

use std::cell::RefCell;

use crossbeam_channel::Sender;

use super::watch;

/// Things in one batch.
const LENGTH: usize = 128;
/// Work in one batch, in bytes to read or that were read: two large files in one directory are for two readers, and what
/// took long to read is soon written down.
const WEIGHT: u64 = 1 << 20;

/// Nobody takes any more: the run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

/// One thread's end of a queue of batches. What was not flushed when it is dropped is lost.
#[derive(Debug)]
pub(super) struct Batches<T> {
    to: Sender<Vec<T>>,
    held: RefCell<(Vec<T>, u64)>,
}

impl<T> Batches<T> {
    pub(super) fn new(to: &Sender<Vec<T>>) -> Self {
        Batches { to: to.clone(), held: RefCell::new((Vec::new(), 0)) }
    }

    /// Hands over something that is no work by itself.
    pub(super) fn send(&self, thing: T) -> Result<(), Gone> {
        self.send_work(thing, 0)
    }

    /// Hands over something that means so many bytes of work.
    pub(super) fn send_work(&self, thing: T, bytes: u64) -> Result<(), Gone> {
        let full = {
            let (held, weight) = &mut *self.held.borrow_mut();
            held.push(thing);
            *weight += bytes;
            held.len() >= LENGTH || *weight >= WEIGHT
        };
        if full { self.flush() } else { Ok(()) }
    }

    /// Hands over what is held.
    pub(super) fn flush(&self) -> Result<(), Gone> {
        let (held, _) = self.held.take();
        if held.is_empty() { Ok(()) } else { watch::elsewhere(|| self.to.send(held)).map_err(|_| Gone) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_goes_when_it_is_long_or_heavy_or_flushed() {
        let (to, from) = crossbeam_channel::unbounded();
        let batches = Batches::new(&to);
        for n in 0..LENGTH + 3 {
            batches.send(n).unwrap();
        }
        assert_eq!(from.try_recv().map(|batch: Vec<usize>| batch.len()), Ok(LENGTH));
        batches.send_work(7, WEIGHT).unwrap();
        assert_eq!(from.try_recv().map(|batch| batch.len()), Ok(4));
        batches.send(8).unwrap();
        assert!(from.is_empty());
        batches.flush().unwrap();
        assert_eq!(from.try_recv(), Ok(vec![8]));
        drop(from);
        batches.send(9).unwrap();
        assert_eq!(batches.flush(), Err(Gone));
    }
}
