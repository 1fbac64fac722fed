//! Reconcile: a node's inventory against the catalog, in both directions.
//!
//! What the catalog expects and the node lacks is left to repair. What the node has and the catalog does not know is garbage only if the session
//! that wrote it has ended in a committed transaction: a session that is alive may still commit it, and one that the catalog has never seen means
//! that the catalog was rolled back, which the operator must hear of.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use metadata::records::{PlacementGroup, SessionState};
use protocol::message::{InventoryAnswer, InventoryEntry, InventoryRequest};
use types::{GroupId, NodeId, SegmentId, ShardId, Slot};

use super::{Upkeep, UpkeepError};
use crate::nodes::Member;

/// Shards asked of a node at a time.
const PAGE: u32 = 1000;
/// A shard of a stream younger than this may still be on its way to the node.
const FRESH: Duration = Duration::from_secs(60);

const _: () = assert!(PAGE <= protocol::limits::INVENTORY_MAX);

/// What the catalog says of a shard on a node.
#[derive(PartialEq, Eq)]
enum Standing {
    /// It belongs there.
    Wanted,
    /// Its segment is known, and its slot is another node's.
    Elsewhere,
    /// Its segment is not known.
    Unknown,
}

/// What one comparison found.
#[derive(Default)]
struct Found {
    missing: usize,
    garbage: Vec<ShardId>,
    unknown_sessions: BTreeSet<u64>,
}

impl Upkeep {
    /// Compares everything a node should have with what it has.
    pub(super) async fn reconcile(&self, member: &Arc<Member>) -> Result<(), UpkeepError> {
        let node = member.id();
        let mut found = Found::default();
        let mut groups: BTreeSet<GroupId> = self.groups_on(member).await?;
        groups.extend(self.catalog.groups_of(node).await?.into_iter().map(|(group, _)| group));
        for group in groups {
            self.reconcile_group(member, group, &mut found).await?;
        }
        if !found.unknown_sessions.is_empty() {
            tracing::error!(
                %node,
                sessions = found.unknown_sessions.len(),
                "a node holds shards of sessions the catalog never saw: was an old catalog restored? They are kept",
            );
        }
        if found.missing > 0 || !found.garbage.is_empty() {
            tracing::info!(%node, missing = found.missing, garbage = found.garbage.len(), "reconciled");
        }
        if found.missing > 0 {
            self.nodes.lacks(node, found.missing as u64);
        }
        self.catalog.order_drops(node, &found.garbage).await?;
        Ok(())
    }

    /// The groups of which a node has shards.
    async fn groups_on(&self, member: &Member) -> Result<BTreeSet<GroupId>, UpkeepError> {
        let mut groups = BTreeSet::new();
        let mut from = GroupId(0);
        loop {
            let request = InventoryRequest::Fingerprint { from, to: None, limit: PAGE };
            let InventoryAnswer::Fingerprint { groups: page, more } =
                member.client().inventory(&request).await?
            else {
                return Ok(groups);
            };
            groups.extend(page.iter().map(|group| group.group));
            match page.last() {
                Some(last) if more && last.group.0 < u64::MAX => from = GroupId(last.group.0 + 1),
                _ => return Ok(groups),
            }
        }
    }

    /// Compares one group. Both sides are walked in the order of segments; the node's page is read first, so that what it lacks was
    /// expected before it was asked.
    async fn reconcile_group(
        &self,
        member: &Member,
        group: GroupId,
        found: &mut Found,
    ) -> Result<(), UpkeepError> {
        let members = self.catalog.group(group).await.ok();
        let slot = members.as_ref().and_then(|members| members.slot_of(member.id()));
        let mut after: Option<ShardId> = None;
        let mut walked: Option<SegmentId> = None;
        loop {
            let request = InventoryRequest::List { group: Some(group), after, limit: PAGE };
            let InventoryAnswer::List { entries: shards, more } =
                member.client().inventory(&request).await?
            else {
                return Ok(());
            };
            for entry in &shards {
                if self.standing(entry, members.as_ref(), member.id()).await? != Standing::Wanted {
                    self.judge(entry, member.id(), found).await?;
                }
            }
            let end = shards.last().map(|entry| entry.shard).filter(|_| more);
            if let (Some(slot), Some(members)) = (slot, &members) {
                let present: BTreeSet<SegmentId> = shards
                    .iter()
                    .filter(|entry| entry.shard.slot == slot)
                    .map(|entry| entry.shard.segment)
                    .collect();
                let upto = end.map(|shard| shard.segment);
                walked =
                    self.find_missing(group, members, slot, walked, upto, &present, found).await?;
            }
            match end {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }

    /// What the catalog says of a shard on a node.
    async fn standing(
        &self,
        entry: &InventoryEntry,
        members: Option<&PlacementGroup>,
        node: NodeId,
    ) -> Result<Standing, UpkeepError> {
        let ShardId { group, segment, slot } = entry.shard;
        let Some(row) = self.catalog.segment(segment).await?.filter(|row| row.group == group)
        else {
            return Ok(Standing::Unknown);
        };
        let holds = members
            .and_then(|members| members.slots.get(usize::from(slot.0)))
            .is_some_and(|holders| holders.holders(segment).any(|holder| holder == node));
        if !holds {
            return Ok(Standing::Elsewhere);
        }
        if row.roots.get(usize::from(slot.0)) != Some(&entry.root) {
            // Wrong bytes under the right name: repair replaces them.
            self.catalog.mark_missed(segment, &[slot]).await?;
        }
        Ok(Standing::Wanted)
    }

    /// Decides about a shard that did not look wanted. The session is read first and the shard's standing once more after it: a
    /// writer may have committed it, or a slot changed hands, since the first look.
    async fn judge(
        &self,
        entry: &InventoryEntry,
        node: NodeId,
        found: &mut Found,
    ) -> Result<(), UpkeepError> {
        let id = entry.shard.segment.stream.session;
        let session = self.catalog.session(id).await?;
        let members = self.catalog.group(entry.shard.group).await.ok();
        match (
            self.standing(entry, members.as_ref(), node).await?,
            session.map(|session| session.state),
        ) {
            // A writer that is alive may still commit it.
            (Standing::Wanted, _) | (Standing::Unknown, Some(SessionState::Leased { .. })) => {}
            (Standing::Elsewhere, _) | (Standing::Unknown, Some(SessionState::Ended { .. })) => {
                found.garbage.push(entry.shard);
            }
            (Standing::Unknown, None) => {
                found.unknown_sessions.insert(id.0);
            }
        }
        Ok(())
    }

    /// Notes the segments up to `upto` whose shard the node should have and lacks; how far it went.
    #[expect(clippy::too_many_arguments, reason = "one step of a merge of two walks")]
    async fn find_missing(
        &self,
        group: GroupId,
        members: &PlacementGroup,
        slot: Slot,
        mut after: Option<SegmentId>,
        upto: Option<SegmentId>,
        present: &BTreeSet<SegmentId>,
        found: &mut Found,
    ) -> Result<Option<SegmentId>, UpkeepError> {
        loop {
            let page = self.catalog.segments_of_group(group, after, PAGE as usize).await?;
            for id in &page {
                if upto.is_some_and(|upto| *id > upto) {
                    return Ok(after);
                }
                after = Some(*id);
                if !present.contains(id) && self.should_have(*id, members, slot).await? {
                    found.missing += 1;
                    self.catalog.mark_missed(*id, &[slot]).await?;
                }
            }
            if page.len() < PAGE as usize {
                return Ok(after);
            }
        }
    }

    /// Whether a shard that is not there is missing: not known to be, not still being filled, not still on its way.
    async fn should_have(
        &self,
        id: SegmentId,
        members: &PlacementGroup,
        slot: Slot,
    ) -> Result<bool, UpkeepError> {
        let filling = members
            .slots
            .get(usize::from(slot.0))
            .is_some_and(|row| row.filling && row.filled_to.is_none_or(|done| id > done));
        let Some(row) =
            self.catalog.segment(id).await?.filter(|row| !row.missed.contains(slot) && !filling)
        else {
            return Ok(false);
        };
        drop(row);
        let stream = self.catalog.stream(id.stream).await?;
        let own = id.stream.session == self.session.id();
        Ok(stream.is_some_and(|stream| !own || self.clock.now().since(stream.created) > FRESH))
    }
}
