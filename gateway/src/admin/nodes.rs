//! Nodes: how they have done, and what the operator makes of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use metadata::CatalogError;
use metadata::records::{
    Fault, Finding, Node, NodeState, PlacementGroup, Rank, RankChange, Source, Standing,
};
use serde::{Deserialize, Serialize};
use types::{AccountId, GroupId, NodeId};

use super::AdminParts;
use super::auth::Operator;
use super::error::ApiError;
use super::health::{rfc3339, unreadable};
use crate::nodes::availability::HOURS;
use crate::nodes::score::{self, WORDS_MAX};
use crate::nodes::vetting::{Newcomer, Wanting};
use crate::nodes::{NodeStatus, rank_name};

/// Segments that are counted of what a leaving node still has to hand over, in each group.
const REMAINING_MAX: usize = 10_000;

/// A node as it is shown.
#[derive(Serialize)]
pub(super) struct ShownNode {
    id: String,
    name: String,
    state: &'static str,
    /// Since when it is in that state.
    since: String,
    joined: String,
    capacity: u64,
    used: Option<u64>,
    free: Option<u64>,
    trash: Option<u64>,
    /// Groups in which it fills a slot.
    groups: usize,
    latency_ms: Option<u64>,
    misbehaved: Option<u64>,
    /// 1 is flawless: the share of its audited shards that were there and right.
    score: f64,
    software: Option<String>,
    owner: Option<AccountId>,
    region: Option<String>,
    subnet: Option<String>,
    #[serde(flatten)]
    standing: ShownStanding,
    /// The chance that it is connected, over the week.
    availability: f64,
    /// What is left to do until it may go, if it is leaving.
    leaving: Option<Leaving>,
}

/// What a node is trusted with, and why.
#[derive(Serialize)]
struct ShownStanding {
    rank: &'static str,
    /// Since when, if it ever changed.
    rank_since: Option<String>,
    /// Why, in words for its owner.
    reason: String,
    /// Whether the operator set it.
    held: bool,
    /// The share of its answers that came too late.
    late: f64,
    /// Audits passed since it joined.
    audits: u64,
    /// Rotten shards it reported itself, which is not held against it.
    owned_up: u64,
    /// Since when it has a full share of new data.
    vetted: Option<String>,
    /// What it still has to show for that.
    wanting: Option<ShownWanting>,
}

#[derive(Serialize)]
struct ShownWanting {
    audits: u64,
    hours: u64,
    bytes: u64,
}

/// What a leaving node still holds.
#[derive(Serialize)]
struct Leaving {
    since: String,
    /// Slots for which no other node was found yet.
    slots_waiting: usize,
    /// Slots whose shards are being rebuilt on others.
    slots_moving: usize,
    /// Segments to rebuild in those, counted up to 10000 for each group.
    segments_left: usize,
    /// Whether nothing is left: the node may go.
    done: bool,
}

/// A node with its evidence.
#[derive(Serialize)]
pub(super) struct ShownWhole {
    #[serde(flatten)]
    node: ShownNode,
    /// What was found wrong with its work, the newest first.
    findings: Vec<ShownFinding>,
    /// How it came to its rank, the newest first.
    changes: Vec<ShownChange>,
    /// The chance that it is connected, by hour of the week, in UTC from Monday 00:00.
    hours: Vec<f64>,
}

#[derive(Serialize)]
struct ShownFinding {
    at: String,
    fault: &'static str,
    /// In what it was found.
    source: &'static str,
    /// `group/stream/index/slot` of the shard.
    shard: Option<String>,
    words: String,
}

#[derive(Serialize)]
struct ShownChange {
    at: String,
    rank: &'static str,
    by: &'static str,
    reason: String,
}

/// What comes with a change.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    /// For the node's owner to read.
    #[serde(default)]
    reason: String,
}

/// `GET /admin/v1/nodes`
pub(super) async fn list(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
) -> Result<Json<Vec<ShownNode>>, ApiError> {
    let groups = admin.catalog.groups().await?;
    let mut filled: BTreeMap<NodeId, usize> = BTreeMap::new();
    for node in groups.iter().flat_map(|(_, group)| &group.slots).filter_map(|slot| slot.node) {
        *filled.entry(node).or_default() += 1;
    }
    let mut shown = Vec::new();
    for (id, node) in admin.catalog.nodes().await? {
        let filled = filled.get(&id).copied().unwrap_or(0);
        let leaving = leaving(&admin, id, &node, &groups).await?;
        shown.push(ShownNode::of(&admin, id, &node, filled, leaving));
    }
    Ok(Json(shown))
}

/// `GET /admin/v1/nodes/{id}`
pub(super) async fn show(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path(id): Path<String>,
) -> Result<Json<ShownWhole>, ApiError> {
    let id = parsed(&id)?;
    Ok(Json(ShownWhole::of(&admin, id).await?))
}

/// `POST /admin/v1/nodes/{id}/lost`, `…/suspend`, `…/disqualify`, `…/reinstate`, `…/vouch`, `…/leave`, `…/stay`
pub(super) async fn change(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path((id, change)): Path<(String, String)>,
    body: Result<Json<Why>, JsonRejection>,
) -> Result<Json<ShownWhole>, ApiError> {
    let Why { reason } = match body {
        Ok(Json(why)) => why,
        // No body at all is fine where no reason is needed.
        Err(JsonRejection::MissingJsonContentType(_)) => Why::default(),
        Err(rejection) => return Err(unreadable(rejection)),
    };
    let id = parsed(&id)?;
    let node = admin.catalog.node(id).await?.ok_or(CatalogError::Missing("node"))?;
    let now = admin.clock.now();
    match &*change {
        "lost" => drop(admin.catalog.node_lost(id).await?),
        "leave" => leave(&admin, id, true).await?,
        "stay" => leave(&admin, id, false).await?,
        "suspend" => {
            let reason = given(&reason)?;
            judge(&admin, id, |row| score::hold(row, Rank::Suspended, reason, now)).await?;
        }
        "disqualify" => {
            let reason = given(&reason)?;
            judge(&admin, id, |row| score::hold(row, Rank::Disqualified, reason, now)).await?;
        }
        "reinstate" => {
            let reason = given(&reason)?;
            judge(&admin, id, |row| score::reinstate(row, reason, now)).await?;
        }
        "vouch" => judge(&admin, id, |row| row.vetted = Some(now)).await?,
        _ => return Err(ApiError::NoSuchPath),
    }
    tracing::warn!(node = %id, name = %node.name, change, reason, "a node was changed by the operator");
    Ok(Json(ShownWhole::of(&admin, id).await?))
}

fn parsed(id: &str) -> Result<NodeId, ApiError> {
    id.parse().map_err(|error| ApiError::Invalid(format!("{error}")))
}

/// A reason that somebody can read: the node's owner will.
fn given(reason: &str) -> Result<&str, ApiError> {
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > WORDS_MAX {
        return Err(ApiError::Invalid(format!(
            "give a reason of 1 to {WORDS_MAX} bytes: the node's owner will want to know"
        )));
    }
    Ok(reason)
}

/// Changes a standing, and writes it down before the operator hears of it.
async fn judge(
    admin: &AdminParts,
    id: NodeId,
    change: impl FnOnce(&mut Standing),
) -> Result<(), ApiError> {
    let standing = admin.nodes.change_standing(id, change);
    Ok(admin.catalog.put_standings(&[(id, standing)]).await?)
}

async fn leave(admin: &AdminParts, id: NodeId, leaves: bool) -> Result<(), ApiError> {
    if leaves {
        admin.catalog.node_leaves(id).await?;
    } else {
        admin.catalog.node_stays(id).await?;
    }
    if let Some(member) = admin.nodes.member(id) {
        member.set_leaving(leaves);
    }
    Ok(())
}

/// What a node that is leaving still has to hand over.
async fn leaving(
    admin: &AdminParts,
    id: NodeId,
    node: &Node,
    groups: &[(GroupId, PlacementGroup)],
) -> Result<Option<Leaving>, ApiError> {
    let NodeState::Leaving { since } = node.state else { return Ok(None) };
    let (mut slots_waiting, mut slots_moving, mut segments_left) = (0, 0, 0);
    for (group, row) in groups {
        for slot in &row.slots {
            slots_waiting += usize::from(slot.node == Some(id));
            if slot.filling && slot.previous == Some(id) {
                slots_moving += 1;
                let from = slot.filled_to;
                let left = admin.catalog.segments_of_group(*group, from, REMAINING_MAX).await?;
                segments_left += left.len();
            }
        }
    }
    let done = slots_waiting + slots_moving == 0;
    let since = rfc3339(since);
    Ok(Some(Leaving { since, slots_waiting, slots_moving, segments_left, done }))
}

impl ShownNode {
    fn of(
        admin: &AdminParts,
        id: NodeId,
        node: &Node,
        groups: usize,
        leaving: Option<Leaving>,
    ) -> Self {
        let status = admin.nodes.status(id);
        let standing = admin.nodes.standing(id);
        let (state, since) = match (node.state, &status) {
            (NodeState::Lost { at }, _) => ("lost", at),
            (_, Some(status)) => ("online", status.connected_since),
            (_, None) => ("offline", node.last_seen),
        };
        let capacity = status.as_ref().map_or(node.capacity, |status| status.capacity);
        Self {
            id: id.to_string(),
            name: node.name.clone(),
            state,
            since: rfc3339(since),
            joined: rfc3339(node.joined),
            capacity,
            used: status.as_ref().map(|status| status.used),
            free: status.as_ref().map(|status| status.free),
            trash: status.as_ref().map(|status| status.trash),
            groups,
            latency_ms: status.as_ref().map(|status| status.latency_ms),
            misbehaved: status.as_ref().map(|status| status.misbehaved),
            score: 1.0 - part(score::lost_share(&standing)),
            owner: node.owner.clone(),
            region: node.region.clone(),
            subnet: node.subnet.map(|subnet| subnet.to_string()),
            availability: admin.nodes.chances(id).average(),
            standing: ShownStanding::of(admin, node, &standing, status.as_ref()),
            leaving,
            software: status.map(|status| status.software),
        }
    }
}

impl ShownStanding {
    fn of(
        admin: &AdminParts,
        node: &Node,
        standing: &Standing,
        status: Option<&NodeStatus>,
    ) -> Self {
        let used = status.map_or(0, |status| status.used);
        let newcomer = Newcomer { joined: node.joined, used, capacity: node.capacity };
        let Wanting { audits, time, bytes } =
            admin.vetting.wanting(standing, &newcomer, admin.clock.now());
        let hours = time.as_secs().div_ceil(3600);
        Self {
            rank: rank_name(standing.rank),
            rank_since: (!standing.changes.is_empty()).then(|| rfc3339(standing.since)),
            reason: standing.reason.clone(),
            held: standing.held,
            late: part(score::late_share(standing)),
            audits: standing.audits,
            owned_up: standing.owned_up,
            vetted: standing.vetted.map(rfc3339),
            wanting: standing.vetted.is_none().then_some(ShownWanting { audits, hours, bytes }),
        }
    }
}

impl ShownWhole {
    async fn of(admin: &AdminParts, id: NodeId) -> Result<Self, ApiError> {
        let node = admin.catalog.node(id).await?.ok_or(CatalogError::Missing("node"))?;
        let filled = admin.catalog.groups_of(id).await?.len();
        let leaving = leaving(admin, id, &node, &admin.catalog.groups().await?).await?;
        let (standing, chances) = (admin.nodes.standing(id), admin.nodes.chances(id));
        Ok(Self {
            node: ShownNode::of(admin, id, &node, filled, leaving),
            findings: standing.findings.iter().rev().map(ShownFinding::of).collect(),
            changes: standing.changes.iter().rev().map(ShownChange::of).collect(),
            hours: (0..HOURS).map(|hour| chances.at(hour)).collect(),
        })
    }
}

impl ShownFinding {
    fn of(finding: &Finding) -> Self {
        Self {
            at: rfc3339(finding.at),
            fault: match finding.fault {
                Fault::Missing => "missing",
                Fault::Corrupt => "corrupt",
                Fault::Breach => "breach",
                Fault::Late => "late",
                Fault::OwnedUp => "owned_up",
            },
            source: match finding.source {
                Source::Audit => "audit",
                Source::Read => "read",
                Source::Write => "write",
                Source::Node => "node",
            },
            shard: finding.shard.map(|shard| shard.to_string()),
            words: finding.words.clone(),
        }
    }
}

impl ShownChange {
    fn of(change: &RankChange) -> Self {
        Self {
            at: rfc3339(change.at),
            rank: rank_name(change.rank),
            by: if change.operator { "operator" } else { "audits" },
            reason: change.reason.clone(),
        }
    }
}

/// A share in millionths as a number.
fn part(millionths: u64) -> f64 {
    millionths as f64 / 1_000_000.0
}
