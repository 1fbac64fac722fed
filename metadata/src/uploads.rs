//! Multipart uploads. An upload is a manifest that no version has taken over yet: its parts' references and wraps are written
//! under the id that the completed version keeps, so Complete moves no data and rewrites no keys.

use kv::{KeyPrefix, KvError, Span, Tx};
use seal::wrap::WrappedKey;
use types::{BucketId, BucketName, ManifestId, ObjectKey, SessionId, VersionId};

use crate::buckets::once_decided;
use crate::commit::{check_bucket, listed_checksum};
use crate::garbage::Release;
use crate::outbox::{Moved, UploadBill};
use crate::records::{
    Body, Bucket, Checksum, Detail, Entry, Etag, Extent, Part, ReplicationStatus, StreamState,
    Upload,
};
use crate::rows::{
    EXTENT_BYTES_PER_COMMIT, check_inside, check_whole, count, paged, refer, size_of, write_stream,
};
use crate::schema::{DETAILS, EXTENTS, OBJECTS, PARTS, UPLOAD_BILLS, UPLOADS};
use crate::versions::{new_version, put_replica, replica_time};
use crate::{Catalog, CatalogError, Preconditions, Sequel, StreamCommit};

/// How often a Complete that is too large for one transaction writes its pages ahead: once, unless another Complete of the upload, with another list
/// of parts, does so at the same time.
const COMPLETE_ATTEMPTS: u32 = 4;

/// An upload's place: bucket, key and id.
pub type UploadAt = (BucketId, ObjectKey, ManifestId);

/// What Complete makes of an upload.
#[derive(Clone, Debug)]
pub struct Completion {
    /// Chosen part numbers in ascending order, with the entity tag the client saw.
    pub parts: Vec<(u32, [u8; 16])>,
    /// The object's entity tag.
    pub etag: Etag,
    /// The object's checksums.
    pub checksums: Vec<Checksum>,
    /// What must hold of the present object.
    pub preconditions: Preconditions,
    /// How far the object's replication is.
    pub replication: Option<ReplicationStatus>,
    /// The version that the object replicates, with its id and its place in time; `None` makes a new version.
    pub replica: Option<VersionId>,
    /// What it leaves to do.
    pub sequel: Sequel<Entry>,
}

impl Catalog {
    /// Begins an upload under a fresh manifest id.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchBucket`], [`CatalogError::BucketBusy`].
    pub async fn create_upload(
        &self,
        bucket: &(BucketName, BucketId),
        key: &ObjectKey,
        upload: &Upload,
    ) -> Result<ManifestId, CatalogError> {
        let id = ManifestId::random();
        let at = &(bucket.1, key.clone(), id);
        once_decided(|| {
            kv::transact(&*self.kv, |tx| async move {
                let row = check_bucket(&tx, bucket).await?;
                UPLOADS.put(&tx, at, upload);
                let (account, geometry) = (row.owner, upload.geometry);
                UPLOAD_BILLS.put(&tx, &id, &UploadBill { account, bucket: row.id, geometry });
                Ok(id)
            })
        })
        .await
    }

    /// An upload under way.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchUpload`].
    pub async fn upload(&self, at: &UploadAt) -> Result<Upload, CatalogError> {
        UPLOADS.latest(&*self.kv, at).await?.ok_or(CatalogError::NoSuchUpload)
    }

    /// Stores a part, replacing an earlier one of the same number. `stream` brings along the last rows of a stream just written; without it
    /// the part shares a stream that is whole already.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchUpload`], [`CatalogError::SessionEnded`], [`CatalogError::StreamDying`], [`CatalogError::Corrupt`].
    pub async fn commit_part(
        &self,
        session: SessionId,
        at: &UploadAt,
        number: u32,
        part: &Part,
        wrap: &WrappedKey,
        stream: Option<&StreamCommit>,
    ) -> Result<(), CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            self.check_session(&tx, session).await?;
            if UPLOADS.get_shared(&tx, at).await?.is_none() {
                return Err(CatalogError::NoSuchUpload);
            }
            let bill = self.upload_bill(&tx, at.2).await?;
            if let Some(replaced) = PARTS.get_for_update(&tx, &(at.2, number)).await? {
                self.unrefer(&tx, at.2, [(number, replaced.stream)]).await?;
                if let Some(bill) = &bill {
                    self.tell_released(&tx, Moved::part(bill, replaced.len));
                }
            }
            if let Some(bill) = &bill {
                self.tell_stored(&tx, Moved::part(bill, part.len));
            }
            let Part { stream: id, offset, len, .. } = *part;
            match stream.filter(|stream| stream.id == id) {
                Some(stream) => {
                    write_stream(&tx, stream, StreamState::Whole).await?;
                    check_inside(id, &stream.row, offset, len)?;
                }
                None => check_whole(&tx, id, offset, len).await?,
            }
            refer(&tx, at.2, number, part.stream, wrap).await?;
            PARTS.put(&tx, &(at.2, number), part);
            Ok(())
        })
        .await
    }

    /// Up to `limit` parts with numbers above `after`.
    ///
    /// # Errors
    /// Only the engine's.
    pub async fn parts(
        &self,
        upload: ManifestId,
        after: u32,
        limit: usize,
    ) -> Result<Vec<(u32, Part)>, CatalogError> {
        let snap = self.kv.snapshot().await?;
        let span = Span::of(&KeyPrefix::of(&upload)).after_key(&(upload, after));
        let parts = PARTS.scan(&snap, span, limit).await?;
        Ok(parts.into_iter().map(|((_, number), part)| (number, part)).collect())
    }

    /// Makes the upload's object visible. Repeating a Complete that went through answers the same.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchUpload`], [`CatalogError::InvalidPart`] (also for part numbers that do not ascend), those of [`Preconditions::check`],
    /// [`CatalogError::SessionEnded`].
    pub async fn complete_upload(
        &self,
        session: SessionId,
        bucket: &(BucketName, BucketId),
        at: &UploadAt,
        completion: &Completion,
    ) -> Result<Entry, CatalogError> {
        // Which references go is looked up in this list: it must be in order.
        if let Some(pair) = completion.parts.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            return Err(CatalogError::InvalidPart(pair[1].0));
        }
        for _ in 0..COMPLETE_ATTEMPTS {
            let done = once_decided(|| {
                kv::transact(&*self.kv, |tx| async move {
                    self.check_session(&tx, session).await?;
                    let bucket = check_bucket(&tx, bucket).await?;
                    self.complete(&tx, &bucket, at, completion).await
                })
            })
            .await?;
            if let Some((entry, replaced)) = done {
                self.forget_wraps(replaced.as_ref()).await;
                return Ok(entry);
            }
            self.write_ahead(at, &completion.parts).await?;
        }
        Err(KvError::Contended { attempts: COMPLETE_ATTEMPTS }.into())
    }

    /// Writes the pages of an upload's extents ahead of a Complete that is too large for one transaction. They count for nothing until one finds that
    /// they are what it would write; collect takes them away with an upload that is aborted.
    async fn write_ahead(
        &self,
        at: &UploadAt,
        parts: &[(u32, [u8; 16])],
    ) -> Result<(), CatalogError> {
        let snap = self.kv.snapshot().await?;
        let mut extents = Vec::with_capacity(parts.len());
        for (number, md5) in parts {
            extents.push(extent_of(*number, md5, PARTS.get(&snap, &(at.2, *number)).await?)?);
        }
        drop(snap);
        for (number, page) in (0..).zip(paged(&extents, |extent| extent)) {
            let page = &page.to_vec();
            kv::transact(&*self.kv, |tx| async move {
                // Gone if it was completed or aborted meanwhile: nobody would take the page away. For update, so that who completes it this moment
                // sees the page or is repeated.
                if UPLOADS.get_for_update(&tx, at).await?.is_some() {
                    EXTENTS.get_for_update(&tx, &(at.2, number)).await?;
                    EXTENTS.put(&tx, &(at.2, number), page);
                }
                Ok::<_, CatalogError>(())
            })
            .await?;
        }
        Ok(())
    }

    /// The new entry, and the one it replaced. `None`, with nothing written, if the extents are too many bytes for this transaction.
    async fn complete(
        &self,
        tx: &Tx,
        bucket: &Bucket,
        at: &UploadAt,
        completion: &Completion,
    ) -> Result<Option<(Entry, Option<Entry>)>, CatalogError> {
        let object = (at.0, at.1.clone());
        let present = OBJECTS.get_for_update(tx, &object).await?;
        let Some(upload) = UPLOADS.get_for_update(tx, at).await? else {
            let done = present.filter(|entry| entry.manifest == at.2);
            return done.map(|entry| Some((entry, None))).ok_or(CatalogError::NoSuchUpload);
        };
        completion.preconditions.check(present.as_ref())?;
        let extents = choose(tx, at.2, &completion.parts).await?;
        let pages = paged(&extents, |extent| extent);
        if !write_pages(tx, at.2, &pages).await? {
            return Ok(None);
        }
        let detail = Detail {
            checksums: completion.checksums.clone(),
            replication: completion.replication,
            ..upload.detail
        };
        let detail = self.locked_by_default(bucket, detail)?;
        let (version, modified) = match completion.replica {
            Some(version) => {
                (version, replica_time(tx, bucket, &object, version, present.as_ref()).await?)
            }
            None => {
                let modified = self.after(present.as_ref());
                (new_version(bucket, modified), modified)
            }
        };
        let entry = Entry {
            version,
            manifest: at.2,
            modified,
            size: extents.iter().map(|extent| extent.len).sum(),
            etag: completion.etag,
            geometry: upload.geometry,
            class: upload.class,
            owner: upload.owner,
            checksum: listed_checksum(&detail),
            body: Body::Extents { pages: count(&pages) },
        };
        completion.sequel.write(tx, &entry);
        // Its parts are paid for since they came, except those of an upload that began before there was an outbox.
        if self.upload_bill(tx, at.2).await?.is_none() {
            self.tell_stored(tx, Moved::version(bucket, &entry));
        }
        let replaced = if completion.replica.is_some() {
            put_replica(tx, &object, present, &entry);
            None
        } else {
            let replaced = self.supersede(tx, bucket, &object, present).await?;
            OBJECTS.put(tx, &object, &entry);
            replaced
        };
        DETAILS.put(tx, &at.2, &detail);
        UPLOADS.delete(tx, at);
        let chosen = completion.parts.iter().map(|(number, _)| *number).collect();
        self.put_release(tx, at.2, &Release::Completed { chosen });
        Ok(Some((entry, replaced)))
    }

    /// Ends an upload and releases its parts.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchUpload`].
    pub async fn abort_upload(&self, at: &UploadAt) -> Result<(), CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            if self.abort(&tx, at).await? { Ok(()) } else { Err(CatalogError::NoSuchUpload) }
        })
        .await
    }

    /// Ends an upload; whether it was there.
    pub(crate) async fn abort(&self, tx: &Tx, at: &UploadAt) -> Result<bool, CatalogError> {
        let found = UPLOADS.get_for_update(tx, at).await?.is_some();
        if found {
            UPLOADS.delete(tx, at);
            self.put_release(tx, at.2, &Release::Aborted);
        }
        Ok(found)
    }
}

/// Makes the pages of an upload those of its object; those that are there already, written ahead, stay as they are. `false`, with nothing written, if
/// the others are too large together.
async fn write_pages(
    tx: &Tx,
    manifest: ManifestId,
    pages: &[&[Extent]],
) -> Result<bool, CatalogError> {
    let (mut missing, mut bytes) = (Vec::new(), 0);
    for (number, page) in (0..).zip(pages) {
        // For update: another Complete of this upload may be writing its own ahead.
        let present = EXTENTS.get_for_update(tx, &(manifest, number)).await?;
        if present.as_deref() != Some(*page) {
            bytes += page.iter().map(size_of).sum::<usize>();
            missing.push((number, page.to_vec()));
        }
    }
    if bytes > EXTENT_BYTES_PER_COMMIT {
        return Ok(false);
    }
    for (number, page) in missing {
        EXTENTS.put(tx, &(manifest, number), &page);
    }
    // What another Complete wrote ahead, of more parts than these, is nobody's.
    let behind = Span::of(&KeyPrefix::of(&manifest)).from_key(&(manifest, count(pages)));
    if !EXTENTS.scan(tx, behind.clone(), 1).await?.is_empty() {
        for (at, _) in EXTENTS.scan(tx, behind, usize::MAX).await? {
            EXTENTS.delete(tx, &at);
        }
    }
    Ok(true)
}

/// The extents of the chosen parts. Each part row is read with `get_shared`: an UploadPart that replaces one of them at the same
/// moment drops the reference the extent would stand on, so one of the two must give way.
async fn choose(
    tx: &Tx,
    upload: ManifestId,
    chosen: &[(u32, [u8; 16])],
) -> Result<Vec<Extent>, CatalogError> {
    let mut extents = Vec::with_capacity(chosen.len());
    for (number, md5) in chosen {
        let part = PARTS.get_shared(tx, &(upload, *number)).await?;
        extents.push(extent_of(*number, md5, part)?);
    }
    Ok(extents)
}

/// The extent that a part becomes, if it is there and still the one that was chosen.
fn extent_of(number: u32, md5: &[u8; 16], part: Option<Part>) -> Result<Extent, CatalogError> {
    let part = part.filter(|part| part.md5 == *md5).ok_or(CatalogError::InvalidPart(number))?;
    let Part { stream, offset, len, checksums, .. } = part;
    Ok(Extent { stream, offset, len, part: number, checksums })
}
