//! The rows behind a version: streams with their segments, and pages of extents with a reference and a wrap for each.

use kv::Tx;
use seal::wrap::WrappedKey;
use types::{ManifestId, SegmentId, StreamId};

use crate::commit::StreamCommit;
use crate::garbage::Release;
use crate::holdings::Deltas;
use crate::records::{Body, Checksum, Extent, StreamRow, StreamState};
use crate::schema::{
    DEGRADED, EXTENTS, REFERENCES, RELEASES, SEGMENTS, SEGMENTS_OF_GROUP, STREAMS, UNFINISHED,
    WRAPS,
};
use crate::stage::too_late;
use crate::{CatalogError, EXTENTS_PER_PAGE};

/// Bytes of a page of extents; a value may have `kv::VALUE_MAX`.
const PAGE_BYTES: usize = 80_000;
/// Bytes of extents that one transaction may write: what else it writes must fit too.
pub(crate) const EXTENT_BYTES_PER_COMMIT: usize = kv::TRANSACTION_MAX / 2;
/// Bytes of an extent at most, its checksums apart.
const EXTENT_BYTES: usize = 46;
/// Bytes of a checksum at most, its value apart.
const CHECKSUM_BYTES: usize = 9;

const _: () = assert!(PAGE_BYTES < kv::VALUE_MAX);

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
pub(crate) async fn write_extents(
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
        let size = size_of(extent(item));
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

/// Bytes that an extent takes in its page at most.
pub(crate) fn size_of(extent: &Extent) -> usize {
    let checksum = |checksum: &Checksum| CHECKSUM_BYTES + checksum.value.len();
    EXTENT_BYTES + extent.checksums.iter().map(checksum).sum::<usize>()
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
    let mut held = Deltas::default();
    for (index, segment) in (commit.first..).zip(&commit.segments) {
        held.came(segment);
        let id = SegmentId { stream: id, index };
        SEGMENTS.put(tx, &id, segment);
        SEGMENTS_OF_GROUP.put(tx, &(segment.group, id), &());
        if !segment.missed.is_empty() {
            DEGRADED.put(tx, &(segment.group, id), &());
        }
    }
    held.write(tx);
    Ok(())
}
