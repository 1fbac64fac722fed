//! Groups and segments on bits: what is true, and what the gateway believes. Both are kept, and never mixed up: the gateway's decisions read what is
//! believed, the checkers what is true.
//!
//! A set of slots is a `u128`, bit 0 for slot 0. A slot has a holder and, while that is being filled, the one before it, as in
//! [`metadata::records::SlotRow`]; a test compares the counts that decide on repair with those of the catalog's own type.

/// Nobody's number.
pub const NOBODY: u32 = u32::MAX;

/// A segment, of which each slot's shard may be with its holder, with the one before, with both, or nowhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Segment {
    /// True: the slot's holder has its shard.
    pub has: u128,
    /// True: the one who held the slot before has it, and is still asked for it.
    pub had: u128,
    /// Believed: the shard is nowhere.
    pub missed: u128,
    /// Of those, the ones that no write ever brought anywhere.
    pub unwritten: u128,
    /// Whether it was seen to be lost.
    pub lost: bool,
}

/// A slot.
#[derive(Clone, Copy, Debug)]
pub struct SlotState {
    /// Who fills it, by number.
    pub node: u32,
    /// Who held it before, while its refill runs.
    pub previous: u32,
    /// Segments that the refill has passed.
    pub filled_to: usize,
}

/// What is so of the holders of slots: of the present ones, or of those before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Side {
    /// Connected.
    pub here: u128,
    /// Not gone for ever: the truth, which nobody tells the gateway.
    pub exists: u128,
    /// Neither declared lost nor disqualified.
    pub believed: u128,
}

/// A placement group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Its slots.
    pub slots: Vec<SlotState>,
    /// Its segments, in the order of their ids.
    pub segments: Vec<Segment>,
    /// Of the holders.
    pub holders: Side,
    /// Of those before them.
    pub before: Side,
    /// Slots of which a refill runs.
    pub filling: u128,
    /// Slots whose holder takes shards now.
    pub taking: u128,
    /// Those of them whose holder is not suspended.
    pub usable: u128,
    /// Slots whose holder is connected, and suspended or leaving.
    pub shunned: u128,
    /// Segments that are believed to miss shards.
    pub degraded: usize,
}

/// The slots in a set, in ascending order.
pub fn slots_in(mut set: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let slot = set.trailing_zeros() as usize;
        set &= set.wrapping_sub(1);
        (slot < 128).then_some(slot)
    })
}

/// How many are in a set.
#[must_use]
pub fn count(set: u128) -> usize {
    set.count_ones() as usize
}

/// Puts a slot into a set, or takes it out.
pub fn put(set: &mut u128, slot: usize, is: bool) {
    *set = (*set & !(1 << slot)) | (u128::from(is) << slot);
}

impl Segment {
    /// Shards that can be had now, in truth.
    #[must_use]
    pub fn readable(&self, group: &Side, before: &Side) -> u128 {
        (self.has & group.here) | (self.had & before.here)
    }

    /// Shards that still exist somewhere, in truth.
    #[must_use]
    pub fn existing(&self, group: &Side, before: &Side) -> u128 {
        (self.has & group.exists) | (self.had & before.exists)
    }
}

impl Group {
    /// A new one with these members; the rest of its `n` slots is empty.
    #[must_use]
    pub fn new(members: &[u32], n: usize) -> Self {
        let numbers = members.iter().copied().chain(std::iter::repeat(NOBODY)).take(n);
        let slot = |node| SlotState { node, previous: NOBODY, filled_to: 0 };
        Self { slots: numbers.map(slot).collect(), ..Self::default() }
    }

    /// Slots whose refill has not come to a segment.
    #[must_use]
    pub fn behind(&self, segment: usize) -> u128 {
        let behind = |slot: &usize| self.slots[*slot].filled_to <= segment;
        slots_in(self.filling).filter(behind).fold(0, |set, slot| set | 1 << slot)
    }

    /// Shards of a segment that are believed to survive: `PlacementGroup::shards_with` of those who are not lost.
    #[must_use]
    pub fn survivors(&self, segment: usize, missed: u128) -> usize {
        let behind = self.behind(segment);
        let kept = (self.holders.believed & !behind) | (self.before.believed & behind);
        count(kept & !missed)
    }

    /// Shards of a segment that are believed to be within reach: `PlacementGroup::shards_sought` of those who are connected.
    #[must_use]
    pub fn within_reach(&self, segment: usize, missed: u128) -> u128 {
        (self.holders.here | (self.before.here & self.behind(segment))) & !missed
    }

    /// Notes that shards of a segment are nowhere.
    pub fn miss(&mut self, segment: usize, slots: u128) {
        let row = &mut self.segments[segment];
        self.degraded += usize::from(row.missed == 0 && slots != 0);
        row.missed |= slots;
    }

    /// Notes that shards of a segment are where they belong.
    pub fn fill(&mut self, segment: usize, slots: u128) {
        let row = &mut self.segments[segment];
        self.degraded -= usize::from(row.missed != 0 && row.missed & !slots == 0);
        row.missed &= !slots;
        row.unwritten &= !slots;
    }

    /// Whether a node fills a slot.
    #[must_use]
    pub fn has_member(&self, node: u32) -> bool {
        self.slots.iter().any(|slot| slot.node == node)
    }
}

#[cfg(test)]
mod tests {
    use metadata::records::GroupState;
    use metadata::records::{PlacementGroup, SlotRow, SlotSet};
    use types::{Epoch, GeometryName, NodeId, SegmentId, SessionId, Slot, StreamId};

    use super::*;
    use crate::chance::Chance;

    fn id(number: u32) -> NodeId {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        NodeId(id)
    }

    fn segment_id(serial: usize) -> SegmentId {
        SegmentId { stream: StreamId { session: SessionId(1), serial: serial as u64 }, index: 0 }
    }

    /// The catalog's row of the same group.
    fn row(group: &Group) -> PlacementGroup {
        let slot = |(at, slot): (usize, &SlotState)| SlotRow {
            node: (slot.node != NOBODY).then(|| id(slot.node)),
            since: Epoch(1),
            previous: (slot.previous != NOBODY).then(|| id(slot.previous)),
            filled_to: slot.filled_to.checked_sub(1).map(segment_id),
            filling: group.filling & 1 << at != 0,
        };
        PlacementGroup {
            geometry: GeometryName::Wide,
            scheme: 0,
            epoch: Epoch(1),
            state: GroupState::Open,
            slots: group.slots.iter().enumerate().map(slot).collect(),
        }
    }

    #[test]
    fn counts_on_bits_are_those_of_the_catalogs_own_type() {
        let mut chance = Chance::new(5);
        for _ in 0..200 {
            let n = 88;
            let members: Vec<u32> = (0..80).collect();
            let mut group = Group::new(&members, n);
            let (here, believed): (Vec<bool>, Vec<bool>) =
                (0..300).map(|_| (chance.happens(0.7), chance.happens(0.9))).unzip();
            for slot in 0..n {
                if group.slots[slot].node != NOBODY && chance.happens(0.3) {
                    group.slots[slot].previous = 100 + slot as u32;
                    group.slots[slot].filled_to = chance.below(20);
                    put(&mut group.filling, slot, true);
                }
                let SlotState { node, previous, .. } = group.slots[slot];
                for (side, holder) in [(&mut group.holders, node), (&mut group.before, previous)] {
                    let is = |of: &[bool]| of.get(holder as usize).copied().unwrap_or(false);
                    put(&mut side.here, slot, is(&here));
                    put(&mut side.believed, slot, is(&believed));
                }
            }
            let (row, mut missed, mut set) = (row(&group), 0, SlotSet::default());
            for slot in (0..n).filter(|_| chance.happens(0.1)) {
                put(&mut missed, slot, true);
                set.insert(Slot(slot as u8));
            }
            let number = |node: NodeId| {
                (0..300_u32).find(|number| id(*number) == node).expect("a number") as usize
            };
            for segment in [0, 7, 19] {
                let survivors =
                    row.shards_with(&set, segment_id(segment), |node| believed[number(node)]);
                assert_eq!(group.survivors(segment, missed), survivors);
                let sought =
                    row.shards_sought(&set, segment_id(segment), |node| here[number(node)]);
                assert_eq!(count(group.within_reach(segment, missed)), sought);
            }
        }
    }

    #[test]
    fn segments_that_miss_shards_are_counted_once() {
        let mut group = Group::new(&[1, 2, 3], 3);
        group.segments = vec![Segment::default(); 2];
        group.miss(0, 0b11);
        group.miss(0, 0b100);
        group.miss(1, 0);
        assert_eq!(group.degraded, 1);
        group.fill(0, 0b1);
        assert_eq!((group.degraded, group.segments[0].missed), (1, 0b110));
        group.fill(0, 0b110);
        group.fill(0, 0b110);
        assert_eq!(group.degraded, 0);
        assert_eq!(slots_in(0b1010).collect::<Vec<_>>(), [1, 3]);
    }
}
