//! A whole stream through seal, place and scatter: the loop that a PUT and a part share.

use std::sync::Arc;

use bytes::Bytes;
use codec::{Rotation, SchemeId};
use metadata::StreamCommit;
use metadata::records::{Encryption, SegmentRow, StreamRow, StreamState};
use seal::stream::StreamCipher;
use seal::{DataKey, Label, WrappedKey};
use tokio::task::JoinHandle;
use types::{BucketId, GeometryName, SegmentId, Slot, StreamId};

use super::abandon::Abandon;
use super::ingest::{Batch, Ingest, Ingested};
use super::scatter::{Durable, Scatter};
use super::seal::{SEGMENT_PLAIN, SegmentSealer, batch_plain};
use super::{CustomerKey, Incoming, PutError, Writer};
use crate::compute;
use crate::digest::Digester;

/// Segments whose rows are kept for the final commit; a longer stream commits some on the way.
const SEGMENTS_PER_COMMIT: usize = 16;

/// What a stream is stored for.
pub(crate) struct StreamPlan<'a> {
    pub(crate) bucket: BucketId,
    pub(crate) key: &'a types::ObjectKey,
    pub(crate) geometry: GeometryName,
    pub(crate) encryption: &'a Encryption,
    pub(crate) customer: Option<&'a CustomerKey>,
}

/// A stream that is durable and whose bytes match all that was said of them, ready to be committed.
pub(crate) struct Stored {
    pub(crate) id: StreamId,
    pub(crate) wrap: WrappedKey,
    pub(crate) commit: StreamCommit,
    pub(crate) ingested: Ingested,
    pub(crate) len: u64,
    pub(crate) durables: Vec<Durable>,
    /// Abandons the stream unless the commit succeeds.
    pub(crate) abandon: Abandon,
}

/// A stream at work.
struct Storing<'a> {
    writer: &'a Writer,
    plan: StreamPlan<'a>,
    id: StreamId,
    wrap: WrappedKey,
    cipher: Arc<StreamCipher>,
    len: u64,
    key_hash: [u8; 32],
    created: types::Timestamp,
    /// Rows not committed yet, beginning with segment `first`.
    first: u32,
    rows: Vec<SegmentRow>,
    durables: Vec<Durable>,
    abandon: Abandon,
    /// The segment before, whose last receipts may still be on their way.
    finishing: Option<Finishing>,
}

type Finishing = JoinHandle<Result<Durable, PutError>>;

/// A digester on its way through the computing threads, and a BLAKE3 of the plaintext beside it.
struct Digesting {
    digester: Digester,
    hash: blake3::Hasher,
}

impl Writer {
    /// Stores the whole of `incoming` as a new stream. Nothing refers to it yet; on error what was stored is abandoned.
    pub(crate) async fn store_stream(
        &self,
        plan: StreamPlan<'_>,
        incoming: Incoming,
    ) -> Result<Stored, PutError> {
        let key = DataKey::generate();
        let id = self.session.new_stream();
        let under = self.keys.wrap(plan.bucket, plan.encryption, plan.customer).await?;
        let storing = Storing {
            writer: self,
            id,
            wrap: seal::wrap(&key, id, &under),
            cipher: Arc::new(StreamCipher::new(&key)),
            len: incoming.len,
            key_hash: *blake3::hash(plan.key.as_str().as_bytes()).as_bytes(),
            created: self.clock.now(),
            first: 0,
            rows: Vec::new(),
            durables: Vec::new(),
            abandon: Abandon::new(self.catalog.clone(), id),
            finishing: None,
            plan,
        };
        storing.run(Ingest::new(incoming)).await
    }
}

impl Storing<'_> {
    async fn run(mut self, mut ingest: Ingest) -> Result<Stored, PutError> {
        let mut digesting = Digesting { digester: ingest.digester(), hash: blake3::Hasher::new() };
        let segments = self.len.div_ceil(SEGMENT_PLAIN).max(1);
        for index in 0..segments {
            let plain = SEGMENT_PLAIN.min(self.len - index * SEGMENT_PLAIN);
            let index = u32::try_from(index).map_err(|_| self.too_long())?;
            let finishing = self.segment(&mut ingest, &mut digesting, index, plain).await?;
            if let Some(before) = self.finishing.replace(finishing) {
                self.finished(before).await?;
            }
        }
        // Digests are compared while the last receipts are on their way.
        let Digesting { digester, hash } = digesting;
        let ingested = ingest.finish(digester.finish()).await?;
        if let Some(last) = self.finishing.take() {
            self.finished(last).await?;
        }
        let row = self.row(
            StreamState::Whole,
            self.first + self.rows.len() as u32,
            *hash.finalize().as_bytes(),
        );
        let commit = StreamCommit { id: self.id, row, first: self.first, segments: self.rows };
        Ok(Stored {
            id: self.id,
            wrap: self.wrap,
            commit,
            ingested,
            len: self.len,
            durables: self.durables,
            abandon: self.abandon,
        })
    }

    /// Reads, seals and sends one segment; its receipts are awaited by the task it gives back.
    async fn segment(
        &mut self,
        ingest: &mut Ingest,
        digesting: &mut Digesting,
        index: u32,
        plain: u64,
    ) -> Result<Finishing, PutError> {
        let geometry = self.plan.geometry.geometry();
        let segment = SegmentId { stream: self.id, index };
        let placed = self.writer.placer.place(self.plan.geometry).await?;
        let coder = codec::coder(SchemeId(placed.group.scheme), geometry.k, geometry.n)?;
        let first_chunk = u64::from(index) * super::seal::SEGMENT_CHUNKS;
        let first_chunk = u32::try_from(first_chunk).map_err(|_| self.too_long())?;
        let ends_stream = (u64::from(index) + 1) * SEGMENT_PLAIN >= self.len;
        let mut sealer =
            SegmentSealer::new(Arc::clone(&self.cipher), coder, plain, first_chunk, ends_stream)?;
        let layout = sealer.layout();
        let rotation = Rotation::of(segment, geometry.n);
        let label = |slot| self.label(&placed, segment, layout.len(), &rotation, slot);
        let mut scatter = Scatter::open(
            &self.writer.nodes,
            &self.writer.clock,
            placed.clone(),
            segment,
            layout.shard_len(),
            label,
        );
        for (node, shard) in scatter.offered() {
            self.abandon.offered(node, shard);
        }
        let mut left = plain;
        // A batch is read while the one before is sealed, hashed and sent.
        let mut batch = self.read(ingest, &mut left, geometry.k).await?;
        loop {
            let work = seal_and_digest(sealer, std::mem::take(digesting), batch);
            let more = left > 0;
            let (worked, next) = futures::future::join(work, async {
                if more {
                    self.read(ingest, &mut left, geometry.k).await.map(Some)
                } else {
                    Ok(None)
                }
            })
            .await;
            let (back, units, digested) = worked;
            (sealer, *digesting) = (back, digested);
            scatter.send(by_slot(units?, &rotation)).await?;
            match next? {
                Some(next) => batch = next,
                None => break,
            }
        }
        let roots = by_slot(sealer.roots(), &rotation);
        Ok(tokio::spawn(async move {
            let mut durable = scatter.finish(roots).await?;
            durable.row.len = layout.len();
            Ok(durable)
        }))
    }

    async fn read(&self, ingest: &mut Ingest, left: &mut u64, k: usize) -> Result<Batch, PutError> {
        let want = usize::try_from(*left).unwrap_or(usize::MAX).min(batch_plain(k));
        let batch = ingest.batch(want).await?;
        let got = batch.len();
        if got < want {
            return Err(PutError::Length {
                got: self.len - *left + got as u64,
                announced: self.len,
            });
        }
        *left -= got as u64;
        Ok(batch)
    }

    /// Takes a durable segment in, and commits rows on the way if many have gathered.
    async fn finished(&mut self, segment: Finishing) -> Result<(), PutError> {
        let durable = segment.await.map_err(|_| PutError::ShuttingDown)??;
        self.rows.push(durable.row.clone());
        self.durables.push(durable);
        if self.rows.len() >= SEGMENTS_PER_COMMIT {
            let count = self.first + self.rows.len() as u32;
            let row = self.row(StreamState::Writing, count, [0; 32]);
            let segments = std::mem::take(&mut self.rows);
            let commit = StreamCommit { id: self.id, row, first: self.first, segments };
            self.writer.catalog.commit_segments(self.writer.session.id(), &commit).await?;
            self.first = count;
            for durable in self.durables.drain(..) {
                durable.settle(&self.writer.catalog, &self.writer.pending);
            }
        }
        Ok(())
    }

    fn row(&self, state: StreamState, segments: u32, hash: [u8; 32]) -> StreamRow {
        StreamRow {
            state,
            geometry: self.plan.geometry,
            bucket: self.plan.bucket,
            key_hash: self.key_hash,
            len: self.len,
            segments,
            hash,
            created: self.created,
        }
    }

    fn label(
        &self,
        placed: &super::place::Placed,
        segment: SegmentId,
        segment_len: u64,
        rotation: &Rotation,
        slot: Slot,
    ) -> Bytes {
        let label = Label {
            segment,
            group: placed.id,
            epoch: placed.group.epoch,
            geometry: self.plan.geometry,
            scheme: placed.group.scheme,
            code_index: rotation.code_index(slot) as u8,
            segment_len,
            plain_offset: u64::from(segment.index) * SEGMENT_PLAIN,
            plain_len: Some(self.len),
            key: self.wrap.clone(),
            bucket: self.plan.bucket,
            object_key_hash: self.key_hash,
        };
        Bytes::from(seal::label::seal(&self.writer.keyring, &label))
    }

    fn too_long(&self) -> PutError {
        PutError::Length { got: self.len, announced: super::PUT_MAX }
    }
}

/// The two computations on a batch, side by side: neither waits for the other's result.
async fn seal_and_digest(
    mut sealer: SegmentSealer,
    mut digesting: Digesting,
    batch: Batch,
) -> (SegmentSealer, Result<Vec<Bytes>, PutError>, Digesting) {
    let sealed = batch.sealed();
    let sealing = compute::run(move || {
        let units = sealer.batch(sealed);
        (sealer, units)
    });
    let hashing = compute::run(move || {
        for piece in &batch.pieces {
            digesting.digester.update(piece);
            digesting.hash.update(piece);
        }
        if batch.padding > 0 {
            digesting.hash.update(&vec![0; batch.padding]);
        }
        digesting
    });
    let ((sealer, units), digesting) = futures::future::join(sealing, hashing).await;
    (sealer, units, digesting)
}

impl Default for Digesting {
    fn default() -> Self {
        Self { digester: Digester::new(&[]), hash: blake3::Hasher::new() }
    }
}

/// From code order to slot order.
fn by_slot<T: Clone>(by_code: Vec<T>, rotation: &Rotation) -> Vec<T> {
    (0..by_code.len()).map(|slot| by_code[rotation.code_index(Slot(slot as u8))].clone()).collect()
}
