//! What a request says in other places than its headers, as conditions ask for it: in its body, or by what it is about.
//!
//! An operation that takes its wishes from a body hands them over before it asks, so that what is decided about is what will be done. What is
//! said here takes the place of any header: a header that the operation does not read decides nothing.

use s3s::dto::{
    BucketLocationConstraint, ObjectLockLegalHold, ObjectLockLegalHoldStatus, ObjectLockRetention,
    ObjectLockRetentionMode, TimestampFormat,
};
use time::OffsetDateTime;
use types::Timestamp;

use crate::s3::policy::{Key, Values};

/// Seconds of a day.
const DAY: u64 = 24 * 3600;
/// The keys that ask for a tag's value and for the names of all tags: of those an object gets, and of those a bucket gets.
const OF_OBJECT: (&str, &str) = ("s3:requestobjecttag", "s3:requestobjecttagkeys");
const OF_BUCKET: (&str, &str) = ("aws:requesttag", "aws:tagkeys");

/// What is said.
#[derive(Clone, Debug, Default)]
pub(in crate::s3) struct Said {
    tags: Option<Tags>,
    values: Vec<(&'static str, Values)>,
}

#[derive(Clone, Debug)]
struct Tags {
    keys: (&'static str, &'static str),
    pairs: Vec<(String, String)>,
}

impl Said {
    /// Nothing.
    pub(super) const NOTHING: Self = Self { tags: None, values: Vec::new() };

    /// The tags that an object gets.
    pub(in crate::s3) fn object_tags(pairs: Vec<(String, String)>) -> Self {
        Self { tags: Some(Tags { keys: OF_OBJECT, pairs }), ..Self::NOTHING }
    }

    /// The tags that a bucket gets.
    pub(in crate::s3) fn bucket_tags(pairs: Vec<(String, String)>) -> Self {
        Self { tags: Some(Tags { keys: OF_BUCKET, pairs }), ..Self::NOTHING }
    }

    /// The retention that a version gets; none lifts the one it has.
    pub(in crate::s3) fn retention(
        retention: Option<&ObjectLockRetention>,
        now: Timestamp,
    ) -> Self {
        let mode = retention.and_then(|retention| retention.mode.as_ref());
        let until = retention.and_then(|retention| retention.retain_until_date.as_ref());
        let days = until.map(|until| remaining_days(until.clone().into(), now));
        let until = until.and_then(|until| {
            let mut text = Vec::new();
            until.format(TimestampFormat::DateTime, &mut text).ok()?;
            String::from_utf8(text).ok()
        });
        let mode = mode.map(ObjectLockRetentionMode::as_str).map(str::to_owned);
        Self::values(vec![
            ("s3:object-lock-mode", mode.into()),
            ("s3:object-lock-retain-until-date", until.into()),
            ("s3:object-lock-remaining-retention-days", days.into()),
        ])
    }

    /// The legal hold that a version gets.
    pub(in crate::s3) fn legal_hold(hold: Option<&ObjectLockLegalHold>) -> Self {
        let status = hold.and_then(|hold| hold.status.as_ref());
        let status = status.map(ObjectLockLegalHoldStatus::as_str).map(str::to_owned);
        Self::values(vec![("s3:object-lock-legal-hold", status.into())])
    }

    /// Where a bucket is to be.
    pub(in crate::s3) fn location(constraint: Option<&BucketLocationConstraint>) -> Self {
        let region = constraint.map(BucketLocationConstraint::as_str);
        let region = region.filter(|region| !region.is_empty()).map(str::to_owned);
        Self::values(vec![("s3:locationconstraint", region.into())])
    }

    /// What is listed, if the question is who may list it.
    pub(super) fn prefix(prefix: &str) -> Self {
        Self::values(vec![("s3:prefix", Values::One(prefix.to_owned()))])
    }

    fn values(values: Vec<(&'static str, Values)>) -> Self {
        Self { tags: None, values }
    }

    /// Whether an object gets tags.
    pub(super) fn has_tags(&self) -> bool {
        self.tags.as_ref().is_some_and(|tags| !tags.pairs.is_empty())
    }

    /// Whether it says which tags an object gets, be they none.
    pub(super) fn tells_tags(&self) -> bool {
        self.tags.is_some()
    }

    /// What is said of a key; `None` if nothing is, not even that it has no value.
    pub(super) fn of(&self, key: &Key) -> Option<Values> {
        if let Some(Tags { keys: (value, names), pairs }) = &self.tags {
            if key.name() == *value {
                return Some(tag(pairs, key.item()).into());
            }
            if key.name() == *names {
                return Some(Values::Many(pairs.iter().map(|(name, _)| name.clone()).collect()));
            }
        }
        let said = self.values.iter().find(|(name, _)| *name == key.name());
        said.map(|(_, values)| values.clone())
    }
}

/// The value of the tag of that name.
pub(super) fn tag(tags: &[(String, String)], name: Option<&str>) -> Option<String> {
    let name = name?;
    tags.iter().find(|(tag, _)| tag == name).map(|(_, value)| value.clone())
}

/// `s3:object-lock-remaining-retention-days`: whole days to go.
pub(super) fn remaining_days(until: OffsetDateTime, now: Timestamp) -> String {
    let until = u64::try_from(until.unix_timestamp()).unwrap_or(0);
    (until.saturating_sub(now.seconds()) / DAY).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn one(text: &str) -> Option<Values> {
        Some(Values::One(text.to_owned()))
    }

    #[test]
    fn a_body_s_tags_are_what_conditions_see() {
        let tags = [("Team", "red"), ("bare", "")];
        let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let (object, bucket) = (Said::object_tags(tags.clone()), Said::bucket_tags(tags));
        let names = Some(Values::Many(vec!["Team".to_owned(), "bare".to_owned()]));
        for (said, value, keys) in [
            (&object, "s3:RequestObjectTag", "s3:RequestObjectTagKeys"),
            (&bucket, "aws:RequestTag", "aws:TagKeys"),
        ] {
            assert_eq!(said.of(&Key::new(&format!("{value}/Team"))), one("red"));
            assert_eq!(said.of(&Key::new(&format!("{value}/team"))), Some(Values::Absent));
            assert_eq!(said.of(&Key::new(keys)), names);
        }
        assert_eq!(bucket.of(&Key::new("s3:RequestObjectTagKeys")), None);
        assert!(object.has_tags() && !Said::object_tags(Vec::new()).has_tags());
    }

    #[test]
    fn a_body_s_retention_counts_and_an_empty_one_says_that_there_is_none() {
        let until = OffsetDateTime::from_unix_timestamp(1_700_000_000 + 2 * 86_400 + 5);
        let retention = ObjectLockRetention {
            mode: Some(ObjectLockRetentionMode::from_static("GOVERNANCE")),
            retain_until_date: Some(until.expect("a time").into()),
        };
        let said = Said::retention(Some(&retention), NOW);
        assert_eq!(said.of(&Key::new("s3:object-lock-mode")), one("GOVERNANCE"));
        let days = Key::new("s3:object-lock-remaining-retention-days");
        assert_eq!(said.of(&days), one("2"));
        let date = said.of(&Key::new("s3:object-lock-retain-until-date"));
        assert!(
            matches!(&date, Some(Values::One(text)) if text.starts_with("2023-11-16T22:13:25")),
            "{date:?}"
        );
        let lifted = Said::retention(None, NOW);
        assert_eq!(lifted.of(&Key::new("s3:object-lock-mode")), Some(Values::Absent));
        assert_eq!(lifted.of(&days), Some(Values::Absent));
        assert_eq!(lifted.of(&Key::new("s3:object-lock-legal-hold")), None);
    }
}
