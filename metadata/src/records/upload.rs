//! Multipart uploads that are under way.

use serde::{Deserialize, Serialize};
use types::{AccountId, GeometryName, StreamId, Timestamp};

use super::object::{Checksum, ChecksumAlgorithm, Detail};

/// A multipart upload between Create and Complete or Abort.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Upload {
    /// When it was created.
    pub initiated: Timestamp,
    /// Who created it, if that is not the bucket's owner.
    pub owner: Option<AccountId>,
    /// How its parts are coded.
    pub geometry: GeometryName,
    /// The storage class by name; `None` is `STANDARD`.
    pub class: Option<String>,
    /// What the object will carry.
    pub detail: Detail,
    /// The checksum announced at Create, and whether it will be of the full object.
    pub checksum: Option<(ChecksumAlgorithm, bool)>,
}

/// One part of an upload.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// Its bytes.
    pub stream: StreamId,
    /// First plaintext byte in the stream (not 0 where a ranged copy shares a stream).
    pub offset: u64,
    /// Plaintext bytes.
    pub len: u64,
    /// MD5 of the bytes.
    pub md5: [u8; 16],
    /// When it was stored.
    pub modified: Timestamp,
    /// Its checksums.
    pub checksums: Vec<Checksum>,
}
