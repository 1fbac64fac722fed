//! Version ids.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::entropy::random_bytes;
use crate::id::IdError;

/// What the version of an object is called that was written while its bucket was not versioned.
const NULL: &str = "null";

/// An S3 version id as the client sees it.
///
/// Bytes: the version's sort time in milliseconds (8, big-endian), then 8 random ones. The time leads from an id to its row without an index
/// (`docs/decisions/0006`); the random bytes tell apart a version and another that was written in its place.
/// Shown as 32 hexadecimal digits, [`Self::NULL`] as `null`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VersionId(pub [u8; 16]);

impl VersionId {
    /// The one version of a key that was written while its bucket was not versioned, or no longer.
    pub const NULL: Self = Self([0; 16]);

    /// A new id for a version with this sort time.
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        let mut bytes = [0; 16];
        let (head, tail) = bytes.split_at_mut(8);
        head.copy_from_slice(&time.0.to_be_bytes());
        tail.copy_from_slice(&random_bytes::<8>());
        Self(bytes)
    }

    /// The sort time of the version that has this id; `None` if it is [`Self::NULL`], whose time the id does not tell.
    #[must_use]
    pub fn time(self) -> Option<Timestamp> {
        let mut time = [0; 8];
        time.copy_from_slice(&self.0[..8]);
        (self != Self::NULL).then_some(Timestamp(u64::from_be_bytes(time)))
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NULL { f.write_str(NULL) } else { f.write_str(&hex::encode(self.0)) }
    }
}

impl fmt::Debug for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VersionId({self})")
    }
}

impl FromStr for VersionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        if text == NULL {
            return Ok(Self::NULL);
        }
        let mut bytes = [0; 16];
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let read = hex::decode_to_slice(text, &mut bytes).is_ok();
        let id = Self(bytes);
        // One version, one name.
        if read && lower && id != Self::NULL {
            Ok(id)
        } else {
            Err(IdError::new("version id", text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_id_tells_its_time_and_reads_back() {
        let (one, two) = (VersionId::at(Timestamp(7)), VersionId::at(Timestamp(7)));
        assert_ne!(one, two);
        assert_eq!(one.time(), Some(Timestamp(7)));
        assert_eq!(one.to_string().parse(), Ok(one));
        assert_eq!(one.to_string().len(), 32);
    }

    #[test]
    fn null_has_one_name_and_no_time() {
        assert_eq!(VersionId::NULL.to_string(), "null");
        assert_eq!("null".parse(), Ok(VersionId::NULL));
        assert_eq!(VersionId::NULL.time(), None);
        for bad in ["", "NULL", "0", &"0".repeat(32), &"A".repeat(32), &"a".repeat(31)] {
            assert!(bad.parse::<VersionId>().is_err(), "{bad}");
        }
    }
}
