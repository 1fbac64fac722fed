//! Repair: missing shards are computed from k others and stored where they belong, the riskiest segment first.
//!
//! Two kinds of work share one [queue](super::queue). A *segment* that the catalog lists as degraded misses shards on nodes that should have
//! them. A *refill* brings a group's segments to nodes that took over a slot, page by page, and notes how far it has come, so that it goes on
//! there after a restart. Either way a segment is gathered once, and all its missing shards are made of that.
//!
//! The bytes a second are bounded ([`super::pace`]), except for what is about to be lost.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, stream};
use metadata::records::{NodeState, PlacementGroup, Rank, SegmentRow, SlotSet, StreamRow};
use protocol::NodeError;
use protocol::message::StoreRequest;
use seal::{CHUNK, Label};
use tokio::sync::mpsc;
use types::{GroupId, MIB, NodeId, SegmentId, ShardId, Slot};

use super::queue::{Queue, Risks, Task, Work, is_urgent};
use super::{Upkeep, UpkeepError};
use crate::compute;
use crate::get::gather::gather_rows;
use crate::get::locate::Segment;
use crate::metering::Purpose;
use crate::nodes::Member;
use crate::nodes::outlook::Model;
use crate::put::scatter::CLOSED_FULL;

/// Segments repaired at a time.
const AT_ONCE: usize = 2;
/// Segments asked of the catalog at a time.
const PAGE: usize = 100;
/// Segments of a group that are refilled before the queue is looked at again.
const REFILL_STEP: usize = 32;
/// Work that the queue remembers; the rest is found again when it is made anew.
const QUEUE_MAX: usize = 4096;
/// How long repair works before it lets the other steps of upkeep have their turn, and looks anew what is most at risk.
const TURN: Duration = Duration::from_secs(60);
/// Data gathered at a time, for one segment.
const WINDOW: u64 = 4 * MIB;
/// Batches that may wait for a node to take them.
const BATCHES: usize = 2;

/// A slot to be filled, and the connected node that is to hold it.
type TargetSlot = (Slot, Arc<Member>);

/// What is known of a segment that is to be repaired.
struct Patient {
    id: SegmentId,
    row: SegmentRow,
    stream: StreamRow,
    group: PlacementGroup,
    /// Whether it may be lost soon, so that nothing holds its repair back.
    urgent: bool,
}

impl Upkeep {
    /// Works off what there is to repair, the riskiest first. What cannot be repaired now (its nodes are away) stays listed.
    pub(super) async fn repair(&self) -> Result<(), UpkeepError> {
        // What failed is not tried again in this turn.
        let mut failed: BTreeSet<Task> = BTreeSet::new();
        let until = Instant::now() + TURN;
        loop {
            let queue = self.queue(&failed).await?;
            if queue.is_empty() || Instant::now() >= until {
                return Ok(());
            }
            let outcomes = stream::iter(queue)
                .take_while(|_| std::future::ready(Instant::now() < until))
                .map(|work| async move {
                    let done = self.work_on(&work).await;
                    (work.task, done)
                })
                .buffer_unordered(AT_ONCE);
            let outcomes: Vec<(Task, Result<bool, UpkeepError>)> = outcomes.collect().await;
            for (task, done) in outcomes {
                match done {
                    Ok(true) => {}
                    Ok(false) => drop(failed.insert(task)),
                    Err(error) => {
                        tracing::info!(?task, %error, "a repair has to wait");
                        failed.insert(task);
                    }
                }
            }
        }
    }

    /// What is to be repaired and can be, the riskiest first.
    async fn queue(&self, failed: &BTreeSet<Task>) -> Result<Vec<Work>, UpkeepError> {
        let (alive, model) = self.alive().await?;
        let online: BTreeSet<NodeId> = self.nodes.online().into_iter().collect();
        let groups: HashMap<GroupId, PlacementGroup> =
            self.catalog.groups().await?.into_iter().collect();
        let (mut queue, mut risks) = (Queue::new(QUEUE_MAX), Risks::new(model));
        let (mut waiting, mut stuck, mut filling) = (0, 0, 0);
        let mut push = |task, group: &PlacementGroup, survivors, can: bool| {
            let risk = risks.of(&group.geometry.geometry(), survivors);
            if can && !failed.contains(&task) {
                waiting += 1;
                queue.push(Work { risk, survivors, task });
            } else {
                stuck += 1;
            }
        };
        let mut after = None;
        loop {
            let page = self.catalog.degraded(after, PAGE).await?;
            for (id, segment) in &page {
                let (Some(row), Some(group)) =
                    (self.catalog.segment(*segment).await?, groups.get(id))
                else {
                    continue;
                };
                let left = group.shards_with(&row.missed, *segment, |node| alive.contains(&node));
                let here =
                    group.shards_sought(&row.missed, *segment, |node| online.contains(&node));
                let can = here >= group.geometry.geometry().k
                    && !self.targets(group, row.missed.iter()).is_empty();
                push(Task::Segment(*id, *segment), group, left, can);
            }
            after = page.last().copied();
            if page.len() < PAGE {
                break;
            }
        }
        for (id, group) in &groups {
            let slots = changing(group).count();
            filling += slots;
            if slots == 0 {
                continue;
            }
            // The next of its segments stands for all: those beyond have the same holders.
            let from = changing(group).filter_map(|slot| group.slots[slot].filled_to).min();
            let next = self.catalog.segments_of_group(*id, from, 1).await?;
            let (none, k) = (SlotSet::default(), group.geometry.geometry().k);
            let (left, here) = next.first().map_or((group.slots.len(), k), |segment| {
                let left = group.shards_with(&none, *segment, |node| alive.contains(&node));
                (left, group.shards_sought(&none, *segment, |node| online.contains(&node)))
            });
            let can = here >= k && !self.filling_targets(group).is_empty();
            push(Task::Refill(*id), group, left, can);
        }
        self.progress.queued(waiting, stuck, filling);
        Ok(queue.into_sorted())
    }

    /// The nodes whose shards count as being there, and how nodes vanish.
    pub(super) async fn alive(&self) -> Result<(BTreeSet<NodeId>, Model), UpkeepError> {
        let (now, nodes) = (self.clock.now(), self.catalog.nodes().await?);
        let gone = |id: NodeId, state: NodeState| {
            matches!(state, NodeState::Lost { .. }) || self.nodes.rank(id) == Rank::Disqualified
        };
        let alive: BTreeSet<NodeId> =
            nodes.iter().filter(|(id, node)| !gone(*id, node.state)).map(|(id, _)| *id).collect();
        let hours: f64 =
            nodes.iter().map(|(_, node)| now.since(node.joined).as_secs_f64() / 3600.0).sum();
        let vanished = nodes.len() - alive.len();
        let model = Model::measured(vanished, hours, self.settings.node_lost_after);
        Ok((alive, model))
    }

    /// Does one piece of work; whether it did anything.
    async fn work_on(&self, work: &Work) -> Result<bool, UpkeepError> {
        match work.task {
            Task::Segment(group, id) => self.repair_segment(group, id, work.survivors).await,
            Task::Refill(group) => self.refill(group, work.survivors).await,
        }
    }

    async fn repair_segment(
        &self,
        group: GroupId,
        id: SegmentId,
        survivors: usize,
    ) -> Result<bool, UpkeepError> {
        let members = self.catalog.group(group).await?;
        let Some(patient) = self.patient(id, members, survivors).await? else { return Ok(false) };
        let targets = self.targets(&patient.group, patient.row.missed.iter());
        if targets.is_empty() {
            return Ok(false);
        }
        let without: Vec<Slot> = patient.row.missed.iter().collect();
        let filled = self.rebuild(&patient, targets, &without).await?.unwrap_or_default();
        self.catalog.mark_filled(group, id, &filled).await?;
        Ok(!filled.is_empty())
    }

    /// The segment, unless it is gone meanwhile.
    async fn patient(
        &self,
        id: SegmentId,
        group: PlacementGroup,
        survivors: usize,
    ) -> Result<Option<Patient>, UpkeepError> {
        let (Some(row), Some(stream)) =
            (self.catalog.segment(id).await?, self.catalog.stream(id.stream).await?)
        else {
            return Ok(None);
        };
        let urgent = is_urgent(&group.geometry.geometry(), survivors);
        Ok(Some(Patient { id, row, stream, group, urgent }))
    }

    /// Those of `slots` whose holders are connected, take shards and will be left to keep them.
    fn targets(
        &self,
        group: &PlacementGroup,
        slots: impl Iterator<Item = Slot>,
    ) -> Vec<TargetSlot> {
        let now = self.clock.now();
        let target = |slot: Slot| {
            let node = group.slots.get(usize::from(slot.0))?.node?;
            let member = self.nodes.member(node).filter(|member| member.takes_shards(now))?;
            (self.nodes.rank(node) < Rank::Disqualified).then_some((slot, member))
        };
        slots.filter_map(target).collect()
    }

    fn filling_targets(&self, group: &PlacementGroup) -> Vec<TargetSlot> {
        self.targets(group, changing(group).filter_map(|slot| u8::try_from(slot).ok().map(Slot)))
    }

    /// Brings the next segments of a group to all newcomers that are connected, and whatever else those segments miss; whether it came any
    /// further. It stops where a shard did not arrive that its previous holder still has.
    async fn refill(&self, id: GroupId, survivors: usize) -> Result<bool, UpkeepError> {
        let group = self.catalog.group(id).await?;
        let (alive, _) = self.alive().await?;
        let targets = self.filling_targets(&group);
        let progress: BTreeMap<Slot, Option<SegmentId>> = targets
            .iter()
            .map(|(slot, _)| (*slot, group.slots[usize::from(slot.0)].filled_to))
            .collect();
        let Some(start) = progress.values().min().copied() else { return Ok(false) };
        let page = self.catalog.segments_of_group(id, start, REFILL_STEP).await?;
        let (mut reached, mut outcome) = (start, Ok(true));
        for segment in &page {
            if let Some(patient) = self.patient(*segment, group.clone(), survivors).await? {
                outcome = self.refill_segment(id, &patient, &targets, &progress, &alive).await;
                if !matches!(outcome, Ok(true)) {
                    break;
                }
            }
            reached = Some(*segment);
        }
        let whole = matches!(outcome, Ok(true));
        let done = whole && page.len() < REFILL_STEP;
        for slot in progress.keys() {
            let since = group.slots[usize::from(slot.0)].since;
            let filled = self.catalog.slot_filled(id, *slot, since, reached, done).await?;
            if filled.is_some() && done {
                tracing::info!(group = %id, %slot, "slot filled");
            }
        }
        outcome.map(|whole| whole || reached > start)
    }

    /// Brings one segment to the newcomers it has not come to yet; whether the refill may pass it.
    async fn refill_segment(
        &self,
        group: GroupId,
        patient: &Patient,
        newcomers: &[TargetSlot],
        progress: &BTreeMap<Slot, Option<SegmentId>>,
        alive: &BTreeSet<NodeId>,
    ) -> Result<bool, UpkeepError> {
        let ahead = |slot: &Slot| progress.get(slot).is_some_and(|done| *done < Some(patient.id));
        let mut targets: Vec<TargetSlot> =
            newcomers.iter().filter(|(slot, _)| ahead(slot)).cloned().collect();
        let wanted: Vec<Slot> = targets.iter().map(|(slot, _)| *slot).collect();
        if wanted.is_empty() {
            return Ok(true);
        }
        let kept = |slot: &Slot| {
            let row = patient.group.slots.get(usize::from(slot.0));
            row.and_then(|row| row.previous).is_some_and(|node| alive.contains(&node))
        };
        let missed = || patient.row.missed.iter().filter(|slot| !wanted.contains(slot));
        targets.extend(self.targets(&patient.group, missed()));
        let without: Vec<Slot> = wanted.iter().copied().chain(missed()).collect();
        let filled = match self.rebuild(patient, targets, &without).await {
            Ok(Some(filled)) => filled,
            Ok(None) => {
                self.catalog.mark_missed(patient.id, &wanted).await?;
                return Ok(true);
            }
            // A segment that cannot be read now must not keep all others from the newcomer, unless somebody has what it is to get.
            Err(UpkeepError::Read(error)) if !wanted.iter().any(kept) => {
                tracing::warn!(segment = %patient.id, %error, "a segment cannot be rebuilt yet");
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        self.catalog.mark_filled(group, patient.id, &filled).await?;
        let left = wanted.iter().filter(|slot| filled.iter().all(|(filled, _)| filled != *slot));
        let (wait, gone): (Vec<Slot>, Vec<Slot>) = left.partition(|slot| kept(slot));
        if !gone.is_empty() {
            self.catalog.mark_missed(patient.id, &gone).await?;
        }
        Ok(wait.is_empty())
    }

    /// Computes the shards of `targets` and stores them; which of them are on disk now, and where. `None` if nobody refers to the segment
    /// any more: it waits to be collected.
    async fn rebuild(
        &self,
        patient: &Patient,
        targets: Vec<TargetSlot>,
        without: &[Slot],
    ) -> Result<Option<Vec<(Slot, NodeId)>>, UpkeepError> {
        let Patient { id, row, stream, .. } = patient;
        let segment = Arc::new(Segment::load(&self.catalog, *id, stream).await?);
        let Some(key) = self.catalog.wrap_of(id.stream).await? else { return Ok(None) };
        let label = |slot| Label {
            segment: *id,
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
                shard: ShardId { group: row.group, segment: *id, slot },
                epoch: segment.group.epoch,
                len: segment.layout.shard_len(),
                label: Bytes::from(seal::label::seal(&self.keyring, &label(slot))),
                overwrite: true,
            };
            let (send, receive) = mpsc::channel(BATCHES);
            senders.push((slot, send));
            stores.push(async move {
                (slot, member.client().store_from(&request, receive).await, member)
            });
        }
        let feeding = self.feed(&segment, senders, without, patient.urgent);
        let (fed, answers) =
            futures::future::join(feeding, futures::future::join_all(stores)).await;
        fed?;
        let mut filled = Vec::new();
        for (slot, answer, member) in answers {
            match answer {
                Ok(answer) if row.roots.get(usize::from(slot.0)) == Some(&answer.root) => {
                    let taken_in = segment.layout.shard_len();
                    self.metering.served(member.id(), Purpose::Upkeep, taken_in);
                    filled.push((slot, member.id()));
                }
                Ok(_) => {
                    tracing::warn!(segment = %id, %slot, node = %member.id(), "a repaired shard has another root")
                }
                Err(NodeError::Misbehaved(evidence)) => self.nodes.blame(&evidence),
                // Or each round would read k shards for nothing.
                Err(NodeError::Full) => member.full_until(self.clock.now().plus(CLOSED_FULL)),
                Err(error) => {
                    tracing::info!(segment = %id, %slot, node = %member.id(), %error, "a repaired shard was not stored")
                }
            }
        }
        self.progress.rebuilt(filled.len() as u64);
        Ok(Some(filled))
    }

    /// Gathers the segment window by window and hands each target its units.
    async fn feed(
        &self,
        segment: &Arc<Segment>,
        senders: Vec<(Slot, mpsc::Sender<Bytes>)>,
        without: &[Slot],
        urgent: bool,
    ) -> Result<(), UpkeepError> {
        let sources = self.sources(Purpose::Upkeep);
        let (k, rows) = (segment.layout.k(), segment.layout.rows());
        let step = u32::try_from(WINDOW / (k * CHUNK) as u64).unwrap_or(1).max(1);
        let mut row = 0;
        while row < rows {
            let window = row..rows.min(row + step);
            row = window.end;
            let units = window.clone().map(|row| segment.layout.row(row).unit_len as u64);
            let bytes = units.sum::<u64>() * (k + senders.len()) as u64;
            if !urgent {
                self.pacer.take(bytes).await;
            }
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
            self.progress.moved(bytes);
        }
        Ok(())
    }
}

/// The slots of a group that are being handed over.
fn changing(group: &PlacementGroup) -> impl Iterator<Item = usize> + '_ {
    group.slots.iter().enumerate().filter(|(_, slot)| slot.filling).map(|(at, _)| at)
}
