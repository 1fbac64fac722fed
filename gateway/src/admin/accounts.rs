//! Accounts.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use http::StatusCode;
use metadata::CatalogError;
use metadata::records::Account;
use serde::{Deserialize, Serialize};
use types::AccountId;

use super::auth::Operator;
use super::error::ApiError;
use super::keys::{self, NewPair, Scope};
use super::{AdminParts, health};

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

/// An account as it is shown.
#[derive(Serialize)]
pub(super) struct ShownAccount {
    id: AccountId,
    name: String,
    email: String,
    created: String,
    operator: bool,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    key: Option<NewPair>,
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
        (access, secret) => Some(keys::pair(access, secret)?),
    };
    // Looked at first, so that a taken key does not leave an account without one behind.
    if let Some((access, _)) = &key
        && admin.catalog.access_key(access).await?.is_some()
    {
        return Err(CatalogError::Exists("access key").into());
    }
    if crate::s3::is_reserved(&new.id) {
        return Err(ApiError::Invalid(format!("{} stands for nobody and is no account's", new.id)));
    }
    let account =
        Account { name: new.name, email: new.email, created: admin.clock.now(), operator: false };
    admin.catalog.create_account(&new.id, &account).await?;
    let key = match key {
        None => None,
        Some(pair) => Some(keys::store(&admin, &new.id, pair, Scope::default()).await?),
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

fn shown(id: AccountId, account: Account, key: Option<NewPair>) -> ShownAccount {
    let Account { name, email, created, operator } = account;
    ShownAccount { id, name, email, created: health::rfc3339(created), operator, key }
}
