//! Taking a shard in while it arrives.
//!
//! The bytes go to their final place at once; only the trailer waits for the committer. A put that is dropped before
//! [`Put::finish`] leaves dead bytes behind, and nothing else.

use std::sync::Arc;

use bytes::Bytes;
use codec::hash::ShardHasher;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use types::{Epoch, KIB, ShardId};

use crate::error::Error;
use crate::store::Inner;
use crate::store::commit::{Job, Original, PutJob, Stored};
use crate::store::log::{Purpose, Reservation};
use crate::store::record::{Checksum, LABEL_MAX, PutHeader};

/// Bytes gathered before a blocking task writes them: fewer would cost more in switching than in writing.
const WRITE_BATCH: usize = 256 * KIB as usize;
/// Pieces gathered before they are written, however small they are: each costs its owner a buffer.
const WRITE_PIECES: usize = 512;

/// What is known of a shard before its bytes come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewShard {
    /// Its id.
    pub shard: ShardId,
    /// The group's epoch as the writer knows it.
    pub epoch: Epoch,
    /// Its bytes.
    pub len: u64,
    /// Opaque to the store; at most 512 bytes.
    pub label: Bytes,
}

/// A shard that is being written. Holds at most two write batches in memory.
pub struct Put {
    inner: Arc<Inner>,
    jobs: mpsc::Sender<Job>,
    reservation: Arc<Reservation>,
    header: PutHeader,
    checksum: Checksum,
    pending: Vec<Bytes>,
    pending_len: usize,
    /// How many bytes of `pending` are the record's header.
    pending_head: usize,
    /// Where `pending` goes, from the record's start.
    pending_at: u64,
    received: u64,
    hashing: Hashing,
    original: Option<Original>,
}

/// The hasher is here, or away with the batch that is being written.
enum Hashing {
    Here(Box<ShardHasher>),
    Away(JoinHandle<Result<Box<ShardHasher>, Error>>),
    Failed,
}

impl Put {
    /// Claims the room for the whole record.
    pub(crate) async fn begin(
        inner: Arc<Inner>,
        jobs: mpsc::Sender<Job>,
        new: NewShard,
        original: Option<Original>,
    ) -> Result<Self, Error> {
        inner.check_whole()?;
        let header =
            PutHeader { shard: new.shard, epoch: new.epoch, len: new.len, label: new.label };
        if header.label.len() > LABEL_MAX {
            let size = header.label.len() as u64;
            return Err(Error::TooLarge { what: "a label", size, limit: LABEL_MAX as u64 });
        }
        let limit = inner.logs.limits().record_max();
        if header.len > limit || header.span() > limit {
            return Err(Error::TooLarge { what: "a shard", size: header.len, limit });
        }
        let purpose = if original.is_some() { Purpose::Upkeep } else { Purpose::Put };
        let reservation = inner.reserve(header.span(), purpose).await?;
        let (bytes, checksum) = header.encode(inner.logs.key(), reservation.place);
        Ok(Self {
            inner,
            jobs,
            reservation: Arc::new(reservation),
            header,
            checksum,
            pending_len: bytes.len(),
            pending_head: bytes.len(),
            pending: vec![bytes.into()],
            pending_at: 0,
            received: 0,
            hashing: Hashing::Here(Box::default()),
            original,
        })
    }

    /// Takes the next bytes. Waits only when the disk is slower than the sender.
    ///
    /// # Errors
    /// [`Error::Length`] for bytes beyond the announced length, [`Error::Io`] and [`Error::Full`] if an earlier batch could not be
    /// written. The put is lost then.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.received += bytes.len() as u64;
        if self.received > self.header.len {
            return Err(self.wrong_length());
        }
        self.pending_len += bytes.len();
        self.pending.push(bytes);
        if self.pending_len >= WRITE_BATCH || self.pending.len() >= WRITE_PIECES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Makes the shard durable and findable; returns after both. If the returned future is dropped, either may still happen.
    ///
    /// # Errors
    /// [`Error::Length`] if bytes are missing, [`Error::Full`], [`Error::Io`], [`Error::Broken`], [`Error::Closed`].
    pub async fn finish(mut self) -> Result<Stored, Error> {
        if self.received != self.header.len {
            return Err(self.wrong_length());
        }
        let hasher = self.hasher().await?;
        let (answer, answered) = oneshot::channel();
        let reservation = Arc::into_inner(self.reservation)
            .expect("the writer gave its share back before the hasher");
        let job = PutJob {
            reservation,
            header: self.header,
            checksum: self.checksum,
            rest: self.pending,
            rest_at: self.pending_at,
            rest_head: self.pending_head,
            hasher: *hasher,
            original: self.original,
            answer,
        };
        self.jobs.send(Job::Put(Box::new(job))).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }

    /// Hands what is pending to a blocking task, once the batch before it is written.
    async fn flush(&mut self) -> Result<(), Error> {
        let mut hasher = self.hasher().await?;
        let pieces = std::mem::take(&mut self.pending);
        let head = std::mem::take(&mut self.pending_head);
        let at = self.reservation.place.offset + self.pending_at;
        self.pending_at += std::mem::take(&mut self.pending_len) as u64;
        let reservation = Arc::clone(&self.reservation);
        self.hashing = Hashing::Away(tokio::task::spawn_blocking(move || {
            let buffers: Vec<&[u8]> = pieces.iter().map(|piece| &piece[..]).collect();
            reservation.log.file.write_at(at, &buffers).map_err(Error::io("write a shard"))?;
            drop(reservation);
            let mut skip = head;
            for piece in &pieces {
                let head = skip.min(piece.len());
                hasher.update(&piece[head..]);
                skip -= head;
            }
            Ok(hasher)
        }));
        Ok(())
    }

    /// Waits for the batch under way. Cancel-safe: the batch is waited for again by the next call.
    async fn hasher(&mut self) -> Result<Box<ShardHasher>, Error> {
        if let Hashing::Away(task) = &mut self.hashing {
            let done = task.await;
            self.hashing = Hashing::Failed;
            return done.map_err(|_| Error::Closed)?;
        }
        match std::mem::replace(&mut self.hashing, Hashing::Failed) {
            Hashing::Here(hasher) => Ok(hasher),
            Hashing::Away(_) | Hashing::Failed => {
                Err(Error::Broken("an earlier write of this shard failed".to_owned()))
            }
        }
    }

    fn wrong_length(&self) -> Error {
        Error::Length { announced: self.header.len, received: self.received }
    }
}

impl std::fmt::Debug for Put {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Put")
            .field("shard", &self.header.shard)
            .field("received", &self.received)
            .field("closing", &self.inner.is_broken())
            .finish_non_exhaustive()
    }
}
