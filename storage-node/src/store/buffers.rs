//! Buffers for reads, used over and over.
//!
//! `preadv2`, the one read that can be told not to wait for the disk, takes only memory that was written before. A fresh buffer would have to be
//! zeroed for each read, which costs a third of what reading costs; one that comes back does not.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Buffers that wait to be used again; more are freed.
const KEPT_MAX: usize = 8;

/// Buffers of one size.
#[derive(Clone)]
pub(crate) struct Buffers {
    size: usize,
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// A buffer on loan. What it holds is of no meaning until it was filled.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// How much of it is wanted.
    len: usize,
    /// Where it goes afterwards; `None` for one of another size.
    home: Option<Buffers>,
}

impl Buffers {
    /// Buffers of `size` bytes.
    pub(crate) fn new(size: usize) -> Self {
        Self { size, kept: Arc::default() }
    }

    /// A buffer for `len` bytes. Much smaller ones and larger ones are made anew: they would waste memory, or are rare.
    pub(crate) fn take(&self, len: usize) -> Buffer {
        if len > self.size || len < self.size / 2 {
            return Buffer { bytes: vec![0; len], len, home: None };
        }
        let kept = self.kept().pop();
        let bytes = kept.unwrap_or_else(|| vec![0; self.size]);
        Buffer { bytes, len, home: Some(self.clone()) }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        // A push or a pop is whole or was not.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    /// The memory to fill.
    pub(crate) fn memory(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// What was filled in. The buffer comes back when the last piece of it is dropped.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else { return };
        let mut kept = home.kept();
        if kept.len() < KEPT_MAX {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_once_its_last_piece_is_dropped() {
        let buffers = Buffers::new(100);
        let mut buffer = buffers.take(60);
        buffer.memory().fill(7);
        let mut bytes = buffer.freeze();
        assert_eq!(bytes, vec![7; 60]);
        let front = bytes.split_to(10);
        drop(bytes);
        assert!(buffers.kept().is_empty(), "a piece of it is still read");
        drop(front);
        assert_eq!(buffers.kept().len(), 1);
        assert_eq!(buffers.take(100).as_ref().len(), 100, "whole again");
    }

    #[test]
    fn buffers_of_other_sizes_and_too_many_are_freed() {
        let buffers = Buffers::new(100);
        drop([buffers.take(49), buffers.take(101)]);
        assert!(buffers.kept().is_empty());
        let many: Vec<Buffer> = (0..2 * KEPT_MAX).map(|_| buffers.take(100)).collect();
        drop(many);
        assert_eq!(buffers.kept().len(), KEPT_MAX);
    }
}
