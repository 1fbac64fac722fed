//! How a fetch is cut into steps, each proven alone, and how many bytes that makes on the wire. Both ends compute it, so the
//! length of an answer is known before its first byte and a longer or shorter one is no answer.

use std::ops::Range;

use codec::SliceProof;

use crate::limits::{HASH_GROUP, STEP_MAX};

/// One step of a fetch: a range of the shard that is proven and sent as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// First byte in the shard.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// Bytes of its proof, which come first.
    pub proof_len: u64,
}

impl Step {
    /// The range of the shard's bytes, as `codec::Outboard::prove` takes it.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.len
    }
}

/// The steps of a fetch, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Steps {
    shard_len: u64,
    at: u64,
    end: u64,
    step: u64,
}

/// Why a range of a shard cannot be fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadRange {
    /// It begins, ends or steps elsewhere than on a hash group.
    #[error("a range must begin, step and end on multiples of 16 KiB, or end with the shard")]
    Unaligned,
    /// It is empty or reaches beyond the shard.
    #[error("a range must be non-empty and within the shard")]
    Outside,
    /// The step is empty or larger than [`STEP_MAX`].
    #[error("a step must be 16 KiB to 4 MiB")]
    Step,
}

impl Steps {
    pub(crate) fn new(shard_len: u64, offset: u64, len: u64, step: u64) -> Result<Self, BadRange> {
        let end = offset
            .checked_add(len)
            .filter(|&end| len > 0 && end <= shard_len)
            .ok_or(BadRange::Outside)?;
        if step == 0 || step > STEP_MAX {
            return Err(BadRange::Step);
        }
        let aligned = |at: u64| at.is_multiple_of(HASH_GROUP);
        if aligned(offset) && aligned(step) && (aligned(end) || end == shard_len) {
            Ok(Self { shard_len, at: offset, end, step })
        } else {
            Err(BadRange::Unaligned)
        }
    }

    /// Bytes on the wire of all steps still to come, proofs included.
    #[must_use]
    pub fn wire_len(&self) -> u64 {
        self.clone().map(|step| step.proof_len + step.len).sum()
    }
}

impl Iterator for Steps {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        if self.at == self.end {
            return None;
        }
        let offset = self.at;
        let len = self.step.min(self.end - offset);
        self.at += len;
        let proof_len = SliceProof::encoded_len(self.shard_len, &(offset..self.at))
            .expect("new() let only ranges of whole groups pass") as u64;
        Some(Step { offset, len, proof_len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use codec::ShardHasher;
    use proptest::prelude::{ProptestConfig, any, proptest};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn both_ends_know_the_size_of_every_proof(len in 1u64..2_000_000, from in any::<u64>(), count in 1u64..200, step in 1u64..20) {
            let first = from % len.div_ceil(HASH_GROUP);
            let end = ((first + count) * HASH_GROUP).min(len);
            let offset = first * HASH_GROUP;
            let mut hasher = ShardHasher::new();
            hasher.update(&vec![7; usize::try_from(len).unwrap()]);
            let (_, outboard) = hasher.finish();
            let mut at = offset;
            for step in Steps::new(len, offset, end - offset, step * HASH_GROUP).unwrap() {
                assert_eq!(step.offset, at);
                assert_eq!(outboard.prove(len, step.range()).unwrap().as_bytes().len() as u64, step.proof_len);
                at += step.len;
            }
            assert_eq!(at, end);
        }
    }

    #[test]
    fn ranges_off_the_groups_are_refused() {
        let shard = 100_000;
        assert_eq!(Steps::new(shard, 1, 16_384, 16_384), Err(BadRange::Unaligned));
        assert_eq!(Steps::new(shard, 0, 5, 16_384), Err(BadRange::Unaligned));
        assert_eq!(Steps::new(shard, 0, 16_384, 1000), Err(BadRange::Unaligned));
        assert_eq!(Steps::new(shard, 0, 16_384, 0), Err(BadRange::Step));
        assert_eq!(Steps::new(shard, 0, 0, 16_384), Err(BadRange::Outside));
        assert_eq!(Steps::new(shard, 98_304, 1_697, 16_384), Err(BadRange::Outside));
        assert_eq!(Steps::new(shard, u64::MAX, 2, 16_384), Err(BadRange::Outside));
        assert!(Steps::new(shard, 98_304, 1_696, 16_384).is_ok());
    }
}
