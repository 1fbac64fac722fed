//! How S3 writes times.

use ::http::HeaderValue;
use s3s::dto;
use types::Timestamp;

/// A time as S3 shows it: to the second, in headers and XML alike, so that a client may compare the two.
pub(super) fn stamp(time: Timestamp) -> dto::Timestamp {
    std::time::SystemTime::from(Timestamp(time.seconds() * 1000)).into()
}

/// A time as HTTP headers show it.
pub(super) fn http_date(time: Timestamp) -> Option<HeaderValue> {
    let mut text = Vec::new();
    stamp(time).format(dto::TimestampFormat::HttpDate, &mut text).ok()?;
    HeaderValue::from_bytes(&text).ok()
}

/// A moment to the second, as XML outside of S3's own operations writes it.
pub(super) fn iso8601(time: Timestamp) -> String {
    let mut text = Vec::new();
    // Writing into memory does not fail, and every such time has a year.
    let _ = stamp(time).format(dto::TimestampFormat::DateTime, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}
