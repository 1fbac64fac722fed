//! What a signed policy lets a form say.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html>

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use s3s::{S3Error, S3ErrorCode, S3Result};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use types::Timestamp;

use super::error;
use super::fields::Form;

/// Fields that need no condition: what the signature itself is made of, and what nobody reads.
const FREE: [&str; 4] = ["policy", "signature", "x-amz-signature", "awsaccesskeyid"];
const IGNORED: &str = "x-ignore-";
/// Checksums can only have a form refused: whoever sends one asks for nothing that a policy could forbid.
const CHECKSUM: &str = "x-amz-checksum-";

/// A policy: until when, and what every field must be like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Policy {
    expires: Timestamp,
    conditions: Vec<Condition>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Condition {
    Equals { field: String, value: String },
    StartsWith { field: String, value: String },
    Length(RangeInclusive<u64>),
}

#[derive(Deserialize)]
struct Document {
    expiration: String,
    conditions: Vec<Value>,
}

impl Policy {
    /// Parses the base64 of a form.
    ///
    /// # Errors
    /// `InvalidPolicyDocument`.
    pub(super) fn parse(encoded: &str) -> S3Result<Self> {
        let json = STANDARD.decode(encoded).map_err(|_| invalid("it is not base64"))?;
        let document: Document =
            serde_json::from_slice(&json).map_err(|error| invalid(&error.to_string()))?;
        let conditions: Option<Vec<_>> = document.conditions.iter().map(condition).collect();
        Ok(Self {
            expires: time(&document.expiration)
                .ok_or_else(|| invalid("Invalid 'expiration' value"))?,
            conditions: conditions.ok_or_else(|| invalid("Invalid condition"))?,
        })
    }

    /// Whether the form may be used now, on this bucket, with these fields.
    ///
    /// # Errors
    /// `AccessDenied`, saying why.
    pub(super) fn check(&self, form: &Form, bucket: &str, now: Timestamp) -> S3Result<()> {
        if now >= self.expires {
            return Err(denied("Policy expired."));
        }
        // The bucket is in the request's address; a field of that name must not say otherwise.
        if form.get("bucket").is_some_and(|named| named != bucket) {
            return Err(denied("The bucket field is not the bucket of the request."));
        }
        let value = |field: &str| if field == "bucket" { Some(bucket) } else { form.get(field) };
        for condition in &self.conditions {
            if !condition.holds(value) {
                return Err(denied(&format!("Policy Condition failed: {}", condition.words())));
            }
        }
        let known = |name: &str| {
            FREE.contains(&name)
                || name.starts_with(IGNORED)
                || name.starts_with(CHECKSUM)
                || self.conditions.iter().any(|condition| condition.field() == Some(name))
        };
        match form.iter().find(|(name, _)| !known(name)) {
            Some((name, _)) => Err(denied(&format!("Extra input fields: {name}"))),
            None => Ok(()),
        }
    }

    /// How long the file may be, if it may be at most `most` bytes anyway. All ranges hold.
    pub(super) fn length(&self, most: u64) -> RangeInclusive<u64> {
        let mut range = 0..=most;
        for condition in &self.conditions {
            if let Condition::Length(other) = condition {
                range = *range.start().max(other.start())..=*range.end().min(other.end());
            }
        }
        range
    }
}

impl Condition {
    fn field(&self) -> Option<&str> {
        match self {
            Self::Equals { field, .. } | Self::StartsWith { field, .. } => Some(field),
            Self::Length(_) => None,
        }
    }

    /// Lengths are known later.
    fn holds<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        match self {
            Self::Equals { field, value } => value_of(field) == Some(value),
            // Of a list of content types each must fit.
            Self::StartsWith { field, value } if field == "content-type" => value_of(field)
                .is_some_and(|list| list.split(',').all(|one| one.trim_start().starts_with(value))),
            Self::StartsWith { field, value } => match value_of(field) {
                Some(given) => given.starts_with(value),
                None => value.is_empty(),
            },
            Self::Length(_) => true,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Equals { field, value } => format!("[\"eq\", \"${field}\", \"{value}\"]"),
            Self::StartsWith { field, value } => {
                format!("[\"starts-with\", \"${field}\", \"{value}\"]")
            }
            Self::Length(range) => {
                format!("[\"content-length-range\", {}, {}]", range.start(), range.end())
            }
        }
    }
}

fn condition(value: &Value) -> Option<Condition> {
    match value {
        Value::Object(map) => {
            let mut all = map.iter();
            let (Some((field, value)), None) = (all.next(), all.next()) else { return None };
            let (field, value) = (field.to_ascii_lowercase(), value.as_str()?.to_owned());
            Some(Condition::Equals { field, value })
        }
        Value::Array(items) => {
            let [operator, first, second] = items.as_slice() else { return None };
            match operator.as_str()?.to_ascii_lowercase().as_str() {
                "eq" => {
                    let (field, value) = pair(first, second)?;
                    Some(Condition::Equals { field, value })
                }
                "starts-with" => {
                    let (field, value) = pair(first, second)?;
                    Some(Condition::StartsWith { field, value })
                }
                "content-length-range" => {
                    let (min, max) = (number(first)?, number(second)?);
                    (min <= max).then_some(Condition::Length(min..=max))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn pair(field: &Value, value: &Value) -> Option<(String, String)> {
    let field = field.as_str()?.strip_prefix('$')?.to_ascii_lowercase();
    Some((field, value.as_str()?.to_owned()))
}

/// Some clients write numbers as texts.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn time(text: &str) -> Option<Timestamp> {
    if text.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    let millis = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos() / 1_000_000;
    u64::try_from(millis).ok().map(Timestamp)
}

fn invalid(why: &str) -> S3Error {
    error::refuse(S3ErrorCode::InvalidPolicyDocument, format!("Invalid Policy: {why}."))
}

fn denied(why: &str) -> S3Error {
    error::refuse(S3ErrorCode::AccessDenied, format!("Invalid according to Policy: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Timestamp = Timestamp(1_000_000_000_000);
    const AFTER: Timestamp = Timestamp(2_000_000_000_000);

    fn policy(conditions: &str) -> S3Result<Policy> {
        let text =
            format!("{{\"expiration\":\"2020-01-01T00:00:00Z\",\"conditions\":[{conditions}]}}");
        Policy::parse(&STANDARD.encode(text))
    }

    fn form(fields: &[(&str, &str)]) -> Form {
        let mut form = Form::default();
        for (name, value) in fields {
            form.add((*name).to_owned(), (*value).to_owned()).expect("once");
        }
        form
    }

    fn allows(conditions: &str, fields: &[(&str, &str)]) -> bool {
        policy(conditions).expect("a policy").check(&form(fields), "bkt", BEFORE).is_ok()
    }

    #[test]
    fn every_condition_holds_and_every_field_has_one() {
        let bucket = "{\"BUCKET\":\"bkt\"}";
        let key = &format!("{bucket},[\"Starts-With\",\"$Key\",\"a/\"]");
        assert!(allows(key, &[("key", "a/b"), ("x-ignore-me", "1"), ("policy", "…")]));
        assert!(!allows(key, &[("key", "b/a")]));
        assert!(!allows(key, &[]));
        assert!(!allows(key, &[("key", "a/b"), ("acl", "private")]), "no condition for acl");
        assert!(!allows(key, &[("key", "a/b"), ("bucket", "other")]));
        assert!(!allows("{\"bucket\":\"other\"}", &[]));
        assert!(allows("[\"eq\",\"$acl\",\"private\"]", &[("acl", "private")]));
        assert!(!allows("[\"eq\",\"$acl\",\"\"]", &[]), "a field that is not there is not empty");
        assert!(allows("[\"starts-with\",\"$acl\",\"\"]", &[]));
        let images = "[\"starts-with\",\"$Content-Type\",\"image/\"]";
        assert!(allows(images, &[("content-type", "image/png, image/gif")]));
        assert!(!allows(images, &[("content-type", "image/png,text/html")]));
    }

    #[test]
    fn an_expired_policy_allows_nothing() {
        let policy = policy("").expect("a policy");
        assert!(policy.check(&form(&[]), "bkt", BEFORE).is_ok());
        let late = policy.check(&form(&[]), "bkt", AFTER).expect_err("expired");
        assert_eq!(*late.code(), S3ErrorCode::AccessDenied);
    }

    #[test]
    fn lengths_are_intersected() {
        let range = |conditions| policy(conditions).expect("a policy").length(100);
        assert_eq!(range(""), 0..=100);
        assert_eq!(range("[\"content-length-range\",5,\"900\"]"), 5..=100);
        let both = "[\"content-length-range\",0,50],[\"content-length-range\",9,60]";
        assert_eq!(range(both), 9..=50);
    }

    #[test]
    fn nonsense_is_no_policy() {
        for bad in [
            "{}",
            "{\"a\":\"1\",\"b\":\"2\"}",
            "{\"a\":1}",
            "[\"eq\",\"key\",\"no dollar\"]",
            "[\"ends-with\",\"$key\",\"x\"]",
            "[\"content-length-range\",0]",
            "[\"content-length-range\",-1,0]",
            "[\"content-length-range\",2,1]",
            "7",
        ] {
            let refused = policy(bad).expect_err(bad);
            assert_eq!(*refused.code(), S3ErrorCode::InvalidPolicyDocument, "{bad}");
        }
        for text in [
            "{\"EXPIRATION\":\"2020-01-01T00:00:00Z\",\"conditions\":[]}",
            "{\"expiration\":\"2020-01-01 00:00:00+00:00\",\"conditions\":[]}",
            "{\"expiration\":\"2020-01-01T00:00:00Z\"}",
            "",
        ] {
            assert!(Policy::parse(&STANDARD.encode(text)).is_err(), "{text}");
        }
        assert!(Policy::parse("%%%").is_err());
    }
}
