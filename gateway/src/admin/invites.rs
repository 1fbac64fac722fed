//! Invites: what lets a stranger's node in.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use http::StatusCode;
use metadata::{CatalogError, Guest};
use protocol::invite::{Invite, Token};
use serde::{Deserialize, Serialize};
use types::AccountId;

use super::AdminParts;
use super::auth::Operator;
use super::error::ApiError;
use super::health::{rfc3339, unreadable};

/// Hours an invite is good for, unless the operator says otherwise: a week.
const INVITE_HOURS: u32 = 7 * 24;
/// Hours an invite is good for at most: a year. A forgotten invite is an open door.
const INVITE_HOURS_MAX: u32 = 366 * 24;
/// Bytes of a region's name.
const REGION_MAX: usize = 64;

/// For how long to invite.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewInvite {
    #[serde(default = "default_hours")]
    hours: u32,
    /// Whose node it will be.
    owner: Option<AccountId>,
    /// Where it stands.
    region: Option<String>,
}

fn default_hours() -> u32 {
    INVITE_HOURS
}

/// An invite.
#[derive(Serialize)]
pub(super) struct ShownInvite {
    invite: String,
    expires: String,
}

/// Which invite to take back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokedInvite {
    invite: String,
}

/// `POST /admin/v1/invites`
pub(super) async fn invite(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    body: Result<Json<NewInvite>, JsonRejection>,
) -> Result<(StatusCode, Json<ShownInvite>), ApiError> {
    let NewInvite { hours, owner, region } = match body {
        Ok(Json(new)) => new,
        // No body at all is fine: an invite with every default.
        Err(JsonRejection::MissingJsonContentType(_)) => {
            NewInvite { hours: INVITE_HOURS, owner: None, region: None }
        }
        Err(rejection) => return Err(unreadable(rejection)),
    };
    if let Some(owner) = &owner
        && admin.catalog.account(owner).await?.is_none()
    {
        return Err(CatalogError::Missing("account").into());
    }
    let printable = |region: &String| {
        (1..=REGION_MAX).contains(&region.len()) && !region.chars().any(char::is_control)
    };
    if !region.as_ref().is_none_or(printable) {
        return Err(ApiError::Invalid(format!("a region's name has 1 to {REGION_MAX} bytes")));
    }
    if !(1..=INVITE_HOURS_MAX).contains(&hours) {
        return Err(ApiError::Invalid(format!(
            "an invite is good for 1 to {INVITE_HOURS_MAX} hours"
        )));
    }
    let good_for = Duration::from_secs(u64::from(hours) * 3600);
    let token = Token::random();
    admin.catalog.create_invite_for(token.digest(), good_for, Guest { owner, region }).await?;
    let expires = rfc3339(admin.clock.now().plus(good_for));
    Ok((StatusCode::CREATED, Json(ShownInvite { invite: admin.invites.make(token), expires })))
}

/// `DELETE /admin/v1/invites`
pub(super) async fn revoke(
    _: Operator,
    State(admin): State<Arc<AdminParts>>,
    body: Result<Json<RevokedInvite>, JsonRejection>,
) -> Result<StatusCode, ApiError> {
    let Json(RevokedInvite { invite }) = body.map_err(unreadable)?;
    let invite: Invite = invite.parse().map_err(|error| ApiError::Invalid(format!("{error}")))?;
    admin.catalog.revoke_invite(invite.token.digest()).await?;
    Ok(StatusCode::NO_CONTENT)
}
