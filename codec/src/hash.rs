//! Roots, outboards and verified slices.
//!
//! A shard's root is its plain BLAKE3 hash. BLAKE3 is a binary tree over chunks of 1 KiB; here its lowest four levels,
//! a *group* of [`GROUP`] bytes, are treated as one leaf. The tree is BLAKE3's own (the left side of a node
//! is the largest power of two of groups that leaves something for the right), and only the root node is finalised as root.
//!
//! An [`Outboard`] is the chaining value of every group, in order. A [`SliceProof`] is what someone who has only the root
//! lacks in order to check a slice: the chaining values of the largest subtrees that lie wholly outside it, from left to right.
//! It is sent before the slice, whose bytes follow in one piece (docs/decisions/0001-slices-hash-first.md).

use std::ops::Range;

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};
use bytes::BytesMut;
use types::{KIB, Root, SEGMENT_MAX};

use crate::error::CodecError;

/// Bytes of one leaf of the outboard's tree. Smaller makes larger outboards, larger makes larger smallest reads.
pub const GROUP: u64 = 16 * KIB;

/// Bytes of a root or chaining value.
pub const HASH: usize = 32;

/// The most hashes a proof can have: two per level of the largest shard's tree.
pub const PROOF_MAX: usize = 2 * (SEGMENT_MAX / GROUP).ilog2() as usize;

const _: () = assert!(GROUP.is_power_of_two() && (SEGMENT_MAX / GROUP).is_power_of_two());

/// How many groups a shard of `shard_len` bytes has; an empty shard has one.
#[must_use]
pub fn groups(shard_len: u64) -> u64 {
    shard_len.div_ceil(GROUP).max(1)
}

/// The smallest provable range of a shard that contains `range`: begins and ends at a group's edge or the shard's end.
#[must_use]
pub fn align(shard_len: u64, range: Range<u64>) -> Range<u64> {
    let end = range.end.min(shard_len).next_multiple_of(GROUP).min(shard_len);
    range.start / GROUP * GROUP..end
}

/// Computes a shard's root and nothing else: the fastest way there is.
#[derive(Clone, Default)]
pub struct RootHasher(blake3::Hasher);

impl RootHasher {
    /// Of no bytes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes. Updates of 16 KiB and more hash at full speed.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Bytes so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.count()
    }

    /// The root of everything so far.
    #[must_use]
    pub fn finish(&self) -> Root {
        Root(*self.0.finalize().as_bytes())
    }
}

/// Computes a shard's root and its outboard while its bytes pass by.
#[derive(Clone, Default)]
pub struct ShardHasher {
    done: Vec<ChainingValue>,
    /// The group at work. It is closed only when a byte beyond it arrives: until then it may be the only one.
    group: blake3::Hasher,
}

impl ShardHasher {
    /// Of no bytes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes; updates may be of any size and lie anywhere.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.group.count() == GROUP {
                self.done.push(self.group.finalize_non_root());
                // Not `reset`: that keeps the old group's offset, and then no new one can be set.
                self.group = blake3::Hasher::new();
                self.group.set_input_offset(self.done.len() as u64 * GROUP);
            }
            let room = (GROUP - self.group.count()) as usize;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.group.update(now);
            bytes = later;
        }
    }

    /// Bytes so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.done.len() as u64 * GROUP + self.group.count()
    }

    /// The root, and what is needed to prove slices.
    #[must_use]
    pub fn finish(mut self) -> (Root, Outboard) {
        if self.done.is_empty() {
            self.done.push(*self.group.finalize().as_bytes());
        } else {
            self.done.push(self.group.finalize_non_root());
        }
        let outboard = Outboard::over(self.done);
        (outboard.root(), outboard)
    }
}

/// The tree above a shard's groups.
///
/// Stored as the groups' chaining values alone, 32 bytes for each 16 KiB; the levels above are computed when it is read
/// (one compression per group, a thousandth of hashing the shard). A shard of a single group has its root there instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outboard {
    /// From the groups up to the root. A node without a sibling rises unchanged, which makes BLAKE3's own tree.
    levels: Vec<Vec<ChainingValue>>,
}

impl Outboard {
    /// Bytes of the stored form for a shard of `shard_len` bytes.
    #[must_use]
    pub fn encoded_len(shard_len: u64) -> usize {
        groups(shard_len) as usize * HASH
    }

    /// Reads the stored form. Whether it is true shows only in [`Self::root`].
    ///
    /// # Errors
    /// [`CodecError::HashesLength`] unless it is a positive number of whole hashes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let hashes = hashes_of(bytes)?;
        if hashes.is_empty() {
            return Err(CodecError::HashesLength { expected: HASH, found: 0 });
        }
        Ok(Self::over(hashes))
    }

    /// The stored form: the groups' chaining values in order, or the root of a shard of one group.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.levels[0].as_flattened().to_vec()
    }

    /// Bytes that it takes in memory, with the levels above the stored one.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.levels.iter().map(|level| level.len() * HASH).sum()
    }

    /// The root of the shard whose outboard this is.
    #[must_use]
    pub fn root(&self) -> Root {
        Root(self.levels[self.levels.len() - 1][0])
    }

    /// What the holder of the root needs in order to check `range` of the shard.
    ///
    /// # Errors
    /// [`CodecError::Range`] unless `range` is made of whole groups (see [`align`]), [`CodecError::HashesLength`] if this
    /// is not the outboard of a shard of `shard_len` bytes.
    pub fn prove(&self, shard_len: u64, range: Range<u64>) -> Result<SliceProof, CodecError> {
        check_range(shard_len, &range)?;
        let expected = Self::encoded_len(shard_len);
        let found = self.levels[0].len() * HASH;
        if expected != found {
            return Err(CodecError::HashesLength { expected, found });
        }
        let wanted = (range.start / GROUP) as usize..range.end.div_ceil(GROUP).max(1) as usize;
        let mut proof = Vec::new();
        self.collect(self.levels.len() - 1, 0, &wanted, &mut proof);
        Ok(SliceProof(proof))
    }

    fn over(groups: Vec<ChainingValue>) -> Self {
        let mut levels = vec![groups];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = match below.as_slice() {
                [left, right] => vec![*merge_subtrees_root(left, right, Mode::Hash).as_bytes()],
                more => more
                    .chunks(2)
                    .map(|pair| match pair {
                        [left, right] => merge_subtrees_non_root(left, right, Mode::Hash),
                        alone => alone[0],
                    })
                    .collect(),
            };
            levels.push(above);
        }
        Self { levels }
    }

    /// Walks down from a node and notes the highest ones that share no group with `wanted`, left to right.
    fn collect(
        &self,
        level: usize,
        index: usize,
        wanted: &Range<usize>,
        proof: &mut Vec<ChainingValue>,
    ) {
        let start = index << level;
        let end = ((index + 1) << level).min(self.levels[0].len());
        if end <= wanted.start || wanted.end <= start {
            proof.push(self.levels[level][index]);
        } else if start < wanted.start || wanted.end < end {
            self.collect(level - 1, 2 * index, wanted, proof);
            if 2 * index + 1 < self.levels[level - 1].len() {
                self.collect(level - 1, 2 * index + 1, wanted, proof);
            }
        }
    }
}

/// The hashes beside a slice: the chaining values of the largest subtrees wholly outside it, from left to right in the shard.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SliceProof(Vec<ChainingValue>);

impl SliceProof {
    /// How many hashes the proof of `range` has; at most [`PROOF_MAX`] for a shard of a segment.
    ///
    /// # Errors
    /// [`CodecError::Range`] unless `range` is made of whole groups.
    pub fn count(shard_len: u64, range: &Range<u64>) -> Result<usize, CodecError> {
        check_range(shard_len, range)?;
        Ok(count_outside(&(0..shard_len), range))
    }

    /// Bytes of the proof of `range` on the wire: known before any of them is read.
    ///
    /// # Errors
    /// As [`Self::count`].
    pub fn encoded_len(shard_len: u64, range: &Range<u64>) -> Result<usize, CodecError> {
        Ok(Self::count(shard_len, range)? * HASH)
    }

    /// Reads the wire form.
    ///
    /// # Errors
    /// [`CodecError::HashesLength`] unless it is at most [`PROOF_MAX`] whole hashes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        if bytes.len() > PROOF_MAX * HASH {
            return Err(CodecError::HashesLength {
                expected: PROOF_MAX * HASH,
                found: bytes.len(),
            });
        }
        hashes_of(bytes).map(Self)
    }

    /// The wire form: the hashes one behind the other.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_flattened()
    }

    /// The hashes.
    #[must_use]
    pub fn hashes(&self) -> &[[u8; HASH]] {
        &self.0
    }
}

/// Bytes that are proven to be those of a shard's root at their offset. Only [`verify`] makes one.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifiedSlice {
    offset: u64,
    bytes: BytesMut,
}

impl VerifiedSlice {
    /// Where the bytes begin in the shard.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, to be decrypted in place.
    #[must_use]
    pub fn into_bytes(self) -> BytesMut {
        self.bytes
    }
}

impl std::fmt::Debug for VerifiedSlice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedSlice")
            .field("offset", &self.offset)
            .field("len", &self.bytes.len())
            .finish()
    }
}

/// Checks that `bytes` are those at `offset` of the shard of `shard_len` bytes with this `root`.
///
/// Whole subtrees are hashed at once, so an aligned 64 KiB unit or 256 KiB step runs at the hash's full width.
///
/// # Errors
/// [`CodecError::Range`] if the bytes are not whole groups of such a shard, [`CodecError::HashesLength`] if the proof has
/// more or fewer hashes than it should, [`CodecError::NotOfThisRoot`] if bytes or hashes are false.
pub fn verify(
    root: &Root,
    shard_len: u64,
    offset: u64,
    bytes: BytesMut,
    proof: &SliceProof,
) -> Result<VerifiedSlice, CodecError> {
    let range = offset..offset.saturating_add(bytes.len() as u64);
    let expected = SliceProof::encoded_len(shard_len, &range)?;
    let found = proof.as_bytes().len();
    if expected != found {
        return Err(CodecError::HashesLength { expected, found });
    }
    let computed = if range == (0..shard_len) {
        blake3::hash(&bytes)
    } else {
        let mut walk = Walk { range, bytes: &bytes, proof: proof.0.iter() };
        let (left, right) = split(&(0..shard_len));
        merge_subtrees_root(&walk.value(&left), &walk.value(&right), Mode::Hash)
    };
    if *computed.as_bytes() == root.0 {
        Ok(VerifiedSlice { offset, bytes })
    } else {
        Err(CodecError::NotOfThisRoot { offset })
    }
}

/// A walk over the tree from left to right that takes what is outside the slice from the proof and hashes what is inside.
struct Walk<'a> {
    range: Range<u64>,
    bytes: &'a [u8],
    proof: std::slice::Iter<'a, ChainingValue>,
}

impl Walk<'_> {
    fn value(&mut self, node: &Range<u64>) -> ChainingValue {
        if is_outside(node, &self.range) {
            *self
                .proof
                .next()
                .expect("the number of hashes was compared with the shape of the tree")
        } else if self.range.start <= node.start && node.end <= self.range.end {
            let start = (node.start - self.range.start) as usize;
            let len = (node.end - node.start) as usize;
            blake3::Hasher::new()
                .set_input_offset(node.start)
                .update(&self.bytes[start..start + len])
                .finalize_non_root()
        } else {
            let (left, right) = split(node);
            let left = self.value(&left);
            merge_subtrees_non_root(&left, &self.value(&right), Mode::Hash)
        }
    }
}

/// How many nodes a walk takes from the proof.
fn count_outside(node: &Range<u64>, range: &Range<u64>) -> usize {
    if range.start <= node.start && node.end <= range.end {
        0
    } else if is_outside(node, range) {
        1
    } else {
        let (left, right) = split(node);
        count_outside(&left, range) + count_outside(&right, range)
    }
}

fn is_outside(node: &Range<u64>, range: &Range<u64>) -> bool {
    node.end <= range.start || range.end <= node.start
}

/// The two children of a node. Never called on a single group: ranges are made of whole ones.
fn split(node: &Range<u64>) -> (Range<u64>, Range<u64>) {
    let middle = node.start + left_subtree_len(node.end - node.start);
    (node.start..middle, middle..node.end)
}

fn check_range(shard_len: u64, range: &Range<u64>) -> Result<(), CodecError> {
    let ends_well = range.end == shard_len || range.end.is_multiple_of(GROUP);
    let holds = if shard_len == 0 {
        *range == (0..0)
    } else {
        range.start < range.end
            && range.end <= shard_len
            && range.start.is_multiple_of(GROUP)
            && ends_well
    };
    if holds { Ok(()) } else { Err(CodecError::Range { shard_len, range: range.clone() }) }
}

fn hashes_of(bytes: &[u8]) -> Result<Vec<ChainingValue>, CodecError> {
    let (hashes, rest) = bytes.as_chunks::<HASH>();
    if rest.is_empty() {
        Ok(hashes.to_vec())
    } else {
        Err(CodecError::HashesLength { expected: hashes.len() * HASH, found: bytes.len() })
    }
}

#[cfg(test)]
mod tests;
