//! GetObjectLockConfiguration.

use metadata::records::{DefaultRetention, RetentionPeriod};
use s3s::dto::{
    self, GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput,
    ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use crate::s3::authorize::{Authorized, Gate, GetBucketObjectLockConfiguration};
use crate::s3::protection;

pub(in crate::s3) async fn run(
    gate: &Gate,
    request: S3Request<GetObjectLockConfigurationInput>,
) -> S3Result<GetObjectLockConfigurationOutput> {
    let input = &request.input;
    let allowed: Authorized<GetBucketObjectLockConfiguration> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let none = || S3Error::new(S3ErrorCode::ObjectLockConfigurationNotFoundError);
    let lock = allowed.bucket().lock.ok_or_else(none)?;
    Ok(GetObjectLockConfigurationOutput {
        object_lock_configuration: Some(ObjectLockConfiguration {
            object_lock_enabled: Some(ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED)),
            rule: lock.default.map(shown),
        }),
    })
}

fn shown(default: DefaultRetention) -> ObjectLockRule {
    let number = |number: u32| Some(i32::try_from(number).unwrap_or(i32::MAX));
    let (days, years) = match default.period {
        RetentionPeriod::Days(days) => (number(days), None),
        RetentionPeriod::Years(years) => (None, number(years)),
    };
    let mode = ObjectLockRetentionMode::from_static(protection::mode_name(default.mode));
    let default = dto::DefaultRetention { days, mode: Some(mode), years };
    ObjectLockRule { default_retention: Some(default) }
}
