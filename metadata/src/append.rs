//! Appending: bytes are added to the end of an object whose bytes lie on nodes. What is there stays where it is: the manifest gets one more
//! extent, and the object's row another size, time and entity tag.
//!
//! The manifest keeps its id, so that an append costs the same however often the object was appended to. Who looks at an object first and acts
//! later must compare the time beside the manifest.

use kv::Tx;
use seal::wrap::WrappedKey;
use types::{BucketName, ManifestId, ObjectKey, SessionId};

use crate::buckets::once_decided;
use crate::commit::{NewObject, check_bucket, listed_checksum};
use crate::outbox::Moved;
use crate::records::{Body, Checksum, Detail, Entry, Etag, Extent, StreamState, Versioning};
use crate::rows::{check_inside, paged, refer, write_stream};
use crate::schema::{DETAILS, EXTENTS, OBJECTS, REFERENCES, WRAPS};
use crate::{Catalog, CatalogError, Preconditions, Sequel, StreamCommit};

/// The most parts of an object that can be appended to, as on AWS.
pub const APPENDED_PARTS_MAX: u32 = 10_000;

/// Bytes that are to be the end of an object.
#[derive(Clone, Debug)]
pub struct Append {
    /// The bucket's name, and the identity it had when the request began.
    pub bucket: (BucketName, types::BucketId),
    /// The key.
    pub key: ObjectKey,
    /// The object as it was seen: what follows was made for it alone.
    pub seen: Entry,
    /// The bytes.
    pub stream: StreamCommit,
    /// How many of the stream's.
    pub len: u64,
    /// The key that opens them.
    pub wrap: WrappedKey,
    /// Their checksums.
    pub part_checksums: Vec<Checksum>,
    /// The entity tag of the whole, which counts its parts.
    pub etag: Etag,
    /// The checksums of the whole.
    pub checksums: Vec<Checksum>,
    /// What must hold of the present object.
    pub preconditions: Preconditions,
    /// What it leaves to do.
    pub sequel: Sequel<Entry>,
}

impl Catalog {
    /// Adds bytes to the end of an object. On error it is as it was.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchBucket`], [`CatalogError::BucketBusy`], [`CatalogError::SessionEnded`]; [`CatalogError::Versioned`];
    /// those of [`Preconditions::check`]; [`CatalogError::WriteOffset`] if the object is longer or shorter by now,
    /// [`CatalogError::PreconditionFailed`] if it is another; [`CatalogError::TooManyParts`].
    pub async fn append_object(
        &self,
        session: SessionId,
        append: &Append,
    ) -> Result<Entry, CatalogError> {
        once_decided(|| {
            kv::transact(&*self.kv, |tx| async move {
                self.check_session(&tx, session).await?;
                self.append(&tx, append).await
            })
        })
        .await
    }

    /// Writes an object anew that was appended to, under the condition that it is still the one that was seen (`new.preconditions`).
    /// Whatever can change of an object beside its bytes stays as it is at this moment: of `new.detail` only checksums and encryption count.
    ///
    /// # Errors
    /// As of [`Self::commit_object`]; [`CatalogError::PreconditionFailed`] also if its storage class is another by now.
    pub async fn regrow_object(
        &self,
        session: SessionId,
        new: &NewObject,
    ) -> Result<Entry, CatalogError> {
        let (entry, replaced) = once_decided(|| {
            kv::transact(&*self.kv, |tx| async move {
                self.check_session(&tx, session).await?;
                self.write_object(&tx, &with_present_detail(&tx, new).await?, false).await
            })
        })
        .await?;
        self.forget_wraps(replaced.as_ref()).await;
        Ok(entry)
    }

    async fn append(&self, tx: &Tx, append: &Append) -> Result<Entry, CatalogError> {
        let bucket = check_bucket(tx, &append.bucket).await?;
        if bucket.versioning != Versioning::Unversioned {
            return Err(CatalogError::Versioned);
        }
        let at = (append.bucket.1, append.key.clone());
        let present = OBJECTS.get_for_update(tx, &at).await?;
        append.preconditions.check(present.as_ref())?;
        let entry = present.ok_or(CatalogError::WriteOffset { size: 0 })?;
        if entry.size != append.seen.size {
            return Err(CatalogError::WriteOffset { size: entry.size });
        }
        let same = entry.manifest == append.seen.manifest && entry.etag == append.seen.etag;
        let (true, Body::Extents { pages }) = (same, entry.body) else {
            return Err(CatalogError::PreconditionFailed);
        };
        if append.etag.parts > APPENDED_PARTS_MAX {
            return Err(CatalogError::TooManyParts);
        }
        let detail = DETAILS.get_for_update(tx, &entry.manifest).await?;
        let detail = detail.ok_or_else(|| entry.without_detail())?;
        let pages = add_extent(tx, entry.manifest, pages, append, &detail).await?;
        let detail = Detail { checksums: append.checksums.clone(), ..detail };
        let entry = Entry {
            modified: self.after(Some(&entry)),
            size: entry.size.saturating_add(append.len),
            etag: append.etag,
            checksum: listed_checksum(&detail),
            body: Body::Extents { pages },
            ..entry
        };
        DETAILS.put(tx, &entry.manifest, &detail);
        OBJECTS.put(tx, &at, &entry);
        append.sequel.write(tx, &entry);
        self.tell_stored(tx, Moved::version(&bucket, &entry).of(append.len));
        Ok(entry)
    }
}

/// `new` with what the present object carries, so that nothing is undone that was acknowledged since it was seen.
async fn with_present_detail(tx: &Tx, new: &NewObject) -> Result<NewObject, CatalogError> {
    // In the order of every other write.
    check_bucket(tx, &new.bucket).await?;
    let at = (new.bucket.1, new.key.clone());
    let present = OBJECTS.get_for_update(tx, &at).await?;
    new.preconditions.check(present.as_ref())?;
    let present = present.ok_or(CatalogError::NoSuchKey)?;
    if (&present.class, present.geometry) != (&new.class, new.geometry) {
        return Err(CatalogError::PreconditionFailed);
    }
    let detail = DETAILS.get_for_update(tx, &present.manifest).await?;
    let detail = detail.ok_or_else(|| present.without_detail())?;
    let (checksums, encryption) = (new.detail.checksums.clone(), new.detail.encryption.clone());
    Ok(NewObject { detail: Detail { checksums, encryption, ..detail }, ..new.clone() })
}

/// Writes the stream, its reference and its extent behind those of the last page; how many pages there are then.
async fn add_extent(
    tx: &Tx,
    manifest: ManifestId,
    pages: u32,
    append: &Append,
    detail: &Detail,
) -> Result<u32, CatalogError> {
    let last = pages.saturating_sub(1);
    let page = EXTENTS.get_for_update(tx, &(manifest, last)).await?;
    let mut page = page.ok_or_else(|| {
        CatalogError::Corrupt(format!("manifest {manifest} has no page of extents"))
    })?;
    number(tx, manifest, &mut page, detail).await?;
    let part = page.last().map_or(1, |extent| extent.part.saturating_add(1));
    let (stream, len) = (append.stream.id, append.len);
    write_stream(tx, &append.stream, StreamState::Whole).await?;
    check_inside(stream, &append.stream.row, 0, len)?;
    refer(tx, manifest, part, stream, &append.wrap).await?;
    page.push(Extent { stream, offset: 0, len, part, checksums: append.part_checksums.clone() });
    let mut count = last;
    for extents in paged(&page, |extent| extent) {
        EXTENTS.put(tx, &(manifest, count), &extents.to_vec());
        count += 1;
    }
    Ok(count)
}

/// An object that was put whole becomes the first part of itself, with its checksums.
async fn number(
    tx: &Tx,
    manifest: ManifestId,
    page: &mut [Extent],
    detail: &Detail,
) -> Result<(), CatalogError> {
    for extent in page.iter_mut().filter(|extent| extent.part == 0) {
        // Claimed as by everybody who adds or drops a reference (`garbage::unrefer`).
        WRAPS.get_for_update(tx, &(manifest, extent.stream)).await?;
        REFERENCES.delete(tx, &(extent.stream, manifest, 0));
        REFERENCES.put(tx, &(extent.stream, manifest, 1), &());
        extent.part = 1;
        extent.checksums.clone_from(&detail.checksums);
    }
    Ok(())
}
