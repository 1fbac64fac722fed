//! What can be wrong with a layout, a row of units or a slice.

use std::ops::Range;

use types::SEGMENT_MAX;

use crate::erasure::SchemeId;

/// Every way in which coding or checking can fail. [`Self::is_forgery`] tells a peer's fault from the caller's.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CodecError {
    /// No such numbers of data and parity shards.
    #[error("a code of {k} data shards in {n} is impossible; it takes 1 ≤ k < n ≤ 256")]
    Shape {
        /// Data shards asked for.
        k: usize,
        /// All shards asked for.
        n: usize,
    },
    /// A segment is empty or longer than [`SEGMENT_MAX`].
    #[error("a segment has 1 to {SEGMENT_MAX} bytes, not {0}")]
    SegmentLength(u64),
    /// An erasure code that this version does not know.
    #[error("erasure code {} is not known to this version", .0.0)]
    UnknownScheme(SchemeId),
    /// A unit's length is zero or no multiple of 64 bytes.
    #[error("a unit of {0} bytes is not a positive multiple of 64")]
    UnitLength(usize),
    /// A buffer is not as long as the unit or shard it stands for.
    #[error("unit {index} is {found} bytes long instead of {expected}")]
    BufferLength {
        /// Which one, in code order.
        index: usize,
        /// What its row demands.
        expected: usize,
        /// What it is.
        found: usize,
    },
    /// Not the number of units that the code has.
    #[error("{found} units were given where the code has {expected}")]
    UnitCount {
        /// What the code demands.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// A unit's place in the code is beyond the code's n.
    #[error("there is no unit {index} in a code of {n}")]
    NoSuchUnit {
        /// The place.
        index: usize,
        /// All units of the code.
        n: usize,
    },
    /// Fewer than k units are left.
    #[error("only {found} units of the {needed} needed are there")]
    NotEnoughUnits {
        /// k.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// The library that does the arithmetic refused.
    #[error("the erasure code failed")]
    Arithmetic(#[from] reed_solomon_simd::Error),
    /// A slice that is empty, beyond its shard, or not made of whole hash groups.
    #[error("bytes {}..{} are no run of whole groups of a shard of {shard_len} bytes", range.start, range.end)]
    Range {
        /// The shard's length in bytes.
        shard_len: u64,
        /// The bytes asked for or sent.
        range: Range<u64>,
    },
    /// Stored or sent hashes that are not the number that the shard's length demands.
    #[error("{found} bytes of hashes where {expected} belong")]
    HashesLength {
        /// In bytes.
        expected: usize,
        /// In bytes.
        found: usize,
    },
    /// The bytes are not those that the root stands for.
    #[error("the bytes at {offset} are not those of the shard's root")]
    NotOfThisRoot {
        /// Where the slice begins in its shard.
        offset: u64,
    },
}

impl CodecError {
    /// Whether only the sender of a slice can have caused this: false bytes, or hashes of the wrong number.
    #[must_use]
    pub fn is_forgery(&self) -> bool {
        matches!(self, Self::NotOfThisRoot { .. } | Self::HashesLength { .. })
    }
}
