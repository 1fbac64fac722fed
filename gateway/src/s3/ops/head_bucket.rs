//! HeadBucket.

use s3s::dto::{HeadBucketInput, HeadBucketOutput};
use s3s::{S3Request, S3Result};

use crate::s3::S3Settings;
use crate::s3::authorize::{Authorized, Gate, ListBucket};

pub(in crate::s3) async fn run(
    gate: &Gate,
    settings: &S3Settings,
    request: S3Request<HeadBucketInput>,
) -> S3Result<HeadBucketOutput> {
    let input = &request.input;
    let _: Authorized<ListBucket> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(HeadBucketOutput {
        bucket_region: Some(settings.region.clone()),
        ..HeadBucketOutput::default()
    })
}
