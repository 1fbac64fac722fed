//! Facts: where one object's shards are, and how safe that makes it. What a customer sees on request, and the operator at any time.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use metadata::records::{Node, NodeState, PlacementGroup, Rank};
use metadata::{Catalog, CatalogError, Extent};
use serde::Serialize;
use types::{Geometry, GroupId, NodeId, SegmentId};

use super::Nodes;

/// Segments looked at for one object: of a larger one, so many spread evenly over it.
const SEGMENTS_MAX: u32 = 256;

/// The state of an object's weakest segment, except where it says otherwise.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Facts {
    /// Segments of the object; none if it is small and kept in the catalog.
    pub segments: u64,
    /// Of those, how many were looked at for the following.
    pub looked_at: u64,
    /// Shards of each segment.
    pub shards: usize,
    /// Shards on nodes that are not lost.
    pub alive: usize,
    /// Shards on nodes that are connected now.
    pub online: usize,
    /// Shards that are enough to read it.
    pub needed: usize,
    /// Repair begins when fewer shards than this are alive.
    pub repair_below: usize,
    /// Different owners of the nodes that hold a segment, at least.
    pub owners: usize,
    /// Different subnets, at least.
    pub subnets: usize,
    /// Different regions, at least; those whose region nobody told count as one.
    pub regions: usize,
    /// Segments that miss a shard and wait for repair.
    pub waiting_for_repair: u64,
}

impl fmt::Display for Facts {
    /// As the header says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segments == 0 {
            return f.write_str("kept-in=catalog");
        }
        let Self { shards, alive, online, needed, repair_below, owners, regions, .. } = self;
        write!(
            f,
            "shards={shards}; alive={alive}; online={online}; needed={needed}; repair-below={repair_below}; owners={owners}; regions={regions}; waiting-for-repair={}",
            self.waiting_for_repair
        )
    }
}

/// Groups and nodes as far as they were asked for.
#[derive(Default)]
struct Known {
    groups: HashMap<GroupId, PlacementGroup>,
    nodes: HashMap<NodeId, Option<Node>>,
}

/// The facts of an object with these extents.
///
/// # Errors
/// The catalog's.
pub async fn facts(
    catalog: &Catalog,
    nodes: &Nodes,
    extents: &[Extent],
) -> Result<Facts, CatalogError> {
    let mut streams = BTreeMap::new();
    for extent in extents {
        if let Some(row) = catalog.stream(extent.stream).await? {
            streams.insert(extent.stream, row.segments);
        }
    }
    let segments: u64 = streams.values().copied().map(u64::from).sum();
    let every = u32::try_from(segments.div_ceil(u64::from(SEGMENTS_MAX))).unwrap_or(u32::MAX);
    let online: BTreeSet<NodeId> = nodes.online().into_iter().collect();
    let mut known = Known::default();
    let mut all: Option<Facts> = None;
    let ids = streams
        .into_iter()
        .flat_map(|(stream, count)| (0..count).map(move |index| SegmentId { stream, index }));
    for id in ids.step_by(every.max(1) as usize) {
        if let Some(one) = of_segment(catalog, nodes, &online, &mut known, id).await? {
            all = Some(all.map_or_else(|| one.clone(), |all| all.and(&one)));
        }
    }
    let nothing = Facts {
        segments: 0,
        looked_at: 0,
        shards: 0,
        alive: 0,
        online: 0,
        needed: 0,
        repair_below: 0,
        owners: 0,
        subnets: 0,
        regions: 0,
        waiting_for_repair: 0,
    };
    Ok(Facts { segments, ..all.unwrap_or(nothing) })
}

impl Facts {
    /// Of two segments together.
    fn and(self, other: &Self) -> Self {
        let weaker =
            if other.alive * self.needed < self.alive * other.needed { other } else { &self };
        Self {
            segments: self.segments,
            looked_at: self.looked_at + other.looked_at,
            shards: weaker.shards,
            alive: weaker.alive,
            online: self.online.min(other.online),
            needed: weaker.needed,
            repair_below: weaker.repair_below,
            owners: self.owners.min(other.owners),
            subnets: self.subnets.min(other.subnets),
            regions: self.regions.min(other.regions),
            waiting_for_repair: self.waiting_for_repair + other.waiting_for_repair,
        }
    }
}

async fn of_segment(
    catalog: &Catalog,
    nodes: &Nodes,
    online: &BTreeSet<NodeId>,
    known: &mut Known,
    id: SegmentId,
) -> Result<Option<Facts>, CatalogError> {
    let Some(row) = catalog.segment(id).await? else { return Ok(None) };
    if !known.groups.contains_key(&row.group) {
        let group = catalog.group(row.group).await?;
        for node in group.slots.iter().flat_map(|slot| slot.node.into_iter().chain(slot.previous)) {
            if let Entry::Vacant(place) = known.nodes.entry(node) {
                place.insert(catalog.node(node).await?);
            }
        }
        known.groups.insert(row.group, group);
    }
    let Some(group) = known.groups.get(&row.group) else { return Ok(None) };
    let counts = |node: NodeId| {
        let row = known.nodes.get(&node).and_then(Option::as_ref);
        row.is_some_and(|row| !matches!(row.state, NodeState::Lost { .. }))
            && nodes.rank(node) < Rank::Disqualified
    };
    let keepers =
        || group.slots.iter().filter_map(|slot| slot.keeper(id)).filter(|node| counts(*node));
    let rows = || keepers().filter_map(|node| Some((node, known.nodes.get(&node)?.as_ref()?)));
    let owner = |(node, row): (NodeId, &Node)| {
        row.owner.as_ref().map_or_else(|| node.to_string(), |owner| owner.as_str().to_owned())
    };
    let place = |(node, row): (NodeId, &Node)| {
        row.subnet.map_or_else(|| node.to_string(), |subnet| subnet.to_string())
    };
    let Geometry { k, n, r, .. } = group.geometry.geometry();
    Ok(Some(Facts {
        segments: 1,
        looked_at: 1,
        shards: n,
        alive: group.shards_with(&row.missed, id, counts),
        online: group.shards_with(&row.missed, id, |node| online.contains(&node)),
        needed: k,
        repair_below: r,
        owners: rows().map(owner).collect::<BTreeSet<_>>().len(),
        subnets: rows().map(place).collect::<BTreeSet<_>>().len(),
        regions: rows().map(|(_, row)| row.region.as_deref()).collect::<BTreeSet<_>>().len(),
        waiting_for_repair: u64::from(!row.missed.is_empty()),
    }))
}
