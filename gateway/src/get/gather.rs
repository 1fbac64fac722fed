//! Gather: the units of a window, from the nodes that give them soonest, keeping only what verifies.
//!
//! First the data shards are asked, since their units need no decoding. One that fails, or is later than its node nearly always is, is made up
//! for by asking another shard; as soon as any k shards cover the rows, the rest is computed.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use codec::{ErasureCoder, SchemeId, SegmentLayout};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use metadata::records::Source;
use metadata::{Catalog, CatalogError};
use protocol::NodeError;
use protocol::message::FetchRequest;
use types::{NodeId, ShardId, Slot};

use super::GetError;
use super::locate::{Segment, Window};
use super::run::Run;
use crate::metering::{Metering, Purpose};
use crate::nodes::{Member, Nodes};

/// Hedges that may be sent at once after a quiet time.
const HEDGES_MAX: i64 = 64_000;
/// What one hedge costs of the allowance, where each fetch earns [`HEDGE_EARNED`]: one fetch in ten may be hedged over time,
/// so that a gateway which is itself the bottleneck does not double its own load.
const HEDGE_COST: i64 = 1_000;
/// A fetch is overdue after this many times the patience with its node.
const OVERDUE: u32 = 3;
/// A shard of a stream younger than this may still be on its way to its node.
const FRESH: Duration = Duration::from_secs(60);
/// What each fetch earns.
const HEDGE_EARNED: i64 = 100;

/// The allowance for hedges, over all requests of the process.
static HEDGES: AtomicI64 = AtomicI64::new(HEDGES_MAX);

/// What a gather needs beside the window.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) catalog: Catalog,
    /// Counts what nodes serve, in the moment in which it is verified: a hedge that loses is paid up to where it was cut off.
    pub(crate) metering: Arc<Metering>,
    pub(crate) purpose: Purpose,
}

/// Bytes of one step of a fetch, unless the whole shard is little more. A step fills one frame, so that it need not be put together from several, and
/// holds whole units of all rows but the last.
const STEP: u64 = protocol::limits::FRAME_MAX as u64;
/// A whole shard of this size comes in one step: its root proves it, and the node need not read the hashes.
const WHOLE_MAX: u64 = 2 * STEP;

const _: () =
    assert!(STEP.is_multiple_of(seal::CHUNK as u64) && WHOLE_MAX <= protocol::limits::STEP_MAX);

/// The units of a window: all there, or enough to compute the rest.
pub(crate) struct Gathered {
    layout: SegmentLayout,
    scheme: SchemeId,
    n: usize,
    /// By code index.
    runs: Vec<Option<Run>>,
    /// Data units that must be computed.
    lost: Vec<(usize, Range<u32>)>,
}

impl Gathered {
    /// Takes the next bytes of a data shard's run, which begins no later than `shard_offset`.
    pub(crate) fn take(&mut self, code: usize, shard_offset: u64, len: usize) -> BytesMut {
        let run = self.runs[code].as_mut().expect("rebuild has filled every run that is needed");
        run.pass(shard_offset);
        run.take(len)
    }

    /// Whether units must be computed first.
    pub(crate) fn needs_rebuild(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Computes the units that no node gave.
    pub(crate) fn rebuild(&mut self) -> Result<(), GetError> {
        if self.lost.is_empty() {
            return Ok(());
        }
        let mut coder = codec::coder(self.scheme, self.layout.k(), self.n)?;
        for (code, rows) in std::mem::take(&mut self.lost) {
            let run = self.compute(coder.as_mut(), code, rows)?;
            self.runs[code] = Some(run);
        }
        Ok(())
    }

    /// One shard's units over `rows`, from runs that cover them.
    pub(crate) fn compute(
        &self,
        coder: &mut dyn ErasureCoder,
        code: usize,
        rows: Range<u32>,
    ) -> Result<Run, GetError> {
        let offset = self.layout.row(rows.start).shard_offset;
        let len: usize = rows.clone().map(|row| self.layout.row(row).unit_len).sum();
        let mut bytes = BytesMut::zeroed(len);
        let mut at = 0;
        for row in rows.clone() {
            let unit = self.layout.row(row);
            let units: Vec<Option<Cow<'_, [u8]>>> = self
                .runs
                .iter()
                .map(|run| {
                    let run = run.as_ref().filter(|run| run.rows.contains(&row))?;
                    run.get(unit.shard_offset, unit.unit_len)
                })
                .collect();
            let units: Vec<Option<&[u8]>> = units.iter().map(Option::as_deref).collect();
            let out = &mut bytes[at..at + unit.unit_len];
            coder.reconstruct(unit.unit_len, &units, &[code], &mut [out])?;
            at += unit.unit_len;
        }
        Ok(Run { rows, offset, slices: VecDeque::from([bytes]) })
    }
}

/// Gathers a window for reading.
pub(crate) async fn gather(sources: &Sources, window: &Window) -> Result<Gathered, GetError> {
    let needs = needs(&window.segment, &window.chunks);
    Gather::new(sources, &window.segment, needs).run().await
}

/// Gathers what it takes to compute any shard of a segment over `rows`: k runs, none of them from the slots in `without`.
pub(crate) async fn gather_rows(
    sources: &Sources,
    segment: &Arc<Segment>,
    rows: Range<u32>,
    without: &[Slot],
) -> Result<Gathered, GetError> {
    let k = segment.layout.k();
    let mut gather = Gather::new(sources, segment, Vec::new());
    gather.tried.extend(without.iter().map(|slot| segment.rotation.code_index(*slot)));
    gather.rows = Some(rows);
    gather.make_up();
    let gathered = gather.run_until(|gather| gather.covering() >= k).await?;
    Ok(gathered)
}

/// Which rows of which data shards hold the chunks.
fn needs(segment: &Segment, chunks: &Range<u32>) -> Vec<(usize, Range<u32>)> {
    let k = segment.layout.k() as u32;
    let (first, last) = (chunks.start / k, (chunks.end - 1) / k);
    let tail = segment.layout.row(last);
    // In a row whose units are not chunks, every unit may hold a piece of any chunk.
    let whole_tail = tail.data_len != (k as usize) * seal::CHUNK;
    let needed = |code: u32| {
        let in_first = chunks.start <= first * k + code || (whole_tail && first == last);
        let in_last =
            last * k + code < chunks.end || (whole_tail && tail.unit_data_len(code as usize) > 0);
        let rows = first + u32::from(!in_first)..last + u32::from(in_last);
        (!rows.is_empty()).then_some((code as usize, rows))
    };
    (0..k).filter_map(needed).collect()
}

/// A gather at work.
struct Gather<'a> {
    sources: &'a Sources,
    segment: &'a Arc<Segment>,
    needs: Vec<(usize, Range<u32>)>,
    runs: Vec<Option<Run>>,
    /// Code indices that were asked for all of `rows`, or are not to be asked.
    tried: Vec<usize>,
    /// Rows for which k shards are wanted, once a needed one fails or is late.
    rows: Option<Range<u32>>,
    asked: FuturesUnordered<futures::future::BoxFuture<'static, Asked>>,
    /// Who is being waited for.
    waiting: Vec<Waiting>,
    /// How many answers came.
    heard: usize,
    late: Vec<usize>,
}

/// A fetch under way.
struct Waiting {
    code: usize,
    rows: Range<u32>,
    /// Later than this node nearly always is.
    late: Instant,
    /// Too late, even if all others are as late: then it may be this gateway that is slow, and more fetches would make it slower.
    overdue: Instant,
}

/// How a fetch ended.
struct Asked {
    code: usize,
    rows: Range<u32>,
    run: Option<Run>,
}

impl<'a> Gather<'a> {
    fn new(
        sources: &'a Sources,
        segment: &'a Arc<Segment>,
        needs: Vec<(usize, Range<u32>)>,
    ) -> Self {
        let n = segment.group.slots.len();
        let mut gather = Self {
            sources,
            segment,
            needs: needs.clone(),
            runs: (0..n).map(|_| None).collect(),
            tried: Vec::new(),
            rows: None,
            asked: FuturesUnordered::new(),
            waiting: Vec::new(),
            heard: 0,
            late: Vec::new(),
        };
        for (code, rows) in needs {
            gather.ask(code, rows);
        }
        gather
    }

    async fn run(self) -> Result<Gathered, GetError> {
        self.run_until(|gather| {
            gather.needs.iter().all(|(code, rows)| gather.covers(*code, rows))
                || gather.rows.is_some() && gather.covering() >= gather.segment.layout.k()
        })
        .await
    }

    async fn run_until(mut self, done: impl Fn(&Self) -> bool) -> Result<Gathered, GetError> {
        while !done(&self) {
            let late = self
                .waiting
                .iter()
                .filter(|waiting| !self.late.contains(&waiting.code))
                .map(|waiting| self.deadline(waiting))
                .min();
            let timer = tokio::time::sleep_until(late.unwrap_or_else(far_away).into());
            tokio::select! {
                asked = self.asked.next() => match asked {
                    Some(asked) => self.heard(asked),
                    None => return Err(self.too_few()),
                },
                () = timer, if late.is_some() => self.hedge(),
            }
        }
        Ok(self.finish())
    }

    fn finish(self) -> Gathered {
        let lost =
            self.needs.iter().filter(|(code, rows)| !self.covers(*code, rows)).cloned().collect();
        let geometry = self.segment.group.geometry.geometry();
        let scheme = SchemeId(self.segment.group.scheme);
        Gathered { layout: self.segment.layout, scheme, n: geometry.n, runs: self.runs, lost }
    }

    fn too_few(&self) -> GetError {
        GetError::TooFewShards {
            segment: self.segment.id,
            found: self.covering(),
            needed: self.segment.layout.k(),
        }
    }

    fn covers(&self, code: usize, rows: &Range<u32>) -> bool {
        self.runs[code]
            .as_ref()
            .is_some_and(|run| run.rows.start <= rows.start && rows.end <= run.rows.end)
    }

    /// How many shards there are for all of `rows`.
    fn covering(&self) -> usize {
        let Some(rows) = &self.rows else { return 0 };
        (0..self.runs.len()).filter(|code| self.covers(*code, rows)).count()
    }

    fn heard(&mut self, asked: Asked) {
        self.heard += 1;
        self.waiting.retain(|waiting| (waiting.code, &waiting.rows) != (asked.code, &asked.rows));
        match asked.run {
            Some(run) => {
                // A wider run may replace a narrower one, never the other way round.
                if !self.covers(asked.code, &asked.rows) {
                    self.runs[asked.code] = Some(run);
                }
            }
            None => {
                self.widen(&asked.rows);
                self.make_up();
            }
        }
    }

    /// Somebody is late: asks another in their place, if the allowance lets us.
    fn hedge(&mut self) {
        let now = Instant::now();
        let late: Vec<(usize, Range<u32>)> = self
            .waiting
            .iter()
            .filter(|waiting| self.deadline(waiting) <= now && !self.late.contains(&waiting.code))
            .map(|waiting| (waiting.code, waiting.rows.clone()))
            .collect();
        for (code, rows) in late {
            self.late.push(code);
            if HEDGES.fetch_sub(HEDGE_COST, Ordering::Relaxed) < HEDGE_COST {
                HEDGES.fetch_add(HEDGE_COST, Ordering::Relaxed);
                continue;
            }
            metrics::counter!("drystone_hedged_fetches_total").increment(1);
            self.widen(&rows);
            self.make_up();
        }
    }

    /// When a fetch is made up for: once it is late while at least as many have answered as are waited for, else once it is overdue.
    fn deadline(&self, waiting: &Waiting) -> Instant {
        if self.heard >= self.waiting.len() { waiting.late } else { waiting.overdue }
    }

    /// Wants k shards for `rows`, and for every need with them: whatever fails later is then made up for by the same shards, and a shard that was
    /// asked once need not be asked again for more rows.
    fn widen(&mut self, rows: &Range<u32>) {
        let all = self.needs.iter().map(|(_, rows)| rows).chain(&self.rows).chain([rows]);
        self.rows =
            all.cloned().reduce(|all, rows| all.start.min(rows.start)..all.end.max(rows.end));
    }

    /// Asks further shards until k are there or on their way in time, best nodes first.
    fn make_up(&mut self) {
        let Some(rows) = self.rows.clone() else { return };
        let within = |wide: &Range<u32>| wide.start <= rows.start && rows.end <= wide.end;
        let in_time = self
            .waiting
            .iter()
            .filter(|waiting| within(&waiting.rows) && !self.late.contains(&waiting.code))
            .count();
        let mut wanted = self.segment.layout.k().saturating_sub(self.covering() + in_time);
        let mut candidates: Vec<(Duration, usize)> = (0..self.runs.len())
            .filter(|code| !self.tried.contains(code) && !self.covers(*code, &rows))
            .filter(|code| {
                !self.waiting.iter().any(|asked| asked.code == *code && within(&asked.rows))
            })
            .filter_map(|code| Some((self.best(code)?.typical(), code)))
            .collect();
        candidates.sort_unstable();
        for (_, code) in candidates {
            if wanted == 0 {
                return;
            }
            self.ask(code, rows.clone());
            wanted -= 1;
        }
    }

    /// The connected node that should have a shard.
    fn best(&self, code: usize) -> Option<Arc<Member>> {
        holders(self.segment, code).into_iter().find_map(|node| self.sources.nodes.member(node))
    }

    fn ask(&mut self, code: usize, rows: Range<u32>) {
        HEDGES.fetch_add(HEDGE_EARNED, Ordering::Relaxed);
        HEDGES.fetch_min(HEDGES_MAX, Ordering::Relaxed);
        let all =
            self.rows.as_ref().is_none_or(|all| rows.start <= all.start && all.end <= rows.end);
        if all && self.rows.is_some() || self.best(code).is_none() {
            self.tried.push(code);
        }
        let (_, len) = span(&self.segment.layout, &rows);
        let patience = self.best(code).map_or(Duration::ZERO, |member| member.hedge_after(len));
        let now = Instant::now();
        let (late, overdue) = (now + patience, now + patience * OVERDUE);
        self.waiting.push(Waiting { code, rows: rows.clone(), late, overdue });
        let (sources, segment) = (self.sources.clone(), Arc::clone(self.segment));
        self.asked.push(Box::pin(async move {
            let run = fetch(&sources, &segment, code, rows.clone()).await;
            Asked { code, rows, run }
        }));
    }
}

fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(3600)
}

/// The nodes that should have a shard, best first; none if the slot missed it.
fn holders(segment: &Segment, code: usize) -> Vec<NodeId> {
    let slot = segment.rotation.slot(code);
    if segment.row.missed.contains(slot) {
        return Vec::new();
    }
    segment
        .group
        .slots
        .get(usize::from(slot.0))
        .map_or(Vec::new(), |row| row.holders(segment.id).collect())
}

/// Fetches a run from whoever should have it, in turn.
async fn fetch(
    sources: &Sources,
    segment: &Arc<Segment>,
    code: usize,
    rows: Range<u32>,
) -> Option<Run> {
    let slot = segment.rotation.slot(code);
    let holders = holders(segment, code);
    // While a newcomer is being filled, its "not found" is nobody's fault.
    let filling = holders.len() > 1;
    for node in holders {
        let Some(member) = sources.nodes.member(node) else { continue };
        match fetch_from(sources, &member, segment, slot, &rows).await {
            Ok(run) => {
                sources.nodes.did_right(node, Source::Read, segment.shard(slot));
                return Some(run);
            }
            Err(error) => report(sources, segment, slot, &member, &error, filling),
        }
    }
    None
}

/// Where rows lie in a shard: the first byte and how many. The whole shard if that is little more: its root then proves it without further hashes.
fn span(layout: &SegmentLayout, rows: &Range<u32>) -> (u64, u64) {
    let offset = layout.row(rows.start).shard_offset;
    let last = layout.row(rows.end - 1);
    let len = last.shard_offset + last.unit_len as u64 - offset;
    let all = layout.shard_len();
    if offset == 0 && all - len <= protocol::limits::HASH_GROUP { (0, all) } else { (offset, len) }
}

/// Fetches a run of one slot's shard from one node: what a customer's read asks, and an audit.
pub(crate) async fn fetch_from(
    sources: &Sources,
    member: &Member,
    segment: &Segment,
    slot: Slot,
    rows: &Range<u32>,
) -> Result<Run, NodeError> {
    let layout = segment.layout;
    let (offset, len) = span(&layout, rows);
    let most = if len == layout.shard_len() { WHOLE_MAX } else { STEP };
    let step = match len.next_multiple_of(protocol::limits::HASH_GROUP) {
        all if all <= most => all,
        _ => STEP,
    };
    let request = FetchRequest {
        shard: segment.shard(slot),
        epoch: segment.group.epoch,
        offset,
        len,
        step: u32::try_from(step).unwrap_or(u32::MAX),
    };
    let root = segment
        .row
        .roots
        .get(usize::from(slot.0))
        .ok_or(NodeError::Invalid("the segment has no such slot"))?;
    let begun = Instant::now();
    let mut slices = member.client().fetch(&request, root, layout.shard_len()).await?;
    let (mut taken, mut got) = (VecDeque::new(), 0);
    while let Some(slice) = slices.next().await {
        let slice = slice?.into_bytes();
        sources.metering.served(member.id(), sources.purpose, slice.len() as u64);
        got += slice.len() as u64;
        taken.push_back(slice);
    }
    member.fetched_in(begun.elapsed(), len);
    if got == len {
        Ok(Run { rows: rows.clone(), offset, slices: taken })
    } else {
        Err(NodeError::NotFound)
    }
}

/// Holds a failure against whom it concerns, and leaves a lost or wrong shard to repair.
fn report(
    sources: &Sources,
    segment: &Arc<Segment>,
    slot: Slot,
    member: &Arc<Member>,
    error: &NodeError,
    filling: bool,
) {
    tracing::debug!(segment = %segment.id, %slot, node = %member.id(), %error, "a shard could not be fetched");
    let (node, shard) = (member.id(), segment.shard(slot));
    let lost = match error {
        NodeError::Misbehaved(_) => true,
        NodeError::NotFound | NodeError::Failed { .. } => !filling,
        _ => false,
    };
    if !lost {
        return sources.nodes.did_not(node, Source::Read, shard, error, false);
    }
    let (sources, error) = (sources.clone(), error.clone());
    tokio::spawn(async move {
        let due = must_hold(&sources, shard, node).await.unwrap_or(false);
        sources.nodes.did_not(node, Source::Read, shard, &error, due);
        if let Err(error) = sources.catalog.mark_missed(shard.segment, &[slot]).await {
            tracing::warn!(segment = %shard.segment, %slot, %error, "a lost shard could not be noted");
        }
    });
}

/// Whether a node must have a shard by now, as the catalog sees it this moment: it holds the slot, the segment is still there, the shard is not
/// known to be missing, and it is not still on its way. Only then may "not found" be the node's fault.
pub(crate) async fn must_hold(
    sources: &Sources,
    shard: ShardId,
    node: NodeId,
) -> Result<bool, CatalogError> {
    let Sources { nodes, catalog, .. } = sources;
    let id = shard.segment;
    let Some(row) = catalog.segment(id).await?.filter(|row| row.group == shard.group) else {
        return Ok(false);
    };
    let Some(stream) = catalog.stream(id.stream).await? else { return Ok(false) };
    let group = catalog.group(row.group).await?;
    let slot = group.slots.get(usize::from(shard.slot.0));
    let holds = slot.is_some_and(|slot| {
        let filled = !slot.filling || slot.filled_to.is_some_and(|done| id <= done);
        slot.node == Some(node) && filled
    });
    let settled = nodes.now().since(stream.created) >= FRESH;
    Ok(holds && settled && !row.missed.contains(shard.slot))
}
