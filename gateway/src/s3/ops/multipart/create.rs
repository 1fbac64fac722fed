//! CreateMultipartUpload.

use metadata::Catalog;
use metadata::records::{Detail, Upload};
use s3s::dto::{self, ChecksumType, CreateMultipartUploadInput, CreateMultipartUploadOutput};
use s3s::{S3Request, S3Result};
use types::Timestamp;

use crate::put::Writer;
use crate::s3::authorize::{Authorized, Gate, PutObject};
use crate::s3::encryption::{self, Wish};
use crate::s3::{S3Settings, checksum, describe, error, later};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    writer: &Writer,
    settings: &S3Settings,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<CreateMultipartUploadOutput> {
    let input = &request.input;
    let allowed: Authorized<PutObject> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let mut input = request.input;
    let key = describe::key(&input.key)?;
    later::asked!(input).refuse()?;
    let asked = encryption::asked!(input);
    let wish = asked.wish(catalog, &writer.keys, allowed.id()).await?;
    let upload = upload(&allowed, settings, writer.clock.now(), wish, &mut input)?;
    let id = catalog.create_upload(&allowed.at(), &key, &upload).await.map_err(error::catalog)?;

    let kind = |full| {
        ChecksumType::from_static(if full {
            ChecksumType::FULL_OBJECT
        } else {
            ChecksumType::COMPOSITE
        })
    };
    let mut output = CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        checksum_algorithm: upload
            .checksum
            .map(|(algorithm, _)| dto::ChecksumAlgorithm::from_static(checksum::name(algorithm))),
        checksum_type: upload.checksum.map(|(_, full)| kind(full)),
        key: Some(input.key),
        ssekms_encryption_context: encryption::context(&upload.detail.encryption),
        upload_id: Some(id.to_string()),
        ..CreateMultipartUploadOutput::default()
    };
    encryption::show!(output, &upload.detail.encryption);
    Ok(output)
}

fn upload(
    allowed: &Authorized<PutObject>,
    settings: &S3Settings,
    initiated: Timestamp,
    wish: Wish,
    input: &mut CreateMultipartUploadInput,
) -> S3Result<Upload> {
    let (class, geometry) =
        describe::class(settings, allowed.bucket(), input.storage_class.as_ref())?;
    Ok(Upload {
        initiated,
        owner: allowed.writer(),
        geometry,
        class,
        detail: Detail {
            headers: describe::keep(describe::content_headers!(input)),
            user: describe::user_metadata(input.metadata.take())?,
            checksums: Vec::new(),
            encryption: wish.encryption,
        },
        checksum: checksum::announced(
            input.checksum_algorithm.as_ref(),
            input.checksum_type.as_ref(),
        )?,
    })
}
