//! What GET and HEAD have in common: find the object, decide whether and which of its bytes, describe them.

use std::ops::Range;

use metadata::records::{Checksum, Extent};
use metadata::{Catalog, CatalogError, Entry, Located, LocatedBody};
use s3s::dto::{self, ChecksumMode};
use s3s::{S3Error, S3ErrorCode, S3Result};
use types::{BucketId, ObjectKey, Timestamp};

use crate::put::CustomerKey;
use crate::s3::authorize::{Authorized, GetObject};
use crate::s3::conditions::ReadConditions;
use crate::s3::{archive, customer, describe, error, range};

/// What a GET or HEAD asks for.
pub(super) struct Asked<'a> {
    pub(super) conditions: ReadConditions,
    pub(super) range: Option<dto::Range>,
    pub(super) part: Option<i32>,
    pub(super) customer: Option<&'a CustomerKey>,
    pub(super) checksum_mode: Option<&'a ChecksumMode>,
    pub(super) now: Timestamp,
}

/// An object, and the bytes of it that are meant.
pub(super) struct Found {
    pub(super) located: Located,
    /// The version's id, where it is told.
    pub(super) version: Option<String>,
    /// The bytes to send.
    pub(super) bytes: Range<u64>,
    /// Whether the client asked for less than everything, in whatever words.
    pub(super) partial: bool,
    /// How many parts the object has, if it was asked for by part.
    pub(super) parts: Option<i32>,
    /// Checksums to tell.
    pub(super) checksums: Vec<Checksum>,
    /// Until when it is restored, in S3's words.
    pub(super) restore: Option<String>,
}

/// The object as it is, if there is one.
pub(super) async fn present(
    catalog: &Catalog,
    bucket: BucketId,
    key: &ObjectKey,
) -> S3Result<Option<Entry>> {
    match catalog.locate(bucket, key).await {
        Ok(located) => Ok(Some(located.entry)),
        Err(CatalogError::NoSuchKey | CatalogError::DeleteMarker { .. }) => Ok(None),
        Err(failed) => Err(error::catalog(failed)),
    }
}

/// What the answer's headers say is decided by somebody who can be named: else a link could turn a stranger's text into a script.
///
/// # Errors
/// `InvalidRequest`.
pub(super) fn refuse_strangers_overrides(
    allowed: &Authorized<GetObject>,
    uri: &::http::Uri,
) -> S3Result<()> {
    let overrides = |query: &str| query.split('&').any(|pair| pair.starts_with("response-"));
    if allowed.is_anonymous() && uri.query().is_some_and(overrides) {
        return Err(error::refuse(
            S3ErrorCode::InvalidRequest,
            "Request specific response headers cannot be used for anonymous GET requests.",
        ));
    }
    Ok(())
}

/// Finds which bytes of an object are asked for.
///
/// # Errors
/// Everything that can be wrong with an object that is there: 304, 400, 403, 412, 416.
pub(super) async fn find(
    allowed: &Authorized<GetObject>,
    located: Located,
    asked: Asked<'_>,
) -> S3Result<Found> {
    if asked.range.is_some() && asked.part.is_some() {
        let message = "Cannot specify both Range header and partNumber query parameter";
        return Err(error::refuse(S3ErrorCode::InvalidRequest, message));
    }
    let version = describe::version_read(allowed.bucket(), located.entry.version);
    // A part that is not there is not there for anybody.
    let part = match asked.part {
        Some(number) => Some(part(&located, number).await?),
        None => None,
    };
    customer::check(&located.detail.encryption, asked.customer)?;
    asked.conditions.check_read(&located.entry)?;

    let tell = asked.checksum_mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
    let size = located.entry.size;
    let restore = archive::told(&located.detail, asked.now);
    if let Some((bytes, parts, checksums)) = part {
        let checksums = if tell { checksums } else { Vec::new() };
        return Ok(Found { located, version, bytes, partial: true, parts, checksums, restore });
    }
    let (bytes, partial) = match &asked.range {
        Some(asked) => (range::resolve(asked, size)?, true),
        None => (0..size, false),
    };
    // A checksum of the whole says nothing of a piece.
    let checksums = if tell && !partial { located.detail.checksums.clone() } else { Vec::new() };
    Ok(Found { located, version, bytes, partial, parts: None, checksums, restore })
}

/// The bytes of one part of a multipart object, the number of parts, and the part's checksums. An object put whole is its only part.
async fn part(
    located: &Located,
    number: i32,
) -> S3Result<(Range<u64>, Option<i32>, Vec<Checksum>)> {
    let none =
        || error::refuse(S3ErrorCode::InvalidPart, "The requested part number is not satisfiable.");
    let number = u32::try_from(number).ok().filter(|number| *number > 0);
    let number = number.ok_or_else(|| S3Error::new(S3ErrorCode::InvalidArgument))?;
    let parts = parts_of(located).await?;
    if parts.is_empty() {
        let whole = (0..located.entry.size, None, located.detail.checksums.clone());
        return if number == 1 { Ok(whole) } else { Err(none()) };
    }
    let count = i32::try_from(parts.len()).ok();
    let mut from = 0;
    for extent in parts {
        let bytes = from..from + extent.len;
        if extent.part == number {
            let of_object = located.entry.checksum.map(|(algorithm, _)| algorithm);
            let told = extent
                .checksums
                .into_iter()
                .filter(|checksum| Some(checksum.algorithm) == of_object);
            return Ok((bytes, count, told.collect()));
        }
        from = bytes.end;
    }
    Err(none())
}

/// The parts of a multipart object, in order; none of an object put whole.
pub(super) async fn parts_of(located: &Located) -> S3Result<Vec<Extent>> {
    if located.entry.etag.parts == 0 {
        return Ok(Vec::new());
    }
    match located.body().await.map_err(error::catalog)? {
        LocatedBody::Inline(_) => Ok(Vec::new()),
        LocatedBody::Extents(extents) => Ok(join(extents)),
    }
}

/// One extent for each part, whatever it was made of.
fn join(extents: Vec<Extent>) -> Vec<Extent> {
    let mut parts: Vec<Extent> = Vec::with_capacity(extents.len());
    for extent in extents {
        match parts.last_mut().filter(|last| last.part == extent.part) {
            Some(last) => last.len += extent.len,
            None => parts.push(extent),
        }
    }
    parts
}

/// Fills what GetObjectOutput and HeadObjectOutput have in common.
macro_rules! output {
    ($kind:ident, $found:expr) => {{
        let found: &$crate::s3::ops::found::Found = $found;
        let (entry, detail) = (&found.located.entry, &found.located.detail);
        let headers = detail.headers.clone();
        let range = || $crate::s3::range::content_range(&found.bytes, entry.size);
        let mut output = $kind {
            accept_ranges: Some("bytes".to_owned()),
            cache_control: headers.cache_control,
            // Of the object, even where the value told is a part's: so does S3.
            checksum_type: found
                .checksums
                .first()
                .and(entry.checksum)
                .map(|(_, kind)| $crate::s3::checksum::type_of(kind)),
            content_disposition: headers.content_disposition,
            content_encoding: headers.content_encoding,
            content_language: headers.content_language,
            content_length: Some($crate::s3::describe::signed(found.bytes.end - found.bytes.start)),
            content_range: (found.partial && !found.bytes.is_empty()).then(range),
            content_type: headers.content_type,
            e_tag: Some($crate::s3::describe::etag(&entry.etag)),
            expires: headers.expires,
            last_modified: Some($crate::s3::describe::stamp(entry.modified)),
            object_lock_legal_hold_status: $crate::s3::protection::told_hold(&detail.lock)
                .map(::s3s::dto::ObjectLockLegalHoldStatus::from_static),
            object_lock_mode: detail
                .lock
                .retention
                .map(|retention| $crate::s3::protection::mode_name(retention.mode))
                .map(::s3s::dto::ObjectLockMode::from_static),
            object_lock_retain_until_date: detail
                .lock
                .retention
                .map(|retention| $crate::s3::protection::told_until(retention.until)),
            replication_status: detail
                .replication
                .map($crate::s3::describe::replication)
                .map(::s3s::dto::ReplicationStatus::from_static),
            tag_count: $crate::s3::tags::count(&detail.tags),
            version_id: found.version.clone(),
            metadata: Some(detail.user.iter().cloned().collect()),
            parts_count: found.parts,
            restore: found.restore.clone(),
            storage_class: entry.class.clone().map(::s3s::dto::StorageClass::from),
            website_redirect_location: headers.website_redirect,
            ..$kind::default()
        };
        $crate::s3::encryption::show!(output, &detail.encryption);
        $crate::s3::checksum::show!(output, &found.checksums);
        output
    }};
}
pub(super) use output;

#[cfg(test)]
mod tests {
    use types::{SessionId, StreamId};

    use super::*;

    #[test]
    fn the_extents_of_one_part_are_one_part() {
        let stream = StreamId { session: SessionId(1), serial: 1 };
        let extent = |part, len| Extent { stream, offset: 0, len, part, checksums: Vec::new() };
        let parts = join(vec![extent(1, 5), extent(2, 3), extent(2, 4), extent(7, 1)]);
        let sizes: Vec<_> = parts.iter().map(|part| (part.part, part.len)).collect();
        assert_eq!(sizes, [(1, 5), (2, 7), (7, 1)]);
    }
}
