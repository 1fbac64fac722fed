//! What happened, in the only words billing understands. An event is written in the transaction that causes it.

use serde::{Deserialize, Serialize};

use crate::{AccountId, BucketId, GeometryName, Timestamp};

/// One billable fact about a customer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UsageEvent {
    /// When it took effect.
    pub at: Timestamp,
    /// Who pays.
    pub account: AccountId,
    /// In which bucket.
    pub bucket: BucketId,
    /// What happened.
    pub kind: UsageKind,
}

/// The kinds of billable facts. Discriminants are stored: append only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum UsageKind {
    /// Bytes came to rest: byte-hours start.
    Stored {
        /// Logical bytes.
        bytes: u64,
        /// The storage class's geometry.
        geometry: GeometryName,
    },
    /// Bytes were released: byte-hours end.
    Released {
        /// Logical bytes.
        bytes: u64,
        /// The storage class's geometry.
        geometry: GeometryName,
    },
}
