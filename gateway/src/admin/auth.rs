//! Who may use the admin API: whoever signs with a key of an operator's account.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use types::{AccountId, KIB};

use super::error::ApiError;
use super::sigv4::Claim;
use super::{AdminParts, SERVICE};
use crate::secrets;

/// Bytes of the longest request body; every message of this API is far shorter.
const BODY_MAX: usize = 64 * KIB as usize;

/// Proof that an operator signed the request at hand. Only [`check`] makes one.
#[derive(Clone, Debug)]
pub(super) struct Operator(AccountId);

impl Operator {
    /// The account that signed.
    pub(super) fn account(&self) -> &AccountId {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get().cloned().ok_or(ApiError::Unprotected)
    }
}

/// Lets a request pass if an operator signed it.
pub(super) async fn check(
    State(admin): State<Arc<AdminParts>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    // Before the body is read: who cannot even claim to be somebody is not listened to.
    let claim = Claim::read(&parts, SERVICE, admin.clock.now())?;
    let body = match Limited::new(body, BODY_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(ApiError::TooLong(BODY_MAX)),
        Err(error) => {
            return Err(ApiError::Invalid(format!("the body could not be read: {error}")));
        }
    };
    let key = admin.catalog.access_key(claim.access_key()).await?.ok_or(ApiError::UnknownKey)?;
    if !key.enabled || key.expires.is_some_and(|expires| expires <= admin.clock.now()) {
        return Err(ApiError::UnknownKey);
    }
    let secret = secrets::open(&admin.keyring, claim.access_key(), &key)?;
    claim.verify(&secret, &parts, &body)?;
    let account = admin.catalog.account(&key.account).await?.ok_or(ApiError::UnknownKey)?;
    // A key that was narrowed is not the operator.
    if !account.operator || key.policy.is_some() || key.session.is_some() {
        return Err(ApiError::NotOperator);
    }
    let operator = Operator(key.account);
    if !parts.method.is_safe() {
        tracing::info!(target: "audit", operator = %operator.0, method = %parts.method, path = parts.uri.path(), "admin request");
    }
    parts.extensions.insert(operator);
    Ok(next.run(Request::from_parts(parts, Body::from(body))).await)
}
