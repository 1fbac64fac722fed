//! `x-amz-expiration`: when a lifecycle rule will end an object
//! (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-expire-general-considerations.html>).
//!
//! It speaks of days of the calendar, even where a shorter day was set for tests.

use metadata::records::Detail;
use metadata::{CatalogError, Entry};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::S3Result;
use s3s::dto::{self, TimestampFormat};
use types::{BucketId, Timestamp};

use super::error;
use crate::configs::Configs;
use crate::rules::lifecycle::{CALENDAR_DAY, Days, Lifecycle, Subject};

/// The same for a version that was written just now. It is written, so what fails here is not told: the header is missing then.
pub(super) async fn of_written(
    configs: &Configs,
    bucket: BucketId,
    key: &str,
    entry: &Entry,
    tags: &[(String, String)],
) -> Option<String> {
    look(configs, bucket, key, entry, tags).await.ok().flatten()
}

/// The header's value for the current version of a key, if a rule will end it.
pub(super) async fn of(
    configs: &Configs,
    bucket: BucketId,
    key: &str,
    entry: &Entry,
    detail: &Detail,
) -> S3Result<Option<String>> {
    look(configs, bucket, key, entry, &detail.tags).await.map_err(error::catalog)
}

async fn look(
    configs: &Configs,
    bucket: BucketId,
    key: &str,
    entry: &Entry,
    tags: &[(String, String)],
) -> Result<Option<String>, CatalogError> {
    let Some(lifecycle) = configs.get::<Lifecycle>(bucket).await? else { return Ok(None) };
    let subject = Subject { key, size: entry.size, tags };
    Ok(lifecycle.expiry(subject, entry.modified, Days(CALENDAR_DAY)).and_then(words))
}

/// When an upload begun at `initiated` will be aborted, and by which rule: `x-amz-abort-date` and `x-amz-abort-rule-id`.
pub(super) async fn abort(
    configs: &Configs,
    bucket: BucketId,
    key: &str,
    initiated: Timestamp,
) -> S3Result<(Option<dto::Timestamp>, Option<String>)> {
    let lifecycle = configs.get::<Lifecycle>(bucket).await.map_err(error::catalog)?;
    let lifecycle = lifecycle.as_deref();
    let due = lifecycle.and_then(|rules| rules.abort(key, initiated, Days(CALENDAR_DAY)));
    Ok(due.map(|(due, rule)| (super::describe::stamp(due), rule.to_owned())).unzip())
}

fn words((due, rule): (Timestamp, &str)) -> Option<String> {
    let mut date = Vec::new();
    super::describe::stamp(due).format(TimestampFormat::HttpDate, &mut date).ok()?;
    let date = String::from_utf8(date).ok()?;
    let rule = utf8_percent_encode(rule, PLAIN_IN_ID);
    Some(format!("expiry-date=\"{date}\", rule-id=\"{rule}\""))
}

/// What a rule's id needs no escape for.
const PLAIN_IN_ID: &percent_encoding::AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_date_and_rule() {
        assert_eq!(
            words((Timestamp(1_356_220_800_000), "picture deletion \"rule\"")).as_deref(),
            Some(
                "expiry-date=\"Sun, 23 Dec 2012 00:00:00 GMT\", rule-id=\"picture%20deletion%20%22rule%22\""
            )
        );
    }
}
