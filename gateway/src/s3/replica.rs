//! Replicas that another Drystone sends: requests whose query says `drystone-replica=VERSION`.
//!
//! They become the version of that id, with its place in time and the status `REPLICA`, and are not replicated on. Whoever sends one needs
//! `s3:ReplicateObject` or `s3:ReplicateDelete` beside what the request needs anyway. It is in the query, and not in a header, because a
//! signature covers all of the query: nobody can add it to a URL that was signed for something else.

use std::time::Duration;

use ::http::Uri;
use s3s::{S3ErrorCode, S3Result};
use types::{Timestamp, VersionId};

use super::error;

/// The parameter.
const NAME: &str = "drystone-replica";

/// How far a version's time may be ahead: clocks differ, but what comes after a version must have a time of its own.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 3600);

/// The version that a request says it replicates, if it does.
///
/// # Errors
/// `InvalidArgument` for what is no version's id, for `null`, which has no place in time, and for a time far ahead of `now`.
pub(super) fn asked(uri: &Uri, now: Timestamp) -> S3Result<Option<VersionId>> {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    let value = pairs.find_map(|pair| pair.strip_prefix(NAME)?.strip_prefix('='));
    let Some(value) = value else { return Ok(None) };
    let in_time =
        |version: &VersionId| version.time().is_some_and(|time| time <= now.plus(AHEAD_MAX));
    let version = value.parse().ok().filter(in_time);
    version.map(Some).ok_or_else(|| {
        error::refuse(S3ErrorCode::InvalidArgument, "drystone-replica must be the id of a version.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_named_in_the_query() {
        let now = Timestamp(1_700_000_000_000);
        let read = |text: &str| asked(&text.parse().expect("a URI"), now);
        let version = VersionId::at(Timestamp(7));
        let named = format!("http://h/b/k?uploadId=1&drystone-replica={version}");
        assert_eq!(read(&named).expect("read"), Some(version));
        assert_eq!(read("http://h/b/k").expect("read"), None);
        assert_eq!(read("http://h/b/k?x-drystone-replica=1").expect("read"), None);
        let ahead = VersionId::at(now.plus(AHEAD_MAX * 2)).to_string();
        for bad in ["null", "", "1", &ahead] {
            assert!(read(&format!("http://h/b/k?drystone-replica={bad}")).is_err(), "{bad}");
        }
    }
}
