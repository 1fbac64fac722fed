//! Buckets.

use serde::{Deserialize, Serialize};
use types::{AccountId, BucketId, GeometryName, Timestamp};

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
}

/// The two-phase guard of DeleteBucket against PUT (see `Catalog::delete_bucket`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum BucketState {
    /// Takes objects.
    Open,
    /// Marked by a DeleteBucket that is looking whether it is empty; takes nothing until that one decides.
    Deleting,
}
