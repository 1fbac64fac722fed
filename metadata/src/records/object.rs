//! Objects: the lean row that lists read, and the detail that only a GET or HEAD needs.

use std::fmt;

use serde::{Deserialize, Serialize};
use types::{AccountId, GeometryName, ManifestId, StreamId, Timestamp, VersionId};

use super::acl::Acl;
use super::lock::Lock;
use crate::CatalogError;

/// One version of a key: what a listing shows, and where the rest is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The id a client sees.
    pub version: VersionId,
    /// Under which id detail, inline bytes, extents and wraps are kept.
    pub manifest: ManifestId,
    /// Later than every earlier version of the key: max(now, newest + 1).
    pub modified: Timestamp,
    /// Plaintext bytes.
    pub size: u64,
    /// The entity tag.
    pub etag: Etag,
    /// How its bytes are coded.
    pub geometry: GeometryName,
    /// The storage class the client asked for by name; `None` is `STANDARD`.
    pub class: Option<String>,
    /// Who wrote it, if that is not the bucket's owner.
    pub owner: Option<AccountId>,
    /// The checksum a listing names, with how it covers the object.
    pub checksum: Option<(ChecksumAlgorithm, ChecksumKind)>,
    /// Where the bytes are.
    pub body: Body,
}

/// Where a version's bytes are. Discriminants are stored: append only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Body {
    /// Encrypted in the metadata itself.
    Inline,
    /// A list of extents in this many pages of at most [`crate::EXTENTS_PER_PAGE`].
    Extents {
        /// How many pages the list has.
        pages: u32,
    },
    /// Nowhere: this version says that the key was deleted. It has no detail either.
    DeleteMarker,
}

impl Entry {
    /// Whether this version only says that the key was deleted.
    #[must_use]
    pub fn is_delete_marker(&self) -> bool {
        self.body == Body::DeleteMarker
    }
}

impl Entry {
    /// This version, unless it is a delete marker; `named` says whether it was asked for by its id.
    pub(crate) fn with_bytes(self, named: bool) -> Result<Self, CatalogError> {
        if self.is_delete_marker() {
            let Self { version, modified, .. } = self;
            return Err(CatalogError::DeleteMarker { version, modified, named });
        }
        Ok(self)
    }

    /// What is said if the version's detail is gone.
    pub(crate) fn without_detail(&self) -> CatalogError {
        CatalogError::Corrupt(format!("manifest {} has no detail", self.manifest))
    }
}

/// An MD5 entity tag; of a multipart object the MD5 of its parts' MD5s, with their number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Etag {
    /// The digest.
    pub md5: [u8; 16],
    /// Number of parts; 0 for an object that was put whole.
    pub parts: u32,
}

impl fmt::Display for Etag {
    /// Without quotes, as S3 compares it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.md5))?;
        if self.parts > 0 {
            write!(f, "-{}", self.parts)?;
        }
        Ok(())
    }
}

/// What a GET or HEAD returns beside the bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Detail {
    /// Standard headers the client gave.
    pub headers: ContentHeaders,
    /// `x-amz-meta-*`, names in lower case without the prefix, in the order given.
    pub user: Vec<(String, String)>,
    /// Every checksum the object carries.
    pub checksums: Vec<Checksum>,
    /// Who holds the key.
    pub encryption: Encryption,
    /// Object tags, in the order given.
    pub tags: Vec<(String, String)>,
    /// Who may do what with the object; `None` is private to its owner.
    pub acl: Option<Acl>,
    /// What keeps the version from being deleted.
    pub lock: Lock,
    /// Whether and until when an archived object can be read.
    pub restore: Option<Restore>,
    /// How far its replication is.
    pub replication: Option<ReplicationStatus>,
}

/// A RestoreObject's outcome.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Restore {
    /// It is under way.
    Ongoing,
    /// The object can be read until then.
    Until(Timestamp),
}

/// How far a version's replication is, as `x-amz-replication-status` tells it. Discriminants are stored: append only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ReplicationStatus {
    /// It waits.
    Pending,
    /// Every target has it.
    Completed,
    /// A target refused it for good.
    Failed,
    /// This version is itself a copy made by replication.
    Replica,
}

/// The content headers S3 stores and returns.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the HTTP header of that name")]
pub struct ContentHeaders {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub content_disposition: Option<String>,
    pub content_language: Option<String>,
    pub cache_control: Option<String>,
    pub expires: Option<String>,
    pub website_redirect: Option<String>,
}

/// Who holds the key that opens a version's data keys. Discriminants are stored: append only.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Encryption {
    /// The operator's keyring, unasked: S3 says nothing of it.
    #[default]
    Keyring,
    /// The customer (SSE-C). The MD5 of the key is what S3 echoes; the key itself is never stored.
    Customer {
        /// MD5 of the customer's key.
        key_md5: [u8; 16],
    },
    /// The operator's keyring, because the client or the bucket's default asked for it (SSE-S3): S3 says so.
    SseS3,
    /// A named key of the keyring (SSE-KMS).
    Kms {
        /// Its name.
        key: String,
        /// The encryption context as the client gave it (base64 of JSON).
        context: Option<String>,
        /// Whether a bucket key was asked for, which S3 echoes.
        bucket_key: bool,
    },
}

/// One checksum of an object or part.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Checksum {
    /// Which.
    pub algorithm: ChecksumAlgorithm,
    /// Over the whole bytes, or over the parts' checksums.
    pub kind: ChecksumKind,
    /// The digest, big-endian as S3 encodes it.
    pub value: Vec<u8>,
}

/// The checksums Amazon S3 lists (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>).
/// Discriminants are stored: append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the algorithms'")]
pub enum ChecksumAlgorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
    Sha512,
    Md5,
    XxHash64,
    XxHash3,
    XxHash128,
}

/// How a multipart object's checksum covers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ChecksumKind {
    /// Over all bytes.
    FullObject,
    /// Over the concatenated checksums of the parts, with their number.
    Composite {
        /// Number of parts.
        parts: u32,
    },
}

/// A range of a stream that a version refers to. The key that opens it is wrapped under (manifest, stream) in a table of its own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Extent {
    /// The stream.
    pub stream: StreamId,
    /// First plaintext byte within the stream.
    pub offset: u64,
    /// Plaintext bytes.
    pub len: u64,
    /// The part it was uploaded as; 0 if the object was put whole.
    pub part: u32,
    /// The part's own checksums, for GetObjectAttributes and `partNumber`.
    pub checksums: Vec<Checksum>,
}
