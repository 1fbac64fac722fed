//! Seal: plaintext becomes rows of encrypted, erasure-coded units, and every shard's root is computed on the way.

use bytes::{Buf, Bytes, BytesMut};
use codec::{ErasureCoder, RootHasher, Row, SegmentLayout};
use seal::stream::StreamCipher;
use seal::{CHUNK, CHUNK_PLAIN, TAG};
use types::{Root, UNIT};

use super::PutError;

/// Plaintext is worked on in batches of about this many ciphertext bytes: large enough that handing them between threads is
/// cheap, small enough that a request's memory is.
const BATCH: usize = 1 << 20;

/// Chunks of a full segment.
pub(crate) const SEGMENT_CHUNKS: u64 = types::SEGMENT_MAX / CHUNK as u64;
/// Plaintext bytes of a full segment.
pub(crate) const SEGMENT_PLAIN: u64 = SEGMENT_CHUNKS * CHUNK_PLAIN as u64;

const _: () = assert!(CHUNK as u64 == UNIT, "a unit of a full row is one chunk");

/// How many plaintext bytes make a batch of whole rows over `k` data shards.
pub(crate) fn batch_plain(k: usize) -> usize {
    (BATCH / (k * CHUNK)).max(1) * k * CHUNK_PLAIN
}

/// Seals one segment of a stream. Lives on the computing threads: made, moved there and back with each batch.
pub(crate) struct SegmentSealer {
    cipher: std::sync::Arc<StreamCipher>,
    coder: Box<dyn ErasureCoder>,
    layout: SegmentLayout,
    /// Next row.
    row: u32,
    /// Next chunk of the stream.
    chunk: u32,
    /// Whether the stream ends with this segment.
    ends_stream: bool,
    /// Chunks of the segment that are still to be sealed.
    chunks_left: u64,
    roots: Vec<RootHasher>,
}

/// A run of rows: for each code index the units of all of them, one after the other.
pub(crate) type Units = Vec<Bytes>;

impl SegmentSealer {
    /// A sealer for the segment of `plain` plaintext bytes that begins at chunk `first_chunk` of its stream.
    pub(crate) fn new(
        cipher: std::sync::Arc<StreamCipher>,
        coder: Box<dyn ErasureCoder>,
        plain: u64,
        first_chunk: u32,
        ends_stream: bool,
    ) -> Result<Self, PutError> {
        let layout = SegmentLayout::new(coder.k(), seal::stream::ciphertext_len(plain))?;
        let roots = (0..coder.n()).map(|_| RootHasher::new()).collect();
        let chunks_left = seal::stream::chunks(plain);
        Ok(Self {
            cipher,
            coder,
            layout,
            row: 0,
            chunk: first_chunk,
            ends_stream,
            chunks_left,
            roots,
        })
    }

    pub(crate) fn layout(&self) -> SegmentLayout {
        self.layout
    }

    /// Seals and codes a batch: whole rows, or everything up to the segment's end. The pieces hold exactly that plaintext.
    pub(crate) fn batch(&mut self, pieces: Vec<Bytes>) -> Result<Units, PutError> {
        let mut plain = Pieces(pieces.into_iter().filter(|piece| !piece.is_empty()).collect());
        let (k, n) = (self.coder.k(), self.coder.n());
        let rows: Vec<Row> = self.rows_of(plain.remaining());
        let unit_bytes: usize = rows.iter().map(|row| row.unit_len).sum();
        // One zeroed allocation for all shards of the batch; each goes its own way as a slice of it.
        let mut shards: Vec<BytesMut> = (0..n).map(|_| BytesMut::zeroed(unit_bytes)).collect();
        let mut at = 0;
        for row in rows {
            let end = at + row.unit_len;
            let (data, parity) = shards.split_at_mut(k);
            if row.unit_len == CHUNK && row.data_len == k * CHUNK {
                for shard in data.iter_mut() {
                    self.seal_chunk(&mut plain, &mut shard[at..end])?;
                }
            } else {
                self.seal_tail(&mut plain, &row, data, at)?;
            }
            let data: Vec<&[u8]> = data.iter().map(|shard| &shard[at..end]).collect();
            let mut parity: Vec<&mut [u8]> =
                parity.iter_mut().map(|shard| &mut shard[at..end]).collect();
            self.coder.encode(row.unit_len, &data, &mut parity)?;
            at = end;
        }
        for (root, shard) in self.roots.iter_mut().zip(&shards) {
            root.update(shard);
        }
        Ok(shards.into_iter().map(BytesMut::freeze).collect())
    }

    /// The roots by code index, once every row is sealed.
    pub(crate) fn roots(&self) -> Vec<Root> {
        self.roots.iter().map(RootHasher::finish).collect()
    }

    /// The next rows, as many as `plain` bytes of plaintext fill.
    fn rows_of(&mut self, plain: usize) -> Vec<Row> {
        let chunks = (plain.div_ceil(CHUNK_PLAIN) as u64).max(u64::from(plain == 0));
        let mut cipher = plain + chunks as usize * TAG;
        let mut rows = Vec::new();
        while cipher > 0 && self.row < self.layout.rows() {
            let row = self.layout.row(self.row);
            cipher = cipher.saturating_sub(row.data_len);
            rows.push(row);
            self.row += 1;
        }
        debug_assert_eq!(cipher, 0, "a batch is whole rows");
        rows
    }

    /// Seals the row in which chunks and units do not coincide: the segment's last. Its ciphertext is made in one piece and cut.
    fn seal_tail(
        &mut self,
        plain: &mut Pieces,
        row: &Row,
        data: &mut [BytesMut],
        at: usize,
    ) -> Result<(), PutError> {
        let mut cipher = vec![0; row.data_len];
        for chunk in cipher.chunks_mut(CHUNK) {
            self.seal_chunk(plain, chunk)?;
        }
        for (unit, shard) in cipher.chunks(row.unit_len).zip(data) {
            shard[at..at + unit.len()].copy_from_slice(unit);
        }
        Ok(())
    }

    fn seal_chunk(&mut self, plain: &mut Pieces, into: &mut [u8]) -> Result<(), PutError> {
        let text = into.len() - TAG;
        plain.copy_to_slice(&mut into[..text]);
        self.chunks_left -= 1;
        let last = self.ends_stream && self.chunks_left == 0;
        self.cipher.seal_chunk(self.chunk, last, into)?;
        // The count ends with the stream; a stream of 2³² chunks does not exist.
        self.chunk = self.chunk.wrapping_add(1);
        Ok(())
    }
}

/// Several pieces, none of them empty, read as one run of bytes.
struct Pieces(std::collections::VecDeque<Bytes>);

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], |piece| piece)
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let Some(front) = self.0.front_mut() else { return };
            let step = count.min(front.len());
            front.advance(step);
            count -= step;
            if front.is_empty() {
                self.0.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use codec::SchemeId;
    use seal::DataKey;

    use super::*;

    /// Opens what the data shards hold, chunk by chunk.
    fn open(key: &DataKey, layout: SegmentLayout, shards: &[Vec<u8>], plain: u64) -> Vec<u8> {
        let mut cipher = Vec::new();
        for row in layout.iter() {
            let mut left = row.data_len;
            for shard in shards.iter().take(layout.k()) {
                let take = left.min(row.unit_len);
                let at = row.shard_offset as usize;
                cipher.extend_from_slice(&shard[at..at + take]);
                left -= take;
            }
        }
        let opener = StreamCipher::new(key);
        let chunks = seal::stream::chunks(plain) as usize;
        let mut text = Vec::new();
        for (index, chunk) in cipher.chunks_mut(CHUNK).enumerate() {
            let opened =
                opener.open_chunk(index as u32, index + 1 == chunks, chunk).expect("opens");
            text.extend_from_slice(opened);
        }
        text
    }

    #[test]
    fn what_is_sealed_in_batches_opens_to_the_same_bytes() {
        let key = DataKey::generate();
        let cipher = Arc::new(StreamCipher::new(&key));
        for plain in [0, 1, 65_519, 65_520, 65_521, 262_080, 262_081, 1_048_320, 3_000_000] {
            let text: Vec<u8> =
                (0..plain).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let coder = codec::coder(SchemeId::DEFAULT, 4, 6).expect("known");
            let mut sealer =
                SegmentSealer::new(Arc::clone(&cipher), coder, u64::from(plain), 0, true)
                    .expect("a layout");
            let mut shards = vec![Vec::new(); 6];
            let batches: Vec<Bytes> = if plain == 0 {
                vec![Bytes::new()]
            } else {
                text.chunks(batch_plain(4)).map(Bytes::copy_from_slice).collect()
            };
            for batch in batches {
                // Odd pieces, as a network gives them.
                let cut = batch.len() / 3;
                let units =
                    sealer.batch(vec![batch.slice(..cut), batch.slice(cut..)]).expect("sealed");
                for (shard, unit) in shards.iter_mut().zip(units) {
                    shard.extend_from_slice(&unit);
                }
            }
            for (shard, root) in shards.iter().zip(sealer.roots()) {
                assert_eq!(Root::of(shard), root);
                assert_eq!(shard.len() as u64, sealer.layout().shard_len());
            }
            assert_eq!(
                open(&key, sealer.layout(), &shards, u64::from(plain)),
                text,
                "{plain} bytes"
            );
        }
    }
}
