//! Deletions. What a bucket's versioning makes of one:
//!
//! | | without a version id | with one |
//! |---|---|---|
//! | unversioned | the object goes | only `null` is there to go |
//! | enabled | a delete marker becomes the current version | that version goes |
//! | suspended | the version `null` goes, a delete marker `null` becomes the current version | that version goes |
//!
//! Object lock is looked at in the same transaction: a version it protects does not go.

use kv::{Inverted, KeyPrefix, KvError, Tx};
use types::{BucketId, BucketName, ManifestId, ObjectKey, Timestamp, VersionId};

use crate::buckets::once_decided;
use crate::commit::check_bucket;
use crate::records::{Body, Bucket, Entry, Etag, Versioning};
use crate::schema::{DETAILS, OBJECTS, VERSIONS};
use crate::versions::{ObjectAt, new_version, pick, put_replica, replica_time};
use crate::{Catalog, CatalogError, Preconditions, Sequel};

/// One deletion.
#[derive(Clone, Debug)]
pub struct Delete {
    /// The key.
    pub key: ObjectKey,
    /// The version; `None` deletes the key.
    pub version: Option<VersionId>,
    /// What must hold of the version, or of the key's current one.
    pub preconditions: Preconditions,
    /// Whether a governance retention is to be ignored, which the caller must be allowed to.
    pub bypass: bool,
    /// What it leaves to do.
    pub sequel: Sequel<Deleted>,
}

/// What a deletion did. Nothing at all, if there was nothing to delete.
#[derive(Clone, Debug, Default)]
pub struct Deleted {
    /// The delete marker that it made, or the version that was named.
    pub version: Option<VersionId>,
    /// Whether it made or removed a delete marker.
    pub marker: bool,
    /// The version that is gone.
    pub gone: Option<Entry>,
}

/// A version as upkeep saw it when it decided that it goes. Each of these facts is looked at again in the transaction that takes it away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Under which id its bytes are.
    pub manifest: ManifestId,
    /// When it was written, or appended to last.
    pub modified: Timestamp,
    /// Its tags, if they mattered.
    pub tags: Option<Vec<(String, String)>>,
    /// Its place among the versions of its key.
    pub rank: Rank,
}

/// The place of a version among those of its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rank {
    /// The current one.
    Current,
    /// An older one.
    Older {
        /// When the next newer one was written.
        since: Timestamp,
        /// How many newer ones are not current either.
        newer: u32,
    },
    /// The current one and the only one: a delete marker with nothing behind it.
    Alone,
}

/// More newer versions than this are not counted again: no rule keeps more (AWS allows 100).
const NEWER_COUNTED: u32 = 100;

impl Seen {
    /// Whether this is the version, as far as its row tells.
    pub(crate) fn is(&self, entry: &Entry) -> bool {
        self.manifest == entry.manifest && self.modified == entry.modified
    }
}

/// Deletions in one transaction: even if each takes a thousand wraps along, they fit. What they leave to do may be more than that; then they are divided.
pub const DELETES_AT_ONCE: usize = 16;

impl Delete {
    /// Deletes a key, whatever it is now.
    #[must_use]
    pub fn of(key: ObjectKey) -> Self {
        Self {
            key,
            version: None,
            preconditions: Preconditions::default(),
            bypass: false,
            sequel: Sequel::default(),
        }
    }
}

impl Catalog {
    /// Deletes a key or one of its versions.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchBucket`], [`CatalogError::BucketBusy`]; [`CatalogError::PreconditionFailed`], [`CatalogError::NoSuchKey`] (only
    /// if a condition needs an object); [`CatalogError::Locked`].
    pub async fn delete_object(
        &self,
        bucket: &(BucketName, BucketId),
        delete: &Delete,
    ) -> Result<Deleted, CatalogError> {
        let mut results = self.delete_objects(bucket, std::slice::from_ref(delete)).await?;
        results.pop().unwrap_or_else(|| Ok(Deleted::default()))
    }

    /// Deletes several, one after another and each for itself: one that is refused does not keep the others. In one transaction if they fit, as up to
    /// [`DELETES_AT_ONCE`] do as a rule, else in several.
    ///
    /// # Errors
    /// What concerns all of them, after which some may be deleted; in the results, what [`Self::delete_object`] is refused for.
    pub async fn delete_objects(
        &self,
        bucket: &(BucketName, BucketId),
        deletes: &[Delete],
    ) -> Result<Vec<Result<Deleted, CatalogError>>, CatalogError> {
        let mut results = Vec::with_capacity(deletes.len());
        let (mut rest, mut step) = (deletes, deletes.len());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(step.min(rest.len()));
            match self.delete_some(bucket, now).await {
                Err(CatalogError::Kv(KvError::TransactionTooLarge)) if now.len() > 1 => {
                    step = now.len().div_ceil(2);
                }
                deleted => {
                    results.extend(deleted?);
                    rest = later;
                }
            }
        }
        Ok(results)
    }

    /// Deletes several in one transaction.
    async fn delete_some(
        &self,
        bucket: &(BucketName, BucketId),
        deletes: &[Delete],
    ) -> Result<Vec<Result<Deleted, CatalogError>>, CatalogError> {
        let results = once_decided(|| {
            kv::transact(&*self.kv, |tx| async move {
                let row = check_bucket(&tx, bucket).await?;
                let mut results = Vec::with_capacity(deletes.len());
                for delete in deletes {
                    match self.delete(&tx, &row, delete).await {
                        Err(refused) if !is_refusal(&refused) => return Err(refused),
                        result => {
                            if let Ok(deleted) = &result {
                                delete.sequel.write(&tx, deleted);
                            }
                            results.push(result);
                        }
                    }
                }
                Ok(results)
            })
        })
        .await?;
        for deleted in results.iter().flatten() {
            self.forget_wraps(deleted.gone.as_ref()).await;
        }
        Ok(results)
    }

    /// Makes the delete marker of another bucket's key one of this bucket's, with its id and its place in time.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchBucket`], [`CatalogError::BucketBusy`]; [`CatalogError::PreconditionFailed`] if it is there already, its place is
    /// taken, or the bucket does not keep versions.
    pub async fn replicate_marker(
        &self,
        bucket: &(BucketName, BucketId),
        key: &ObjectKey,
        version: VersionId,
    ) -> Result<(), CatalogError> {
        let at = &(bucket.1, key.clone());
        once_decided(|| {
            kv::transact(&*self.kv, |tx| async move {
                let row = check_bucket(&tx, bucket).await?;
                let present = OBJECTS.get_for_update(&tx, at).await?;
                let time = replica_time(&tx, &row, at, version, present.as_ref()).await?;
                put_replica(&tx, at, present, &marker(&row, version, time));
                Ok(())
            })
        })
        .await
    }

    /// One deletion. Writes nothing if it is refused.
    async fn delete(
        &self,
        tx: &Tx,
        bucket: &Bucket,
        delete: &Delete,
    ) -> Result<Deleted, CatalogError> {
        let at = (bucket.id, delete.key.clone());
        let present = OBJECTS.get_for_update(tx, &at).await?;
        match delete.version {
            Some(version) => self.delete_version(tx, bucket, &at, version, present, delete).await,
            None => {
                delete.preconditions.check_delete(present.as_ref())?;
                if let (Some(seen), Some(entry)) = (&delete.preconditions.seen, &present) {
                    check_seen(tx, &at, seen, entry, present.as_ref()).await?;
                }
                self.delete_key(tx, bucket, &at, present).await
            }
        }
    }

    async fn delete_version(
        &self,
        tx: &Tx,
        bucket: &Bucket,
        at: &ObjectAt,
        version: VersionId,
        present: Option<Entry>,
        delete: &Delete,
    ) -> Result<Deleted, CatalogError> {
        let named = Deleted { version: Some(version), ..Deleted::default() };
        let Some(picked) = pick(tx, at, version, present.clone()).await? else {
            delete.preconditions.check_delete(None)?;
            return Ok(named);
        };
        let entry = picked.entry;
        delete.preconditions.check_delete(Some(&entry))?;
        if let Some(seen) = &delete.preconditions.seen {
            check_seen(tx, at, seen, &entry, present.as_ref()).await?;
        }
        self.check_lock(tx, bucket, &entry, delete.bypass).await?;
        if picked.current {
            self.drop_current(tx, bucket, at, &entry).await?;
        } else {
            self.drop_older(tx, bucket, at, &entry).await?;
        }
        Ok(Deleted { marker: entry.is_delete_marker(), gone: Some(entry), ..named })
    }

    async fn delete_key(
        &self,
        tx: &Tx,
        bucket: &Bucket,
        at: &ObjectAt,
        present: Option<Entry>,
    ) -> Result<Deleted, CatalogError> {
        if bucket.versioning == Versioning::Unversioned {
            if let Some(entry) = &present {
                self.drop_current(tx, bucket, at, entry).await?;
            }
            return Ok(Deleted { gone: present, ..Deleted::default() });
        }
        let modified = self.after(present.as_ref());
        let marker = marker(bucket, new_version(bucket, modified), modified);
        let gone = self.supersede(tx, bucket, at, present).await?;
        OBJECTS.put(tx, at, &marker);
        Ok(Deleted { version: Some(marker.version), marker: true, gone })
    }

    /// Object lock: whether a version may go. Its detail is claimed, so that a lock that is put on it this moment is seen or refused.
    async fn check_lock(
        &self,
        tx: &Tx,
        bucket: &Bucket,
        entry: &Entry,
        bypass: bool,
    ) -> Result<(), CatalogError> {
        if bucket.lock.is_none() {
            return Ok(());
        }
        let detail = DETAILS.get_for_update(tx, &entry.manifest).await?;
        if detail.is_some_and(|detail| detail.lock.holds(self.now(), bypass)) {
            return Err(CatalogError::Locked);
        }
        Ok(())
    }
}

/// Whether a version is in the place in which it was seen, and has the tags that it had. The key's row is claimed already, so none of its
/// versions comes or goes meanwhile.
async fn check_seen(
    tx: &Tx,
    at: &ObjectAt,
    seen: &Seen,
    entry: &Entry,
    present: Option<&Entry>,
) -> Result<(), CatalogError> {
    let is_current = present.is_some_and(|present| present.manifest == entry.manifest);
    let in_place = match seen.rank {
        Rank::Current => is_current,
        Rank::Alone => is_current && VERSIONS.scan(tx, KeyPrefix::of(at), 1).await?.is_empty(),
        Rank::Older { since, newer } => {
            let wanted = newer.min(NEWER_COUNTED) as usize;
            let newest = VERSIONS.scan(tx, KeyPrefix::of(at), wanted.max(1)).await?;
            let counted = newest.iter().filter(|(_, other)| other.modified > entry.modified);
            let next = (at.0, at.1.clone(), Inverted(since.0));
            let replaced = present.is_some_and(|present| present.modified == since)
                || VERSIONS.get_for_update(tx, &next).await?.is_some();
            !is_current && replaced && counted.count() >= wanted
        }
    };
    let same_tags = match &seen.tags {
        Some(tags) => {
            let detail = DETAILS.get_for_update(tx, &entry.manifest).await?;
            detail.is_some_and(|detail| detail.tags == *tags)
        }
        None => true,
    };
    if in_place && same_tags { Ok(()) } else { Err(CatalogError::PreconditionFailed) }
}

fn marker(bucket: &Bucket, version: VersionId, modified: Timestamp) -> Entry {
    Entry {
        version,
        manifest: ManifestId::random(),
        modified,
        size: 0,
        etag: Etag { md5: [0; 16], parts: 0 },
        geometry: bucket.geometry,
        class: None,
        owner: None,
        checksum: None,
        body: Body::DeleteMarker,
    }
}

/// Whether an error is the answer to one deletion, and not the transaction's.
fn is_refusal(error: &CatalogError) -> bool {
    matches!(
        error,
        CatalogError::PreconditionFailed | CatalogError::NoSuchKey | CatalogError::Locked
    )
}
