//! Proving a large object without reading all of it back: some windows of it are remembered while it is sent, and these are read
//! back and held against it.
//!
//! Where they lie follows from the content's hash, so that nobody can prepare for them, and the same object is always proved
//! at the same places: the first and the last bytes, where truncation and headers show, and some in between.

use std::io::{self, Read};
use std::ops::Range;

use crate::remote::{ObjectKey, Store, StoreError};

/// A content of up to so many bytes is read back whole.
pub(super) const WHOLE_BYTES: u64 = 1 << 20;
/// Windows of an object that are read back.
const WINDOWS: u64 = 16;
/// The size of a window.
const WINDOW_BYTES: u64 = 64 << 10;

/// Where the windows of a content lie, in order, apart from each other.
fn windows(bytes: u64, hash: &[u8; 32]) -> Vec<Range<u64>> {
    let last = bytes.saturating_sub(WINDOW_BYTES);
    let mut starts = vec![0, last];
    let mut stream = blake3::Hasher::new().update(hash).finalize_xof();
    for _ in 2..WINDOWS {
        let mut number = [0; 8];
        stream.fill(&mut number);
        starts.push(u64::from_le_bytes(number) % (last + 1));
    }
    starts.sort_unstable();
    let mut windows: Vec<Range<u64>> = Vec::new();
    for start in starts {
        let end = (start + WINDOW_BYTES).min(bytes);
        match windows.last_mut() {
            Some(before) if before.end >= start => before.end = end.max(before.end),
            _ => windows.push(start..end),
        }
    }
    windows
}

/// A content on its way, of which some windows are remembered.
pub(super) struct Sampled<'a> {
    inner: &'a mut dyn Read,
    at: u64,
    samples: Samples,
}

/// What is remembered of a content.
#[derive(Debug)]
pub(super) struct Samples(Vec<(Range<u64>, blake3::Hasher)>);

impl<'a> Sampled<'a> {
    /// A content of that length and hash.
    pub(super) fn new(inner: &'a mut dyn Read, bytes: u64, hash: &[u8; 32]) -> Self {
        let windows = windows(bytes, hash).into_iter().map(|window| (window, blake3::Hasher::new()));
        Sampled { inner, at: 0, samples: Samples(windows.collect()) }
    }

    /// What is remembered, once all has been read.
    pub(super) fn finish(self) -> Samples {
        self.samples
    }
}

impl Read for Sampled<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let (from, to) = (self.at, self.at + read as u64);
        for (window, hasher) in &mut self.samples.0 {
            let (start, end) = (window.start.max(from), window.end.min(to));
            if start < end {
                let within = |at: u64| usize::try_from(at - from).expect("it lies in the buffer");
                hasher.update(&buffer[within(start)..within(end)]);
            }
        }
        self.at = to;
        Ok(read)
    }
}

impl Samples {
    /// Reads the windows back. `false` where one of them is not what was sent.
    ///
    /// # Errors
    /// The store's trouble.
    pub(super) fn prove(&self, store: &dyn Store, key: &ObjectKey) -> Result<bool, StoreError> {
        for (window, hasher) in &self.0 {
            let bytes = window.end - window.start;
            let mut found = blake3::Hasher::new();
            let mut reader = store.get_part(key, window.start, bytes)?.take(bytes + 1);
            let read = io::copy(&mut reader, &mut found).map_err(|source| StoreError::Io {
                store: store.describe(),
                doing: format!("read object {key} back"),
                source,
            })?;
            if read != bytes || found.finalize() != hasher.finalize() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn windows_lie_within_the_content_and_hold_both_ends(bytes in 1_u64..1 << 40, hash: [u8; 32]) {
            let windows = windows(bytes, &hash);
            prop_assert_eq!(windows[0].start, 0);
            prop_assert_eq!(windows.last().unwrap().end, bytes);
            prop_assert!(windows.windows(2).all(|two| two[0].end < two[1].start));
            prop_assert!(windows.iter().map(|window| window.end - window.start).sum::<u64>() <= WINDOWS * WINDOW_BYTES);
        }
    }

    #[test]
    fn what_is_remembered_does_not_depend_on_how_it_was_read() {
        let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let hash = *blake3::hash(&content).as_bytes();
        let by = |step: usize| {
            let mut content = content.as_slice();
            let mut sampled = Sampled::new(&mut content, 3_000_000, &hash);
            let mut buffer = vec![0; step];
            while sampled.read(&mut buffer).unwrap() > 0 {}
            sampled
                .finish()
                .0
                .into_iter()
                .map(|(window, hasher)| (window, hasher.finalize()))
                .collect::<Vec<_>>()
        };
        let samples = by(100_000);
        assert_eq!(samples, by(4_099));
        for (window, hash) in samples {
            let (start, end) = (usize::try_from(window.start).unwrap(), usize::try_from(window.end).unwrap());
            assert_eq!(hash, blake3::hash(&content[start..end]));
        }
    }

    // S2: a window that came back otherwise, or not whole, is no proof
    #[test]
    fn a_large_object_that_is_not_what_was_sent_is_not_proved() {
        let dir = tempfile::tempdir().unwrap();
        let store =
            crate::remote::DirStore::create(dir.path(), "2026-11-21T09:00:00Z".parse().unwrap()).unwrap();
        let key: ObjectKey = "a/large".parse().unwrap();
        let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let samples = {
            let (mut sent, hash) = (content.as_slice(), *blake3::hash(&content).as_bytes());
            let mut sampled = Sampled::new(&mut sent, 3_000_000, &hash);
            io::copy(&mut sampled, &mut io::sink()).unwrap();
            sampled.finish()
        };
        let mut damaged = content.clone();
        *damaged.last_mut().unwrap() ^= 1;
        for (stored, proved) in [(&content[..], true), (&damaged[..], false), (&content[..2_999_999], false)]
        {
            store.put_if_absent(&key, &mut &*stored, &crate::remote::Expect::of(stored)).unwrap();
            assert_eq!(samples.prove(&store, &key).unwrap(), proved);
            store.delete(&key).unwrap();
        }
    }
}
