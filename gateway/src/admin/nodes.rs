//! Nodes, and the invites that let them in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use http::StatusCode;
use metadata::records::{Node, NodeState};
use protocol::invite::{Invite, Token};
use serde::{Deserialize, Serialize};
use types::NodeId;

use super::AdminParts;
use super::auth::Operator;
use super::error::ApiError;
use super::health::{rfc3339, unreadable};
use crate::nodes::NodeStatus;

/// Hours an invite is good for, unless the operator says otherwise: a week.
const INVITE_HOURS: u32 = 7 * 24;
/// Hours an invite is good for at most: a year. A forgotten invite is an open door.
const INVITE_HOURS_MAX: u32 = 366 * 24;

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
    /// 1 is flawless; see [`score`].
    score: f64,
    software: Option<String>,
}

/// For how long to invite.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewInvite {
    #[serde(default = "default_hours")]
    hours: u32,
}

fn default_hours() -> u32 {
    INVITE_HOURS
}

/// An invite.
#[derive(Serialize)]
pub(super) struct ShownInvite {
    invite: String,
    expires: String,
}

/// Which invite to take back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokedInvite {
    invite: String,
}

/// `GET /admin/v1/nodes`
pub(super) async fn list(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
) -> Result<Json<Vec<ShownNode>>, ApiError> {
    let mut groups: BTreeMap<NodeId, usize> = BTreeMap::new();
    for (_, group) in admin.catalog.groups().await? {
        let members: BTreeSet<NodeId> = group.slots.iter().filter_map(|slot| slot.node).collect();
        for node in members {
            *groups.entry(node).or_default() += 1;
        }
    }
    let nodes = admin.catalog.nodes().await?;
    let shown = nodes.into_iter().map(|(id, node)| {
        shown(id, &node, admin.nodes.status(id), groups.get(&id).copied().unwrap_or(0))
    });
    Ok(Json(shown.collect()))
}

/// `POST /admin/v1/nodes/{id}/lost`
pub(super) async fn lost(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path(id): Path<String>,
) -> Result<Json<ShownNode>, ApiError> {
    let id: NodeId = id.parse().map_err(|error| ApiError::Invalid(format!("{error}")))?;
    let node = admin.catalog.node_lost(id).await?;
    let groups = admin.catalog.groups_of(id).await?.len();
    tracing::warn!(node = %id, name = %node.name, groups, "declared lost by the operator");
    Ok(Json(shown(id, &node, admin.nodes.status(id), groups)))
}

/// `POST /admin/v1/invites`
pub(super) async fn invite(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    body: Result<Json<NewInvite>, JsonRejection>,
) -> Result<(StatusCode, Json<ShownInvite>), ApiError> {
    let hours = match body {
        Ok(Json(NewInvite { hours })) => hours,
        // No body at all is fine: an invite with every default.
        Err(JsonRejection::MissingJsonContentType(_)) => INVITE_HOURS,
        Err(rejection) => return Err(unreadable(rejection)),
    };
    if !(1..=INVITE_HOURS_MAX).contains(&hours) {
        return Err(ApiError::Invalid(format!(
            "an invite is good for 1 to {INVITE_HOURS_MAX} hours"
        )));
    }
    let good_for = Duration::from_secs(u64::from(hours) * 3600);
    let token = Token::random();
    admin.catalog.create_invite(token.digest(), good_for).await?;
    let expires = rfc3339(admin.clock.now().plus(good_for));
    Ok((StatusCode::CREATED, Json(ShownInvite { invite: admin.invites.make(token), expires })))
}

/// `DELETE /admin/v1/invites`
pub(super) async fn revoke(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    body: Result<Json<RevokedInvite>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let Json(RevokedInvite { invite }) = body.map_err(unreadable)?;
    let invite: Invite = invite.parse().map_err(|error| ApiError::Invalid(format!("{error}")))?;
    admin.catalog.revoke_invite(invite.token.digest()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shown(id: NodeId, node: &Node, status: Option<NodeStatus>, groups: usize) -> ShownNode {
    let (state, since) = match (node.state, &status) {
        (NodeState::Lost { at }, _) => ("lost", at),
        (NodeState::Active, Some(status)) => ("online", status.connected_since),
        (NodeState::Active, None) => ("offline", node.last_seen),
    };
    ShownNode {
        id: id.to_string(),
        name: node.name.clone(),
        state,
        since: rfc3339(since),
        joined: rfc3339(node.joined),
        capacity: status.as_ref().map_or(node.capacity, |status| status.capacity),
        used: status.as_ref().map(|status| status.used),
        free: status.as_ref().map(|status| status.free),
        trash: status.as_ref().map(|status| status.trash),
        groups,
        latency_ms: status.as_ref().map(|status| status.latency_ms),
        misbehaved: status.as_ref().map(|status| status.misbehaved),
        score: status.as_ref().map_or(0.0, score),
        software: status.map(|status| status.software),
    }
}

/// How well a connected node does, from 1 down to 0: each breach of the rules halves it. A node that is not connected has 0.
fn score(status: &NodeStatus) -> f64 {
    let breaches = i32::try_from(status.misbehaved).unwrap_or(i32::MAX);
    0.5f64.powi(breaches)
}
