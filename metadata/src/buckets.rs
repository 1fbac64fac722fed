//! Buckets, and the two-phase deletion that keeps objects out of deleted ones.

use kv::KeyPrefix;
use types::{AccountId, BucketId, BucketName, GeometryName};

use crate::records::{Bucket, BucketState};
use crate::schema::{BUCKETS, BUCKETS_OF, OBJECTS, UPLOADS};
use crate::{Catalog, CatalogError};

impl Catalog {
    /// Makes a bucket.
    ///
    /// # Errors
    /// [`CatalogError::BucketExists`] if `owner` has it already, [`CatalogError::BucketTaken`] if somebody else has.
    pub async fn create_bucket(
        &self,
        name: &BucketName,
        owner: &AccountId,
        geometry: GeometryName,
    ) -> Result<Bucket, CatalogError> {
        let bucket = Bucket {
            id: BucketId::random(),
            owner: owner.clone(),
            created: self.now(),
            geometry,
            state: BucketState::Open,
        };
        let bucket = &bucket;
        kv::transact(&*self.kv, |tx| async move {
            if let Some(present) = BUCKETS.get_for_update(&tx, name).await? {
                return Err(if present.owner == *owner {
                    CatalogError::BucketExists(name.clone())
                } else {
                    CatalogError::BucketTaken(name.clone())
                });
            }
            BUCKETS.put(&tx, name, bucket);
            BUCKETS_OF.put(&tx, &(owner.clone(), name.clone()), &());
            Ok(bucket.clone())
        })
        .await
    }

    /// The bucket of that name.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchBucket`].
    pub async fn bucket(&self, name: &BucketName) -> Result<Bucket, CatalogError> {
        BUCKETS
            .get(&self.kv.snapshot().await?, name)
            .await?
            .ok_or_else(|| CatalogError::NoSuchBucket(name.clone()))
    }

    /// The buckets of `owner` in order of names.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn buckets_of(
        &self,
        owner: &AccountId,
    ) -> Result<Vec<(BucketName, Bucket)>, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let mut found = Vec::new();
        for ((_, name), ()) in self.under(&snap, &BUCKETS_OF, owner).await? {
            if let Some(bucket) = BUCKETS.get(&snap, &name).await? {
                found.push((name, bucket));
            }
        }
        Ok(found)
    }

    /// Deletes an empty bucket.
    ///
    /// Two phases, because no engine is asked to see phantoms: mark the row and commit (from then on every PUT, which reads
    /// the row with `get_shared`, either committed before the mark or fails), look for objects in a fresh snapshot, then delete or unmark.
    /// Uploads under way do not keep a bucket; they are released with it.
    ///
    /// Once marked it goes to its end even if the caller stops waiting: nobody else may decide about the mark.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchBucket`], [`CatalogError::BucketNotEmpty`], [`CatalogError::BucketBusy`] while another deletion looks.
    pub async fn delete_bucket(&self, name: &BucketName) -> Result<(), CatalogError> {
        let seen = self.bucket(name).await?;
        if self.bucket_has_objects(seen.id).await? {
            return Err(CatalogError::BucketNotEmpty(name.clone()));
        }
        let (this, name) = (self.clone(), name.clone());
        let deleting = tokio::spawn(async move { this.mark_and_delete(&name, &seen).await });
        deleting.await.unwrap_or_else(|stopped| {
            Err(CatalogError::Corrupt(format!("a bucket's deletion stopped half-way: {stopped}")))
        })
    }

    async fn mark_and_delete(&self, name: &BucketName, seen: &Bucket) -> Result<(), CatalogError> {
        self.mark_bucket(name, seen.id, BucketState::Open, BucketState::Deleting).await?;
        let deleted = self.delete_if_empty(name, seen).await;
        if deleted.is_err() {
            self.mark_bucket(name, seen.id, BucketState::Deleting, BucketState::Open).await?;
        }
        deleted
    }

    /// Deletes a marked bucket.
    async fn delete_if_empty(
        &self,
        name: &BucketName,
        bucket: &Bucket,
    ) -> Result<(), CatalogError> {
        if self.bucket_has_objects(bucket.id).await? {
            return Err(CatalogError::BucketNotEmpty(name.clone()));
        }
        self.abort_uploads(bucket.id).await?;
        kv::transact(&*self.kv, |tx| async move {
            match BUCKETS.get_for_update(&tx, name).await? {
                Some(present)
                    if present.id == bucket.id && present.state == BucketState::Deleting =>
                {
                    BUCKETS.delete(&tx, name);
                    BUCKETS_OF.delete(&tx, &(bucket.owner.clone(), name.clone()));
                    Ok(())
                }
                _ => Err(CatalogError::NoSuchBucket(name.clone())),
            }
        })
        .await
    }

    /// Aborts all uploads of a marked bucket, in which none can begin.
    async fn abort_uploads(&self, id: BucketId) -> Result<(), CatalogError> {
        loop {
            let left = kv::transact(&*self.kv, |tx| async move {
                let uploads = UPLOADS.scan(&tx, KeyPrefix::of(&id), UPLOADS_PER_STEP).await?;
                for (at, _) in &uploads {
                    self.abort(&tx, at).await?;
                }
                Ok::<_, CatalogError>(uploads.len() == UPLOADS_PER_STEP)
            })
            .await?;
            if !left {
                return Ok(());
            }
        }
    }

    /// Opens buckets again that a crash left marked. Called once at start, before any request.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn unmark_buckets(&self) -> Result<(), CatalogError> {
        for (name, bucket) in self.all(&BUCKETS).await? {
            if bucket.state == BucketState::Deleting {
                self.mark_bucket(&name, bucket.id, BucketState::Deleting, BucketState::Open)
                    .await?;
            }
        }
        Ok(())
    }

    async fn bucket_has_objects(&self, id: BucketId) -> Result<bool, CatalogError> {
        let snap = self.kv.snapshot().await?;
        Ok(!OBJECTS.scan(&snap, KeyPrefix::of(&id), 1).await?.is_empty())
    }

    async fn mark_bucket(
        &self,
        name: &BucketName,
        id: BucketId,
        from: BucketState,
        to: BucketState,
    ) -> Result<(), CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            match BUCKETS.get_for_update(&tx, name).await? {
                Some(bucket) if bucket.id == id && bucket.state == from => {
                    BUCKETS.put(&tx, name, &Bucket { state: to, ..bucket });
                    Ok(())
                }
                Some(bucket) if bucket.id == id => Err(CatalogError::BucketBusy(name.clone())),
                _ => Err(CatalogError::NoSuchBucket(name.clone())),
            }
        })
        .await
    }
}

/// Uploads aborted in one transaction of a bucket's deletion.
const UPLOADS_PER_STEP: usize = 100;

/// A bucket is marked for the time of one scan; a request that meets the mark waits for the decision instead of failing.
const DECISION_WAIT: std::time::Duration = std::time::Duration::from_millis(20);
/// How often it looks: two seconds in all. A bucket that is still marked then stays so until the next start.
const DECISION_LOOKS: u32 = 100;

/// Runs `attempt` again while a DeleteBucket is looking whether the bucket is empty.
pub(crate) async fn once_decided<T, Fut>(attempt: impl Fn() -> Fut) -> Result<T, CatalogError>
where
    Fut: Future<Output = Result<T, CatalogError>>,
{
    for _ in 0..DECISION_LOOKS {
        match attempt().await {
            Err(CatalogError::BucketBusy(_)) => tokio::time::sleep(DECISION_WAIT).await,
            decided => return decided,
        }
    }
    attempt().await
}
