//! Renaming: an object gets another key in its bucket. Only its row moves; manifest, detail and bytes are not touched.

use std::time::Duration;

use kv::{KeyPrefix, Span, Tx};
use serde::{Deserialize, Serialize};
use types::{BucketId, BucketName, ObjectKey, Timestamp};

use crate::buckets::once_decided;
use crate::commit::check_bucket;
use crate::records::{Bucket, Entry, Versioning};
use crate::schema::{OBJECTS, RENAMES};
use crate::{Catalog, CatalogError, Sequel};

/// How long a token stands for the renaming it was sent with.
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 3600);
/// Rows of other tokens looked at whenever one is written: those whose time is over go. More go so than come.
const TIDIED: usize = 4;
/// Rows forgotten in one transaction, with their bucket: however long the tokens are.
const STEP: usize = 100;

const _: () = assert!(STEP * kv::KEY_MAX < kv::TRANSACTION_MAX);

/// A renaming that is wanted.
#[derive(Clone, Debug)]
pub struct Rename {
    /// The present key.
    pub source: ObjectKey,
    /// The new one.
    pub target: ObjectKey,
    /// By what the client knows this request again when it sends it once more.
    pub token: Option<String>,
    /// What it leaves to do: told of the object under its new key.
    pub sequel: Sequel<Entry>,
}

/// A renaming that was done, under the token of its request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Renamed {
    /// The key before.
    pub source: ObjectKey,
    /// The key since.
    pub target: ObjectKey,
    /// When.
    pub at: Timestamp,
}

impl Catalog {
    /// Renames an object, replacing one of the new name. `check` is shown what is there under both names, the present one first; it may run
    /// several times. A renaming that went through under the same token is not done again.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchBucket`], [`CatalogError::BucketBusy`]; [`CatalogError::Versioned`]; [`CatalogError::NoSuchKey`];
    /// [`CatalogError::OtherRequest`] if the token stands for another renaming; what `check` refuses.
    pub async fn rename_object(
        &self,
        bucket: &(BucketName, BucketId),
        rename: &Rename,
        check: impl Fn(&Entry, Option<&Entry>) -> Result<(), CatalogError> + Send + Sync,
    ) -> Result<(), CatalogError> {
        let check = &check;
        let replaced = once_decided(|| {
            kv::transact(&*self.kv, |tx| async move {
                let row = check_bucket(&tx, bucket).await?;
                if row.versioning != Versioning::Unversioned {
                    return Err(CatalogError::Versioned);
                }
                if self.done_before(&tx, bucket.1, rename).await? {
                    return Ok(None);
                }
                self.rename(&tx, &row, rename, check).await
            })
        })
        .await?;
        self.forget_wraps(replaced.as_ref()).await;
        Ok(())
    }

    async fn rename(
        &self,
        tx: &Tx,
        row: &Bucket,
        rename: &Rename,
        check: &(impl Fn(&Entry, Option<&Entry>) -> Result<(), CatalogError> + Sync),
    ) -> Result<Option<Entry>, CatalogError> {
        let bucket = row.id;
        let (from, to) = ((bucket, rename.source.clone()), (bucket, rename.target.clone()));
        // Claimed in the order of keys, so that two renamings that cross wait instead of blocking each other.
        let (source, target) = if from.1 <= to.1 {
            let source = OBJECTS.get_for_update(tx, &from).await?;
            (source, OBJECTS.get_for_update(tx, &to).await?)
        } else {
            let target = OBJECTS.get_for_update(tx, &to).await?;
            (OBJECTS.get_for_update(tx, &from).await?, target)
        };
        let source = source.ok_or(CatalogError::NoSuchKey)?.with_bytes(false)?;
        check(&source, target.as_ref())?;
        if let Some(target) = &target {
            self.release(tx, row, target).await?;
        }
        // It keeps its time, unless that would make it older than what it replaces.
        let floor = target.as_ref().map_or(0, |entry| entry.modified.0.saturating_add(1));
        let modified = Timestamp(source.modified.0.max(floor));
        OBJECTS.delete(tx, &from);
        let renamed = Entry { modified, ..source };
        OBJECTS.put(tx, &to, &renamed);
        rename.sequel.write(tx, &renamed);
        self.remember(tx, bucket, rename).await?;
        Ok(target)
    }

    /// Whether this very renaming was done already.
    async fn done_before(
        &self,
        tx: &Tx,
        bucket: BucketId,
        rename: &Rename,
    ) -> Result<bool, CatalogError> {
        let Some(token) = &rename.token else { return Ok(false) };
        let done = RENAMES.get_for_update(tx, &(bucket, token.clone())).await?;
        let Some(done) = done.filter(|done| !self.is_over(done)) else { return Ok(false) };
        if done.source == rename.source && done.target == rename.target {
            Ok(true)
        } else {
            Err(CatalogError::OtherRequest)
        }
    }

    async fn remember(
        &self,
        tx: &Tx,
        bucket: BucketId,
        rename: &Rename,
    ) -> Result<(), CatalogError> {
        let Some(token) = &rename.token else { return Ok(()) };
        let (source, target) = (rename.source.clone(), rename.target.clone());
        let at = (bucket, token.clone());
        let behind = Span::of(&KeyPrefix::of(&bucket)).after_key(&at);
        let mut others = RENAMES.scan(tx, behind, TIDIED).await?;
        if others.len() < TIDIED {
            // Tokens that only ever grow leave nothing behind the newest.
            let all = Span::of(&KeyPrefix::of(&bucket));
            others.extend(RENAMES.scan(tx, all, TIDIED).await?);
        }
        for (other, done) in others {
            if self.is_over(&done) {
                RENAMES.delete(tx, &other);
            }
        }
        RENAMES.put(tx, &at, &Renamed { source, target, at: self.now() });
        Ok(())
    }

    fn is_over(&self, done: &Renamed) -> bool {
        done.at.plus(REMEMBERED_FOR) < self.now()
    }

    /// Forgets the tokens of a bucket that is marked to go, in which none can be added.
    pub(crate) async fn forget_renames(&self, id: BucketId) -> Result<(), CatalogError> {
        loop {
            let last = kv::transact(&*self.kv, |tx| async move {
                let page = RENAMES.scan(&tx, KeyPrefix::of(&id), STEP).await?;
                for (at, _) in &page {
                    RENAMES.delete(&tx, at);
                }
                Ok::<_, CatalogError>(page.len() < STEP)
            })
            .await?;
            if last {
                return Ok(());
            }
        }
    }
}
