//! GetObjectRetention.

use s3s::dto::{
    GetObjectRetentionInput, GetObjectRetentionOutput, ObjectLockRetention, ObjectLockRetentionMode,
};
use s3s::{S3Request, S3Result};

use crate::s3::authorize::{Gate, GetObjectRetention, Said};
use crate::s3::ops::version::{self, Version};
use crate::s3::protection;

pub(in crate::s3) async fn run(
    gate: &Gate,
    request: S3Request<GetObjectRetentionInput>,
) -> S3Result<GetObjectRetentionOutput> {
    let found: Version<GetObjectRetention> =
        version::open(gate, &request, &Said::default()).await?;
    super::need(found.allowed.bucket())?;
    let retention = found.located.detail.lock.retention.ok_or_else(super::none)?;
    let mode = ObjectLockRetentionMode::from_static(protection::mode_name(retention.mode));
    Ok(GetObjectRetentionOutput {
        retention: Some(ObjectLockRetention {
            mode: Some(mode),
            retain_until_date: Some(protection::told_until(retention.until)),
        }),
    })
}
