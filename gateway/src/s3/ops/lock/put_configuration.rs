//! PutObjectLockConfiguration: turns object lock on, which nothing turns off again, and sets the default retention.

use ::http::StatusCode;
use metadata::records::{BucketLock, DefaultRetention, RetentionPeriod, Versioning};
use metadata::{Catalog, CatalogError};
use s3s::dto::{
    self, ObjectLockConfiguration, ObjectLockEnabled, PutObjectLockConfigurationInput,
    PutObjectLockConfigurationOutput,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use crate::s3::authorize::{Authorized, Gate, PutBucketObjectLockConfiguration};
use crate::s3::{error, protection};

/// The longest default retention, as on AWS.
const DAYS_MAX: u32 = 36_500;
/// The same in years.
const YEARS_MAX: u32 = 100;

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    request: S3Request<PutObjectLockConfigurationInput>,
) -> S3Result<PutObjectLockConfigurationOutput> {
    let input = &request.input;
    let allowed: Authorized<PutBucketObjectLockConfiguration> =
        gate.bucket(&request, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let asked = request.input.object_lock_configuration;
    let lock = wanted(&asked.ok_or_else(protection::malformed)?)?;
    let at = allowed.at();
    let changed = catalog.change_bucket(&at, |bucket| {
        if bucket.versioning != Versioning::Enabled {
            return Err(CatalogError::NotLockable);
        }
        bucket.lock = Some(lock);
        Ok(())
    });
    match changed.await {
        Ok(_) => Ok(PutObjectLockConfigurationOutput::default()),
        Err(CatalogError::NotLockable) => Err(error::refuse(
            S3ErrorCode::InvalidBucketState,
            "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration",
        )),
        Err(refused) => Err(error::catalog(refused)),
    }
}

fn wanted(asked: &ObjectLockConfiguration) -> S3Result<BucketLock> {
    let enabled = asked.object_lock_enabled.as_ref().map(ObjectLockEnabled::as_str);
    if enabled != Some(ObjectLockEnabled::ENABLED) {
        return Err(protection::malformed());
    }
    let Some(rule) = &asked.rule else { return Ok(BucketLock::default()) };
    let default = rule.default_retention.as_ref().ok_or_else(protection::malformed)?;
    Ok(BucketLock { default: Some(retention(default)?) })
}

/// A mode, and either days or years.
fn retention(asked: &dto::DefaultRetention) -> S3Result<DefaultRetention> {
    let mode = asked.mode.as_ref().and_then(|mode| protection::mode_of(mode.as_str()));
    let mode = mode.ok_or_else(protection::malformed)?;
    let period = match (asked.days, asked.years) {
        (Some(days), None) => RetentionPeriod::Days(positive(days, DAYS_MAX)?),
        (None, Some(years)) => RetentionPeriod::Years(positive(years, YEARS_MAX)?),
        (None, None) | (Some(_), Some(_)) => return Err(protection::malformed()),
    };
    Ok(DefaultRetention { mode, period })
}

fn positive(number: i32, most: u32) -> S3Result<u32> {
    let number = u32::try_from(number).ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| {
        let mut refused = S3Error::with_message(
            S3ErrorCode::Custom("InvalidRetentionPeriod".into()),
            format!("The retention period must be between 1 and {most}."),
        );
        refused.set_status_code(StatusCode::BAD_REQUEST);
        refused
    })
}

#[cfg(test)]
mod tests {
    use s3s::dto::ObjectLockRetentionMode;

    use super::*;

    #[test]
    fn a_default_retention_has_a_mode_and_one_period() {
        let ask = |mode: &'static str, days, years| {
            let mode = Some(ObjectLockRetentionMode::from_static(mode));
            let asked = dto::DefaultRetention { mode, days, years };
            retention(&asked)
                .map(|kept| kept.period)
                .map_err(|error| error.code().as_str().to_owned())
        };
        assert_eq!(ask("GOVERNANCE", Some(1), None), Ok(RetentionPeriod::Days(1)));
        assert_eq!(ask("COMPLIANCE", None, Some(100)), Ok(RetentionPeriod::Years(100)));
        for (mode, days, years, code) in [
            ("governance", Some(1), None, "MalformedXML"),
            ("GOVERNANCE", Some(1), Some(1), "MalformedXML"),
            ("GOVERNANCE", None, None, "MalformedXML"),
            ("GOVERNANCE", Some(0), None, "InvalidRetentionPeriod"),
            ("GOVERNANCE", None, Some(-1), "InvalidRetentionPeriod"),
            ("GOVERNANCE", Some(36_501), None, "InvalidRetentionPeriod"),
        ] {
            assert_eq!(ask(mode, days, years), Err(code.to_owned()));
        }
    }
}
