//! What watchers ask, and the answers that belong to no noun.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use types::Timestamp;

use super::AdminParts;
use super::auth::Operator;
use super::error::ApiError;

/// The description of this API.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

/// `GET /livez`: the process answers.
pub(super) async fn live(State(admin): State<Arc<AdminParts>>) -> Response {
    Json(json!({ "live": true, "uptime_seconds": admin.started.elapsed().as_secs() }))
        .into_response()
}

/// `GET /readyz`: the catalog answers, and enough nodes are online for a write to be acknowledged.
pub(super) async fn ready(State(admin): State<Arc<AdminParts>>) -> Response {
    let catalog = admin.catalog.ready().await;
    if let Err(error) = &catalog {
        tracing::warn!(%error, "the catalog does not answer");
    }
    let needed = admin.geometry.geometry().w;
    let online = admin.nodes.online().len();
    let ready = catalog.is_ok() && online >= needed;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": ready,
        "catalog": catalog.is_ok(),
        "nodes_online": online,
        "nodes_needed": needed,
    });
    (status, Json(body)).into_response()
}

/// `GET /metrics`: Prometheus's text format.
pub(super) async fn metrics(State(admin): State<Arc<AdminParts>>) -> Response {
    super::metrics::observe(&admin);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.metrics.render())
        .into_response()
}

/// `GET /admin/v1/openapi.json`
pub(super) async fn openapi(_: Operator) -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

/// Any path that is not there.
pub(super) async fn unknown() -> ApiError {
    ApiError::NoSuchPath
}

/// Any path that is there for other methods.
pub(super) async fn wrong_method() -> ApiError {
    ApiError::WrongMethod
}

/// A body that is not the JSON it should be.
pub(super) fn unreadable(rejection: JsonRejection) -> ApiError {
    ApiError::Invalid(rejection.body_text())
}

/// A moment as RFC 3339 text in UTC.
pub(super) fn rfc3339(at: Timestamp) -> String {
    let nanos = i128::from(at.0) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{} ms after 1970", at.0))
}
