//! Where byte x of a segment lies: row, unit, shard offset and slot. Pure arithmetic.
//!
//! ```text
//!             code 0      code 1   …   code k−1  │  code k  …  code n−1
//! row 0     segment[0…   64 KiB…           …)    │  parity of row 0
//! row 1           …                              │  parity of row 1
//! last row  ⌈rest / k⌉ rounded up to 64, zeros after the segment's end
//!             shard 0     shard 1      shard k−1 │  …
//! ```
//!
//! Rows are read left to right, then down; a shard is its column. Every row but the last has units of [`UNIT`] bytes, so
//! row i begins at i · k · [`UNIT`] in the segment and at i · [`UNIT`] in each shard. The padding is part of the shard and
//! of its root: a node never needs to know where the segment ends.

use std::ops::Range;

use types::{SEGMENT_MAX, SegmentId, Slot, UNIT};

use crate::error::CodecError;

/// Unit lengths are multiples of this many bytes: the erasure code works on columns of 64 bytes.
pub const UNIT_ALIGN: u64 = 64;

const _: () = assert!(UNIT.is_multiple_of(UNIT_ALIGN));

/// How one segment is cut into rows.
///
/// Invariants: `Σ row.data_len = len`, `Σ row.unit_len = shard_len`, `0 ≤ k · shard_len − len < 64 · k`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentLayout {
    k: usize,
    len: u64,
}

/// One row: the k data units and n − k parity units that are coded together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// 0 for the first.
    pub index: u32,
    /// Bytes of each of its units, padding included: a multiple of 64, at most [`UNIT`].
    pub unit_len: usize,
    /// Bytes of the segment in it, without padding: at most k · `unit_len`.
    pub data_len: usize,
    /// Where its first byte lies in the segment.
    pub segment_offset: u64,
    /// Where each of its units begins in its shard.
    pub shard_offset: u64,
}

/// A run of a segment's bytes that lies in one unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// The row.
    pub row: u32,
    /// The data shard, 0…k−1; its slot is [`slot_of`] it.
    pub code_index: usize,
    /// Where the run begins in the segment.
    pub segment_offset: u64,
    /// Where the run begins in the shard.
    pub shard_offset: u64,
    /// Bytes in the run, at least 1.
    pub len: usize,
}

impl SegmentLayout {
    /// The layout of `len` ciphertext bytes over `k` data shards.
    ///
    /// # Errors
    /// [`CodecError::Shape`] unless 1 ≤ k ≤ 255, [`CodecError::SegmentLength`] unless 1 ≤ `len` ≤ [`SEGMENT_MAX`].
    pub fn new(k: usize, len: u64) -> Result<Self, CodecError> {
        if !(1..=255).contains(&k) {
            return Err(CodecError::Shape { k, n: k.saturating_add(1) });
        }
        if !(1..=SEGMENT_MAX).contains(&len) {
            return Err(CodecError::SegmentLength(len));
        }
        Ok(Self { k, len })
    }

    /// Data shards.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// The segment's bytes; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a segment is never empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// How many rows there are; at least 1.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.len.div_ceil(self.full_row()) as u32
    }

    /// The `index`-th row.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn row(&self, index: u32) -> Row {
        let segment_offset = u64::from(index) * self.full_row();
        assert!(segment_offset < self.len, "row {index} is beyond the segment");
        let data_len = (self.len - segment_offset).min(self.full_row());
        Row {
            index,
            unit_len: data_len.div_ceil(self.k as u64).next_multiple_of(UNIT_ALIGN) as usize,
            data_len: data_len as usize,
            segment_offset,
            shard_offset: u64::from(index) * UNIT,
        }
    }

    /// Every row in order.
    pub fn iter(&self) -> impl Iterator<Item = Row> + use<> {
        let layout = *self;
        (0..layout.rows()).map(move |index| layout.row(index))
    }

    /// Bytes of each of the n shards, padding included.
    #[must_use]
    pub fn shard_len(&self) -> u64 {
        let last = self.row(self.rows() - 1);
        last.shard_offset + last.unit_len as u64
    }

    /// The row that holds the segment's byte at `offset`.
    ///
    /// # Panics
    /// If `offset` is beyond the segment.
    #[must_use]
    pub fn row_of(&self, offset: u64) -> u32 {
        assert!(offset < self.len, "byte {offset} is beyond the segment");
        (offset / self.full_row()) as u32
    }

    /// The row whose units hold a shard's byte at `shard_offset`, padding included.
    ///
    /// # Panics
    /// If `shard_offset` is beyond the shard.
    #[must_use]
    pub fn row_at(&self, shard_offset: u64) -> u32 {
        assert!(shard_offset < self.shard_len(), "byte {shard_offset} is beyond the shard");
        (shard_offset / UNIT) as u32
    }

    /// The rows that hold any byte of `range` of the segment.
    ///
    /// # Panics
    /// If `range` is empty or reaches beyond the segment.
    #[must_use]
    pub fn rows_of(&self, range: &Range<u64>) -> Range<u32> {
        assert!(range.start < range.end, "an empty range has no rows");
        self.row_of(range.start)..self.row_of(range.end - 1) + 1
    }

    /// The run of bytes from `offset` to the end of its unit or of the segment.
    ///
    /// # Panics
    /// If `offset` is beyond the segment.
    #[must_use]
    pub fn locate(&self, offset: u64) -> Piece {
        let row = self.row(self.row_of(offset));
        let in_row = (offset - row.segment_offset) as usize;
        let (code_index, in_unit) = (in_row / row.unit_len, in_row % row.unit_len);
        Piece {
            row: row.index,
            code_index,
            segment_offset: offset,
            shard_offset: row.shard_offset + in_unit as u64,
            len: (row.unit_len - in_unit).min(row.data_len - in_row),
        }
    }

    /// Cuts `range` of the segment into runs, in order and without gap or overlap.
    ///
    /// # Panics
    /// While iterating, if `range` reaches beyond the segment.
    pub fn cover(&self, range: Range<u64>) -> impl Iterator<Item = Piece> + use<> {
        let layout = *self;
        let mut at = range.start;
        std::iter::from_fn(move || {
            if at >= range.end {
                return None;
            }
            let mut piece = layout.locate(at);
            piece.len = (piece.len as u64).min(range.end - at) as usize;
            at += piece.len as u64;
            Some(piece)
        })
    }

    /// Segment bytes in a row whose units are full.
    fn full_row(&self) -> u64 {
        self.k as u64 * UNIT
    }
}

impl Row {
    /// How many bytes of its unit `code_index` are the segment's; the rest are zeros. Meant for data units.
    #[must_use]
    pub fn unit_data_len(&self, code_index: usize) -> usize {
        self.data_len.saturating_sub(code_index * self.unit_len).min(self.unit_len)
    }
}

/// How far a segment's code indices are turned against the slots of its group, so that over many segments every node
/// holds data and parity alike.
///
/// slot = (code index + turn) mod n, with turn = the first 8 bytes, little-endian, of the BLAKE3 hash of the segment id's
/// 20 bytes, mod n. Both directions follow from the id alone: nothing is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rotation {
    turn: usize,
    n: usize,
}

impl Rotation {
    /// The rotation of `segment` in a group of `n` slots.
    ///
    /// # Panics
    /// Unless 1 ≤ `n` ≤ 256.
    #[must_use]
    pub fn of(segment: SegmentId, n: usize) -> Self {
        assert!((1..=256).contains(&n), "a group has 1 to 256 slots, not {n}");
        let hash = blake3::hash(&segment.to_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        Self { turn: (u64::from_le_bytes(first) % n as u64) as usize, n }
    }

    /// The slot that holds the shard of `code_index`.
    ///
    /// # Panics
    /// If `code_index` ≥ n.
    #[must_use]
    pub fn slot(&self, code_index: usize) -> Slot {
        assert!(code_index < self.n, "code index {code_index} in a code of {}", self.n);
        Slot(((code_index + self.turn) % self.n) as u8)
    }

    /// The code index of the shard that `slot` holds.
    ///
    /// # Panics
    /// If `slot` ≥ n.
    #[must_use]
    pub fn code_index(&self, slot: Slot) -> usize {
        let slot = usize::from(slot.0);
        assert!(slot < self.n, "slot {slot} in a group of {}", self.n);
        (slot + self.n - self.turn) % self.n
    }
}

/// The slot that holds the shard of `code_index`; [`Rotation`] does the same for many at once.
///
/// # Panics
/// If `code_index` ≥ `n` or `n` > 256.
#[must_use]
pub fn slot_of(segment: SegmentId, n: usize, code_index: usize) -> Slot {
    Rotation::of(segment, n).slot(code_index)
}

/// The code index of the shard that `slot` holds: the reverse of [`slot_of`].
///
/// # Panics
/// If `slot` ≥ `n` or `n` > 256.
#[must_use]
pub fn code_index_of(segment: SegmentId, n: usize, slot: Slot) -> usize {
    Rotation::of(segment, n).code_index(slot)
}

#[cfg(test)]
mod tests;
