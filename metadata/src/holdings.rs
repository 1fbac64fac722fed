//! Holdings: how many bytes of shards each node holds, known without ever walking the segments.
//!
//! ```text
//! segment written · freed · shard missed · filled ─▶ held-delta (group, slot), in the change's own transaction
//!                                                        │ tally_held, every second
//!                                                        ▼
//!                             holding (group): bytes by slot ─ who fills the slot ─▶ bytes by node ─▶ outbox: Held, Dropped
//! ```
//!
//! A change names a group and never its nodes: that costs a few bytes however many slots the group has, and no look at the group. Deltas
//! are sums, so their order does not matter, and a row that was taken in is deleted in the transaction that takes it in.
//!
//! A slot's bytes are its holder's. While a newcomer is being filled, what the refill has dealt with is the newcomer's and the rest its
//! predecessor's. Nodes that were declared lost or disqualified hold nothing: nobody is paid for shards that count as gone.
//!
//! Invariant (checked in `tests/it/holdings.rs`): once all deltas are taken in, a slot's bytes are Σ shard lengths of the group's segments
//! that do not miss the slot.

use std::collections::{BTreeMap, BTreeSet};

use kv::{KeyPrefix, Tx};
use serde::{Deserialize, Serialize};
use types::geometry::{GEOMETRIES, Geometry};
use types::usage::{WorkEvent, WorkKind};
use types::{Epoch, GroupId, NodeId, SegmentId, Slot};

use crate::outbox::{self, Dispatch};
use crate::records::{NodeState, PlacementGroup, Rank, SegmentRow};
use crate::schema::{GROUPS, HELD_DELTAS, HOLDINGS, NODES, SEGMENTS, SEGMENTS_OF_GROUP, STANDINGS};
use crate::{Catalog, CatalogError};

/// Deltas taken in by one transaction: with as many groups of the widest geometry it stays below what one may write.
const STEP: usize = 100;
/// Groups looked at by one transaction, when all are.
const GROUPS_STEP: usize = 50;
/// Segments looked at when a refill notes how far it came; more than it ever deals with between two notes.
const REFILLED_MAX: usize = 1_000;

/// What a change did to the bytes that a group's slots hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeldDelta {
    /// The group.
    pub group: GroupId,
    /// Bytes that each of its slots holds more.
    pub all: i64,
    /// Bytes that single slots hold more, beside that.
    pub slots: Vec<(Slot, i64)>,
    /// How far a refill came.
    pub filled: Option<Filled>,
}

/// Bytes of a slot that the refill of its newcomer has dealt with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Filled {
    /// The slot.
    pub slot: Slot,
    /// Since which epoch the newcomer has it.
    pub since: Epoch,
    /// The bytes.
    pub bytes: u64,
}

/// What the slots of a group hold, as far as deltas were taken in, and what nodes were told to hold because of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Holding {
    /// Bytes in each slot, if none missed any.
    pub all: i64,
    /// Bytes that single slots hold more (less, as a rule).
    pub slots: Vec<(Slot, i64)>,
    /// Refills under way.
    pub filled: Vec<Filled>,
    /// Bytes by node, as billing was last told.
    pub told: Vec<(NodeId, u64)>,
}

/// Which nodes count as gone, as far as one transaction asked: the same few nodes fill the slots of many groups.
type Gone = BTreeMap<NodeId, bool>;

/// The changes of one transaction, by group.
#[derive(Default)]
pub(crate) struct Deltas(BTreeMap<GroupId, (i64, BTreeMap<Slot, i64>)>);

impl Deltas {
    /// A segment came.
    pub(crate) fn came(&mut self, row: &SegmentRow) {
        self.add(row, shard_len(row));
    }

    /// A segment went.
    pub(crate) fn went(&mut self, row: &SegmentRow) {
        self.add(row, -shard_len(row));
    }

    /// A segment misses other slots than before.
    pub(crate) fn missed(&mut self, before: &SegmentRow, after: &SegmentRow) {
        let (_, slots) = self.0.entry(after.group).or_default();
        for slot in before.missed.iter().filter(|slot| !after.missed.contains(*slot)) {
            *slots.entry(slot).or_default() += shard_len(after);
        }
        for slot in after.missed.iter().filter(|slot| !before.missed.contains(*slot)) {
            *slots.entry(slot).or_default() -= shard_len(after);
        }
    }

    fn add(&mut self, row: &SegmentRow, bytes: i64) {
        let (all, slots) = self.0.entry(row.group).or_default();
        *all += bytes;
        for slot in row.missed.iter() {
            *slots.entry(slot).or_default() -= bytes;
        }
    }

    /// Writes them, a row for each group.
    pub(crate) fn write(self, tx: &Tx) {
        for (group, (all, slots)) in self.0 {
            let slots: Vec<_> = slots.into_iter().filter(|(_, bytes)| *bytes != 0).collect();
            if all != 0 || !slots.is_empty() {
                put(tx, &HeldDelta { group, all, slots, filled: None });
            }
        }
    }
}

impl Holding {
    fn take_in(&mut self, delta: &HeldDelta) {
        self.all += delta.all;
        for (slot, bytes) in &delta.slots {
            match self.slots.iter_mut().find(|(known, _)| known == slot) {
                Some((_, sum)) => *sum += bytes,
                None => self.slots.push((*slot, *bytes)),
            }
        }
        self.slots.retain(|(_, bytes)| *bytes != 0);
        if let Some(more) = delta.filled {
            let same =
                |filled: &&mut Filled| (filled.slot, filled.since) == (more.slot, more.since);
            match self.filled.iter_mut().find(same) {
                Some(filled) => filled.bytes = filled.bytes.saturating_add(more.bytes),
                None => self.filled.push(more),
            }
        }
    }

    /// The bytes that lie in a slot.
    #[must_use]
    pub fn in_slot(&self, slot: Slot) -> u64 {
        let beside =
            self.slots.iter().find(|(known, _)| *known == slot).map_or(0, |(_, more)| *more);
        // Below zero only while a delta that came later was taken in first.
        u64::try_from(self.all.saturating_add(beside)).unwrap_or(0)
    }
}

impl Catalog {
    /// Takes in what changed since the last time, and tells billing what nodes hold because of it. Whether there may be more.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn tally_held(&self) -> Result<bool, CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            let deltas = HELD_DELTAS.scan(&tx, KeyPrefix::new(), STEP).await?;
            let mut groups: BTreeMap<GroupId, Vec<&HeldDelta>> = BTreeMap::new();
            for (at, delta) in &deltas {
                HELD_DELTAS.delete(&tx, at);
                groups.entry(delta.group).or_default().push(delta);
            }
            let mut gone = Gone::new();
            for (id, deltas) in groups {
                self.tally_group(&tx, id, &deltas, &mut gone).await?;
            }
            Ok(deltas.len() == STEP)
        })
        .await
    }

    /// Looks at every group for slots that changed hands since the last time, and tells billing.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn tally_groups(&self) -> Result<(), CatalogError> {
        let ids: Vec<GroupId> = self.groups().await?.into_iter().map(|(id, _)| id).collect();
        for some in ids.chunks(GROUPS_STEP) {
            kv::transact(&*self.kv, |tx| async move {
                let mut gone = Gone::new();
                for id in some {
                    self.tally_group(&tx, *id, &[], &mut gone).await?;
                }
                Ok::<_, CatalogError>(())
            })
            .await?;
        }
        Ok(())
    }

    /// What is known of a group.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn holding(&self, id: GroupId) -> Result<Holding, CatalogError> {
        Ok(HOLDINGS.get(&self.kv.snapshot().await?, &id).await?.unwrap_or_default())
    }

    async fn tally_group(
        &self,
        tx: &Tx,
        id: GroupId,
        deltas: &[&HeldDelta],
        gone: &mut Gone,
    ) -> Result<(), CatalogError> {
        let before = HOLDINGS.get_for_update(tx, &id).await?.unwrap_or_default();
        let mut holding = before.clone();
        deltas.iter().for_each(|delta| holding.take_in(delta));
        let told = match GROUPS.get_shared(tx, &id).await? {
            Some(group) => {
                let is_current = |filled: &Filled| {
                    let row = group.slots.get(usize::from(filled.slot.0));
                    row.is_some_and(|row| row.filling && row.since == filled.since)
                };
                holding.filled.retain(is_current);
                self.by_node(tx, &group, &holding, gone).await?
            }
            None => BTreeMap::new(),
        };
        self.tell_held(tx, &holding.told, &told);
        holding.told = told.into_iter().filter(|(_, bytes)| *bytes > 0).collect();
        if holding != before {
            HOLDINGS.put(tx, &id, &holding);
        }
        Ok(())
    }

    /// Who holds how much of a group.
    async fn by_node(
        &self,
        tx: &Tx,
        group: &PlacementGroup,
        holding: &Holding,
        gone: &mut Gone,
    ) -> Result<BTreeMap<NodeId, u64>, CatalogError> {
        let mut sums: BTreeMap<NodeId, u64> = BTreeMap::new();
        for (slot, row) in (0u8..).map(Slot).zip(&group.slots) {
            let bytes = holding.in_slot(slot);
            let filled = holding.filled.iter().find(|filled| filled.slot == slot);
            let filled = filled.map_or(0, |filled| filled.bytes).min(bytes);
            let present = if row.filling { filled } else { bytes };
            let previous = row.previous.filter(|_| row.filling);
            for (node, bytes) in [(row.node, present), (previous, bytes - present)] {
                let Some(node) = node else { continue };
                if !self.is_gone(tx, node, gone).await? {
                    *sums.entry(node).or_default() += bytes;
                }
            }
        }
        Ok(sums)
    }

    /// Whether what lies on a node counts as gone.
    async fn is_gone(&self, tx: &Tx, id: NodeId, known: &mut Gone) -> Result<bool, CatalogError> {
        if let Some(gone) = known.get(&id) {
            return Ok(*gone);
        }
        let node = NODES.get(tx, &id).await?;
        let lost = node.is_some_and(|node| matches!(node.state, NodeState::Lost { .. }));
        let rank = STANDINGS.get(tx, &id).await?.map(|standing| standing.rank);
        let gone = lost || rank == Some(Rank::Disqualified);
        known.insert(id, gone);
        Ok(gone)
    }

    fn tell_held(&self, tx: &Tx, before: &[(NodeId, u64)], after: &BTreeMap<NodeId, u64>) {
        let at = self.now();
        let known: BTreeMap<NodeId, u64> = before.iter().copied().collect();
        let mut work = Vec::new();
        let nodes: BTreeSet<_> = known.keys().chain(after.keys()).collect();
        for node in nodes {
            let (was, is) = (known.get(node).copied().unwrap_or(0), after.get(node).copied());
            let is = is.unwrap_or(0);
            let kind = match is.checked_sub(was) {
                Some(0) => continue,
                Some(bytes) => WorkKind::Held { bytes },
                None => WorkKind::Dropped { bytes: was - is },
            };
            work.push(WorkEvent { at, node: *node, kind });
        }
        if !work.is_empty() {
            outbox::put(tx, at, &Dispatch { usage: Vec::new(), work });
        }
    }

    /// Tells how many bytes the refill of a slot has dealt with between two of its notes.
    pub(crate) async fn tell_filled(
        &self,
        tx: &Tx,
        id: GroupId,
        slot: Slot,
        since: Epoch,
        (after, until): (Option<SegmentId>, Option<SegmentId>),
    ) -> Result<(), CatalogError> {
        let Some(until) = until.filter(|until| after.is_none_or(|after| after < *until)) else {
            return Ok(());
        };
        let all = kv::Span::of(&KeyPrefix::of(&id)).before_key(&(id, until));
        let span = after.map_or(all.clone(), |after| all.after_key(&(id, after)));
        let rows = SEGMENTS_OF_GROUP.scan(tx, span, REFILLED_MAX).await?;
        let mut bytes = 0_i64;
        for segment in rows.into_iter().map(|((_, segment), ())| segment).chain([until]) {
            let row = SEGMENTS.get(tx, &segment).await?;
            let row = row.filter(|row| row.group == id && !row.missed.contains(slot));
            bytes += row.as_ref().map_or(0, shard_len);
        }
        if let Ok(bytes @ 1..) = u64::try_from(bytes) {
            let filled = Some(Filled { slot, since, bytes });
            put(tx, &HeldDelta { group: id, all: 0, slots: Vec::new(), filled });
        }
        Ok(())
    }
}

/// Bytes of each shard of a segment.
fn shard_len(row: &SegmentRow) -> i64 {
    let of_width = |geometry: &&Geometry| geometry.n == row.roots.len();
    let bytes = GEOMETRIES.iter().find(of_width).map_or(0, |geometry| geometry.shard_len(row.len));
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Writes one delta, under a key that no other has.
fn put(tx: &Tx, delta: &HeldDelta) {
    HELD_DELTAS.put(tx, &types::entropy::random_bytes(), delta);
}
