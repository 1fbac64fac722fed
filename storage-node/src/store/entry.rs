//! What the index knows of one shard, and how records change it. Pure.
//!
//! The rules do not depend on the order in which records are applied: the highest sequence counts. So a log may be replayed from any
//! earlier place, any number of times, and always gives the same entry.

use serde::{Deserialize, Serialize};
use types::{Epoch, Root, Timestamp};

use crate::store::record::{DROP_LEN, Place, put_span};

/// One shard's row. Which state it is in follows from the fields:
///
/// | put | dropped | |
/// |---|---|---|
/// | yes | no | live (or rotten) |
/// | yes | yes | in the trash: no longer served, its bytes still rest |
/// | no | yes | gone; kept, as is the drop's record, while a dead copy in a log could resurrect |
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The newest put.
    pub(crate) put: Option<PutRef>,
    /// The drop that governs it.
    pub(crate) dropped: Option<DropRef>,
    /// Logs that hold dead puts of this shard, in ascending order.
    pub(crate) shadows: Vec<u32>,
    /// Whether its bytes were found damaged. Not in the logs: found again if the index is rebuilt.
    pub(crate) rot: bool,
}

/// Where a put lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct PutRef {
    pub(crate) place: Place,
    pub(crate) len: u64,
    pub(crate) label_len: u16,
    pub(crate) root: Root,
    pub(crate) epoch: Epoch,
    pub(crate) sequence: u64,
    pub(crate) commit: u64,
}

/// Which drop it was, and in which log its record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct DropRef {
    pub(crate) sequence: u64,
    pub(crate) at: Timestamp,
    pub(crate) file: u32,
}

/// What a record, or the store itself, does to an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// A put was committed, or one was copied to another log.
    Put(PutRef),
    /// A drop was committed, or one was copied to another log.
    Drop(DropRef),
    /// The bytes at this place were found damaged.
    Rot(Place),
    /// The bytes at this place, once found damaged, are whole after all.
    Heal(Place),
    /// The grace of this drop is over.
    Sweep(u64),
    /// A log was deleted.
    Forget(u32),
}

impl PutRef {
    /// Bytes of the record in its log.
    pub(crate) fn span(&self) -> u64 {
        put_span(usize::from(self.label_len), self.len)
    }
}

impl Entry {
    /// The put, if the shard is served.
    pub(crate) fn live(&self) -> Option<&PutRef> {
        self.put.as_ref().filter(|_| self.dropped.is_none() && !self.rot)
    }

    /// The put, if the shard was dropped and rests in the trash.
    pub(crate) fn trash(&self) -> Option<(&PutRef, &DropRef)> {
        self.put.as_ref().zip(self.dropped.as_ref())
    }

    /// Whether nothing would be lost if the row were deleted.
    pub(crate) fn is_void(&self) -> bool {
        self.put.is_none() && self.shadows.is_empty()
    }

    /// Whether the record of its drop must be kept.
    pub(crate) fn needs_drop(&self) -> bool {
        self.dropped.is_some() && !self.is_void()
    }

    /// Bytes of logs that this entry keeps alive, by log.
    pub(crate) fn holds(&self) -> impl Iterator<Item = (u32, i64)> + '_ {
        let put = self.put.iter().filter(|_| !self.rot);
        let put = put.map(|put| (put.place.file, put.span() as i64));
        let drop = self.dropped.iter().filter(|_| self.needs_drop());
        put.chain(drop.map(|drop| (drop.file, DROP_LEN as i64)))
    }

    /// Applies a change; one that is older than what is known changes nothing but the shadows.
    pub(crate) fn apply(&mut self, change: &Change) {
        match *change {
            Change::Put(put) => self.apply_put(put),
            Change::Drop(drop) => self.apply_drop(drop),
            Change::Rot(place) => {
                if self.put.as_ref().is_some_and(|put| put.place == place) {
                    self.rot = true;
                }
            }
            Change::Heal(place) => {
                if self.put.as_ref().is_some_and(|put| put.place == place) {
                    self.rot = false;
                }
            }
            Change::Sweep(sequence) => self.sweep(sequence),
            Change::Forget(file) => self.forget(file),
        }
    }

    fn apply_put(&mut self, new: PutRef) {
        match self.put {
            Some(old) if old.place == new.place => {}
            Some(old) if (old.sequence, old.commit) > (new.sequence, new.commit) => {
                self.shadow(new.place.file);
            }
            old => {
                if let Some(old) = old {
                    self.shadow(old.place.file);
                }
                self.put = Some(new);
                self.rot = false;
                if self.dropped.is_some_and(|drop| drop.sequence < new.sequence) {
                    self.dropped = None;
                }
            }
        }
    }

    fn apply_drop(&mut self, new: DropRef) {
        let superseded = self.put.is_some_and(|put| put.sequence > new.sequence);
        let newest =
            self.dropped.is_none_or(|old| (old.sequence, old.file) < (new.sequence, new.file));
        if !superseded && newest {
            self.dropped = Some(new);
        }
    }

    fn sweep(&mut self, sequence: u64) {
        if self.dropped.is_some_and(|drop| drop.sequence == sequence)
            && let Some(put) = self.put.take()
        {
            self.shadow(put.place.file);
            self.rot = false;
        }
    }

    fn forget(&mut self, file: u32) {
        self.shadows.retain(|shadow| *shadow != file);
        if self.put.is_some_and(|put| put.place.file == file) {
            self.put = None;
            self.rot = false;
        }
    }

    fn shadow(&mut self, file: u32) {
        if let Err(at) = self.shadows.binary_search(&file) {
            self.shadows.insert(at, file);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop, proptest};

    use super::*;

    fn put(file: u32, sequence: u64, commit: u64) -> PutRef {
        PutRef {
            place: Place { file, offset: commit * 4096 },
            len: 10,
            label_len: 0,
            root: Root([0; 32]),
            epoch: Epoch(0),
            sequence,
            commit,
        }
    }

    fn drop(file: u32, sequence: u64) -> DropRef {
        DropRef { sequence, at: Timestamp(sequence), file }
    }

    fn records() -> impl Strategy<Value = Vec<Change>> {
        prop::collection::vec((any::<bool>(), 1u32..4), 1..12).prop_flat_map(|kinds| {
            let records: Vec<Change> = kinds
                .into_iter()
                .zip(1u64..)
                .map(|((is_put, file), n)| {
                    if is_put { Change::Put(put(file, n, n)) } else { Change::Drop(drop(file, n)) }
                })
                .collect();
            Just(records)
        })
    }

    fn applied(records: &[Change]) -> Entry {
        let mut entry = Entry::default();
        for record in records {
            entry.apply(record);
        }
        entry
    }

    proptest! {
        #[test]
        fn records_give_the_same_entry_in_any_order_and_any_number_of_times(
            (ordered, shuffled) in records().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        ) {
            let entry = applied(&ordered);
            assert_eq!(applied(&shuffled), entry);
            let twice = [shuffled, ordered].concat();
            assert_eq!(applied(&twice), entry);
        }
    }

    #[test]
    fn a_copy_moves_the_shard_and_leaves_a_shadow() {
        let mut entry = applied(&[Change::Put(put(1, 5, 5)), Change::Put(put(4, 5, 9))]);
        assert_eq!(entry.put.map(|put| put.place.file), Some(4));
        assert_eq!(entry.shadows, [1]);
        entry.apply(&Change::Forget(1));
        assert!(entry.shadows.is_empty());
    }

    #[test]
    fn a_drop_is_needed_until_the_last_dead_copy_is_gone() {
        let mut entry = applied(&[
            Change::Put(put(1, 1, 1)),
            Change::Put(put(2, 2, 2)),
            Change::Drop(drop(3, 3)),
            Change::Sweep(3),
        ]);
        assert_eq!(entry.shadows, [1, 2]);
        assert!(entry.needs_drop());
        entry.apply(&Change::Forget(2));
        assert!(entry.needs_drop());
        entry.apply(&Change::Forget(1));
        assert!(entry.is_void());
    }

    #[test]
    fn a_shard_stored_again_leaves_the_trash_and_loses_its_rot() {
        let mut entry = applied(&[
            Change::Put(put(1, 1, 1)),
            Change::Rot(put(1, 1, 1).place),
            Change::Drop(drop(1, 2)),
            Change::Put(put(1, 3, 3)),
        ]);
        assert_eq!(entry.live(), Some(&put(1, 3, 3)));
        entry.apply(&Change::Sweep(2));
        assert_eq!(entry.live(), Some(&put(1, 3, 3)));
    }
}
