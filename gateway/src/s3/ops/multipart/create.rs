//! CreateMultipartUpload.

use metadata::Catalog;
use metadata::records::{Detail, Upload};
use s3s::dto::{self, ChecksumType, CreateMultipartUploadInput, CreateMultipartUploadOutput};
use s3s::{S3Request, S3Result};
use types::Timestamp;

use crate::configs::Configs;
use crate::put::Writer;
use crate::s3::authorize::{Authorized, Gate, PutObject};
use crate::s3::{
    S3Settings, acl, checksum, customer, describe, error, expiration, later, protection, tags,
};

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
    let mut upload = upload(&allowed, settings, writer.clock.now(), &mut input)?;
    (upload.owner, upload.detail.acl) =
        acl::of_new_object(catalog, &allowed, acl::Wish::of(&request.headers)).await?;
    let id = catalog.create_upload(&allowed.at(), &key, &upload).await.map_err(error::catalog)?;

    let (abort_date, abort_rule_id) =
        expiration::abort(configs, allowed.id(), &input.key, upload.initiated).await?;
    let (sse_customer_algorithm, sse_customer_key_md5) = customer::echo(&upload.detail.encryption);
    let kind = |full| {
        ChecksumType::from_static(if full {
            ChecksumType::FULL_OBJECT
        } else {
            ChecksumType::COMPOSITE
        })
    };
    Ok(CreateMultipartUploadOutput {
        abort_date,
        abort_rule_id,
        bucket: Some(input.bucket),
        checksum_algorithm: upload
            .checksum
            .map(|(algorithm, _)| dto::ChecksumAlgorithm::from_static(checksum::name(algorithm))),
        checksum_type: upload.checksum.map(|(_, full)| kind(full)),
        key: Some(input.key),
        sse_customer_algorithm,
        sse_customer_key_md5,
        upload_id: Some(id.to_string()),
        ..CreateMultipartUploadOutput::default()
    })
}

fn upload(
    allowed: &Authorized<PutObject>,
    settings: &S3Settings,
    initiated: Timestamp,
    input: &mut CreateMultipartUploadInput,
) -> S3Result<Upload> {
    later::asked!(input).refuse()?;
    let customer = customer::key(
        input.sse_customer_algorithm.as_deref(),
        input.sse_customer_key.take(),
        input.sse_customer_key_md5.as_deref(),
    )?;
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
            encryption: customer::encryption(customer.as_ref()),
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
