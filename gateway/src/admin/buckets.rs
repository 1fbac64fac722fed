//! What the operator says of a customer's bucket: its quota.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use metadata::{Bucket, CatalogError};
use serde::Serialize;
use types::BucketName;

use super::auth::Operator;
use super::error::ApiError;
use super::{AdminParts, health};
use crate::quota::Quota;

/// A bucket's quota as it is shown.
#[derive(Serialize)]
pub(super) struct ShownQuota {
    bucket: String,
    /// The bytes it may hold; nothing without a quota.
    bytes: Option<u64>,
    /// About the bytes it holds; nothing before they were added up.
    used: Option<u64>,
}

/// `GET /admin/v1/buckets/{name}/quota`
pub(super) async fn show(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path(name): Path<String>,
) -> Result<Json<ShownQuota>, ApiError> {
    let (name, bucket) = find(&admin, &name).await?;
    let quota = admin.configs.get::<Quota>(bucket.id).await?.map(|quota| *quota);
    Ok(Json(shown(&admin, &name, &bucket, quota)))
}

/// `POST /admin/v1/buckets/{name}/quota`
pub(super) async fn set(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path(name): Path<String>,
    body: Result<Json<Quota>, JsonRejection>,
) -> Result<Json<ShownQuota>, ApiError> {
    let Json(quota) = body.map_err(health::unreadable)?;
    let (name, bucket) = find(&admin, &name).await?;
    admin.configs.put(&(name.clone(), bucket.id), &quota).await?;
    admin.quotas.changed(bucket.id, Some(quota));
    tracing::info!(target: "audit", bucket = %name, bytes = quota.bytes, "a bucket's quota was set");
    Ok(Json(shown(&admin, &name, &bucket, Some(quota))))
}

/// `DELETE /admin/v1/buckets/{name}/quota`
pub(super) async fn lift(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path(name): Path<String>,
) -> Result<Json<ShownQuota>, ApiError> {
    let (name, bucket) = find(&admin, &name).await?;
    admin.configs.delete::<Quota>(&(name.clone(), bucket.id)).await?;
    admin.quotas.changed(bucket.id, None);
    tracing::info!(target: "audit", bucket = %name, "a bucket's quota was taken away");
    Ok(Json(shown(&admin, &name, &bucket, None)))
}

async fn find(admin: &AdminParts, name: &str) -> Result<(BucketName, Bucket), ApiError> {
    let none = || ApiError::Catalog(CatalogError::Missing("bucket"));
    let name: BucketName = name.parse().map_err(|_| none())?;
    match admin.catalog.bucket(&name).await {
        Ok(bucket) => Ok((name, bucket)),
        Err(CatalogError::NoSuchBucket(_)) => Err(none()),
        Err(failed) => Err(failed.into()),
    }
}

fn shown(
    admin: &AdminParts,
    name: &BucketName,
    bucket: &Bucket,
    quota: Option<Quota>,
) -> ShownQuota {
    ShownQuota {
        bucket: name.to_string(),
        bytes: quota.map(|quota| quota.bytes),
        used: admin.quotas.used(bucket.id),
    }
}
