//! DeleteBucketTagging.

use metadata::{Catalog, ConfigKind};
use s3s::dto::{DeleteBucketTaggingInput, DeleteBucketTaggingOutput};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Authorized, Gate, PutBucketTagging};
use crate::s3::error;

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<DeleteBucketTaggingInput>,
) -> S3Result<DeleteBucketTaggingOutput> {
    let input = &request.input;
    // S3 has no action of its own for it.
    let allowed: Authorized<PutBucketTagging> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let gone = catalog.delete_bucket_config(&allowed.at(), ConfigKind::Tagging, "").await;
    gone.map_err(error::catalog)?;
    Ok(DeleteBucketTaggingOutput {})
}
