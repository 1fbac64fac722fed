//! Placement groups.

use serde::{Deserialize, Serialize};
use types::{Epoch, GeometryName, NodeId, SegmentId, Slot};

use super::SlotSet;

/// n node slots that many segments share.
///
/// Invariant: `slots.len() == geometry.n`, and no node fills two slots.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PlacementGroup {
    /// How its segments are cut.
    pub geometry: GeometryName,
    /// Which erasure code.
    pub scheme: u8,
    /// Raised by one each time a slot changes hands.
    pub epoch: Epoch,
    /// Whether it takes new segments.
    pub state: GroupState,
    /// Who holds which slot.
    pub slots: Vec<SlotRow>,
}

/// Whether a group takes new segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum GroupState {
    /// It does, while enough members are online.
    Open,
    /// It does not, ever again.
    Sealed,
}

/// One slot. While a newcomer is being filled, segments up to `filled_to` are with `node`, the others still with `previous`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SlotRow {
    /// Who fills it; `None` counts as missing.
    pub node: Option<NodeId>,
    /// The epoch in which `node` took it.
    pub since: Epoch,
    /// Who held it before, while the newcomer is being filled.
    pub previous: Option<NodeId>,
    /// The last segment the refill has dealt with, in segment order; `None` with `previous` set means none yet.
    pub filled_to: Option<SegmentId>,
    /// Whether a refill still runs.
    pub filling: bool,
}

impl PlacementGroup {
    /// The slot that `node` fills, if any.
    #[must_use]
    pub fn slot_of(&self, node: NodeId) -> Option<Slot> {
        let at = self.slots.iter().position(|slot| slot.node == Some(node))?;
        u8::try_from(at).ok().map(Slot)
    }

    /// How many of a segment's shards are on nodes of which `counts` is true: not missed, and kept by the holder of the slot or, where its
    /// refill has not come yet, by the one before it.
    #[must_use]
    pub fn shards_with(
        &self,
        missed: &SlotSet,
        segment: SegmentId,
        counts: impl Fn(NodeId) -> bool,
    ) -> usize {
        let slots = (0u8..).map(Slot).zip(&self.slots);
        let held = slots.filter(|(slot, row)| {
            !missed.contains(*slot) && row.keeper(segment).is_some_and(&counts)
        });
        held.count()
    }

    /// How many of a segment's shards there may be on nodes of which `counts` is true: not missed, and any holder will do. More than
    /// [`Self::shards_with`] where a segment was written to newcomers whose refill has not come to it.
    #[must_use]
    pub fn shards_sought(
        &self,
        missed: &SlotSet,
        segment: SegmentId,
        counts: impl Fn(NodeId) -> bool,
    ) -> usize {
        let slots = (0u8..).map(Slot).zip(&self.slots);
        let sought = slots
            .filter(|(slot, row)| !missed.contains(*slot) && row.holders(segment).any(&counts));
        sought.count()
    }
}

impl SlotRow {
    /// Who should have the slot's shard of `segment`, best first: the present holder, then, where its refill has not come yet, the previous one.
    pub fn holders(&self, segment: SegmentId) -> impl Iterator<Item = NodeId> {
        let behind = self.is_behind(segment);
        self.node.into_iter().chain(self.previous.filter(|_| behind))
    }

    /// Who certainly has the slot's shard of `segment`, if nothing is lost: the previous holder, where the refill has not come yet, else
    /// the present one.
    #[must_use]
    pub fn keeper(&self, segment: SegmentId) -> Option<NodeId> {
        if self.is_behind(segment) { self.previous } else { self.node }
    }

    /// Whether the slot's refill has not come to `segment` yet.
    #[must_use]
    pub fn is_behind(&self, segment: SegmentId) -> bool {
        self.filling && self.filled_to.is_none_or(|done| segment > done)
    }
}
