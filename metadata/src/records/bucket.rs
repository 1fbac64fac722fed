//! Buckets.

use serde::{Deserialize, Serialize};
use types::{AccountId, BucketId, GeometryName, Timestamp};

use super::acl::Acl;
use super::lock::BucketLock;

/// A bucket. Every commit into it reads this row with `get_shared`: whoever changes the row outruns or retries them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bucket {
    /// Its identity; the name may go to another bucket later.
    pub id: BucketId,
    /// Who made it.
    pub owner: AccountId,
    /// When.
    pub created: Timestamp,
    /// The geometry of its `STANDARD` storage class.
    pub geometry: GeometryName,
    /// Whether it takes objects.
    pub state: BucketState,
    /// Whether it keeps older versions.
    pub versioning: Versioning,
    /// Object lock, if it is enabled: then versioning is too, and neither can be turned off.
    pub lock: Option<BucketLock>,
    /// Who owns what others write into it, and whether access control lists count. `None` is never said: as [`Ownership::ObjectWriter`].
    pub ownership: Option<Ownership>,
    /// Who may do what with the bucket beside its owner and its policy.
    pub acl: Acl,
}

/// Whether a bucket keeps older versions (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/Versioning.html>).
/// Discriminants are stored: append only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Versioning {
    /// It never did: each key has one version, `null`.
    #[default]
    Unversioned,
    /// A write adds a version, a delete a delete marker.
    Enabled,
    /// Older versions are kept; a write or delete replaces the version `null`.
    Suspended,
}

/// Who owns what others write, and whether access control lists count
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/about-object-ownership.html>). Discriminants are stored: append only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Ownership {
    /// The bucket's owner owns everything, and access control lists are off.
    BucketOwnerEnforced,
    /// The bucket's owner owns what is written with `bucket-owner-full-control`, the writer the rest.
    BucketOwnerPreferred,
    /// The writer owns what it writes.
    ObjectWriter,
}

/// The two-phase guard of DeleteBucket against PUT (see `Catalog::delete_bucket`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum BucketState {
    /// Takes objects.
    Open,
    /// Marked by a DeleteBucket that is looking whether it is empty; takes nothing until that one decides.
    Deleting,
}
