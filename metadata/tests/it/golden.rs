//! The stored form of every table, key and value. A change here makes existing catalogs unreadable: the table needs a new format number then,
//! and a migration.
//!
//! Each row below is written by hand into an empty engine; the catalog must read it and find nothing wrong. The records' own encoding
//! must give the same bytes.

use std::sync::Arc;

use bytes::Bytes;
use kv::memory::Memory;
use kv::{Family, Inverted, KeyCodec, Kv};
use metadata::commit::Inline;
use metadata::garbage::Release;
use metadata::holdings::{Filled, HeldDelta, Holding};
use metadata::outbox::{Dispatch, UploadBill};
use metadata::records::{
    AccessKey, Account, Acl, AclGroup, Body, Bucket, BucketLock, BucketState, Checksum,
    ChecksumAlgorithm, ChecksumKind, ConfigKind, ContentHeaders, DefaultRetention, Detail,
    Encryption, Entry, Etag, Extent, Fault, Finding, Grant, Grantee, GroupState, HourRow, Invite,
    KmsKey, Lock, LockMode, Node, NodeState, Ownership, Part, Permission, PlacementGroup, Rank,
    RankChange, ReplicationStatus, Restore, Retention, RetentionPeriod, SegmentRow, Session,
    SessionState, SlotRow, SlotSet, Source, Standing, StreamRow, StreamState, Subnet, Upload,
    Versioning, WeekHours,
};
use metadata::rename::Renamed;
use metadata::schema::WRAP_FAMILY;
use metadata::takedowns::{Kind, LogHead, Logged, Takedown, Target};
use metadata::{AccountingClock, Catalog, ListQuery, LocatedBody};
use serde::Serialize;
use types::GeometryName::Local;
use types::usage::{RequestClass, UsageEvent, UsageKind, WorkEvent, WorkKind};
use types::{
    AccountId, BucketId, BucketName, Epoch, GroupId, ManifestId, NodeId, ObjectKey, Root,
    SegmentId, SessionId, ShardId, Slot, StreamId, SystemClock, Timestamp, VersionId,
};

use crate::support::{key, node, wrap};

/// A row: its family, its table, and key and value in hexadecimal.
type Golden = (Family, &'static str, &'static str, &'static str);

const MAIN: Family = Family::MAIN;

const GOLDEN: &[Golden] = &[
    (MAIN, "cluster/1", "", "c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1"),
    (MAIN, "account/1", "616c6963650000", "05416c6963650d61406578616d706c652e6f726780d095ffbc3101"),
    (
        MAIN,
        "access-key/2",
        "414b0000",
        "05616c6963650309090980d095ffbc31066c6170746f7001027b7d0180d095ffbc3101010808080808080808080808080808080808080808080808080808080808080808",
    ),
    (MAIN, "kms-key/1", "706179726f6c6c0000", "80d095ffbc3180d095ffbc31010203090909020707"),
    (
        MAIN,
        "bucket/2",
        "70686f746f730000",
        "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b005616c69636580d095ffbc3100000101010101010102020003626f620401020201",
    ),
    (MAIN, "bucket-of/1", "616c696365000070686f746f730000", ""),
    (MAIN, "bucket-config/1", "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b010710000", "027b7d"),
    (MAIN, "queue/1", "7100000000018bcfe568000102030405060708", "027b7d"),
    (MAIN, "accounting-clock/1", "", "80d095ffbc3181d095ffbc31e807"),
    (
        MAIN,
        "outbox/1",
        "070000018bcfe5680017171717171717171717171717171717",
        "0380d095ffbc3105616c696365b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b00000e8070080d095ffbc3105616c696365b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b00102414b02800280d095ffbc3105616c696365b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b00102414b0301030180d095ffbc31010101010101010101010101010101010101010101010101010101010101010103808004",
    ),
    (
        MAIN,
        "object/2",
        "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0612f00ff620000",
        "00000000000000000000000000000000a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a180d095ffbc310605050505050505050505050505050505000000000000",
    ),
    (
        MAIN,
        "object/2",
        "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0630000",
        "0000018bcfe5680000000000000000e2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a280d095ffbc31e8070505050505050505050505050505050502000104434f4c440103626f62010101020101",
    ),
    (
        MAIN,
        "object/2",
        "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0650000",
        "0000018bcfe5680000000000000000e3a8a8a8a8a8a8a8a8a8a8a8a8a8a8a8a880d095ffbc310605050505050505050505050505050505000000000002",
    ),
    (
        MAIN,
        "version/1",
        "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0650000fffffe74301a9800",
        "00000000000000000000000000000000a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7ffcf95ffbc310605050505050505050505050505050505000000000000",
    ),
    (MAIN, "null-version/1", "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0650000", "ffcf95ffbc31"),
    (MAIN, "rename/1", "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0746f6b656e0000", "0163016480d095ffbc31"),
    (MAIN, "detail/2", "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1", "00000000000000000000000000000000"),
    (
        MAIN,
        "detail/2",
        "a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2",
        "010a746578742f706c61696e00000000000001016b017601010102040102030403016b01046533303d010101740175010000010080d095ffbc310100010180d095ffbc310103",
    ),
    (MAIN, "detail/2", "a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7", "00000000000000000000000000000000"),
    (MAIN, "inline/1", "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1", "888e98a8c0e080810123067365616c6564"),
    (MAIN, "inline/1", "a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7", "888e98a8c0e080810123067365616c6564"),
    (
        MAIN,
        "extent/1",
        "a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a200000000",
        "01888e98a8c0e08081012118e80703010101020401020304",
    ),
    (
        WRAP_FAMILY,
        "wrap/1",
        "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a101020304050607080000000000000023",
        "010001010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101",
    ),
    (
        WRAP_FAMILY,
        "wrap/1",
        "a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a201020304050607080000000000000021",
        "010001020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202",
    ),
    (
        WRAP_FAMILY,
        "wrap/1",
        "a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a301020304050607080000000000000021",
        "010001030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303030303",
    ),
    (
        WRAP_FAMILY,
        "wrap/1",
        "a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a701020304050607080000000000000023",
        "010001010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101",
    ),
    (
        MAIN,
        "upload/2",
        "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0640000a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3",
        "80d095ffbc3100000000000000000000000000000000000000010401",
    ),
    (
        MAIN,
        "upload-bill/1",
        "a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3",
        "05616c696365b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b000",
    ),
    (
        MAIN,
        "part/1",
        "a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a300000009",
        "888e98a8c0e0808101210080040404040404040404040404040404040480d095ffbc3100",
    ),
    (
        MAIN,
        "stream/1",
        "01020304050607080000000000000021",
        "0100b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b00101010101010101010101010101010101010101010101010101010101010101800801020202020202020202020202020202020202020202020202020202020202020280d095ffbc31",
    ),
    (
        MAIN,
        "stream/1",
        "01020304050607080000000000000022",
        "0000b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b00101010101010101010101010101010101010101010101010101010101010101800800020202020202020202020202020202020202020202020202020202020202020280d095ffbc31",
    ),
    (MAIN, "unfinished/1", "01020304050607080000000000000022", ""),
    (
        MAIN,
        "segment/1",
        "0102030405060708000000000000002100000000",
        "079008060000000000000000000000000000000000000000000000000000000000000000010101010101010101010101010101010101010101010101010101010101010102020202020202020202020202020202020202020202020202020202020202020303030303030303030303030303030303030303030303030303030303030303040404040404040404040404040404040404040404040404040404040404040405050505050505050505050505050505050505050505050505050505050505050122",
    ),
    (
        MAIN,
        "reference/1",
        "01020304050607080000000000000021a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a200000003",
        "",
    ),
    (
        MAIN,
        "reference/1",
        "01020304050607080000000000000021a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a300000009",
        "",
    ),
    (
        MAIN,
        "group/1",
        "0000000000000007",
        "0001020106010101010101010101010101010101010101010101010101010101010101010101010000000102020202020202020202020202020202020202020202020202020202020202020201030303030303030303030303030303030303030303030303030303030303030301888e98a8c0e08081012100010000000000000000000000000000000000000000",
    ),
    (
        MAIN,
        "group-of-node/1",
        "01010101010101010101010101010101010101010101010101010101010101010000000000000007",
        "00",
    ),
    (
        MAIN,
        "group-of-node/1",
        "02020202020202020202020202020202020202020202020202020202020202020000000000000007",
        "01",
    ),
    (MAIN, "segment-of-group/1", "00000000000000070102030405060708000000000000002100000000", ""),
    (MAIN, "degraded/1", "00000000000000070102030405060708000000000000002100000000", ""),
    (MAIN, "held-delta/1", "d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1", "0780040101ff0301010202"),
    (
        MAIN,
        "holding/1",
        "0000000000000007",
        "80040101ff0301010280010101010101010101010101010101010101010101010101010101010101010101018002",
    ),
    (
        MAIN,
        "node/2",
        "0101010101010101010101010101010101010101010101010101010101010101",
        "05617474696380e497d01280d095ffbc3180d095ffbc31000105616c696365010865752d6e6f7274680100cb0071",
    ),
    (
        MAIN,
        "node/2",
        "0202020202020202020202020202020202020202020202020202020202020202",
        "05617474696380e497d01280d095ffbc3180d095ffbc310180d095ffbc310000010120010db80007",
    ),
    (
        MAIN,
        "node/2",
        "0303030303030303030303030303030303030303030303030303030303030303",
        "05617474696380e497d01280d095ffbc3180d095ffbc310280d095ffbc31000000",
    ),
    (
        MAIN,
        "node-standing/1",
        "0101010101010101010101010101010101010101010101010101010101010101",
        "0280d095ffbc310377687901c0843d80897aac0204cb03060180d095ffbc310280d095ffbc3101000107888e98a8c0e08081012100030b77726f6e6720627974657380d095ffbc31040300000180d095ffbc31030103776879",
    ),
    (
        MAIN,
        "node-hours/1",
        "0101010101010101010101010101010101010101010101010101010101010101",
        "80d095ffbc3102901c880e0000",
    ),
    (
        MAIN,
        "invite/2",
        "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
        "80d095ffbc3181d095ffbc31010101010101010101010101010101010101010101010101010101010101010101000105616c696365010865752d6e6f727468",
    ),
    (MAIN, "session/1", "0102030405060708", "016780d095ffbc310080d095ffbc3103"),
    (MAIN, "session/1", "0000000000000002", "016780d095ffbc310180d095ffbc3103"),
    (MAIN, "release/1", "a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a400", "0002"),
    (MAIN, "release/1", "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a501", "01"),
    (MAIN, "release/1", "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a502", "020201ac02"),
    (MAIN, "release/1", "a6a6a6a6a6a6a6a6a6a6a6a6a6a6a6a603", "0380d095ffbc3104"),
    (MAIN, "check/1", "010000018bcfe5680001020304050607080000000000000021", ""),
    (
        MAIN,
        "takedown-object/1",
        "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b07a0000",
        "80d095ffbc31010670686f746f730172",
    ),
    (
        MAIN,
        "takedown-prefix/1",
        "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b07365637265742f0000",
        "80d095ffbc31010670686f746f730172",
    ),
    (
        MAIN,
        "takedown-content/1",
        "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
        "80d095ffbc31000172",
    ),
    (
        MAIN,
        "takedown-log/1",
        "0000000000000001",
        "80d095ffbc310102cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc01727777777777777777777777777777777777777777777777777777777777777777",
    ),
    (
        MAIN,
        "takedown-head/1",
        "",
        "017777777777777777777777777777777777777777777777777777777777777777",
    ),
    (
        MAIN,
        "drop/1",
        "04040404040404040404040404040404040404040404040404040404040404040000000000000007010203040506070800000000000000210000000003",
        "80d095ffbc31",
    ),
];

/// The rows that [`GOLDEN`] has in newer formats, as they were stored before.
const PAST: &[Golden] = &[
    (MAIN, "access-key/1", "414b0000", "05616c6963650309090980d095ffbc31"),
    (
        MAIN,
        "bucket/1",
        "70686f746f730000",
        "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b005616c69636580d095ffbc310000",
    ),
    (
        MAIN,
        "object/1",
        "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0612f00ff620000",
        "e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a180d095ffbc310605050505050505050505050505050505000000000000",
    ),
    (
        MAIN,
        "object/1",
        "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0630000",
        "e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a280d095ffbc31e8070505050505050505050505050505050502000104434f4c440103626f62010101020101",
    ),
    (MAIN, "detail/1", "a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1", "00000000000000000000"),
    (
        MAIN,
        "detail/1",
        "a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2",
        "010a746578742f706c61696e00000000000001016b01760101010204010203040106060606060606060606060606060606",
    ),
    (
        MAIN,
        "upload/1",
        "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0640000a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3",
        "80d095ffbc3100000000000000000000000000010401",
    ),
    (
        MAIN,
        "node/1",
        "0101010101010101010101010101010101010101010101010101010101010101",
        "05617474696380e497d01280d095ffbc3180d095ffbc3100",
    ),
    (
        MAIN,
        "node/1",
        "0202020202020202020202020202020202020202020202020202020202020202",
        "05617474696380e497d01280d095ffbc3180d095ffbc310180d095ffbc31",
    ),
    (
        MAIN,
        "invite/1",
        "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
        "80d095ffbc3181d095ffbc3101010101010101010101010101010101010101010101010101010101010101010100",
    ),
];

const BUCKET: BucketId = BucketId([0xb0; 16]);
const GROUP: GroupId = GroupId(7);
const SESSION: SessionId = SessionId(0x0102_0304_0506_0708);
const STREAM: StreamId = StreamId { session: SESSION, serial: 0x21 };
const WRITING: StreamId = StreamId { session: SESSION, serial: 0x22 };
const SMALL: StreamId = StreamId { session: SESSION, serial: 0x23 };
const SEGMENT: SegmentId = SegmentId { stream: STREAM, index: 0 };
/// Of the inline object, of the one with extents, of the upload, of three that wait for collect, of an older version and of a delete marker.
const MANIFESTS: [ManifestId; 8] = [
    ManifestId([0xa1; 16]),
    ManifestId([0xa2; 16]),
    ManifestId([0xa3; 16]),
    ManifestId([0xa4; 16]),
    ManifestId([0xa5; 16]),
    ManifestId([0xa6; 16]),
    ManifestId([0xa7; 16]),
    ManifestId([0xa8; 16]),
];
const T: Timestamp = Timestamp(1_700_000_000_000);

/// What the catalog below is made of, encoded row by row.
struct Rows(Vec<(Family, &'static str, String, String)>);

impl Rows {
    fn add(
        &mut self,
        family: Family,
        table: &'static str,
        key: &impl KeyCodec,
        value: &impl Serialize,
    ) {
        let value = postcard::to_stdvec(value).expect("encodes");
        self.0.push((family, table, hex::encode(key.encode()), hex::encode(value)));
    }

    fn main(&mut self, table: &'static str, key: &impl KeyCodec, value: &impl Serialize) {
        self.add(MAIN, table, key, value);
    }
}

fn alice() -> AccountId {
    "alice".parse().expect("an id")
}

fn bucket_name() -> BucketName {
    "photos".parse().expect("a name")
}

fn object_keys() -> [ObjectKey; 4] {
    [key("a/\u{0}b"), key("c"), key("d"), key("e")]
}

fn account() -> Account {
    Account {
        name: "Alice".to_owned(),
        email: "a@example.org".to_owned(),
        created: T,
        operator: true,
    }
}

fn access_key() -> AccessKey {
    AccessKey {
        account: alice(),
        sealed_secret: vec![9; 3],
        created: T,
        name: "laptop".to_owned(),
        policy: Some("{}".to_owned()),
        expires: Some(T),
        enabled: true,
        session: Some([8; 32]),
    }
}

fn kms_key() -> KmsKey {
    KmsKey { created: T, rotated: T, enabled: true, sealed: vec![vec![9; 3], vec![7; 2]] }
}

fn bucket() -> Bucket {
    let grant = |grantee, permission| Grant { grantee, permission };
    let mode = LockMode::Compliance;
    Bucket {
        id: BUCKET,
        owner: alice(),
        created: T,
        geometry: Local,
        state: BucketState::Open,
        versioning: Versioning::Enabled,
        lock: Some(BucketLock {
            default: Some(DefaultRetention { mode, period: RetentionPeriod::Years(1) }),
        }),
        ownership: Some(Ownership::ObjectWriter),
        acl: Acl {
            grants: vec![
                grant(Grantee::Account("bob".parse().expect("an id")), Permission::WriteAcp),
                grant(Grantee::Group(AclGroup::LogDelivery), Permission::Write),
            ],
            without_owner: true,
        },
    }
}

fn checksum() -> Checksum {
    let kind = ChecksumKind::Composite { parts: 2 };
    Checksum { algorithm: ChecksumAlgorithm::Crc32c, kind, value: vec![1, 2, 3, 4] }
}

fn detail() -> Detail {
    Detail {
        headers: ContentHeaders {
            content_type: Some("text/plain".to_owned()),
            ..ContentHeaders::default()
        },
        user: vec![("k".to_owned(), "v".to_owned())],
        checksums: vec![checksum()],
        encryption: Encryption::Kms {
            key: "k".to_owned(),
            context: Some("e30=".to_owned()),
            bucket_key: true,
        },
        tags: vec![("t".to_owned(), "u".to_owned())],
        acl: Some(Acl::default()),
        lock: Lock {
            retention: Some(Retention { mode: LockMode::Governance, until: T }),
            legal_hold: Some(false),
        },
        restore: Some(Restore::Until(T)),
        replication: Some(ReplicationStatus::Replica),
    }
}

fn dispatch() -> Dispatch {
    let event = |key: Option<&str>, kind| UsageEvent {
        at: T,
        account: alice(),
        bucket: BUCKET,
        key: key.map(str::to_owned),
        kind,
    };
    let read = UsageKind::Requests { class: RequestClass::Read, count: 3 };
    Dispatch {
        usage: vec![
            event(None, UsageKind::Stored { bytes: 1000, geometry: Local }),
            event(Some("AK"), UsageKind::Egress { bytes: 256 }),
            event(Some("AK"), read),
        ],
        work: vec![WorkEvent { at: T, node: node(1), kind: WorkKind::Served { bytes: 65_536 } }],
    }
}

fn held_delta() -> HeldDelta {
    let filled = Some(Filled { slot: Slot(1), since: Epoch(2), bytes: 2 });
    HeldDelta { group: GROUP, all: 256, slots: vec![(Slot(1), -256)], filled }
}

fn holding() -> Holding {
    let filled = vec![Filled { slot: Slot(1), since: Epoch(2), bytes: 128 }];
    Holding { all: 256, slots: vec![(Slot(1), -256)], filled, told: vec![(node(1), 256)] }
}

/// Two current versions; then an older one and a delete marker above it.
fn entries() -> [Entry; 4] {
    let inline = Entry {
        version: VersionId::NULL,
        manifest: MANIFESTS[0],
        modified: T,
        size: 6,
        etag: Etag { md5: [5; 16], parts: 0 },
        geometry: Local,
        class: None,
        owner: None,
        checksum: None,
        body: Body::Inline,
    };
    let extents = Entry {
        version: version(0xe2),
        manifest: MANIFESTS[1],
        size: 1000,
        etag: Etag { md5: [5; 16], parts: 2 },
        class: Some("COLD".to_owned()),
        owner: Some("bob".parse().expect("an id")),
        checksum: Some((ChecksumAlgorithm::Crc32c, ChecksumKind::Composite { parts: 2 })),
        body: Body::Extents { pages: 1 },
        ..inline.clone()
    };
    let older = Entry { manifest: MANIFESTS[6], modified: Timestamp(T.0 - 1), ..inline.clone() };
    let marker = Entry {
        version: version(0xe3),
        manifest: MANIFESTS[7],
        body: Body::DeleteMarker,
        ..inline.clone()
    };
    [inline, extents, older, marker]
}

/// An id with this last byte of a version that was written at [`T`].
fn version(last: u8) -> VersionId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&T.0.to_be_bytes());
    bytes[15] = last;
    VersionId(bytes)
}

fn extent() -> Extent {
    Extent { stream: STREAM, offset: 24, len: 1000, part: 3, checksums: vec![checksum()] }
}

fn inline() -> Inline {
    Inline { stream: SMALL, wrap: None, cipher: Bytes::from_static(b"sealed") }
}

fn upload() -> Upload {
    Upload {
        initiated: T,
        owner: None,
        geometry: Local,
        class: None,
        detail: Detail::default(),
        checksum: Some((ChecksumAlgorithm::Sha256, true)),
    }
}

fn part() -> Part {
    let checksums = Vec::new();
    Part { stream: STREAM, offset: 0, len: 512, md5: [4; 16], modified: T, checksums }
}

fn stream(state: StreamState) -> StreamRow {
    StreamRow {
        state,
        geometry: Local,
        bucket: BUCKET,
        key_hash: [1; 32],
        len: 1024,
        segments: u32::from(state == StreamState::Whole),
        hash: [2; 32],
        created: T,
    }
}

fn segment() -> SegmentRow {
    let roots = (0..6).map(|slot| Root([slot; 32])).collect();
    SegmentRow {
        group: GROUP,
        len: 1040,
        roots,
        missed: [Slot(1), Slot(5)].into_iter().collect::<SlotSet>(),
    }
}

fn group() -> PlacementGroup {
    let slot = |number| SlotRow { node: Some(node(number)), since: Epoch(1), ..SlotRow::default() };
    let mut slots = vec![SlotRow::default(); 6];
    slots[0] = slot(1);
    slots[1] = SlotRow {
        since: Epoch(2),
        previous: Some(node(3)),
        filled_to: Some(SEGMENT),
        filling: true,
        ..slot(2)
    };
    PlacementGroup { geometry: Local, scheme: 1, epoch: Epoch(2), state: GroupState::Sealed, slots }
}

fn nodes() -> [Node; 3] {
    let active = Node {
        name: "attic".to_owned(),
        capacity: 5_000_000_000,
        joined: T,
        last_seen: T,
        state: NodeState::Active,
        owner: Some(alice()),
        region: Some("eu-north".to_owned()),
        subnet: Some(Subnet::V4([203, 0, 113])),
    };
    let lost = Node {
        state: NodeState::Lost { at: T },
        owner: None,
        region: None,
        subnet: Some(Subnet::V6([0x20, 1, 0xd, 0xb8, 0, 7])),
        ..active.clone()
    };
    let leaving = Node { state: NodeState::Leaving { since: T }, subnet: None, ..lost.clone() };
    [active, lost, leaving]
}

fn standing() -> Standing {
    let shard = ShardId { group: GROUP, segment: SEGMENT, slot: Slot(3) };
    let corrupt = Finding {
        at: T,
        fault: Fault::Corrupt,
        source: Source::Audit,
        shard: Some(shard),
        words: "wrong bytes".to_owned(),
    };
    let owned_up = Finding {
        fault: Fault::OwnedUp,
        source: Source::Node,
        shard: None,
        words: String::new(),
        ..corrupt.clone()
    };
    let reason = "why".to_owned();
    Standing {
        rank: Rank::Suspended,
        since: T,
        reason: reason.clone(),
        held: true,
        proven: 1_000_000,
        failed: 2_000_000,
        answered: 300,
        late: 4,
        audits: 459,
        owned_up: 6,
        vetted: Some(T),
        findings: vec![corrupt, owned_up],
        changes: vec![RankChange { at: T, rank: Rank::Disqualified, operator: true, reason }],
    }
}

fn week_hours() -> WeekHours {
    let hours = vec![HourRow { watched: 3600, online: 1800 }, HourRow::default()];
    WeekHours { until: T, hours }
}

fn invite() -> Invite {
    Invite {
        created: T,
        expires: Timestamp(T.0 + 1),
        used_by: Some(node(1)),
        revoked: false,
        owner: Some(alice()),
        region: Some("eu-north".to_owned()),
    }
}

fn takedowns() -> [Takedown; 2] {
    let of = |bucket| Takedown { created: T, bucket, reason: "r".to_owned() };
    [of(Some(bucket_name())), of(None)]
}

fn logged() -> Logged {
    Logged {
        at: T,
        taken_down: true,
        kind: Kind::Content,
        digest: [0xcc; 32],
        reason: "r".to_owned(),
        chain: [0x77; 32],
    }
}

fn sessions() -> [Session; 2] {
    let state = SessionState::Leased { until: T };
    let leased = Session { gateway: "g".to_owned(), started: T, state, fencing: 3 };
    [leased.clone(), Session { state: SessionState::Ended { at: T }, ..leased }]
}

fn rows() -> Vec<(Family, &'static str, String, String)> {
    let mut rows = Rows(Vec::new());
    let [inline_key, extents_key, upload_key, deleted_key] = object_keys();
    let [inline_entry, extents_entry, older, marker] = entries();
    rows.main("cluster/1", &(), &[0xc1_u8; 16]);
    rows.main("account/1", &alice(), &account());
    rows.main("access-key/2", &"AK".to_owned(), &access_key());
    rows.main("kms-key/1", &"payroll".to_owned(), &kms_key());
    rows.main("bucket/2", &bucket_name(), &bucket());
    rows.main("bucket-of/1", &(alice(), bucket_name()), &());
    rows.main("bucket-config/1", &(BUCKET, ConfigKind::Quota, "q".to_owned()), &b"{}".to_vec());
    rows.main("queue/1", &("q".to_owned(), T, [1_u8, 2, 3, 4, 5, 6, 7, 8]), &b"{}".to_vec());
    let clock = AccountingClock { wall: T, accounting: Timestamp(T.0 + 1), hour: 1000 };
    rows.main("accounting-clock/1", &(), &clock);
    rows.main("outbox/1", &(7_u8, T, [0x17_u8; 16]), &dispatch());
    rows.main("object/2", &(BUCKET, inline_key), &inline_entry);
    rows.main("object/2", &(BUCKET, extents_key), &extents_entry);
    rows.main("object/2", &(BUCKET, deleted_key.clone()), &marker);
    rows.main("version/1", &(BUCKET, deleted_key.clone(), Inverted(T.0 - 1)), &older);
    rows.main("null-version/1", &(BUCKET, deleted_key), &Timestamp(T.0 - 1));
    let renamed = Renamed { source: key("c"), target: key("d"), at: T };
    rows.main("rename/1", &(BUCKET, "token".to_owned()), &renamed);
    rows.main("detail/2", &MANIFESTS[0], &Detail::default());
    rows.main("detail/2", &MANIFESTS[1], &detail());
    rows.main("detail/2", &MANIFESTS[6], &Detail::default());
    rows.main("inline/1", &MANIFESTS[0], &inline());
    rows.main("inline/1", &MANIFESTS[6], &inline());
    rows.main("extent/1", &(MANIFESTS[1], 0_u32), &vec![extent()]);
    rows.add(WRAP_FAMILY, "wrap/1", &(MANIFESTS[0], SMALL), &wrap(1));
    rows.add(WRAP_FAMILY, "wrap/1", &(MANIFESTS[1], STREAM), &wrap(2));
    rows.add(WRAP_FAMILY, "wrap/1", &(MANIFESTS[2], STREAM), &wrap(3));
    rows.add(WRAP_FAMILY, "wrap/1", &(MANIFESTS[6], SMALL), &wrap(1));
    rows.main("upload/2", &(BUCKET, upload_key, MANIFESTS[2]), &upload());
    let (account, geometry) = (alice(), Local);
    rows.main("upload-bill/1", &MANIFESTS[2], &UploadBill { account, bucket: BUCKET, geometry });
    rows.main("part/1", &(MANIFESTS[2], 9_u32), &part());
    rows.main("stream/1", &STREAM, &stream(StreamState::Whole));
    rows.main("stream/1", &WRITING, &stream(StreamState::Writing));
    rows.main("unfinished/1", &WRITING, &());
    rows.main("segment/1", &SEGMENT, &segment());
    rows.main("reference/1", &(STREAM, MANIFESTS[1], 3_u32), &());
    rows.main("reference/1", &(STREAM, MANIFESTS[2], 9_u32), &());
    rows.main("group/1", &GROUP, &group());
    rows.main("group-of-node/1", &(node(1), GROUP), &Slot(0));
    rows.main("group-of-node/1", &(node(2), GROUP), &Slot(1));
    rows.main("segment-of-group/1", &(GROUP, SEGMENT), &());
    rows.main("degraded/1", &(GROUP, SEGMENT), &());
    rows.main("held-delta/1", &[0xd1_u8; 16], &held_delta());
    rows.main("holding/1", &GROUP, &holding());
    rows.main("node/2", &node(1), &nodes()[0]);
    rows.main("node/2", &node(2), &nodes()[1]);
    rows.main("node/2", &node(3), &nodes()[2]);
    rows.main("node-standing/1", &node(1), &standing());
    rows.main("node-hours/1", &node(1), &week_hours());
    rows.main("invite/2", &[0xdd_u8; 32], &invite());
    rows.main("session/1", &SESSION, &sessions()[0]);
    rows.main("session/1", &SessionId(2), &sessions()[1]);
    rows.main("release/1", &(MANIFESTS[3], 0_u8), &Release::Version { pages: 2 });
    rows.main("release/1", &(MANIFESTS[4], 1_u8), &Release::Aborted);
    rows.main("release/1", &(MANIFESTS[4], 2_u8), &Release::Completed { chosen: vec![1, 300] });
    rows.main("release/1", &(MANIFESTS[5], 3_u8), &Release::Staged { until: T, pages: 4 });
    rows.main("check/1", &(1_u8, T, STREAM), &());
    let [named, content] = takedowns();
    rows.main("takedown-object/1", &(BUCKET, key("z")), &named);
    rows.main("takedown-prefix/1", &(BUCKET, "secret/".to_owned()), &named);
    rows.main("takedown-content/1", &[0xcc_u8; 32], &content);
    rows.main("takedown-log/1", &1_u64, &logged());
    rows.main("takedown-head/1", &(), &LogHead { rows: 1, chain: [0x77; 32] });
    rows.main("drop/1", &(node(4), ShardId { group: GROUP, segment: SEGMENT, slot: Slot(3) }), &T);
    rows.0
}

#[test]
fn every_table_keeps_its_bytes() {
    let rows = rows();
    let shown: Vec<String> = rows
        .iter()
        .map(|(family, table, key, value)| {
            let family = if *family == MAIN { "MAIN" } else { "WRAP_FAMILY" };
            format!("    ({family}, {table:?}, {key:?}, {value:?}),")
        })
        .collect();
    let same = rows.len() == GOLDEN.len()
        && rows
            .iter()
            .zip(GOLDEN)
            .all(|(row, golden)| (row.0, row.1, row.2.as_str(), row.3.as_str()) == *golden);
    assert!(same, "encoded now:\n{}", shown.join("\n"));
}

/// A catalog over the golden bytes.
async fn golden_catalog() -> Catalog {
    catalog_of(GOLDEN.iter()).await
}

/// A catalog over some bytes.
async fn catalog_of(rows: impl Iterator<Item = &Golden>) -> Catalog {
    let engine = Memory::new();
    let tx = engine.begin().await.expect("open");
    for (family, table, key, value) in rows {
        let mut row = format!("{table}\0").into_bytes();
        row.extend(hex::decode(key).expect("hex"));
        tx.put(*family, row, hex::decode(value).expect("hex"));
    }
    tx.commit().await.expect("written");
    Catalog::new(Arc::new(engine), Arc::new(SystemClock), std::time::Duration::from_secs(1))
}

#[tokio::test]
async fn a_catalog_of_golden_bytes_is_whole() {
    let catalog = golden_catalog().await;
    let report = catalog.fsck().await.expect("fsck");
    assert!(report.broken.is_empty(), "{:#?}", report.broken);
    let counts = (report.objects, report.streams, report.segments, report.degraded);
    assert_eq!(counts, (4, 2, 1, 1));
    let left = catalog.garbage_left().await.expect("read");
    assert_eq!((left.releases, left.checks, left.drops), (4, 1, 1));
}

#[tokio::test]
async fn golden_bytes_read_as_what_they_were() {
    let catalog = golden_catalog().await;
    assert_eq!(catalog.cluster_id().await.expect("read"), [0xc1; 16]);
    assert_eq!(catalog.accounts().await.expect("read"), [(alice(), account())]);
    assert_eq!(catalog.kms_key("payroll").await.expect("read"), Some(kms_key()));
    assert!(catalog.access_key("AK").await.expect("read") == Some(access_key()));
    assert_eq!(catalog.buckets_of(&alice()).await.expect("read"), [(bucket_name(), bucket())]);
    let quota = catalog.bucket_config(BUCKET, ConfigKind::Quota, "q").await.expect("read");
    assert_eq!(quota.as_deref(), Some(&b"{}"[..]));
    assert_eq!(catalog.group(GROUP).await.expect("there"), group());
    assert_eq!(catalog.groups_of(node(2)).await.expect("read"), [(GROUP, Slot(1))]);
    let known: Vec<(NodeId, Node)> = (1..).map(node).zip(nodes()).collect();
    assert_eq!(catalog.nodes().await.expect("read"), known);
    assert_eq!(catalog.standings().await.expect("read"), [(node(1), standing())]);
    assert_eq!(catalog.week_hours().await.expect("read"), [(node(1), week_hours())]);
    assert_eq!(catalog.session(SESSION).await.expect("read"), Some(sessions()[0].clone()));
    assert_eq!(catalog.session(SessionId(2)).await.expect("read"), Some(sessions()[1].clone()));
    assert_eq!(catalog.unfinished_streams(SESSION).await.expect("read"), [WRITING]);
    assert_eq!(catalog.degraded(None, 9).await.expect("read"), [(GROUP, SEGMENT)]);
    assert_eq!(catalog.segments_of_group(GROUP, None, 9).await.expect("read"), [SEGMENT]);
    assert_eq!(catalog.segment(SEGMENT).await.expect("read"), Some(segment()));
    assert_eq!(catalog.stream(STREAM).await.expect("read"), Some(stream(StreamState::Whole)));
    assert_eq!(catalog.drops_of(node(4), 9).await.expect("read")[0].slot, Slot(3));
    let at = || (bucket_name(), BUCKET);
    let [named, content] = takedowns();
    let names = [
        (Target::Object { bucket: at(), key: key("z") }, named.clone()),
        (Target::Prefix { bucket: at(), prefix: "secret/".to_owned() }, named),
    ];
    assert_eq!(catalog.taken_names().await.expect("read"), names);
    let contents = catalog.taken_contents(None, 9).await.expect("read");
    assert_eq!(contents, [([0xcc; 32], content)]);
    assert_eq!(catalog.takedown_log(0, 9).await.expect("read"), [(1, logged())]);
    let used = catalog.admit_node([0xdd; 32], node(9), "n", 1).await;
    assert!(matches!(used, Err(metadata::CatalogError::Invite("used already"))), "{used:?}");
}

#[tokio::test]
async fn golden_objects_and_uploads_read_as_what_they_were() {
    let catalog = golden_catalog().await;
    let [inline_key, extents_key, upload_key, deleted_key] = object_keys();
    let query = ListQuery { limit: 9, ..ListQuery::default() };
    let page = catalog.list_objects(BUCKET, &query).await.expect("read");
    let [inline_entry, extents_entry, _, _] = entries();
    assert_eq!(
        page.items,
        [(inline_key.clone(), inline_entry), (extents_key.clone(), extents_entry)]
    );
    let located = catalog.locate(BUCKET, &extents_key).await.expect("there");
    assert_eq!(located.detail, detail());
    assert!(located.wrap(STREAM).await.expect("there") == wrap(2));
    let LocatedBody::Extents(extents) = located.body().await.expect("read") else {
        panic!("it has extents");
    };
    assert_eq!(extents, [extent()]);
    let located = catalog.locate(BUCKET, &inline_key).await.expect("there");
    let LocatedBody::Inline(read) = located.body().await.expect("read") else {
        panic!("it is inline");
    };
    assert_eq!((read.stream, &read.cipher), (SMALL, &inline().cipher));
    assert!(read.wrap == Some(wrap(1)));
    let deleted = catalog.locate(BUCKET, &deleted_key).await;
    assert!(matches!(deleted, Err(metadata::CatalogError::DeleteMarker { named: false, .. })));
    let at = (BUCKET, upload_key, MANIFESTS[2]);
    assert_eq!(catalog.upload(&at).await.expect("there"), upload());
    assert_eq!(catalog.parts(MANIFESTS[2], 0, 9).await.expect("read"), [(9, part())]);
    let hour = std::time::Duration::from_secs(1);
    let clock = catalog.accounting_clock(hour).await.expect("read");
    assert_eq!(clock.at(Timestamp(T.0 + 1)), Timestamp(T.0 + 3601));
    let at = (7, T, [0x17; 16]);
    assert_eq!(catalog.outbox(99).await.expect("read"), [(at, dispatch())]);
}

/// The tables whose rows the past had in another format.
const MIGRATED: [&str; 7] =
    ["access-key", "bucket", "object", "detail", "upload", "node", "invite"];

#[tokio::test]
async fn rows_of_the_past_become_those_of_today() {
    let stem = |table: &str| table.split('/').next().unwrap_or_default().to_owned();
    let version = |row: &&Golden| {
        // There were no versions beside the current one, no configurations, and no such bodies.
        let new = ["version/1", "null-version/1", "bucket-config/1", "rename/1"].contains(&row.1);
        !new && !row.2.starts_with(&"a7".repeat(16))
    };
    let kept = GOLDEN.iter().filter(|row| !MIGRATED.contains(&stem(row.1).as_str()));
    let catalog = catalog_of(kept.filter(version).chain(PAST)).await;
    catalog.migrate().await.expect("migrated");
    catalog.migrate().await.expect("nothing is left to do");

    let report = catalog.fsck().await.expect("fsck");
    assert!(report.broken.is_empty(), "{:#?}", report.broken);
    let buckets = catalog.buckets_of(&alice()).await.expect("read");
    let plain = Bucket {
        versioning: Versioning::Unversioned,
        lock: None,
        ownership: Some(Ownership::BucketOwnerEnforced),
        acl: Acl::default(),
        ..bucket()
    };
    assert_eq!(buckets, [(bucket_name(), plain)]);
    let key = catalog.access_key("AK").await.expect("read").expect("there");
    assert!(key.enabled && key.policy.is_none() && key.sealed_secret == vec![9; 3]);
    let [_, extents_key, upload_key, _] = object_keys();
    let located = catalog.locate(BUCKET, &extents_key).await.expect("there");
    assert_eq!(located.entry, Entry { version: VersionId::NULL, ..entries()[1].clone() });
    let encryption = Encryption::Customer { key_md5: [6; 16] };
    let was = Detail {
        headers: detail().headers,
        user: detail().user,
        checksums: detail().checksums,
        encryption,
        ..Detail::default()
    };
    assert_eq!(located.detail, was);
    let at = (BUCKET, upload_key, MANIFESTS[2]);
    assert_eq!(catalog.upload(&at).await.expect("there"), upload());
    let placeless = |node: &Node| Node { owner: None, region: None, subnet: None, ..node.clone() };
    let known: Vec<(NodeId, Node)> =
        (1..).map(node).zip(nodes()[..2].iter().map(placeless)).collect();
    assert_eq!(catalog.nodes().await.expect("read"), known);
    let used = catalog.admit_node([0xdd; 32], node(9), "n", 1).await;
    assert!(matches!(used, Err(metadata::CatalogError::Invite("used already"))), "{used:?}");
}
