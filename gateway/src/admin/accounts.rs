//! Accounts and their access keys.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use http::StatusCode;
use metadata::CatalogError;
use metadata::records::Account;
use serde::{Deserialize, Serialize};
use types::AccountId;
use zeroize::Zeroizing;

use super::auth::Operator;
use super::error::ApiError;
use super::{AdminParts, health, secrets};

/// Bytes of the longest name or e-mail address.
const TEXT_MAX: usize = 256;

/// What to create an account from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAccount {
    id: AccountId,
    name: String,
    email: String,
    access_key: Option<String>,
    secret_key: Option<String>,
}

/// What to create an access key from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    account: AccountId,
    access_key: Option<String>,
    secret_key: Option<String>,
}

/// An account as it is shown.
#[derive(Serialize)]
pub(super) struct ShownAccount {
    id: AccountId,
    name: String,
    email: String,
    created: String,
    operator: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    key: Option<ShownKey>,
}

/// An access key, shown once: the secret cannot be asked for later.
#[derive(Serialize)]
pub(super) struct ShownKey {
    access_key: String,
    secret_key: String,
}

/// `POST /admin/v1/accounts`
pub(super) async fn create(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    body: Result<Json<NewAccount>, JsonRejection>,
) -> Result<(StatusCode, Json<ShownAccount>), ApiError> {
    let Json(new) = body.map_err(health::unreadable)?;
    for (what, text) in [("name", &new.name), ("email", &new.email)] {
        if text.is_empty() || text.len() > TEXT_MAX || text.chars().any(char::is_control) {
            return Err(ApiError::Invalid(format!(
                "{what} must have 1 to {TEXT_MAX} bytes and no control characters"
            )));
        }
    }
    let key = match (new.access_key, new.secret_key) {
        (None, None) => None,
        (access, secret) => Some(pair(access, secret)?),
    };
    // Looked at first, so that a taken key does not leave an account without one behind.
    if let Some((access, _)) = &key
        && admin.catalog.access_key(access).await?.is_some()
    {
        return Err(CatalogError::Exists("access key").into());
    }
    let account =
        Account { name: new.name, email: new.email, created: admin.clock.now(), operator: false };
    admin.catalog.create_account(&new.id, &account).await?;
    let key = match key {
        None => None,
        Some(pair) => Some(store(&admin, &new.id, pair).await?),
    };
    Ok((StatusCode::CREATED, Json(shown(new.id, account, key))))
}

/// `GET /admin/v1/accounts`
pub(super) async fn list(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
) -> Result<Json<Vec<ShownAccount>>, ApiError> {
    let accounts = admin.catalog.accounts().await?;
    Ok(Json(accounts.into_iter().map(|(id, account)| shown(id, account, None)).collect()))
}

/// `POST /admin/v1/keys`
pub(super) async fn create_key(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    body: Result<Json<NewKey>, JsonRejection>,
) -> Result<(StatusCode, Json<ShownKey>), ApiError> {
    let Json(new) = body.map_err(health::unreadable)?;
    let pair = match (new.access_key, new.secret_key) {
        (None, None) => secrets::generate(),
        (access, secret) => pair(access, secret)?,
    };
    Ok((StatusCode::CREATED, Json(store(&admin, &new.account, pair).await?)))
}

type Pair = (String, Zeroizing<String>);

/// A pair that the caller brings: both halves or none.
fn pair(access: Option<String>, secret: Option<String>) -> Result<Pair, ApiError> {
    let (Some(access), Some(secret)) = (access, secret) else {
        return Err(ApiError::Invalid(
            "give access_key and secret_key together, or neither".to_owned(),
        ));
    };
    secrets::check(&access, &secret).map_err(|words| ApiError::Invalid(words.to_owned()))?;
    Ok((access, Zeroizing::new(secret)))
}

async fn store(admin: &AdminParts, account: &AccountId, pair: Pair) -> Result<ShownKey, ApiError> {
    let (access_key, secret_key) = pair;
    let key =
        secrets::seal(&admin.keyring, &access_key, &secret_key, account.clone(), admin.clock.now());
    admin.catalog.create_access_key(&access_key, &key).await?;
    Ok(ShownKey { access_key, secret_key: secret_key.to_string() })
}

fn shown(id: AccountId, account: Account, key: Option<ShownKey>) -> ShownAccount {
    let Account { name, email, created, operator } = account;
    ShownAccount { id, name, email, created: health::rfc3339(created), operator, key }
}
