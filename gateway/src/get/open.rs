//! Open: verified ciphertext becomes plaintext, in place.

use bytes::{Bytes, BytesMut};
use codec::SegmentLayout;
use seal::CHUNK;

use super::GetError;
use super::gather::Gathered;
use super::locate::Window;

/// Opens a window's chunks and gives the wanted plaintext, in order.
pub(crate) fn open(window: &Window, gathered: Gathered) -> Result<Vec<Bytes>, GetError> {
    let mut opened = Vec::with_capacity(window.chunks.len());
    let segment = &window.segment;
    let base = u64::from(segment.id.index)
        * u64::from(u32::try_from(types::SEGMENT_MAX / CHUNK as u64).unwrap_or(0));
    let (mut skip, mut take) = (window.skip, window.take);
    let mut chunks = Chunks::new(segment.layout, gathered);
    for chunk in window.chunks.clone() {
        let mut bytes = chunks.next(chunk);
        let last = segment.ends_stream && chunk + 1 == segment.chunks();
        let index = (base + u64::from(chunk)) as u32;
        let len = window.cipher.open_chunk(index, last, &mut bytes)?.len();
        bytes.truncate(len);
        let mut plain = bytes.freeze();
        let skipped = skip.min(plain.len());
        plain = plain.split_off(skipped);
        skip -= skipped;
        plain.truncate(take);
        take -= plain.len();
        if !plain.is_empty() {
            opened.push(plain);
        }
    }
    Ok(opened)
}

/// Cuts gathered units into chunks: a unit of a full row is one, uncopied; in the last row chunks lie across units and are put together.
struct Chunks {
    layout: SegmentLayout,
    gathered: Gathered,
    /// Ciphertext of the last row, once it was reached.
    tail: Option<(u64, BytesMut)>,
}

impl Chunks {
    fn new(layout: SegmentLayout, gathered: Gathered) -> Self {
        Self { layout, gathered, tail: None }
    }

    fn next(&mut self, chunk: u32) -> BytesMut {
        let k = self.layout.k() as u32;
        let row = self.layout.row(chunk / k);
        if row.unit_len == CHUNK && row.data_len == k as usize * CHUNK {
            return self.gathered.take((chunk % k) as usize, row.shard_offset, row.unit_len);
        }
        let (begin, tail) = self.tail.get_or_insert_with(|| {
            let mut tail = BytesMut::with_capacity(row.data_len);
            for code in 0..self.layout.k() {
                let len = row.unit_data_len(code);
                if len > 0 {
                    tail.extend_from_slice(&self.gathered.take(code, row.shard_offset, len));
                }
            }
            (row.segment_offset, tail)
        });
        // A window may begin in the middle of the last row.
        let at = u64::from(chunk) * CHUNK as u64;
        let before = (at - *begin) as usize;
        drop(tail.split_to(before));
        *begin = at;
        let len = CHUNK.min(tail.len());
        *begin += len as u64;
        tail.split_to(len)
    }
}
