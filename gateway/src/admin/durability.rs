//! How safe the data is right now, and whether the catalog is in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use metadata::garbage::GarbageLeft;
use metadata::records::{GroupState, NodeState, PlacementGroup};
use serde::Serialize;
use types::{GroupId, NodeId};

use super::AdminParts;
use super::auth::Operator;
use super::error::ApiError;

/// Segments that one read of the catalog counts.
const PAGE: usize = 10_000;
/// Broken invariants that a report quotes; it always has their number.
const QUOTED_MAX: usize = 1000;

/// The state of all groups and segments.
#[derive(Serialize)]
pub(super) struct Durability {
    /// Whether nothing is left to repair: no segment misses a shard, and no group has fewer holders than it should.
    healthy: bool,
    segments: u64,
    /// Segments that miss at least one shard.
    degraded: u64,
    groups: Groups,
    nodes: NodeCounts,
    garbage: GarbageLeft,
}

/// Groups by state. One group may count in several fields.
#[derive(Default, Serialize)]
struct Groups {
    total: usize,
    open: usize,
    sealed: usize,
    /// With a slot that is being handed to another node.
    filling: usize,
    /// With fewer slots that are not lost than the geometry's r: repair has work.
    below_repair: usize,
    /// With fewer than w members online: no new segment until some return.
    unwritable: usize,
    /// With fewer than k members online: their segments cannot be read until some return.
    unreadable: usize,
}

#[derive(Default, Serialize)]
struct NodeCounts {
    online: usize,
    offline: usize,
    lost: usize,
}

/// `GET /admin/v1/durability`
pub(super) async fn show(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
) -> Result<Json<Durability>, ApiError> {
    let online: BTreeSet<NodeId> = admin.nodes.online().into_iter().collect();
    let states: BTreeMap<NodeId, NodeState> =
        admin.catalog.nodes().await?.into_iter().map(|(id, node)| (id, node.state)).collect();
    let all = admin.catalog.groups().await?;
    let mut groups = Groups { total: all.len(), ..Groups::default() };
    let mut segments = 0;
    for (id, group) in &all {
        groups.count(group, &online, &states);
        segments += segments_of(&admin, *id).await?;
    }
    let degraded = degraded(&admin).await?;
    let durability = Durability {
        healthy: degraded == 0 && groups.below_repair == 0,
        segments,
        degraded,
        groups,
        nodes: NodeCounts::of(&online, &states),
        garbage: admin.catalog.garbage_left().await?,
    };
    Ok(Json(durability))
}

impl Groups {
    fn count(
        &mut self,
        group: &PlacementGroup,
        online: &BTreeSet<NodeId>,
        states: &BTreeMap<NodeId, NodeState>,
    ) {
        let geometry = group.geometry.geometry();
        let holders = || group.slots.iter().filter_map(|slot| slot.node);
        let kept = holders().filter(|id| matches!(states.get(id), Some(NodeState::Active))).count();
        let here = holders().filter(|id| online.contains(id)).count();
        match group.state {
            GroupState::Open => self.open += 1,
            GroupState::Sealed => self.sealed += 1,
        }
        self.filling += usize::from(group.slots.iter().any(|slot| slot.filling));
        self.below_repair += usize::from(kept < geometry.r);
        self.unwritable += usize::from(here < geometry.w);
        self.unreadable += usize::from(here < geometry.k);
    }
}

impl NodeCounts {
    fn of(online: &BTreeSet<NodeId>, states: &BTreeMap<NodeId, NodeState>) -> Self {
        let mut counts = Self::default();
        for (id, state) in states {
            match state {
                NodeState::Lost { .. } => counts.lost += 1,
                NodeState::Active if online.contains(id) => counts.online += 1,
                NodeState::Active => counts.offline += 1,
            }
        }
        counts
    }
}

async fn segments_of(admin: &AdminParts, group: GroupId) -> Result<u64, ApiError> {
    let (mut count, mut after) = (0, None);
    loop {
        let page = admin.catalog.segments_of_group(group, after, PAGE).await?;
        count += page.len() as u64;
        after = page.last().copied();
        if page.len() < PAGE {
            return Ok(count);
        }
    }
}

async fn degraded(admin: &AdminParts) -> Result<u64, ApiError> {
    let (mut count, mut after) = (0, None);
    loop {
        let page = admin.catalog.degraded(after, PAGE).await?;
        count += page.len() as u64;
        after = page.last().copied();
        if page.len() < PAGE {
            return Ok(count);
        }
    }
}

/// What a check of the catalog found.
#[derive(Serialize)]
pub(super) struct Fsck {
    clean: bool,
    objects: u64,
    streams: u64,
    segments: u64,
    degraded: u64,
    /// How many invariants are broken; the first of them are quoted.
    broken_total: usize,
    broken: Vec<Broken>,
}

#[derive(Serialize)]
struct Broken {
    invariant: u8,
    what: String,
}

/// `POST /admin/v1/fsck`
pub(super) async fn fsck(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
) -> Result<Json<Fsck>, ApiError> {
    let report = admin.catalog.fsck().await?;
    let broken_total = report.broken.len();
    if broken_total > 0 {
        tracing::error!(broken_total, "the catalog breaks its invariants");
    }
    let broken = report.broken.into_iter().take(QUOTED_MAX);
    Ok(Json(Fsck {
        clean: broken_total == 0,
        objects: report.objects,
        streams: report.streams,
        segments: report.segments,
        degraded: report.degraded,
        broken_total,
        broken: broken.map(|(invariant, what)| Broken { invariant: invariant.0, what }).collect(),
    }))
}
