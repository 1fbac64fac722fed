//! Repair: a missing shard is computed from k others and stored where it belongs.
//!
//! Two walks share the work. *Repair* takes the segments that the catalog lists as degraded. *Refill* fills a slot that was handed to a
//! newcomer, segment by segment, and notes how far it has come, so that it goes on there after a restart.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use metadata::records::{SegmentRow, StreamRow};
use protocol::NodeError;
use protocol::message::StoreRequest;
use seal::{CHUNK, Label};
use tokio::sync::mpsc;
use types::{GroupId, MIB, NodeId, SegmentId, ShardId, Slot};

use super::{Upkeep, UpkeepError};
use crate::compute;
use crate::get::gather::{Sources, gather_rows};
use crate::get::locate::Segment;
use crate::metering::Purpose;
use crate::nodes::Member;

/// Segments repaired at a time.
const AT_ONCE: usize = 2;
/// Segments asked of the catalog at a time.
const PAGE: usize = 100;
/// Data gathered at a time, for one segment.
const WINDOW: u64 = 4 * MIB;
/// Batches that may wait for a node to take them.
const QUEUE: usize = 2;

/// A slot to be filled, and the connected node that is to hold it.
type TargetSlot = (Slot, Arc<Member>);

impl Upkeep {
    /// One walk over all degraded segments. What cannot be repaired now (its node is away) stays listed.
    pub(super) async fn repair(&self) -> Result<(), UpkeepError> {
        let mut after = None;
        loop {
            let page = self.catalog.degraded(after, PAGE).await?;
            let Some(last) = page.last().copied() else { return Ok(()) };
            stream::iter(&page)
                .for_each_concurrent(AT_ONCE, |(group, id)| async move {
                    if let Err(error) = self.repair_segment(*group, *id).await {
                        tracing::info!(segment = %id, %error, "a segment could not be repaired yet");
                    }
                })
                .await;
            if page.len() < PAGE {
                return Ok(());
            }
            after = Some(last);
        }
    }

    async fn repair_segment(&self, group: GroupId, id: SegmentId) -> Result<(), UpkeepError> {
        let (Some(row), Some(stream)) =
            (self.catalog.segment(id).await?, self.catalog.stream(id.stream).await?)
        else {
            return Ok(());
        };
        let members = self.catalog.group(group).await?;
        let now = self.clock.now();
        let targets: Vec<TargetSlot> = row
            .missed
            .iter()
            .filter_map(|slot| {
                let node = members.slots.get(usize::from(slot.0))?.node?;
                Some((slot, self.nodes.member(node).filter(|member| member.takes_shards(now))?))
            })
            .collect();
        if targets.is_empty() {
            return Ok(());
        }
        let missed: Vec<Slot> = row.missed.iter().collect();
        let filled = self.rebuild(id, &row, &stream, targets, &missed).await?;
        self.catalog.mark_filled(group, id, &filled).await?;
        Ok(())
    }

    /// Goes on filling slots that were handed to newcomers.
    pub(super) async fn refill(&self) -> Result<(), UpkeepError> {
        for (id, group) in self.catalog.groups().await? {
            for (slot, row) in (0u8..).map(Slot).zip(&group.slots) {
                let member =
                    row.node.filter(|_| row.filling).and_then(|node| self.nodes.member(node));
                if let Some(member) = member {
                    self.refill_slot(id, slot, row.filled_to, &member).await?;
                }
            }
        }
        Ok(())
    }

    async fn refill_slot(
        &self,
        group: GroupId,
        slot: Slot,
        mut after: Option<SegmentId>,
        member: &Arc<Member>,
    ) -> Result<(), UpkeepError> {
        loop {
            let page = self.catalog.segments_of_group(group, after, PAGE).await?;
            for id in &page {
                let (Some(row), Some(stream)) =
                    (self.catalog.segment(*id).await?, self.catalog.stream(id.stream).await?)
                else {
                    continue;
                };
                let targets = vec![(slot, Arc::clone(member))];
                let filled = match self.rebuild(*id, &row, &stream, targets, &[slot]).await {
                    Ok(filled) => filled,
                    // A segment that cannot be read now must not keep all others from the newcomer.
                    Err(UpkeepError::Read(error)) => {
                        tracing::warn!(segment = %id, %error, "a segment cannot be rebuilt yet");
                        Vec::new()
                    }
                    Err(error) => return Err(error),
                };
                if filled.iter().any(|(filled, _)| *filled == slot) {
                    self.catalog.mark_filled(group, *id, &filled).await?;
                } else {
                    self.catalog.mark_missed(*id, &[slot]).await?;
                }
            }
            after = page.last().copied().or(after);
            let done = page.len() < PAGE;
            self.catalog.slot_filled(group, slot, after, done).await?;
            if done {
                tracing::info!(%group, %slot, node = %member.id(), "slot filled");
                return Ok(());
            }
        }
    }

    /// Computes the shards of `targets` and stores them; which of them are on disk now, and where.
    async fn rebuild(
        &self,
        id: SegmentId,
        row: &SegmentRow,
        stream: &StreamRow,
        targets: Vec<TargetSlot>,
        without: &[Slot],
    ) -> Result<Vec<(Slot, NodeId)>, UpkeepError> {
        let segment = Arc::new(Segment::load(&self.catalog, id, stream).await?);
        let Some(key) = self.catalog.wrap_of(id.stream).await? else { return Ok(Vec::new()) };
        let label = |slot| Label {
            segment: id,
            group: row.group,
            epoch: segment.group.epoch,
            geometry: stream.geometry,
            scheme: segment.group.scheme,
            code_index: segment.rotation.code_index(slot) as u8,
            segment_len: row.len,
            plain_offset: u64::from(id.index) * crate::put::SEGMENT_PLAIN,
            plain_len: Some(stream.len),
            key: key.clone(),
            bucket: stream.bucket,
            object_key_hash: stream.key_hash,
        };
        let mut senders = Vec::new();
        let mut stores = Vec::new();
        for (slot, member) in targets {
            let request = StoreRequest {
                shard: ShardId { group: row.group, segment: id, slot },
                epoch: segment.group.epoch,
                len: segment.layout.shard_len(),
                label: Bytes::from(seal::label::seal(&self.keyring, &label(slot))),
                overwrite: true,
            };
            let (send, receive) = mpsc::channel(QUEUE);
            senders.push((slot, send));
            stores.push(async move {
                (slot, member.client().store_from(&request, receive).await, member)
            });
        }
        let feeding = self.feed(&segment, senders, without);
        let (fed, answers) =
            futures::future::join(feeding, futures::future::join_all(stores)).await;
        fed?;
        let mut filled = Vec::new();
        for (slot, answer, member) in answers {
            match answer {
                Ok(answer) if row.roots.get(usize::from(slot.0)) == Some(&answer.root) => {
                    metrics::counter!("drystone_shards_repaired_total").increment(1);
                    let taken_in = segment.layout.shard_len();
                    self.metering.served(member.id(), Purpose::Upkeep, taken_in);
                    filled.push((slot, member.id()));
                }
                Ok(_) => {
                    tracing::warn!(segment = %id, %slot, node = %member.id(), "a repaired shard has another root")
                }
                Err(NodeError::Misbehaved(evidence)) => self.nodes.blame(&evidence),
                Err(error) => {
                    tracing::info!(segment = %id, %slot, node = %member.id(), %error, "a repaired shard was not stored")
                }
            }
        }
        Ok(filled)
    }

    /// Gathers the segment window by window and hands each target its units.
    async fn feed(
        &self,
        segment: &Arc<Segment>,
        senders: Vec<(Slot, mpsc::Sender<Bytes>)>,
        without: &[Slot],
    ) -> Result<(), UpkeepError> {
        let sources = Sources {
            nodes: Arc::clone(&self.nodes),
            catalog: self.catalog.clone(),
            metering: Arc::clone(&self.metering),
            purpose: Purpose::Upkeep,
        };
        let (k, rows) = (segment.layout.k(), segment.layout.rows());
        let step = u32::try_from(WINDOW / (k * CHUNK) as u64).unwrap_or(1).max(1);
        let mut row = 0;
        while row < rows {
            let window = row..rows.min(row + step);
            row = window.end;
            let gathered = gather_rows(&sources, segment, window.clone(), without).await?;
            let codes: Vec<usize> =
                senders.iter().map(|(slot, _)| segment.rotation.code_index(*slot)).collect();
            let scheme = codec::SchemeId(segment.group.scheme);
            let n = segment.group.slots.len();
            let units = compute::run(move || -> Result<Vec<Bytes>, crate::get::GetError> {
                let mut coder = codec::coder(scheme, k, n)?;
                let unit = |code| {
                    let run = gathered.compute(coder.as_mut(), code, window.clone())?;
                    Ok(run.into_bytes().freeze())
                };
                codes.into_iter().map(unit).collect()
            })
            .await?;
            for ((_, sender), units) in senders.iter().zip(units) {
                // A store that failed has dropped its receiver; its answer says why.
                let _ = sender.send(units).await;
            }
        }
        Ok(())
    }
}
