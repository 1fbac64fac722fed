//! PutBucketTagging: the tags replace those there are.

use metadata::{Catalog, CatalogError, ConfigKind};
use s3s::dto::{PutBucketTaggingInput, PutBucketTaggingOutput};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Authorized, Gate, PutBucketTagging, Said};
use crate::s3::{error, tags};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<PutBucketTaggingInput>,
) -> S3Result<PutBucketTaggingOutput> {
    let input = &request.input;
    let expected = input.expected_bucket_owner.as_deref();
    let tags = tags::read(input.tagging.tag_set.clone(), tags::OF_BUCKET)?;
    let door = gate.open(&request, &input.bucket, expected).await?;
    let allowed: Authorized<PutBucketTagging> = door.bucket_as(&Said::bucket_tags(tags.clone()))?;
    let bytes = serde_json::to_vec(&tags).map_err(|broken| {
        error::catalog(CatalogError::Corrupt(format!("the tags of a bucket: {broken}")))
    })?;
    let kept = catalog.put_bucket_config(&allowed.at(), ConfigKind::Tagging, "", bytes).await;
    kept.map_err(error::catalog)?;
    Ok(PutBucketTaggingOutput {})
}
