//! Streams and segments, as reads and repair ask for them.

use std::ops::Range;

use kv::{KeyPrefix, Span, Tx};
use seal::WrappedKey;
use types::{GroupId, NodeId, SegmentId, ShardId, Slot, StreamId};

use crate::holdings::Deltas;
use crate::records::{SegmentRow, StreamRow};
use crate::schema::{DEGRADED, DROPS, REFERENCES, SEGMENTS, SEGMENTS_OF_GROUP, STREAMS, WRAPS};
use crate::walk::Walk;
use crate::{Catalog, CatalogError};

impl Catalog {
    /// The row of a stream.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn stream(&self, id: StreamId) -> Result<Option<StreamRow>, CatalogError> {
        Ok(STREAMS.latest(&*self.kv, &id).await?)
    }

    /// The segments of a stream in `range`, in order.
    ///
    /// # Errors
    /// [`CatalogError::Corrupt`] if one is not there.
    pub async fn segments(
        &self,
        stream: StreamId,
        range: Range<u32>,
    ) -> Result<Vec<SegmentRow>, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let mut rows = Vec::with_capacity(range.len());
        for index in range {
            let id = SegmentId { stream, index };
            let row = SEGMENTS.get(&snap, &id).await?;
            rows.push(row.ok_or_else(|| CatalogError::Corrupt(format!("segment {id} is gone")))?);
        }
        Ok(rows)
    }

    /// A wrap of the stream's data key, from any manifest that refers to it. `None` if nothing does any more.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn wrap_of(&self, stream: StreamId) -> Result<Option<WrappedKey>, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let mut walk = Walk::new(&REFERENCES, &snap, KeyPrefix::of(&stream), REFERENCES_AT_ONCE);
        while let Some(references) = walk.next().await? {
            for ((_, manifest, _), ()) in references {
                // A deleted version loses its wraps before its references.
                if let Some(wrap) = WRAPS.get(&snap, &(manifest, stream)).await? {
                    return Ok(Some(wrap));
                }
            }
        }
        Ok(None)
    }

    /// One segment, if the catalog knows it.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn segment(&self, id: SegmentId) -> Result<Option<SegmentRow>, CatalogError> {
        Ok(SEGMENTS.latest(&*self.kv, &id).await?)
    }

    /// Up to `limit` segments of a group, in order, after `after`.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn segments_of_group(
        &self,
        group: GroupId,
        after: Option<SegmentId>,
        limit: usize,
    ) -> Result<Vec<SegmentId>, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let all = Span::of(&KeyPrefix::of(&group));
        let span = after.map_or(all.clone(), |segment| all.after_key(&(group, segment)));
        let rows = SEGMENTS_OF_GROUP.scan(&snap, span, limit).await?;
        Ok(rows.into_iter().map(|((_, segment), ())| segment).collect())
    }

    /// Up to `limit` segments that miss a shard, after `after`.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn degraded(
        &self,
        after: Option<(GroupId, SegmentId)>,
        limit: usize,
    ) -> Result<Vec<(GroupId, SegmentId)>, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let span = after.map_or(Span::all(), |key| Span::all().after_key(&key));
        let rows = DEGRADED.scan(&snap, span, limit).await?;
        Ok(rows.into_iter().map(|(key, ())| key).collect())
    }

    /// Writes down that `slots` of a segment have no shard. A segment that is gone meanwhile is nobody's loss.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn mark_missed(&self, id: SegmentId, slots: &[Slot]) -> Result<(), CatalogError> {
        self.change_missed(id, |row| {
            for slot in slots.iter().filter(|slot| usize::from(slot.0) < row.roots.len()) {
                row.missed.insert(*slot);
            }
        })
        .await
    }

    /// Writes down that slots of a segment of `group` have their shards again, on these nodes.
    ///
    /// Older orders to drop them, from when the slots were other nodes', no longer hold. If the segment went away while it was rebuilt, the
    /// nodes are told to drop what they have just stored.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn mark_filled(
        &self,
        group: GroupId,
        id: SegmentId,
        filled: &[(Slot, NodeId)],
    ) -> Result<(), CatalogError> {
        let now = self.now();
        kv::transact(&*self.kv, |tx| async move {
            let before = SEGMENTS.get_for_update(&tx, &id).await?;
            for (slot, node) in filled {
                let drop = (*node, ShardId { group, segment: id, slot: *slot });
                match &before {
                    Some(_) => DROPS.delete(&tx, &drop),
                    None => DROPS.put(&tx, &drop, &now),
                }
            }
            let Some(before) = before else { return Ok(()) };
            let mut row = before.clone();
            for (slot, _) in filled {
                row.missed.remove(*slot);
            }
            put_missed(&tx, id, &before, &row);
            Ok(())
        })
        .await
    }

    /// Changes which slots a segment misses.
    async fn change_missed(
        &self,
        id: SegmentId,
        change: impl Fn(&mut SegmentRow) + Send + Sync,
    ) -> Result<(), CatalogError> {
        let change = &change;
        kv::transact(&*self.kv, |tx| async move {
            let Some(before) = SEGMENTS.get_for_update(&tx, &id).await? else { return Ok(()) };
            let mut row = before.clone();
            change(&mut row);
            put_missed(&tx, id, &before, &row);
            Ok(())
        })
        .await
    }
}

/// Writes a segment whose missed slots changed, and keeps the degraded list in step.
fn put_missed(tx: &Tx, id: SegmentId, before: &SegmentRow, row: &SegmentRow) {
    if row.missed == before.missed {
        return;
    }
    let mut held = Deltas::default();
    held.missed(before, row);
    held.write(tx);
    SEGMENTS.put(tx, &id, row);
    if row.missed.is_empty() {
        DEGRADED.delete(tx, &(row.group, id));
    } else {
        DEGRADED.put(tx, &(row.group, id), &());
    }
}

/// References looked through at a time. Nearly always the first will do.
const REFERENCES_AT_ONCE: usize = 8;
