//! How safe the data is right now: as a whole, group by group, and for one object.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::Json;
use axum::extract::{Query, State};
use metadata::garbage::GarbageLeft;
use metadata::records::{GroupState, Node, NodeState, PlacementGroup, Rank, SlotRow};
use metadata::{CatalogError, LocatedBody};
use serde::{Deserialize, Serialize};
use types::{BucketName, GeometryName, GroupId, NodeId, ObjectKey, VersionId};

use super::AdminParts;
use super::auth::Operator;
use super::error::ApiError;
use crate::compute;
use crate::nodes::availability::{Chances, worst_hour};
use crate::nodes::facts::{Facts, facts};
use crate::nodes::outlook::Model;
use crate::nodes::placement::target;

/// Segments that one read of the catalog counts.
const PAGE: usize = 10_000;
/// Groups that are shown one by one, unless more are asked for: those that are worst off.
const SHOWN: usize = 20;
/// Degraded segments whose survivors are counted; of more, groups show what the first ones say.
const COUNTED_MAX: u64 = 50_000;

/// Which groups to show one by one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Shown {
    /// How many; the worst first.
    groups: Option<usize>,
}

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
    /// Nines of the group that is worst off, for a year, by the model (`docs/PLACEMENT.md`); nothing without groups.
    nines: Option<f64>,
    /// Hours until the first group needs repair, on average, by the model; 0 if one does now.
    hours_until_repair: Option<f64>,
    repair: Repair,
    /// The groups that are worst off, the worst first.
    worst: Vec<ShownGroup>,
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
    /// Below r, or more likely to be unreadable in some hour of the week than they should be.
    at_risk: usize,
    /// With a segment of which fewer than k shards are left.
    lost: usize,
}

#[derive(Default, Serialize)]
struct NodeCounts {
    online: usize,
    offline: usize,
    lost: usize,
}

/// What repair has to do, and has done since the gateway started.
#[derive(Serialize)]
struct Repair {
    /// Segments and groups that are being worked off, the riskiest first.
    waiting: u64,
    /// Those that wait for nodes to return, or for spare ones to join.
    stuck: u64,
    /// Slots that changed hands and are being filled.
    slots_filling: u64,
    shards_rebuilt: u64,
    bytes_moved: u64,
    /// The bound; nothing, if there is none.
    bytes_per_second_max: Option<u64>,
}

/// One group.
#[derive(Serialize)]
struct ShownGroup {
    group: String,
    geometry: GeometryName,
    /// `healthy`, `degraded` (a shard is missing), `at_risk`, or `lost`.
    condition: &'static str,
    state: &'static str,
    segments: u64,
    degraded: u64,
    members: usize,
    online: usize,
    /// Shards that are left of the segment that is worst off.
    survivors: usize,
    needed: usize,
    owners: usize,
    subnets: usize,
    regions: usize,
    /// The chance that it cannot be read in its worst hour of the week.
    unreadable: f64,
    /// That hour, counted in UTC from Monday 00:00.
    worst_hour: usize,
    nines: f64,
    hours_until_repair: f64,
}

/// What the report is made of, gathered before it is computed.
struct Material {
    groups: Vec<(GroupId, PlacementGroup)>,
    segments: HashMap<GroupId, u64>,
    degraded: HashMap<GroupId, u64>,
    /// The fewest surviving shards among a group's degraded segments.
    fewest: HashMap<GroupId, usize>,
    nodes: BTreeMap<NodeId, Node>,
    alive: BTreeSet<NodeId>,
    online: BTreeSet<NodeId>,
    chances: HashMap<NodeId, Chances>,
    model: Model,
}

/// `GET /admin/v1/durability?groups=N`
pub(super) async fn show(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Query(shown): Query<Shown>,
) -> Result<Json<Durability>, ApiError> {
    let material = gather(&admin).await?;
    let garbage = admin.catalog.garbage_left().await?;
    let progress = &admin.progress;
    let repair = Repair {
        waiting: progress.waiting.load(Relaxed),
        stuck: progress.stuck.load(Relaxed),
        slots_filling: progress.filling.load(Relaxed),
        shards_rebuilt: progress.shards.load(Relaxed),
        bytes_moved: progress.bytes.load(Relaxed),
        bytes_per_second_max: admin.pacer.rate(),
    };
    let most = shown.groups.unwrap_or(SHOWN);
    // Half a millisecond of arithmetic for each group.
    Ok(Json(compute::run(move || material.report(garbage, repair, most)).await))
}

async fn gather(admin: &AdminParts) -> Result<Material, ApiError> {
    let (nodes, alive, model) = modelled(admin).await?;
    let groups = admin.catalog.groups().await?;
    let mut segments = HashMap::new();
    for (id, _) in &groups {
        segments.insert(*id, segments_of(admin, *id).await?);
    }
    let mut material = Material {
        segments,
        degraded: HashMap::new(),
        fewest: HashMap::new(),
        online: admin.nodes.online().into_iter().collect(),
        chances: nodes.keys().map(|id| (*id, admin.nodes.chances(*id))).collect(),
        model,
        groups,
        nodes,
        alive,
    };
    material.count_degraded(admin).await?;
    Ok(material)
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

impl Material {
    async fn count_degraded(&mut self, admin: &AdminParts) -> Result<(), ApiError> {
        let groups: HashMap<GroupId, &PlacementGroup> =
            self.groups.iter().map(|(id, group)| (*id, group)).collect();
        let (mut after, mut counted) = (None, 0);
        loop {
            let page = admin.catalog.degraded(after, PAGE).await?;
            for (id, segment) in &page {
                *self.degraded.entry(*id).or_default() += 1;
                counted += 1;
                if counted > COUNTED_MAX {
                    continue;
                }
                if let (Some(group), Some(row)) =
                    (groups.get(id), admin.catalog.segment(*segment).await?)
                {
                    let alive = |node| self.alive.contains(&node);
                    let left = group.shards_with(&row.missed, *segment, alive);
                    let fewest = self.fewest.entry(*id).or_insert(left);
                    *fewest = left.min(*fewest);
                }
            }
            after = page.last().copied();
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }

    fn report(self, garbage: GarbageLeft, repair: Repair, most: usize) -> Durability {
        let mut groups = Groups { total: self.groups.len(), ..Groups::default() };
        let mut worst: Vec<ShownGroup> =
            self.groups.iter().map(|(id, group)| self.shown(*id, group)).collect();
        for ((_, group), shown) in self.groups.iter().zip(&worst) {
            groups.count(group, shown, &self.alive);
        }
        let least = |of: fn(&ShownGroup) -> f64| worst.iter().map(of).min_by(f64::total_cmp);
        let (nines, hours_until_repair) =
            (least(|group| group.nines), least(|group| group.hours_until_repair));
        worst.sort_by(|one, other| {
            let nines = one.nines.total_cmp(&other.nines);
            nines.then_with(|| other.unreadable.total_cmp(&one.unreadable))
        });
        worst.truncate(most);
        let degraded = self.degraded.values().sum();
        Durability {
            healthy: degraded == 0 && groups.below_repair == 0,
            segments: self.segments.values().sum(),
            degraded,
            groups,
            nodes: NodeCounts::of(&self.online, &self.nodes),
            garbage,
            nines,
            hours_until_repair,
            repair,
            worst,
        }
    }

    fn shown(&self, id: GroupId, group: &PlacementGroup) -> ShownGroup {
        let geometry = group.geometry.geometry();
        let of = |map: &HashMap<GroupId, u64>| map.get(&id).copied().unwrap_or(0);
        let members: Vec<NodeId> = group.slots.iter().filter_map(|slot| slot.node).collect();
        let rows: Vec<(&NodeId, &Node)> =
            members.iter().filter_map(|node| self.nodes.get_key_value(node)).collect();
        let chances: Vec<&Chances> =
            members.iter().filter_map(|node| self.chances.get(node)).collect();
        let (hour, unreadable) = worst_hour(&chances, geometry.k, geometry.r);
        // Where the previous holder still has what the new one lacks, nothing is lost.
        let kept = |slot: &SlotRow| {
            let holder = if slot.filling { slot.previous } else { slot.node };
            holder.is_some_and(|node| self.alive.contains(&node))
        };
        let whole = group.slots.iter().filter(|slot| kept(slot)).count();
        let survivors = self.fewest.get(&id).copied().unwrap_or(whole).min(whole);
        let degraded = of(&self.degraded);
        let (segments, nothing) = (of(&self.segments), of(&self.segments) == 0);
        let at_risk = survivors < geometry.r || unreadable > target(group.geometry);
        let condition = match () {
            () if survivors < geometry.k && !nothing => "lost",
            () if at_risk => "at_risk",
            () if degraded > 0 => "degraded",
            () => "healthy",
        };
        let distinct = |of: &dyn Fn(&NodeId, &Node) -> String| {
            rows.iter().map(|(id, row)| of(id, row)).collect::<BTreeSet<_>>().len()
        };
        ShownGroup {
            group: id.to_string(),
            geometry: group.geometry,
            condition,
            state: match group.state {
                GroupState::Open => "open",
                GroupState::Sealed => "sealed",
            },
            segments,
            degraded,
            members: members.len(),
            online: members.iter().filter(|node| self.online.contains(node)).count(),
            survivors,
            needed: geometry.k,
            owners: distinct(&|id, row| {
                row.owner.as_ref().map_or_else(|| id.to_string(), |owner| owner.as_str().to_owned())
            }),
            subnets: distinct(&|id, row| {
                row.subnet.map_or_else(|| id.to_string(), |subnet| subnet.to_string())
            }),
            regions: distinct(&|_, row| row.region.clone().unwrap_or_default()),
            unreadable,
            worst_hour: hour,
            nines: self.model.nines(geometry.k, survivors),
            hours_until_repair: self.model.hours_until_repair(&geometry, survivors),
        }
    }
}

impl Groups {
    fn count(&mut self, group: &PlacementGroup, shown: &ShownGroup, alive: &BTreeSet<NodeId>) {
        let geometry = group.geometry.geometry();
        let holders = group.slots.iter().filter_map(|slot| slot.node);
        let kept = holders.filter(|id| alive.contains(id)).count();
        match group.state {
            GroupState::Open => self.open += 1,
            GroupState::Sealed => self.sealed += 1,
        }
        self.filling += usize::from(group.slots.iter().any(|slot| slot.filling));
        self.below_repair += usize::from(kept < geometry.r);
        self.unwritable += usize::from(shown.online < geometry.w);
        self.unreadable += usize::from(shown.online < geometry.k);
        self.at_risk += usize::from(matches!(shown.condition, "at_risk" | "lost"));
        self.lost += usize::from(shown.condition == "lost");
    }
}

impl NodeCounts {
    fn of(online: &BTreeSet<NodeId>, nodes: &BTreeMap<NodeId, Node>) -> Self {
        let mut counts = Self::default();
        for (id, node) in nodes {
            match node.state {
                NodeState::Lost { .. } => counts.lost += 1,
                _ if online.contains(id) => counts.online += 1,
                NodeState::Active | NodeState::Leaving { .. } => counts.offline += 1,
            }
        }
        counts
    }
}

/// Which object.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfObject {
    bucket: String,
    key: String,
    version: Option<String>,
}

/// An object's facts, and what the model makes of them.
#[derive(Serialize)]
pub(super) struct ObjectDurability {
    #[serde(flatten)]
    facts: Facts,
    /// For a year, by the model; nothing for an object that is kept in the catalog.
    nines: Option<f64>,
    /// Hours until repair begins, on average, by the model; 0 if it has work now.
    hours_until_repair: Option<f64>,
}

/// `GET /admin/v1/durability/object?bucket=B&key=K&version=V`
pub(super) async fn object(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Query(of): Query<OfObject>,
) -> Result<Json<ObjectDurability>, ApiError> {
    let invalid = |error: &dyn std::fmt::Display| ApiError::Invalid(error.to_string());
    let name: BucketName = of.bucket.parse().map_err(|error| invalid(&error))?;
    let key: ObjectKey = of.key.parse().map_err(|error| invalid(&error))?;
    let version: Option<VersionId> =
        of.version.map(|text| text.parse()).transpose().map_err(|error| invalid(&error))?;
    let bucket = admin.catalog.bucket(&name).await.map_err(not_there)?;
    let located = admin.catalog.locate_version(bucket.id, &key, version).await;
    let located = located.map_err(not_there)?;
    let extents = match located.body().await? {
        LocatedBody::Inline(_) => Vec::new(),
        LocatedBody::Extents(extents) => extents,
    };
    let facts = facts(&admin.catalog, &admin.nodes, &extents).await?;
    let (_, _, model) = modelled(&admin).await?;
    let geometry = located.entry.geometry.geometry();
    let kept = facts.segments > 0;
    Ok(Json(ObjectDurability {
        nines: kept.then(|| model.nines(facts.needed, facts.alive)),
        hours_until_repair: kept.then(|| model.hours_until_repair(&geometry, facts.alive)),
        facts,
    }))
}

/// What is an S3 error elsewhere is here simply not there.
fn not_there(error: CatalogError) -> CatalogError {
    match error {
        CatalogError::NoSuchBucket(_) => CatalogError::Missing("bucket"),
        CatalogError::NoSuchKey
        | CatalogError::NoSuchVersion
        | CatalogError::DeleteMarker { .. } => CatalogError::Missing("object"),
        other => other,
    }
}

/// All nodes, those of them that are not lost, and how nodes vanish.
async fn modelled(
    admin: &AdminParts,
) -> Result<(BTreeMap<NodeId, Node>, BTreeSet<NodeId>, Model), ApiError> {
    let now = admin.clock.now();
    let nodes: BTreeMap<NodeId, Node> = admin.catalog.nodes().await?.into_iter().collect();
    let kept = |id: NodeId, node: &Node| {
        !matches!(node.state, NodeState::Lost { .. }) && admin.nodes.rank(id) < Rank::Disqualified
    };
    let alive: BTreeSet<NodeId> =
        nodes.iter().filter(|(id, node)| kept(**id, node)).map(|(id, _)| *id).collect();
    let hours = nodes.values().map(|node| now.since(node.joined).as_secs_f64() / 3600.0).sum();
    let model = Model::measured(nodes.len() - alive.len(), hours, admin.node_lost_after);
    Ok((nodes, alive, model))
}
