//! Scatter: every slot gets its shard; the write is durable once the quorum has it on disk.
//!
//! All slots are sent to at once. The sender is held back by the w-th fastest, not by the slowest: a slot may lag that one by
//! [`LAG_ROWS`] rows, and what all slots of all requests lag together is bounded by [`STRAGGLERS_MAX`]. A slot beyond either bound is cut: its
//! node drops the partial shard, and the slot counts as missed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use metadata::Catalog;
use metadata::records::{SegmentRow, SlotSet};
use protocol::NodeError;
use protocol::message::{StoreAnswer, StoreRequest};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use types::clock::SharedClock;
use types::{MIB, NodeId, Root, SegmentId, ShardId, Slot, UNIT};

use super::PutError;
use super::place::{Placed, usable};
use crate::nodes::{Member, Nodes};

/// How many rows a slot may be behind the w-th fastest before it is cut.
pub const LAG_ROWS: u64 = 16;
/// Bytes that stragglers of all requests may hold together.
pub const STRAGGLERS_MAX: u64 = 64 * MIB;
/// The sender runs at most this many bytes per slot ahead of the w-th fastest slot.
const AHEAD: u64 = 8 * UNIT;
/// A node that is full gets no new shards for this long, if it does not say earlier that it has room again.
pub const CLOSED_FULL: std::time::Duration = std::time::Duration::from_secs(30);

/// Bytes held by stragglers, over all requests of the process.
static STRAGGLING: AtomicU64 = AtomicU64::new(0);

/// One segment on its way to the nodes.
pub(crate) struct Scatter {
    segment: SegmentId,
    placed: Placed,
    write_quorum: usize,
    slots: Vec<Option<SlotSender>>,
    progress: Arc<Notify>,
    /// What this segment has charged to [`STRAGGLING`].
    charged: u64,
    nodes: Arc<Nodes>,
    clock: SharedClock,
}

/// One slot's sender.
struct SlotSender {
    slot: Slot,
    member: Arc<Member>,
    bytes: Option<mpsc::UnboundedSender<Bytes>>,
    /// Bytes handed over and not yet taken by the connection.
    queued: Arc<AtomicU64>,
    /// Set once the store has failed. One that has merely ended may have succeeded: its node can answer before the last look at it.
    failed: Arc<AtomicBool>,
    store: JoinHandle<Result<StoreAnswer, NodeError>>,
}

impl Drop for SlotSender {
    fn drop(&mut self) {
        self.store.abort();
    }
}

/// A segment that its write quorum has on disk. Only [`Scatter::finish`] makes one.
pub(crate) struct Durable {
    /// The segment's row, with the slots that have already failed.
    pub(crate) row: SegmentRow,
    segment: SegmentId,
    stragglers: Vec<SlotSender>,
    roots: Vec<Root>,
    nodes: Arc<Nodes>,
    clock: SharedClock,
}

impl Scatter {
    /// Opens a store on every slot's node. `label` gives the sealed label of each slot's shard.
    pub(crate) fn open(
        nodes: &Arc<Nodes>,
        clock: &SharedClock,
        placed: Placed,
        segment: SegmentId,
        shard_len: u64,
        label: impl Fn(Slot) -> Bytes,
    ) -> Self {
        let progress = Arc::new(Notify::new());
        let (now, geometry) = (clock.now(), placed.group.geometry.geometry());
        let slots = (0u8..).map(Slot).zip(&placed.group.slots).map(|(slot, row)| {
            let member = nodes.member(row.node?)?;
            if !usable(&member, &geometry, now) {
                return None;
            }
            let request = StoreRequest {
                shard: ShardId { group: placed.id, segment, slot },
                epoch: placed.group.epoch,
                len: shard_len,
                label: label(slot),
                // The id is fresh: whatever lies under it is the node's mistake.
                overwrite: false,
            };
            Some(SlotSender::open(slot, member, request, &progress))
        });
        let slots = slots.collect();
        let write_quorum = placed.group.geometry.geometry().w;
        let (nodes, clock) = (Arc::clone(nodes), Arc::clone(clock));
        Self { segment, placed, write_quorum, slots, progress, charged: 0, nodes, clock }
    }

    /// The shards that nodes were offered.
    pub(crate) fn offered(&self) -> impl Iterator<Item = (NodeId, ShardId)> + '_ {
        let (group, segment) = (self.placed.id, self.segment);
        self.slots
            .iter()
            .flatten()
            .map(move |sender| (sender.member.id(), ShardId { group, segment, slot: sender.slot }))
    }

    /// Hands each slot its units (by slot), and waits until the w-th fastest has nearly caught up.
    pub(crate) async fn send(&mut self, units: Vec<Bytes>) -> Result<(), PutError> {
        for (sender, units) in self.slots.iter_mut().zip(units) {
            if let Some(sender) = sender {
                sender.send(units);
            }
        }
        loop {
            let progress = Arc::clone(&self.progress);
            let notified = progress.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            let quorum_lag = self.quorum_lag()?;
            self.cut_stragglers(quorum_lag);
            if quorum_lag <= AHEAD {
                return Ok(());
            }
            notified.await;
        }
    }

    /// Waits for the write quorum. Whoever has not answered then goes on in the background (see [`Durable::settle`]).
    pub(crate) async fn finish(mut self, roots_by_slot: Vec<Root>) -> Result<Durable, PutError> {
        for sender in self.slots.iter_mut().flatten() {
            sender.bytes = None;
        }
        let mut missed: SlotSet = (0u8..)
            .map(Slot)
            .zip(&self.slots)
            .filter(|(_, sender)| sender.is_none())
            .map(|(slot, _)| slot)
            .collect();
        let mut waiting: Vec<SlotSender> = self.slots.drain(..).flatten().collect();
        let mut stored = 0;
        while stored < self.write_quorum {
            if stored + waiting.len() < self.write_quorum {
                return Err(PutError::TooFewNodes { stored, needed: self.write_quorum });
            }
            let (sender, answer) = first_done(&mut waiting).await;
            if kept(&sender, answer, &roots_by_slot, &self.nodes, &self.clock) {
                stored += 1;
            } else {
                missed.insert(sender.slot);
            }
        }
        Ok(Durable {
            row: SegmentRow { group: self.placed.id, len: 0, roots: roots_by_slot.clone(), missed },
            segment: self.segment,
            stragglers: waiting,
            roots: roots_by_slot,
            nodes: Arc::clone(&self.nodes),
            clock: Arc::clone(&self.clock),
        })
    }

    /// How far the w-th fastest slot is behind.
    fn quorum_lag(&mut self) -> Result<u64, PutError> {
        for at in 0..self.slots.len() {
            if self.slots[at].as_ref().is_some_and(|sender| sender.failed.load(Ordering::Acquire)) {
                self.bury(at);
            }
        }
        let mut lags: Vec<u64> = self
            .slots
            .iter()
            .flatten()
            .map(|sender| sender.queued.load(Ordering::Acquire))
            .collect();
        if lags.len() < self.write_quorum {
            return Err(PutError::TooFewNodes { stored: lags.len(), needed: self.write_quorum });
        }
        lags.sort_unstable();
        Ok(lags[self.write_quorum - 1])
    }

    /// A store that has failed takes no more bytes; why it failed is written down.
    fn bury(&mut self, at: usize) {
        if let Some(mut sender) = self.slots[at].take() {
            let (nodes, clock) = (Arc::clone(&self.nodes), Arc::clone(&self.clock));
            tokio::spawn(async move {
                let answer = (&mut sender.store).await;
                let answer = answer.unwrap_or(Err(NodeError::Aborted));
                note_failure(&sender, &answer, &nodes, &clock);
            });
        }
    }

    fn cut_stragglers(&mut self, quorum_lag: u64) {
        let mut behind = 0;
        for at in 0..self.slots.len() {
            let Some(sender) = &self.slots[at] else { continue };
            let lag = sender.queued.load(Ordering::Acquire).saturating_sub(quorum_lag);
            if lag > LAG_ROWS * UNIT {
                self.cut(at, "it fell too far behind");
            } else {
                behind += lag;
            }
        }
        self.charge(behind);
        if STRAGGLING.load(Ordering::Relaxed) > STRAGGLERS_MAX
            && let Some(at) = self.slowest(quorum_lag)
        {
            self.cut(at, "the stragglers of all requests hold too much memory");
            self.charge(0);
        }
    }

    /// The slot that lags most, if any lags the quorum.
    fn slowest(&self, quorum_lag: u64) -> Option<usize> {
        let lag = |sender: &SlotSender| sender.queued.load(Ordering::Acquire);
        let lags = self
            .slots
            .iter()
            .enumerate()
            .filter_map(|(at, sender)| Some((lag(sender.as_ref()?), at)));
        lags.max().filter(|(lag, _)| *lag > quorum_lag).map(|(_, at)| at)
    }

    fn cut(&mut self, at: usize, why: &str) {
        if let Some(sender) = self.slots[at].take() {
            tracing::debug!(segment = %self.segment, slot = %sender.slot, node = %sender.member.id(), why, "straggler cut");
            metrics::counter!("drystone_stragglers_cut_total").increment(1);
        }
    }

    fn charge(&mut self, bytes: u64) {
        STRAGGLING.fetch_add(bytes, Ordering::Relaxed);
        STRAGGLING.fetch_sub(self.charged, Ordering::Relaxed);
        self.charged = bytes;
    }
}

impl Drop for Scatter {
    fn drop(&mut self) {
        self.charge(0);
    }
}

impl SlotSender {
    fn open(
        slot: Slot,
        member: Arc<Member>,
        request: StoreRequest,
        progress: &Arc<Notify>,
    ) -> Self {
        // Unbounded, because the bound is shared by all slots: `Scatter::send` holds the sender back.
        #[expect(
            clippy::disallowed_methods,
            reason = "bounded by LAG_ROWS and AHEAD in Scatter::send"
        )]
        let (bytes, mut queue) = mpsc::unbounded_channel::<Bytes>();
        let queued = Arc::new(AtomicU64::new(0));
        let failed = Arc::new(AtomicBool::new(false));
        let store = tokio::spawn({
            let failed = Arc::clone(&failed);
            let (member, queued, progress) =
                (Arc::clone(&member), Arc::clone(&queued), Arc::clone(progress));
            async move {
                let stream = {
                    let (queued, progress) = (queued, Arc::clone(&progress));
                    futures::stream::poll_fn(move |cx| {
                        queue.poll_recv(cx).map(|units| {
                            if let Some(units) = &units {
                                queued.fetch_sub(units.len() as u64, Ordering::AcqRel);
                                progress.notify_waiters();
                            }
                            units
                        })
                    })
                };
                let answer = member.client().store(&request, stream).await;
                failed.store(answer.is_err(), Ordering::Release);
                progress.notify_waiters();
                answer
            }
        });
        Self { slot, member, bytes: Some(bytes), queued, failed, store }
    }

    fn send(&mut self, units: Bytes) {
        self.queued.fetch_add(units.len() as u64, Ordering::AcqRel);
        if let Some(bytes) = &self.bytes {
            // A receiver that is gone has ended its store with an error, which is looked at before the next wait.
            let _ = bytes.send(units);
        }
    }
}

/// The first of the senders whose node answers, taken out of the list.
async fn first_done(waiting: &mut Vec<SlotSender>) -> (SlotSender, Result<StoreAnswer, NodeError>) {
    let stores = waiting.iter_mut().map(|sender| &mut sender.store);
    let (answer, at, _) = futures::future::select_all(stores).await;
    (waiting.swap_remove(at), answer.unwrap_or(Err(NodeError::Aborted)))
}

/// Whether the node has the right shard on disk; if not, the failure is held against whom it concerns.
fn kept(
    sender: &SlotSender,
    answer: Result<StoreAnswer, NodeError>,
    roots: &[Root],
    nodes: &Nodes,
    clock: &SharedClock,
) -> bool {
    let expected = roots.get(usize::from(sender.slot.0));
    match &answer {
        Ok(answer) if expected == Some(&answer.root) => true,
        Ok(answer) => {
            tracing::warn!(node = %sender.member.id(), root = %answer.root, "a node stored other bytes than it was sent");
            metrics::counter!("drystone_node_misbehaved_total", "node" => sender.member.id().to_string()).increment(1);
            false
        }
        Err(_) => {
            note_failure(sender, &answer, nodes, clock);
            false
        }
    }
}

fn note_failure(
    sender: &SlotSender,
    answer: &Result<StoreAnswer, NodeError>,
    nodes: &Nodes,
    clock: &SharedClock,
) {
    let Err(error) = answer else { return };
    match error {
        NodeError::Misbehaved(evidence) => nodes.blame(evidence),
        NodeError::Full => sender.member.full_until(clock.now().plus(CLOSED_FULL)),
        NodeError::Busy { retry_after } => {
            sender.member.close_until(clock.now().plus(*retry_after))
        }
        _ => {}
    }
    tracing::debug!(node = %sender.member.id(), %error, "a shard was not stored");
}

impl Durable {
    /// After the commit: waits for the stragglers, and writes down which of them failed. Runs in the background; `pending` counts them.
    pub(crate) fn settle(self, catalog: &Catalog, pending: &Arc<Pending>) {
        if self.stragglers.is_empty() {
            return;
        }
        let (catalog, ticket) = (catalog.clone(), Pending::ticket(pending));
        tokio::spawn(async move {
            let _ticket = ticket;
            let Self { segment, mut stragglers, roots, nodes, clock, .. } = self;
            let mut failed = Vec::new();
            while !stragglers.is_empty() {
                let (sender, answer) = first_done(&mut stragglers).await;
                if !kept(&sender, answer, &roots, &nodes, &clock) {
                    failed.push(sender.slot);
                }
            }
            if !failed.is_empty()
                && let Err(error) = catalog.mark_missed(segment, &failed).await
            {
                tracing::error!(%segment, %error, "missed shards could not be noted; reconcile will find them");
            }
        });
    }
}

/// Counts stragglers under way, so that a stopping gateway can wait for them.
#[derive(Default)]
pub struct Pending {
    count: AtomicUsize,
    idle: Notify,
}

/// Counts as one until dropped.
struct Ticket(Arc<Pending>);

impl Pending {
    fn ticket(this: &Arc<Self>) -> Ticket {
        this.count.fetch_add(1, Ordering::AcqRel);
        Ticket(Arc::clone(this))
    }

    /// Resolves when none is under way.
    pub async fn idle(&self) {
        loop {
            let notified = self.idle.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}
