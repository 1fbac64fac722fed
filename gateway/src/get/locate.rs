//! Locate: from a range of an object to the windows of rows that hold it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use codec::{Rotation, SegmentLayout};
use metadata::records::{PlacementGroup, SegmentRow, StreamRow};
use metadata::{Catalog, CatalogError, Extent, Located, LocatedBody};
use seal::stream::StreamCipher;
use seal::{CHUNK, Span};
use types::{GroupId, SEGMENT_MAX, SegmentId, ShardId, Slot, StreamId};

use super::GetError;
use crate::keys::WrappingKeys;
use crate::put::CustomerKey;

/// Chunks of a full segment.
const SEGMENT_CHUNKS: u32 = (SEGMENT_MAX / CHUNK as u64) as u32;

/// A range of one stream's plaintext, with the key that opens it.
pub(crate) struct StreamRange {
    pub(crate) stream: StreamId,
    pub(crate) range: Range<u64>,
    pub(crate) cipher: Arc<StreamCipher>,
}

/// A run of chunks of one segment: what is gathered and opened in one go.
#[derive(Clone)]
pub(crate) struct Window {
    pub(crate) segment: Arc<Segment>,
    /// Chunks, counted from the segment's first.
    pub(crate) chunks: Range<u32>,
    /// Plaintext bytes to leave out at the start and to keep after that.
    pub(crate) skip: usize,
    pub(crate) take: usize,
    pub(crate) cipher: Arc<StreamCipher>,
}

/// Everything a read needs to know of a segment.
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) row: SegmentRow,
    pub(crate) group_id: GroupId,
    pub(crate) group: PlacementGroup,
    pub(crate) layout: SegmentLayout,
    pub(crate) rotation: Rotation,
    /// Whether its last chunk is the stream's last.
    pub(crate) ends_stream: bool,
}

impl Segment {
    /// Loads one segment of a stream.
    pub(crate) async fn load(
        catalog: &Catalog,
        id: SegmentId,
        stream: &StreamRow,
    ) -> Result<Self, GetError> {
        let row = catalog.segment(id).await?;
        let row = row.ok_or_else(|| CatalogError::Corrupt(format!("segment {id} is gone")))?;
        let group = catalog.group(row.group).await?;
        let geometry = group.geometry.geometry();
        let layout = SegmentLayout::new(geometry.k, row.len)?;
        let rotation = Rotation::of(id, geometry.n);
        let ends_stream = id.index + 1 == stream.segments;
        Ok(Self { id, group_id: row.group, row, group, layout, rotation, ends_stream })
    }

    /// One slot's shard.
    pub(crate) fn shard(&self, slot: Slot) -> ShardId {
        ShardId { group: self.group_id, segment: self.id, slot }
    }

    /// Chunks in the segment.
    pub(crate) fn chunks(&self) -> u32 {
        self.row.len.div_ceil(CHUNK as u64) as u32
    }
}

/// Walks the windows of a range, loading segments as it comes to them.
pub(crate) struct Windows {
    catalog: Catalog,
    ranges: VecDeque<StreamRange>,
    /// The stream being walked: its row, and the chunks still to come.
    at: Option<Walk>,
}

struct Walk {
    stream: StreamRow,
    id: StreamId,
    cipher: Arc<StreamCipher>,
    chunks: Range<u32>,
    skip: usize,
    take: u64,
    segment: Option<Arc<Segment>>,
}

impl Windows {
    pub(crate) fn new(catalog: Catalog, ranges: VecDeque<StreamRange>) -> Self {
        Self { catalog, ranges, at: None }
    }

    /// The next window, of about `bytes` ciphertext bytes and never across a segment's end.
    pub(crate) async fn next(&mut self, bytes: u64) -> Result<Option<Window>, GetError> {
        loop {
            if let Some(walk) = &mut self.at
                && !walk.chunks.is_empty()
            {
                return walk.window(&self.catalog, bytes).await.map(Some);
            }
            let Some(range) = self.ranges.pop_front() else { return Ok(None) };
            self.at = Some(Walk::begin(&self.catalog, range).await?);
        }
    }
}

impl Walk {
    async fn begin(catalog: &Catalog, range: StreamRange) -> Result<Self, GetError> {
        let id = range.stream;
        let stream = catalog.stream(id).await?;
        let stream = stream.ok_or_else(|| CatalogError::Corrupt(format!("stream {id} is gone")))?;
        if range.range.end > stream.len {
            return Err(
                CatalogError::Corrupt(format!("an extent reaches beyond stream {id}")).into()
            );
        }
        let span = Span::of(stream.len, &range.range);
        let take = range.range.end - range.range.start;
        Ok(Self {
            stream,
            id,
            cipher: range.cipher,
            chunks: span.chunks,
            skip: span.skip,
            take,
            segment: None,
        })
    }

    async fn window(&mut self, catalog: &Catalog, bytes: u64) -> Result<Window, GetError> {
        let first = self.chunks.start;
        let index = first / SEGMENT_CHUNKS;
        let segment = match &self.segment {
            Some(segment) if segment.id.index == index => Arc::clone(segment),
            _ => Arc::new(
                Segment::load(catalog, SegmentId { stream: self.id, index }, &self.stream).await?,
            ),
        };
        self.segment = Some(Arc::clone(&segment));
        let base = index * SEGMENT_CHUNKS;
        let wish = u32::try_from(bytes / CHUNK as u64).unwrap_or(u32::MAX).max(1);
        // Windows end on row boundaries, so that each asks every node for one run of units.
        let per_row = segment.layout.k() as u32;
        let wish_end = (first - base).saturating_add(wish).next_multiple_of(per_row);
        let end = wish_end.min(segment.chunks()).min(self.chunks.end - base);
        let chunks = first - base..end;
        let plain = chunk_bytes(&segment, &chunks);
        let skip = std::mem::take(&mut self.skip);
        let take = usize::try_from(self.take).unwrap_or(usize::MAX).min(plain.saturating_sub(skip));
        self.take -= take as u64;
        self.chunks.start = base + end;
        Ok(Window { segment, chunks, skip, take, cipher: Arc::clone(&self.cipher) })
    }
}

/// Plaintext bytes in a run of a segment's chunks.
fn chunk_bytes(segment: &Segment, chunks: &Range<u32>) -> usize {
    let start = u64::from(chunks.start) * CHUNK as u64;
    let end = (u64::from(chunks.end) * CHUNK as u64).min(segment.row.len);
    (end - start) as usize - chunks.len() * seal::TAG
}

/// The streams of an object that a range touches, with their keys. All keys are unwrapped now: a delete takes the wraps away at once.
pub(crate) async fn stream_ranges(
    located: &Located,
    extents: &[Extent],
    range: &Range<u64>,
    keys: &WrappingKeys,
    customer: Option<&CustomerKey>,
) -> Result<VecDeque<StreamRange>, GetError> {
    let mut found = VecDeque::new();
    let mut at = 0;
    for extent in extents {
        let (begin, end) = (at, at + extent.len);
        at = end;
        let from = range.start.max(begin);
        let to = range.end.min(end);
        if from >= to {
            continue;
        }
        let cipher = Arc::new(cipher_of(located, extent.stream, keys, customer).await?);
        let range = extent.offset + (from - begin)..extent.offset + (to - begin);
        found.push_back(StreamRange { stream: extent.stream, range, cipher });
    }
    Ok(found)
}

/// The cipher of one of the object's streams.
pub(crate) async fn cipher_of(
    located: &Located,
    stream: StreamId,
    keys: &WrappingKeys,
    customer: Option<&CustomerKey>,
) -> Result<StreamCipher, GetError> {
    let wrapped = located.wrap(stream).await?;
    let under = keys.unwrap(wrapped.wrapping(), customer).await?;
    Ok(StreamCipher::new(&seal::unwrap(&wrapped, stream, &under)?))
}

/// The body of a located object.
pub(crate) async fn body(located: &Located) -> Result<LocatedBody, GetError> {
    Ok(located.body().await?)
}
