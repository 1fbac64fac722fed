//! A run: bytes of one shard in the slices in which they came, so that nothing is copied to put them together.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;

use bytes::{Buf as _, BytesMut};

/// A run of whole units of one shard.
pub(crate) struct Run {
    /// Its rows.
    pub(super) rows: Range<u32>,
    /// Where it begins in the shard.
    pub(super) offset: u64,
    /// Its bytes, as they came.
    pub(super) slices: VecDeque<BytesMut>,
}

impl Run {
    pub(crate) fn into_bytes(mut self) -> BytesMut {
        let len = self.slices.iter().map(BytesMut::len).sum();
        self.take(len)
    }

    /// Gives up what lies before `shard_offset`.
    pub(super) fn pass(&mut self, shard_offset: u64) {
        while let Some(front) = self.slices.front_mut()
            && self.offset < shard_offset
        {
            let before = front.len().min((shard_offset - self.offset) as usize);
            front.advance(before);
            self.offset += before as u64;
            if front.is_empty() {
                self.slices.pop_front();
            }
        }
    }

    /// Takes the next `len` bytes: uncopied if they are in one slice, as those of a unit are, save perhaps in the last row.
    pub(super) fn take(&mut self, len: usize) -> BytesMut {
        self.offset += len as u64;
        match self.slices.front_mut() {
            Some(front) if front.len() > len => return front.split_to(len),
            Some(front) if front.len() == len => {
                return self.slices.pop_front().unwrap_or_default();
            }
            _ => {}
        }
        let mut bytes = BytesMut::with_capacity(len);
        while let Some(front) = self.slices.front_mut()
            && bytes.len() < len
        {
            bytes.extend_from_slice(&front.split_to(front.len().min(len - bytes.len())));
            if front.is_empty() {
                self.slices.pop_front();
            }
        }
        bytes
    }

    /// `len` bytes at `shard_offset`, if they are here: uncopied if they are in one slice.
    pub(super) fn get(&self, shard_offset: u64, len: usize) -> Option<Cow<'_, [u8]>> {
        let mut before = usize::try_from(shard_offset.checked_sub(self.offset)?).ok()?;
        let mut joined = Vec::new();
        for slice in &self.slices {
            let Some(rest) = slice.get(before..).filter(|rest| !rest.is_empty()) else {
                before -= slice.len();
                continue;
            };
            before = 0;
            if joined.is_empty() && rest.len() >= len {
                return Some(Cow::Borrowed(&rest[..len]));
            }
            joined.extend_from_slice(&rest[..rest.len().min(len - joined.len())]);
            if joined.len() == len {
                return Some(Cow::Owned(joined));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes 0, 1, 2 … from shard offset 100 on, in slices of these lengths.
    fn run(lengths: &[u8]) -> Run {
        let mut next = 0..u8::MAX;
        let slices = lengths.iter().map(|len| next.by_ref().take((*len).into()).collect());
        Run { rows: 0..1, offset: 100, slices: slices.collect() }
    }

    #[test]
    fn a_run_gives_the_same_bytes_however_it_was_cut() {
        for lengths in [&[30_u8][..], &[10, 20], &[1, 1, 9, 19], &[29, 1]] {
            for (at, len) in [(0_u8, 30_u8), (0, 10), (3, 7), (9, 2), (10, 20), (29, 1), (5, 0)] {
                let wanted: Vec<u8> = (at..at + len).collect();
                let offset = 100 + u64::from(at);
                let mut run = run(lengths);
                if len > 0 {
                    let got = run.get(offset, len.into());
                    assert_eq!(got.as_deref(), Some(&wanted[..]), "{at} {len} {lengths:?}");
                }
                run.pass(offset);
                assert_eq!(run.take(len.into()), wanted, "{at} {len} {lengths:?}");
                let rest: Vec<u8> = (at + len..30).collect();
                assert_eq!(run.into_bytes(), rest, "{at} {len} {lengths:?}");
            }
            assert_eq!(run(lengths).get(99, 1), None, "before it");
            assert_eq!(run(lengths).get(100, 31), None, "beyond it");
        }
    }

    #[test]
    fn a_unit_within_a_slice_is_not_copied() {
        let mut run = run(&[20, 10]);
        let at = run.slices[0].as_ptr();
        assert!(matches!(run.get(100, 20), Some(Cow::Borrowed(_))));
        assert!(matches!(run.get(110, 11), Some(Cow::Owned(_))));
        assert_eq!(run.take(20).as_ptr(), at);
    }
}
