//! Takedowns: what nobody may read any more, why, and the public log of it (`docs/TAKEDOWN.md`).

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use metadata::takedowns::{Kind, Logged, REASON_MAX, Takedown, Target};
use metadata::{Catalog, CatalogError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use types::{BucketId, BucketName};

use super::auth::Operator;
use super::error::ApiError;
use super::{AdminParts, health};

/// Contents taken or lifted in one request at most, so that it stays below the longest body.
const CONTENTS_MAX: usize = 800;
/// Rows in one answer at most.
const PAGE: usize = 1000;

/// What is to be taken down, or what the takedown of is to be lifted: one of the three.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    object: Option<InBucket>,
    prefix: Option<InBucket>,
    contents: Option<Vec<String>>,
    /// Why, for everybody to read.
    reason: String,
}

/// A key, or how keys begin.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InBucket {
    bucket: String,
    key: String,
}

/// How far a request got.
#[derive(Serialize)]
pub(super) struct Changed {
    /// How many were not so before.
    changed: usize,
    /// How many were named.
    named: usize,
}

/// A takedown as it is shown.
#[derive(Serialize)]
pub(super) struct Shown {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bucket: Option<BucketName>,
    /// The key or prefix; of a content its double hash.
    what: String,
    created: String,
    reason: String,
}

/// Where a page begins.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After<T> {
    after: Option<T>,
}

/// `GET /admin/v1/takedowns?after=HASH`: the first page begins with every object and prefix.
pub(super) async fn list(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    query: Result<Query<After<String>>, QueryRejection>,
) -> Result<Json<Vec<Shown>>, ApiError> {
    let Query(After { after }) = query.map_err(|error| ApiError::Invalid(error.body_text()))?;
    let after = after.as_deref().map(content).transpose()?;
    let mut page = Vec::new();
    if after.is_none() {
        let names = admin.catalog.taken_names().await?;
        page.extend(names.into_iter().map(|(target, row)| shown(target, row)));
    }
    let contents = admin.catalog.taken_contents(after, PAGE).await?;
    page.extend(contents.into_iter().map(|(hash, row)| shown(Target::Content(hash), row)));
    Ok(Json(page))
}

/// `POST /admin/v1/takedowns`
pub(super) async fn add(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    body: Result<Json<Asked>, JsonRejection>,
) -> Result<Json<Changed>, ApiError> {
    let (targets, reason) = asked(&admin.catalog, body).await?;
    let changed = admin.catalog.take_down(&targets, &reason).await?;
    tracing::info!(target: "audit", changed, named = targets.len(), reason, "taken down");
    Ok(Json(Changed { changed, named: targets.len() }))
}

/// `DELETE /admin/v1/takedowns`
pub(super) async fn remove(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    body: Result<Json<Asked>, JsonRejection>,
) -> Result<Json<Changed>, ApiError> {
    let (targets, reason) = asked(&admin.catalog, body).await?;
    let changed = admin.catalog.lift_takedowns(&targets, &reason).await?;
    tracing::info!(target: "audit", changed, named = targets.len(), reason, "takedowns lifted");
    Ok(Json(Changed { changed, named: targets.len() }))
}

/// `GET /takedowns?after=NUMBER`: the public log, one row of JSON a line. Unsigned: whoever reaches the admin door may read it.
pub(super) async fn log(
    State(admin): State<Arc<AdminParts>>,
    query: Result<Query<After<u64>>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(After { after }) = query.map_err(|error| ApiError::Invalid(error.body_text()))?;
    let rows = admin.catalog.takedown_log(after.unwrap_or(0), PAGE).await?;
    let lines: String = rows.iter().map(|(number, row)| line(*number, row)).collect();
    Ok(([(CONTENT_TYPE, "application/jsonl; charset=utf-8")], lines).into_response())
}

/// A row of the public log. `milliseconds` is what the chain covers; `at` is the same for people.
fn line(number: u64, row: &Logged) -> String {
    let line = json!({
        "number": number,
        "milliseconds": row.at.0,
        "at": health::rfc3339(row.at),
        "action": row.action(),
        "kind": row.kind.name(),
        "digest": hex::encode(row.digest),
        "reason": row.reason,
        "chain": hex::encode(row.chain),
    });
    format!("{line}\n")
}

async fn asked(
    catalog: &Catalog,
    body: Result<Json<Asked>, JsonRejection>,
) -> Result<(Vec<Target>, String), ApiError> {
    let Json(Asked { object, prefix, contents, reason }) = body.map_err(health::unreadable)?;
    if reason.trim().is_empty() || reason.len() > REASON_MAX || reason.contains(char::is_control) {
        return Err(ApiError::Invalid(format!(
            "a reason is public and has 1 to {REASON_MAX} bytes, in one line"
        )));
    }
    let targets = match (object, prefix, contents) {
        (Some(InBucket { bucket, key }), None, None) => {
            let key = key.parse().map_err(|error| ApiError::Invalid(format!("{error}")))?;
            vec![Target::Object { bucket: find(catalog, &bucket).await?, key }]
        }
        (None, Some(InBucket { bucket, key }), None) => {
            vec![Target::Prefix { bucket: find(catalog, &bucket).await?, prefix: key }]
        }
        (None, None, Some(hashes)) if (1..=CONTENTS_MAX).contains(&hashes.len()) => {
            let hashes = hashes.iter().map(|hash| content(hash).map(Target::Content));
            hashes.collect::<Result<_, _>>()?
        }
        _ => {
            return Err(ApiError::Invalid(format!(
                "name one object, one prefix, or 1 to {CONTENTS_MAX} contents"
            )));
        }
    };
    Ok((targets, reason))
}

async fn find(catalog: &Catalog, name: &str) -> Result<(BucketName, BucketId), ApiError> {
    let none = || ApiError::Catalog(CatalogError::Missing("bucket"));
    let name: BucketName = name.parse().map_err(|_| none())?;
    match catalog.bucket(&name).await {
        Ok(bucket) => Ok((name, bucket.id)),
        Err(CatalogError::NoSuchBucket(_)) => Err(none()),
        Err(failed) => Err(failed.into()),
    }
}

/// A content's double hash.
fn content(text: &str) -> Result<[u8; 32], ApiError> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).map_err(|_| {
        ApiError::Invalid(format!("{text:?} is no double hash: 64 hexadecimal digits"))
    })?;
    Ok(hash)
}

fn shown(target: Target, row: Takedown) -> Shown {
    let (kind, bucket, what) = match target {
        Target::Object { bucket, key } => (Kind::Object, Some(bucket.0), key.to_string()),
        Target::Prefix { bucket, prefix } => (Kind::Prefix, Some(bucket.0), prefix),
        Target::Content(hash) => (Kind::Content, None, hex::encode(hash)),
    };
    let created = health::rfc3339(row.created);
    Shown { kind: kind.name(), bucket, what, created, reason: row.reason }
}
