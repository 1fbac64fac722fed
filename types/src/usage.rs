//! What happened, in the only words billing understands. An event is written in the transaction that causes it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{AccountId, BucketId, GeometryName, NodeId, Timestamp};

/// One billable fact about a customer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UsageEvent {
    /// When it took effect.
    pub at: Timestamp,
    /// Who pays.
    pub account: AccountId,
    /// In which bucket.
    pub bucket: BucketId,
    /// The access key that asked for it; `None` if nobody did, as when a lifecycle rule acts.
    pub key: Option<String>,
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
    /// Bytes of objects went out to a client.
    Egress {
        /// Bytes of bodies, as the client asked for them.
        bytes: u64,
    },
    /// Requests were answered.
    Requests {
        /// Of which price.
        class: RequestClass,
        /// How many.
        count: u64,
    },
    /// A function ran.
    Fuel {
        /// Units of the sandbox's fuel, of the runs whose result won.
        units: u64,
    },
}

/// Requests by what they cost to serve. Deletions are free: nobody should keep what is not needed to save a fee.
/// Discriminants are stored: never renumber.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum RequestClass {
    /// PUT, POST and COPY of objects and parts: a commit.
    Write = 0,
    /// GET and HEAD of objects.
    Read = 1,
    /// Listings.
    List = 2,
}

impl RequestClass {
    /// Every class there is, in the order of the discriminants.
    pub const ALL: [Self; 3] = [Self::Write, Self::Read, Self::List];
}

impl fmt::Display for RequestClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::List => "list",
        })
    }
}

/// One fact about a node for which it may be paid.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WorkEvent {
    /// When it took effect.
    pub at: Timestamp,
    /// Who did it.
    pub node: NodeId,
    /// What was done.
    pub kind: WorkKind,
}

/// The kinds of work. Discriminants are stored: append only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum WorkKind {
    /// Bytes of a shard are on the node's disk, by its receipt.
    Held {
        /// Bytes of the shard.
        bytes: u64,
    },
    /// A shard was dropped or lost.
    Dropped {
        /// Bytes of the shard.
        bytes: u64,
    },
    /// Shards were held, but not proven to be: nobody could reach the node, or an audit found them wrong. Takes the time back.
    Unproven {
        /// Bytes times milliseconds.
        byte_millis: u64,
    },
    /// Bytes of shards were served to a customer's read, and verified.
    Served {
        /// Bytes.
        bytes: u64,
    },
    /// Bytes of shards were served or taken in to repair a segment.
    Repair {
        /// Bytes.
        bytes: u64,
    },
    /// Bytes of shards were served to an audit.
    Audit {
        /// Bytes.
        bytes: u64,
    },
    /// A run of a function whose result won its quorum.
    Fuel {
        /// Units of the sandbox's fuel.
        units: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1,700,000,000,000 ms as postcard writes it.
    const AT: &str = "80d095ffbc31";

    fn hex(value: &impl Serialize) -> String {
        hex::encode(postcard::to_stdvec(value).expect("bytes"))
    }

    #[test]
    fn the_bytes_of_a_customers_events_are_these() {
        let event = |kind| UsageEvent {
            at: Timestamp(1_700_000_000_000),
            account: "alice".parse().expect("an id"),
            bucket: BucketId([3; 16]),
            key: Some("AK".to_owned()),
            kind,
        };
        let geometry = GeometryName::Home;
        let class = RequestClass::List;
        for (kind, bytes) in [
            (UsageKind::Stored { bytes: 5, geometry }, "000501"),
            (UsageKind::Released { bytes: 5, geometry }, "010501"),
            (UsageKind::Egress { bytes: 300 }, "02ac02"),
            (UsageKind::Requests { class, count: 7 }, "030207"),
            (UsageKind::Fuel { units: 8 }, "0408"),
        ] {
            let head = format!("{AT}05616c696365{}0102414b", "03".repeat(16));
            assert_eq!(hex(&event(kind)), head + bytes);
        }
    }

    #[test]
    fn the_bytes_of_a_nodes_events_are_these() {
        let at = Timestamp(1_700_000_000_000);
        for (kind, bytes) in [
            (WorkKind::Held { bytes: 1 }, "0001"),
            (WorkKind::Dropped { bytes: 2 }, "0102"),
            (WorkKind::Unproven { byte_millis: 3 }, "0203"),
            (WorkKind::Served { bytes: 4 }, "0304"),
            (WorkKind::Repair { bytes: 5 }, "0405"),
            (WorkKind::Audit { bytes: 6 }, "0506"),
            (WorkKind::Fuel { units: 7 }, "0607"),
        ] {
            let event = WorkEvent { at, node: NodeId([4; 32]), kind };
            assert_eq!(hex(&event), format!("{AT}{}{bytes}", "04".repeat(32)));
        }
    }
}
