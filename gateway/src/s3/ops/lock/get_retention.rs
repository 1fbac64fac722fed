//! GetObjectRetention.

use metadata::Catalog;
use s3s::dto::{
    GetObjectRetentionInput, GetObjectRetentionOutput, ObjectLockRetention, ObjectLockRetentionMode,
};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Authorized, Gate, GetObjectRetention};
use crate::s3::{describe, error, protection};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<GetObjectRetentionInput>,
) -> S3Result<GetObjectRetentionOutput> {
    let input = &request.input;
    let allowed: Authorized<GetObjectRetention> = gate
        .object(
            &request,
            (&input.bucket, &input.key),
            input.version_id.as_deref(),
            input.expected_bucket_owner.as_deref(),
        )
        .await?;
    let input = &request.input;
    super::need(allowed.bucket())?;
    let (key, version) =
        (describe::key(&input.key)?, describe::version(input.version_id.as_deref())?);
    let located = catalog.locate_version(allowed.id(), &key, version).await;
    let lock = located.map_err(error::catalog)?.detail.lock;
    let retention = lock.retention.ok_or_else(super::none)?;
    let mode = ObjectLockRetentionMode::from_static(protection::mode_name(retention.mode));
    Ok(GetObjectRetentionOutput {
        retention: Some(ObjectLockRetention {
            mode: Some(mode),
            retain_until_date: Some(protection::told_until(retention.until)),
        }),
    })
}
