//! CreateMultipartUpload.

use metadata::Catalog;
use metadata::records::{Detail, Upload};
use s3s::dto::{self, ChecksumType, CreateMultipartUploadInput, CreateMultipartUploadOutput};
use s3s::{S3Request, S3Result};
use types::Timestamp;

use crate::configs::Configs;
use crate::put::Writer;
use crate::s3::authorize::{Authorized, Gate, PutObject};
use crate::s3::encryption::{self, Wish};
use crate::s3::{S3Settings, acl, checksum, describe, error, expiration, protection, tags};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    configs: &Configs,
    writer: &Writer,
    settings: &S3Settings,
    request: S3Request<CreateMultipartUploadInput>,
) -> S3Result<CreateMultipartUploadOutput> {
    let input = &request.input;
    let expected = input.expected_bucket_owner.as_deref();
    let allowed = gate.open(&request, &input.bucket, expected).await?.write(&input.key).await?;
    let mut input = request.input;
    let key = describe::key(&input.key)?;
    let asked = encryption::asked!(input);
    let wish = asked.wish(catalog, &writer.keys, allowed.id()).await?;
    let mut upload = upload(&allowed, settings, writer.clock.now(), wish, &mut input)?;
    (upload.owner, upload.detail.acl) =
        acl::of_new_object(catalog, &allowed, acl::Wish::of(&request.headers)).await?;
    let id = catalog.create_upload(&allowed.at(), &key, &upload).await.map_err(error::catalog)?;

    let (abort_date, abort_rule_id) =
        expiration::abort(configs, allowed.id(), &input.key, upload.initiated).await?;
    let kind = |full| {
        ChecksumType::from_static(if full {
            ChecksumType::FULL_OBJECT
        } else {
            ChecksumType::COMPOSITE
        })
    };
    let mut output = CreateMultipartUploadOutput {
        abort_date,
        abort_rule_id,
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
            encryption: wish.encryption,
            tags: input.tagging.as_deref().map_or(Ok(Vec::new()), tags::read_header)?,
            lock: protection::asked!(input).read(initiated)?,
            ..Detail::default()
        },
        checksum: checksum::announced(
            input.checksum_algorithm.as_ref(),
            input.checksum_type.as_ref(),
        )?,
    })
}
