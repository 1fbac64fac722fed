//! A PUT's end: one transaction after which the object is there, or nothing changed.

use kv::{KeyPrefix, Tx};
use seal::wrap::WrappedKey;
use types::{
    AccountId, BucketId, BucketName, GeometryName, ManifestId, ObjectKey, SessionId, StreamId,
    Timestamp, VersionId,
};

use crate::buckets::once_decided;
use crate::delete::Seen;
use crate::garbage::Release;
use crate::outbox::Moved;
use crate::records::{
    Body, Bucket, BucketState, ChecksumAlgorithm, ChecksumKind, Detail, Entry, Etag, Extent,
    SegmentRow, StreamRow, StreamState,
};
use crate::rows::{write_extents, write_stream};
use crate::schema::{BUCKETS, DETAILS, INLINE, OBJECTS, WRAPS};
use crate::versions::{new_version, put_replica, replica_time};
use crate::{Catalog, CatalogError, EXTENTS_PER_PAGE, Sequel};

/// A new version of a key, ready to be made visible.
#[derive(Clone, Debug)]
pub struct NewObject {
    /// The bucket's name, and the identity it had when the request began.
    pub bucket: (BucketName, BucketId),
    /// The key.
    pub key: ObjectKey,
    /// A fresh manifest id.
    pub manifest: ManifestId,
    /// Plaintext bytes.
    pub size: u64,
    /// The entity tag.
    pub etag: Etag,
    /// How its bytes are coded.
    pub geometry: GeometryName,
    /// Storage class by name; `None` is `STANDARD`.
    pub class: Option<String>,
    /// The writer, if not the bucket's owner.
    pub owner: Option<AccountId>,
    /// Headers, metadata and checksums.
    pub detail: Detail,
    /// The bytes.
    pub body: NewBody,
    /// What must hold for the commit to happen.
    pub preconditions: Preconditions,
    /// The version of another bucket that this one replicates, with its id and its place in time; `None` makes a new version.
    pub replica: Option<VersionId>,
    /// What it leaves to do.
    pub sequel: Sequel<Entry>,
}

/// The bytes of a new version.
#[derive(Clone, Debug)]
pub enum NewBody {
    /// Small: the ciphertext itself.
    Inline(Inline),
    /// Extents, each with its wrapped key, and the streams among them that this commit brings along.
    Extents {
        /// In object order.
        extents: Vec<(Extent, WrappedKey)>,
        /// Streams whose last rows are written by this commit; all others must be whole already.
        streams: Vec<StreamCommit>,
    },
}

/// A small object's ciphertext.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Inline {
    /// The data key's id.
    pub stream: StreamId,
    /// The wrapped data key travels apart, in its own table.
    #[serde(skip, default)]
    pub wrap: Option<WrappedKey>,
    /// Ciphertext as `seal::stream` lays it out.
    pub cipher: bytes::Bytes,
}

/// Rows of a stream that has just been stored.
#[derive(Clone, Debug)]
pub struct StreamCommit {
    /// Its id.
    pub id: StreamId,
    /// Its row: `Whole`, or `Writing` if more segments follow. Its `segments` counts those known after this commit.
    pub row: StreamRow,
    /// Index of the first of `segments`; the ones before were committed on the way.
    pub first: u32,
    /// Its remaining segments: about thirty at most, or the rows do not fit one transaction.
    pub segments: Vec<SegmentRow>,
}

/// What a conditional write asks of the present object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// `If-Match`.
    pub if_match: Option<Condition>,
    /// `If-None-Match`.
    pub if_none_match: Option<Condition>,
    /// `x-amz-if-match-size` (DELETE).
    pub size: Option<u64>,
    /// `x-amz-if-match-last-modified-time` (DELETE), compared by the second.
    pub modified: Option<Timestamp>,
    /// The very version that was seen before (upkeep, which looks first and acts later). An append keeps it and changes the time.
    pub manifest: Option<ManifestId>,
    /// The object's size; no object has none (an append).
    pub offset: Option<u64>,
    /// The very version that upkeep saw, with everything for which it decided (a deletion by a lifecycle rule).
    pub seen: Option<Seen>,
}

/// The value of an `If-Match` or `If-None-Match` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `*`: any object at all.
    Any,
    /// One of these entity tags, without quotes.
    Tags(Vec<String>),
}

impl Condition {
    /// Whether an object with entity tag `etag` meets it.
    #[must_use]
    pub fn matches(&self, etag: &Etag) -> bool {
        match self {
            Self::Any => true,
            Self::Tags(tags) => {
                let etag = etag.to_string();
                tags.contains(&etag)
            }
        }
    }
}

impl Preconditions {
    /// Whether a write may replace `present`. A delete marker counts as nothing.
    ///
    /// # Errors
    /// [`CatalogError::WriteOffset`] if that is asked for and differs; [`CatalogError::NoSuchKey`] if a condition needs an object and
    /// there is none, [`CatalogError::PreconditionFailed`] otherwise.
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>)
    pub fn check(&self, present: Option<&Entry>) -> Result<(), CatalogError> {
        let present = present.filter(|entry| !entry.is_delete_marker());
        let size = present.map_or(0, |entry| entry.size);
        if self.offset.is_some_and(|offset| offset != size) {
            return Err(CatalogError::WriteOffset { size });
        }
        self.check_delete(present)
    }

    /// Whether a deletion may go on. A delete marker is something here: it has no entity tag, and no bytes.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) fn check_delete(&self, present: Option<&Entry>) -> Result<(), CatalogError> {
        let needs_object = self.if_match.is_some()
            || self.size.is_some()
            || self.modified.is_some()
            || self.manifest.is_some()
            || self.seen.is_some();
        let Some(entry) = present else {
            return if needs_object { Err(CatalogError::NoSuchKey) } else { Ok(()) };
        };
        let matches = |tags: &Condition| match entry.body {
            Body::DeleteMarker => *tags == Condition::Any,
            Body::Inline | Body::Extents { .. } => tags.matches(&entry.etag),
        };
        let fine = self.if_match.as_ref().is_none_or(matches)
            && !self.if_none_match.as_ref().is_some_and(matches)
            && self.size.is_none_or(|size| size == entry.size)
            && self.modified.is_none_or(|time| time.seconds() == entry.modified.seconds())
            && self.manifest.is_none_or(|manifest| manifest == entry.manifest)
            && self.seen.as_ref().is_none_or(|seen| seen.is(entry));
        if fine { Ok(()) } else { Err(CatalogError::PreconditionFailed) }
    }
}

impl Catalog {
    /// Makes `new` the current version of its key. On error nothing is visible and nothing replaced.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchBucket`] or [`CatalogError::BucketBusy`] if the bucket went away meanwhile; [`CatalogError::PreconditionFailed`],
    /// [`CatalogError::NoSuchKey`]; [`CatalogError::NotLockable`]; [`CatalogError::SessionEnded`]; [`CatalogError::StreamDying`] if a
    /// shared stream is being collected.
    pub async fn commit_object(
        &self,
        session: SessionId,
        new: &NewObject,
    ) -> Result<Entry, CatalogError> {
        let staged = self.stage(session, new).await?;
        let committed = once_decided(|| {
            kv::transact(&*self.kv, |tx| async move {
                self.check_session(&tx, session).await?;
                self.write_object(&tx, new, staged).await
            })
        })
        .await;
        match committed {
            Ok((entry, replaced)) => {
                self.forget_wraps(replaced.as_ref()).await;
                Ok(entry)
            }
            Err(refused) => {
                if staged {
                    self.give_up_staged(new.manifest).await;
                }
                Err(refused)
            }
        }
    }

    /// Checks and writes everything of `new` but its session; the new entry and the one it replaced.
    pub(crate) async fn write_object(
        &self,
        tx: &Tx,
        new: &NewObject,
        staged: bool,
    ) -> Result<(Entry, Option<Entry>), CatalogError> {
        let bucket = check_bucket(tx, &new.bucket).await?;
        let at = (new.bucket.1, new.key.clone());
        let present = OBJECTS.get_for_update(tx, &at).await?;
        new.preconditions.check(present.as_ref())?;
        let (version, modified) = match new.replica {
            Some(version) => {
                (version, replica_time(tx, &bucket, &at, version, present.as_ref()).await?)
            }
            None => {
                let modified = self.after(present.as_ref());
                (new_version(&bucket, modified), modified)
            }
        };
        let detail = self.locked_by_default(&bucket, new.detail.clone())?;
        let body = match &new.body {
            NewBody::Inline(inline) => {
                INLINE.put(tx, &new.manifest, inline);
                if let Some(wrap) = &inline.wrap {
                    WRAPS.put(tx, &(new.manifest, inline.stream), wrap);
                }
                Body::Inline
            }
            NewBody::Extents { extents, streams } => {
                write_extents(tx, new.manifest, extents, streams, staged).await?
            }
        };
        DETAILS.put(tx, &new.manifest, &detail);
        let entry = Entry {
            version,
            manifest: new.manifest,
            modified,
            size: new.size,
            etag: new.etag,
            geometry: new.geometry,
            class: new.class.clone(),
            owner: new.owner.clone(),
            checksum: listed_checksum(&detail),
            body,
        };
        new.sequel.write(tx, &entry);
        self.tell_stored(tx, Moved::version(&bucket, &entry));
        if new.replica.is_some() {
            put_replica(tx, &at, present, &entry);
            return Ok((entry, None));
        }
        let replaced = self.supersede(tx, &bucket, &at, present).await?;
        OBJECTS.put(tx, &at, &entry);
        Ok((entry, replaced))
    }

    /// Commits rows of a long stream on the way, before its end is known. Nothing refers to them yet.
    ///
    /// # Errors
    /// [`CatalogError::SessionEnded`]; [`CatalogError::StreamDying`] if the stream was given up; [`CatalogError::Corrupt`] if the rows
    /// do not follow those before them.
    pub async fn commit_segments(
        &self,
        session: SessionId,
        rows: &StreamCommit,
    ) -> Result<(), CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            self.check_session(&tx, session).await?;
            write_stream(&tx, rows, StreamState::Writing).await
        })
        .await
    }

    /// The time a new version of a key gets: now, but later than the one it follows.
    pub(crate) fn after(&self, present: Option<&Entry>) -> Timestamp {
        let floor = present.map_or(0, |entry| entry.modified.0.saturating_add(1));
        Timestamp(self.now().0.max(floor))
    }

    /// Takes the wraps of `entry` away at once, ends what is paid for it, and leaves the rest of it to collect. Of very many wraps, some are
    /// left to [`Self::forget_wraps`].
    pub(crate) async fn release(
        &self,
        tx: &Tx,
        bucket: &Bucket,
        entry: &Entry,
    ) -> Result<(), CatalogError> {
        drop_wraps(tx, entry.manifest).await?;
        self.tell_released(tx, Moved::version(bucket, entry));
        DETAILS.delete(tx, &entry.manifest);
        match entry.body {
            Body::Inline => INLINE.delete(tx, &entry.manifest),
            Body::Extents { pages } => {
                self.put_release(tx, entry.manifest, &Release::Version { pages });
            }
            Body::DeleteMarker => {}
        }
        Ok(())
    }

    /// Takes away, before the client is answered, the wraps of a released version that were too many for the commit.
    pub(crate) async fn forget_wraps(&self, released: Option<&Entry>) {
        let Some(Entry { manifest, body: Body::Extents { pages }, .. }) = released else { return };
        if *pages as usize * EXTENTS_PER_PAGE < WRAPS_AT_ONCE {
            return;
        }
        loop {
            let left = kv::transact(&*self.kv, |tx| async move {
                Ok::<_, CatalogError>(drop_wraps(&tx, *manifest).await? == WRAPS_AT_ONCE)
            })
            .await;
            match left {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    return tracing::warn!(%manifest, %error, "the rest of the wraps is left to collect");
                }
            }
        }
    }
}

/// Wraps deleted in one transaction.
const WRAPS_AT_ONCE: usize = 1_000;
/// Wraps looked for at first: nearly every version has fewer, and an engine reads so few without changing threads.
const WRAPS_EXPECTED: usize = 16;

const _: () = assert!(WRAPS_EXPECTED < kv::rocks::SCAN_INLINE);

/// Deletes wraps of a manifest; how many.
async fn drop_wraps(tx: &Tx, manifest: ManifestId) -> Result<usize, CatalogError> {
    let of_manifest = KeyPrefix::of(&manifest);
    let mut wraps = WRAPS.scan(tx, &of_manifest, WRAPS_EXPECTED).await?;
    if wraps.len() == WRAPS_EXPECTED {
        wraps = WRAPS.scan(tx, of_manifest, WRAPS_AT_ONCE).await?;
    }
    for (key, _) in &wraps {
        WRAPS.delete(tx, key);
    }
    Ok(wraps.len())
}

/// The bucket must still be the one the request began with, and stay as it is now until the commit.
pub(crate) async fn check_bucket(
    tx: &Tx,
    (name, id): &(BucketName, BucketId),
) -> Result<Bucket, CatalogError> {
    match BUCKETS.get_shared(tx, name).await? {
        Some(bucket) if bucket.id != *id => Err(CatalogError::NoSuchBucket(name.clone())),
        Some(bucket) if bucket.state == BucketState::Deleting => {
            Err(CatalogError::BucketBusy(name.clone()))
        }
        Some(bucket) => Ok(bucket),
        None => Err(CatalogError::NoSuchBucket(name.clone())),
    }
}

/// Which checksum a listing names: the first.
pub(crate) fn listed_checksum(detail: &Detail) -> Option<(ChecksumAlgorithm, ChecksumKind)> {
    detail.checksums.first().map(|checksum| (checksum.algorithm, checksum.kind))
}
