//! The named keys of SSE-KMS: made, listed, rotated, disabled. Never shown and never taken away.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use http::StatusCode;
use metadata::records::KmsKey;
use serde::{Deserialize, Serialize};

use super::auth::Operator;
use super::error::ApiError;
use super::{AdminParts, health};

/// What to make a key from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKmsKey {
    name: String,
}

/// A key as it is shown.
#[derive(Serialize)]
pub(super) struct ShownKmsKey {
    name: String,
    enabled: bool,
    created: String,
    rotated: String,
    /// How many secrets it has had.
    secrets: usize,
}

/// What can be done to a key.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Change {
    Rotate,
    Enable,
    Disable,
}

/// `GET /admin/v1/kms`
pub(super) async fn list(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
) -> Result<Json<Vec<ShownKmsKey>>, ApiError> {
    let keys = admin.catalog.kms_keys().await?;
    Ok(Json(keys.into_iter().map(|(name, key)| shown(name, &key)).collect()))
}

/// `POST /admin/v1/kms`
pub(super) async fn create(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    body: Result<Json<NewKmsKey>, JsonRejection>,
) -> Result<(StatusCode, Json<ShownKmsKey>), ApiError> {
    let Json(new) = body.map_err(health::unreadable)?;
    let key = admin.keys.create(&new.name, admin.clock.now()).await?;
    Ok((StatusCode::CREATED, Json(shown(new.name, &key))))
}

/// `POST /admin/v1/kms/{name}/{rotate|enable|disable}`
pub(super) async fn change(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path((name, change)): Path<(String, Change)>,
) -> Result<Json<ShownKmsKey>, ApiError> {
    let key = match change {
        Change::Rotate => admin.keys.rotate(&name, admin.clock.now()).await?,
        Change::Enable => admin.keys.enable(&name, true).await?,
        Change::Disable => admin.keys.enable(&name, false).await?,
    };
    Ok(Json(shown(name, &key)))
}

fn shown(name: String, key: &KmsKey) -> ShownKmsKey {
    ShownKmsKey {
        name,
        enabled: key.enabled,
        created: health::rfc3339(key.created),
        rotated: health::rfc3339(key.rotated),
        secrets: key.sealed.len(),
    }
}
