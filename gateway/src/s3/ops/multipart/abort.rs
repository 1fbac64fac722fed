//! AbortMultipartUpload.

use metadata::Catalog;
use s3s::dto::{AbortMultipartUploadInput, AbortMultipartUploadOutput};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use super::under_way;
use crate::s3::authorize::{AbortMultipartUpload, Authorized, Gate};
use crate::s3::{describe, error};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<AbortMultipartUploadInput>,
) -> S3Result<AbortMultipartUploadOutput> {
    let input = &request.input;
    let allowed: Authorized<AbortMultipartUpload> = gate
        .open(&request, &input.bucket, input.expected_bucket_owner.as_deref())
        .await?
        .upload(&input.key, &input.upload_id)
        .await?;
    let input = request.input;
    let at = under_way::at(&allowed, &input.key, &input.upload_id)?;
    if let Some(initiated) = input.if_match_initiated_time
        && describe::stamp(under_way::find(catalog, &at).await?.initiated) != initiated
    {
        return Err(S3Error::new(S3ErrorCode::PreconditionFailed));
    }
    catalog.abort_upload(&at).await.map_err(error::catalog)?;
    Ok(AbortMultipartUploadOutput::default())
}
