//! Conditional requests: which headers decide, in which order, and what S3 answers.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html>, RFC 9110 §13.2.2.

use ::http::{HeaderMap, header};
use metadata::{Condition, Entry, Preconditions};
use s3s::dto::{self, ETag, ETagCondition};
use s3s::{S3Error, S3ErrorCode, S3Result};
use types::Timestamp;

use super::{dates, describe};

/// The four conditions of a read, or of a copy's source.
#[derive(Default)]
pub(super) struct ReadConditions {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<dto::Timestamp>,
    pub(super) if_unmodified_since: Option<dto::Timestamp>,
}

/// What the conditions say of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Go on.
    Met,
    /// The client has this version already.
    NotModified,
    /// The object is not the one the client means.
    Failed,
}

impl ReadConditions {
    /// An entity tag outweighs a date; of the two that ask for sameness the first that fails decides.
    pub(super) fn judge(&self, entry: &Entry) -> Verdict {
        let modified = i64::try_from(entry.modified.seconds()).unwrap_or(i64::MAX);
        if let Some(condition) = &self.if_match {
            if !strong(condition).matches(&entry.etag) {
                return Verdict::Failed;
            }
        } else if self.if_unmodified_since.as_ref().is_some_and(|time| modified > seconds(time)) {
            return Verdict::Failed;
        }
        if let Some(condition) = &self.if_none_match {
            if weak(condition).matches(&entry.etag) {
                return Verdict::NotModified;
            }
        } else if self.if_modified_since.as_ref().is_some_and(|time| modified <= seconds(time)) {
            return Verdict::NotModified;
        }
        Verdict::Met
    }

    /// For GET and HEAD: 304 with the headers a cache needs, or 412.
    pub(super) fn check_read(&self, entry: &Entry) -> S3Result<()> {
        match self.judge(entry) {
            Verdict::Met => Ok(()),
            Verdict::NotModified => Err(not_modified(entry)),
            Verdict::Failed => Err(S3Error::new(S3ErrorCode::PreconditionFailed)),
        }
    }

    /// For the source of a copy: 412 in every case.
    pub(super) fn check_source(&self, entry: &Entry) -> S3Result<()> {
        match self.judge(entry) {
            Verdict::Met => Ok(()),
            Verdict::NotModified | Verdict::Failed => {
                Err(S3Error::new(S3ErrorCode::PreconditionFailed))
            }
        }
    }
}

/// The conditions of a write, which the commit checks.
pub(super) fn of_write(
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
) -> Preconditions {
    Preconditions {
        if_match: if_match.map(strong),
        if_none_match: if_none_match.map(weak),
        ..Preconditions::default()
    }
}

/// The conditions of a delete, which the commit checks.
pub(super) fn of_delete(
    if_match: Option<&ETagCondition>,
    size: Option<i64>,
    modified: Option<&dto::Timestamp>,
) -> S3Result<Preconditions> {
    let size = size
        .map(u64::try_from)
        .transpose()
        .map_err(|_| S3Error::new(S3ErrorCode::InvalidArgument))?;
    Ok(Preconditions {
        if_match: if_match.map(strong),
        size,
        modified: modified.map(instant),
        ..Preconditions::default()
    })
}

/// The tags of a strong comparison: weak ones never match.
fn strong(condition: &ETagCondition) -> Condition {
    match condition {
        ETagCondition::Any => Condition::Any,
        ETagCondition::ETag(ETag::Strong(list)) => Condition::Tags(tags(list, false)),
        ETagCondition::ETag(ETag::Weak(list)) => {
            // A list whose first tag is weak; strong ones may follow it.
            Condition::Tags(tags(list, false).into_iter().skip(1).collect())
        }
    }
}

/// The tags of a weak comparison.
fn weak(condition: &ETagCondition) -> Condition {
    match condition {
        ETagCondition::Any => Condition::Any,
        ETagCondition::ETag(ETag::Strong(list) | ETag::Weak(list)) => {
            Condition::Tags(tags(list, true))
        }
    }
}

/// The library takes `"a", "b"` for one tag `a", "b`: this takes it apart again.
fn tags(list: &str, weak_too: bool) -> Vec<String> {
    let each = list.split(',').map(str::trim);
    each.filter_map(|tag| match tag.strip_prefix("W/") {
        Some(_) if !weak_too => None,
        Some(tag) => Some(tag.trim_matches('"').to_owned()),
        None => Some(tag.trim_matches('"').to_owned()),
    })
    .collect()
}

fn seconds(time: &dto::Timestamp) -> i64 {
    time::OffsetDateTime::from(time.clone()).unix_timestamp()
}

fn instant(time: &dto::Timestamp) -> Timestamp {
    Timestamp(u64::try_from(seconds(time)).unwrap_or(0).saturating_mul(1000))
}

fn not_modified(entry: &Entry) -> S3Error {
    let mut error = S3Error::new(S3ErrorCode::NotModified);
    let mut headers = HeaderMap::new();
    if let Ok(etag) = describe::etag(&entry.etag).to_http_header() {
        headers.insert(header::ETAG, etag);
    }
    if let Some(modified) = dates::http_date(entry.modified) {
        headers.insert(header::LAST_MODIFIED, modified);
    }
    error.set_headers(headers);
    error
}

#[cfg(test)]
mod tests {
    use metadata::{Body, Etag};
    use types::{GeometryName, ManifestId, VersionId};

    use super::*;

    const MODIFIED: u64 = 1_700_000_000;

    fn entry() -> Entry {
        Entry {
            version: VersionId::NULL,
            manifest: ManifestId([0; 16]),
            // Half a second that HTTP dates cannot say.
            modified: Timestamp(MODIFIED * 1000 + 500),
            size: 1,
            etag: Etag { md5: [0xab; 16], parts: 2 },
            geometry: GeometryName::Local,
            class: None,
            owner: None,
            checksum: None,
            body: Body::Inline,
        }
    }

    fn tag(text: &str) -> Option<ETagCondition> {
        Some(text.parse().expect("a condition"))
    }

    fn time(offset: i64) -> Option<dto::Timestamp> {
        let seconds = i64::try_from(MODIFIED).expect("small") + offset;
        Some(time::OffsetDateTime::from_unix_timestamp(seconds).expect("a time").into())
    }

    fn same() -> String {
        format!("\"{}\"", entry().etag)
    }

    #[test]
    fn each_condition_alone_decides() {
        let judge = |conditions: ReadConditions| conditions.judge(&entry());
        let none = ReadConditions::default;
        assert_eq!(judge(none()), Verdict::Met);
        assert_eq!(judge(ReadConditions { if_match: tag(&same()), ..none() }), Verdict::Met);
        assert_eq!(judge(ReadConditions { if_match: tag("*"), ..none() }), Verdict::Met);
        assert_eq!(judge(ReadConditions { if_match: tag("other"), ..none() }), Verdict::Failed);
        assert_eq!(
            judge(ReadConditions { if_none_match: tag(&same()), ..none() }),
            Verdict::NotModified
        );
        assert_eq!(judge(ReadConditions { if_none_match: tag("other"), ..none() }), Verdict::Met);
        assert_eq!(
            judge(ReadConditions { if_modified_since: time(0), ..none() }),
            Verdict::NotModified
        );
        assert_eq!(judge(ReadConditions { if_modified_since: time(-1), ..none() }), Verdict::Met);
        assert_eq!(judge(ReadConditions { if_unmodified_since: time(0), ..none() }), Verdict::Met);
        assert_eq!(
            judge(ReadConditions { if_unmodified_since: time(-1), ..none() }),
            Verdict::Failed
        );
    }

    #[test]
    fn an_entity_tag_outweighs_a_date() {
        let conditions = ReadConditions {
            if_match: tag(&same()),
            if_unmodified_since: time(-1),
            ..Default::default()
        };
        assert_eq!(conditions.judge(&entry()), Verdict::Met);
        let conditions = ReadConditions {
            if_none_match: tag("other"),
            if_modified_since: time(0),
            ..Default::default()
        };
        assert_eq!(conditions.judge(&entry()), Verdict::Met);
    }

    #[test]
    fn a_copy_source_that_is_not_modified_fails() {
        let conditions = ReadConditions { if_none_match: tag(&same()), ..Default::default() };
        let failed = conditions.check_source(&entry()).expect_err("same");
        assert_eq!(*failed.code(), S3ErrorCode::PreconditionFailed);
        let read = conditions.check_read(&entry()).expect_err("same");
        assert_eq!(*read.code(), S3ErrorCode::NotModified);
        assert_eq!(read.headers().expect("headers")[header::ETAG], same().as_str());
    }

    #[test]
    fn lists_of_tags_are_taken_apart() {
        let list = format!("\"x\", W/\"y\", {}", same());
        assert_eq!(
            strong(&tag(&list).expect("some")),
            Condition::Tags(vec!["x".into(), entry().etag.to_string()])
        );
        let condition = tag("W/\"x\", \"y\"").expect("some");
        assert_eq!(strong(&condition), Condition::Tags(vec!["y".into()]));
        assert_eq!(weak(&condition), Condition::Tags(vec!["x".into(), "y".into()]));
    }
}
