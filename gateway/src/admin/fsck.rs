//! Whether the catalog is in order.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::AdminParts;
use super::auth::Operator;
use super::error::ApiError;

/// Broken invariants that a report quotes; it always has their number.
const QUOTED_MAX: usize = 1000;

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
pub(super) async fn run(
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
