//! Audit: one unit of one shard now and then, of every node that is connected; and the book that is kept of the answers.
//!
//! What to ask when is decided in [`crate::nodes::audits`], what an answer means in [`crate::nodes::score`]. The fetch itself is the one of a
//! customer's read (`get/gather.rs`), so that there is nothing by which a node could tell them apart.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use metadata::records::{Rank, Source};
use protocol::{Loss, NodeError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::entropy::{random_below, random_u64};
use types::{GroupId, NodeId};

use super::{Upkeep, UpkeepError};
use crate::get::gather::{fetch_from, must_hold};
use crate::get::locate::Segment;
use crate::metering::Purpose;
use crate::nodes::audits::{Census, Sample, mean_wait, next_wait};
use crate::nodes::vetting::Newcomer;
use crate::nodes::{Member, rank_name};

/// Audits under way at a time, over all nodes.
const AT_ONCE: usize = 64;
/// Segments that one read of the census takes.
const PAGE: usize = 1000;
/// How many times as long as it walked the census rests: it costs a twentieth of a processor at most.
const REST: u32 = 20;
/// The book is written down as often as upkeep runs, within these bounds.
const WRITE_EVERY: std::ops::Range<Duration> = Duration::from_secs(1)..Duration::from_secs(30);
/// How often it is noted who is awake.
const WATCH_EVERY: Duration = Duration::from_secs(60);
/// How often what was learned of when nodes are awake is written down: about a kB for each node.
const HOURS_EVERY: Duration = Duration::from_secs(15 * 60);

/// The samples that audits draw from, shared between the census and the audits.
pub type SharedCensus = Arc<RwLock<Census>>;

impl Upkeep {
    /// Walks all groups again and again, and keeps a sample of each.
    pub(super) fn census(self, stop: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                let began = Instant::now();
                tokio::select! {
                    walked = self.walk() => super::worker::note("census", walked),
                    () = stop.cancelled() => return,
                }
                let rest = self.settings.interval.max(began.elapsed().saturating_mul(REST));
                if !super::worker::sleep(rest, &stop).await {
                    return;
                }
            }
        })
    }

    async fn walk(&self) -> Result<(), UpkeepError> {
        let groups: BTreeSet<GroupId> =
            self.catalog.groups().await?.into_iter().map(|(id, _)| id).collect();
        let size = Census::sample_size(groups.len());
        for group in &groups {
            let (mut sample, mut after) = (Sample::default(), None);
            loop {
                let page = self.catalog.segments_of_group(*group, after, PAGE).await?;
                page.iter().for_each(|segment| sample.offer(*segment, size, random_u64()));
                after = page.last().copied();
                if page.len() < PAGE {
                    break;
                }
            }
            self.census.write().unwrap_or_else(PoisonError::into_inner).put(*group, sample);
        }
        let mut census = self.census.write().unwrap_or_else(PoisonError::into_inner);
        census.keep_only(|group| groups.contains(&group));
        Ok(())
    }

    /// Audits every connected node at random times.
    pub(super) fn audits(self, stop: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let mut changes = self.nodes.changes();
            let (mut due, mut planned) = (BinaryHeap::new(), HashSet::new());
            let mut running = FuturesUnordered::new();
            loop {
                changes.mark_unchanged();
                for member in self.nodes.members() {
                    if planned.insert(member.id()) {
                        due.extend(self.next_audit(member.id()).map(Reverse));
                    }
                }
                loop {
                    let next = due.peek().map(|Reverse((at, _))| *at);
                    let wake = next.unwrap_or_else(|| Instant::now() + WATCH_EVERY);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        changed = changes.changed() => match changed {
                            Ok(()) => break,
                            Err(_) => return,
                        },
                        Some(()) = running.next(), if !running.is_empty() => {}
                        () = tokio::time::sleep_until(wake), if next.is_some() && running.len() < AT_ONCE => {
                            let Some(Reverse((_, node))) = due.pop() else { continue };
                            match self.nodes.member(node) {
                                Some(member) => {
                                    running.push(self.audit(member));
                                    due.extend(self.next_audit(node).map(Reverse));
                                }
                                // When it returns, it is planned anew.
                                None => drop(planned.remove(&node)),
                            }
                        }
                    }
                }
            }
        })
    }

    /// When to audit a node next.
    fn next_audit(&self, node: NodeId) -> Option<(Instant, NodeId)> {
        let availability = self.nodes.chances(node).average();
        let mean = mean_wait(self.settings.audits_per_day, availability)?;
        Some((Instant::now() + next_wait(mean, random_u64()), node))
    }

    async fn audit(&self, member: Arc<Member>) {
        match self.look(&member).await {
            Ok(None) => {}
            Ok(Some(outcome)) => {
                metrics::counter!("drystone_audits_total", "outcome" => outcome).increment(1);
            }
            Err(error) => {
                tracing::debug!(node = %member.id(), %error, "an audit could not be made");
            }
        }
    }

    /// One audit; what came of it, if there was something to ask for.
    async fn look(&self, member: &Arc<Member>) -> Result<Option<&'static str>, UpkeepError> {
        let node = member.id();
        let holds = self.catalog.groups_of(node).await?;
        let drawn = {
            let census = self.census.read().unwrap_or_else(PoisonError::into_inner);
            census.draw(&holds, [random_u64(), random_u64()])
        };
        let Some((_, id, slot)) = drawn else { return Ok(None) };
        // It may have been deleted since the census.
        let Some(stream) = self.catalog.stream(id.stream).await? else { return Ok(None) };
        if self.catalog.segment(id).await?.is_none() {
            return Ok(None);
        }
        let segment = Segment::load(&self.catalog, id, &stream).await?;
        let holder = segment.group.slots.get(usize::from(slot.0));
        let holds = holder.is_some_and(|row| row.keeper(id) == Some(node));
        if !holds || segment.row.missed.contains(slot) {
            return Ok(None);
        }
        let sources = self.sources(Purpose::Audit);
        let shard = segment.shard(slot);
        let row = random_below(u64::from(segment.layout.rows())) as u32;
        match fetch_from(&sources, member, &segment, slot, &(row..row + 1)).await {
            Ok(_) => {
                self.nodes.did_right(node, Source::Audit, shard);
                Ok(Some("right"))
            }
            Err(error) => {
                // A delete or a handing over may have been faster, and a fresh shard may still be on its way.
                let due = must_hold(&sources, shard, node).await?;
                self.nodes.did_not(node, Source::Audit, shard, &error, due);
                let lost = match error {
                    NodeError::Misbehaved(_) | NodeError::Failed { .. } => true,
                    NodeError::NotFound => due,
                    _ => false,
                };
                if lost {
                    self.catalog.mark_missed(id, &[slot]).await?;
                }
                Ok(Some(outcome(&error)))
            }
        }
    }

    /// Keeps the book: who is awake, who is no newcomer any more, and what the catalog is to remember.
    pub(super) fn keep_book(self, stop: CancellationToken) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let every = self.settings.interval.clamp(WRITE_EVERY.start, WRITE_EVERY.end);
            let (mut watched, mut written) = (None::<Instant>, Instant::now());
            loop {
                let more = super::worker::sleep(every, &stop).await;
                if !more || watched.is_none_or(|at| at.elapsed() >= WATCH_EVERY) {
                    super::worker::note("availability", self.watch().await);
                    watched = Some(Instant::now());
                }
                super::worker::note("standings", self.write_standings().await);
                if !more || written.elapsed() >= HOURS_EVERY {
                    super::worker::note("availability", self.write_hours().await);
                    written = Instant::now();
                }
                if !more {
                    return;
                }
            }
        })
    }

    async fn watch(&self) -> Result<(), UpkeepError> {
        let known = self.catalog.nodes().await?;
        let mut ranks = [Rank::Good, Rank::Warned, Rank::Suspended, Rank::Disqualified]
            .map(|rank| (rank, 0_u32));
        for (id, node) in &known {
            if let Some(member) = self.nodes.member(*id) {
                let status = member.status();
                let (used, capacity) = (status.used, status.capacity);
                let newcomer = Newcomer { joined: node.joined, used, capacity };
                self.nodes.vet(*id, &self.settings.vetting, &newcomer);
            }
            let rank = self.nodes.rank(*id);
            ranks.iter_mut().filter(|(of, _)| *of == rank).for_each(|(_, count)| *count += 1);
        }
        for (rank, count) in ranks {
            metrics::gauge!("drystone_nodes_by_rank", "rank" => rank_name(rank)).set(count);
        }
        self.nodes.watch(known.into_iter().map(|(id, _)| id));
        Ok(())
    }

    async fn write_standings(&self) -> Result<(), UpkeepError> {
        let rows = self.nodes.take_unwritten();
        let written = self.catalog.put_standings(&rows).await;
        if written.is_err() {
            self.nodes.unwritten(rows.into_iter().map(|(id, _)| id));
        }
        Ok(written?)
    }

    async fn write_hours(&self) -> Result<(), UpkeepError> {
        Ok(self.catalog.put_week_hours(&self.nodes.week_hours()).await?)
    }
}

/// What came of an audit that did not go right, told apart as the metrics show it.
fn outcome(error: &NodeError) -> &'static str {
    match error {
        NodeError::Misbehaved(_) => "wrong",
        NodeError::NotFound => "missing",
        NodeError::Failed { .. } => "owned_up",
        NodeError::Unreachable(Loss::TooSlow { .. }) => "late",
        NodeError::Unreachable(_) => "offline",
        NodeError::Busy { .. } | NodeError::Full => "busy",
        NodeError::Stale { .. }
        | NodeError::Exists
        | NodeError::Incompatible { .. }
        | NodeError::Denied { .. }
        | NodeError::Aborted
        | NodeError::Invalid(_) => "refused",
    }
}
