//! Memory for contents on their way to a store: blocks that are used again.
//!
//! A large content passes in blocks that are made on one thread and freed on another. An allocator keeps such memory for the
//! thread that had it: with sixteen workers a run had 300 MB of it, of which it used 60.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// The size of a block. Smaller contents come in memory of their own.
pub(super) const BLOCK_BYTES: usize = 256 << 10;
/// Blocks that are kept while nobody needs them: what the contents on their way take at most.
const KEPT: usize = (64 << 20) / BLOCK_BYTES;

static IDLE: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// Memory that goes back when the last who holds it lets it go.
pub(super) struct Block {
    /// Always there until it is dropped.
    memory: Option<Box<[u8]>>,
    used: usize,
}

impl Block {
    /// Room for so many bytes, at most [`BLOCK_BYTES`]. What is in it is of no meaning.
    pub(super) fn of(bytes: usize) -> Self {
        let pooled = bytes > BLOCK_BYTES / 2;
        let idle = if pooled { lock().pop() } else { None };
        let memory =
            idle.unwrap_or_else(|| vec![0; if pooled { BLOCK_BYTES } else { bytes }].into_boxed_slice());
        Block { memory: Some(memory), used: bytes }
    }

    /// To be filled.
    pub(super) fn as_mut(&mut self) -> &mut [u8] {
        let used = self.used;
        &mut self.memory.as_mut().expect("it is there until it is dropped")[..used]
    }

    /// Filled.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        self.memory.as_ref().map_or(&[], |memory| &memory[..self.used])
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let Some(memory) = self.memory.take() else { return };
        let mut idle = lock();
        if memory.len() == BLOCK_BYTES && idle.len() < KEPT {
            idle.push(memory);
        }
    }
}

fn lock() -> std::sync::MutexGuard<'static, Vec<Box<[u8]>>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_shows_what_was_filled_in_and_no_more() {
        for bytes in [0, 1, BLOCK_BYTES / 2, BLOCK_BYTES - 1, BLOCK_BYTES] {
            let mut block = Block::of(bytes);
            assert_eq!(block.as_mut().len(), bytes);
            block.as_mut().fill(7);
            let shared = block.freeze();
            let other = shared.slice(..bytes / 2);
            drop(shared);
            assert!(other.iter().all(|byte| *byte == 7) && other.len() == bytes / 2);
        }
    }
}
