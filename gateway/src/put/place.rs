//! Place: which placement group takes the next segment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use codec::SchemeId;
use metadata::Catalog;
use metadata::records::{GroupState, PlacementGroup};
use types::clock::SharedClock;
use types::entropy::random_below;
use types::{GeometryName, GroupId, NodeId};

use super::PutError;
use crate::nodes::Nodes;

/// Groups are opened until each geometry has one for this many times its slots among the online nodes, so that load spreads.
const GROUPS_PER_SLOT_SET: usize = 2;
/// Open groups of one geometry, at most.
const OPEN_GROUPS_MAX: usize = 64;

/// A group as placement saw it.
#[derive(Clone)]
pub struct Placed {
    /// Its id.
    pub id: GroupId,
    /// Its slots.
    pub group: Arc<PlacementGroup>,
}

/// Chooses groups. Keeps the open ones in memory; the catalog has the truth, and [`Placer::refresh`] fetches it.
pub struct Placer {
    catalog: Catalog,
    nodes: Arc<Nodes>,
    clock: SharedClock,
    open: Mutex<HashMap<GeometryName, Vec<Placed>>>,
    /// Forming groups one at a time keeps a burst of first PUTs from forming one each.
    forming: tokio::sync::Mutex<()>,
}

impl Placer {
    /// A placer; call [`Self::refresh`] before its first use.
    #[must_use]
    pub fn new(catalog: Catalog, nodes: Arc<Nodes>, clock: SharedClock) -> Self {
        Self { catalog, nodes, clock, open: Mutex::default(), forming: tokio::sync::Mutex::new(()) }
    }

    /// Learns the open groups from the catalog: at start, and after slots changed hands.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn refresh(&self) -> Result<(), PutError> {
        let mut open: HashMap<GeometryName, Vec<Placed>> = HashMap::new();
        for (id, group) in self.catalog.groups().await? {
            if group.state == GroupState::Open {
                open.entry(group.geometry).or_default().push(Placed { id, group: Arc::new(group) });
            }
        }
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = open;
        Ok(())
    }

    /// A group for the next segment: one of the open groups with enough members that are online and have room, at random.
    ///
    /// # Errors
    /// [`PutError::TooFewNodes`] if there is none and none can be formed.
    pub async fn place(&self, geometry: GeometryName) -> Result<Placed, PutError> {
        let (fit, wanted) = (self.fit(geometry), self.wanted(geometry));
        if fit.len() >= wanted
            && let Some(placed) = pick(&fit)
        {
            return Ok(placed);
        }
        let _forming = self.forming.lock().await;
        let fit = self.fit(geometry);
        if fit.len() < wanted
            && let Some(placed) = self.form(geometry).await?
        {
            return Ok(placed);
        }
        pick(&fit).ok_or_else(|| PutError::TooFewNodes {
            stored: self.usable().len().min(geometry.geometry().w.saturating_sub(1)),
            needed: geometry.geometry().w,
        })
    }

    /// Whether a write in `geometry` could be placed now.
    #[must_use]
    pub fn ready(&self, geometry: GeometryName) -> bool {
        !self.fit(geometry).is_empty() || self.usable().len() >= geometry.geometry().w
    }

    /// Open groups of which enough members can take a shard now.
    fn fit(&self, geometry: GeometryName) -> Vec<Placed> {
        let now = self.clock.now();
        let least = geometry.geometry().open_members().min(geometry.geometry().w);
        let usable =
            |node: NodeId| self.nodes.member(node).is_some_and(|member| member.takes_shards(now));
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let groups = open.get(&geometry).map_or(&[][..], Vec::as_slice);
        groups
            .iter()
            .filter(|placed| {
                let members = placed.group.slots.iter().filter_map(|slot| slot.node);
                members.filter(|node| usable(*node)).count() >= least
            })
            .cloned()
            .collect()
    }

    /// How many open groups the nodes that are online deserve.
    fn wanted(&self, geometry: GeometryName) -> usize {
        let n = geometry.geometry().n;
        let usable = self.usable().len();
        if usable <= n {
            1
        } else {
            (GROUPS_PER_SLOT_SET * usable.div_ceil(n)).min(OPEN_GROUPS_MAX)
        }
    }

    fn usable(&self) -> Vec<NodeId> {
        let now = self.clock.now();
        self.nodes
            .members()
            .iter()
            .filter(|member| member.takes_shards(now))
            .map(|member| member.id())
            .collect()
    }

    /// Forms a group of nodes that are online, those with most room first among a random choice; `None` if fewer than w are.
    async fn form(&self, geometry: GeometryName) -> Result<Option<Placed>, PutError> {
        let row = geometry.geometry();
        let mut usable = self.usable();
        if usable.len() < row.w {
            return Ok(None);
        }
        shuffle(&mut usable);
        let members: Vec<Option<NodeId>> =
            usable.into_iter().map(Some).chain(std::iter::repeat(None)).take(row.n).collect();
        let scheme = SchemeId::DEFAULT;
        let (id, group) = self.catalog.create_group(geometry, scheme.0, &members).await?;
        tracing::info!(%id, %geometry, members = members.iter().flatten().count(), "placement group formed");
        let placed = Placed { id, group: Arc::new(group) };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.entry(geometry).or_default().push(placed.clone());
        Ok(Some(placed))
    }
}

fn pick(groups: &[Placed]) -> Option<Placed> {
    groups.get(random_below(groups.len() as u64) as usize).cloned()
}

fn shuffle<T>(items: &mut [T]) {
    for end in (1..items.len()).rev() {
        items.swap(end, random_below(end as u64 + 1) as usize);
    }
}
