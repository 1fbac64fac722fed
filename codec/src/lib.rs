//! Erasure coding, hashing and the arithmetic of layouts: pure and synchronous.
//!
//! Two doors: [`encode`] cuts a segment into n shards, [`decode`] puts it together again.
//!
//! > **The round-trip law.** For every segment of 1…[`SEGMENT_MAX`](types::SEGMENT_MAX) bytes, every code of k in n, and
//! > every choice of at least k of its n shards: `decode(encode(segment)) = segment`.
//!
//! Both work on a segment that is whole in memory. The data path works row by row and uses the rooms behind the doors:
//!
//! - [`layout`]: where byte x lies;
//! - [`erasure`]: one row's units, from data to parity and back;
//! - [`hash`]: a shard's root, and slices that prove themselves against it.

pub mod erasure;
pub mod error;
pub mod hash;
pub mod layout;

pub use erasure::{ErasureCoder, SchemeId, coder};
pub use error::CodecError;
pub use hash::{Outboard, RootHasher, ShardHasher, SliceProof, VerifiedSlice, verify};
pub use layout::{Piece, Rotation, Row, SegmentLayout, code_index_of, slot_of};

/// Cuts `segment` into the n shards of `coder`'s code, in code order.
///
/// # Errors
/// [`CodecError::SegmentLength`] for an empty or too long segment.
pub fn encode(coder: &mut dyn ErasureCoder, segment: &[u8]) -> Result<Vec<Vec<u8>>, CodecError> {
    let layout = SegmentLayout::new(coder.k(), segment.len() as u64)?;
    let mut shards = vec![vec![0; layout.shard_len() as usize]; coder.n()];
    for piece in layout.cover(0..layout.len()) {
        let (from, to) = (piece.segment_offset as usize, piece.shard_offset as usize);
        shards[piece.code_index][to..to + piece.len]
            .copy_from_slice(&segment[from..from + piece.len]);
    }
    let (data, parity) = shards.split_at_mut(layout.k());
    let data: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    let mut parity: Vec<&mut [u8]> = parity.iter_mut().map(Vec::as_mut_slice).collect();
    coder.encode(layout.shard_len() as usize, &data, &mut parity)?;
    Ok(shards)
}

/// Puts the segment of `len` bytes together from at least k of its n shards, given in code order.
///
/// The shards must have been verified: a code detects no corruption.
///
/// # Errors
/// [`CodecError::NotEnoughUnits`] if fewer than k are there; [`CodecError::UnitCount`] and [`CodecError::BufferLength`] if
/// they are not the shards of such a segment.
pub fn decode(
    coder: &mut dyn ErasureCoder,
    len: u64,
    shards: &[Option<&[u8]>],
) -> Result<Vec<u8>, CodecError> {
    let layout = SegmentLayout::new(coder.k(), len)?;
    let data = rebuild_data(coder, layout.shard_len() as usize, shards)?;
    let mut segment = Vec::with_capacity(len as usize);
    for piece in layout.cover(0..len) {
        let index = piece.code_index;
        let shard = shards[index].unwrap_or(&data[index]);
        let from = piece.shard_offset as usize;
        segment.extend_from_slice(&shard[from..from + piece.len]);
    }
    Ok(segment)
}

/// The missing data shards; an empty one where it is there already.
fn rebuild_data(
    coder: &mut dyn ErasureCoder,
    shard_len: usize,
    shards: &[Option<&[u8]>],
) -> Result<Vec<Vec<u8>>, CodecError> {
    if shards.len() != coder.n() {
        return Err(CodecError::UnitCount { expected: coder.n(), found: shards.len() });
    }
    let missing: Vec<usize> = (0..coder.k()).filter(|index| shards[*index].is_none()).collect();
    let mut data = vec![Vec::new(); coder.k()];
    for index in &missing {
        data[*index] = vec![0; shard_len];
    }
    let mut out: Vec<&mut [u8]> =
        data.iter_mut().filter(|shard| !shard.is_empty()).map(Vec::as_mut_slice).collect();
    coder.reconstruct(shard_len, shards, &missing, &mut out)?;
    Ok(data)
}

#[cfg(test)]
mod tests;
