//! Every table in one place. A table's name carries its format number: data of another format is another table, which
//! [`crate::migrate`] empties into its successor.

use kv::{Family, FamilyOptions, Inverted, Table};
use seal::wrap::WrappedKey;
use types::{
    AccountId, BucketId, BucketName, GroupId, ManifestId, NodeId, ObjectKey, SegmentId, SessionId,
    ShardId, Slot, StreamId, Timestamp,
};

use crate::accounting::AccountingClock;
use crate::commit::Inline;
use crate::garbage::Release;
use crate::holdings::{HeldDelta, Holding};
use crate::outbox::{Dispatch, UploadBill};
use crate::records::{
    AccessKey, Account, Bucket, ConfigKind, Detail, Entry, Extent, Invite, KmsKey, Node, Part,
    PlacementGroup, SegmentRow, Session, Standing, StreamRow, Upload, WeekHours,
};
use crate::rename::Renamed;
use crate::takedowns::{LogHead, Logged, Takedown};

/// Wrapped data keys live apart, so that their deletions can be compacted away early: a deleted object's key is then gone from disk too.
pub const WRAP_FAMILY: Family = Family("wraps");

/// Deleted wraps are gone from the disk within this time.
const WRAPS_REWRITTEN_AFTER: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// The families an engine must be opened with.
#[must_use]
pub fn families() -> Vec<FamilyOptions> {
    vec![
        FamilyOptions { family: Family::MAIN, rewrite_after: None },
        FamilyOptions { family: WRAP_FAMILY, rewrite_after: Some(WRAPS_REWRITTEN_AFTER) },
    ]
}

const MAIN: Family = Family::MAIN;

/// The installation's identity.
pub(crate) const CLUSTER: Table<(), [u8; 16]> = Table::new(MAIN, "cluster/1");
pub(crate) const ACCOUNTS: Table<AccountId, Account> = Table::new(MAIN, "account/1");
pub(crate) const ACCESS_KEYS: Table<String, AccessKey> = Table::new(MAIN, "access-key/2");
/// Named keys of SSE-KMS.
pub(crate) const KMS_KEYS: Table<String, KmsKey> = Table::new(MAIN, "kms-key/1");
pub(crate) const BUCKETS: Table<BucketName, Bucket> = Table::new(MAIN, "bucket/2");
pub(crate) const BUCKETS_OF: Table<(AccountId, BucketName), ()> = Table::new(MAIN, "bucket-of/1");
/// What the gateway keeps with a bucket beside its row, in its own form; of a kind that a bucket has once the name is empty.
pub(crate) const BUCKET_CONFIGS: Table<(BucketId, ConfigKind, String), Vec<u8>> =
    Table::new(MAIN, "bucket-config/1");

/// Work that changes leave to workers, by queue and in order of time.
pub(crate) const QUEUES: Table<(String, Timestamp, [u8; 8]), Vec<u8>> = Table::new(MAIN, "queue/1");

/// How accounting time follows from wall time.
pub(crate) const ACCOUNTING_CLOCK: Table<(), AccountingClock> =
    Table::new(MAIN, "accounting-clock/1");
/// What is to be paid for and was not told to billing yet.
pub(crate) const OUTBOX: Table<(u8, Timestamp, [u8; 16]), Dispatch> = Table::new(MAIN, "outbox/1");

/// The current version of each key; order of keys = S3 list order.
pub(crate) const OBJECTS: Table<(BucketId, ObjectKey), Entry> = Table::new(MAIN, "object/2");
/// Every other version of each key, the newest first; the time is the entry's.
pub(crate) const VERSIONS: Table<(BucketId, ObjectKey, Inverted), Entry> =
    Table::new(MAIN, "version/1");
/// The time of a key's version `null`, where that is not the current one.
pub(crate) const NULLS: Table<(BucketId, ObjectKey), Timestamp> =
    Table::new(MAIN, "null-version/1");
/// Renamings by the token of their request, so that one that is sent again is not done again.
pub(crate) const RENAMES: Table<(BucketId, String), Renamed> = Table::new(MAIN, "rename/1");
pub(crate) const DETAILS: Table<ManifestId, Detail> = Table::new(MAIN, "detail/2");
/// Ciphertext of small objects.
pub(crate) const INLINE: Table<ManifestId, Inline> = Table::new(MAIN, "inline/1");
/// Extents, in pages.
pub(crate) const EXTENTS: Table<(ManifestId, u32), Vec<Extent>> = Table::new(MAIN, "extent/1");
/// The data key of each stream a manifest refers to. An inline object's key is under the stream id its cipher was bound to.
pub(crate) const WRAPS: Table<(ManifestId, StreamId), WrappedKey> =
    Table::new(WRAP_FAMILY, "wrap/1");

/// Uploads under way, in the order ListMultipartUploads shows them.
pub(crate) const UPLOADS: Table<(BucketId, ObjectKey, ManifestId), Upload> =
    Table::new(MAIN, "upload/2");
/// Who pays for an upload's parts, until the last of them is released or part of a version.
pub(crate) const UPLOAD_BILLS: Table<ManifestId, UploadBill> = Table::new(MAIN, "upload-bill/1");
pub(crate) const PARTS: Table<(ManifestId, u32), Part> = Table::new(MAIN, "part/1");

pub(crate) const STREAMS: Table<StreamId, StreamRow> = Table::new(MAIN, "stream/1");
/// Streams that are `Writing`.
pub(crate) const UNFINISHED: Table<StreamId, ()> = Table::new(MAIN, "unfinished/1");
pub(crate) const SEGMENTS: Table<SegmentId, SegmentRow> = Table::new(MAIN, "segment/1");
/// Who refers to a stream: rows, never counters. The number is the part, so that parts of one upload may share a stream.
pub(crate) const REFERENCES: Table<(StreamId, ManifestId, u32), ()> =
    Table::new(MAIN, "reference/1");

pub(crate) const GROUPS: Table<GroupId, PlacementGroup> = Table::new(MAIN, "group/1");
pub(crate) const GROUPS_OF_NODE: Table<(NodeId, GroupId), Slot> =
    Table::new(MAIN, "group-of-node/1");
pub(crate) const SEGMENTS_OF_GROUP: Table<(GroupId, SegmentId), ()> =
    Table::new(MAIN, "segment-of-group/1");
/// Segments with missed slots: the work of repair.
pub(crate) const DEGRADED: Table<(GroupId, SegmentId), ()> = Table::new(MAIN, "degraded/1");

/// What changed in how much groups hold, until it is taken into [`HOLDINGS`].
pub(crate) const HELD_DELTAS: Table<[u8; 16], HeldDelta> = Table::new(MAIN, "held-delta/1");
/// How much each group holds, and what its nodes were told to.
pub(crate) const HOLDINGS: Table<GroupId, Holding> = Table::new(MAIN, "holding/1");

pub(crate) const NODES: Table<NodeId, Node> = Table::new(MAIN, "node/2");
/// How each node has done.
pub(crate) const STANDINGS: Table<NodeId, Standing> = Table::new(MAIN, "node-standing/1");
/// When each node is awake.
pub(crate) const WEEK_HOURS: Table<NodeId, WeekHours> = Table::new(MAIN, "node-hours/1");
pub(crate) const INVITES: Table<[u8; 32], Invite> = Table::new(MAIN, "invite/2");
pub(crate) const SESSIONS: Table<SessionId, Session> = Table::new(MAIN, "session/1");

/// Manifests that no version refers to any more.
pub(crate) const RELEASES: Table<(ManifestId, u8), Release> = Table::new(MAIN, "release/1");
/// Streams to look at once their read grace is over. The first byte spreads them.
pub(crate) const CHECKS: Table<(u8, Timestamp, StreamId), ()> = Table::new(MAIN, "check/1");
/// Objects, prefixes and contents (by their double hash) that must not be read.
pub(crate) const TAKEN_OBJECTS: Table<(BucketId, ObjectKey), Takedown> =
    Table::new(MAIN, "takedown-object/1");
pub(crate) const TAKEN_PREFIXES: Table<(BucketId, String), Takedown> =
    Table::new(MAIN, "takedown-prefix/1");
pub(crate) const TAKEN_CONTENTS: Table<[u8; 32], Takedown> = Table::new(MAIN, "takedown-content/1");
/// The public log of takedowns: rows are only added. The head is there from the first one on.
pub(crate) const TAKEDOWN_LOG: Table<u64, Logged> = Table::new(MAIN, "takedown-log/1");
pub(crate) const TAKEDOWN_HEAD: Table<(), LogHead> = Table::new(MAIN, "takedown-head/1");

/// Shards that a node still has to drop.
pub(crate) const DROPS: Table<(NodeId, ShardId), Timestamp> = Table::new(MAIN, "drop/1");
