//! A PUT's end: one transaction after which the object is there, or nothing changed.

use kv::{KeyPrefix, Tx};
use seal::wrap::WrappedKey;
use types::{
    AccountId, BucketId, BucketName, GeometryName, ManifestId, ObjectKey, SegmentId, SessionId,
    StreamId, Timestamp, VersionId,
};

use crate::buckets::once_decided;
use crate::garbage::Release;
use crate::records::{
    Body, BucketState, ChecksumAlgorithm, ChecksumKind, Detail, Entry, Etag, Extent, SegmentRow,
    StreamRow, StreamState,
};
use crate::schema::{
    BUCKETS, DEGRADED, DETAILS, EXTENTS, INLINE, OBJECTS, REFERENCES, RELEASES, SEGMENTS,
    SEGMENTS_OF_GROUP, STREAMS, UNFINISHED, WRAPS,
};
use crate::stage::too_late;
use crate::{Catalog, CatalogError, EXTENTS_PER_PAGE};

/// Bytes of a page of extents; a value may have `kv::VALUE_MAX`.
const PAGE_BYTES: usize = 80_000;
/// Bytes of an extent at most, its checksums apart.
const EXTENT_BYTES: usize = 46;
/// Bytes of a checksum at most, its value apart.
const CHECKSUM_BYTES: usize = 9;

const _: () = assert!(PAGE_BYTES < kv::VALUE_MAX);

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
        let needs_object =
            self.if_match.is_some() || self.size.is_some() || self.modified.is_some();
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
    async fn write_object(
        &self,
        tx: &Tx,
        new: &NewObject,
        staged: bool,
    ) -> Result<(Entry, Option<Entry>), CatalogError> {
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
                write_extents(tx, new.manifest, extents, streams, staged).await?
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
        Ok((entry, present))
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
        let deleted = once_decided(|| {
            kv::transact(&*self.kv, |tx| async move {
                check_bucket(&tx, bucket).await?;
                let present = OBJECTS.get_for_update(&tx, at).await?;
                preconditions.check(present.as_ref())?;
                if let Some(entry) = &present {
                    OBJECTS.delete(&tx, at);
                    self.release(&tx, entry).await?;
                }
                Ok::<_, CatalogError>(present)
            })
        })
        .await?;
        self.forget_wraps(deleted.as_ref()).await;
        Ok(deleted)
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

    /// Takes the wraps of `entry` away at once and leaves the rest of it to collect. Of very many wraps, some are left to
    /// [`Self::forget_wraps`].
    pub(crate) async fn release(&self, tx: &Tx, entry: &Entry) -> Result<(), CatalogError> {
        drop_wraps(tx, entry.manifest).await?;
        DETAILS.delete(tx, &entry.manifest);
        match entry.body {
            Body::Inline => INLINE.delete(tx, &entry.manifest),
            Body::Extents { pages } => {
                self.put_release(tx, entry.manifest, &Release::Version { pages });
            }
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

/// Deletes wraps of a manifest; how many.
async fn drop_wraps(tx: &Tx, manifest: ManifestId) -> Result<usize, CatalogError> {
    let wraps = WRAPS.scan(tx, KeyPrefix::of(&manifest), WRAPS_AT_ONCE).await?;
    for (key, _) in &wraps {
        WRAPS.delete(tx, key);
    }
    Ok(wraps.len())
}

/// The bucket must still be the one the request began with, and stay open until the commit.
pub(crate) async fn check_bucket(
    tx: &Tx,
    (name, id): &(BucketName, BucketId),
) -> Result<(), CatalogError> {
    match BUCKETS.get_shared(tx, name).await? {
        Some(bucket) if bucket.id != *id => Err(CatalogError::NoSuchBucket(name.clone())),
        Some(bucket) if bucket.state == BucketState::Deleting => {
            Err(CatalogError::BucketBusy(name.clone()))
        }
        Some(_) => Ok(()),
        None => Err(CatalogError::NoSuchBucket(name.clone())),
    }
}

/// A stream that gains a reference must be whole and stay so until the commit, and the extent must lie inside it.
pub(crate) async fn check_whole(
    tx: &Tx,
    stream: StreamId,
    offset: u64,
    len: u64,
) -> Result<(), CatalogError> {
    match STREAMS.get_shared(tx, &stream).await? {
        Some(row) if row.state == StreamState::Whole => check_inside(stream, &row, offset, len),
        _ => Err(CatalogError::StreamDying(stream)),
    }
}

/// An extent must lie inside its stream.
pub(crate) fn check_inside(
    stream: StreamId,
    row: &StreamRow,
    offset: u64,
    len: u64,
) -> Result<(), CatalogError> {
    if offset.checked_add(len).is_some_and(|end| end <= row.len) {
        Ok(())
    } else {
        Err(CatalogError::Corrupt(format!("an extent would reach beyond stream {stream}")))
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

/// Writes the streams that a version brings along, and its extents unless they are staged already.
async fn write_extents(
    tx: &Tx,
    manifest: ManifestId,
    extents: &[(Extent, WrappedKey)],
    streams: &[StreamCommit],
    staged: bool,
) -> Result<Body, CatalogError> {
    for stream in streams {
        write_stream(tx, stream, StreamState::Whole).await?;
    }
    let pages = paged(extents, |(extent, _)| extent);
    if staged {
        let at = (manifest, Release::STAGED);
        RELEASES.get_for_update(tx, &at).await?.ok_or_else(|| too_late(extents))?;
        RELEASES.delete(tx, &at);
    } else {
        for (number, page) in (0..).zip(&pages) {
            refer_page(tx, manifest, number, page, streams).await?;
        }
    }
    Ok(Body::Extents { pages: count(&pages) })
}

/// Writes one page of a manifest, with a reference and a wrap for each extent.
pub(crate) async fn refer_page(
    tx: &Tx,
    manifest: ManifestId,
    number: u32,
    page: &[(Extent, WrappedKey)],
    brought: &[StreamCommit],
) -> Result<(), CatalogError> {
    for (extent, wrap) in page {
        let Extent { stream, offset, len, part, .. } = *extent;
        match brought.iter().find(|commit| commit.id == stream) {
            Some(commit) => check_inside(stream, &commit.row, offset, len)?,
            None => check_whole(tx, stream, offset, len).await?,
        }
        refer(tx, manifest, part, stream, wrap).await?;
    }
    let extents = page.iter().map(|(extent, _)| extent.clone()).collect();
    EXTENTS.put(tx, &(manifest, number), &extents);
    Ok(())
}

/// Cuts a list of extents into the pages of its manifest.
pub(crate) fn paged<T>(items: &[T], extent: impl Fn(&T) -> &Extent) -> Vec<&[T]> {
    let (mut pages, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, item) in items.iter().enumerate() {
        let checksums = &extent(item).checksums;
        let size = EXTENT_BYTES
            + checksums.iter().map(|sum| CHECKSUM_BYTES + sum.value.len()).sum::<usize>();
        if at > start && (at - start == EXTENTS_PER_PAGE || bytes + size > PAGE_BYTES) {
            pages.push(&items[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    if start < items.len() {
        pages.push(&items[start..]);
    }
    pages
}

/// How many pages there are.
pub(crate) fn count<T>(pages: &[T]) -> u32 {
    u32::try_from(pages.len()).unwrap_or(u32::MAX)
}

/// Writes the next rows of a stream, which is in `state` afterwards. They must follow those before them without a gap.
pub(crate) async fn write_stream(
    tx: &Tx,
    commit: &StreamCommit,
    state: StreamState,
) -> Result<(), CatalogError> {
    let id = commit.id;
    let before = STREAMS.get_for_update(tx, &id).await?;
    let known = match &before {
        None if commit.first == 0 => 0,
        Some(row) if row.state == StreamState::Writing => row.segments,
        // It was given up meanwhile.
        _ => return Err(CatalogError::StreamDying(id)),
    };
    let follows = known == commit.first
        && commit.row.state == state
        && u64::from(commit.first) + commit.segments.len() as u64 == u64::from(commit.row.segments);
    if !follows {
        return Err(CatalogError::Corrupt(format!("rows of stream {id} would leave a gap")));
    }
    STREAMS.put(tx, &id, &commit.row);
    match state {
        StreamState::Writing => UNFINISHED.put(tx, &id, &()),
        _ if before.is_some() => UNFINISHED.delete(tx, &id),
        _ => {}
    }
    for (index, segment) in (commit.first..).zip(&commit.segments) {
        let id = SegmentId { stream: id, index };
        SEGMENTS.put(tx, &id, segment);
        SEGMENTS_OF_GROUP.put(tx, &(segment.group, id), &());
        if !segment.missed.is_empty() {
            DEGRADED.put(tx, &(segment.group, id), &());
        }
    }
    Ok(())
}

/// Which checksum a listing names: the first.
pub(crate) fn listed_checksum(detail: &Detail) -> Option<(ChecksumAlgorithm, ChecksumKind)> {
    detail.checksums.first().map(|checksum| (checksum.algorithm, checksum.kind))
}
