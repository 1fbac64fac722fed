//! GetBucketVersioning. A bucket that never had versions has no status.

use metadata::records::Versioning;
use s3s::dto::{BucketVersioningStatus, GetBucketVersioningInput, GetBucketVersioningOutput};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Authorized, Gate, GetBucketVersioning};

pub(in crate::s3) async fn run(
    gate: &Gate,
    request: S3Request<GetBucketVersioningInput>,
) -> S3Result<GetBucketVersioningOutput> {
    let input = &request.input;
    let allowed: Authorized<GetBucketVersioning> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let status = match allowed.bucket().versioning {
        Versioning::Unversioned => None,
        Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
        Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
    };
    Ok(GetBucketVersioningOutput {
        mfa_delete: None,
        status: status.map(BucketVersioningStatus::from_static),
    })
}
