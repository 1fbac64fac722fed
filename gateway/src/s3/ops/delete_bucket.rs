//! DeleteBucket: only an empty one goes.

use metadata::Catalog;
use s3s::dto::{DeleteBucketInput, DeleteBucketOutput};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Authorized, DeleteBucket, Gate};
use crate::s3::error;

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<DeleteBucketInput>,
) -> S3Result<DeleteBucketOutput> {
    let input = &request.input;
    let allowed: Authorized<DeleteBucket> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    catalog.delete_bucket(&allowed.at()).await.map_err(error::catalog)?;
    Ok(DeleteBucketOutput::default())
}
