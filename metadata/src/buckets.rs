//! Buckets, and the two-phase deletion that keeps objects out of deleted ones.

use kv::KeyPrefix;
use types::{AccountId, BucketId, BucketName, GeometryName};

use crate::records::{Acl, Bucket, BucketLock, BucketState, Ownership, Versioning};
use crate::schema::{BUCKETS, BUCKETS_OF, OBJECTS, UPLOADS, VERSIONS};
use crate::{Catalog, CatalogError};

/// What a new bucket is like.
#[derive(Clone, Debug)]
pub struct NewBucket {
    /// The geometry of its `STANDARD` storage class.
    pub geometry: GeometryName,
    /// Whether it keeps older versions.
    pub versioning: Versioning,
    /// Object lock, if it is enabled.
    pub lock: Option<BucketLock>,
    /// Who owns what others write, if anything is said of it.
    pub ownership: Option<Ownership>,
    /// Who may do what beside the owner.
    pub acl: Acl,
}

impl NewBucket {
    /// A private bucket without versions.
    #[must_use]
    pub fn plain(geometry: GeometryName) -> Self {
        Self {
            geometry,
            versioning: Versioning::default(),
            lock: None,
            ownership: None,
            acl: Acl::default(),
        }
    }
}

impl Catalog {
    /// Makes a bucket.
    ///
    /// # Errors
    /// [`CatalogError::BucketExists`] if `owner` has it already, [`CatalogError::BucketTaken`] if somebody else has.
    pub async fn create_bucket(
        &self,
        name: &BucketName,
        owner: &AccountId,
        new: NewBucket,
    ) -> Result<Bucket, CatalogError> {
        let bucket = Bucket {
            id: BucketId::random(),
            owner: owner.clone(),
            created: self.now(),
            geometry: new.geometry,
            state: BucketState::Open,
            versioning: new.versioning,
            lock: new.lock,
            ownership: new.ownership,
            acl: new.acl,
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
            .latest(&*self.kv, name)
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

    /// Changes the row of a bucket: every commit that began before and has not ended sees the change or is repeated. `change` may run
    /// several times; the bucket as it is afterwards.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchBucket`], [`CatalogError::BucketBusy`]; what `change` refuses.
    pub async fn change_bucket(
        &self,
        (name, id): &(BucketName, BucketId),
        change: impl Fn(&mut Bucket) -> Result<(), CatalogError> + Send + Sync,
    ) -> Result<Bucket, CatalogError> {
        let change = &change;
        once_decided(|| {
            kv::transact(&*self.kv, |tx| async move {
                let mut bucket = match BUCKETS.get_for_update(&tx, name).await? {
                    Some(bucket) if bucket.id == *id => bucket,
                    _ => return Err(CatalogError::NoSuchBucket(name.clone())),
                };
                if bucket.state == BucketState::Deleting {
                    return Err(CatalogError::BucketBusy(name.clone()));
                }
                change(&mut bucket)?;
                BUCKETS.put(&tx, name, &bucket);
                Ok(bucket)
            })
        })
        .await
    }

    /// Deletes an empty bucket: that one, not another of its name that was made meanwhile.
    ///
    /// Two phases, because no engine is asked to see phantoms: mark the row and commit (from then on every PUT, which reads
    /// the row with `get_shared`, either committed before the mark or fails), look for objects in a fresh snapshot, then delete or unmark.
    /// Uploads under way do not keep a bucket; they are released with it.
    ///
    /// Once marked it goes to its end even if the caller stops waiting: nobody else may decide about the mark.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchBucket`], [`CatalogError::BucketNotEmpty`], [`CatalogError::BucketBusy`] while another deletion looks.
    pub async fn delete_bucket(
        &self,
        (name, id): &(BucketName, BucketId),
    ) -> Result<(), CatalogError> {
        let seen = self.bucket(name).await?;
        if seen.id != *id {
            return Err(CatalogError::NoSuchBucket(name.clone()));
        }
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
        self.forget_renames(bucket.id).await?;
        kv::transact(&*self.kv, |tx| async move {
            match BUCKETS.get_for_update(&tx, name).await? {
                Some(present)
                    if present.id == bucket.id && present.state == BucketState::Deleting =>
                {
                    BUCKETS.delete(&tx, name);
                    BUCKETS_OF.delete(&tx, &(bucket.owner.clone(), name.clone()));
                    self.forget_configs(&tx, bucket.id).await
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
        let here = KeyPrefix::of(&id);
        Ok(!OBJECTS.scan(&snap, here.clone(), 1).await?.is_empty()
            || !VERSIONS.scan(&snap, here, 1).await?.is_empty())
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
