//! Members: nodes that stay away too long are declared lost, and their slots go to others.

use metadata::records::{Node, NodeState};
use types::{GroupId, NodeId, Slot};

use super::{Upkeep, UpkeepError};

impl Upkeep {
    /// Declares nodes lost that have been away too long, and gives slots of lost nodes to spare ones. Without a spare node a slot
    /// waits, and its segments are degraded.
    pub(super) async fn replace_lost(&self) -> Result<(), UpkeepError> {
        for (id, node) in self.catalog.nodes().await? {
            let lost = match node.state {
                NodeState::Lost { .. } => true,
                NodeState::Active => self.away_too_long(id, &node).await?,
            };
            if lost {
                self.replace(id).await?;
            }
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

    /// Gives each slot of a lost node to a spare one, if there is one.
    async fn replace(&self, lost: NodeId) -> Result<(), UpkeepError> {
        let mut changed = false;
        for (group, slot) in self.catalog.groups_of(lost).await? {
            changed |= self.replace_in(group, slot, lost).await?;
        }
        if changed && let Err(error) = self.placer.refresh().await {
            tracing::warn!(%error, "placement could not learn of new members");
        }
        Ok(())
    }

    async fn replace_in(&self, id: GroupId, slot: Slot, lost: NodeId) -> Result<bool, UpkeepError> {
        let group = self.catalog.group(id).await?;
        let now = self.clock.now();
        let spare = self
            .nodes
            .members()
            .into_iter()
            .filter(|member| member.takes_shards(now) && group.slot_of(member.id()).is_none())
            .max_by_key(|member| member.status().free);
        let Some(spare) = spare else { return Ok(false) };
        self.catalog.replace_member(id, slot, spare.id()).await?;
        tracing::info!(group = %id, %slot, %lost, newcomer = %spare.id(), "slot handed over");
        Ok(true)
    }
}
