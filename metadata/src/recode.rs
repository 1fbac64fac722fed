//! A version changes its storage class: in name, or over to bytes that were stored anew. For everybody else it stays what it was.

use kv::{Inverted, Tx};
use seal::wrap::WrappedKey;
use types::{BucketId, BucketName, GeometryName, ManifestId, SessionId};

use crate::buckets::once_decided;
use crate::commit::check_bucket;
use crate::list_versions::ListedVersion;
use crate::outbox::Moved;
use crate::records::{Entry, Extent};
use crate::rows::write_extents;
use crate::schema::{DETAILS, OBJECTS, VERSIONS};
use crate::stage::EXTENTS_PER_COMMIT;
use crate::versions::pick;
use crate::{Catalog, CatalogError, StreamCommit};

/// The bytes of a version as they were stored anew, each stream with the last of its rows.
#[derive(Clone, Debug)]
pub struct Recoded {
    /// A fresh manifest id.
    pub manifest: ManifestId,
    /// How they are coded now.
    pub geometry: GeometryName,
    /// The storage class.
    pub class: String,
    /// In object order, each with its wrapped key.
    pub extents: Vec<(Extent, WrappedKey)>,
    /// The streams of the extents; the rows of their segments are committed already.
    pub streams: Vec<StreamCommit>,
}

/// The most extents of a version that can be moved: they are written in one transaction.
pub const RECODED_EXTENTS_MAX: usize = EXTENTS_PER_COMMIT;

impl Catalog {
    /// Gives a version, if it is still the one that was seen, another storage class under which its bytes stay as they are.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchBucket`], [`CatalogError::BucketBusy`].
    pub async fn change_class(
        &self,
        bucket: &(BucketName, BucketId),
        seen: &ListedVersion,
        class: &str,
        geometry: GeometryName,
    ) -> Result<(), CatalogError> {
        once_decided(|| {
            kv::transact(&*self.kv, |tx| async move {
                let row = check_bucket(&tx, bucket).await?;
                let Some((entry, current)) = still_there(&tx, bucket.1, seen).await? else {
                    return Ok(());
                };
                let was = Moved::version(&row, &entry);
                if was.geometry != geometry {
                    self.tell_released(&tx, was);
                    self.tell_stored(&tx, Moved { geometry, ..was });
                }
                let entry = Entry { class: Some(class.to_owned()), geometry, ..entry };
                put_back(&tx, bucket.1, seen, current, &entry);
                Ok::<_, CatalogError>(())
            })
        })
        .await
    }

    /// Changes a version, if it is still the one that was seen, over to bytes that were stored anew.
    ///
    /// # Errors
    /// [`CatalogError::PreconditionFailed`] if it is not; [`CatalogError::TooLarge`] above [`RECODED_EXTENTS_MAX`];
    /// [`CatalogError::NoSuchBucket`], [`CatalogError::BucketBusy`], [`CatalogError::SessionEnded`].
    pub async fn recode_version(
        &self,
        session: SessionId,
        bucket: &(BucketName, BucketId),
        seen: &ListedVersion,
        new: Recoded,
    ) -> Result<(), CatalogError> {
        if new.extents.len() > RECODED_EXTENTS_MAX {
            return Err(CatalogError::TooLarge {
                what: "version to move",
                max: RECODED_EXTENTS_MAX,
            });
        }
        let new = &new;
        let released = once_decided(|| {
            kv::transact(&*self.kv, |tx| async move {
                self.check_session(&tx, session).await?;
                let row = check_bucket(&tx, bucket).await?;
                let found = still_there(&tx, bucket.1, seen).await?;
                let (old, current) = found.ok_or(CatalogError::PreconditionFailed)?;
                // Tags, lock and the rest as they are at this moment.
                let detail = DETAILS.get_for_update(&tx, &old.manifest).await?;
                let detail = detail.ok_or_else(|| old.without_detail())?;
                let body =
                    write_extents(&tx, new.manifest, &new.extents, &new.streams, false).await?;
                DETAILS.put(&tx, &new.manifest, &detail);
                let entry = Entry {
                    manifest: new.manifest,
                    geometry: new.geometry,
                    class: Some(new.class.clone()),
                    body,
                    ..old.clone()
                };
                self.release(&tx, &row, &old).await?;
                self.tell_stored(&tx, Moved::version(&row, &entry));
                put_back(&tx, bucket.1, seen, current, &entry);
                Ok::<_, CatalogError>(old)
            })
        })
        .await?;
        self.forget_wraps(Some(&released)).await;
        Ok(())
    }
}

/// The version that was seen, and whether it is the current one; `None` if it is gone or another. The key's row is claimed.
async fn still_there(
    tx: &Tx,
    bucket: BucketId,
    seen: &ListedVersion,
) -> Result<Option<(Entry, bool)>, CatalogError> {
    let at = (bucket, seen.key.clone());
    let present = OBJECTS.get_for_update(tx, &at).await?;
    let picked = pick(tx, &at, seen.entry.version, present).await?;
    // An append keeps the manifest and changes the time.
    let same = |entry: &Entry| {
        entry.manifest == seen.entry.manifest && entry.modified == seen.entry.modified
    };
    let picked = picked.filter(|picked| same(&picked.entry));
    Ok(picked.map(|picked| (picked.entry, picked.current)))
}

/// Writes a version's row where it was.
fn put_back(tx: &Tx, bucket: BucketId, seen: &ListedVersion, current: bool, entry: &Entry) {
    if current {
        OBJECTS.put(tx, &(bucket, seen.key.clone()), entry);
    } else {
        VERSIONS.put(tx, &(bucket, seen.key.clone(), Inverted(entry.modified.0)), entry);
    }
}
