//! Access keys: what accounts sign with. An account may have any number; each may be narrowed by a policy of its own and end by itself.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use http::StatusCode;
use metadata::CatalogError;
use metadata::records::AccessKey;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use types::{AccountId, Timestamp};
use zeroize::Zeroizing;

use super::auth::Operator;
use super::error::ApiError;
use super::{AdminParts, health};
use crate::s3::check_key_policy;
use crate::secrets;

/// Bytes of the longest name.
const NAME_MAX: usize = 64;
/// How long a key that was rotated may go on beside the new one at most.
const OVERLAP_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// What to create an access key from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    account: AccountId,
    access_key: Option<String>,
    secret_key: Option<String>,
    name: Option<String>,
    /// The policy, as an object or as its text.
    policy: Option<Value>,
    /// When it ends (RFC 3339).
    expires: Option<String>,
}

/// What a key may, and how long.
#[derive(Default)]
pub(super) struct Scope {
    name: String,
    policy: Option<String>,
    expires: Option<Timestamp>,
}

/// A new key, shown once: the secret cannot be asked for later.
#[derive(Serialize)]
pub(super) struct NewPair {
    access_key: String,
    secret_key: String,
}

/// A key as it is shown.
#[derive(Serialize)]
pub(super) struct Shown {
    access_key: String,
    account: AccountId,
    name: String,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    enabled: bool,
    temporary: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<Value>,
}

/// Whose keys to list.
#[derive(Deserialize)]
pub(super) struct Whose {
    account: AccountId,
}

/// What comes with a change.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Details {
    /// For how many seconds a rotated key goes on beside the new one.
    overlap_seconds: Option<u64>,
}

/// `POST /admin/v1/keys`
pub(super) async fn create(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    body: Result<Json<NewKey>, JsonRejection>,
) -> Result<(StatusCode, Json<NewPair>), ApiError> {
    let Json(new) = body.map_err(health::unreadable)?;
    let pair = match (new.access_key, new.secret_key) {
        (None, None) => secrets::generate(),
        (access, secret) => pair(access, secret)?,
    };
    let scope = Scope {
        name: new.name.map(name).transpose()?.unwrap_or_default(),
        policy: new.policy.map(policy).transpose()?,
        expires: new.expires.map(|text| moment(&text, admin.clock.now())).transpose()?,
    };
    Ok((StatusCode::CREATED, Json(store(&admin, &new.account, pair, scope).await?)))
}

/// `GET /admin/v1/keys?account=ID`
pub(super) async fn list(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Query(whose): Query<Whose>,
) -> Result<Json<Vec<Shown>>, ApiError> {
    if admin.catalog.account(&whose.account).await?.is_none() {
        return Err(CatalogError::Missing("account").into());
    }
    let keys = admin.catalog.access_keys_of(&whose.account).await?;
    Ok(Json(keys.into_iter().map(|(id, key)| shown(id, key)).collect()))
}

/// `GET /admin/v1/keys/ID`
pub(super) async fn show(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path(id): Path<String>,
) -> Result<Json<Shown>, ApiError> {
    let key = admin.catalog.access_key(&id).await?;
    let key = key.ok_or(CatalogError::Missing("access key"))?;
    Ok(Json(shown(id, key)))
}

/// `DELETE /admin/v1/keys/ID`
pub(super) async fn delete(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let found = admin.catalog.delete_access_key(&id).await;
    (admin.forget_key)(&id);
    if found? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(CatalogError::Missing("access key").into())
    }
}

/// `POST /admin/v1/keys/ID/enable`, `…/disable`, `…/rotate`
pub(super) async fn change(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    Path((id, change)): Path<(String, String)>,
    body: Option<Json<Details>>,
) -> Result<Json<Value>, ApiError> {
    let details = body.map(|Json(details)| details).unwrap_or_default();
    match &*change {
        "enable" => switch(&admin, id, true).await,
        "disable" => switch(&admin, id, false).await,
        "rotate" => rotate(&admin, id, details).await,
        _ => Err(ApiError::NoSuchPath),
    }
}

async fn switch(admin: &AdminParts, id: String, enabled: bool) -> Result<Json<Value>, ApiError> {
    let changed = admin.catalog.change_access_key(&id, |key| key.enabled = enabled).await;
    (admin.forget_key)(&id);
    json(&shown(id, changed?))
}

/// A new pair with the scope of the old one, which ends at once or after an overlap.
async fn rotate(admin: &AdminParts, id: String, details: Details) -> Result<Json<Value>, ApiError> {
    let overlap = Duration::from_secs(details.overlap_seconds.unwrap_or(0));
    if overlap > OVERLAP_MAX {
        return Err(ApiError::Invalid("an overlap is at most 30 days".to_owned()));
    }
    let old = admin.catalog.access_key(&id).await?;
    let old = old.ok_or(CatalogError::Missing("access key"))?;
    if old.session.is_some() {
        return Err(ApiError::Invalid("a temporary key ends by itself".to_owned()));
    }
    if !old.enabled {
        return Err(ApiError::Invalid("a disabled key is not rotated: enable it first".to_owned()));
    }
    let scope = Scope { name: old.name, policy: old.policy, expires: old.expires };
    let pair = secrets::generate();
    let made = if overlap.is_zero() {
        let key = sealed(admin, &old.account, &pair, scope);
        admin.catalog.replace_access_key(&id, &pair.0, &key).await?;
        NewPair { access_key: pair.0, secret_key: pair.1.to_string() }
    } else {
        let made = store(admin, &old.account, pair, scope).await?;
        let end = admin.clock.now().plus(overlap);
        let sooner = |key: &mut AccessKey| {
            key.expires = Some(key.expires.map_or(end, |expires| expires.min(end)));
        };
        admin.catalog.change_access_key(&id, sooner).await?;
        made
    };
    (admin.forget_key)(&id);
    json(&made)
}

fn json(value: &impl Serialize) -> Result<Json<Value>, ApiError> {
    let value = serde_json::to_value(value);
    value.map(Json).map_err(|error| ApiError::Invalid(error.to_string()))
}

type Pair = (String, Zeroizing<String>);

/// A pair that the caller brings: both halves or none.
pub(super) fn pair(access: Option<String>, secret: Option<String>) -> Result<Pair, ApiError> {
    let (Some(access), Some(secret)) = (access, secret) else {
        return Err(ApiError::Invalid(
            "give access_key and secret_key together, or neither".to_owned(),
        ));
    };
    secrets::check(&access, &secret).map_err(|words| ApiError::Invalid(words.to_owned()))?;
    Ok((access, Zeroizing::new(secret)))
}

/// Keeps a new key.
pub(super) async fn store(
    admin: &AdminParts,
    account: &AccountId,
    pair: Pair,
    scope: Scope,
) -> Result<NewPair, ApiError> {
    let key = sealed(admin, account, &pair, scope);
    let (access_key, secret_key) = pair;
    admin.catalog.create_access_key(&access_key, &key).await?;
    Ok(NewPair { access_key, secret_key: secret_key.to_string() })
}

fn sealed(admin: &AdminParts, account: &AccountId, pair: &Pair, scope: Scope) -> AccessKey {
    let (id, secret) = pair;
    let plain = secrets::seal(&admin.keyring, id, secret, account.clone(), admin.clock.now());
    AccessKey { name: scope.name, policy: scope.policy, expires: scope.expires, ..plain }
}

fn name(text: String) -> Result<String, ApiError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@+=,".contains(&byte);
    if text.is_empty() || text.len() > NAME_MAX || !text.bytes().all(plain) {
        return Err(ApiError::Invalid(format!(
            "a key's name has 1 to {NAME_MAX} letters, digits or any of -_.@+=,"
        )));
    }
    Ok(text)
}

/// A policy that can be read, as the text that is kept.
fn policy(given: Value) -> Result<String, ApiError> {
    let text = match given {
        Value::String(text) => text,
        other => other.to_string(),
    };
    check_key_policy(&text).map_err(ApiError::Invalid)?;
    Ok(text)
}

fn moment(text: &str, now: Timestamp) -> Result<Timestamp, ApiError> {
    let invalid = || ApiError::Invalid(format!("{text:?} is no moment like 2030-12-31T23:59:59Z"));
    let seconds = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| invalid())?.unix_timestamp();
    let moment = u64::try_from(seconds).ok().and_then(|seconds| seconds.checked_mul(1000));
    let moment = Timestamp(moment.ok_or_else(invalid)?);
    if moment <= now {
        return Err(ApiError::Invalid(format!("{text} is over already")));
    }
    Ok(moment)
}

fn shown(access_key: String, key: AccessKey) -> Shown {
    Shown {
        access_key,
        account: key.account,
        name: key.name,
        created: health::rfc3339(key.created),
        expires: key.expires.map(health::rfc3339),
        enabled: key.enabled,
        temporary: key.session.is_some(),
        policy: key.policy.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))),
    }
}
