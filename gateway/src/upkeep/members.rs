//! Members: nodes that stay away too long are declared lost. Slots of lost, disqualified and leaving nodes go to others.
//!
//! Handing a slot over moves no data: it says where the shards are to be, and [`super::repair`] brings them there by risk. Until it has,
//! whoever held the slot before is asked too, so that a leaving node serves to its last shard.

use std::collections::BTreeSet;

use metadata::records::{Node, NodeState, Rank};
use types::entropy::random_below;
use types::{GroupId, NodeId, Slot};

use super::{Upkeep, UpkeepError};
use crate::compute;
use crate::nodes::placement::{Candidate, spare};
use crate::put::place::Network;

/// Candidates looked at for one slot: choosing the best of many more would take longer than it is worth.
const CANDIDATES_MAX: usize = 64;

impl Upkeep {
    /// Declares nodes lost that have been away too long, and gives slots to spare nodes that nobody should hold any more, or nobody holds.
    /// Without a spare node a slot waits, and its segments are degraded.
    pub(super) async fn hand_over(&self) -> Result<(), UpkeepError> {
        let mut gone = BTreeSet::new();
        for (id, node) in self.catalog.nodes().await? {
            let away = !matches!(node.state, NodeState::Lost { .. })
                && self.away_too_long(id, &node).await?;
            let goes = away
                || node.state != NodeState::Active
                || self.nodes.rank(id) == Rank::Disqualified;
            if goes {
                gone.insert(id);
            }
        }
        let groups = self.catalog.groups().await?;
        let slots = |(id, group): &(GroupId, metadata::PlacementGroup)| {
            let (id, slots) = (*id, (0u8..).map(Slot).zip(group.slots.clone()));
            let free = |holder: Option<NodeId>| holder.is_none_or(|node| gone.contains(&node));
            let free = slots.filter(|(_, row)| free(row.node)).map(|(slot, _)| (id, slot));
            free.collect::<Vec<_>>()
        };
        let free: Vec<(GroupId, Slot)> = groups.iter().flat_map(slots).collect();
        if free.is_empty() {
            return Ok(());
        }
        let network = self.placer.network().await?;
        let mut changed = false;
        for (group, slot) in free {
            changed |= self.hand_over_slot(group, slot, &network).await?;
        }
        if changed && let Err(error) = self.placer.refresh().await {
            tracing::warn!(%error, "placement could not learn of new members");
        }
        Ok(())
    }

    async fn away_too_long(&self, id: NodeId, node: &Node) -> Result<bool, UpkeepError> {
        if self.nodes.member(id).is_some() {
            return Ok(false);
        }
        let last = self.nodes.departed(id).unwrap_or(node.last_seen).max(self.started);
        if self.clock.now().since(last) < self.settings.node_lost_after {
            return Ok(false);
        }
        tracing::warn!(node = %id, name = %node.name, "node declared lost: it has been offline too long");
        self.catalog.node_lost(id).await?;
        Ok(true)
    }

    /// Gives a slot to a spare node, if there is one.
    async fn hand_over_slot(
        &self,
        id: GroupId,
        slot: Slot,
        network: &Network,
    ) -> Result<bool, UpkeepError> {
        let group = self.catalog.group(id).await?;
        let stay = group.slots.iter().enumerate().filter(|(at, _)| *at != usize::from(slot.0));
        let members: Vec<Candidate> =
            stay.filter_map(|(_, row)| network.describe(row.node?)).collect();
        let here = |node: &Candidate| group.slot_of(node.id).is_none();
        let mut candidates: Vec<&Candidate> =
            network.candidates().filter(|node| here(node)).collect();
        while candidates.len() > CANDIDATES_MAX {
            let at = usize::try_from(random_below(candidates.len() as u64)).unwrap_or(0);
            candidates.swap_remove(at);
        }
        let candidates: Vec<Candidate> = candidates.into_iter().cloned().collect();
        let (geometry, vetted) = (group.geometry.geometry(), network.vetted());
        // Up to half a millisecond of arithmetic for each candidate.
        let newcomer =
            compute::run(move || spare(&geometry, &members, &candidates, vetted).cloned());
        let Some(newcomer) = newcomer.await else { return Ok(false) };
        self.catalog.replace_member(id, slot, newcomer.id).await?;
        let before = group.slots.get(usize::from(slot.0)).and_then(|row| row.node);
        let before = before.map_or_else(|| "nobody".to_owned(), |node| node.to_string());
        tracing::info!(group = %id, %slot, before, newcomer = %newcomer.id, "slot handed over");
        Ok(true)
    }
}
