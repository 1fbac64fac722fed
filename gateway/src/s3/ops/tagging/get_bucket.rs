//! GetBucketTagging.

use metadata::{Catalog, CatalogError, ConfigKind};
use s3s::dto::{GetBucketTaggingInput, GetBucketTaggingOutput};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use crate::s3::authorize::{Authorized, Gate, GetBucketTagging};
use crate::s3::{error, tags};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<GetBucketTaggingInput>,
) -> S3Result<GetBucketTaggingOutput> {
    let input = &request.input;
    let allowed: Authorized<GetBucketTagging> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let stored = catalog.bucket_config(allowed.id(), ConfigKind::Tagging, "").await;
    let stored = stored.map_err(error::catalog)?;
    let stored = stored.ok_or_else(|| S3Error::new(S3ErrorCode::NoSuchTagSet))?;
    let kept: Vec<tags::Pair> = serde_json::from_slice(&stored).map_err(|broken| {
        error::catalog(CatalogError::Corrupt(format!("the tags of a bucket: {broken}")))
    })?;
    Ok(GetBucketTaggingOutput { tag_set: tags::shown(&kept) })
}
