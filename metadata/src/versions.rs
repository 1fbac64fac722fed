//! Versions: which one of a key is meant, and what becomes of the others when one comes or goes.
//!
//! The current version of a key is its row in `object/…`; the others are in `version/…`, the newest first (`docs/decisions/0002`). Whoever
//! changes what versions a key has reads the key's row in `object/…` for update, present or not: so the changes of one key come one after
//! another, and what a transaction scans of its versions is what it finds at its commit.

use kv::{Inverted, KeyPrefix, Reads, Tx};
use types::{BucketId, ObjectKey, Timestamp, VersionId};

use crate::records::{Bucket, Detail, Entry, Lock, Versioning};
use crate::schema::{NULLS, OBJECTS, VERSIONS};
use crate::{Catalog, CatalogError};

/// A key's place.
pub(crate) type ObjectAt = (BucketId, ObjectKey);

/// A version of a key, and whether it is the current one.
pub(crate) struct Picked {
    pub(crate) entry: Entry,
    pub(crate) current: bool,
}

/// The id of a version that is written now.
pub(crate) fn new_version(bucket: &Bucket, modified: Timestamp) -> VersionId {
    match bucket.versioning {
        Versioning::Enabled => VersionId::at(modified),
        Versioning::Unversioned | Versioning::Suspended => VersionId::NULL,
    }
}

/// The version of a key that is asked for, if it is there; `present` is the current one.
pub(crate) async fn pick<R: Reads + ?Sized>(
    reads: &R,
    at: &ObjectAt,
    version: VersionId,
    present: Option<Entry>,
) -> Result<Option<Picked>, CatalogError> {
    if let Some(entry) = present.filter(|entry| entry.version == version) {
        return Ok(Some(Picked { entry, current: true }));
    }
    let time = match version.time() {
        Some(time) => time,
        None => match NULLS.get(reads, at).await? {
            Some(time) => time,
            None => return Ok(None),
        },
    };
    let entry = VERSIONS.get(reads, &row(at, time)).await?;
    let entry = entry.filter(|entry| entry.version == version);
    Ok(entry.map(|entry| Picked { entry, current: false }))
}

impl Catalog {
    /// Makes room for a new current version: keeps the present one as an older one, or releases what it takes the place of, as the bucket's
    /// versioning says. What was released.
    pub(crate) async fn supersede(
        &self,
        tx: &Tx,
        bucket: &Bucket,
        at: &ObjectAt,
        present: Option<Entry>,
    ) -> Result<Option<Entry>, CatalogError> {
        let is_null = |entry: &Entry| entry.version == VersionId::NULL;
        let keeps_null = bucket.versioning == Versioning::Enabled;
        match present {
            Some(present) if is_null(&present) && !keeps_null => {
                self.release(tx, bucket, &present).await?;
                Ok(Some(present))
            }
            present => {
                let replaced =
                    if keeps_null { None } else { self.drop_null(tx, bucket, at).await? };
                if let Some(present) = &present {
                    set_aside(tx, at, present);
                }
                Ok(replaced)
            }
        }
    }

    /// Takes away the version `null` of a key, which is not the current one, if there is one.
    async fn drop_null(
        &self,
        tx: &Tx,
        bucket: &Bucket,
        at: &ObjectAt,
    ) -> Result<Option<Entry>, CatalogError> {
        let Some(picked) = pick(tx, at, VersionId::NULL, None).await? else { return Ok(None) };
        self.drop_older(tx, bucket, at, &picked.entry).await?;
        Ok(Some(picked.entry))
    }

    /// Takes away a version that is not the current one.
    pub(crate) async fn drop_older(
        &self,
        tx: &Tx,
        bucket: &Bucket,
        at: &ObjectAt,
        entry: &Entry,
    ) -> Result<(), CatalogError> {
        forget_older(tx, at, entry);
        self.release(tx, bucket, entry).await
    }

    /// Takes away the current version; the newest of the others, if there is one, takes its place.
    pub(crate) async fn drop_current(
        &self,
        tx: &Tx,
        bucket: &Bucket,
        at: &ObjectAt,
        entry: &Entry,
    ) -> Result<(), CatalogError> {
        self.release(tx, bucket, entry).await?;
        match VERSIONS.scan(tx, KeyPrefix::of(at), 1).await?.pop() {
            Some((_, next)) => {
                forget_older(tx, at, &next);
                OBJECTS.put(tx, at, &next);
            }
            None => OBJECTS.delete(tx, at),
        }
        Ok(())
    }

    /// What a new version is protected by: what its writer says, or else the bucket's default.
    pub(crate) fn locked_by_default(
        &self,
        bucket: &Bucket,
        detail: Detail,
    ) -> Result<Detail, CatalogError> {
        let Some(lock) = bucket.lock else {
            let free = detail.lock == Lock::default();
            return if free { Ok(detail) } else { Err(CatalogError::NotLockable) };
        };
        let default = || lock.default.map(|default| default.from(self.now()));
        let retention = detail.lock.retention.or_else(default);
        Ok(Detail { lock: Lock { retention, ..detail.lock }, ..detail })
    }
}

/// The time of a replica, if there is room for it among the versions of its key.
///
/// # Errors
/// [`CatalogError::PreconditionFailed`] if it is there already, its place is taken, or the bucket does not keep versions.
pub(crate) async fn replica_time(
    tx: &Tx,
    bucket: &Bucket,
    at: &ObjectAt,
    version: VersionId,
    present: Option<&Entry>,
) -> Result<Timestamp, CatalogError> {
    let time = version.time().ok_or(CatalogError::PreconditionFailed)?;
    let taken = present.is_some_and(|present| present.modified == time)
        || VERSIONS.get_for_update(tx, &row(at, time)).await?.is_some();
    if taken || bucket.versioning != Versioning::Enabled {
        return Err(CatalogError::PreconditionFailed);
    }
    Ok(time)
}

/// Puts a replica where it belongs in time: it may be older than the current version.
pub(crate) fn put_replica(tx: &Tx, at: &ObjectAt, present: Option<Entry>, replica: &Entry) {
    match present {
        Some(present) if present.modified > replica.modified => {
            VERSIONS.put(tx, &row(at, replica.modified), replica);
        }
        present => {
            if let Some(present) = &present {
                set_aside(tx, at, present);
            }
            OBJECTS.put(tx, at, replica);
        }
    }
}

/// Keeps what was the current version as an older one.
fn set_aside(tx: &Tx, at: &ObjectAt, entry: &Entry) {
    VERSIONS.put(tx, &row(at, entry.modified), entry);
    if entry.version == VersionId::NULL {
        NULLS.put(tx, at, &entry.modified);
    }
}

/// Removes the rows of an older version, and nothing behind them.
fn forget_older(tx: &Tx, at: &ObjectAt, entry: &Entry) {
    VERSIONS.delete(tx, &row(at, entry.modified));
    if entry.version == VersionId::NULL {
        NULLS.delete(tx, at);
    }
}

fn row((bucket, key): &ObjectAt, time: Timestamp) -> (BucketId, ObjectKey, Inverted) {
    (*bucket, key.clone(), Inverted(time.0))
}
