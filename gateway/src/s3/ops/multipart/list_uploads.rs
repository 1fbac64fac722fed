//! ListMultipartUploads.

use metadata::records::Upload;
use metadata::{Catalog, ListQuery};
use s3s::dto::{
    self, ChecksumType, Initiator, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    MultipartUpload, StorageClass,
};
use s3s::{S3ErrorCode, S3Request, S3Result};
use types::{ManifestId, ObjectKey};

use crate::s3::authorize::{Authorized, Gate, ListBucketMultipartUploads};
use crate::s3::listing::{self, Names, Owners};
use crate::s3::{checksum, describe, error};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<ListMultipartUploadsOutput> {
    let input = &request.input;
    let allowed: Authorized<ListBucketMultipartUploads> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let input = request.input;
    let names = Names::new(input.encoding_type.as_ref())?;
    let limit = listing::limit(input.max_uploads, "max-uploads")?;
    let key_marker = input.key_marker.clone().filter(|marker| !marker.is_empty());
    // Without a key marker an upload marker means nothing.
    let upload_marker =
        input.upload_id_marker.as_deref().filter(|id| !id.is_empty() && key_marker.is_some());
    let after_upload = upload_marker.map(read_upload_marker).transpose()?;
    let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
    let query = ListQuery {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: delimiter.clone(),
        after: key_marker,
        limit: usize::try_from(limit).unwrap_or(0),
        ..ListQuery::default()
    };
    let listed = catalog.list_uploads(allowed.id(), &query, after_upload).await;
    let (page, last_upload) = listed.map_err(error::catalog)?;

    let mut owners = Owners::new(catalog);
    let mut uploads = Vec::with_capacity(page.items.len());
    for (key, id, upload) in &page.items {
        let owner = owners.get(upload.owner.as_ref().unwrap_or(&allowed.bucket().owner)).await?;
        uploads.push(shown(&names, key, *id, upload, owner));
    }
    let more = page.next.is_some();
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket),
        common_prefixes: Some(names.prefixes(&page.prefixes)),
        delimiter: delimiter.map(|delimiter| names.write(&delimiter)),
        encoding_type: input.encoding_type,
        is_truncated: Some(more),
        key_marker: Some(names.write(input.key_marker.as_deref().unwrap_or_default())),
        max_uploads: Some(limit),
        next_key_marker: page.next.as_deref().map(|next| names.write(next)),
        next_upload_id_marker: last_upload.filter(|_| more).map(|id| id.to_string()),
        prefix: Some(names.write(&query.prefix)),
        request_charged: None,
        upload_id_marker: Some(input.upload_id_marker.unwrap_or_default()),
        uploads: Some(uploads),
    })
}

fn read_upload_marker(id: &str) -> S3Result<ManifestId> {
    id.parse().map_err(|_| error::refuse(S3ErrorCode::InvalidArgument, "Invalid uploadId marker"))
}

fn shown(
    names: &Names,
    key: &ObjectKey,
    id: ManifestId,
    upload: &Upload,
    owner: dto::Owner,
) -> MultipartUpload {
    let kind = |full| {
        ChecksumType::from_static(if full {
            ChecksumType::FULL_OBJECT
        } else {
            ChecksumType::COMPOSITE
        })
    };
    MultipartUpload {
        checksum_algorithm: upload
            .checksum
            .map(|(algorithm, _)| dto::ChecksumAlgorithm::from_static(checksum::name(algorithm))),
        checksum_type: upload.checksum.map(|(_, full)| kind(full)),
        initiated: Some(describe::stamp(upload.initiated)),
        initiator: Some(Initiator {
            display_name: owner.display_name.clone(),
            id: owner.id.clone(),
        }),
        key: Some(names.write(key.as_str())),
        owner: Some(owner),
        storage_class: Some(StorageClass::from(describe::class_name(upload.class.as_ref()))),
        upload_id: Some(id.to_string()),
    }
}
