//! What describes an object beside its bytes: headers, user metadata, storage class; and how S3 writes times and entity tags.

use metadata::records::{ContentHeaders, ReplicationStatus, Versioning};
use metadata::{Bucket, Etag};
use s3s::dto::{self, ETag};
use s3s::{S3Error, S3ErrorCode, S3Result};
use types::{GeometryName, ObjectKey, VersionId};

pub(super) use super::dates::stamp;
use super::{S3Settings, error};

/// The most bytes of user metadata, names and values together.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html>
const USER_METADATA_MAX: usize = 2 * 1024;
/// What S3 calls bytes of unknown kind.
const UNKNOWN_TYPE: &str = "binary/octet-stream";
/// The class of objects that name none.
const STANDARD: &str = "STANDARD";

/// The content headers of a PUT, a copy that replaces them, or a Create.
macro_rules! content_headers {
    ($input:expr) => {
        ::metadata::records::ContentHeaders {
            content_type: $input.content_type.take(),
            content_encoding: $input.content_encoding.take(),
            content_disposition: $input.content_disposition.take(),
            content_language: $input.content_language.take(),
            cache_control: $input.cache_control.take(),
            expires: $input.expires.take(),
            website_redirect: $input.website_redirect_location.take(),
        }
    };
}
pub(super) use content_headers;

/// Puts content headers into the form in which they are kept.
pub(super) fn keep(headers: ContentHeaders) -> ContentHeaders {
    ContentHeaders {
        content_type: Some(headers.content_type.unwrap_or_else(|| UNKNOWN_TYPE.to_owned())),
        content_encoding: headers.content_encoding.and_then(|encoding| without_framing(&encoding)),
        ..headers
    }
}

/// `aws-chunked` is how the body travelled, not what it is.
fn without_framing(encoding: &str) -> Option<String> {
    let framing = |coding: &str| coding.eq_ignore_ascii_case("aws-chunked");
    if !encoding.split(',').any(|coding| framing(coding.trim())) {
        return Some(encoding.to_owned());
    }
    let kept: Vec<&str> = encoding
        .split(',')
        .map(str::trim)
        .filter(|coding| !framing(coding) && !coding.is_empty())
        .collect();
    (!kept.is_empty()).then(|| kept.join(", "))
}

/// User metadata as it is kept: sorted, so that the same metadata is the same bytes.
///
/// # Errors
/// `MetadataTooLarge`.
pub(super) fn user_metadata(given: Option<dto::Metadata>) -> S3Result<Vec<(String, String)>> {
    let mut all: Vec<(String, String)> = given.unwrap_or_default().into_iter().collect();
    if all.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > USER_METADATA_MAX {
        return Err(S3Error::new(S3ErrorCode::MetadataTooLarge));
    }
    all.sort();
    Ok(all)
}

/// The storage class a write asks for: the name to keep, and how to code.
///
/// # Errors
/// `InvalidStorageClass`.
pub(super) fn class(
    settings: &S3Settings,
    bucket: &Bucket,
    asked: Option<&dto::StorageClass>,
) -> S3Result<(Option<String>, GeometryName)> {
    match asked.map(dto::StorageClass::as_str) {
        None | Some(STANDARD) => Ok((None, bucket.geometry)),
        Some(name) => settings
            .classes
            .iter()
            .find(|(known, _)| known == name)
            .map(|(known, geometry)| (Some(known.clone()), *geometry))
            .ok_or_else(|| S3Error::new(S3ErrorCode::InvalidStorageClass)),
    }
}

/// The name of a class, as listings and attributes show it.
pub(super) fn class_name(class: Option<&String>) -> String {
    class.cloned().unwrap_or_else(|| STANDARD.to_owned())
}

/// How far a version's replication is.
pub(super) fn replication(status: ReplicationStatus) -> &'static str {
    match status {
        ReplicationStatus::Pending => dto::ReplicationStatus::PENDING,
        ReplicationStatus::Completed => dto::ReplicationStatus::COMPLETED,
        ReplicationStatus::Failed => dto::ReplicationStatus::FAILED,
        ReplicationStatus::Replica => dto::ReplicationStatus::REPLICA,
    }
}

/// Parses a key.
pub(super) fn key(text: &str) -> S3Result<ObjectKey> {
    text.parse().map_err(error::name)
}

/// The version a request names, if it names one.
///
/// # Errors
/// `InvalidArgument` for what can be no version's id.
pub(super) fn version(text: Option<&str>) -> S3Result<Option<VersionId>> {
    let invalid = |message| error::refuse(S3ErrorCode::InvalidArgument, message);
    match text {
        None => Ok(None),
        Some("") => Err(invalid("Version id cannot be the empty string")),
        Some(text) => text.parse().map(Some).map_err(|_| invalid("Invalid version id specified")),
    }
}

/// The id of a version that was read: a bucket that never had versions tells none.
pub(super) fn version_read(bucket: &Bucket, id: VersionId) -> Option<String> {
    let told = bucket.versioning != Versioning::Unversioned || id != VersionId::NULL;
    told.then(|| id.to_string())
}

/// The id of a version that was written: `null` is not told.
pub(super) fn version_written(id: VersionId) -> Option<String> {
    (id != VersionId::NULL).then(|| id.to_string())
}

/// An entity tag.
pub(super) fn etag(etag: &Etag) -> ETag {
    ETag::Strong(etag.to_string())
}

/// The entity tag of a part.
pub(super) fn part_etag(md5: &[u8; 16]) -> ETag {
    etag(&Etag { md5: *md5, parts: 0 })
}

/// A length or offset as S3's signed fields carry it.
pub(super) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use types::Timestamp;

    use super::*;

    #[test]
    fn framing_is_no_encoding() {
        for (given, kept) in [
            ("gzip", Some("gzip")),
            ("deflate, gzip", Some("deflate, gzip")),
            ("gzip, aws-chunked", Some("gzip")),
            ("aws-chunked, gzip", Some("gzip")),
            ("aws-chunked,deflate,gzip", Some("deflate, gzip")),
            ("aws-chunked", None),
            ("aws-chunked, aws-chunked", None),
        ] {
            assert_eq!(without_framing(given).as_deref(), kept, "{given}");
        }
    }

    #[test]
    fn user_metadata_is_measured_in_bytes_of_names_and_values() {
        let one = |value: String| Some(dto::Metadata::from([("k".to_owned(), value)]));
        assert!(user_metadata(one("v".repeat(2047))).is_ok());
        let long = user_metadata(one("ü".repeat(1024)));
        assert_eq!(*long.expect_err("too long").code(), S3ErrorCode::MetadataTooLarge);
        assert_eq!(
            user_metadata(one(String::new())).expect("kept"),
            [("k".to_owned(), String::new())]
        );
    }

    #[test]
    fn a_version_is_named_by_an_id_or_null() {
        assert_eq!(version(None).expect("none"), None);
        assert_eq!(version(Some("null")).expect("one"), Some(VersionId::NULL));
        let id = VersionId::at(Timestamp(7));
        assert_eq!(version(Some(&id.to_string())).expect("one"), Some(id));
        for bad in ["", "abc", "NULL"] {
            let refused = version(Some(bad)).expect_err("refused");
            assert_eq!(*refused.code(), S3ErrorCode::InvalidArgument);
        }
        assert_eq!(version_written(VersionId::NULL), None);
        assert_eq!(version_written(id), Some(id.to_string()));
    }

    #[test]
    fn times_are_shown_to_the_second() {
        let mut text = Vec::new();
        stamp(Timestamp(1_700_000_000_999))
            .format(dto::TimestampFormat::DateTime, &mut text)
            .expect("formats");
        assert_eq!(text, b"2023-11-14T22:13:20.000Z");
    }
}
