//! What the admin API says when it does not do something: `{"code", "message"}` and the HTTP status.

use axum::Json;
use axum::response::{IntoResponse, Response};
use billing::BillingError;
use http::StatusCode;
use metadata::CatalogError;
use serde_json::json;

use super::backup::BackupError;
use super::sigv4::SignatureError;
use crate::keys::KeyError;
use crate::upkeep::settle::SettleError;

/// A refusal or failure of the admin API.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The request bears no valid signature.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// Nobody has this access key.
    #[error("no such access key; admin requests are signed with a key of an operator's account")]
    UnknownKey,
    /// The key's account may not use this API.
    #[error("this account is not an operator's")]
    NotOperator,
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The body is longer than any request of this API.
    #[error("the request's body is longer than {0} bytes")]
    TooLong(usize),
    /// There is no such path.
    #[error("there is nothing here; see /admin/v1/openapi.json")]
    NoSuchPath,
    /// The path takes other methods.
    #[error("this path takes other methods; see /admin/v1/openapi.json")]
    WrongMethod,
    /// The catalog refused or failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A stored secret cannot be opened.
    #[error("a stored secret cannot be opened with this keyring")]
    Seal(#[from] seal::SealError),
    /// A named key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The books refused or failed.
    #[error(transparent)]
    Billing(#[from] BillingError),
    /// Settlement failed.
    #[error(transparent)]
    Settle(#[from] SettleError),
    /// A backup failed.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A handler was mounted without the signature check: a defect, caught.
    #[error("this route is not protected and does not answer")]
    Unprotected,
}

impl ApiError {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Signature(error) => signature(error),
            Self::UnknownKey => (StatusCode::FORBIDDEN, "InvalidAccessKeyId"),
            Self::NotOperator => (StatusCode::FORBIDDEN, "AccessDenied"),
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "InvalidRequest"),
            Self::TooLong(_) => (StatusCode::PAYLOAD_TOO_LARGE, "EntityTooLarge"),
            Self::NoSuchPath => (StatusCode::NOT_FOUND, "NoSuchPath"),
            Self::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed"),
            Self::Catalog(error) => catalog(error),
            Self::Key(error) => key(error),
            Self::Seal(_) | Self::Unprotected => {
                (StatusCode::INTERNAL_SERVER_ERROR, "InternalError")
            }
            Self::Billing(error) => billing(error),
            Self::Settle(SettleError::Billing(error)) => billing(error),
            Self::Settle(SettleError::Catalog(error)) => catalog(error),
            Self::Settle(SettleError::Outrun) => (StatusCode::CONFLICT, "Busy"),
            Self::Settle(SettleError::Engine(_)) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "InternalError")
            }
            Self::Backup(BackupError::Place { .. }) => (StatusCode::BAD_REQUEST, "InvalidRequest"),
            Self::Backup(_) => (StatusCode::INTERNAL_SERVER_ERROR, "BackupFailed"),
        }
    }
}

fn signature(error: &SignatureError) -> (StatusCode, &'static str) {
    match error {
        SignatureError::Missing => (StatusCode::FORBIDDEN, "MissingAuthenticationToken"),
        SignatureError::Malformed(_) | SignatureError::OtherService { .. } => {
            (StatusCode::BAD_REQUEST, "AuthorizationHeaderMalformed")
        }
        SignatureError::Skewed { .. } => (StatusCode::FORBIDDEN, "RequestTimeTooSkewed"),
        SignatureError::Unsigned(_) => (StatusCode::FORBIDDEN, "AccessDenied"),
        SignatureError::OtherPayload => (StatusCode::BAD_REQUEST, "XAmzContentSHA256Mismatch"),
        SignatureError::Mismatch => (StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
    }
}

fn catalog(error: &CatalogError) -> (StatusCode, &'static str) {
    match error {
        CatalogError::Exists(_) => (StatusCode::CONFLICT, "AlreadyExists"),
        CatalogError::Missing(_) => (StatusCode::NOT_FOUND, "NotFound"),
        CatalogError::Invite(_) => (StatusCode::CONFLICT, "InvalidInvite"),
        CatalogError::NoSuchBucket(_)
        | CatalogError::BucketBusy(_)
        | CatalogError::BucketTaken(_)
        | CatalogError::BucketExists(_)
        | CatalogError::BucketNotEmpty(_)
        | CatalogError::NoSuchKey
        | CatalogError::NoSuchVersion
        | CatalogError::DeleteMarker { .. }
        | CatalogError::TakenDown
        | CatalogError::Locked
        | CatalogError::NotLockable
        | CatalogError::Versioned
        | CatalogError::WriteOffset { .. }
        | CatalogError::TooManyParts
        | CatalogError::OtherRequest
        | CatalogError::TooLarge { .. }
        | CatalogError::NoSuchUpload
        | CatalogError::InvalidPart(_)
        | CatalogError::PreconditionFailed
        | CatalogError::StreamDying(_)
        | CatalogError::SessionEnded
        | CatalogError::Corrupt(_)
        | CatalogError::Kv(_) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
    }
}

fn billing(error: &BillingError) -> (StatusCode, &'static str) {
    match error {
        BillingError::Reason { .. }
        | BillingError::NotPositive(_)
        | BillingError::BadTariff(_)
        | BillingError::BatchName(_)
        | BillingError::Unknown { .. }
        | BillingError::Payee(_)
        | BillingError::Money(_) => (StatusCode::BAD_REQUEST, "InvalidRequest"),
        BillingError::NoTariff(_)
        | BillingError::NoSuchNode(_)
        | BillingError::NoPayee(_)
        | BillingError::NoSuchBatch(_)
        | BillingError::NoSuchPayout { .. }
        | BillingError::NoTally { .. } => (StatusCode::NOT_FOUND, "NotFound"),
        BillingError::Overdrawn { .. } => (StatusCode::CONFLICT, "Overdrawn"),
        BillingError::IdReused(_) => (StatusCode::CONFLICT, "AlreadyExists"),
        BillingError::PastIsFixed { .. } => (StatusCode::CONFLICT, "PastIsFixed"),
        BillingError::MonthOpen { .. } => (StatusCode::CONFLICT, "NotOver"),
        BillingError::BatchIs { .. }
        | BillingError::PayoutIs { .. }
        | BillingError::NothingToPay(_) => (StatusCode::CONFLICT, "WrongState"),
        BillingError::Frozen { .. }
        | BillingError::TierLimit { .. }
        | BillingError::SpendCap { .. }
        | BillingError::TooDear { .. } => (StatusCode::FORBIDDEN, "AccessDenied"),
        BillingError::Unbalanced(_)
        | BillingError::EntrySize { .. }
        | BillingError::Gap { .. }
        | BillingError::BatchChanged { .. }
        | BillingError::BatchTooLarge { .. }
        | BillingError::Overflow(_)
        | BillingError::Split(_)
        | BillingError::Document(_)
        | BillingError::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
    }
}

fn key(error: &KeyError) -> (StatusCode, &'static str) {
    match error {
        KeyError::NoSuchKey(_) => (StatusCode::NOT_FOUND, "NotFound"),
        KeyError::Name => (StatusCode::BAD_REQUEST, "InvalidRequest"),
        KeyError::Disabled(_) => (StatusCode::CONFLICT, "Disabled"),
        KeyError::Catalog(error) => catalog(error),
        KeyError::Seal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        if status.is_server_error() {
            tracing::error!(error = &self as &dyn std::error::Error, "an admin request failed");
        } else {
            tracing::debug!(error = %self, "an admin request was refused");
        }
        (status, Json(json!({ "code": code, "message": self.to_string() }))).into_response()
    }
}
