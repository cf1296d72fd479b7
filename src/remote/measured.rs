//! A content on its way into a store: read in blocks, hashed as it passes, and refused where it is not the expected one.
//!
//! Whoever publishes asks for blocks until there are none, and only then makes the object visible: by then its length and
//! hash were proved.

use std::io::{self, Read};

use bytes::Bytes;

use super::blocks::{BLOCK_BYTES, Block};
use super::{Expect, ObjectKey, StoreError};

/// A content, as far as it has been read.
pub(super) struct Measured<'a> {
    key: &'a ObjectKey,
    content: &'a mut dyn Read,
    expect: &'a Expect,
    hasher: blake3::Hasher,
    found_bytes: u64,
}

impl<'a> Measured<'a> {
    pub(super) fn new(key: &'a ObjectKey, content: &'a mut dyn Read, expect: &'a Expect) -> Self {
        Measured { key, content, expect, hasher: blake3::Hasher::new(), found_bytes: 0 }
    }

    /// The length it must have.
    pub(super) fn expected_bytes(&self) -> u64 {
        self.expect.bytes
    }

    /// The next block: full, but for the last one, and of 256 KiB at most. `None` once all has been read and proved.
    ///
    /// # Errors
    /// [`StoreError::Source`], or [`StoreError::ContentChanged`].
    pub(super) fn next(&mut self, block_bytes: usize) -> Result<Option<Bytes>, StoreError> {
        let left = self.expect.bytes - self.found_bytes;
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(block_bytes).min(BLOCK_BYTES);
        if want == 0 {
            return self.end().map(|()| None);
        }
        let mut block = Block::of(want);
        let memory = block.as_mut();
        let mut filled = 0;
        while filled < want {
            match self.content.read(&mut memory[filled..]) {
                Ok(0) => {
                    self.found_bytes += filled as u64;
                    return Err(self.changed());
                }
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(StoreError::Source { key: self.key.clone(), source }),
            }
        }
        self.hasher.update(memory);
        self.found_bytes += want as u64;
        Ok(Some(block.freeze()))
    }

    fn end(&mut self) -> Result<(), StoreError> {
        // One byte more tells a content that has grown.
        let mut more = [0];
        loop {
            match self.content.read(&mut more) {
                Ok(0) => break,
                Ok(_) => {
                    self.found_bytes = self.expect.bytes + 1;
                    return Err(self.changed());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(StoreError::Source { key: self.key.clone(), source }),
            }
        }
        if self.hasher.finalize() == self.expect.hash { Ok(()) } else { Err(self.changed()) }
    }

    fn changed(&self) -> StoreError {
        StoreError::ContentChanged {
            key: self.key.clone(),
            expected: Box::new(*self.expect),
            found_bytes: self.found_bytes,
        }
    }
}

impl std::fmt::Debug for Measured<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Measured").field("key", &self.key).field("found_bytes", &self.found_bytes).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_proved_before_its_end_is_told() {
        // D9
        let key: ObjectKey = "a".parse().unwrap();
        let expect = Expect::of(b"0123456789");
        let blocks = |content: &[u8]| {
            let mut content = content;
            let mut measured = Measured::new(&key, &mut content, &expect);
            let mut blocks = Vec::new();
            while let Some(block) = measured.next(4)? {
                blocks.push(block);
            }
            Ok::<_, StoreError>(blocks)
        };
        assert_eq!(blocks(b"0123456789").unwrap(), ["0123", "4567", "89"]);
        for (wrong, found) in [(&b"01234567"[..], 8), (b"0123456788", 10), (b"01234567890", 11), (b"", 0)] {
            let error = blocks(wrong).unwrap_err();
            assert!(
                matches!(error, StoreError::ContentChanged { found_bytes, .. } if found_bytes == found),
                "{error:?}"
            );
        }
    }
}
