//! What every part of the store uses, and the sums over all shards.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU8;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::receipt::ReceiptSigner;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use types::ShardId;
use types::clock::SharedClock;

use crate::error::Error;
use crate::store::buffers::Buffers;
use crate::store::index::{Effects, Index};
use crate::store::log::{Logs, Purpose, Reservation};
use crate::store::read::Outboards;

/// Rotten shards that are remembered to be reported; more are still found in the index.
const ROT_REMEMBERED: usize = 65_536;

/// What every part of the store uses.
pub(crate) struct Inner {
    pub(crate) logs: Arc<Logs>,
    pub(crate) index: Index,
    pub(crate) clock: SharedClock,
    pub(crate) signer: ReceiptSigner,
    pub(crate) outboards: Outboards,
    pub(crate) buffers: Buffers,
    pub(crate) trash_grace: Duration,
    /// Hundredths of its time that a scrub may keep the disk busy.
    pub(crate) scrub_share: AtomicU8,
    pub(super) sums: Mutex<Sums>,
    /// Wakes upkeep before its time.
    pub(super) upkeep: Notify,
}

/// What all shards come to, kept up with every change of the index.
#[derive(Default)]
pub(super) struct Sums {
    live_shards: i64,
    live_bytes: i64,
    trash_bytes: i64,
    /// Rot in the order it was found, under numbers that only grow.
    rot: BTreeMap<u64, ShardId>,
    rot_numbers: BTreeMap<ShardId, u64>,
    rot_next: u64,
    broken: Option<String>,
}

impl Sums {
    /// Of nothing yet; rot that is found gets numbers from `rot_next` on.
    pub(super) fn begin(rot_next: u64) -> Self {
        Self { rot_next, ..Self::default() }
    }
}

/// How a store is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Bytes its logs may take.
    pub quota: u64,
    /// Bytes its logs take.
    pub allocated: u64,
    /// Bytes that new shards may still take.
    pub room: u64,
    /// Shards that are served.
    pub live_shards: u64,
    /// Their bytes.
    pub live_bytes: u64,
    /// Bytes of dropped shards that still rest.
    pub trash_bytes: u64,
    /// Shards found damaged and not replaced yet.
    pub rotten: u64,
    /// Why no writes are taken, if so.
    pub broken: Option<String>,
}

impl Inner {
    /// Claims room in the active log; blocks a thread of the blocking pool only when the log must grow.
    pub(crate) async fn reserve(&self, span: u64, purpose: Purpose) -> Result<Reservation, Error> {
        if let Some(reservation) = self.logs.try_reserve(span) {
            return Ok(reservation);
        }
        let logs = Arc::clone(&self.logs);
        tokio::task::spawn_blocking(move || logs.reserve(span, purpose))
            .await
            .map_err(|_| Error::Closed)?
    }

    /// Adds up what an update of the index changed.
    pub(crate) fn settle(&self, effects: &Effects) {
        self.logs.account(&effects.logs);
        let mut sums = self.sums();
        sums.live_shards += effects.live_shards;
        sums.live_bytes += effects.live_bytes;
        sums.trash_bytes += effects.trash_bytes;
        for shard in &effects.healed {
            if let Some(number) = sums.rot_numbers.remove(shard) {
                sums.rot.remove(&number);
            }
        }
        for shard in &effects.rotted {
            if sums.rot.len() < ROT_REMEMBERED && !sums.rot_numbers.contains_key(shard) {
                let number = sums.rot_next;
                sums.rot_next += 1;
                sums.rot.insert(number, *shard);
                sums.rot_numbers.insert(*shard, number);
            }
        }
    }

    /// Whether writes may still be taken.
    pub(crate) fn check_whole(&self) -> Result<(), Error> {
        match &self.sums().broken {
            Some(why) => Err(Error::Broken(why.clone())),
            None => Ok(()),
        }
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.sums().broken.is_some()
    }

    /// Takes no more writes: what the disk holds is unknown until it has been read again.
    pub(crate) fn break_with(&self, why: &str) {
        tracing::error!(why, "the store takes no more writes until it is opened again");
        self.sums().broken.get_or_insert_with(|| why.to_owned());
    }

    /// How the store is.
    pub(super) fn status(&self) -> StoreStatus {
        let (quota, allocated) = (self.logs.quota(), self.logs.allocated());
        let room = self.logs.room().min(self.logs.disk_room().unwrap_or(0));
        let sums = self.sums();
        StoreStatus {
            quota,
            allocated,
            room,
            live_shards: sums.live_shards.max(0).unsigned_abs(),
            live_bytes: sums.live_bytes.max(0).unsigned_abs(),
            trash_bytes: sums.trash_bytes.max(0).unsigned_abs(),
            rotten: sums.rot.len() as u64,
            broken: sums.broken.clone(),
        }
    }

    /// Damaged shards found after the first `heard` ones, at most `limit`, and the number to ask with next time.
    pub(super) fn rot_after(&self, heard: u64, limit: usize) -> (Vec<ShardId>, u64) {
        let sums = self.sums();
        let found: Vec<(u64, ShardId)> =
            sums.rot.range(heard..).take(limit).map(|(number, shard)| (*number, *shard)).collect();
        let next = found.last().map_or(heard.min(sums.rot_next), |(number, _)| number + 1);
        (found.into_iter().map(|(_, shard)| shard).collect(), next)
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        // Sums are whole at each step that could panic.
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
