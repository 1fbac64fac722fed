//! What the catalog remembers, one kind of thing to a file. Every record is stored as postcard; a table's name carries its
//! format number (`crate::schema`), and the golden bytes in `tests/it/golden.rs` pin each format.

mod account;
mod acl;
mod bucket;
mod config;
mod group;
mod kms;
mod lock;
mod node;
mod object;
mod session;
mod stream;
mod upload;

pub use account::{AccessKey, Account};
pub use acl::{Acl, AclGroup, Grant, Grantee, Permission};
pub use bucket::{Bucket, BucketState, Ownership, Versioning};
pub use config::ConfigKind;
pub use group::{GroupState, PlacementGroup, SlotRow};
pub use kms::KmsKey;
pub use lock::{BucketLock, DefaultRetention, Lock, LockMode, Retention, RetentionPeriod};
pub use node::{
    Fault, Finding, HourRow, Invite, Node, NodeState, Rank, RankChange, Source, Standing, Subnet,
    WeekHours,
};
pub use object::{
    Body, Checksum, ChecksumAlgorithm, ChecksumKind, ContentHeaders, Detail, Encryption, Entry,
    Etag, Extent, ReplicationStatus, Restore,
};
pub use session::{Session, SessionState};
pub use stream::{SegmentRow, SlotSet, StreamRow, StreamState};
pub use upload::{Part, Upload};
