//! A PUT's end: one transaction after which the object is there, or nothing changed.

use kv::{KeyPrefix, Tx};
use seal::wrap::WrappedKey;
use types::{
    AccountId, BucketId, BucketName, GeometryName, ManifestId, ObjectKey, SegmentId, SessionId, StreamId,
    Timestamp, VersionId,
};

use crate::garbage::Release;
use crate::records::{
    Body, BucketState, ChecksumAlgorithm, ChecksumKind, Detail, Entry, Etag, Extent, SegmentRow, StreamRow,
    StreamState,
};
use crate::schema::{
    BUCKETS, DEGRADED, DETAILS, EXTENTS, INLINE, OBJECTS, REFERENCES, SEGMENTS, SEGMENTS_OF_GROUP, STREAMS, WRAPS,
};
use crate::{Catalog, CatalogError, EXTENTS_PER_PAGE};

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

/// The last rows of a stream that has just been stored.
#[derive(Clone, Debug)]
pub struct StreamCommit {
    /// Its id.
    pub id: StreamId,
    /// Its row, `Whole`.
    pub row: StreamRow,
    /// Index of the first of `segments`; the ones before were committed on the way.
    pub first: u32,
    /// Its remaining segments.
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
                tags.iter().any(|tag| *tag == etag)
            }
        }
    }
}

impl Preconditions {
    /// Whether a write may replace `present`.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchKey`] if a condition needs an object and there is none, [`CatalogError::PreconditionFailed`] otherwise.
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>)
    pub fn check(&self, present: Option<&Entry>) -> Result<(), CatalogError> {
        let needs_object = self.if_match.is_some() || self.size.is_some() || self.modified.is_some();
        let Some(entry) = present else {
            return if needs_object { Err(CatalogError::NoSuchKey) } else { Ok(()) };
        };
        let fine = self.if_match.as_ref().is_none_or(|tags| tags.matches(&entry.etag))
            && !self.if_none_match.as_ref().is_some_and(|tags| tags.matches(&entry.etag))
            && self.size.is_none_or(|size| size == entry.size)
            && self.modified.is_none_or(|time| time.seconds() == entry.modified.seconds());
        if fine { Ok(()) } else { Err(CatalogError::PreconditionFailed) }
    }
}

impl Catalog {
    /// Makes `new` the current version of its key. On error nothing is visible and nothing replaced.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchBucket`] or [`CatalogError::BucketBusy`] if the bucket went away meanwhile; [`CatalogError::PreconditionFailed`],
    /// [`CatalogError::NoSuchKey`]; [`CatalogError::SessionEnded`]; [`CatalogError::StreamDying`] if a shared stream is being collected.
    pub async fn commit_object(&self, session: SessionId, new: &NewObject) -> Result<Entry, CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            self.check_session(&tx, session).await?;
            let entry = self.write_object(&tx, new).await?;
            Ok(entry)
        })
        .await
    }

    /// Checks and writes everything of `new` but its session. Used by PUT, copy and Complete.
    pub(crate) async fn write_object(&self, tx: &Tx, new: &NewObject) -> Result<Entry, CatalogError> {
        check_bucket(tx, &new.bucket).await?;
        let at = (new.bucket.1, new.key.clone());
        let present = OBJECTS.get_for_update(tx, &at).await?;
        new.preconditions.check(present.as_ref())?;
        let body = match &new.body {
            NewBody::Inline(inline) => {
                INLINE.put(tx, &new.manifest, inline);
                if let Some(wrap) = &inline.wrap {
                    WRAPS.put(tx, &(new.manifest, inline.stream), wrap);
                }
                Body::Inline
            }
            NewBody::Extents { extents, streams } => {
                for stream in streams {
                    write_stream(tx, stream)?;
                }
                for (extent, wrap) in extents {
                    if !streams.iter().any(|stream| stream.id == extent.stream) {
                        check_whole(tx, extent.stream).await?;
                    }
                    refer(tx, new.manifest, extent.part, extent.stream, wrap).await?;
                }
                Body::Extents { pages: write_extents(tx, new.manifest, extents.iter().map(|(extent, _)| extent))? }
            }
        };
        DETAILS.put(tx, &new.manifest, &new.detail);
        let entry = Entry {
            version: VersionId::random(),
            manifest: new.manifest,
            modified: self.after(present.as_ref()),
            size: new.size,
            etag: new.etag,
            geometry: new.geometry,
            class: new.class.clone(),
            owner: new.owner.clone(),
            checksum: listed_checksum(&new.detail),
            body,
        };
        if let Some(replaced) = &present {
            self.release(tx, replaced).await?;
        }
        OBJECTS.put(tx, &at, &entry);
        Ok(entry)
    }

    /// Deletes the current version of a key; what was deleted, if anything was there.
    ///
    /// # Errors
    /// [`CatalogError::NoSuchBucket`], [`CatalogError::PreconditionFailed`], [`CatalogError::NoSuchKey`] (only if a condition needs an object).
    pub async fn delete_object(
        &self,
        bucket: &(BucketName, BucketId),
        key: &ObjectKey,
        preconditions: &Preconditions,
    ) -> Result<Option<Entry>, CatalogError> {
        let at = &(bucket.1, key.clone());
        kv::transact(&*self.kv, |tx| async move {
            check_bucket(&tx, bucket).await?;
            let present = OBJECTS.get_for_update(&tx, at).await?;
            preconditions.check(present.as_ref())?;
            if let Some(entry) = &present {
                OBJECTS.delete(&tx, at);
                self.release(&tx, entry).await?;
            }
            Ok(present)
        })
        .await
    }

    /// Commits rows of a long stream on the way, before its end is known. Nothing refers to them yet.
    ///
    /// # Errors
    /// [`CatalogError::SessionEnded`].
    pub async fn commit_segments(&self, session: SessionId, rows: &StreamCommit) -> Result<(), CatalogError> {
        kv::transact(&*self.kv, |tx| async move {
            self.check_session(&tx, session).await?;
            write_stream(&tx, rows)
        })
        .await
    }

    /// The time a new version of a key gets: now, but later than the one it follows.
    pub(crate) fn after(&self, present: Option<&Entry>) -> Timestamp {
        let floor = present.map_or(0, |entry| entry.modified.0.saturating_add(1));
        Timestamp(self.now().0.max(floor))
    }

    /// Takes the wraps of `entry` away at once and leaves the rest of it to collect.
    pub(crate) async fn release(&self, tx: &Tx, entry: &Entry) -> Result<(), CatalogError> {
        let wraps = WRAPS.scan(tx, KeyPrefix::of(&entry.manifest), usize::MAX).await?;
        for (key, _) in wraps {
            WRAPS.delete(tx, &key);
        }
        DETAILS.delete(tx, &entry.manifest);
        match entry.body {
            Body::Inline => INLINE.delete(tx, &entry.manifest),
            Body::Extents { pages } => self.put_release(tx, entry.manifest, &Release::Version { pages })?,
        }
        Ok(())
    }
}

/// The bucket must still be the one the request began with, and stay open until the commit.
pub(crate) async fn check_bucket(tx: &Tx, (name, id): &(BucketName, BucketId)) -> Result<(), CatalogError> {
    match BUCKETS.get_shared(tx, name).await? {
        Some(bucket) if bucket.id != *id => Err(CatalogError::NoSuchBucket(name.clone())),
        Some(bucket) if bucket.state == BucketState::Deleting => Err(CatalogError::BucketBusy(name.clone())),
        Some(_) => Ok(()),
        None => Err(CatalogError::NoSuchBucket(name.clone())),
    }
}

/// A stream that gains a reference must be whole, and stay so until the commit.
pub(crate) async fn check_whole(tx: &Tx, stream: StreamId) -> Result<StreamRow, CatalogError> {
    match STREAMS.get_shared(tx, &stream).await? {
        Some(row) if row.state == StreamState::Whole => Ok(row),
        _ => Err(CatalogError::StreamDying(stream)),
    }
}

/// Lets part `part` of `manifest` refer to `stream`, with the key that opens it.
pub(crate) async fn refer(
    tx: &Tx,
    manifest: ManifestId,
    part: u32,
    stream: StreamId,
    wrap: &WrappedKey,
) -> Result<(), CatalogError> {
    // Read for update, because dropping another part's reference to the same stream decides by it (`garbage::unrefer`).
    WRAPS.get_for_update(tx, &(manifest, stream)).await?;
    WRAPS.put(tx, &(manifest, stream), wrap);
    REFERENCES.put(tx, &(stream, manifest, part), &());
    Ok(())
}

/// Writes the pages of a manifest; how many there are.
pub(crate) fn write_extents<'a>(
    tx: &Tx,
    manifest: ManifestId,
    extents: impl Iterator<Item = &'a Extent>,
) -> Result<u32, CatalogError> {
    let extents: Vec<&Extent> = extents.collect();
    let mut pages = 0;
    for page in extents.chunks(EXTENTS_PER_PAGE) {
        let page: Vec<Extent> = page.iter().map(|extent| (*extent).clone()).collect();
        EXTENTS.put(tx, &(manifest, pages), &page);
        pages += 1;
    }
    Ok(pages)
}

pub(crate) fn write_stream(tx: &Tx, commit: &StreamCommit) -> Result<(), CatalogError> {
    STREAMS.put(tx, &commit.id, &commit.row);
    for (index, segment) in (commit.first..).zip(&commit.segments) {
        let id = SegmentId { stream: commit.id, index };
        SEGMENTS.put(tx, &id, segment);
        SEGMENTS_OF_GROUP.put(tx, &(segment.group, id), &());
        if !segment.missed.is_empty() {
            DEGRADED.put(tx, &(segment.group, id), &());
        }
    }
    Ok(())
}

/// Which checksum a listing names: the first that is not the MD5 the entity tag shows anyway.
fn listed_checksum(detail: &Detail) -> Option<(ChecksumAlgorithm, ChecksumKind)> {
    detail.checksums.first().map(|checksum| (checksum.algorithm, checksum.kind))
}
