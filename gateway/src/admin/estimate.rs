//! What a node would earn and a customer would pay, by this installation's books.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use billing::Day;
use billing::estimate::{Estimate, NodeOffer};
use serde::Deserialize;
use types::GeometryName;

use super::AdminParts;
use super::auth::Operator;
use super::error::ApiError;
use crate::estimates;

/// A node that might join.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Offer {
    /// Bytes of disk.
    disk: u64,
    /// Bits a second upwards.
    up: u64,
    /// Hours online in a day.
    hours: u8,
    /// How much of it would be in use, in thousandths.
    fill: Option<u16>,
}

/// `GET /admin/v1/estimate/node`
pub(super) async fn node(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Query(Offer { disk, up, hours, fill }): Query<Offer>,
) -> Result<Json<Estimate>, ApiError> {
    let (books, today) = (admin.settlement.billing(), Day::of(admin.settlement.now()));
    let index = books.index().await?.map(|(_, index)| index);
    let offer = NodeOffer { disk, up, hours, fill: fill.unwrap_or(estimates::FILL) };
    Ok(Json(estimates::node(&offer, index.as_ref(), &books.prices(today).await?)?))
}

/// A customer who might come.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// Bytes held.
    store: u64,
    /// Bytes read in a month.
    #[serde(default)]
    egress: u64,
    /// How they are coded; as new buckets are if it is not said.
    class: Option<GeometryName>,
}

/// `GET /admin/v1/estimate/customer`
pub(super) async fn customer(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Query(Plan { store, egress, class }): Query<Plan>,
) -> Result<Json<Estimate>, ApiError> {
    let prices = admin.settlement.billing().prices(Day::of(admin.settlement.now())).await?;
    let class = class.unwrap_or(admin.geometry);
    Ok(Json(estimates::customer(store, egress, class, &prices)?))
}
