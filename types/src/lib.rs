//! The nouns of Drystone: every other crate speaks in these types. Nothing here does I/O.
//!
//! One word for each thing:
//!
//! | word | meaning | type |
//! |---|---|---|
//! | stream | the bytes of one upload (a PUT, a part): one data key, one geometry | [`StreamId`] |
//! | segment | at most [`SEGMENT_MAX`] bytes of one stream's ciphertext | [`SegmentId`] |
//! | shard | one erasure-coded slice of a segment, on one node | [`ShardId`] |
//! | unit, row | [`UNIT`] bytes of a shard; the k + m units coded together | `codec::layout` |
//! | placement group | n node slots that many segments share | [`GroupId`], [`Slot`], [`Epoch`] |
//! | geometry | k data shards of n, write quorum w, repair threshold r | [`Geometry`] |
//! | session | a gateway's leased licence to store | [`SessionId`] |
//! | account | one person or company: customer, node owner or both | [`AccountId`] |
//! | node | a volunteer's machine, named by the hash of its key | [`NodeId`] |

pub mod clock;
pub mod digest;
pub mod entropy;
pub mod geometry;
pub mod id;
pub mod merkle;
pub mod name;
pub mod size;
pub mod usage;
pub mod version;

pub use clock::{Clock, SystemClock, Timestamp};
pub use digest::Root;
pub use geometry::{Geometry, GeometryName};
pub use id::{
    AccountId, BucketId, Epoch, GroupId, ManifestId, NodeId, SegmentId, SessionId, ShardId, Slot,
    StreamId,
};
pub use name::{BucketName, NameError, ObjectKey};
pub use size::{ByteSize, GIB, KIB, MIB, SEGMENT_MAX, UNIT};
pub use version::VersionId;
