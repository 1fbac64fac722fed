//! Place: which placement group takes the next segment.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use codec::SchemeId;
use metadata::records::{GroupState, Node, NodeState, PlacementGroup, Rank};
use metadata::{Catalog, CatalogError};
use types::clock::SharedClock;
use types::entropy::{random_below, random_u64};
use types::{Geometry, GeometryName, GroupId, NodeId, Timestamp};

use super::PutError;
use crate::compute;
use crate::nodes::placement::{Candidate, Chosen, TooFew, choose, target};
use crate::nodes::vetting::VettingRules;
use crate::nodes::{Member, Nodes};

/// Groups are opened until each geometry has one for this many times its slots among the online nodes, so that load spreads.
const GROUPS_PER_SLOT_SET: usize = 2;
/// Open groups of one geometry, at most.
const OPEN_GROUPS_MAX: usize = 64;
/// After no group could be formed, writes go on with those there are for so long before it is tried again.
const FORM_AGAIN: Duration = Duration::from_secs(1);

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
    vetting: VettingRules,
    open: Mutex<HashMap<GeometryName, Vec<Placed>>>,
    /// When a group could not be formed for the last time.
    refused: Mutex<HashMap<GeometryName, Timestamp>>,
    /// Forming groups one at a time keeps a burst of first PUTs from forming one each.
    forming: tokio::sync::Mutex<()>,
}

/// Open groups that could take a segment.
#[derive(Default)]
struct Fit {
    /// Of which nobody is suspended or leaving.
    clean: Vec<Placed>,
    /// The others: they do while there are no better ones.
    rest: Vec<Placed>,
}

/// All that placement knows of the nodes, at one moment.
pub(crate) struct Network {
    nodes: HashMap<NodeId, Candidate>,
    /// Those that could take a shard now.
    usable: HashSet<NodeId>,
    vetted: usize,
}

impl Network {
    /// Those that could take a shard now.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.nodes.values().filter(|node| self.usable.contains(&node.id))
    }

    /// Any node that ever joined.
    pub(crate) fn describe(&self, id: NodeId) -> Option<Candidate> {
        self.nodes.get(&id).cloned()
    }

    /// How many vetted nodes there are, asleep or awake.
    pub(crate) fn vetted(&self) -> usize {
        self.vetted
    }
}

impl Placer {
    /// A placer; call [`Self::refresh`] before its first use.
    #[must_use]
    pub fn new(
        catalog: Catalog,
        nodes: Arc<Nodes>,
        clock: SharedClock,
        vetting: VettingRules,
    ) -> Self {
        Self {
            catalog,
            nodes,
            clock,
            vetting,
            open: Mutex::default(),
            refused: Mutex::default(),
            forming: tokio::sync::Mutex::new(()),
        }
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
        if let Some(placed) = self.ready_made(geometry) {
            return Ok(placed);
        }
        let _forming = self.forming.lock().await;
        if let Some(placed) = self.ready_made(geometry) {
            return Ok(placed);
        }
        if self.could_form(geometry)
            && let Some(placed) = self.form(geometry).await?
        {
            return Ok(placed);
        }
        let Fit { clean, rest } = self.fit(geometry);
        pick(&clean).or_else(|| pick(&rest)).ok_or_else(|| PutError::TooFewNodes {
            stored: self.usable().len().min(geometry.geometry().w.saturating_sub(1)),
            needed: geometry.geometry().w,
        })
    }

    /// Whether a write in `geometry` could be placed now.
    #[must_use]
    pub fn ready(&self, geometry: GeometryName) -> bool {
        let Fit { clean, rest } = self.fit(geometry);
        !clean.is_empty() || !rest.is_empty() || self.usable().len() >= geometry.geometry().w
    }

    /// One of the clean groups, if there are as many as there should be.
    fn ready_made(&self, geometry: GeometryName) -> Option<Placed> {
        let clean = self.fit(geometry).clean;
        if clean.len() >= self.wanted(geometry) { pick(&clean) } else { None }
    }

    /// Open groups of which enough members can take a shard now.
    fn fit(&self, geometry: GeometryName) -> Fit {
        let now = self.clock.now();
        let row = geometry.geometry();
        let least = members_wanted(&row);
        let mut fit = Fit::default();
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for placed in open.get(&geometry).map_or(&[][..], Vec::as_slice) {
            let members = placed.group.slots.iter().filter_map(|slot| slot.node);
            let here: Vec<Arc<Member>> =
                members.filter_map(|node| self.nodes.member(node)).collect();
            let usable = here.iter().filter(|member| usable(member, &row, now)).count();
            if usable >= least {
                let clean = here.iter().all(|member| member.trusted() && !member.leaving());
                let list = if clean { &mut fit.clean } else { &mut fit.rest };
                list.push(placed.clone());
            }
        }
        fit
    }

    /// How many open groups the nodes that are online deserve.
    fn wanted(&self, geometry: GeometryName) -> usize {
        groups_wanted(&geometry.geometry(), self.usable().len())
    }

    fn usable(&self) -> Vec<Arc<Member>> {
        let now = self.clock.now();
        let mut members = self.nodes.members();
        members.retain(|member| member.takes_shards(now));
        members
    }

    /// Whether a group could be formed that is better than those there are. On one machine, where a group may have members that are
    /// suspended, that takes as many others as there are slots.
    fn could_form(&self, geometry: GeometryName) -> bool {
        let row = geometry.geometry();
        let usable = self.usable();
        let trusted = usable.iter().filter(|member| member.trusted()).count();
        if geometry == GeometryName::Local {
            return trusted >= row.n
                || (usable.len() >= row.w && self.fit(geometry).rest.is_empty());
        }
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let lately =
            refused.get(&geometry).is_some_and(|at| self.clock.now().since(*at) < FORM_AGAIN);
        trusted >= row.w && !lately
    }

    /// Forms a group of nodes that are online; `None` if that cannot be done by the rules.
    async fn form(&self, geometry: GeometryName) -> Result<Option<Placed>, PutError> {
        let row = geometry.geometry();
        let network = self.network().await?;
        let candidates: Vec<Candidate> = network.candidates().cloned().collect();
        let (online, vetted) = (candidates.len(), network.vetted());
        // Making the worst hour better may take some hundred milliseconds.
        let chosen = compute::run(move || choose(&row, &candidates, vetted, random_u64)).await;
        let Chosen { members, unreadable } = match chosen {
            Ok(chosen) => chosen,
            Err(TooFew { found, needed }) => {
                tracing::warn!(
                    %geometry, online, found, needed,
                    "no placement group can be formed: too few nodes of different owners, subnets and regions, or too many newcomers"
                );
                let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                refused.insert(geometry, self.clock.now());
                return Ok(None);
            }
        };
        let slots: Vec<Option<NodeId>> =
            members.iter().copied().map(Some).chain(std::iter::repeat(None)).take(row.n).collect();
        let scheme = SchemeId::DEFAULT;
        let (id, group) = self.catalog.create_group(geometry, scheme.0, &slots).await?;
        tracing::info!(%id, %geometry, members = members.len(), unreadable, "placement group formed");
        if unreadable > target(geometry) {
            tracing::warn!(
                %id, %geometry, unreadable, target = target(geometry),
                "no better group could be formed: in its worst hour of the week too many of its members may sleep"
            );
        }
        let placed = Placed { id, group: Arc::new(group) };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.entry(geometry).or_default().push(placed.clone());
        Ok(Some(placed))
    }

    /// All that is known of the nodes now.
    ///
    /// # Errors
    /// The catalog's.
    pub(crate) async fn network(&self) -> Result<Network, CatalogError> {
        let known = self.catalog.nodes().await?;
        let kept = |(id, node): &&(NodeId, Node)| {
            self.nodes.vetted(*id) && !matches!(node.state, NodeState::Lost { .. })
        };
        let vetted = known.iter().filter(kept).count();
        let mut usable: HashSet<NodeId> = self.usable().iter().map(|member| member.id()).collect();
        usable.retain(|id| self.nodes.rank(*id) < Rank::Disqualified);
        let nodes = known.into_iter().map(|(id, node)| (id, self.describe(id, node)));
        Ok(Network { nodes: nodes.collect(), usable, vetted })
    }

    fn describe(&self, id: NodeId, node: Node) -> Candidate {
        let vetted = self.nodes.vetted(id);
        let status = self.nodes.status(id);
        let used = status.as_ref().map_or(0, |status| status.used);
        let trusted = self.nodes.member(id).is_some_and(|member| member.trusted());
        Candidate {
            id,
            owner: node.owner,
            subnet: node.subnet,
            region: node.region,
            vetted,
            trusted: trusted && (vetted || used < self.vetting.bytes_max),
            free: status.map_or(0, |status| status.free),
            chances: self.nodes.chances(id),
        }
    }
}

/// How many open groups so many nodes that could take a shard deserve.
#[must_use]
pub fn groups_wanted(geometry: &Geometry, usable: usize) -> usize {
    if usable <= geometry.n {
        1
    } else {
        (GROUPS_PER_SLOT_SET * usable.div_ceil(geometry.n)).min(OPEN_GROUPS_MAX)
    }
}

/// How many members of a group must be able to take a shard, for the group to take a segment.
#[must_use]
pub fn members_wanted(geometry: &Geometry) -> usize {
    geometry.open_members().min(geometry.w)
}

/// Whether a member may be given a shard of such a group: on one machine also if it is suspended.
pub(crate) fn usable(member: &Member, geometry: &Geometry, now: Timestamp) -> bool {
    member.takes_shards(now) && (member.trusted() || geometry.name == GeometryName::Local)
}

fn pick(groups: &[Placed]) -> Option<Placed> {
    groups.get(random_below(groups.len() as u64) as usize).cloned()
}
