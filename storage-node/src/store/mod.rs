//! The shard store: the whole disk behind three verbs, [`Store::put`], [`Store::get`] and [`Store::remove`].
//!
//! ```text
//! put     → log (the bytes, in place) → commit (trailer, one fsync for all) → index → receipt
//! get     → index → log (pread, with proofs from the record's outboard)
//! remove  → commit (a notice, fsynced) → index → trash, after the grace → dead bytes → compact
//! open    → recover (replay what the index has not seen; all of it, if there is no index)
//! ```
//!
//! On disk: `store.toml` (format and key), `NNNNNNNN.log` (everything that matters), `index/` (can be deleted; costs one read of the record
//! headers), `LOCK`.
//!
//! Promises: what was answered survives power loss; what was dropped does not come back, whatever happens to the index; the logs never take more
//! than the quota; memory does not grow with the number of shards.

mod buffers;
mod commit;
mod compact;
mod disk;
mod entry;
mod index;
mod inner;
mod log;
mod open;
mod options;
mod put;
mod read;
mod recent;
mod record;
mod recover;
mod scrub;
mod trash;
mod upkeep;
mod walk;

#[cfg(test)]
mod fault;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use protocol::message::{Dropped, GroupFingerprint, InventoryEntry, LogPosition};
use protocol::receipt::{Receipt, ReceiptEntry};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::{Epoch, GIB, GroupId, ShardId};

use crate::error::Error;
use crate::store::commit::{Drops, Job, NoticeJob};
use crate::store::index::inventory_entry;
use crate::store::inner::Inner;
use crate::store::open::default_min_free;

pub use commit::Stored;
pub use inner::StoreStatus;
pub(crate) use open::is_log;
pub use options::StoreOptions;
pub use put::{NewShard, Put};
pub use read::{Shard, Slices};
pub use record::Place;
pub use scrub::Scrubbed;

/// How often a shard is looked up again when compaction moves it at the same moment.
const LOOKUPS: usize = 8;

/// Drops that are durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Removed {
    /// For each shard asked for, in order.
    pub outcomes: Vec<Dropped>,
    /// Where the record lies.
    pub place: Place,
    /// The node's signature.
    pub receipt: Receipt,
}

/// A store of shards on one disk. Cheap to clone; [`Store::close`] ends it for all.
#[derive(Clone)]
pub struct Store(Arc<Handle>);

/// A store's parts and its background tasks, which end when it is dropped.
pub(crate) struct Handle {
    pub(crate) inner: Arc<Inner>,
    pub(crate) jobs: mpsc::Sender<Job>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Held while the store is open.
    _lock: Option<File>,
}

impl Store {
    /// Begins to store a shard. One that is here under the same id is replaced when the put finishes, and not before.
    ///
    /// # Errors
    /// [`Error::Full`] with nothing written, [`Error::TooLarge`], [`Error::Broken`], [`Error::Io`].
    pub async fn put(&self, new: NewShard) -> Result<Put, Error> {
        let begun = Put::begin(Arc::clone(&self.0.inner), self.0.jobs.clone(), new, None).await;
        if matches!(begun, Err(Error::Full { .. })) {
            self.0.inner.upkeep.notify_one();
        }
        begun
    }

    /// Looks a shard up to read it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Rot`] if it is known to be damaged, [`Error::Index`].
    pub async fn get(&self, id: ShardId) -> Result<Shard, Error> {
        let inner = &self.0.inner;
        for _ in 0..LOOKUPS {
            let entry = inner.index.get(id).await?.ok_or(Error::NotFound(id))?;
            if entry.dropped.is_none() && entry.rot {
                return Err(Error::Rot(id));
            }
            let put = *entry.live().ok_or(Error::NotFound(id))?;
            if let Some(log) = inner.logs.get(put.place.file) {
                return Ok(Shard::new(Arc::clone(inner), id, log, put));
            }
        }
        Err(Error::Damaged(format!("the index of shard {id} names a log that is not there")))
    }

    /// Drops shards, durably. Those that are not here are no error. `revision` and `digest` name the signed statement that asks for it.
    ///
    /// # Errors
    /// [`Error::Full`] if not even the reserve has room for the record, [`Error::Broken`], [`Error::Closed`], [`Error::Index`].
    pub async fn remove(
        &self,
        revision: u64,
        digest: [u8; 32],
        shards: Vec<ShardId>,
    ) -> Result<Removed, Error> {
        let (answer, answered) = oneshot::channel();
        let job = NoticeJob { revision, drops: Drops::New(shards), answer };
        self.0.jobs.send(Job::Notice(job)).await.map_err(|_| Error::Closed)?;
        let noted = answered.await.map_err(|_| Error::Closed)??;
        let entry = ReceiptEntry::Dropped {
            revision: digest,
            outcomes: noted.outcomes.clone(),
            position: noted.place.into(),
        };
        let receipt = self.0.inner.signer.sign_one(&entry);
        Ok(Removed { outcomes: noted.outcomes, place: noted.place, receipt })
    }

    /// A page of the shards that are served, in the order of their ids, and whether there are more.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub async fn list(
        &self,
        group: Option<GroupId>,
        after: Option<ShardId>,
        limit: usize,
    ) -> Result<(Vec<InventoryEntry>, bool), Error> {
        let mut found = Vec::new();
        let mut after = after;
        loop {
            let rows = self.0.inner.index.list(group, after, limit + 1).await?;
            let is_last = rows.len() <= limit;
            for (shard, entry) in rows {
                after = Some(shard);
                let Some(entry) = inventory_entry(shard, &entry) else { continue };
                if found.len() == limit {
                    return Ok((found, true));
                }
                found.push(entry);
            }
            if is_last {
                return Ok((found, false));
            }
        }
    }

    /// The fingerprints of groups that have shards here, in the order of their ids, and whether there are more.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub async fn fingerprints(
        &self,
        from: GroupId,
        to: Option<GroupId>,
        limit: usize,
    ) -> Result<(Vec<GroupFingerprint>, bool), Error> {
        let mut found = Vec::new();
        let mut from = Some(from);
        while let Some(start) = from {
            let groups = self.0.inner.index.groups(start, to, limit + 1).await?;
            from = match groups.last() {
                Some(last) if groups.len() > limit => last.group.0.checked_add(1).map(GroupId),
                _ => None,
            };
            for group in groups.into_iter().filter(|group| group.count > 0) {
                if found.len() == limit {
                    return Ok((found, true));
                }
                found.push(group);
            }
        }
        Ok((found, false))
    }

    /// The newest epoch known of a group that has shards here.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub async fn epoch(&self, group: GroupId) -> Result<Option<Epoch>, Error> {
        self.0.inner.index.epoch(group).await
    }

    /// Learns newer epochs of groups that have shards here; others are ignored.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub async fn raise_epochs(&self, epochs: &[(GroupId, Epoch)]) -> Result<(), Error> {
        self.0.inner.index.raise_epochs(epochs).await
    }

    /// How the store is.
    #[must_use]
    pub fn status(&self) -> StoreStatus {
        self.0.inner.status()
    }

    /// Keeps to other limits from now on: bytes of all logs together, bytes that stay free (`None`: the default of [`StoreOptions::min_free`]),
    /// and the hundredths of its time that a scrub may keep the disk busy. Of what is stored already nothing is given up.
    pub(crate) fn limit(&self, quota: u64, min_free: Option<u64>, scrub_share: u8) {
        let inner = &self.0.inner;
        let min_free =
            min_free.or_else(|| inner.logs.space().ok().map(|space| default_min_free(&space)));
        // A disk that cannot be measured now fails the next put in words of its own.
        inner.logs.limit(quota, min_free.unwrap_or(GIB));
        inner.scrub_share.store(scrub_share.clamp(1, 100), Ordering::Relaxed);
    }

    /// Bytes free on the file system, and bytes that stay free by default.
    pub(crate) fn disk_free(&self) -> Option<(u64, u64)> {
        let space = self.0.inner.logs.space().ok()?;
        Some((space.free, default_min_free(&space)))
    }

    /// Damaged shards found after the first `heard` ones, at most `limit`, and the number to ask with next time.
    #[must_use]
    pub fn rot_after(&self, heard: u64, limit: usize) -> (Vec<ShardId>, u64) {
        self.0.inner.rot_after(heard, limit)
    }

    /// Gives up trash whose grace is over and empties logs that are mostly dead. Runs by itself; tests and tools may ask for it.
    ///
    /// # Errors
    /// Those of the disk and the index.
    pub async fn tidy(&self) -> Result<(), Error> {
        upkeep::tidy(Arc::clone(&self.0)).await
    }

    /// Reads everything once, at most `rate` bytes a second, and notes what is damaged. Runs by itself.
    ///
    /// # Errors
    /// Those of the index.
    pub async fn scrub(&self, rate: Option<u64>) -> Result<Scrubbed, Error> {
        self.0.scrub(rate).await
    }

    /// Finishes what is under way and closes the store. Later calls get [`Error::Closed`].
    pub async fn close(&self) {
        self.0.stop.cancel();
        let (done, finished) = oneshot::channel();
        if self.0.jobs.send(Job::Stop(done)).await.is_ok() {
            let _ = finished.await;
        }
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.inner.index.close().await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.status()).finish()
    }
}

impl From<Place> for LogPosition {
    fn from(place: Place) -> Self {
        Self { file: place.file, offset: place.offset }
    }
}
