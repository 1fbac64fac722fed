//! Bucket configurations: what the gateway keeps with a bucket and alone understands. They go with the bucket.

use kv::{KeyPrefix, Span, Tx};
use types::{BucketId, BucketName};

use crate::buckets::once_decided;
use crate::commit::check_bucket;
use crate::records::{Bucket, ConfigKind};
use crate::schema::{BUCKET_CONFIGS, BUCKETS};
use crate::walk::Walk;
use crate::{Catalog, CatalogError};

/// The most bytes of one configuration: what the engine takes as a value, less its length.
pub const CONFIG_MAX: usize = kv::VALUE_MAX - 8;
/// Configurations read at a time.
const STEP: usize = 50;

impl Catalog {
    /// The configuration of that kind and name; kinds of which a bucket has only one use the empty name.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn bucket_config(
        &self,
        bucket: BucketId,
        kind: ConfigKind,
        name: &str,
    ) -> Result<Option<Vec<u8>>, CatalogError> {
        let at = (bucket, kind, name.to_owned());
        Ok(BUCKET_CONFIGS.latest(&*self.kv, &at).await?)
    }

    /// Every configuration of that kind, in order of names.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn bucket_configs(
        &self,
        bucket: BucketId,
        kind: ConfigKind,
    ) -> Result<Vec<(String, Vec<u8>)>, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let rows = self.under(&snap, &BUCKET_CONFIGS, &(bucket, kind)).await?;
        Ok(rows.into_iter().map(|((_, _, name), config)| (name, config)).collect())
    }

    /// Sets a configuration, replacing one of the same kind and name.
    ///
    /// # Errors
    /// [`CatalogError::TooLarge`] above [`CONFIG_MAX`] bytes; [`CatalogError::NoSuchBucket`], [`CatalogError::BucketBusy`].
    pub async fn put_bucket_config(
        &self,
        bucket: &(BucketName, BucketId),
        kind: ConfigKind,
        name: &str,
        config: Vec<u8>,
    ) -> Result<(), CatalogError> {
        if config.len() > CONFIG_MAX {
            return Err(CatalogError::TooLarge { what: "bucket configuration", max: CONFIG_MAX });
        }
        let (at, config) = (&(bucket.1, kind, name.to_owned()), &config);
        once_decided(|| {
            kv::transact(&*self.kv, |tx| async move {
                check_bucket(&tx, bucket).await?;
                BUCKET_CONFIGS.put(&tx, at, config);
                Ok::<_, CatalogError>(())
            })
        })
        .await
    }

    /// Takes a configuration away; whether there was one.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchBucket`], [`CatalogError::BucketBusy`].
    pub async fn delete_bucket_config(
        &self,
        bucket: &(BucketName, BucketId),
        kind: ConfigKind,
        name: &str,
    ) -> Result<bool, CatalogError> {
        let at = &(bucket.1, kind, name.to_owned());
        once_decided(|| {
            kv::transact(&*self.kv, |tx| async move {
                check_bucket(&tx, bucket).await?;
                let found = BUCKET_CONFIGS.get_for_update(&tx, at).await?.is_some();
                BUCKET_CONFIGS.delete(&tx, at);
                Ok::<_, CatalogError>(found)
            })
        })
        .await
    }

    /// The buckets that have a configuration of that kind, in order of names: what an upkeep worker goes through.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn buckets_with(
        &self,
        kind: ConfigKind,
    ) -> Result<Vec<(BucketName, Bucket)>, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let (mut found, mut walk) = (Vec::new(), Walk::new(&BUCKETS, &snap, Span::all(), STEP));
        while let Some(page) = walk.next().await? {
            for (name, bucket) in page {
                let of_kind = KeyPrefix::of(&(bucket.id, kind));
                if !BUCKET_CONFIGS.scan(&snap, of_kind, 1).await?.is_empty() {
                    found.push((name, bucket));
                }
            }
        }
        Ok(found)
    }

    /// Forgets every configuration of a bucket that goes in this transaction, in which none can begin. All in one, for a bucket that stays after all
    /// must keep them; only their keys are written, and a bucket has a few thousand at most.
    pub(crate) async fn forget_configs(&self, tx: &Tx, id: BucketId) -> Result<(), CatalogError> {
        let mut span = Span::of(&KeyPrefix::of(&id));
        loop {
            let page = BUCKET_CONFIGS.scan(tx, span.clone(), STEP).await?;
            for (at, _) in &page {
                BUCKET_CONFIGS.delete(tx, at);
            }
            match page.last() {
                Some((last, _)) if page.len() == STEP => span = span.after_key(last),
                _ => return Ok(()),
            }
        }
    }
}
