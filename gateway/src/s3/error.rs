//! What a client is told when something fails: one exhaustive table from every internal error to S3's code.
//!
//! A client's fault is logged as `debug`, ours as `error` and told without its inner details.
//! Codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>

use std::borrow::Cow;

use ::http::{HeaderMap, HeaderValue, StatusCode, header};
use kv::KvError;
use metadata::CatalogError;
use s3s::{S3Error, S3ErrorCode};
use seal::SealError;
use types::{NameError, Timestamp, VersionId};

use super::dates;
use crate::get::GetError;
use crate::keys::KeyError;
use crate::put::{BodyError, PutError};

/// A row of the table: the code, and a message where S3's default one says too little.
type Row = (S3ErrorCode, Option<&'static str>);

/// The catalog refused or failed.
pub(super) fn catalog(error: CatalogError) -> S3Error {
    let mut told = answer(of_catalog(&error), &error);
    match error {
        CatalogError::DeleteMarker { version, modified, named } => {
            told.set_headers(of_delete_marker(version, modified, named));
        }
        CatalogError::NoSuchKey => {
            let mut headers = xml_headers();
            headers.insert("x-amz-delete-marker", HeaderValue::from_static("false"));
            told.set_headers(headers);
        }
        CatalogError::TakenDown => {
            told.set_status_code(StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS);
        }
        _ => {}
    }
    told
}

/// What is told of a delete marker: that it is one and which; of one that was asked for by its id also what can be done with it.
fn of_delete_marker(version: VersionId, modified: Timestamp, named: bool) -> HeaderMap {
    let mut headers = xml_headers();
    headers.insert("x-amz-delete-marker", HeaderValue::from_static("true"));
    if let Ok(id) = HeaderValue::try_from(version.to_string()) {
        headers.insert("x-amz-version-id", id);
    }
    if named {
        headers.insert(header::ALLOW, HeaderValue::from_static("DELETE"));
        if let Some(modified) = dates::http_date(modified) {
            headers.insert(header::LAST_MODIFIED, modified);
        }
    }
    headers
}

/// A PUT failed.
pub(super) fn put(error: PutError) -> S3Error {
    let mut told = answer(of_put(&error), &error);
    if matches!(error, PutError::Quota(_)) {
        told.set_status_code(StatusCode::FORBIDDEN);
    }
    told
}

/// A read failed.
pub(super) fn get(error: GetError) -> S3Error {
    match error {
        GetError::Catalog(error @ CatalogError::TakenDown) => catalog(error),
        error => answer(of_get(&error), &error),
    }
}

/// A wrapping key cannot be had.
pub(super) fn key(error: KeyError) -> S3Error {
    answer(of_key(&error), &error)
}

/// A name is none.
pub(super) fn name(error: NameError) -> S3Error {
    answer(of_name(&error), &error)
}

/// A refusal with a message.
pub(super) fn refuse(code: S3ErrorCode, message: impl Into<Cow<'static, str>>) -> S3Error {
    S3Error::with_message(code, message)
}

/// A refusal with a code that the library does not list.
pub(super) fn custom(code: &'static str, status: StatusCode, message: &'static str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(status);
    error
}

/// A document that is well-formed but says what S3's schema does not allow.
pub(super) fn malformed_xml() -> S3Error {
    S3Error::new(S3ErrorCode::MalformedXML)
}

/// Something that S3 has and this version does not.
pub(super) fn later(what: &'static str) -> S3Error {
    S3Error::with_message(S3ErrorCode::NotImplemented, format!("{what} is not implemented."))
}

/// 416, with the size that a range would have to stay in.
pub(super) fn unsatisfiable(size: u64) -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::InvalidRange);
    let mut headers = xml_headers();
    let range = HeaderValue::try_from(format!("bytes */{size}"));
    headers.insert(header::CONTENT_RANGE, range.expect("digits are valid in a header"));
    error.set_headers(headers);
    error
}

/// The headers of an error that carries its own: they replace those the library would set.
fn xml_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    headers
}

fn answer((code, message): Row, error: &(dyn std::error::Error + 'static)) -> S3Error {
    let status = code.status_code().unwrap_or(StatusCode::BAD_REQUEST);
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(error, "a request failed");
    } else if status.is_server_error() {
        tracing::warn!(error, code = code.as_str(), "a request was refused");
    } else {
        tracing::debug!(error, code = code.as_str(), "a request was refused");
    }
    let mut answer = S3Error::new(code);
    if let Some(message) = message {
        answer.set_message(message);
    }
    answer.set_status_code(status);
    answer
}

fn of_catalog(error: &CatalogError) -> Row {
    match error {
        // RFC 7725: 451.
        CatalogError::TakenDown => (
            S3ErrorCode::Custom("UnavailableForLegalReasons".into()),
            Some("The operator of this storage took the object down."),
        ),
        CatalogError::NoSuchBucket(_) => (S3ErrorCode::NoSuchBucket, None),
        CatalogError::BucketBusy(_) => {
            (S3ErrorCode::OperationAborted, Some("The bucket is being deleted. Please try again."))
        }
        CatalogError::BucketTaken(_) => (S3ErrorCode::BucketAlreadyExists, None),
        CatalogError::BucketExists(_) => (S3ErrorCode::BucketAlreadyOwnedByYou, None),
        CatalogError::BucketNotEmpty(_) => (S3ErrorCode::BucketNotEmpty, None),
        CatalogError::NoSuchKey => (S3ErrorCode::NoSuchKey, None),
        CatalogError::NoSuchVersion => (S3ErrorCode::NoSuchVersion, None),
        CatalogError::DeleteMarker { named: false, .. } => (S3ErrorCode::NoSuchKey, None),
        CatalogError::DeleteMarker { named: true, .. } => (S3ErrorCode::MethodNotAllowed, None),
        CatalogError::Locked => (
            S3ErrorCode::AccessDenied,
            Some("Access Denied because object protected by object lock."),
        ),
        CatalogError::NotLockable => {
            (S3ErrorCode::InvalidRequest, Some("Bucket is missing Object Lock Configuration"))
        }
        CatalogError::Versioned => (
            S3ErrorCode::InvalidRequest,
            Some("Appending and renaming need a bucket that never had versioning enabled."),
        ),
        CatalogError::WriteOffset { .. } => (
            S3ErrorCode::Custom("InvalidWriteOffset".into()),
            Some(
                "The write offset value that you specified does not match the current object size.",
            ),
        ),
        CatalogError::TooManyParts => (
            S3ErrorCode::Custom("TooManyParts".into()),
            Some(
                "You have attempted to add more parts than the maximum of 10000 that are allowed for this object.",
            ),
        ),
        CatalogError::OtherRequest => (
            S3ErrorCode::Custom("IdempotencyParameterMismatch".into()),
            Some(
                "Parameters on this idempotent request are inconsistent with parameters used in previous request(s).",
            ),
        ),
        CatalogError::NoSuchUpload => (S3ErrorCode::NoSuchUpload, None),
        CatalogError::InvalidPart(_) => (S3ErrorCode::InvalidPart, None),
        CatalogError::PreconditionFailed => (S3ErrorCode::PreconditionFailed, None),
        CatalogError::StreamDying(_) => {
            (S3ErrorCode::OperationAborted, Some("The source is being deleted. Please try again."))
        }
        CatalogError::SessionEnded => (S3ErrorCode::ServiceUnavailable, None),
        CatalogError::TooLarge { .. } => (
            S3ErrorCode::EntityTooLarge,
            Some("Your proposed configuration is larger than the maximum allowed size."),
        ),
        CatalogError::Exists(_)
        | CatalogError::Missing(_)
        | CatalogError::Invite(_)
        | CatalogError::Corrupt(_) => (S3ErrorCode::InternalError, None),
        CatalogError::Kv(error) => of_kv(error),
    }
}

fn of_kv(error: &KvError) -> Row {
    match error {
        KvError::Conflict | KvError::Contended { .. } | KvError::TooOld { .. } => {
            (S3ErrorCode::SlowDown, None)
        }
        KvError::Closed => (S3ErrorCode::ServiceUnavailable, None),
        KvError::KeySize(_)
        | KvError::ValueTooLarge(_)
        | KvError::TransactionTooLarge
        | KvError::Finished
        | KvError::UnknownFamily(_)
        | KvError::Unsupported(_)
        | KvError::Locked(_)
        | KvError::NewerFormat { .. }
        | KvError::UnknownFormat(_)
        | KvError::Poisoned(_)
        | KvError::Engine { .. }
        | KvError::MalformedKey { .. }
        | KvError::MalformedValue { .. }
        | KvError::Encode { .. } => (S3ErrorCode::InternalError, None),
    }
}

fn of_put(error: &PutError) -> Row {
    match error {
        PutError::Body(error) => of_body(error),
        PutError::Length { .. } => (S3ErrorCode::IncompleteBody, None),
        PutError::ContentMd5 => (S3ErrorCode::BadDigest, None),
        PutError::Checksum(_) => (
            S3ErrorCode::BadDigest,
            Some("The checksum you specified did not match the calculated checksum."),
        ),
        PutError::TooFewNodes { .. } => {
            (S3ErrorCode::SlowDown, Some("Too few storage nodes are online. Please try again."))
        }
        PutError::Catalog(error) => of_catalog(error),
        PutError::Seal(error) => of_seal(error),
        PutError::Key(error) => of_key(error),
        PutError::Codec(_) => (S3ErrorCode::InternalError, None),
        PutError::Quota(_) => (
            S3ErrorCode::Custom("QuotaExceeded".into()),
            Some("The bucket's quota would be exceeded."),
        ),
        PutError::ShuttingDown => (S3ErrorCode::ServiceUnavailable, None),
    }
}

fn of_body(error: &BodyError) -> Row {
    match error {
        BodyError::Broken(_) => (S3ErrorCode::IncompleteBody, None),
        BodyError::Forged(_) => (S3ErrorCode::SignatureDoesNotMatch, None),
        BodyError::Slow => (S3ErrorCode::RequestTimeout, None),
    }
}

fn of_get(error: &GetError) -> Row {
    match error {
        GetError::Catalog(error) => of_catalog(error),
        GetError::Seal(error) => of_seal(error),
        GetError::Key(error) => of_key(error),
        GetError::TooFewShards { .. } => (
            S3ErrorCode::ServiceUnavailable,
            Some("Too few storage nodes are online to read this object. Please try again."),
        ),
        GetError::Codec(_) => (S3ErrorCode::InternalError, None),
    }
}

fn of_key(error: &KeyError) -> Row {
    match error {
        KeyError::NoSuchKey(_) | KeyError::Name => {
            (S3ErrorCode::Custom("KMS.NotFoundException".into()), Some("There is no such key."))
        }
        KeyError::Disabled(_) => {
            (S3ErrorCode::Custom("KMS.DisabledException".into()), Some("The key is disabled."))
        }
        KeyError::Catalog(error) => of_catalog(error),
        KeyError::Seal(error) => of_seal(error),
    }
}

fn of_seal(error: &SealError) -> Row {
    match error {
        SealError::WrongCustomerKey => (
            S3ErrorCode::InvalidRequest,
            Some("The provided encryption parameters did not match the ones used originally."),
        ),
        SealError::CustomerKeyNeeded => (
            S3ErrorCode::InvalidRequest,
            Some(
                "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to \
                 retrieve the object.",
            ),
        ),
        SealError::OtherWrappingKey => (
            S3ErrorCode::InvalidRequest,
            Some("The encryption parameters are not applicable to this object."),
        ),
        SealError::Tampered(_)
        | SealError::NamedKeyNeeded(_)
        | SealError::NotCommitted
        | SealError::UnknownCipher(_)
        | SealError::ChunkLength { .. }
        | SealError::StreamLength(_)
        | SealError::NewerFormat { .. }
        | SealError::UnknownKeyringKey(_)
        | SealError::Keyring(_)
        | SealError::KeyName
        | SealError::Encoding(_) => (S3ErrorCode::InternalError, None),
    }
}

fn of_name(error: &NameError) -> Row {
    match error {
        NameError::Bucket(_) => (S3ErrorCode::InvalidBucketName, None),
        NameError::KeyEmpty => (S3ErrorCode::InvalidArgument, Some("The object key is empty.")),
        NameError::KeyTooLong(_) => (S3ErrorCode::KeyTooLongError, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(error: &S3Error) -> u16 {
        error.status_code().expect("every answer has a status").as_u16()
    }

    #[test]
    fn each_fault_has_its_code_and_status() {
        for (error, code, number) in [
            (catalog(CatalogError::NoSuchKey), S3ErrorCode::NoSuchKey, 404),
            (
                get(GetError::Catalog(CatalogError::TakenDown)),
                S3ErrorCode::Custom("UnavailableForLegalReasons".into()),
                451,
            ),
            (catalog(CatalogError::PreconditionFailed), S3ErrorCode::PreconditionFailed, 412),
            (catalog(CatalogError::InvalidPart(3)), S3ErrorCode::InvalidPart, 400),
            (
                catalog(CatalogError::Kv(KvError::Contended { attempts: 9 })),
                S3ErrorCode::SlowDown,
                503,
            ),
            (put(PutError::ContentMd5), S3ErrorCode::BadDigest, 400),
            (put(PutError::Length { got: 1, announced: 2 }), S3ErrorCode::IncompleteBody, 400),
            (put(PutError::TooFewNodes { stored: 1, needed: 5 }), S3ErrorCode::SlowDown, 503),
            (put(PutError::Body(BodyError::Slow)), S3ErrorCode::RequestTimeout, 400),
            (get(GetError::Seal(SealError::CustomerKeyNeeded)), S3ErrorCode::InvalidRequest, 400),
            (get(GetError::Seal(SealError::WrongCustomerKey)), S3ErrorCode::InvalidRequest, 400),
            (
                key(KeyError::NoSuchKey("k".to_owned())),
                S3ErrorCode::Custom("KMS.NotFoundException".into()),
                400,
            ),
            (name(NameError::KeyTooLong(2000)), S3ErrorCode::KeyTooLongError, 400),
        ] {
            assert_eq!(*error.code(), code);
            assert_eq!(status(&error), number, "{code:?}");
        }
    }

    #[test]
    fn an_internal_error_tells_nothing_of_its_inside() {
        let error = catalog(CatalogError::Corrupt("secret detail".to_owned()));
        assert_eq!(status(&error), 500);
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }

    #[test]
    fn an_unsatisfiable_range_names_the_size() {
        let error = unsatisfiable(5);
        assert_eq!(status(&error), 416);
        let headers = error.headers().expect("headers");
        assert_eq!(headers[header::CONTENT_RANGE], "bytes */5");
        assert_eq!(headers[header::CONTENT_TYPE], "application/xml");
    }
}
