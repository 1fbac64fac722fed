//! Streams and segments: where ciphertext lies.

use serde::{Deserialize, Serialize};
use types::{BucketId, GeometryName, GroupId, Root, Slot, Timestamp};

/// The bytes of one upload.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StreamRow {
    /// Where it is in its life.
    pub state: StreamState,
    /// How its segments are coded.
    pub geometry: GeometryName,
    /// The bucket it was written for (its first key was wrapped there).
    pub bucket: BucketId,
    /// BLAKE3 of the object key it was written for, which shard labels carry.
    pub key_hash: [u8; 32],
    /// Plaintext bytes; final once `Whole`.
    pub len: u64,
    /// Segments; final once `Whole`.
    pub segments: u32,
    /// BLAKE3 of the plaintext.
    pub hash: [u8; 32],
    /// When its first row was written.
    pub created: Timestamp,
}

/// A stream's life: `Writing → Whole → Dying → gone`, or `Writing → Dying → gone`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StreamState {
    /// Segment rows are still arriving; nothing refers to it.
    Writing,
    /// All its segments are known.
    Whole,
    /// Collect found no reference and is looking again in a fresh snapshot; new references are refused.
    Dying,
}

/// One segment: its group and what each slot must hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SegmentRow {
    /// The placement group.
    pub group: GroupId,
    /// Ciphertext bytes.
    pub len: u64,
    /// The shard's BLAKE3 root, by slot.
    pub roots: Vec<Root>,
    /// Slots that did not get their shard; repair fills them.
    pub missed: SlotSet,
}

/// A set of slots 0…255, stored without its trailing zero bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SlotSet(Vec<u8>);

impl SlotSet {
    /// Whether `slot` is in the set.
    #[must_use]
    pub fn contains(&self, slot: Slot) -> bool {
        self.0.get(usize::from(slot.0 / 8)).is_some_and(|byte| byte & (1 << (slot.0 % 8)) != 0)
    }

    /// Adds `slot`.
    pub fn insert(&mut self, slot: Slot) {
        let at = usize::from(slot.0 / 8);
        if self.0.len() <= at {
            self.0.resize(at + 1, 0);
        }
        self.0[at] |= 1 << (slot.0 % 8);
    }

    /// Takes `slot` out.
    pub fn remove(&mut self, slot: Slot) {
        if let Some(byte) = self.0.get_mut(usize::from(slot.0 / 8)) {
            *byte &= !(1 << (slot.0 % 8));
        }
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    /// Whether no slot is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many slots are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// The slots in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        (0..=u8::MAX).map(Slot).filter(|slot| self.contains(*slot))
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = Self::default();
        for slot in slots {
            set.insert(slot);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    proptest! {
        #[test]
        fn a_slot_set_is_a_set(inserted in prop::collection::btree_set(any::<u8>(), 0..20), removed in prop::collection::btree_set(any::<u8>(), 0..20)) {
            let mut set: SlotSet = inserted.iter().map(|slot| Slot(*slot)).collect();
            for slot in &removed {
                set.remove(Slot(*slot));
            }
            let left: Vec<u8> = inserted.difference(&removed).copied().collect();
            assert_eq!(set.iter().map(|slot| slot.0).collect::<Vec<_>>(), left);
            assert_eq!(set.len(), left.len());
            assert_eq!(set, left.iter().map(|slot| Slot(*slot)).collect());
        }
    }
}
