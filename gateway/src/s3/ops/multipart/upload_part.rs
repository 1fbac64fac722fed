//! UploadPart.

use metadata::Catalog;
use metadata::records::Upload;
use s3s::dto::{UploadPartInput, UploadPartOutput};
use s3s::{S3ErrorCode, S3Request, S3Result};

use super::under_way;
use crate::put::{Incoming, Writer};
use crate::s3::authorize::{Authorized, Gate, PutObject};
use crate::s3::checksum::{self, Claims};
use crate::s3::ops::put_object::length;
use crate::s3::{body, customer, describe, encryption, error};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    writer: &Writer,
    request: S3Request<UploadPartInput>,
) -> S3Result<UploadPartOutput> {
    let input = &request.input;
    let allowed: Authorized<PutObject> = gate
        .object(&request, (&input.bucket, &input.key), None, input.expected_bucket_owner.as_deref())
        .await?;
    let S3Request { mut input, headers, trailing_headers, .. } = request;
    let number = under_way::part_number(input.part_number)?;
    let at = under_way::at(&allowed, &input.key, &input.upload_id)?;
    let claims = Claims::read(&headers, checksum::given!(input), trailing_headers.as_ref())?;
    let len = length(input.content_length, input.body.as_ref())?;
    let customer = customer::key(
        input.sse_customer_algorithm.as_deref(),
        input.sse_customer_key.take(),
        input.sse_customer_key_md5.as_deref(),
    )?;
    let upload = under_way::find(catalog, &at).await?;
    customer::check_part(&upload.detail.encryption, customer.as_ref())?;
    check_algorithm(&upload, &claims)?;

    let (stream, fault) = body::receive(input.body.take());
    let incoming = Incoming {
        len,
        slack: 0,
        body: stream,
        content_md5: claims.content_md5,
        checksums: claims.of_part(under_way::needed(&upload)),
        trailer: claims.trailer(),
    };
    let stored = writer.put_part(&at, &upload, number, customer.as_ref(), incoming).await;
    let part = stored.map_err(|failed| fault.blame(failed))?;

    let mut output = UploadPartOutput {
        e_tag: Some(describe::part_etag(&part.md5)),
        ..UploadPartOutput::default()
    };
    encryption::show!(output, &upload.detail.encryption);
    checksum::show!(output, under_way::shown(&upload, &part.checksums));
    checksum::show!(output, claims.held().iter());
    Ok(output)
}

/// A part whose checksum is of another algorithm than the upload's would leave the object without one.
fn check_algorithm(upload: &Upload, claims: &Claims) -> S3Result<()> {
    let (Some((announced, _)), Some((named, _))) = (upload.checksum, &claims.named) else {
        return Ok(());
    };
    if announced == *named {
        return Ok(());
    }
    let lower = |algorithm| checksum::name(algorithm).to_ascii_lowercase();
    Err(error::refuse(
        S3ErrorCode::InvalidRequest,
        format!(
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            lower(announced),
            lower(*named)
        ),
    ))
}
