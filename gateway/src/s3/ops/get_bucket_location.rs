//! GetBucketLocation.

use s3s::dto::{BucketLocationConstraint, GetBucketLocationInput, GetBucketLocationOutput};
use s3s::{S3Request, S3Result};

use crate::s3::S3Settings;
use crate::s3::authorize::{Authorized, Gate, GetBucketLocation};

/// The region that S3 names by saying nothing.
const UNNAMED_REGION: &str = "us-east-1";

pub(in crate::s3) async fn run(
    gate: &Gate,
    settings: &S3Settings,
    request: S3Request<GetBucketLocationInput>,
) -> S3Result<GetBucketLocationOutput> {
    let input = &request.input;
    let _: Authorized<GetBucketLocation> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let named = (settings.region != UNNAMED_REGION).then(|| settings.region.clone());
    Ok(GetBucketLocationOutput { location_constraint: named.map(BucketLocationConstraint::from) })
}
