//! Archived objects: of the storage classes that configuration names so, an object can be read only while it is restored. Its bytes lie on nodes
//! like all others, so that restoring is done at once.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/restoring-objects.html>

use std::time::Duration;

use metadata::Entry;
use metadata::records::{Detail, Restore};
use s3s::{S3ErrorCode, S3Result};
use types::Timestamp;

use super::{S3Settings, dates, error};

/// The most days of one restoring, so that no clock overflows: a century.
const DAYS_MAX: u32 = 36_500;

/// Whether an object's class asks for restoring.
pub(super) fn is_archived(settings: &S3Settings, entry: &Entry) -> bool {
    let named = |class: &String| settings.archive_classes.contains(class);
    entry.class.as_ref().is_some_and(named)
}

/// Whether an object can be read now.
///
/// # Errors
/// `InvalidObjectState`.
pub(super) fn check_readable(
    settings: &S3Settings,
    entry: &Entry,
    detail: &Detail,
    now: Timestamp,
) -> S3Result<()> {
    if is_archived(settings, entry) && restored(detail, now).is_none() {
        return Err(error::refuse(
            S3ErrorCode::InvalidObjectState,
            "The operation is not valid for the object's storage class: restore the object first.",
        ));
    }
    Ok(())
}

/// Until when an object can be read that is restored now.
pub(super) fn restored(detail: &Detail, now: Timestamp) -> Option<Timestamp> {
    match detail.restore {
        Some(Restore::Until(until)) if now < until => Some(until),
        Some(Restore::Until(_) | Restore::Ongoing) | None => None,
    }
}

/// `x-amz-restore`.
pub(super) fn told(detail: &Detail, now: Timestamp) -> Option<String> {
    let until = dates::http_date(restored(detail, now)?)?;
    Some(format!("ongoing-request=\"false\", expiry-date=\"{}\"", until.to_str().ok()?))
}

/// The end of a restoring for so many days that begins now: at the end of its last day, in UTC.
///
/// # Errors
/// `InvalidArgument` for a number of days that is none.
pub(super) fn until(days: i32, day: Duration, now: Timestamp) -> S3Result<Timestamp> {
    let days = u32::try_from(days).ok().filter(|days| (1..=DAYS_MAX).contains(days));
    let days = days.ok_or_else(|| {
        error::refuse(S3ErrorCode::InvalidArgument, "Days must be between 1 and 36500.")
    })?;
    let end = now.plus(day.saturating_mul(days)).0;
    let day = u64::try_from(day.as_millis()).unwrap_or(u64::MAX).max(1);
    Ok(Timestamp(end.div_ceil(day).saturating_mul(day)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600 * 1000;

    #[test]
    fn a_restoring_ends_with_a_day() {
        let day = Duration::from_millis(DAY);
        let end = |days, now| until(days, day, Timestamp(now)).map(|end| end.0).ok();
        assert_eq!(end(1, 0), Some(DAY));
        assert_eq!(end(1, 1), Some(2 * DAY));
        assert_eq!(end(3, 5 * DAY - 1), Some(8 * DAY));
        for bad in [0, -1, i32::MAX] {
            assert_eq!(end(bad, 0), None, "{bad}");
        }
    }

    #[test]
    fn only_a_restoring_that_lasts_is_told() {
        let detail = Detail { restore: Some(Restore::Until(Timestamp(DAY))), ..Detail::default() };
        let text = "ongoing-request=\"false\", expiry-date=\"Fri, 02 Jan 1970 00:00:00 GMT\"";
        assert_eq!(told(&detail, Timestamp(DAY - 1)).as_deref(), Some(text));
        assert_eq!(told(&detail, Timestamp(DAY)), None);
        assert_eq!(told(&Detail::default(), Timestamp(0)), None);
    }
}
