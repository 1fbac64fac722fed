//! What the operations on an upload under way have in common.

use metadata::Catalog;
use metadata::records::{Checksum, ChecksumAlgorithm, Upload};
use metadata::uploads::UploadAt;
use s3s::{S3Error, S3ErrorCode, S3Result};
use types::ManifestId;

use crate::s3::authorize::Authorized;
use crate::s3::{checksum, describe, error};

/// The highest part number, and so the most parts.
pub(super) const PARTS_MAX: u32 = 10_000;

/// Where an upload is, from what the client says of it.
///
/// # Errors
/// `NoSuchUpload` for an id that none can have.
pub(super) fn at<A>(allowed: &Authorized<A>, key: &str, id: &str) -> S3Result<UploadAt> {
    let id: ManifestId = id.parse().map_err(|_| S3Error::new(S3ErrorCode::NoSuchUpload))?;
    Ok((allowed.id(), describe::key(key)?, id))
}

/// The upload at that place.
pub(super) async fn find(catalog: &Catalog, at: &UploadAt) -> S3Result<Upload> {
    catalog.upload(at).await.map_err(error::catalog)
}

/// A part's number, 1 to 10,000.
pub(super) fn part_number(number: i32) -> S3Result<u32> {
    let number = u32::try_from(number).ok().filter(|number| (1..=PARTS_MAX).contains(number));
    number.ok_or_else(|| {
        error::refuse(
            S3ErrorCode::InvalidArgument,
            "Part number must be an integer between 1 and 10000, inclusive",
        )
    })
}

/// The checksum each part of the upload needs, so that the object can have one: the one announced, or S3's default.
pub(super) fn needed(upload: &Upload) -> ChecksumAlgorithm {
    upload.checksum.map_or(checksum::DEFAULT, |(algorithm, _)| algorithm)
}

/// The checksums that listings and answers show of a part: only the announced one.
pub(super) fn shown<'a>(
    upload: &Upload,
    all: &'a [Checksum],
) -> impl Iterator<Item = &'a Checksum> {
    let announced = upload.checksum.map(|(algorithm, _)| algorithm);
    all.iter().filter(move |checksum| Some(checksum.algorithm) == announced)
}
