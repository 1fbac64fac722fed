//! Placement groups: forming, sealing, and handing a slot from one node to another.

use std::collections::BTreeSet;

use types::entropy::random_u64;
use types::{Epoch, GeometryName, GroupId, NodeId, SegmentId, Slot};

use crate::records::{GroupState, PlacementGroup, SlotRow};
use crate::schema::{GROUPS, GROUPS_OF_NODE};
use crate::{Catalog, CatalogError};

impl Catalog {
    /// Forms a group of `members` (slot by slot; `None` counts as missing).
    ///
    /// # Errors
    /// [`CatalogError::Exists`] if a node is named twice; [`CatalogError::Corrupt`] if there is not one member for each slot of the geometry.
    pub async fn create_group(
        &self,
        geometry: GeometryName,
        scheme: u8,
        members: &[Option<NodeId>],
    ) -> Result<(GroupId, PlacementGroup), CatalogError> {
        if members.len() != geometry.geometry().n {
            let count = members.len();
            return Err(CatalogError::Corrupt(format!(
                "{count} members for a group of {geometry}"
            )));
        }
        let nodes: Vec<NodeId> = members.iter().flatten().copied().collect();
        if nodes.iter().collect::<BTreeSet<_>>().len() != nodes.len() {
            return Err(CatalogError::Exists(SLOT_OF_NODE));
        }
        // Random, so that groups spread over the key space and a rolled-back catalog never gives one id to two groups.
        let id = GroupId(random_u64());
        let slots = members.iter().map(|node| SlotRow {
            node: *node,
            since: Epoch(1),
            ..SlotRow::default()
        });
        let group = &PlacementGroup {
            geometry,
            scheme,
            epoch: Epoch(1),
            state: GroupState::Open,
            slots: slots.collect(),
        };
        kv::transact(&*self.kv, |tx| async move {
            if GROUPS.get_for_update(&tx, &id).await?.is_some() {
                return Err(CatalogError::Exists("group"));
            }
            GROUPS.put(&tx, &id, group);
            for (slot, node) in (0u8..).map(Slot).zip(members) {
                if let Some(node) = node {
                    GROUPS_OF_NODE.put(&tx, &(*node, id), &slot);
                }
            }
            Ok((id, group.clone()))
        })
        .await
    }

    /// One group.
    ///
    /// # Errors
    /// [`CatalogError::Missing`].
    pub async fn group(&self, id: GroupId) -> Result<PlacementGroup, CatalogError> {
        GROUPS
            .get(&self.kv.snapshot().await?, &id)
            .await?
            .ok_or(CatalogError::Missing("placement group"))
    }

    /// Every group.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn groups(&self) -> Result<Vec<(GroupId, PlacementGroup)>, CatalogError> {
        self.all(&GROUPS).await
    }

    /// The groups in which a node fills a slot.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn groups_of(&self, node: NodeId) -> Result<Vec<(GroupId, Slot)>, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let rows = self.under(&snap, &GROUPS_OF_NODE, &node).await?;
        Ok(rows.into_iter().map(|((_, group), slot)| (group, slot)).collect())
    }

    /// Closes a group for new segments.
    ///
    /// # Errors
    /// [`CatalogError::Missing`].
    pub async fn seal_group(&self, id: GroupId) -> Result<PlacementGroup, CatalogError> {
        self.change_group(id, |group| {
            group.state = GroupState::Sealed;
            Ok(())
        })
        .await
    }

    /// Hands a slot to `newcomer`. Segments are still with the previous holder until the refill has come past them.
    ///
    /// # Errors
    /// [`CatalogError::Missing`]; [`CatalogError::Exists`] if the newcomer fills a slot of the group already.
    pub async fn replace_member(
        &self,
        id: GroupId,
        slot: Slot,
        newcomer: NodeId,
    ) -> Result<PlacementGroup, CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            let mut group = GROUPS
                .get_for_update(&tx, &id)
                .await?
                .ok_or(CatalogError::Missing("placement group"))?;
            if group.slot_of(newcomer).is_some() {
                return Err(CatalogError::Exists(SLOT_OF_NODE));
            }
            group.epoch = Epoch(group.epoch.0 + 1);
            let epoch = group.epoch;
            let row =
                group.slots.get_mut(usize::from(slot.0)).ok_or(CatalogError::Missing("slot"))?;
            let previous = row.node.or(row.previous);
            *row = SlotRow {
                node: Some(newcomer),
                since: epoch,
                previous,
                filled_to: None,
                filling: true,
            };
            // It may fill another slot of the group by now.
            if let Some(previous) = previous.filter(|node| group.slot_of(*node).is_none()) {
                GROUPS_OF_NODE.delete(&tx, &(previous, id));
            }
            GROUPS_OF_NODE.put(&tx, &(newcomer, id), &slot);
            GROUPS.put(&tx, &id, &group);
            Ok(group)
        })
        .await
    }

    /// Notes how far the refill of a slot has come; `done` ends it and forgets the previous holder. A refill is known by the epoch in which its
    /// newcomer took the slot (`since`): one that the next newcomer has overtaken changes nothing, and gets `None`.
    ///
    /// # Errors
    /// [`CatalogError::Missing`].
    pub async fn slot_filled(
        &self,
        id: GroupId,
        slot: Slot,
        since: Epoch,
        filled_to: Option<SegmentId>,
        done: bool,
    ) -> Result<Option<PlacementGroup>, CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            let mut group = GROUPS
                .get_for_update(&tx, &id)
                .await?
                .ok_or(CatalogError::Missing("placement group"))?;
            let row =
                group.slots.get_mut(usize::from(slot.0)).ok_or(CatalogError::Missing("slot"))?;
            if row.since != since {
                return Ok(None);
            }
            if done {
                *row = SlotRow { node: row.node, since, ..SlotRow::default() };
            } else if row.filling {
                let before = row.filled_to;
                row.filled_to = before.max(filled_to);
                let step = (before, row.filled_to);
                self.tell_filled(&tx, id, slot, since, step).await?;
            }
            GROUPS.put(&tx, &id, &group);
            Ok(Some(group))
        })
        .await
    }

    async fn change_group(
        &self,
        id: GroupId,
        change: impl Fn(&mut PlacementGroup) -> Result<(), CatalogError> + Send + Sync,
    ) -> Result<PlacementGroup, CatalogError> {
        let change = &change;
        kv::transact(&*self.kv, |tx| async move {
            let mut group = GROUPS
                .get_for_update(&tx, &id)
                .await?
                .ok_or(CatalogError::Missing("placement group"))?;
            change(&mut group)?;
            GROUPS.put(&tx, &id, &group);
            Ok(group)
        })
        .await
    }
}

/// What a node may have one of.
const SLOT_OF_NODE: &str = "the node's slot in this group";
