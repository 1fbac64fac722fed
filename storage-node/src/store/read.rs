//! Giving shards back, in steps, each with the proof that it belongs to the shard's root.
//!
//! Nothing is hashed here: the proof comes from the outboard in the record's trailer, and the gateway checks it. Bytes are read in pieces
//! of at least [`READ_BATCH`], each by one `pread`: at once if the system has the bytes in memory, else on the blocking pool.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use codec::hash::{GROUP, Outboard, SliceProof};
use types::{Epoch, KIB, Root, ShardId};

use crate::error::Error;
use crate::store::Inner;
use crate::store::entry::{Change, PutRef};
use crate::store::log::Log;
use crate::store::recent::Recent;
use crate::store::record::{Place, body_at};
use crate::store::walk;

/// Bytes of one read, unless a step is larger: fewer would cost more in switching than in reading.
pub(super) const READ_BATCH: u64 = 256 * KIB;
/// Bytes that may be copied out of the system's memory on an async thread: about 50 µs of work.
const READ_HERE_MAX: usize = 512 * KIB as usize;
/// Bytes of outboards kept in memory. One of a shard of 8 MiB takes 32 KiB with its upper levels, one of 64 KiB 250 bytes.
const OUTBOARDS_MAX: usize = 2 * types::MIB as usize;

/// A shard that can be read. The bytes stay readable while it lives, even if the shard is dropped meanwhile.
#[derive(Clone)]
pub struct Shard {
    inner: Arc<Inner>,
    id: ShardId,
    log: Arc<Log>,
    put: PutRef,
}

/// The steps of a read, in order.
pub struct Slices {
    shard: Shard,
    /// `None` if the one step is the whole shard: its root proves it.
    outboard: Option<Arc<Outboard>>,
    rest: Range<u64>,
    step: u64,
    ready: VecDeque<(SliceProof, Bytes)>,
}

impl Shard {
    pub(crate) fn new(inner: Arc<Inner>, id: ShardId, log: Arc<Log>, put: PutRef) -> Self {
        Self { inner, id, log, put }
    }

    /// Its bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.put.len
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.put.len == 0
    }

    /// Its root, as it was computed when it came.
    #[must_use]
    pub fn root(&self) -> Root {
        self.put.root
    }

    /// The group's epoch under which it was stored.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.put.epoch
    }

    /// Where its record lies.
    #[must_use]
    pub fn place(&self) -> Place {
        self.put.place
    }

    /// Prepares to read `len` bytes from `offset` in steps of `step`. All but the last step end on a multiple of the hash group (16 KiB).
    ///
    /// # Errors
    /// [`Error::Range`] for bytes the shard does not have or borders within a group, [`Error::Rot`] if its record is damaged.
    pub async fn slices(&self, offset: u64, len: u64, step: u64) -> Result<Slices, Error> {
        let shard_len = self.put.len;
        let end = offset.saturating_add(len);
        let fits = len > 0 && end <= shard_len && step > 0 && step.is_multiple_of(GROUP);
        let aligned =
            offset.is_multiple_of(GROUP) && (end.is_multiple_of(GROUP) || end == shard_len);
        if !fits || !aligned {
            return Err(Error::Range { offset, len, shard_len });
        }
        let whole = len == shard_len && step >= len;
        let outboard = if whole { None } else { Some(self.outboard().await?) };
        let ready = VecDeque::new();
        Ok(Slices { shard: self.clone(), outboard, rest: offset..end, step, ready })
    }

    /// The label it was stored with.
    ///
    /// # Errors
    /// [`Error::Rot`] if its record is damaged.
    pub async fn label(&self) -> Result<Bytes, Error> {
        let shard = self.clone();
        let label = tokio::task::spawn_blocking(move || {
            let (put, key) = (&shard.put, shard.inner.logs.key());
            let ends = walk::read_put(&shard.log, key, put.place, usize::from(put.label_len));
            ends.map(|ends| ends.map(|(header, _)| header.label))
        });
        match label.await.map_err(|_| Error::Closed)? {
            Ok(Some(label)) => Ok(label),
            Ok(None) => Err(self.rotten().await),
            Err(error) => Err(self.unreadable(error).await),
        }
    }

    async fn outboard(&self) -> Result<Arc<Outboard>, Error> {
        if let Some(outboard) = self.inner.outboards.get(self.put.place) {
            return Ok(outboard);
        }
        let shard = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let (put, key) = (&shard.put, shard.inner.logs.key());
            let ends = walk::read_put(&shard.log, key, put.place, usize::from(put.label_len))?;
            Ok(ends.and_then(|(header, trailer)| {
                let outboard = Outboard::from_bytes(&trailer.outboard).ok()?;
                let fits = header.shard == shard.id && trailer.root == put.root;
                (fits && outboard.root() == put.root).then_some(outboard)
            }))
        });
        match read.await.map_err(|_| Error::Closed)? {
            Ok(Some(outboard)) => {
                let outboard = Arc::new(outboard);
                self.inner.outboards.keep(self.put.place, &outboard);
                Ok(outboard)
            }
            Ok(None) => Err(self.rotten().await),
            Err(error) => Err(self.unreadable(error).await),
        }
    }

    async fn read(&self, range: Range<u64>) -> Result<Bytes, Error> {
        let log = Arc::clone(&self.log);
        let at = self.put.place.offset + body_at(usize::from(self.put.label_len)) + range.start;
        let len = (range.end - range.start) as usize;
        // Most reads of a busy node are of bytes in memory: copying them here is cheaper than waking another thread for it.
        if len <= READ_HERE_MAX {
            let mut buffer = self.inner.buffers.take(len);
            if log.file.read_cached(at, buffer.memory()) {
                return Ok(buffer.freeze());
            }
        }
        let read = tokio::task::spawn_blocking(move || log.file.read_at(at, len));
        match read.await.map_err(|_| Error::Closed)? {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) => Err(self.unreadable(error).await),
        }
    }

    /// What a failed read means: bytes that the medium has lost are rot; anything else, such as too many open files, says nothing of them.
    async fn unreadable(&self, error: io::Error) -> Error {
        tracing::warn!(shard = %self.id, %error, "a shard cannot be read");
        if is_loss(&error) { self.rotten().await } else { Error::io("read a shard")(error) }
    }

    /// Notes that the shard is damaged, so that it is not offered again.
    pub(crate) async fn rotten(&self) -> Error {
        let change = [(self.id, Change::Rot(self.put.place))];
        match self.inner.index.update(&change, None).await {
            Ok(effects) => self.inner.settle(&effects),
            Err(error) => tracing::error!(shard = %self.id, %error, "rot cannot be noted"),
        }
        Error::Rot(self.id)
    }
}

impl Slices {
    /// The next step: its proof and its bytes; `None` after the last.
    ///
    /// # Errors
    /// [`Error::Rot`] if the disk does not give the bytes.
    pub async fn next(&mut self) -> Result<Option<(SliceProof, Bytes)>, Error> {
        if self.ready.is_empty() && !self.rest.is_empty() {
            let steps = (READ_BATCH / self.step).max(1);
            let end = (self.rest.start + steps * self.step).min(self.rest.end);
            let mut bytes = self.shard.read(self.rest.start..end).await?;
            let len = self.shard.put.len;
            while self.rest.start < end {
                let until = (self.rest.start + self.step).min(end);
                let range = self.rest.start..until;
                let piece = bytes.split_to((until - self.rest.start) as usize);
                let proof = match &self.outboard {
                    Some(outboard) => outboard
                        .prove(len, range)
                        .map_err(|error| Error::Damaged(error.to_string()))?,
                    None => SliceProof::default(),
                };
                self.ready.push_back((proof, piece));
                self.rest.start = until;
            }
        }
        Ok(self.ready.pop_front())
    }
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard")
            .field("id", &self.id)
            .field("put", &self.put)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Slices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slices")
            .field("shard", &self.shard.id)
            .field("rest", &self.rest)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

/// Whether a read failed because the bytes are not there any more: the file was cut, or the disk cannot read the sector.
fn is_loss(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
        || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// The outboards read last. A place is never given out twice, so nothing in here grows stale.
pub(crate) struct Outboards(Mutex<Recent<Place, Arc<Outboard>>>);

impl Default for Outboards {
    fn default() -> Self {
        Self(Mutex::new(Recent::new(OUTBOARDS_MAX)))
    }
}

impl Outboards {
    fn get(&self, place: Place) -> Option<Arc<Outboard>> {
        self.kept().get(place)
    }

    fn keep(&self, place: Place, outboard: &Arc<Outboard>) {
        self.kept().keep(place, Arc::clone(outboard), outboard.memory());
    }

    fn kept(&self) -> MutexGuard<'_, Recent<Place, Arc<Outboard>>> {
        // At worst something was forgotten half-way; it is read again then.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
