//! What of a version can change after it was written: its tags, its access control list, its lock, and what upkeep notes of it.

use kv::Tx;
use types::{BucketId, BucketName, ObjectKey, VersionId};

use crate::buckets::once_decided;
use crate::commit::check_bucket;
use crate::records::{Bucket, Detail, Entry, LockMode, Retention};
use crate::schema::{DETAILS, OBJECTS};
use crate::versions::pick;
use crate::{Catalog, CatalogError, Sequel};

/// A version whose detail was changed.
#[derive(Clone, Debug)]
pub struct Changed {
    /// Its row.
    pub entry: Entry,
    /// Its detail as it is now.
    pub detail: Detail,
}

impl Catalog {
    /// Changes the detail of a version (of the current one without an id), in place. `change` may run several times; the version's row.
    ///
    /// A lock is changed by [`Self::put_retention`] and [`Self::put_legal_hold`] alone: what `change` makes of it is not kept.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchBucket`], [`CatalogError::BucketBusy`]; [`CatalogError::NoSuchKey`], [`CatalogError::NoSuchVersion`],
    /// [`CatalogError::DeleteMarker`]; what `change` refuses.
    pub async fn change_detail(
        &self,
        bucket: &(BucketName, BucketId),
        key: &ObjectKey,
        version: Option<VersionId>,
        change: impl Fn(&Entry, &mut Detail) -> Result<(), CatalogError> + Send + Sync,
    ) -> Result<Entry, CatalogError> {
        self.change_detail_then(bucket, key, version, change, &Sequel::default()).await
    }

    /// As [`Self::change_detail`], and queues what that leaves to do.
    ///
    /// # Errors
    /// As [`Self::change_detail`].
    pub async fn change_detail_then(
        &self,
        bucket: &(BucketName, BucketId),
        key: &ObjectKey,
        version: Option<VersionId>,
        change: impl Fn(&Entry, &mut Detail) -> Result<(), CatalogError> + Send + Sync,
        sequel: &Sequel<Changed>,
    ) -> Result<Entry, CatalogError> {
        let change = |_: &Bucket, entry: &Entry, detail: &mut Detail| {
            let lock = detail.lock;
            change(entry, detail)?;
            detail.lock = lock;
            Ok(())
        };
        self.rewrite_detail(bucket, key, version, change, sequel).await
    }

    /// Sets or, with `None`, lifts the retention of a version.
    ///
    /// # Errors
    /// As [`Self::change_detail`]; [`CatalogError::NotLockable`] without object lock; [`CatalogError::Locked`] if the present
    /// retention may not be changed so. `bypass` ignores one of governance, which the caller must be allowed to.
    pub async fn put_retention(
        &self,
        bucket: &(BucketName, BucketId),
        key: &ObjectKey,
        version: Option<VersionId>,
        retention: Option<Retention>,
        bypass: bool,
    ) -> Result<Entry, CatalogError> {
        let change = |row: &Bucket, _: &Entry, detail: &mut Detail| {
            if row.lock.is_none() {
                return Err(CatalogError::NotLockable);
            }
            let present = detail.lock.retention.filter(|present| self.now() < present.until);
            if !may_replace(present, retention, bypass) {
                return Err(CatalogError::Locked);
            }
            detail.lock.retention = retention;
            Ok(())
        };
        self.rewrite_detail(bucket, key, version, change, &Sequel::default()).await
    }

    /// Sets or lifts the legal hold of a version.
    ///
    /// # Errors
    /// As [`Self::change_detail`]; [`CatalogError::NotLockable`] without object lock.
    pub async fn put_legal_hold(
        &self,
        bucket: &(BucketName, BucketId),
        key: &ObjectKey,
        version: Option<VersionId>,
        hold: bool,
    ) -> Result<Entry, CatalogError> {
        let change = |row: &Bucket, _: &Entry, detail: &mut Detail| {
            if row.lock.is_none() {
                return Err(CatalogError::NotLockable);
            }
            detail.lock.legal_hold = Some(hold);
            Ok(())
        };
        self.rewrite_detail(bucket, key, version, change, &Sequel::default()).await
    }

    async fn rewrite_detail(
        &self,
        bucket: &(BucketName, BucketId),
        key: &ObjectKey,
        version: Option<VersionId>,
        change: impl Fn(&Bucket, &Entry, &mut Detail) -> Result<(), CatalogError> + Send + Sync,
        sequel: &Sequel<Changed>,
    ) -> Result<Entry, CatalogError> {
        let change = &change;
        once_decided(|| {
            kv::transact(&*self.kv, |tx| async move {
                let row = check_bucket(&tx, bucket).await?;
                let entry = version_now(&tx, &(bucket.1, key.clone()), version).await?;
                let detail = DETAILS.get_for_update(&tx, &entry.manifest).await?;
                let mut detail = detail.ok_or_else(|| entry.without_detail())?;
                change(&row, &entry, &mut detail)?;
                DETAILS.put(&tx, &entry.manifest, &detail);
                let changed = Changed { entry, detail };
                sequel.write(&tx, &changed);
                Ok(changed.entry)
            })
        })
        .await
    }
}

/// The version that is meant, which stays there until the commit: whoever removes one claims the key's row.
async fn version_now(
    tx: &Tx,
    at: &(BucketId, ObjectKey),
    version: Option<VersionId>,
) -> Result<Entry, CatalogError> {
    let present = OBJECTS.get_shared(tx, at).await?;
    let entry = match version {
        None => present.ok_or(CatalogError::NoSuchKey)?,
        Some(version) => {
            pick(tx, at, version, present).await?.ok_or(CatalogError::NoSuchVersion)?.entry
        }
    };
    entry.with_bytes(version.is_some())
}

/// Whether a retention that holds, `present`, may become `next`: a longer one of the same mode always; anything else only for governance
/// that is bypassed.
fn may_replace(present: Option<Retention>, next: Option<Retention>, bypass: bool) -> bool {
    let Some(present) = present else { return true };
    let extends = next.is_some_and(|next| next.mode == present.mode && next.until >= present.until);
    extends || (bypass && present.mode == LockMode::Governance)
}

#[cfg(test)]
mod tests {
    use types::Timestamp;

    use super::*;

    #[test]
    fn a_retention_can_be_extended_and_only_governance_bypassed() {
        let of = |mode, until| Some(Retention { mode, until: Timestamp(until) });
        let (governance, compliance) = (LockMode::Governance, LockMode::Compliance);
        for (present, next, bypass, may) in [
            (None, of(compliance, 1), false, true),
            (of(governance, 5), of(governance, 6), false, true),
            (of(governance, 5), of(governance, 4), false, false),
            (of(governance, 5), of(governance, 4), true, true),
            (of(governance, 5), of(compliance, 6), false, false),
            (of(governance, 5), of(compliance, 6), true, true),
            (of(governance, 5), None, false, false),
            (of(governance, 5), None, true, true),
            (of(compliance, 5), of(compliance, 6), false, true),
            (of(compliance, 5), of(compliance, 4), true, false),
            (of(compliance, 5), of(governance, 6), true, false),
            (of(compliance, 5), None, true, false),
        ] {
            assert_eq!(may_replace(present, next, bypass), may, "{present:?} {next:?} {bypass}");
        }
    }
}
