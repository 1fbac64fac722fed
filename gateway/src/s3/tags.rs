//! Tags of objects and buckets: their limits, the `x-amz-tagging` header, and S3's form of them.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>

use percent_encoding::percent_decode_str;
use s3s::dto::{Tag, TagSet};
use s3s::{S3ErrorCode, S3Result};

use super::error;

/// A tag: key and value.
pub(super) type Pair = (String, String);

/// The most tags of an object.
pub(super) const OF_OBJECT: usize = 10;
/// The most tags of a bucket.
pub(super) const OF_BUCKET: usize = 50;
/// The longest key, in UTF-16 units, as AWS counts.
const KEY_MAX: usize = 128;
/// The longest value, in UTF-16 units.
const VALUE_MAX: usize = 256;
/// Keys that begin so belong to the system.
const RESERVED: &str = "aws:";

/// The tags of an XML document.
///
/// # Errors
/// `MalformedXML` for a tag without a key, `InvalidTag` for one that breaks a limit or comes twice.
pub(super) fn read(set: TagSet, most: usize) -> S3Result<Vec<Pair>> {
    let mut tags = Vec::with_capacity(set.len());
    for Tag { key, value } in set {
        let (Some(key), Some(value)) = (key, value) else {
            return Err(error::refuse(S3ErrorCode::MalformedXML, "A tag needs a key and a value."));
        };
        tags.push((key, value));
    }
    check(tags, most)
}

/// The tags of an `x-amz-tagging` header, which are written as a URL's query.
///
/// # Errors
/// `InvalidArgument` for what is no query; `InvalidTag`.
pub(super) fn read_header(header: &str) -> S3Result<Vec<Pair>> {
    let mut tags = Vec::new();
    for pair in header.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        tags.push((decode(key)?, decode(value)?));
    }
    check(tags, OF_OBJECT)
}

fn decode(text: &str) -> S3Result<String> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map(std::borrow::Cow::into_owned);
    decoded.map_err(|_| {
        error::refuse(
            S3ErrorCode::InvalidArgument,
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
        )
    })
}

/// Sorted by key, so that the same tags are the same bytes.
fn check(mut tags: Vec<Pair>, most: usize) -> S3Result<Vec<Pair>> {
    let invalid = |message: String| Err(error::refuse(S3ErrorCode::InvalidTag, message));
    if tags.len() > most {
        return invalid(format!("Tags cannot be more than {most}"));
    }
    for (key, value) in &tags {
        let key_len = key.encode_utf16().count();
        if key_len == 0 || key_len > KEY_MAX || !key.chars().all(may_be_in_a_tag) {
            return invalid("The TagKey you have provided is invalid".to_owned());
        }
        if key.starts_with(RESERVED) {
            return invalid("System tags cannot be added or updated by requester".to_owned());
        }
        let value_len = value.encode_utf16().count();
        if value_len > VALUE_MAX || !value.chars().all(may_be_in_a_tag) {
            return invalid("The TagValue you have provided is invalid".to_owned());
        }
    }
    tags.sort();
    if tags.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return invalid("Cannot provide multiple Tags with the same key".to_owned());
    }
    Ok(tags)
}

/// Letters, digits, spaces and `_ . : / = + - @`, in any script.
fn may_be_in_a_tag(letter: char) -> bool {
    letter.is_alphanumeric() || letter == ' ' || "_.:/=+-@".contains(letter) || is_mark(letter)
}

/// Signs that many scripts write words with and that are neither letters nor digits to Rust: combining marks and joiners.
fn is_mark(letter: char) -> bool {
    matches!(letter, '\u{300}'..='\u{36f}' | '\u{200c}' | '\u{200d}' | '\u{900}'..='\u{dff}')
}

/// Tags in S3's form.
pub(super) fn shown(tags: &[Pair]) -> TagSet {
    let shown = |(key, value): &Pair| Tag { key: Some(key.clone()), value: Some(value.clone()) };
    tags.iter().map(shown).collect()
}

/// `x-amz-tagging-count`, which is not told of none.
pub(super) fn count(tags: &[Pair]) -> Option<i32> {
    i32::try_from(tags.len()).ok().filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> Pair {
        (key.to_owned(), value.to_owned())
    }

    fn refused(tags: Vec<Pair>) -> S3ErrorCode {
        check(tags, OF_OBJECT).expect_err("refused").code().clone()
    }

    #[test]
    fn a_tagging_header_is_a_query() {
        let tags = read_header("foo=bar&bar&a+b=c%2Fd").expect("tags");
        assert_eq!(tags, [pair("a b", "c/d"), pair("bar", ""), pair("foo", "bar")]);
        assert_eq!(read_header("").expect("none"), []);
        let twice = read_header("a=1&a=2").expect_err("twice");
        assert_eq!(*twice.code(), S3ErrorCode::InvalidTag);
        let broken = read_header("a=%ff").expect_err("no text");
        assert_eq!(*broken.code(), S3ErrorCode::InvalidArgument);
    }

    #[test]
    fn tags_keep_to_their_limits() {
        let many = |count: usize| (0..count).map(|at| pair(&at.to_string(), "")).collect();
        assert!(check(many(OF_OBJECT), OF_OBJECT).is_ok());
        assert_eq!(refused(many(OF_OBJECT + 1)), S3ErrorCode::InvalidTag);
        let longest = vec![pair(&"ü".repeat(KEY_MAX), &"ü".repeat(VALUE_MAX))];
        assert!(check(longest, OF_OBJECT).is_ok());
        for bad in [
            pair("", "v"),
            pair(&"k".repeat(KEY_MAX + 1), "v"),
            pair("k", &"v".repeat(VALUE_MAX + 1)),
            pair("aws:k", "v"),
            pair("k\n", "v"),
            pair("k", "<v>"),
        ] {
            assert_eq!(refused(vec![bad.clone()]), S3ErrorCode::InvalidTag, "{bad:?}");
        }
    }
}
