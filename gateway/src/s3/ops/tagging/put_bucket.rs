//! PutBucketTagging: the tags replace those there are.

use metadata::{Catalog, CatalogError, ConfigKind};
use s3s::dto::{PutBucketTaggingInput, PutBucketTaggingOutput};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Authorized, Gate, PutBucketTagging};
use crate::s3::{error, tags};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<PutBucketTaggingInput>,
) -> S3Result<PutBucketTaggingOutput> {
    let input = &request.input;
    let allowed: Authorized<PutBucketTagging> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let tags = tags::read(request.input.tagging.tag_set, tags::OF_BUCKET)?;
    let bytes = serde_json::to_vec(&tags).map_err(|broken| {
        error::catalog(CatalogError::Corrupt(format!("the tags of a bucket: {broken}")))
    })?;
    let kept = catalog.put_bucket_config(&allowed.at(), ConfigKind::Tagging, "", bytes).await;
    kept.map_err(error::catalog)?;
    Ok(PutBucketTaggingOutput {})
}
