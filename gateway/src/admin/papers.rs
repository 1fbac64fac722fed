//! What customers and node owners read: invoices and statements; and who owns a node.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use billing::invoice::Invoice;
use billing::node::NodeProfile;
use billing::statement::NodeStatement;
use billing::{Day, Month};
use metadata::CatalogError;
use serde::{Deserialize, Serialize};
use types::{AccountId, NodeId};

use super::auth::Operator;
use super::customers::find;
use super::error::ApiError;
use super::{AdminParts, health};

/// Of which month.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Of {
    /// The present one by the accounting clock, if it is not said.
    month: Option<Month>,
}

impl Of {
    fn month(&self, admin: &AdminParts) -> Month {
        self.month.unwrap_or_else(|| Day::of(admin.settlement.now()).month())
    }
}

/// `GET /admin/v1/accounts/{id}/invoice`
pub(super) async fn invoice(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path(id): Path<String>,
    Query(of): Query<Of>,
) -> Result<Json<Invoice>, ApiError> {
    let account = find(&admin, &id).await?;
    Ok(Json(admin.settlement.billing().invoice(&account, of.month(&admin)).await?))
}

/// Which month is over.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Issue {
    month: Month,
}

/// How many were issued.
#[derive(Serialize)]
pub(super) struct Issued {
    month: Month,
    invoices: u64,
}

/// `POST /admin/v1/invoices`
pub(super) async fn issue(
    operator: Operator,
    State(admin): State<Arc<AdminParts>>,
    body: Result<Json<Issue>, JsonRejection>,
) -> Result<Json<Issued>, ApiError> {
    let Json(Issue { month }) = body.map_err(health::unreadable)?;
    let settlement = &admin.settlement;
    let invoices = settlement.billing().issue_invoices(month, settlement.now()).await?;
    tracing::info!(target: "audit", operator = %operator.account(), %month, invoices, "invoices were issued");
    Ok(Json(Issued { month, invoices }))
}

/// `GET /admin/v1/nodes/{id}/statement`
pub(super) async fn statement(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path(id): Path<String>,
    Query(of): Query<Of>,
) -> Result<Json<NodeStatement>, ApiError> {
    let node = node(&admin, &id).await?;
    Ok(Json(admin.settlement.billing().statement(node, of.month(&admin)).await?))
}

/// Whose a node is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOwner {
    /// The account that is paid for it; nothing: nobody, and its balance waits.
    account: Option<AccountId>,
    /// Why.
    reason: String,
}

/// `POST /admin/v1/nodes/{id}/owner`
pub(super) async fn set_owner(
    operator: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path(id): Path<String>,
    body: Result<Json<NewOwner>, JsonRejection>,
) -> Result<Json<NodeProfile>, ApiError> {
    let Json(NewOwner { account, reason }) = body.map_err(health::unreadable)?;
    if reason.is_empty() {
        return Err(ApiError::Invalid("a reason is needed".to_owned()));
    }
    let node = node(&admin, &id).await?;
    if let Some(account) = &account {
        find(&admin, account.as_str()).await?;
    }
    admin.catalog.node_owned(node, account.as_ref()).await?;
    let profile = admin.settlement.enrol(node).await?;
    let owner = account.as_ref().map_or("nobody", AccountId::as_str);
    tracing::info!(target: "audit", operator = %operator.account(), %node, owner, why = reason, "a node was given an owner");
    Ok(Json(profile))
}

async fn node(admin: &AdminParts, id: &str) -> Result<NodeId, ApiError> {
    let id: NodeId = id.parse().map_err(|error| ApiError::Invalid(format!("{error}")))?;
    match admin.catalog.node(id).await? {
        Some(_) => Ok(id),
        None => Err(CatalogError::Missing("node").into()),
    }
}
