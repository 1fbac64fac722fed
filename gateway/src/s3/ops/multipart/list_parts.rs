//! ListParts.

use metadata::Catalog;
use metadata::records::{Part, Upload};
use s3s::dto::{self, ChecksumType, Initiator, ListPartsInput, ListPartsOutput, StorageClass};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use super::under_way;
use crate::s3::authorize::{Authorized, Gate, ListMultipartUploadParts};
use crate::s3::listing::{self, Owners};
use crate::s3::{checksum, describe, error};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<ListPartsInput>,
) -> S3Result<ListPartsOutput> {
    let input = &request.input;
    let allowed: Authorized<ListMultipartUploadParts> = gate
        .open(&request, &input.bucket, input.expected_bucket_owner.as_deref())
        .await?
        .upload(&input.key, &input.upload_id)
        .await?;
    let input = request.input;
    let at = under_way::at(&allowed, &input.key, &input.upload_id)?;
    let upload = under_way::find(catalog, &at).await?;
    let limit = listing::limit(input.max_parts, "max-parts")?;
    let marker = input.part_number_marker.unwrap_or(0);
    let after = u32::try_from(marker).map_err(|_| S3Error::new(S3ErrorCode::InvalidArgument))?;
    let most = usize::try_from(limit).unwrap_or(0);
    let mut parts = catalog.parts(at.2, after, most + 1).await.map_err(error::catalog)?;
    let more = most > 0 && parts.len() > most;
    parts.truncate(most);

    let owner =
        Owners::new(catalog).get(upload.owner.as_ref().unwrap_or(&allowed.bucket().owner)).await?;
    let kind = |full| {
        ChecksumType::from_static(if full {
            ChecksumType::FULL_OBJECT
        } else {
            ChecksumType::COMPOSITE
        })
    };
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        checksum_algorithm: upload
            .checksum
            .map(|(algorithm, _)| dto::ChecksumAlgorithm::from_static(checksum::name(algorithm))),
        checksum_type: upload.checksum.map(|(_, full)| kind(full)),
        initiator: Some(Initiator {
            display_name: owner.display_name.clone(),
            id: owner.id.clone(),
        }),
        is_truncated: Some(more),
        key: Some(input.key),
        max_parts: Some(limit),
        next_part_number_marker: Some(
            parts.last().map_or(marker, |(number, _)| shown_number(*number)),
        ),
        owner: Some(owner),
        part_number_marker: Some(marker),
        parts: Some(parts.iter().map(|(number, part)| shown(&upload, *number, part)).collect()),
        storage_class: Some(StorageClass::from(describe::class_name(upload.class.as_ref()))),
        upload_id: Some(input.upload_id),
        ..ListPartsOutput::default()
    })
}

fn shown(upload: &Upload, number: u32, part: &Part) -> dto::Part {
    let mut shown = dto::Part {
        e_tag: Some(describe::part_etag(&part.md5)),
        last_modified: Some(describe::stamp(part.modified)),
        part_number: Some(shown_number(number)),
        size: Some(describe::signed(part.len)),
        ..dto::Part::default()
    };
    checksum::show!(shown, under_way::shown(upload, &part.checksums));
    shown
}

fn shown_number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
