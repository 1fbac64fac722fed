//! Queue: what is to be repaired first. Pure, but for the counters of [`Progress`].
//!
//! By risk, not in the order of a scan: a segment that can lose one more shard goes before a thousand that can lose twenty, wherever the
//! catalog lists them. The risk is the chance that the data is lost before repair would come round again ([`Model::loss`]), which
//! depends on how many shards *survive* on nodes that are not lost ([`PlacementGroup::shards_with`](metadata::PlacementGroup::shards_with)). A node that sleeps has not lost its shards.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use types::{Geometry, GroupId, SegmentId};

use crate::nodes::outlook::Model;

/// Something to repair.
#[derive(Clone, PartialEq, Debug)]
pub struct Work {
    /// The chance that it is lost before repair comes round again.
    pub risk: f64,
    /// Shards that survive.
    pub survivors: usize,
    /// What.
    pub task: Task,
}

/// What to repair.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Task {
    /// One segment that misses shards.
    Segment(GroupId, SegmentId),
    /// The next segments of a group of which slots changed hands.
    Refill(GroupId),
}

impl Work {
    /// The riskiest first; of equally risky ones the one with fewer survivors, then in the order of ids, so that it is always the same.
    #[must_use]
    pub fn cmp_urgency(&self, other: &Self) -> Ordering {
        other
            .risk
            .total_cmp(&self.risk)
            .then_with(|| self.survivors.cmp(&other.survivors))
            .then_with(|| self.task.cmp(&other.task))
    }
}

/// Keeps the `max` most urgent of any number.
pub struct Queue {
    max: usize,
    work: Vec<Work>,
}

impl Queue {
    /// An empty one.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { max, work: Vec::new() }
    }

    /// Adds one; once there are twice too many, the less urgent half is forgotten.
    pub fn push(&mut self, work: Work) {
        self.work.push(work);
        if self.work.len() >= self.max.saturating_mul(2) {
            self.cut();
        }
    }

    /// What is in it, the most urgent first.
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<Work> {
        self.cut();
        self.work
    }

    fn cut(&mut self) {
        self.work.sort_by(Work::cmp_urgency);
        self.work.truncate(self.max);
    }
}

/// Risks by geometry and survivors: there are few of them, and each costs a sum.
pub struct Risks {
    model: Model,
    known: HashMap<(usize, usize), f64>,
}

impl Risks {
    /// By this model.
    #[must_use]
    pub fn new(model: Model) -> Self {
        Self { model, known: HashMap::new() }
    }

    /// The chance that data with so many surviving shards is lost before repair comes round again.
    pub fn of(&mut self, geometry: &Geometry, survivors: usize) -> f64 {
        let model = self.model;
        *self
            .known
            .entry((geometry.k, survivors))
            .or_insert_with(|| model.loss(geometry.k, survivors))
    }
}

/// Whether so few survive that repair does not wait for its pace: less than half the way from k to r is left.
#[must_use]
pub fn is_urgent(geometry: &Geometry, survivors: usize) -> bool {
    survivors < usize::midpoint(geometry.k, geometry.r)
}

/// What repair has done since the gateway started, and what it has to do.
#[derive(Debug, Default)]
pub struct Progress {
    /// Segments and groups in the queue, when it was last made.
    pub waiting: AtomicU64,
    /// Those of them that cannot be repaired now: too few of their shards, or none of the nodes to repair onto, are online.
    pub stuck: AtomicU64,
    /// Slots that changed hands and are being filled.
    pub filling: AtomicU64,
    /// Shards rebuilt.
    pub shards: AtomicU64,
    /// Bytes moved for that: read and written.
    pub bytes: AtomicU64,
}

impl Progress {
    /// Notes the queue as it is now.
    pub fn queued(&self, waiting: usize, stuck: usize, filling: usize) {
        self.waiting.store(waiting as u64, Relaxed);
        self.stuck.store(stuck as u64, Relaxed);
        self.filling.store(filling as u64, Relaxed);
        metrics::gauge!("drystone_repair_waiting").set(waiting as f64);
        metrics::gauge!("drystone_repair_stuck").set(stuck as f64);
        metrics::gauge!("drystone_repair_slots_filling").set(filling as f64);
    }

    /// Notes rebuilt shards.
    pub fn rebuilt(&self, shards: u64) {
        self.shards.fetch_add(shards, Relaxed);
        metrics::counter!("drystone_shards_repaired_total").increment(shards);
    }

    /// Notes bytes that were moved.
    pub fn moved(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
        metrics::counter!("drystone_repair_bytes_total").increment(bytes);
    }
}

#[cfg(test)]
mod tests;
