//! Merkle trees over lists of byte strings: one signature then covers a whole batch, and each entry proves that it was in it.
//!
//! Leaves and inner nodes are hashed under different BLAKE3 contexts, so neither can be passed off as the other. A node
//! without a sibling rises unchanged (as in RFC 9162), so a list has exactly one tree.

use serde::{Deserialize, Serialize};

const LEAF: &str = "drystone 2026 merkle leaf v1";
const NODE: &str = "drystone 2026 merkle node v1";

/// A tree's root.
pub type MerkleRoot = [u8; 32];

/// Shows that one entry is in the tree of a root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InclusionProof {
    /// The entry's place in the list.
    pub index: u32,
    /// How many entries the list has.
    pub count: u32,
    /// The siblings from the leaf upwards.
    pub siblings: Vec<[u8; 32]>,
}

/// The root over `entries`; an empty list has the root of no bytes at all.
#[must_use]
pub fn root<T: AsRef<[u8]>>(entries: &[T]) -> MerkleRoot {
    levels(entries).last().and_then(|top| top.first().copied()).unwrap_or([0; 32])
}

/// The proof for `entries[index]`, or `None` if there is no such entry.
#[must_use]
pub fn prove<T: AsRef<[u8]>>(entries: &[T], index: usize) -> Option<InclusionProof> {
    if index >= entries.len() {
        return None;
    }
    let mut at = index;
    let mut siblings = Vec::new();
    for level in levels(entries) {
        if let Some(sibling) = level.get(at ^ 1) {
            siblings.push(*sibling);
        }
        at /= 2;
    }
    Some(InclusionProof {
        index: u32::try_from(index).ok()?,
        count: u32::try_from(entries.len()).ok()?,
        siblings,
    })
}

/// Whether `proof` shows that `entry` is under `root`.
#[must_use]
pub fn verify(root: &MerkleRoot, entry: &[u8], proof: &InclusionProof) -> bool {
    if proof.index >= proof.count {
        return false;
    }
    let (mut at, mut width) = (proof.index, proof.count);
    let mut hash = leaf(entry);
    let mut siblings = proof.siblings.iter();
    while width > 1 {
        if at ^ 1 < width {
            let Some(sibling) = siblings.next() else { return false };
            hash = if at % 2 == 0 { node(&hash, sibling) } else { node(sibling, &hash) };
        }
        at /= 2;
        width = width.div_ceil(2);
    }
    siblings.next().is_none() && hash == *root
}

fn levels<T: AsRef<[u8]>>(entries: &[T]) -> Vec<Vec<[u8; 32]>> {
    let mut levels = vec![entries.iter().map(|entry| leaf(entry.as_ref())).collect::<Vec<_>>()];
    while let Some(last) = levels.last().filter(|level| level.len() > 1) {
        let above = last
            .chunks(2)
            .map(|pair| if let [left, right] = pair { node(left, right) } else { pair[0] })
            .collect();
        levels.push(above);
    }
    levels
}

fn leaf(entry: &[u8]) -> [u8; 32] {
    blake3::derive_key(LEAF, entry)
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key(NODE, &[left.as_slice(), right.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    proptest! {
        #[test]
        fn every_entry_proves_itself_and_no_other(entries in prop::collection::vec(any::<[u8; 4]>(), 1..40), pick in any::<prop::sample::Index>()) {
            let root = root(&entries);
            let index = pick.index(entries.len());
            let proof = prove(&entries, index).expect("the entry exists");
            assert!(verify(&root, &entries[index], &proof));
            assert!(!verify(&root, b"other", &proof));
            for flip in 0..proof.siblings.len() {
                let mut forged = proof.clone();
                forged.siblings[flip][0] ^= 1;
                assert!(!verify(&root, &entries[index], &forged));
            }
        }
    }

    #[test]
    fn an_empty_list_proves_nothing() {
        assert_eq!(prove::<&[u8]>(&[], 0), None);
        assert_eq!(root::<&[u8]>(&[]), [0; 32]);
    }
}
