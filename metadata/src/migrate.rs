//! How the rows of older formats become those of today. Each row type of the past is kept here, in the form it was stored in, with the way
//! to its successor.
//!
//! A table is emptied into its successor in small transactions, each of which moves some rows whole: a crash between two of them leaves a
//! catalog that the next start goes on with. Nothing else runs before the last row has moved.

use kv::{Family, KeyCodec, KeyPrefix, Table};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use types::{
    AccountId, BucketId, BucketName, GeometryName, ManifestId, NodeId, ObjectKey, Timestamp,
    VersionId,
};

use crate::records::{
    AccessKey, Acl, Bucket, BucketState, Checksum, ChecksumAlgorithm, ContentHeaders, Detail,
    Encryption, Entry, Invite, Lock, Node, NodeState, Ownership, Upload, Versioning,
};
use crate::schema::{ACCESS_KEYS, BUCKETS, DETAILS, INVITES, NODES, OBJECTS, UPLOADS};
use crate::{Catalog, CatalogError};

/// Rows moved in one transaction at most.
const STEP: usize = 100;
/// Bytes that moving one row writes at most: its new form, and its key twice.
const ROW_MAX: usize = kv::VALUE_MAX + 2 * kv::KEY_MAX;

const _: () = assert!(ROW_MAX < kv::TRANSACTION_MAX);

const MAIN: Family = Family::MAIN;
const ACCESS_KEYS_1: Table<String, AccessKey1> = Table::new(MAIN, "access-key/1");
const BUCKETS_1: Table<BucketName, Bucket1> = Table::new(MAIN, "bucket/1");
const DETAILS_1: Table<ManifestId, Detail1> = Table::new(MAIN, "detail/1");
const INVITES_1: Table<[u8; 32], Invite1> = Table::new(MAIN, "invite/1");
const NODES_1: Table<NodeId, Node1> = Table::new(MAIN, "node/1");
const OBJECTS_1: Table<(BucketId, ObjectKey), Entry> = Table::new(MAIN, "object/1");
const UPLOADS_1: Table<(BucketId, ObjectKey, ManifestId), Upload1> = Table::new(MAIN, "upload/1");

impl Catalog {
    /// Brings every row to today's format. Called once at start, before anything else.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn migrate(&self) -> Result<(), CatalogError> {
        self.move_rows(&ACCESS_KEYS_1, &ACCESS_KEYS, AccessKey1::next).await?;
        self.move_rows(&BUCKETS_1, &BUCKETS, Bucket1::next).await?;
        self.move_rows(&DETAILS_1, &DETAILS, Detail1::next).await?;
        self.move_rows(&INVITES_1, &INVITES, Invite1::next).await?;
        self.move_rows(&NODES_1, &NODES, Node1::next).await?;
        // Ids were random and never shown while there was but one version: `null`.
        let unnamed = |entry| Entry { version: VersionId::NULL, ..entry };
        self.move_rows(&OBJECTS_1, &OBJECTS, unnamed).await?;
        self.move_rows(&UPLOADS_1, &UPLOADS, Upload1::next).await
    }

    async fn move_rows<K, V, W>(
        &self,
        from: &Table<K, V>,
        to: &Table<K, W>,
        next: impl Fn(V) -> W + Send + Sync,
    ) -> Result<(), CatalogError>
    where
        K: KeyCodec + Send + Sync,
        V: Serialize + DeserializeOwned + Send,
        W: Serialize + DeserializeOwned + Send + Sync,
    {
        let (next, mut moved) = (&next, 0);
        loop {
            let (count, last) = kv::transact(&*self.kv, |tx| async move {
                let rows = from.scan(&tx, KeyPrefix::new(), STEP).await?;
                let (found, mut count) = (rows.len(), 0);
                for (key, row) in rows {
                    if tx.room() < ROW_MAX {
                        break;
                    }
                    to.put(&tx, &key, &next(row));
                    from.delete(&tx, &key);
                    count += 1;
                }
                Ok::<_, CatalogError>((count, count == found && found < STEP))
            })
            .await?;
            moved += count;
            if last {
                break;
            }
        }
        if moved > 0 {
            tracing::info!(rows = moved, from = from.name(), to = to.name(), "rows migrated");
        }
        Ok(())
    }
}

/// `access-key/1`.
#[derive(Serialize, Deserialize)]
struct AccessKey1 {
    account: AccountId,
    sealed_secret: Vec<u8>,
    created: Timestamp,
}

impl AccessKey1 {
    fn next(self) -> AccessKey {
        AccessKey {
            account: self.account,
            sealed_secret: self.sealed_secret,
            created: self.created,
            name: String::new(),
            policy: None,
            expires: None,
            enabled: true,
            session: None,
        }
    }
}

/// `bucket/1`.
#[derive(Serialize, Deserialize)]
struct Bucket1 {
    id: BucketId,
    owner: AccountId,
    created: Timestamp,
    geometry: GeometryName,
    state: BucketState,
}

impl Bucket1 {
    fn next(self) -> Bucket {
        Bucket {
            id: self.id,
            owner: self.owner,
            created: self.created,
            geometry: self.geometry,
            state: self.state,
            versioning: Versioning::Unversioned,
            lock: None,
            ownership: Some(Ownership::BucketOwnerEnforced),
            acl: Acl::default(),
        }
    }
}

/// `detail/1`. Content headers, checksums and encryption are as they were, save for new variants.
#[derive(Serialize, Deserialize)]
struct Detail1 {
    headers: ContentHeaders,
    user: Vec<(String, String)>,
    checksums: Vec<Checksum>,
    encryption: Encryption,
}

impl Detail1 {
    fn next(self) -> Detail {
        Detail {
            headers: self.headers,
            user: self.user,
            checksums: self.checksums,
            encryption: self.encryption,
            tags: Vec::new(),
            acl: None,
            lock: Lock::default(),
            restore: None,
            replication: None,
        }
    }
}

/// `upload/1`.
#[derive(Serialize, Deserialize)]
struct Upload1 {
    initiated: Timestamp,
    owner: Option<AccountId>,
    geometry: GeometryName,
    class: Option<String>,
    detail: Detail1,
    checksum: Option<(ChecksumAlgorithm, bool)>,
}

impl Upload1 {
    fn next(self) -> Upload {
        Upload {
            initiated: self.initiated,
            owner: self.owner,
            geometry: self.geometry,
            class: self.class,
            detail: self.detail.next(),
            checksum: self.checksum,
        }
    }
}

/// `invite/1`.
#[derive(Serialize, Deserialize)]
struct Invite1 {
    created: Timestamp,
    expires: Timestamp,
    used_by: Option<NodeId>,
    revoked: bool,
}

impl Invite1 {
    fn next(self) -> Invite {
        Invite {
            created: self.created,
            expires: self.expires,
            used_by: self.used_by,
            revoked: self.revoked,
            owner: None,
            region: None,
        }
    }
}

/// `node/1`. The state is as it was, save for a new variant.
#[derive(Serialize, Deserialize)]
struct Node1 {
    name: String,
    capacity: u64,
    joined: Timestamp,
    last_seen: Timestamp,
    state: NodeState,
}

impl Node1 {
    fn next(self) -> Node {
        Node {
            name: self.name,
            capacity: self.capacity,
            joined: self.joined,
            last_seen: self.last_seen,
            state: self.state,
            owner: None,
            region: None,
            subnet: None,
        }
    }
}
