//! Names that a client chooses: parsed once, valid for ever.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest object key S3 allows, in bytes of UTF-8.
pub const KEY_MAX: usize = 1024;

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Breaks one of the rules on [`BucketName`].
    #[error("bucket name {0:?} breaks the naming rules of Amazon S3")]
    Bucket(String),
    /// An object key is 1 to [`KEY_MAX`] bytes.
    #[error("the object key is empty")]
    KeyEmpty,
    /// An object key is 1 to [`KEY_MAX`] bytes.
    #[error("the object key is {0} bytes long; at most 1024 are allowed")]
    KeyTooLong(usize),
}

/// A bucket's name by the rules of Amazon S3 for general purpose buckets: 3 to 63 lower-case letters, digits, dots and hyphens;
/// begins and ends with a letter or digit, and so does each label between dots; not shaped like an IPv4 address; none of the reserved prefixes and suffixes.
///
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BucketName(String);

const RESERVED_PREFIXES: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
const RESERVED_SUFFIXES: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];

impl BucketName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BucketName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let edge = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let fine = (3..=63).contains(&text.len())
            && text.bytes().all(|b| edge(b) || matches!(b, b'.' | b'-'))
            && text.bytes().next().is_some_and(edge)
            && text.bytes().next_back().is_some_and(edge)
            && !["..", ".-", "-."].iter().any(|pair| text.contains(pair))
            && text.parse::<std::net::Ipv4Addr>().is_err()
            && !RESERVED_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
            && !RESERVED_SUFFIXES.iter().any(|suffix| text.ends_with(suffix));
        if fine { Ok(Self(text.to_owned())) } else { Err(NameError::Bucket(text.to_owned())) }
    }
}

impl TryFrom<String> for BucketName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<BucketName> for String {
    fn from(name: BucketName) -> Self {
        name.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object's key: 1 to [`KEY_MAX`] bytes of UTF-8. The order of keys is the order of their bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(String);

impl ObjectKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ObjectKey {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.len() {
            0 => Err(NameError::KeyEmpty),
            1..=KEY_MAX => Ok(Self(text.to_owned())),
            long => Err(NameError::KeyTooLong(long)),
        }
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> Self {
        key.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names_follow_the_rules_of_s3() {
        for good in ["abc", "my-bucket", "a.b.c", "0ad", &"x".repeat(63)] {
            assert!(good.parse::<BucketName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "ab",
            &"x".repeat(64),
            "Abc",
            "a_b",
            "-abc",
            "abc-",
            ".abc",
            "a..b",
            "a.-b",
            "a-.b",
            "192.168.5.4",
            "xn--abc",
            "abc-s3alias",
            "sthree-x",
            "ab c",
            "ümlaut",
            "abc--ol-s3",
        ] {
            assert!(bad.parse::<BucketName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_measured_in_bytes() {
        assert!("ü".repeat(512).parse::<ObjectKey>().is_ok());
        assert_eq!("ü".repeat(513).parse::<ObjectKey>(), Err(NameError::KeyTooLong(1026)));
        assert_eq!("".parse::<ObjectKey>(), Err(NameError::KeyEmpty));
    }
}
